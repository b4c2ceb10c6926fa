# SPDX-License-Identifier: Apache-2.0
"""Decides, while a text streams, how much of it may leave: the exact incremental form of `TermMatcher`.

One guard watches one lane (one choice and channel of an answer). It never sees the end of the text in advance, yet what
it decides does not depend on how the text was cut into events. With *seen* for the text up to and including the first
block match, or the whole text if there is none, what must hold is:

- `match` is the first block match of the text, the one that `TermMatcher.find` reports; it ends the stream.
- Released is everything before that match, or everything; in order; nothing of a block match ever leaves.
- Every character of every mask match in the seen text is covered by a replacement in the step that releases it.
- Every mask and flag match in the seen text is noted exactly once.
- After each event all is released except the longest suffix that, normalised, is a proper prefix of a block or mask
  term: what must wait, and no more. Invisible characters inside that suffix wait with it. Flag terms hold nothing back.

The cost of an event depends on its own length only, and memory on the longest term only. The guard keeps offsets, not
text: whoever keeps the held text bounds it. Only invisible characters put into a pending partial match without end can
make it long; `StreamGuard.position - release` says how long it is.
"""

from collections.abc import Iterable
from typing import NamedTuple

from content_filter.automaton import ROOT
from content_filter.errors import FilterError
from content_filter.matcher import Match, TermMatcher
from content_filter.normalise import IMAGES, normalise
from content_filter.terms import Action

_SLICE_CHARACTERS = 4096  # a long event is looked at in pieces of this size


class Replacement(NamedTuple):
    """Original characters `start` up to `end` are to be masked.

    `continued` says that they directly follow masked characters released before: a caller that writes one fixed text
    for a masked run, not one mark for a character, writes nothing for such a piece.
    """

    start: int
    end: int
    continued: bool


# Named tuples, not dataclasses: one is made for every event of every stream, and a frozen dataclass costs four times
# as much to make.
class GuardStep(NamedTuple):
    """What an event changed. All offsets count characters of the original text from the start of the lane."""

    release: int
    """How many characters may have left by now, in total; never decreases."""
    match: Match | None = None
    """The block match that ends the stream; once set it is in every later step."""
    replacements: tuple[Replacement, ...] = ()
    """What to mask among the characters that this step releases, in order, not overlapping."""
    noted: tuple[Match, ...] = ()
    """Mask and flag matches that this step completed, in order."""


