# SPDX-License-Identifier: Apache-2.0
"""Frames: how a wire's JSON documents become events and go out again with everything else in them kept.

A frame is one JSON document of an answer: a chunk of a stream, or a whole plain answer. A slot is the place of one text
in it. The reader makes an event for each slot; the duties release, hold, replace or add text; the writer puts the texts
back into their slots. A frame whose events come through unchanged and together goes out as the bytes that came in. What
was held back or added goes out in small frames that the wire builds from the path of its lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.events import Attached, Channel, Lane
from gateway.wires.interfaces import BadAnswer
from gateway.wires.names import is_mere, is_name


@dataclass(frozen=True, slots=True)
class At:
    """A step of a path into an array: the element that calls itself `index`, or stands at that position."""

    index: int


Path = tuple[str | At, ...]


class Frame:
    """One JSON document of an answer. `parts` are what the reader made events of, in order."""

    __slots__ = ("is_sent", "parts", "raw", "tree")

    def __init__(self, tree: dict[str, Any], raw: bytes = b"") -> None:
        self.tree = tree
        self.raw = raw
        self.parts: list[Slot | Attachment | Ending] = []
        self.is_sent = False


class _Part:
    """A member of a frame that an event speaks of: `container[key]`, with the value it came with."""

    __slots__ = ("container", "frame", "key", "value")

    def __init__(self, frame: Frame, container: Any, key: str | int, value: Any) -> None:
        self.frame = frame
        self.container = container
        self.key = key
        self.value = value
        frame.parts.append(self)  # type: ignore[arg-type]  # only the three kinds below are ever made

    def put(self, value: Any) -> None:
        """Write `value` into the frame."""
        self.container[self.key] = value


class Slot(_Part):
    """The place of one text. `path` leads to it below the wire's own root for the choice."""

    __slots__ = ("path",)

    def __init__(self, frame: Frame, container: Any, key: str | int, text: str, path: Path) -> None:
        super().__init__(frame, container, key, text)
        self.path = path


class Attachment(_Part):
    """What tells something of a text, such as `logprobs`: it may not leave before the text has."""

    __slots__ = ()


class Misnamed(Attachment):
    """A member whose own name may be words: it may not be there at all where they may not be said."""

    __slots__ = ()

    def put(self, value: Any) -> None:
        """None takes the member out."""
        if value is None:
            self.container.pop(self.key, None)
        else:
            super().put(value)


class Ending(_Part):
    """What says that a choice has ended."""

    __slots__ = ()


class Lanes:
    """Numbers the lanes of fields that a codec does not know, by their path, so that their text stays one text."""

    MOST: Final = 1_000

    def __init__(self) -> None:
        self._items: dict[tuple[int, Path], int] = {}

    def other(self, choice: int, path: Path) -> Lane:
        """The lane of the unknown field at `path`. Raises `BadAnswer` where an upstream invents fields without end."""
        item = self._items.setdefault((choice, path), len(self._items))
        if item >= self.MOST:
            raise BadAnswer("too_many_fields")
        return Lane(choice, Channel.OTHER, item)


MERE_NAMES = frozenset({"id", "type", "index", "role", "object", "status"})
"""Members whose strings name things, at any depth, on the wires that say so."""


def unknown_texts(
    value: Any, path: Path, known: frozenset[str], depth: int = 0
) -> Iterator[tuple[Any, str | int, str, Path]]:
    """Every string below `value` but its members in `known`: its container, key, text and path.

    What is known of `value` itself says nothing about what stands deeper: there only the mere names in `known` are
    left out, and only where they look like names.
    """
    if depth > 64:
        raise BadAnswer("nested_too_deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            if key in known and (depth == 0 or (isinstance(item, str) and is_mere(item))):
                continue
            if isinstance(item, str):
                if item:
                    yield value, key, item, (*path, key)
            elif item is not None:
                yield from unknown_texts(item, (*path, key), known & MERE_NAMES, depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            index = item.get("index", position) if isinstance(item, dict) else position
            at = (*path, At(index if isinstance(index, int) else position))
            if isinstance(item, str):
                if item:
                    yield value, position, item, at
            elif item is not None:
                yield from unknown_texts(item, at, known & MERE_NAMES, depth + 1)


def built(path: Path, text: str) -> dict[str, Any]:
    """The smallest document that says `text` at `path`; array elements name their `index`."""
    document: Any = text
    for step in reversed(path):
        if isinstance(step, str):
            document = {step: document}
        elif isinstance(document, dict):
            document = [{"index": step.index, **document}]
        else:
            document = [document]
    if not isinstance(document, dict):
        raise BadAnswer("bad_path")
    return document


_NAMING: Final = Lane(-1, Channel.OTHER, -1)
"""The lane of what stands in naming members: none of its texts waits, so nothing waits for it."""


def odd_names(frame: Frame, holder: Mapping[str, Any], keys: Iterable[str]) -> Iterator[Attached]:
    """Naming members of `holder` that do not look like names: each is checked whole, and dropped where it says what
    may not be said. Nearly always there are none."""
    for key in keys:
        value = holder.get(key)
        if value is None or (value.__class__ is str and is_name(value)) or is_mere(value):
            continue
        yield Attached(_NAMING, tuple(joined_strings(value, keyed=True)), Attachment(frame, holder, key, value))


def odd_keys(frame: Frame, value: Any, known: frozenset[str] = frozenset(), depth: int = 0) -> Iterator[Attached]:
    """Members below `value`, but those below its members in `known`, that are not called by a name: what they are
    called is checked, and they are taken out where that says what may not be said."""
    if depth > 64:
        raise BadAnswer("nested_too_deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            if key in known:
                continue
            if not is_name(key):
                yield Attached(_NAMING, (key,), Misnamed(frame, value, key, item))
            if isinstance(item, (dict, list)):
                yield from odd_keys(frame, item, frozenset(), depth + 1)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, (dict, list)):
                yield from odd_keys(frame, item, frozenset(), depth + 1)


def mere_names(holder: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Those naming members of `holder` that look like names: what small documents may repeat unchecked."""
    return {key: holder[key] for key in keys if key in holder and is_mere(holder[key])}


def joined_strings(value: Any, depth: int = 0, *, keyed: bool = False) -> Iterator[str]:
    """Every string below `value`, keys only where `keyed`; for texts that are checked whole."""
    if isinstance(value, str):
        yield value
    elif depth > 64:
        raise BadAnswer("nested_too_deeply")
    elif isinstance(value, Mapping):
        if keyed:
            yield from value
        for item in value.values():
            yield from joined_strings(item, depth + 1, keyed=keyed)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for item in value:
            yield from joined_strings(item, depth + 1, keyed=keyed)
