# SPDX-License-Identifier: Apache-2.0
"""Streams of events that carry media: pictures while they are drawn, and sounds while they are spoken.

Each picture, an unfinished one too, becomes a `Media` event in the place where it stands, and leaves with its labels or
not at all. A sound comes in pieces. Bare samples are labelled as they come: the audible label stands before the first
piece, the seven-key object in the first and the last event. Any other sound is a file, whose labels stand in the whole:
its pieces are collected, and leave as pieces of the labelled file. Every other string of an event is guarded.

A stream has no words inside it for an answer that was stopped, so such a stream ends with the wire's error event.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.events import Channel, End, Event, Finish, Lane, Media, Opaque, TextDelta, Usage
from gateway.exchange import Exchange
from gateway.wires.frames import Attachment, Ending, Frame, Lanes, Path, built
from gateway.wires.framing import StreamFrames, TextFinder, as_it_came
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import loads_event
from gateway.wires.media import require_labelled
from gateway.wires.media_answer import NAMES, STOPPED, MediaSlot, media_in, other_texts, tokens
from gateway.wires.openai_errors import error_object
from gateway.wires.sse import EventReader, ServerEvent

PIECE_BYTES: Final = 24_576
"""How much of a collected sound one event carries; divisible by three, so that base64 needs no padding within."""

_DONE = b"[DONE]"
_NOWHERE = Lane(0, Channel.OTHER)


class _EventsReader(ABC):
    """What the streams of pictures and of sounds share: events of one JSON object each, with a type."""

    def __init__(self, event_bytes: int) -> None:
        self._events = EventReader(event_bytes)
        self._finder = TextFinder()
        self._numbers = Lanes()
        self.choice = 0
        """How many media were finished."""
        self._is_done = False

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
            self._end(events)
        return events

    @abstractmethod
    def document(self, frame: Frame, kind: str) -> Iterator[Event]:
        """The events of one document of the type `kind`."""

    def is_kept(self, frame: Frame) -> bool:
        """Whether a document without any text or medium goes out."""
        del frame
        return True

    def texts(self, frame: Frame, media: frozenset[str]) -> Iterator[TextDelta]:
        """Every string that is neither a name nor a medium: a lane for each path."""
        for container, key, text, path in other_texts(frame.tree, NAMES, media=media):
            yield from self._finder.text(frame, self._numbers.other(self.choice, path), container, key, text, path)

    def finish(self, frame: Frame) -> Iterator[Event]:
        """A medium is finished, and with it the texts beside it."""
        yield from self._finder.close(self.choice)
        yield Finish(self.choice, "stop", Ending(frame, {}, "", None))
        self.choice += 1
        usage = frame.tree.get("usage")
        if isinstance(usage, Mapping):
            yield Usage(tokens(usage, "input_tokens"), tokens(usage, "output_tokens"))

    def _read(self, event: ServerEvent, events: list[Event]) -> None:
        if self._is_done:
            return  # what follows the end is not part of the answer
        if event.data == _DONE:
            self._end(events)
            return
        try:
            tree = loads_event(event.data)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        if not isinstance(tree, dict):
            raise BadAnswer("not_an_object")
        kind = tree.get("type")
        if tree.get("error") or kind == "error":
            raise BadAnswer("error_in_answer")
        if not isinstance(kind, str):
            raise BadAnswer("bad_event")
        frame = Frame(tree, b"" if b"\n" in event.data or b"\r" in event.data else event.data)
        found = list(self.document(frame, kind))
        if found or self.is_kept(frame):
            events += found or [Opaque(frame)]

    def _end(self, events: list[Event]) -> None:
        if not self.choice:
            raise BadAnswer("incomplete")
        self._is_done = True
        events += [*self._finder.close(), End()]


class PictureEvents(_EventsReader):
    """Pictures: unfinished ones, then the finished one, for each picture that was asked for."""

    _MEDIA: Final = {"b64_json": "b64", "url": "link"}

    def document(self, frame: Frame, kind: str) -> Iterator[Event]:
        """The picture, the texts beside it, and its end."""
        yield from media_in(frame, frame.tree, self._MEDIA, "", self.choice)
        yield from self.texts(frame, frozenset(self._MEDIA))
        if kind.endswith(".completed"):
            yield from self.finish(frame)


class SoundEvents(_EventsReader):
    """A sound in pieces. `mime` is that of bare samples with their rate, or of a file, whose pieces are collected."""

    _MEDIA: Final = {"audio": "b64"}

    def __init__(self, event_bytes: int, mime: str, *, is_samples: bool) -> None:
        super().__init__(event_bytes)
        self._mime = mime
        self._is_samples = is_samples
        self._whole = bytearray()

    def document(self, frame: Frame, kind: str) -> Iterator[Event]:
        """A piece, the texts beside it, and at the end the sound that was collected."""
        pieces = list(media_in(frame, frame.tree, self._MEDIA, self._mime))
        if self._is_samples:
            yield from pieces
        elif pieces:
            frame.raw = b""
            frame.parts.clear()
            for piece in pieces:
                self._whole += piece.data
                assert isinstance(piece.carrier, MediaSlot)
                piece.carrier.put("")
        yield from self.texts(frame, frozenset(self._MEDIA))
        if kind.endswith(".done"):
            if self._whole:
                yield Media(0, self._mime, bytes(self._whole), None)
                self._whole.clear()
            yield from self.finish(frame)

    def is_kept(self, frame: Frame) -> bool:
        """A piece that was collected leaves nothing behind."""
        return self._is_samples or not str(frame.tree["type"]).endswith(".delta")


class MediaEventsWriter(StreamFrames):
    """The same events with labelled media."""

    def __init__(self, exchange: Exchange, piece_type: str = "") -> None:
        """`piece_type` is the type of the events that carry pieces of a sound."""
        super().__init__(exchange)
        self._piece_type = piece_type
        self._type = piece_type
        """The type of the event that came last: what was held back of its texts leaves under the same."""
        self._words: list[str] = []
        self._is_stopped = False

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes of `events`. Raises `BadAnswer` for a medium that nobody labelled."""
        for event in events:
            require_labelled(event)
            if isinstance(event, Media) and isinstance(event.carrier, MediaSlot):
                event.carrier.frame.raw = b""
                event.carrier.put(event.link or event.data)
        return super().write(events)

    def learn(self, frame: Frame) -> None:
        """The type of the event."""
        kind = frame.tree.get("type")
        if isinstance(kind, str):
            self._type = kind

    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        """An event with one text, where it stood."""
        return Frame({"type": self._type, **built(path or ("text",), text)})

    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        """An event with a medium that the texts beside it have overtaken."""
        known = {key: value for key, value in part.frame.tree.items() if key in NAMES or not isinstance(value, str)}
        return Frame({**known, str(part.key): part.container[part.key]})

    def finish_frame(self, choice: int, reason: str) -> Frame:
        """The error event of an answer that was stopped."""
        return Frame(self._error(400, "content_filter", "".join(self._words).strip() or STOPPED))

    def last_frame(self) -> Frame | None:
        """Every whole stream has one."""
        return None

    def frame_bytes(self, frame: Frame) -> bytes:
        """An event with its type."""
        return b"event: %s\ndata: %s\n\n" % (str(frame.tree["type"]).encode(), as_it_came(frame))

    def broken(self, code: str, message: str) -> bytes:
        """An error event; the official SDKs raise it."""
        tree = {**self._error(502, code, message), "aigc": self.exchange.label}
        return self.flushed() + self.frame_bytes(Frame(tree))

    def _error(self, status: int, code: str, message: str) -> dict[str, Any]:
        return {"type": "error", **error_object(status, code, message)}

    def _unframed(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, TextDelta) and event.lane.channel is Channel.ANSWER:
            self._words.append(event.text)  # words of ours about a stop, or for people who read: no text has a place
        elif isinstance(event, Finish):
            if not self._is_stopped:
                self._is_stopped = True
                super()._unframed(event, out)
        elif isinstance(event, Media):
            for start in range(0, len(event.data), PIECE_BYTES):
                piece = base64.b64encode(event.data[start : start + PIECE_BYTES]).decode()
                self._send(Frame({"type": self._piece_type, "audio": piece}), out)
        else:
            super()._unframed(event, out)

    def _remainder(self, events: Sequence[Event], out: list[bytes]) -> None:
        for event in events:
            if isinstance(event, Media) and isinstance(event.carrier, MediaSlot):
                self._send(self.attachment_frame(_NOWHERE, event.carrier), out)
        super()._remainder(events, out)

    def _send(self, frame: Frame, out: list[bytes], *, is_late: bool = False) -> None:
        kind = str(frame.tree["type"])
        super()._send(frame, out, is_late=is_late or kind.endswith((".completed", ".done")))
