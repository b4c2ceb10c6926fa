# SPDX-License-Identifier: Apache-2.0
"""Answers that hold media: JSON documents with pictures or links in them, and bodies that are a medium themselves.

Every string of such a document that is no medium is a text and is guarded. A medium becomes a `Media` event; what a
duty labelled is written back in its place, and nothing else. These wires have no words inside an answer for one that
was stopped, so a stopped answer is the wire's error.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.events import Channel, End, Event, Finish, Lane, Media, TextDelta, Usage
from gateway.exchange import Exchange
from gateway.wires.frames import At, Attachment, Ending, Frame, Lanes, Path
from gateway.wires.framing import TextFinder, WholeDocument
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import loads_event
from gateway.wires.media import require_labelled
from gateway.wires.names import is_mere

NAMES = frozenset(
    {
        "id", "object", "type", "status", "model", "created", "created_at", "completed_at", "expires_at", "size",
        "seconds", "quality", "background", "output_format", "service_tier", "language", "task",
    }
)  # fmt: skip
"""Members that name things and are not read as text."""

_MOST_DEPTH = 64

STOPPED = "The answer was stopped, because it is not allowed."


def other_texts(
    value: Any, names: frozenset[str], path: Path = (), media: frozenset[str] = frozenset()
) -> Iterator[tuple[Any, str | int, str, Path]]:
    """Every string below `value` but media and names: its container, key, text and path.

    A member in `names` is a name where it looks like one, one in `media` always is no text. A structure is looked into
    whatever its name. Raises `BadAnswer` where it is nested too deep.
    """
    if len(path) > _MOST_DEPTH:
        raise BadAnswer("nested_too_deeply")
    steps: list[tuple[str | int, Any, Path]] = []
    if isinstance(value, dict):
        steps = [(key, item, (*path, key)) for key, item in value.items()]
    elif isinstance(value, list):
        steps = [(position, item, (*path, At(position))) for position, item in enumerate(value)]
    for key, item, at in steps:
        if not isinstance(item, str):
            yield from other_texts(item, names, at, media)
        elif item and key not in media and not (key in names and is_mere(item)):
            yield value, key, item, at


class MediaSlot(Attachment):
    """The place of a medium in a document: base64 text, or a link."""

    __slots__ = ()

    def put(self, value: Any) -> None:
        """Bytes as base64; None empties the place."""
        super().put(base64.b64encode(value).decode() if isinstance(value, bytes) else value)

    def put_medium(self, medium: Media) -> None:
        """The address or the bytes of a labelled medium; the frame is then no more what came."""
        if medium.link or medium.data:
            self.frame.raw = b""
            self.put(medium.link or medium.data)


class DocumentReader:
    """One JSON document. `media` says which members are media: `b64` for base64, `link` for links."""

    def __init__(self, media: Mapping[str, str], mime: str = "") -> None:
        self._texts = TextFinder()
        self._lanes = Lanes()
        self._media = media
        self._mime = mime
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """All events of the answer."""
        raw = bytes(self._body)
        try:
            tree = loads_event(raw)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        if not isinstance(tree, dict):
            raise BadAnswer("not_an_object")
        frame = Frame(tree, raw)
        events: list[Event] = list(media_in(frame, tree, self._media, self._mime))
        for container, key, text, path in other_texts(tree, NAMES, media=frozenset(self._media)):
            events += self._texts.text(frame, self._lanes.other(0, path), container, key, text, path)
        events += self._texts.close()
        events.append(Finish(0, "stop", Ending(frame, {}, "", None)))
        usage = tree.get("usage")
        if isinstance(usage, Mapping):
            events.append(Usage(tokens(usage, "input_tokens"), tokens(usage, "output_tokens")))
        return [*events, End(frame)]


def media_in(
    frame: Frame, value: Any, members: Mapping[str, str], mime: str, choice: int = 0, depth: int = 0
) -> Iterator[Media]:
    """Every medium below `value`: `members` says which members are media, `b64` or `link`. Raises `BadAnswer`."""
    if depth > _MOST_DEPTH:
        raise BadAnswer("nested_too_deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            kind = members.get(key)
            if kind is None:
                yield from media_in(frame, item, members, mime, choice, depth + 1)
            elif item:
                slot = MediaSlot(frame, value, key, item)
                yield Media(choice, mime, decoded(item, kind), slot, link=item if kind == "link" else "")
    elif isinstance(value, list):
        for item in value:
            yield from media_in(frame, item, members, mime, choice, depth + 1)


def decoded(value: Any, kind: str = "b64") -> bytes:
    """The bytes of a member that is a medium; none where it is a link. Raises `BadAnswer`."""
    if not isinstance(value, str):
        raise BadAnswer("bad_media")
    if kind == "link":
        return b""
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:  # binascii.Error is one, and so is what it raises for letters beyond ASCII
        raise BadAnswer("bad_media") from None


def tokens(usage: Mapping[str, Any], key: str) -> int:
    """How many tokens `usage` counts; -1 where it does not say."""
    value = usage.get(key)
    return value if isinstance(value, int) and value >= 0 else -1


class DocumentWriter(WholeDocument):
    """The same document with labelled media, or the wire's error. `spoken` makes an error body of status and words."""

    def __init__(self, exchange: Exchange, spoken: Callable[[int, str, str], bytes]) -> None:
        super().__init__(exchange)
        self.status = 200
        self._spoken = spoken

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the whole document."""
        for event in events:
            require_labelled(event)
            if isinstance(event, Media) and isinstance(event.carrier, MediaSlot):
                self._attached.add(id(event.carrier))
                event.carrier.put_medium(event)
        out = super().write(events)
        if out and self._replaced:
            return self.stopped()
        return out

    def changes(self, lane: Lane) -> int:
        """How many characters of a lane a duty changed."""
        before = "".join(slot.value for slot in self.slots.get(lane, ()))
        return sum(old != new for old, new in zip(before, "".join(self.texts.get(lane, ())), strict=False))

    def stopped(self) -> bytes:
        """The error in place of an answer that was stopped."""
        self.status = 400
        words = "".join(text for lane, texts in self.texts.items() if lane.channel is Channel.ANSWER for text in texts)
        return self._spoken(self.status, "content_filter", words or STOPPED)

    def empty(self) -> dict[str, Any]:
        """No answer without the upstream's document."""
        return {}

    def replace(self, document: dict[str, Any], choice: int, reason: str, text: str) -> None:
        """The whole document gives way to an error; see `stopped`."""

    def broken(self, code: str, message: str) -> bytes:
        """The wire's error."""
        return self._spoken(502, code, message)


