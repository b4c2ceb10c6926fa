# SPDX-License-Identifier: Apache-2.0
"""The answers of Anthropic Messages, read: events of a stream and whole messages.

A message is a row of content blocks, one open at a time. Text blocks that stand side by side are one text (citations
cut a text into blocks in the middle of a sentence): guarded as one, labelled once, the head in the first of them, the
end in the last. A block of any other kind ends that text. So that the end label can land in the last block, a text
block's `content_block_stop` waits for the next event that tells; a text behind a tool call is a text of its own, with
labels of its own.

A thinking block's signature never overtakes its text. Tool input that streams is JSON in fragments, and the guard sees
through its escapes; input that comes whole is an object. Blocks that come whole (search results, results of tools that
ran at the model) leave whole or stop the answer.

An `error` event from the upstream is an answer that broke off: ours follows in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.events import Attached, Channel, End, Event, Finish, Lane, Opaque, Usage
from gateway.wires.frames import At, Attachment, Ending, Frame, Path, joined_strings, unknown_texts
from gateway.wires.framing import TextFinder
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import loads_event
from gateway.wires.names import is_mere
from gateway.wires.sse import EventReader, ServerEvent
from gateway.wires.whole import WholeTexts

_TEXT = Lane(0, Channel.ANSWER)
THINKING = Lane(0, Channel.REASONING)
_NOT_TEXT = frozenset(
    {
        "type", "id", "tool_use_id", "file_id", "media_type", "signature", "encrypted_content", "encrypted_index",
        "encrypted_stdout",
    }
)  # fmt: skip
"""Members of results that name things or are opaque to everybody but the model's provider. In a tool's input the same
names are the tool's own, and what stands there is text."""
_KNOWN_TEXT = frozenset({"type", "text", "citations"})
_KNOWN_THINKING = frozenset({"type", "thinking", "signature"})
_EVENT_FIELDS = {
    "message_start": frozenset({"type", "message"}),
    "content_block_start": frozenset({"type", "index", "content_block"}),
    "content_block_delta": frozenset({"type", "index", "delta"}),
    "content_block_stop": frozenset({"type", "index"}),
    "message_delta": frozenset({"type", "delta", "usage"}),
}
"""The members of each event that are read by name; strings of all others are looked at like any text."""
_ONLY_TYPE = frozenset({"type"})
_BLOCK_NAMES = frozenset({"id", "tool_use_id", "file_id", "cache_control"})
_TEXT_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_TOLD = frozenset({"type", "id", "role", "model", "usage", "stop_reason"})
"""The members of a message that name things or count."""
_NAMING = _NOT_TEXT | {"role", "model", "usage", "cache_control"}
"""Members that pass as long as they look like names."""
_OPAQUE = frozenset({"type", "signature", "encrypted_content", "encrypted_index", "encrypted_stdout"})
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What an event or a reason may be called: they pass as they are, so they can be no text."""


def _index_of(tree: Mapping[str, Any]) -> int:
    index = tree.get("index")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise BadAnswer("bad_index")
    return index


class _MessageTexts(TextFinder):
    """What streams and whole messages share: the events of content blocks."""

    def __init__(self) -> None:
        super().__init__()
        self._input_tokens = self._output_tokens = -1

    def text_block(self, frame: Frame, block: dict[str, Any], path: Path) -> Iterator[Event]:
        """A text block, or the beginning of one."""
        citations = block.get("citations")
        if citations:
            yield self.about(frame, block, "citations")
        text = _string(block, "text")
        if text:
            yield from self.text(frame, _TEXT, block, "text", text, path)
        if not block.keys() <= _KNOWN_TEXT:
            yield from self.others(frame, block, _KNOWN_TEXT)

    def about(self, frame: Frame, container: dict[str, Any], key: str) -> Attached:
        """What tells something of the text, such as a citation: dropped where its own words may not be said."""
        value = container[key]
        return Attached(_TEXT, tuple(joined_strings(value)), Attachment(frame, container, key, value))

    def thinking_block(self, frame: Frame, block: dict[str, Any], path: Path) -> Iterator[Event]:
        """A thinking block, or the beginning of one; a redacted one has no text."""
        thinking = _string(block, "thinking")
        if thinking:
            yield from self.text(frame, THINKING, block, "thinking", thinking, path)
        yield from self.others(frame, block, _KNOWN_THINKING)

    def other_block(self, frame: Frame, block: dict[str, Any]) -> Iterator[Event]:
        """A block that comes whole: a tool call's name and input, results, kinds that this codec does not know."""
        whole = WholeTexts(frame)
        yield from whole.add(block, "name", is_name=True)
        yield from whole.add(block, "input")
        read = {"name", "input", "data"} if block.get("type") == "redacted_thinking" else {"name", "input"}
        yield from self.members(whole, block, _BLOCK_NAMES | read)
        yield from whole.end()

    def others(self, frame: Frame, tree: dict[str, Any], known: frozenset[str]) -> Iterator[Event]:
        """The strings of all members but `known`, whole."""
        if not tree.keys() <= known or not all(is_mere(tree[key]) for key in tree.keys() & _NAMING):
            whole = WholeTexts(frame)
            yield from self.members(whole, tree, known)
            yield from whole.end()

    def members(self, whole: WholeTexts, tree: dict[str, Any], known: frozenset[str]) -> Iterator[Event]:
        """The same, among the whole texts of `whole`. What is named like an opaque member is opaque."""
        for key, value in tree.items():
            if (key not in known and key not in _OPAQUE) or (key in _NAMING and not is_mere(value)):
                yield from whole.add(tree, key, _NOT_TEXT)

    def usage(self, usage: Any) -> Iterator[Usage]:
        """Counts are cumulative; what one event leaves out an earlier one has said."""
        if isinstance(usage, Mapping):
            self._input_tokens = _tokens(usage, "input_tokens", self._input_tokens)
            self._output_tokens = _tokens(usage, "output_tokens", self._output_tokens)
            yield Usage(self._input_tokens, self._output_tokens)

    def unknown_delta(self, frame: Frame, delta: dict[str, Any], index: int, kind: str) -> Iterator[Event]:
        """A delta of a kind that this codec does not know: each of its members is a text that goes on. Raises
        `BadAnswer` where a member that names something does not look like a name."""
        if _WORD.fullmatch(kind) is None or not all(is_mere(delta[key]) for key in delta.keys() & _NOT_TEXT):
            raise BadAnswer("bad_delta")
        for container, key, text, at in unknown_texts(delta, (), _NOT_TEXT):
            lane = self._lanes.other(0, (kind, *at))
            yield from self.text(frame, lane, container, key, text, (At(index), kind, *at))


