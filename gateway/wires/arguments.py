# SPDX-License-Identifier: Apache-2.0
"""A JSON object as one text: for tool calls whose arguments are an object and not a string of JSON.

All keys and strings of the object are checked as they are, without JSON's escapes, in one lane: a tool acts on either.
Between them stands a noncharacter, so no term reaches from one into the next. The object goes out as it came unless
a duty changed a text; then the changed texts are put back in their places.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.wires.frames import Frame, Path, Slot
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import clean
from gateway.wires.names import is_mere

BETWEEN = "\uffff"
_MAX_DEPTH = 64


class ObjectSlot(Slot):
    """The place of an object in a document; its text is `object_text` of it. Members named in `skipped` are no text
    where they look like names."""

    __slots__ = ("_original", "_skipped")

    def __init__(
        self, frame: Frame, container: Any, key: str | int, path: Path, skipped: frozenset[str] = frozenset()
    ) -> None:
        self._original = container[key]
        self._skipped = skipped
        super().__init__(frame, container, key, object_text(self._original, skipped), path)

    def end_text(self) -> None:
        """Let the text end with the noncharacter, so that it is no beginning of what its lane says next."""
        self.value += BETWEEN

    def put(self, value: Any) -> None:
        """The object with the texts of `value` in it; an empty object where they are not all there."""
        if value == self.value:
            self.container[self.key] = self._original
            return
        words = str(value).split(BETWEEN)
        is_whole = len(words) == self.value.count(BETWEEN) + 1
        self.container[self.key] = _rebuilt(self._original, iter(words), self._skipped) if is_whole and value else {}


def object_text(value: Any, skipped: frozenset[str] = frozenset()) -> str:
    """Every key and string below `value`, in order. Raises `BadAnswer` where it is nested too deep."""
    return BETWEEN.join(clean(text).replace(BETWEEN, "\ufffd") for text in _texts(value, skipped, 0))


def _texts(value: Any, skipped: frozenset[str], depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise BadAnswer("nested_too_deeply")
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if not (key in skipped and is_mere(item)):
                yield key
                yield from _texts(item, skipped, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, skipped, depth + 1)


def _rebuilt(value: Any, words: Iterator[str], skipped: frozenset[str]) -> Any:
    if isinstance(value, str):
        return next(words)
    if isinstance(value, dict):
        made = {}
        for name, item in value.items():
            if name in skipped and is_mere(item):
                made[name] = item
            else:
                key = next(words)
                made[key] = _rebuilt(item, words, skipped)
        return made
    if isinstance(value, list):
        return [_rebuilt(item, words, skipped) for item in value]
    return value
