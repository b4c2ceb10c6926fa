# SPDX-License-Identifier: Apache-2.0
"""The answers of DashScope's native protocol, written: server-sent events, whole documents and tasks.

What leaves of a cumulative stream is what the duties let through, repeated: never what the upstream repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.events import Channel, Event, Finish, Lane, Media
from gateway.exchange import Exchange
from gateway.wires.dashscope_answer import DOCUMENT_CHOICE, CumulativeFrame, LaneSlot
from gateway.wires.frames import Attachment, Frame, Path, built, mere_names
from gateway.wires.framing import StreamFrames, WholeDocument, as_it_came, encoded, frame_of
from gateway.wires.interfaces import BadAnswer
from gateway.wires.media import require_labelled
from gateway.wires.media_answer import MediaSlot


def error_document(code: str, message: str, request_id: str = "") -> dict[str, Any]:
    """DashScope's error object."""
    return {"code": code, "message": message, "request_id": request_id}


class _Form:
    """How an answer that no event showed yet is spelt: `text`, `message`, `parts`, or both where nobody knows."""

    def __init__(self, form: str) -> None:
        self.form = form

    def learn(self, tree: Mapping[str, Any]) -> None:
        """Take the form of the upstream's own document."""
        output = tree.get("output")
        if not isinstance(output, dict):
            return
        if isinstance(output.get("text"), str):
            self.form = "text"
        elif isinstance(choices := output.get("choices"), list) and choices and isinstance(choices[0], dict):
            message = choices[0].get("message")
            self.form = "parts" if isinstance(message, dict) and isinstance(message.get("content"), list) else "message"

    def output(self, choice: int, texts: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """An `output` of one choice that says `texts` (`content`, `reasoning_content`, ...)."""
        text = texts.get("content", "")
        content = [{"text": text}] if self.form == "parts" else text
        made: dict[str, Any] = {}
        if self.form in ("text", ""):
            made = {"text": text, "finish_reason": reason}
        if self.form != "text":
            message = {**texts, "role": "assistant", "content": content}
            made["choices"] = [{"index": choice, "message": message, "finish_reason": reason}]
        return made


class EventsWriter(StreamFrames):
    """A stream of events."""

    content_type = b"text/event-stream;charset=UTF-8"

    def __init__(self, exchange: Exchange, form: str, *, is_cumulative: bool) -> None:
        super().__init__(exchange)
        self._form = _Form(form)
        self._is_cumulative = is_cumulative
        self._said: dict[Lane, str] = {}
        self._around: dict[str, Any] = {
            "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
            "request_id": exchange.record_id,
        }
        self._number = 0
        self._reason = "stop"

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes of `events`."""
        first = None
        for event in events:
            require_labelled(event)
            first = first or frame_of(event)
            if isinstance(event, Finish):
                self._reason = event.reason
        if first is not None:
            # Known before the first byte: words of a duty may stand before the first frame.
            self._is_cumulative = isinstance(first, CumulativeFrame)
            self._form.learn(first.tree)
        return super().write(events)

    def learn(self, frame: Frame) -> None:
        """What every event of the answer repeats."""
        self._around.update(mere_names(frame.tree, self._around))

    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        """An event with one text."""
        frame = self._frame(lane.choice, "null")
        if lane.choice == DOCUMENT_CHOICE:
            for key, value in built(path or ("text",), self._repeated(lane, text)).items():
                frame.tree[key] = {**frame.tree[key], **value} if isinstance(frame.tree.get(key), dict) else value
        elif lane.channel is Channel.ANSWER and lane.item == 0:
            self._put(frame, lane, "content", text)
        elif lane.channel is Channel.REASONING:
            self._put(frame, lane, "reasoning_content", text)
        elif path is not None:
            said = self._repeated(lane, text)
            choice = frame.tree["output"].setdefault("choices", [{"index": lane.choice, "message": {}}])[0]
            if path[0] == "choice":
                choice.update(built(path[1:], said))
            else:
                choice["message"].update(built(path, said))
        return frame

    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        """Nothing is attached to texts on this wire."""
        raise BadAnswer("no_attachments")

    def finish_frame(self, choice: int, reason: str) -> Frame:
        """An event that ends a choice; in a cumulative stream it repeats the whole text."""
        return self._frame(choice, reason)

    def last_frame(self) -> Frame:
        """The end once more: an event without a choice would be none that clients expect."""
        return self._frame(0, self._reason)

    def frame_bytes(self, frame: Frame) -> bytes:
        """An event with the fields that DashScope gives its own."""
        for part in frame.parts:
            if isinstance(part, LaneSlot):
                said = self._repeated(part.lane, part.container[part.key])
                part.put(said)
        if isinstance(frame, CumulativeFrame):
            frame.raw = b""
        self._number += 1
        return _event(self._number, b"result", 200, as_it_came(frame))

    def broken(self, code: str, message: str) -> bytes:
        """An error event; the official SDK gives it as an answer with that status."""
        flushed = self.flushed()
        self._number += 1
        tree = {**error_document(code, message, self.exchange.record_id), "aigc": self.exchange.label}
        return flushed + _event(self._number, b"error", 502, encoded(tree))

    def _frame(self, choice: int, reason: str) -> Frame:
        """An event that says nothing new."""
        texts: dict[str, Any] = {}
        if self._is_cumulative:
            texts["content"] = self._said.get(Lane(choice, Channel.ANSWER), "")
            if thought := self._said.get(Lane(choice, Channel.REASONING), ""):
                texts["reasoning_content"] = thought
        return Frame({"output": self._form.output(max(choice, 0), texts, reason), **self._around})

    def _put(self, frame: Frame, lane: Lane, key: str, text: str) -> None:
        said = self._repeated(lane, text)
        output = self._form.output(lane.choice, {**self._texts(lane.choice), key: said}, "null")
        frame.tree["output"] = output

    def _texts(self, choice: int) -> dict[str, str]:
        if not self._is_cumulative:
            return {}
        pairs = (("content", Channel.ANSWER), ("reasoning_content", Channel.REASONING))
        return {key: said for key, channel in pairs if (said := self._said.get(Lane(choice, channel)))}

    def _repeated(self, lane: Lane, text: str) -> str:
        """`text`, behind what already left of its lane where the stream is cumulative."""
        if not self._is_cumulative:
            return text
        said = self._said[lane] = self._said.get(lane, "") + text
        return said


def _event(number: int, kind: bytes, status: int, data: bytes) -> bytes:
    return b"id:%d\nevent:%s\n:HTTP_STATUS/%d\ndata:%s\n\n" % (number, kind, status, data)


class PlainWriter(WholeDocument):
    """One document."""

    def __init__(self, exchange: Exchange, form: str) -> None:
        super().__init__(exchange)
        self._form = _Form(form)
        self._media: list[tuple[MediaSlot, Media]] = []

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the whole document."""
        for event in events:
            require_labelled(event)
            if isinstance(event, Media) and isinstance(event.carrier, MediaSlot):
                self._attached.add(id(event.carrier))
                self._media.append((event.carrier, event))
        return super().write(events)

    def _document(self, tree: object) -> dict[str, Any]:
        document = super()._document(tree)
        for slot, medium in self._media:  # last: a link in a field that nobody knows is a text as well
            slot.put_medium(medium)
        return document

    def empty(self) -> dict[str, Any]:
        """An answer that no model gave."""
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return {"output": {}, "usage": usage, "request_id": self.exchange.record_id}

    def replace(self, document: dict[str, Any], choice: int, reason: str, text: str) -> None:
        """A choice of which nothing of the model's may be shown."""
        self._form.learn(document)
        made = self._form.output(choice, {"content": text}, reason)
        output = document["output"]
        choices = output.get("choices")
        if isinstance(choices, list) and self._form.form != "text":
            for position, item in enumerate(choices):
                if isinstance(item, dict) and item.get("index", position) == choice:
                    choices[position] = made["choices"][0]
                    return
            choices.append(made["choices"][0])
            return
        output.update(made)

    def add_text(self, document: dict[str, Any], lane: Lane, text: str) -> None:
        """The words of a duty where the model said nothing there."""
        output = document["output"]
        if lane != Lane(lane.choice, Channel.ANSWER):
            return
        if "text" in output:
            output["text"] = text
        for position, item in enumerate(output.get("choices") or ()):
            if item.get("index", position) == lane.choice and isinstance(item.get("message"), dict):
                parts = isinstance(item["message"].get("content"), list)
                item["message"]["content"] = [{"text": text}] if parts else text

    def broken(self, code: str, message: str) -> bytes:
        """DashScope's error object."""
        return encoded(error_document(code, message, self.exchange.record_id))
