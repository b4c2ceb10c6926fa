# SPDX-License-Identifier: Apache-2.0
"""What a file says when it is downloaded: a batch's output line by line, any other text, or a medium.

The answer in a line is read and written by the codec of its wire, so it is guarded and labelled like an answer that was
asked for directly, pictures and sounds in it too. An answer that is JSON by itself gets no label inside: whoever asked
for it parses it, and which format was asked for is not known here any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from gateway.events import Attached, Channel, End, Event, Finish, Lane, Media, TextDelta, Usage
from gateway.exchange import Exchange, Outcome, Prompt
from gateway.wires import openai_chat_answer, openai_completions
from gateway.wires.arguments import object_text
from gateway.wires.frames import Ending, Frame, Lanes, Slot
from gateway.wires.framing import TextFinder, encoded
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadAnswer
from gateway.wires.json_text import loads_event
from gateway.wires.media import UNLABELLED, require_labelled
from gateway.wires.media_answer import NAMES, DocumentWriter, media_in, other_texts
from gateway.wires.openai_responses_answer import ResponseReader
from gateway.wires.openai_responses_writer import ResponseWriter

_KNOWN = NAMES | {
    "custom_id", "request_id", "role", "finish_reason", "system_fingerprint", "call_id", "previous_response_id",
}  # fmt: skip
_MEDIA = {"b64_json": "b64"}
_CHOICES = 1 << 14
"""How many choices a line may have. The last of them are the strings around its answer."""
_OTHERS = _CHOICES - 1
_MACHINE = Channel.TOOL_ARGUMENTS
_MACHINE_ITEM = 1 << 20
"""Marks the lane of an answer that is JSON by itself."""
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
            for line in lines:
                events += line.events()
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


def _lines(raw: bytes) -> list[_Line] | None:
    """The file as JSON objects: one on each line, or one over several; None where it is neither."""
    for parts in (raw.split(b"\n"), [raw]):
        found: list[_Line] = []
        try:
            for part in parts:
                if part.strip():
                    tree = loads_event(part)
                    if not isinstance(tree, dict):
                        break
                    found.append(_Line(len(found), Frame(tree)))
            else:
                if found:
                    return found
        except ValueError:
            continue
    return None


class _Line:
    """One line. Its answer is read and written by the codec of its own wire, every other string by its path.

    Lines are one answer to the duties, so each has numbers of its own for its choices, and below zero, where texts
    that leave whole have theirs, for those too.
    """

    def __init__(self, number: int, frame: Frame) -> None:
        self.frame = frame
        self.body: Any = None
        """The answer in it; None where it is of no wire that is known here."""
        self._base = number * _CHOICES
        self._writer: Callable[[Exchange], AnswerWriter] | None = None
        self._late: list[Event] = []
        self._said: list[Event] = []

    def events(self) -> Iterator[Event]:
        """What duties look at."""
        response = self.frame.tree.get("response")
        holder = response if isinstance(response, dict) else {}
        codec = _codec(holder.get("body"))
        if codec is not None:
            reader, self._writer = codec
            self.body = holder.pop("body")
            yield from self._answer(reader)
        yield from self._others()
        if codec is not None:
            holder["body"] = self.body

    def take(self, event: TextDelta | Attached | Finish | Media) -> bool:
        """Keep an event of the line's answer for its writer; False where it is of another place."""
        choice = event.choice if isinstance(event, (Finish, Media)) else event.lane.choice
        own = choice - self._base if choice >= 0 else choice + self._base
        if self._writer is None or own == _OTHERS:
            return False
        if isinstance(event, TextDelta):
            lane = event.lane
            channel = Channel.ANSWER if lane.channel is _MACHINE and lane.item >= _MACHINE_ITEM else lane.channel
            event = replace(event, lane=Lane(own, channel, lane.item % _MACHINE_ITEM))
        elif isinstance(event, Attached):
            event = replace(event, lane=replace(event.lane, choice=own))
        else:
            event = replace(event, choice=own)
        self._said.append(event)
        return True

    def write(self, exchange: Exchange) -> None:
        """Put what may be said into the line's answer, with its labels."""
        if self._writer is not None:
            self._writer(exchange).write([*self._said, *self._late])
        else:
            response = self.frame.tree.get("response")
            body = response.get("body") if isinstance(response, dict) else None
            (body if isinstance(body, dict) else self.frame.tree)["aigc"] = exchange.label

    def _answer(self, reader: AnswerReader) -> Iterator[Event]:
        found = [*reader.feed(encoded(self.body)), *reader.close()]
        machine = _machine_lanes(found)
        for event in found:
            if isinstance(event, TextDelta):
                lane = event.lane
                if lane in machine:
                    lane = Lane(lane.choice, _MACHINE, lane.item + _MACHINE_ITEM)
                yield replace(event, lane=replace(lane, choice=self._numbered(lane.choice)))
            elif isinstance(event, Attached):
                yield replace(event, lane=replace(event.lane, choice=self._numbered(event.lane.choice)))
            elif isinstance(event, (Finish, Media)):
                yield replace(event, choice=self._numbered(event.choice))
            elif isinstance(event, Usage):
                continue
            else:
                self._late.append(event)
                if isinstance(event, End) and isinstance(event.carrier, Frame):
                    self.body = event.carrier.tree

    def _numbered(self, choice: int) -> int:
        if abs(choice) >= _OTHERS:
            raise BadAnswer("bad_choice")
        return choice + self._base if choice >= 0 else choice - self._base

    def _others(self) -> Iterator[Event]:
        frame, choice = self.frame, self._base + _OTHERS
        finder, lanes = TextFinder(), Lanes()
        yield from media_in(frame, frame.tree, _MEDIA, "", choice)
        for container, key, text, path in other_texts(frame.tree, _KNOWN, media=frozenset(_MEDIA)):
            if key == "data" and "audio" in path:
                raise BadAnswer(UNLABELLED)
            yield from finder.text(frame, lanes.other(choice, path), container, key, text, path)
        yield from finder.close()
        yield Finish(choice, "stop", Ending(frame, {}, "", None))


