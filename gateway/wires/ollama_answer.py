# SPDX-License-Identifier: Apache-2.0
"""The answers of Ollama's chat and generate: lines of a stream and whole documents, to events and back.

A tool call comes whole in one line and no later line adds to it, so it must leave whole or not at all: each line's
calls are a choice of their own (below 0) that ends at once, so that the guard decides about it before the line leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.events import Attached, Channel, End, Event, Finish, Lane, Opaque, TextDelta, Usage
from gateway.exchange import Exchange
from gateway.wires.arguments import ObjectSlot
from gateway.wires.frames import Attachment, Ending, Frame, Path, Slot, built, joined_strings, mere_names, odd_names
from gateway.wires.framing import StreamFrames, TextFinder, WholeDocument, as_it_came, encoded
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import loads_event
from gateway.wires.media import UNLABELLED
from gateway.wires.names import is_mere
from gateway.wires.ndjson import LineReader

_COUNTS = (
    "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration",
)  # fmt: skip
_NAMES = ("model", "created_at", "remote_model", "remote_host")
_KNOWN_DOCUMENT = frozenset({*_NAMES, "done", "done_reason", "logprobs"})
_KNOWN_CHAT = _KNOWN_DOCUMENT | {"message"}
_KNOWN_GENERATE = _KNOWN_DOCUMENT | {"response", "thinking"}
_KNOWN_MESSAGE = frozenset({"role", "content", "thinking", "tool_calls", "images"})
_KNOWN_CALL = frozenset({"id", "type", "function"})
_KNOWN_FUNCTION = frozenset({"index", "name", "arguments"})

_DOCUMENT_CHOICE = -1
"""The lane choice of texts that stand in the document beside the answer."""
_FIRST_CALLS = -2
"""The lane choice of the first line's tool calls; each further line takes the next below."""

_ANSWER = Lane(0, Channel.ANSWER)
_THINKING = Lane(0, Channel.REASONING)


def error_line(code: str, message: str, param: str = "") -> bytes:
    """Ollama's error object; `code` and `param` are ours, and its clients ignore them."""
    return encoded({"error": message, "code": code, **({"param": param} if param else {})})


class _CallsEnding(Ending):
    """The end of a line's tool calls. Where it did not leave with them, none of them does."""

    __slots__ = ()

    def put(self, value: Any) -> None:
        """Take the calls out of the message."""
        self.container.pop(self.key, None)