class BodyReader:
    """A body that is a medium itself."""

    def __init__(self, mime: str) -> None:
        self._mime = mime
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end: a medium is labelled whole."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """The medium."""
        if not self._body:
            raise BadAnswer("incomplete")
        frame = Frame({})
        return [Media(0, self._mime, bytes(self._body)), Finish(0, "stop", Ending(frame, {}, "", None)), End(frame)]


class BodyWriter:
    """The labelled medium, or the wire's error."""

    def __init__(self, mime: str, spoken: Callable[[int, str, str], bytes]) -> None:
        self.content_type = mime.encode()
        self.status = 200
        self._spoken = spoken
        self._data = b""
        self._words: list[str] = []
        self._is_stopped = False

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the medium."""
        for event in events:
            require_labelled(event)
            if isinstance(event, Media):
                self._data = event.data
                self.content_type = event.mime.encode() or self.content_type  # what it is, whatever was asked for
            elif isinstance(event, TextDelta):
                self._words.append(event.text)
            elif isinstance(event, Finish):
                self._is_stopped |= event.carrier is None
            elif isinstance(event, End):
                if not self._is_stopped:
                    return self._data
                self.status, self.content_type = 400, b"application/json"
                return self._spoken(400, "content_filter", "".join(self._words))
        return b""

    def broken(self, code: str, message: str) -> bytes:
        """The wire's error."""
        return self._spoken(502, code, message)

    def keep_alive(self) -> bytes:
        """Nothing: every byte of a medium is the medium."""
        return b""
