# SPDX-License-Identifier: Apache-2.0
"""The parts that the JSON wires share: finding texts in documents, and writing documents again.

`TextFinder` makes events of the texts of a document. `StreamFrames` writes a stream of documents, `WholeDocument` one
plain answer. A wire subclasses them and says only what is its own: where its texts stand, how a small document looks,
and how a document is framed in bytes.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.events import Attached, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange
from gateway.wires.frames import Attachment, Ending, Frame, Lanes, Path, Slot, odd_keys, unknown_texts
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import Surrogates, says_it_once


def encoded(tree: Mapping[str, Any]) -> bytes:
    """`tree` as JSON. Integers beyond 64 bits are kept, which orjson alone would refuse. Raises `BadAnswer`."""
    try:
        return orjson.dumps(tree)
    except TypeError:
        pass
    try:
        return json.dumps(tree, separators=(",", ":")).encode()
    except RecursionError:
        raise BadAnswer("nested_too_deeply") from None


def as_it_came(frame: Frame) -> bytes:
    """A frame's bytes: those that came where nothing was changed, unless they hold a member twice, of which only the
    last was looked at. Most upstreams write JSON as we do but for spaces, so that this is seen at once."""
    raw = frame.raw
    if not raw:
        return encoded(frame.tree)
    try:
        ours = orjson.dumps(frame.tree)
        if ours == raw or ours.translate(None, b" \t") == raw.translate(None, b" \t"):
            return raw
    except TypeError:
        pass
    return raw if says_it_once(raw) else encoded(frame.tree)


class TextFinder:
    """Makes events of the texts of documents; joins surrogate pairs that were cut apart between two of them."""

    def __init__(self) -> None:
        self._lanes = Lanes()
        self._surrogates: dict[Lane, Surrogates] = {}

    def text(
        self, frame: Frame, lane: Lane, container: Any, key: str | int, value: str, path: Path
    ) -> Iterator[TextDelta]:
        """The event of the text `container[key]`; none where it is empty or only half a pair."""
        text = value
        halves = self._surrogates.get(lane)
        if halves is not None or not value.isascii():
            if halves is None:
                halves = self._surrogates[lane] = Surrogates()
            text = halves.feed(value)
            if text != value:
                frame.raw = b""
                container[key] = text
        if text:
            yield TextDelta(lane, text, Slot(frame, container, key, text, path))

    def unknown(
        self, frame: Frame, value: Any, path: Path, known: frozenset[str], choice: int
    ) -> Iterator[TextDelta | Attached]:
        """Events for every string below `value` whose key is not `known`: each path is a lane of its own. Keys that are
        no names are checked too."""
        yield from odd_keys(frame, value, known)
        for container, key, text, at in unknown_texts(value, path, known):
            yield from self.text(frame, self._lanes.other(choice, at), container, key, text, at)

    def close(self, choice: int | None = None) -> list[Event]:
        """Replacement characters for halves of pairs that never came: of `choice`, which ends, or of all."""
        ended = [lane for lane in self._surrogates if choice is None or lane.choice == choice]
        late = ((lane, self._surrogates.pop(lane).close()) for lane in ended)
        return [TextDelta(lane, text) for lane, text in late if text]


class StreamFrames(ABC):
    """A stream of documents: what passes unchanged goes out as it came; the first and the last carry the label."""

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.paths: dict[Lane, Path] = {}
        """Where each lane's text stands, learned from the frames that carried it."""
        self.is_begun = False
        self._last: Frame | None = None
        """A frame behind all text, kept back until it is known whether it is the last one."""

    @abstractmethod
    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        """A small frame that says `text`. `path` is None for a lane that the upstream never used."""

    @abstractmethod
    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        """A small frame that carries what was attached to a text that was held back."""

    @abstractmethod
    def finish_frame(self, choice: int, reason: str) -> Frame:
        """A small frame that ends a choice. The reason `content_filter` is spelt in the wire's words."""

    @abstractmethod
    def last_frame(self) -> Frame | None:
        """A frame to carry the label where no other can be the last; None where the wire has none."""

    @abstractmethod
    def frame_bytes(self, frame: Frame) -> bytes:
        """A frame as the wire writes it."""

    @abstractmethod
    def broken(self, code: str, message: str) -> bytes:
        """The wire's own words for an answer that cannot go on."""

    def trailer(self) -> bytes:
        """What stands behind the last frame."""
        return b""

    def learn(self, frame: Frame) -> None:
        """Look at a frame of the upstream's before it goes out, for what small frames repeat of it."""
        del frame

    def can_be_last(self, frame: Frame) -> bool:
        """Whether a frame behind all text may turn out to be the last one; a wire whose last frame has a name knows."""
        del frame
        return True

    def keep_alive(self) -> bytes:
        """A comment line (WHATWG HTML section 9.2.7)."""
        return b": keep-alive\n\n"

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes of `events`."""
        out: list[bytes] = []
        if not self.is_begun:
            # A duty may write before the first frame, in the names of the answer that this frame tells.
            first = next((frame for event in events if (frame := frame_of(event)) is not None), None)
            if first is not None:
                self.learn(first)
        position, count = 0, len(events)
        while position < count:
            event = events[position]
            frame = frame_of(event)
            if frame is None:
                self._unframed(event, out)
                position += 1
                continue
            end = position + 1
            while end < count and frame_of(events[end]) is frame:
                end += 1
            self._framed(frame, events[position:end], out)
            position = end
        return b"".join(out)

    def flushed(self) -> bytes:
        """The frame that was kept back, where the stream breaks off before its end."""
        out: list[bytes] = []
        self._flush(out)
        return b"".join(out)

    def stamp(self, frame: Frame, *, is_last: bool) -> None:
        """Put the label into the first or the last frame."""
        frame.raw = b""
        frame.tree["aigc"] = self.exchange.label
        if is_last and self.exchange.notices:
            frame.tree["notices"] = self.exchange.notices

    def _unframed(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, TextDelta):
            self._send(self.text_frame(event.lane, event.text, self.paths.get(event.lane)), out)
        elif isinstance(event, Finish):
            self._send(self.finish_frame(event.choice, event.reason), out, is_late=True)
        elif isinstance(event, End):
            last = self._last or self.last_frame()
            self._last = None
            if last is not None:
                self.stamp(last, is_last=True)
                out.append(self.frame_bytes(last))
            out.append(self.trailer())

    def _framed(self, frame: Frame, events: Sequence[Event], out: list[bytes]) -> None:
        self.learn(frame)
        if frame.is_sent:
            self._remainder(events, out)
            return
        frame.is_sent = True
        is_late = not frame.parts
        is_whole = len(events) == len(frame.parts)
        for event in events:
            if isinstance(event, TextDelta):
                slot = event.carrier
                assert isinstance(slot, Slot)
                self.paths[event.lane] = slot.path
                is_whole = is_whole and event.text is slot.value
        if not is_whole and frame.parts:
            frame.raw = b""
            _refill(frame, events)
        if not any(isinstance(event, TextDelta) for event in events):
            is_late = is_late or any(isinstance(part, Ending) for part in frame.parts)
        self._send(frame, out, is_late=is_late and self.is_begun)

    def _remainder(self, events: Sequence[Event], out: list[bytes]) -> None:
        """Small frames for what was held back when the rest of its frame went out."""
        for event in events:
            part = getattr(event, "carrier", None)
            if isinstance(event, TextDelta) and isinstance(part, Slot):
                self._send(self.text_frame(event.lane, event.text, part.path), out)
            elif isinstance(event, Attached) and isinstance(part, Attachment):
                self._send(self.attachment_frame(event.lane, part), out)
            elif isinstance(event, Finish):
                self._send(self.finish_frame(event.choice, event.reason), out, is_late=True)

    def _send(self, frame: Frame, out: list[bytes], *, is_late: bool = False) -> None:
        self._flush(out)
        if not self.is_begun:
            self.is_begun = True
            self.stamp(frame, is_last=False)
        if is_late and self.can_be_last(frame):
            self._last = frame
        else:
            out.append(self.frame_bytes(frame))

    def _flush(self, out: list[bytes]) -> None:
        if self._last is not None:
            out.append(self.frame_bytes(self._last))
            self._last = None


def frame_of(event: Event) -> Frame | None:
    """The frame that an event came in, or None for an event that a duty made."""
    carrier = getattr(event, "carrier", None)
    if isinstance(carrier, (Slot, Attachment, Ending)):
        return carrier.frame
    return carrier if isinstance(carrier, Frame) else None


def _refill(frame: Frame, events: Sequence[Event]) -> None:
    """Put into a frame only what was released."""
    texts: dict[int, str] = {}
    kept: set[int] = set()
    for event in events:
        carrier = getattr(event, "carrier", None)
        if isinstance(event, TextDelta):
            texts[id(carrier)] = texts.get(id(carrier), "") + event.text
        kept.add(id(carrier))
    for part in frame.parts:
        if isinstance(part, Slot):
            part.put(texts.get(id(part), ""))
        elif id(part) not in kept:
            part.put(None)


class WholeDocument(ABC):
    """One plain answer: a document whose texts are put back when it is complete, with the label beside them."""

    content_type = b"application/json"

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.texts: dict[Lane, list[str]] = {}
        """What may be said, by lane."""
        self.slots: dict[Lane, list[Slot]] = {}
        """The places of each lane, in order."""
        self._words: dict[int, list[str]] = {}
        """What is said at each place, by its identity."""
        self._current: dict[Lane, Slot] = {}
        self._ahead: dict[Lane, list[str]] = {}
        """Texts that a duty put before the next place of their lane."""
        self._attached: set[int] = set()
        self._frames: dict[int, Frame] = {}
        self._replaced: dict[int, str] = {}

    @abstractmethod
    def empty(self) -> dict[str, Any]:
        """A document of this wire with no choices, for an answer that no model gave."""

    @abstractmethod
    def replace(self, document: dict[str, Any], choice: int, reason: str, text: str) -> None:
        """Make `choice` say `text` and end with `reason`, and nothing of the model's."""

    @abstractmethod
    def broken(self, code: str, message: str) -> bytes:
        """An error body; a plain answer has sent nothing yet, so the status says it too."""

    def add_text(self, document: dict[str, Any], lane: Lane, text: str) -> None:
        """Put text into a lane for which the document has no place; most have none to give."""
        del document, lane, text

    def keep_alive(self) -> bytes:
        """White space before a JSON document means nothing (RFC 8259 section 2)."""
        return b" "

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the whole document."""
        out = b""
        for event in events:
            frame = frame_of(event)
            if frame is not None:
                self._frames[id(frame)] = frame
            if isinstance(event, TextDelta):
                self._say(event)
            elif isinstance(event, Attached):
                self._attached.add(id(event.carrier))
            elif isinstance(event, Finish):
                for lane in [lane for lane in self._current if lane.choice == event.choice]:
                    del self._current[lane]
                if event.carrier is None:
                    self._replaced[event.choice] = event.reason
            elif isinstance(event, End):
                # A reader gives the frame, so that a stopped answer's texts beside its choices are emptied as well.
                out = encoded(self._document(event.carrier.tree if isinstance(event.carrier, Frame) else event.carrier))
        return out

    def _say(self, event: TextDelta) -> None:
        """Keep a text for its place. One without a place of its own stands behind the one that its lane is at, or
        before the next where the lane has not begun or has ended."""
        lane = event.lane
        self.texts.setdefault(lane, []).append(event.text)
        current = self._current.get(lane)
        slot = event.carrier if isinstance(event.carrier, Slot) else current
        if slot is None:
            self._ahead.setdefault(lane, []).append(event.text)
            return
        if slot is not current:
            self._current[lane] = slot
            self.slots.setdefault(lane, []).append(slot)
        words = self._words.setdefault(id(slot), [])
        words += self._ahead.pop(lane, ())
        words.append(event.text)

    def _document(self, tree: object) -> dict[str, Any]:
        document: dict[str, Any] = tree if isinstance(tree, dict) else self.empty()
        for frame in self._frames.values():
            for part in frame.parts:
                if isinstance(part, Slot):
                    part.put("")
                elif isinstance(part, Attachment) and id(part) not in self._attached:
                    part.put(None)
        for lane, words in self.texts.items():
            if slots := self.slots.get(lane):
                self._words[id(slots[-1])] += self._ahead.pop(lane, ())
                for slot in slots:
                    slot.put("".join(self._words[id(slot)]))
            elif lane.choice not in self._replaced:
                self.add_text(document, lane, "".join(words))
        for choice, reason in self._replaced.items():
            said = [text for lane, words in self.texts.items() if lane.choice == choice for text in words]
            self.replace(document, choice, reason, "".join(said))
        document["aigc"] = self.exchange.label
        if self.exchange.notices:
            document["notices"] = self.exchange.notices
        return document