class StreamGuard:
    """Guards one lane. Not safe to share between threads; make one for each lane, which costs next to nothing."""

    __slots__ = (
        "_closed",
        "_long",
        "_masked",
        "_masked_until",
        "_matcher",
        "_noted",
        "_origins",
        "_position",
        "_released",
        "_state",
        "_stop",
    )

    def __init__(self, matcher: TermMatcher) -> None:
        self._matcher = matcher
        # From here on a scan by the whole-text engine is cheaper than walking the automaton.
        self._long = 64 + 4 * matcher.automaton.widest
        self._state = ROOT
        self._origins: list[int] = []  # original offset of each normalised character of the pending partial match
        self._position = 0
        self._released = 0
        self._masked: list[tuple[int, int]] = []  # masked and not yet released, in order, disjoint
        self._masked_until = -1  # end of the last masked piece that was released
        self._noted: list[Match] = []
        self._stop: Match | None = None
        self._closed = False

    @property
    def position(self) -> int:
        """Characters fed so far, or up to the end of the block match. What is held back is `position - release`."""
        return self._position

    def feed(self, text: str) -> GuardStep:
        """Takes the next piece of the lane. After a block match it changes nothing more; after `close` it raises."""
        if self._closed:
            raise FilterError("the guard of this lane is closed; a new lane needs a new guard")
        if self._stop is None:
            if len(text) < self._long:
                self._walk(text)
            else:
                self._leap(text)
        if self._stop is not None:
            return self._step(self._stop.start)
        held = self._matcher.automaton.held[self._state]
        return self._step(self._origins[-held] if held else self._position)

    def close(self) -> GuardStep:
        """The text has ended: what was pending can no longer become a match and is released."""
        self._closed = True
        return self._step(self._position if self._stop is None else self._stop.start)

    def _step(self, release: int) -> GuardStep:
        released, self._released = self._released, release
        noted: tuple[Match, ...] = ()
        if self._noted:
            noted = tuple(self._noted)
            self._noted.clear()
        if not self._masked or release == released:
            return GuardStep(release, self._stop, (), noted)
        return GuardStep(release, self._stop, tuple(self._replacements(release)), noted)

    def _replacements(self, release: int) -> Iterable[Replacement]:
        """Takes out of the masked spans what lies before `release`."""
        while self._masked and self._masked[0][0] < release:
            start, end = self._masked.pop(0)
            if end > release:
                self._masked.insert(0, (release, end))
                end = release
            yield Replacement(start, end, start == self._masked_until)
            self._masked_until = end

    def _walk(self, text: str) -> None:
        """Takes the text character by character through the automaton, up to the first block match.

        This is `Automaton.walk` written out: it runs for every character of every stream.
        """
        automaton = self._matcher.automaton
        branches, labels, fail, settle = automaton.branches, automaton.labels, automaton.fail, automaton.settle
        outputs, images = automaton.outputs, IMAGES
        state, position, origins = self._state, self._position, self._origins
        for char in text:
            found = None
            for part in images[char]:
                origins.append(position)
                while True:
                    row = branches.get(state)
                    if row is not None:
                        node = row.get(part, ROOT)
                    elif labels[state + 1] == part:
                        node = state + 1
                    else:
                        node = ROOT
                    if node != ROOT or state == ROOT:
                        break
                    state = fail[state]
                if node in outputs:
                    hits = [(position + 1, origins[-length], pattern) for pattern, length in outputs[node]]
                    found = hits if found is None else found + hits
                state = settle[node]
                if state == ROOT:
                    origins.clear()
            position += 1
            if found is not None:
                self._take(sorted(found))
                if self._stop is not None:
                    break
        del origins[: len(origins) - automaton.depth[state]]
        self._state = state
        self._position = position

    def _take(self, hits: list[tuple[int, int, int]]) -> None:
        """Takes all matches that one original character completes, in the order of `matcher`."""
        for hit in hits:
            match = self._matcher.match(*hit)
            if match.action is Action.BLOCK:
                if self._stop is None:
                    self._stop = match
                continue
            self._noted.append(match)
            if match.action is Action.MASK:
                self._mask(match.start, match.end)

    def _mask(self, start: int, end: int) -> None:
        # Ends only grow, so a new span swallows or prolongs the last ones.
        while self._masked and self._masked[-1][1] >= start:
            start = min(start, self._masked.pop()[0])
        self._masked.append((start, end))

    def _leap(self, text: str) -> None:
        """Same result as `_walk`, for long texts: where the whole-text engine finds nothing, only the ends are walked.

        The head is walked until nothing that was pending before can still be pending. The state after the text depends
        on its last characters alone, so the tail is walked from the root.
        """
        for begin in range(0, len(text), _SLICE_CHARACTERS):
            piece = text[begin : begin + _SLICE_CHARACTERS]
            head, tail = self._ends(piece)
            if head >= tail or self._matcher.may_contain(normalise(piece)):
                self._walk(piece)
            else:
                self._walk(piece[:head])
                if self._stop is None:
                    self._state = ROOT
                    self._origins.clear()
                    self._position += tail - head
                    self._walk(piece[tail:])
            if self._stop is not None:
                return

    def _ends(self, piece: str) -> tuple[int, int]:
        """How long a head, and where a tail, has as many normalised characters as the longest term."""
        widest = self._matcher.automaton.widest
        head = tail = widest
        while head < len(piece) and len(normalise(piece[:head])) < widest:
            head *= 2
        while tail < len(piece) and len(normalise(piece[-tail:])) < widest:
            tail *= 2
        return head, len(piece) - tail


def mask_text(text: str, first: int, replacements: Iterable[Replacement], mark: str = "*") -> str:
    """`text`, whose first character has the offset `first` in its lane, with one `mark` for each masked character."""
    pieces: list[str] = []
    done = 0
    for replacement in replacements:
        start, end = replacement.start - first, replacement.end - first
        if not done <= start < end <= len(text):
            raise FilterError("a replacement lies outside of the text; pass the characters that the same step released")
        pieces += (text[done:start], mark * (end - start))
        done = end
    return "".join((*pieces, text[done:]))