def _string(container: Mapping[str, Any], key: str) -> str:
    """The text `container[key]`, empty where there is none. Raises `BadAnswer` for what is no text."""
    value = container.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadAnswer("bad_text")
    return value


def _reason(container: Mapping[str, Any]) -> str:
    """Why the message ended, empty where it has not."""
    reason = _string(container, "stop_reason")
    if reason and _WORD.fullmatch(reason) is None:
        raise BadAnswer("bad_reason")
    return reason


def _tokens(usage: Mapping[str, Any], key: str, before: int) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value >= 0 else before


def _end_of_text(frame: Frame) -> Finish:
    """The end of what was said so far; the message itself may go on."""
    return Finish(0, "", Ending(frame, {}, "", None))


class StreamReader:
    """The events of a stream."""

    def __init__(self, event_bytes: int) -> None:
        self._texts = _MessageTexts()
        self._events = EventReader(event_bytes)
        self._has_begun = self._is_done = self._has_failed = False
        self._open = -1
        """The index of the open block."""
        self._kind = ""
        self._seen = -1
        self._stop: Frame | None = None
        """The stop of a text block, which waits until it is known whether the text goes on."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        events: list[Event] = []
        for event in self._events.feed(data):
            self._read(event, events)
        return events

    def close(self) -> list[Event]:
        """The end of the stream: `BadAnswer` where the upstream broke off."""
        events: list[Event] = []
        for event in self._events.close():
            self._read(event, events)
        if not self._is_done:
            raise BadAnswer("incomplete")
        return events

    def _read(self, event: ServerEvent, events: list[Event]) -> None:
        if self._is_done or self._has_failed:
            return  # nothing follows the end
        try:
            tree = loads_event(event.data)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        if not isinstance(tree, dict):
            raise BadAnswer("not_an_object")
        kind = tree.get("type")
        frame = Frame(tree, event.data)
        if kind == "content_block_delta":
            events += self._delta(frame, tree)
        elif kind == "content_block_start":
            events += self._block_start(frame, tree)
        elif kind == "content_block_stop":
            events += self._block_stop(frame, tree)
        elif kind == "message_start":
            events += self._message_start(frame, tree)
        elif kind == "message_delta":
            events += self._message_delta(frame, tree)
        elif kind == "message_stop":
            events += self._message_stop(frame, tree)
        elif kind == "error":
            self._has_failed = True
            return
        elif not isinstance(kind, str) or _WORD.fullmatch(kind) is None:
            raise BadAnswer("bad_type")
        else:
            events += self._texts.others(frame, tree, _ONLY_TYPE)
        if not frame.parts and frame is not self._stop:
            events.append(Opaque(frame))
        if self._is_done:
            events.append(End())

    def _message_start(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        message = tree.get("message")
        if self._has_begun or not isinstance(message, dict):
            raise BadAnswer("bad_order" if self._has_begun else "bad_message")
        self._has_begun = True
        whole = WholeTexts(frame)
        yield from self._texts.members(whole, message, _TOLD)
        yield from self._texts.members(whole, tree, _EVENT_FIELDS["message_start"])
        yield from whole.end()
        _reason(message)
        yield from self._texts.usage(message.get("usage"))

    def _block_start(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        index, block = _index_of(tree), tree.get("content_block")
        if not isinstance(block, dict):
            raise BadAnswer("bad_block")
        if not self._has_begun or self._open >= 0 or index <= self._seen:
            raise BadAnswer("bad_order")
        self._open = self._seen = index
        self._kind = str(block.get("type"))
        if self._kind == "text":
            if self._stop is not None:
                # The text goes on: this block's start may not overtake what of the block before still waits.
                yield Attached(_TEXT, (), Attachment(self._stop, {}, "", None))
                self._stop = None
            yield Attached(_TEXT, (), Attachment(frame, {}, "", None))
            yield from self._texts.text_block(frame, block, (At(index), "text_delta", "text"))
        else:
            yield from self._end_text()
            if self._kind == "thinking":
                yield from self._texts.thinking_block(frame, block, (At(index), "thinking_delta", "thinking"))
            else:
                yield from self._texts.other_block(frame, block)
        yield from self._texts.others(frame, tree, _EVENT_FIELDS["content_block_start"])

    def _delta(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        index, delta = _index_of(tree), tree.get("delta")
        if not isinstance(delta, dict):
            raise BadAnswer("bad_delta")
        if index != self._open:
            raise BadAnswer("bad_order")
        kind = delta.get("type")
        if not isinstance(kind, str):
            raise BadAnswer("bad_delta")
        field = _TEXT_DELTAS.get(kind)
        if field is not None:
            lane = self._lane(kind, index)
            text = _string(delta, field)
            if text:
                yield from self._texts.text(frame, lane, delta, field, text, (At(index), kind, field))
        elif kind == "signature_delta" and self._kind == "thinking":
            field = "signature"
            signature = _string(delta, field)
            texts = () if is_mere(signature) else (signature,)
            yield Attached(THINKING, texts, Attachment(frame, delta, field, signature))
        elif kind == "citations_delta" and isinstance(delta.get("citation"), dict):
            field = "citation"
            yield self._texts.about(frame, delta, field)
        else:
            yield from self._texts.unknown_delta(frame, delta, index, kind)
        if field is not None and (len(delta) > 2 or field not in delta):
            yield from self._texts.others(frame, delta, frozenset({"type", field}))
        if len(tree) > 3:
            yield from self._texts.others(frame, tree, _EVENT_FIELDS["content_block_delta"])

    def _lane(self, kind: str, index: int) -> Lane:
        """The lane of a delta of text. Raises `BadAnswer` where the open block has no such text."""
        if kind == "input_json_delta":
            if self._kind in ("text", "thinking"):
                raise BadAnswer("bad_delta")
            return Lane(0, Channel.TOOL_ARGUMENTS, index)
        if kind != f"{self._kind}_delta":
            raise BadAnswer("bad_delta")
        return _TEXT if kind == "text_delta" else THINKING

    def _block_stop(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        index = _index_of(tree)
        if index != self._open:
            raise BadAnswer("bad_order")
        self._open = -1
        if len(tree) > 2:
            # Nothing is said in a stop; members that nobody knows could not wait with it.
            frame.raw = b""
            for key in tree.keys() - {"type", "index"}:
                del tree[key]
        if self._kind == "text":
            self._stop = frame
            return
        yield from self._texts.close(0)
        yield _end_of_text(frame)

    def _end_text(self) -> Iterator[Event]:
        """The end of a text, in front of its last block's stop."""
        stop, self._stop = self._stop, None
        if stop is not None:
            yield from self._texts.close(0)
            yield _end_of_text(stop)

    def _message_delta(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        delta = tree.get("delta")
        if not self._has_begun or self._open >= 0 or not isinstance(delta, dict):
            raise BadAnswer("bad_order")
        yield from self._end_text()
        whole = WholeTexts(frame)
        yield from self._texts.members(whole, delta, frozenset({"stop_reason"}))
        yield from self._texts.members(whole, tree, _EVENT_FIELDS["message_delta"])
        yield from whole.end()
        reason = _reason(delta)
        if reason:
            yield Finish(0, reason, Ending(frame, delta, "stop_reason", reason))
        yield from self._texts.usage(tree.get("usage"))

    def _message_stop(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        if not self._has_begun or self._open >= 0:
            raise BadAnswer("bad_order")
        yield from self._end_text()
        self._is_done = True
        yield from self._texts.others(frame, tree, _ONLY_TYPE)


class MessageReader:
    """One whole message."""

    def __init__(self) -> None:
        self._texts = _MessageTexts()
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end: a plain answer is one document."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """All events of the message."""
        raw = bytes(self._body)
        try:
            tree = loads_event(raw)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        if not isinstance(tree, dict) or not isinstance(tree.get("content"), list):
            raise BadAnswer("not_a_message")
        return list(self._message(Frame(tree, raw), tree))

    def _message(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        is_in_text = False
        for block in tree["content"]:
            if not isinstance(block, dict):
                raise BadAnswer("bad_block")
            kind = block.get("type")
            if is_in_text and kind != "text":
                yield from self._texts.close(0)
                yield _end_of_text(frame)
            is_in_text = kind == "text"
            if is_in_text:
                yield from self._texts.text_block(frame, block, ())
            elif kind == "thinking":
                yield from self._texts.thinking_block(frame, block, ())
                yield from self._texts.close(0)
                yield _end_of_text(frame)
            else:
                yield from self._texts.other_block(frame, block)
        yield from self._texts.close(0)
        yield from self._texts.others(frame, tree, _TOLD | {"content"})
        yield from self._texts.usage(tree.get("usage"))
        reason = _reason(tree)
        yield Finish(0, reason, Ending(frame, tree, "stop_reason", reason))
        yield End(frame)