def _codec(body: Any) -> tuple[AnswerReader, Callable[[Exchange], AnswerWriter]] | None:
    """Reader and writer of the wire that an answer in a line is of: chat, completions or responses."""
    if not isinstance(body, dict):
        return None
    if isinstance(body.get("output"), list):
        return ResponseReader(Prompt(model="", stream=False, texts=[], body={})), ResponseWriter
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    if "message" in choices[0]:
        return openai_chat_answer.CompletionReader(), openai_chat_answer.CompletionWriter
    return openai_completions.CompletionReader(), openai_completions.CompletionWriter


def _machine_lanes(events: Sequence[Event]) -> frozenset[Lane]:
    """Answers that are JSON by themselves: whoever asked for it parses it, so nothing is written into it, and a word in
    its escapes is that word."""
    texts: dict[Lane, str] = {}
    for event in events:
        if isinstance(event, TextDelta) and event.lane.channel is Channel.ANSWER:
            texts[event.lane] = texts.get(event.lane, "") + event.text
    return frozenset(lane for lane, text in texts.items() if text.lstrip()[:1] in ("{", "["))


class FileContentWriter(DocumentWriter):
    """The same file, or the wire's error where one of its lines was stopped."""

    content_type = _BINARY.encode()

    def __init__(self, exchange: Exchange, spoken: Callable[[int, str, str], bytes]) -> None:
        super().__init__(exchange, spoken)
        self._medium = b""

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the whole file."""
        end = next((event for event in events if isinstance(event, End)), None)
        lines = end.carrier if end is not None and isinstance(end.carrier, tuple) else ()
        others: list[Event] = []
        for event in events:
            require_labelled(event)
            if isinstance(event, (TextDelta, Attached, Finish, Media)) and self._taken(event, lines):
                continue
            if isinstance(event, Media) and event.carrier is None:
                self._medium = event.data
            if not isinstance(event, End):
                others.append(event)
        super().write(others)
        if end is None:
            return b""
        if self.exchange.outcome is Outcome.STOPPED:
            self.content_type = b"application/json"
            return self.stopped()
        if not lines:
            if self._medium:
                return self._medium
            if self.changes(_UNESCAPED) > self.changes(_TEXT):
                self.content_type = b"application/json"
                return self.stopped()  # what is masked behind an escape cannot be put back into the text
            return "".join(self.texts.get(_TEXT, ())).encode()
        self._document(None)
        out = []
        for line in lines:
            line.write(self.exchange)
            out.append(encoded(line.frame.tree) + b"\n")
        return b"".join(out)

    @staticmethod
    def _taken(event: TextDelta | Attached | Finish | Media, lines: Sequence[_Line]) -> bool:
        choice = event.choice if isinstance(event, (Finish, Media)) else event.lane.choice
        number = choice // _CHOICES if choice >= 0 else (-choice - 1) // _CHOICES
        return number < len(lines) and lines[number].take(event)
