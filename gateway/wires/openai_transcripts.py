# SPDX-License-Identifier: Apache-2.0
"""The answers of OpenAI's transcriptions and translations: events, JSON documents and plain texts, and back.

The whole text comes twice in most of them: as a text, and in segments or words with times. Each is guarded by itself;
words and segments are joined, so that a term that is cut between two of them is found there too. A stream's last event
repeats the whole text: it goes out with exactly what was let out before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.events import Attached, Channel, End, Event, Finish, Lane, Opaque, TextDelta, Usage
from gateway.exchange import Exchange
from gateway.wires.frames import Attachment, Ending, Frame, Path, Slot, joined_strings
from gateway.wires.framing import StreamFrames, TextFinder, as_it_came, encoded
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import loads_event
from gateway.wires.media_answer import NAMES, DocumentWriter, other_texts
from gateway.wires.openai_errors import error_body, error_object
from gateway.wires.sse import EventReader, ServerEvent

_TEXT = Lane(0, Channel.TRANSCRIPT)
_LINES = Lane(0, Channel.OTHER, -1)
"""The words of captions without their times; other unknown fields count from 0."""
_LISTS = {"segments": "text", "words": "word"}
_KNOWN = frozenset({"text", *_LISTS, "logprobs"})
_DELTA, _DONE = "transcript.text.delta", "transcript.text.done"

_CAPTION_LINE = re.compile(r"^(?:\d+|WEBVTT.*|.*-->.*|)\s*$")


def _tree(raw: bytes) -> dict[str, Any]:
    try:
        tree = loads_event(raw)
    except ValueError:
        raise BadAnswer("invalid_json") from None
    if not isinstance(tree, dict):
        raise BadAnswer("not_an_object")
    return tree


def _usage(tree: Mapping[str, Any]) -> list[Event]:
    usage = tree.get("usage")
    if not isinstance(usage, Mapping):
        return []
    counts = [usage.get(key) for key in ("input_tokens", "output_tokens")]
    return [Usage(*(count if isinstance(count, int) and count >= 0 else -1 for count in counts))]


class _Found(TextFinder):
    """Finds the texts of a transcript's document."""

    def document(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        """Its texts, and the tokens that were likely."""
        text = tree.get("text")
        if not isinstance(text, str):
            raise BadAnswer("no_text")
        yield from self.text(frame, _TEXT, tree, "text", text, ("text",))
        for item, (key, member) in enumerate(_LISTS.items(), 1):
            yield from self._list(frame, tree.get(key), Lane(0, Channel.TRANSCRIPT, item), member)
        yield from self.tokens(frame, tree)
        yield from self.others(frame, tree, _KNOWN)

    def tokens(self, frame: Frame, tree: dict[str, Any]) -> Iterator[Event]:
        """`logprobs`, which never overtake their text."""
        if tree.get("logprobs"):
            words = tuple(joined_strings(tree["logprobs"]))
            yield Attached(_TEXT, words, Attachment(frame, tree, "logprobs", tree["logprobs"]))

    def others(self, frame: Frame, holder: dict[str, Any], handled: frozenset[str], path: Path = ()) -> Iterator[Event]:
        """Every other string of `holder` that is no mere name."""
        for container, key, text, at in other_texts(holder, NAMES, path):
            if at[len(path)] not in handled:
                yield from self.text(frame, self._lanes.other(0, at), container, key, text, at)

    def _list(self, frame: Frame, entries: Any, lane: Lane, member: str) -> Iterator[Event]:
        """Segments or words: one text, so that nothing hides in the cut between two of them."""
        if entries is None:
            return
        if not isinstance(entries, list):
            raise BadAnswer("bad_list")
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get(member), str):
                raise BadAnswer("bad_list")
            yield from self.text(frame, lane, entry, member, entry[member], (member,))
            yield from self.others(frame, entry, frozenset({member}), (member,))


class DocumentTranscript:
    """One JSON document."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """All events of the answer."""
        tree = _tree(bytes(self._body))
        frame, found = Frame(tree), _Found()
        events = [*found.document(frame, tree), *found.close()]
        return [*events, Finish(0, "stop", Ending(frame, {}, "", None)), *_usage(tree), End(frame)]


class DocumentTranscriptWriter(DocumentWriter):
    """The same document, or the wire's error where it was stopped."""


class TextTranscript:
    """A plain text, or captions."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """The text, and the words of its captions as one text."""
        try:
            text = self._body.decode()
        except UnicodeDecodeError:
            raise BadAnswer("invalid_text") from None
        tree: dict[str, Any] = {"text": text}
        frame = Frame(tree)
        events: list[Event] = []
        if text:
            events.append(TextDelta(_TEXT, text, Slot(frame, tree, "text", text, ("text",))))
        words = "".join(line.strip() for line in text.splitlines() if not _CAPTION_LINE.match(line))
        if words:
            events.append(TextDelta(_LINES, words, Slot(frame, {}, "words", words, ("words",))))
        return [*events, Finish(0, "stop", Ending(frame, {}, "", None)), End(frame)]


class TextTranscriptWriter(DocumentWriter):
    """The same text; the wire's error where it was stopped, or where a caption's words had to be changed."""

    def __init__(self, exchange: Exchange, content_type: str) -> None:
        super().__init__(exchange, error_body)
        self.content_type = content_type.encode()

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the text."""
        out = super().write(events)
        if not out:
            return b""
        if not self._replaced and self.changes(_LINES) > self.changes(_TEXT):
            out = self.stopped()  # what is masked across two captions cannot be put back into them
        if self.status != 200:
            self.content_type = b"application/json"
            return out
        return "".join(self.texts.get(_TEXT, ())).encode()


