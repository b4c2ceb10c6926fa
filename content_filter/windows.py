# SPDX-License-Identifier: Apache-2.0
"""Cuts a text that is still being written into windows that can be judged on their own.

A check that needs context cannot judge single characters, and judging the whole text so far again and again costs more
with every event. A window is a sentence, or `MOST_CHARS` where a sentence is longer, with some of what stood before it
as context. Windows follow from the text alone: however the text is cut into events, they are the same.
"""

from __future__ import annotations

from typing import NamedTuple

MOST_CHARS = 90
"""Longest window, in characters."""
CONTEXT_CHARS = 30
"""What a window shows of the text before it."""

_ENDS = frozenset("。！？!?；;…\n")
_ENDS_BEFORE_SPACE = frozenset(".:")


class Window(NamedTuple):
    """The characters `start` up to `end` of the text are judged by reading `text`, which has context before them."""

    start: int
    end: int
    text: str


class SentenceWindows:
    """The windows of one lane. The cost of an event depends on its own length only."""

    __slots__ = ("_context", "_pending", "_start")

    def __init__(self) -> None:
        self._context = ""
        self._pending = ""
        self._start = 0

    @property
    def pending(self) -> int:
        """Characters that are in no window yet."""
        return len(self._pending)

    def feed(self, text: str) -> list[Window]:
        """The windows that `text` completes, in order; with those before they cover all but the last `pending`."""
        windows: list[Window] = []
        previous = self._pending[-1:]
        cut = 0
        joined = self._pending + text
        for place in range(len(self._pending), len(joined)):
            character = joined[place]
            if (
                character in _ENDS
                or place - cut + 1 >= MOST_CHARS
                or (previous in _ENDS_BEFORE_SPACE and character.isspace() and place > cut)
            ):
                windows.append(self._window(joined[cut : place + 1]))
                cut = place + 1
            previous = character
        self._pending = joined[cut:]
        return windows

    def close(self) -> list[Window]:
        """The last window, where the text does not end with the end of one."""
        rest, self._pending = self._pending, ""
        return [self._window(rest)] if rest else []

    def _window(self, text: str) -> Window:
        window = Window(self._start, self._start + len(text), self._context + text)
        self._start = window.end
        self._context = (self._context + text)[-CONTEXT_CHARS:]
        return window