class _AnswerReader(TextFinder):
    """Makes events of one document; what lines and whole answers share."""

    def __init__(self, *, is_chat: bool) -> None:
        super().__init__()
        self._is_chat = is_chat
        self._calls = _FIRST_CALLS
        self.is_done = False

    def document(self, raw: bytes, *, is_line: bool) -> list[Event]:
        """The events of one document. Raises `BadAnswer`."""
        try:
            tree = loads_event(raw)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        if not isinstance(tree, dict):
            raise BadAnswer("not_an_object")
        if tree.get("error"):
            raise BadAnswer("error_in_answer")
        if tree.get("image"):
            raise BadAnswer(UNLABELLED)
        if not isinstance(tree.get("done"), (bool, type(None))):
            raise BadAnswer("bad_done")
        if "context" in tree:
            del tree["context"]
            raw = b""
        frame = Frame(tree, raw)
        events = list(self._texts(frame, tree))
        if tree.get("done") is not True:
            if not is_line:
                raise BadAnswer("not_done")
            return events if frame.parts else [Opaque(frame)]
        self.is_done = True
        if not isinstance(tree.get("done_reason"), (str, type(None))) or not is_mere(tree.get("done_reason")):
            raise BadAnswer("bad_reason")
        ending = frame
        if is_line and frame.parts:
            # The label's end and the words for a stopped answer stand behind the text and before the end.
            ending = Frame(_empty_end(tree))
            frame.tree = {key: value for key, value in tree.items() if key not in (*_COUNTS, "done_reason")}
            frame.tree["done"] = False
            frame.raw = b""
            for part in frame.parts:
                if part.container is tree:
                    part.container = frame.tree
        events += self.close()
        events.append(Finish(0, tree.get("done_reason") or "stop", Ending(ending, ending.tree, "done", True)))
        events.append(Usage(_count(tree, "prompt_eval_count"), _count(tree, "eval_count")))
        events.append(End(None if is_line else frame))
        return events

    def _texts(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        if self._is_chat:
            message = tree.get("message")
            if not isinstance(message, dict):
                raise BadAnswer("bad_message")
            yield from self._message(frame, message)
        else:
            yield from self._field(frame, _THINKING, tree, "thinking", ())
            yield from self._field(frame, _ANSWER, tree, "response", ())
        if tree.get("logprobs"):
            words = tuple(joined_strings(tree["logprobs"]))
            yield Attached(_ANSWER, words, Attachment(frame, tree, "logprobs", tree["logprobs"]))
        yield from odd_names(frame, tree, _NAMES)
        known = _KNOWN_CHAT if self._is_chat else _KNOWN_GENERATE
        if not tree.keys() <= known:
            yield from self.unknown(frame, tree, (), known, _DOCUMENT_CHOICE)

    def _message(self, frame: Frame, message: dict[str, Any]) -> Iterator[Event]:
        if message.get("images"):
            raise BadAnswer(UNLABELLED)
        yield from self._field(frame, _THINKING, message, "thinking", ("message",))
        yield from self._field(frame, _ANSWER, message, "content", ("message",))
        yield from odd_names(frame, message, ("role",))
        if not message.keys() <= _KNOWN_MESSAGE:
            yield from self.unknown(frame, message, ("message",), _KNOWN_MESSAGE, _DOCUMENT_CHOICE)
        calls = message.get("tool_calls")
        if calls is None or calls == []:
            return
        if not isinstance(calls, list):
            raise BadAnswer("bad_tool_calls")
        for item, call in enumerate(calls):
            yield from self._call(frame, item, call)
        yield Finish(self._calls, "tool_calls", _CallsEnding(frame, message, "tool_calls", calls))
        self._calls -= 1

    def _call(self, frame: Frame, item: int, call: Any) -> Iterator[Event]:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadAnswer("bad_tool_calls")
        path: Path = ("message", "tool_calls")
        yield from odd_names(frame, call, ("id", "type"))
        yield from odd_names(frame, function, ("index",))
        if not call.keys() <= _KNOWN_CALL:
            yield from self.unknown(frame, call, path, _KNOWN_CALL, self._calls)
        if not function.keys() <= _KNOWN_FUNCTION:
            yield from self.unknown(frame, function, path, _KNOWN_FUNCTION, self._calls)
        lane = Lane(self._calls, Channel.TOOL_NAME, item)
        yield from self.text(frame, lane, function, "name", function["name"], path)
        if function.get("arguments"):
            slot = ObjectSlot(frame, function, "arguments", path)
            if slot.value:
                yield TextDelta(Lane(self._calls, Channel.TOOL_ARGUMENTS, item), slot.value, slot)
            else:
                frame.parts.remove(slot)

    def _field(self, frame: Frame, lane: Lane, holder: dict[str, Any], key: str, path: Path) -> Iterator[Event]:
        value = holder.get(key)
        if value is None:
            return
        if not isinstance(value, str):
            raise BadAnswer("bad_text")
        if value:
            yield from self.text(frame, lane, holder, key, value, (*path, key))


def _empty_end(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The end of an answer without its text."""
    made = mere_names(tree, (*_NAMES, *_COUNTS, "done", "done_reason"))
    if "message" in tree:
        made["message"] = {"role": "assistant", "content": ""}
    else:
        made["response"] = ""
    return made


def _count(tree: Mapping[str, Any], key: str) -> int:
    value = tree.get(key)
    return value if isinstance(value, int) and value >= 0 else -1


class LineAnswer:
    """The lines of a stream."""

    media_type = "application/x-ndjson"

    def __init__(self, event_bytes: int, *, is_chat: bool) -> None:
        self._lines = LineReader(event_bytes)
        self._reader = _AnswerReader(is_chat=is_chat)

    def feed(self, data: bytes) -> list[Event]:
        """The events of the lines that `data` completes."""
        return self._read(self._lines.feed(data))

    def close(self) -> list[Event]:
        """The end of the body: `BadAnswer` where the upstream broke off."""
        events = self._read(self._lines.close())
        if not self._reader.is_done:
            raise BadAnswer("incomplete")
        return events

    def _read(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if self._reader.is_done:
                break  # nothing follows the line that is done
            events += self._reader.document(line, is_line=True)
        return events


class PlainAnswer:
    """One document."""

    def __init__(self, *, is_chat: bool) -> None:
        self._body = bytearray()
        self._reader = _AnswerReader(is_chat=is_chat)

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end: a plain answer is one document."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """All events of the answer."""
        return self._reader.document(bytes(self._body), is_line=False)


class _Base:
    """The members that every document of an answer repeats."""

    def __init__(self, exchange: Exchange, *, is_chat: bool) -> None:
        created_at = datetime.fromtimestamp(exchange.started_at, UTC).isoformat().replace("+00:00", "Z")
        self.members: dict[str, Any] = {"model": exchange.model, "created_at": created_at}
        self._is_chat = is_chat

    def document(self, text: str = "") -> dict[str, Any]:
        """A document that says `text`."""
        said = {"message": {"role": "assistant", "content": text}} if self._is_chat else {"response": text}
        return {**self.members, **said}


class LinesWriter(StreamFrames):
    """A stream of lines."""

    content_type = b"application/x-ndjson"

    def __init__(self, exchange: Exchange, *, is_chat: bool) -> None:
        super().__init__(exchange)
        self._base = _Base(exchange, is_chat=is_chat)

    def learn(self, frame: Frame) -> None:
        """The names that every line repeats."""
        self._base.members.update(mere_names(frame.tree, _NAMES))

    def can_be_last(self, frame: Frame) -> bool:
        """Only a line that is done is the last one."""
        return frame.tree.get("done") is True

    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        """A line with one text."""
        document = {**self._base.document(), "done": False}
        if path is None:
            return Frame({**self._base.document(text), "done": False})
        for key, value in built(path, text).items():
            document[key] = {**document[key], **value} if isinstance(document.get(key), dict) else value
        return Frame(document)

    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        """A line with `logprobs` and no text."""
        return Frame({**self._base.document(), "logprobs": part.value, "done": False})

    def finish_frame(self, choice: int, reason: str) -> Frame:
        """The line that is done. Ollama has no word for a stopped answer: our words in its text say it."""
        return Frame({**self._base.document(), "done": True, "done_reason": _spelt(reason)})

    def last_frame(self) -> None:
        """Nothing may follow the line that is done."""
        return None

    def stamp(self, frame: Frame, *, is_last: bool) -> None:
        """An answer of one line carries in it what the last line carries."""
        super().stamp(frame, is_last=is_last or frame.tree.get("done") is True)

    def frame_bytes(self, frame: Frame) -> bytes:
        """One line."""
        return as_it_came(frame) + b"\n"

    def _framed(self, frame: Frame, events: Sequence[Event], out: list[bytes]) -> None:
        """A text may leave before the calls of its line: it leaves in a line of its own, and theirs waits for them."""
        ends = [part for part in frame.parts if isinstance(part, _CallsEnding)]
        if not ends or any(getattr(event, "carrier", None) is ends[0] for event in events):
            super()._framed(frame, events, out)
            return
        self.learn(frame)
        for event in events:
            if isinstance(event, TextDelta) and event.lane.choice == 0 and isinstance(event.carrier, Slot):
                self._send(self.text_frame(event.lane, event.text, event.carrier.path), out)

    def keep_alive(self) -> bytes:
        """White space before the next line's document; an empty line would be a broken document to some clients."""
        return b" "

    def broken(self, code: str, message: str) -> bytes:
        """A line with an error; the official clients raise it."""
        tree = {"error": message, "code": code, "aigc": self.exchange.label}
        return self.flushed() + encoded(tree) + b"\n"


class PlainWriter(WholeDocument):
    """One document."""

    def __init__(self, exchange: Exchange, *, is_chat: bool) -> None:
        super().__init__(exchange)
        self._base = _Base(exchange, is_chat=is_chat)

    def empty(self) -> dict[str, Any]:
        """An answer that no model gave."""
        return {**self._base.document(), "done": True, "done_reason": "stop", "prompt_eval_count": 0, "eval_count": 0}

    def replace(self, document: dict[str, Any], choice: int, reason: str, text: str) -> None:
        """An answer of which nothing of the model's may be shown."""
        if choice != 0:
            return  # tool calls: they go with the rest of the document
        kept = mere_names(document, (*_NAMES, *_COUNTS))
        document.clear()
        document.update({**self._base.document(text), **kept, "done": True, "done_reason": _spelt(reason)})

    def add_text(self, document: dict[str, Any], lane: Lane, text: str) -> None:
        """The words of a duty where the model said nothing there."""
        holder = document.get("message", document)
        if lane == _ANSWER:
            holder["content" if holder is not document else "response"] = text

    def broken(self, code: str, message: str) -> bytes:
        """Ollama's error object."""
        return error_line(code, message)


def _spelt(reason: str) -> str:
    return "stop" if reason == "content_filter" else reason