class _TypedFrame(Frame):
    """An event with the name that it had."""

    __slots__ = ("type",)

    def __init__(self, tree: dict[str, Any], raw: bytes = b"", type_: bytes = b"") -> None:
        super().__init__(tree, raw)
        self.type = type_


class EventsTranscript:
    """The events of a stream."""

    def __init__(self, event_bytes: int) -> None:
        self._events = EventReader(event_bytes)
        self._found = _Found()
        self._has_text = False
        self._is_done = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        return self._read(self._events.feed(data))

    def close(self) -> list[Event]:
        """The end of the stream: `BadAnswer` where the upstream broke off."""
        events = self._read(self._events.close())
        if not self._is_done:
            raise BadAnswer("incomplete")
        return events

    def _read(self, received: list[ServerEvent]) -> list[Event]:
        events: list[Event] = []
        for event in received:
            if self._is_done:
                break  # nothing follows the event that is done
            if event.data != b"[DONE]":
                events += self._event(event)
        return events

    def _event(self, event: ServerEvent) -> list[Event]:
        tree = _tree(event.data)
        frame = _TypedFrame(tree, event.data, event.type)
        kind = tree.get("type")
        if kind == "error" or tree.get("error"):
            raise BadAnswer("error_in_answer")
        if kind == _DONE:
            return self._done(frame, tree)
        events: list[Event] = []
        handled = frozenset[str]()
        if kind == _DELTA:
            if not isinstance(tree.get("delta"), str):
                raise BadAnswer("no_text")
            handled = frozenset({"delta", "logprobs", "segment_id"})
            events += self._found.text(frame, _TEXT, tree, "delta", tree["delta"], ("delta",))
            self._has_text |= bool(tree["delta"])
            events += self._found.tokens(frame, tree)
        elif isinstance(tree.get("text"), str):
            lane = Lane(0, Channel.TRANSCRIPT, 1)
            handled = frozenset({"text"})
            events += self._found.text(frame, lane, tree, "text", tree["text"], ("text",))
        events += self._found.others(frame, tree, handled, ("event",))
        return events or [Opaque(frame)]

    def _done(self, frame: Frame, tree: dict[str, Any]) -> list[Event]:
        self._is_done = True
        text = tree.get("text")
        if not isinstance(text, str):
            raise BadAnswer("no_text")
        events: list[Event] = []
        if text and not self._has_text:
            events.append(TextDelta(_TEXT, text))  # nothing was said in pieces: it is said once before the end
        tree["text"] = ""
        frame.raw = b""
        events += self._found.tokens(frame, tree)
        events += self._found.others(frame, tree, frozenset({"text", "logprobs"}), ("event",))
        events += self._found.close()
        return [*events, Finish(0, "stop", Ending(frame, tree, "type", _DONE)), *_usage(tree), End()]


class EventsTranscriptWriter(StreamFrames):
    """A stream of events."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._is_named = False
        self._said: list[str] = []

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes of `events`; what they say of the transcript is kept for the last one."""
        self._said += (
            event.text
            for event in events
            if isinstance(event, TextDelta) and (event.lane == _TEXT or event.lane.channel is Channel.ANSWER)
        )
        return super().write(events)

    def learn(self, frame: Frame) -> None:
        """Whether events carry their type as a name."""
        self._is_named = isinstance(frame, _TypedFrame) and bool(frame.type)

    def can_be_last(self, frame: Frame) -> bool:
        """Only the event that is done is the last one."""
        return frame.tree.get("type") == _DONE

    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        """An event with one piece; what is no transcript keeps its own place."""
        if path is None or path == ("delta",):
            return Frame({"type": _DELTA, "delta": text})
        return Frame({"type": "transcript.text.segment", "text": text})

    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        """An event with `logprobs` and no text."""
        return Frame({"type": _DELTA, "delta": "", "logprobs": part.value})

    def finish_frame(self, choice: int, reason: str) -> Frame:
        """The event that is done."""
        return Frame({"type": _DONE, "text": ""})

    def last_frame(self) -> None:
        """Nothing may follow the event that is done."""
        return None

    def frame_bytes(self, frame: Frame) -> bytes:
        """An event, named where the upstream names its own. The last one says all that was said."""
        if frame.tree.get("type") == _DONE:
            frame.tree["type"], frame.tree["text"], frame.raw = _DONE, "".join(self._said), b""
        name = b"event: %s\n" % str(frame.tree.get("type", "")).encode() if self._is_named else b""
        return name + b"data: " + as_it_came(frame) + b"\n\n"

    def broken(self, code: str, message: str) -> bytes:
        """An error event; the official SDKs raise it."""
        tree = {**error_object(502, code, message), "aigc": self.exchange.label}
        return self.flushed() + b"data: " + encoded(tree) + b"\n\n"
