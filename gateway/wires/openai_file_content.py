# SPDX-License-Identifier: Apache-2.0
"""What a file says when it is downloaded: a batch's output line by line, any other text, or a medium.

A line is a choice of its own, so that its texts are one answer: the label stands around each, and the line carries
`aigc`. An answer that is JSON by itself is left alone: whoever asked for it parses it, and which format was asked for
is not known here any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gateway.events import Channel, End, Event, Finish, Lane, Media, TextDelta
from gateway.exchange import Exchange
from gateway.wires.arguments import object_text
from gateway.wires.frames import Ending, Frame, Slot
from gateway.wires.framing import TextFinder, encoded
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import loads_event
from gateway.wires.media import UNLABELLED
from gateway.wires.media_answer import NAMES, DocumentWriter, other_texts

_KNOWN = NAMES | {
    "custom_id", "request_id", "role", "finish_reason", "system_fingerprint", "call_id", "previous_response_id",
}  # fmt: skip
_BINARY = "application/octet-stream"
_TEXT = Lane(0, Channel.OTHER)
_UNESCAPED = Lane(0, Channel.OTHER, 1)
"""What the JSON in a text says, without its escapes."""


class FileContent:
    """The content of a file."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end: a file is one answer."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """All events of the file; `End` carries its frames, or nothing where it is one text or medium."""
        raw = bytes(self._body)
        lines = _lines(raw)
        if lines is not None:
            events: list[Event] = []
            for number, frame in enumerate(lines):
                events += _Line(number).events(frame)
            return [*events, End(tuple(lines))]
        frame = Frame({})
        finish = Finish(0, "stop", Ending(frame, {}, "", None))
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return [Media(0, _BINARY, raw), finish, End()]
        events = [TextDelta(_TEXT, text, Slot(frame, frame.tree, "text", text, ("text",)))]
        if said := _unescaped(raw):
            events.append(TextDelta(_UNESCAPED, said, Slot(frame, {}, "said", said, ("said",))))
        return [*events, finish, End()]


def _unescaped(raw: bytes) -> str:
    """The strings of what is JSON in a text: of the whole, or of its lines."""
    said = []
    for parts in ([raw], raw.split(b"\n")):
        for part in parts:
            with contextlib.suppress(ValueError):
                said.append(object_text(loads_event(part)))
        if said:
            break
    return "\uffff".join(said)


def _lines(raw: bytes) -> list[Frame] | None:
    """The file as JSON objects: one on each line, or one over several; None where it is neither."""
    for parts in (raw.split(b"\n"), [raw]):
        frames = []
        try:
            for part in parts:
                if part.strip():
                    tree = loads_event(part)
                    if not isinstance(tree, dict):
                        break
                    frames.append(Frame(tree))
            else:
                if frames:
                    return frames
        except ValueError:
            continue
    return None


class _Line(TextFinder):
    """Makes events of one line."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def events(self, frame: Frame) -> Iterator[Event]:
        """Its answers in lanes of their own, every other string in one by its path."""
        answers = {(id(container), key) for container, key in _answers(frame.tree)}
        count = 0
        for container, key, text, path in other_texts(frame.tree, _KNOWN):
            if key == "b64_json" or (key == "data" and "audio" in path):
                raise BadAnswer(UNLABELLED)
            lane = self._lanes.other(self._number, path)
            if (id(container), key) in answers:
                lane = Lane(self._number, Channel.ANSWER, count)
                count += 1
            yield from self.text(frame, lane, container, key, text, path)
        yield from self.close()
        yield Finish(self._number, "stop", Ending(frame, {}, "", None))


def _answers(tree: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a line's answers stand: chat, completions and responses. JSON by itself is none to write into."""
    response = tree.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    if not isinstance(body, dict):
        return
    places: list[tuple[Any, str]] = []
    for choice in _list(body.get("choices")):
        places += [(choice, "text"), (choice.get("message"), "content")]
    for item in _list(body.get("output")):
        places += ((part, "text") for part in _list(item.get("content")) if part.get("type") == "output_text")
    for holder, key in places:
        if isinstance(holder, dict) and isinstance(holder.get(key), str) and not _is_json(holder[key]):
            yield holder, key


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


class FileContentWriter(DocumentWriter):
    """The same file, or the wire's error where one of its lines was stopped."""

    content_type = _BINARY.encode()

    def __init__(self, exchange: Exchange, spoken: Callable[[int, str, str], bytes]) -> None:
        super().__init__(exchange, spoken)
        self._medium = b""

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the whole file."""
        end = next((event for event in events if isinstance(event, End)), None)
        for event in events:
            if isinstance(event, Media) and event.is_labelled:
                self._medium = event.data
        super().write([event for event in events if not isinstance(event, End)])
        if end is None:
            return b""
        if self._replaced:
            self.content_type = b"application/json"
            return self.stopped()
        if not isinstance(end.carrier, tuple):
            if self._medium:
                return self._medium
            if self.changes(_UNESCAPED) > self.changes(_TEXT):
                self.content_type = b"application/json"
                return self.stopped()  # what is masked behind an escape cannot be put back into the text
            return "".join(self.texts.get(_TEXT, ())).encode()
        self._document(None)
        out = []
        for frame in end.carrier:
            response = frame.tree.get("response")
            holder = response["body"] if isinstance(response, dict) and isinstance(response.get("body"), dict) else None
            (frame.tree if holder is None else holder)["aigc"] = self.exchange.label
            out.append(encoded(frame.tree) + b"\n")
        return b"".join(out)
