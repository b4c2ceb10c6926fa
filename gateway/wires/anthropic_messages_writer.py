# SPDX-License-Identifier: Apache-2.0
"""The answers of Anthropic Messages, written: events of a stream and whole messages.

The writer keeps the wire's own state machine: a message starts once, one block is open at a time, what is open is
closed before the message ends. A text that a duty adds goes into the open text block, or into a new one behind the
last. A signed thinking block is never changed: where a piece of it is not what the model said, because a term was
masked, the block ends in front of that piece and has no signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.events import Channel, Event, Lane, TextDelta, Usage
from gateway.exchange import Exchange
from gateway.wires.anthropic_errors import error_object
from gateway.wires.anthropic_messages_answer import THINKING
from gateway.wires.frames import At, Attachment, Frame, Path, Slot, built
from gateway.wires.framing import StreamFrames, WholeDocument, as_it_came, encoded
from gateway.wires.whole import gathered, is_cut


class _Unchanged:
    """Tells whether pieces of signed texts are what the model said; from the first that is not, the text is cut."""

    def __init__(self) -> None:
        self._slot: Slot | None = None
        self._offset = 0
        self.cut: set[int] = set()
        """The blocks that were cut."""

    def admits(self, event: Event) -> bool:
        """Whether `event` may leave."""
        lane = getattr(event, "lane", None)
        carrier = getattr(event, "carrier", None)
        if lane != THINKING or not isinstance(carrier, (Slot, Attachment)):
            return True
        index = carrier.frame.tree.get("index", -1)
        if isinstance(event, TextDelta) and isinstance(carrier, Slot):
            if carrier is not self._slot:
                self._slot, self._offset = carrier, 0
            start, self._offset = self._offset, self._offset + len(event.text)
            if event.text is not carrier.value and carrier.value[start : self._offset] != event.text:
                self.cut.add(index)
        return index not in self.cut


class StreamWriter(StreamFrames):
    """A stream of events. Blocks that are not closed are closed, and a text that has none is given one."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._unchanged = _Unchanged()
        self._has_start = False
        self._open = -1
        self._kind = ""
        self._next = 0
        self._usage: dict[str, int] = {"output_tokens": 0}

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes of `events`."""
        return super().write(gathered([event for event in events if self._unchanged.admits(event)]))

    def can_be_last(self, frame: Frame) -> bool:
        """The last event has a name."""
        return frame.tree.get("type") == "message_stop"

    def stamp(self, frame: Frame, *, is_last: bool) -> None:
        """The first label stands in `message_start`, wherever that comes from; a `ping` may stand before it."""
        if is_last:
            super().stamp(frame, is_last=True)

    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        """A delta: in the open text block or a new one, for other lanes in the block that they stand in."""
        if lane.channel is Channel.ANSWER or path is None or not isinstance(path[0], At):
            index = self._open if self._open >= 0 and self._kind == "text" else self._next
            return _delta(index, {"type": "text_delta", "text": text})
        kind, field = path[1], path[2:]
        return _delta(path[0].index, {"type": kind, **built(field, text)})

    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        """A delta with what was held back."""
        if part.key == "signature":
            return _delta(self._open, {"type": "signature_delta", "signature": part.value})
        return _delta(self._open, {"type": "citations_delta", "citation": part.value})

    def finish_frame(self, choice: int, reason: str) -> Frame:
        """The `message_delta` of a stopped answer; `refusal` is the wire's own word."""
        reason = "refusal" if reason == "content_filter" else reason
        details = {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None
        delta = {"stop_reason": reason, "stop_sequence": None, "stop_details": details}
        return Frame({"type": "message_delta", "delta": delta, "usage": self._usage})

    def last_frame(self) -> Frame:
        """The `message_stop`."""
        return Frame({"type": "message_stop"})

    def frame_bytes(self, frame: Frame) -> bytes:
        """An event with its name, behind whatever must stand before it."""
        kind = frame.tree["type"]
        if kind == "message_start":
            super().stamp(frame, is_last=False)
        before = self._before(kind, frame.tree)
        return b"" if before is None else before + _event(kind, as_it_came(frame))

    def broken(self, code: str, message: str) -> bytes:
        """An error event; the official SDKs raise it."""
        tree = {**error_object(502, code, message, request_id=self.exchange.record_id), "aigc": self.exchange.label}
        return self.flushed() + _event("error", encoded(tree))

    def keep_alive(self) -> bytes:
        """The wire's own `ping`."""
        return b'event: ping\ndata: {"type": "ping"}\n\n'

    def _unframed(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, Usage):
            counts = {"input_tokens": event.input_tokens, "output_tokens": event.output_tokens}
            self._usage = {"output_tokens": 0, **{name: count for name, count in counts.items() if count >= 0}}
        super()._unframed(event, out)

    def _send(self, frame: Frame, out: list[bytes], *, is_late: bool = False) -> None:
        super()._send(frame, out, is_late=is_late or self.can_be_last(frame))

    def _framed(self, frame: Frame, events: Sequence[Event], out: list[bytes]) -> None:
        if not is_cut(frame, events):
            super()._framed(frame, events, out)

    def _before(self, kind: str, tree: dict[str, Any]) -> bytes | None:
        """What must leave before an event, and the state after it; None where it must not leave at all."""
        if kind == "content_block_delta" and tree["index"] == self._open:
            return b""  # the common case
        out = b""
        if kind == "message_start":
            self._has_start = True
            return out
        if not kind.startswith(("content_block_", "message_")):
            return out
        if not self._has_start:
            self._has_start = True
            out = _event("message_start", encoded(self._message_start()))
        if kind == "content_block_stop":
            if self._open < 0:
                return None
            self._open = -1
            return out
        if self._open >= 0:
            out += _event("content_block_stop", encoded({"type": "content_block_stop", "index": self._open}))
            self._open = -1
        if kind in ("content_block_start", "content_block_delta"):
            self._open = tree["index"]
            self._next = self._open + 1
            self._kind = "text"
            if kind == "content_block_start":
                self._kind = str(tree["content_block"].get("type"))
            else:
                start = {"type": "content_block_start", "index": self._open, "content_block": _EMPTY_BLOCK}
                out += _event("content_block_start", encoded(start))
        return out

    def _message_start(self) -> dict[str, Any]:
        message = _message(self.exchange, [], None)
        return {"type": "message_start", "message": message, "aigc": self.exchange.label}


_EMPTY_BLOCK = {"type": "text", "text": ""}


def _delta(index: int, delta: dict[Any, Any]) -> Frame:
    return Frame({"type": "content_block_delta", "index": index, "delta": delta})


def _event(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def _message(exchange: Exchange, content: list[Any], reason: str | None) -> dict[str, Any]:
    """A message that no model gave."""
    return {
        "id": f"msg_{exchange.record_id}",
        "type": "message",
        "role": "assistant",
        "model": exchange.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


class MessageWriter(WholeDocument):
    """One whole message."""

    def empty(self) -> dict[str, Any]:
        """A message that no model gave."""
        return _message(self.exchange, [], "end_turn")

    def replace(self, document: dict[str, Any], choice: int, reason: str, text: str) -> None:
        """A message of which nothing of the model's may be shown."""
        if choice != 0:
            return  # whole texts end with the message
        document["content"] = [{"type": "text", "text": text}] if text else []
        document["stop_reason"] = "refusal" if reason == "content_filter" else reason
        document["stop_sequence"] = None
        document["stop_details"] = {"type": "refusal", "category": None, "explanation": None}

    def broken(self, code: str, message: str) -> bytes:
        """Anthropic's error object."""
        return encoded(error_object(502, code, message, request_id=self.exchange.record_id))

    def _document(self, tree: object) -> dict[str, Any]:
        signed = [(slot.container, slot.value) for slot in self.slots.get(THINKING, ())]
        document = super()._document(tree)
        for block, thinking in signed:
            said = block["thinking"]
            if said != thinking:
                same = (one == other for one, other in zip(said, thinking, strict=False))
                block["thinking"] = thinking[: list(same).index(False)]
                block["signature"] = ""
        return document
