# SPDX-License-Identifier: Apache-2.0
"""Guards a lane that a program may parse as JSON: as it is written, and as it will be read.

Some wires carry tool arguments as JSON text, others as text that is decoded already, and an upstream may mix them:
`C:\\forbiddenword` holds a word that the reading of its escapes would hide. So both readings are guarded, and what
either of them forbids stays here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from content_filter import GuardStep, Match, Replacement
from gateway.json_view import JsonView


class LaneGuard(Protocol):
    """Guards one lane; `content_filter.StreamGuard` says what must hold."""

    def feed(self, text: str) -> GuardStep:
        """What `text` changes."""
        ...

    def close(self) -> GuardStep:
        """What the end of the lane changes."""
        ...


class TwinGuard:
    """Two guards over one text; steps are in offsets of the text as it came."""

    __slots__ = ("_decoded", "_released", "_spans", "_view", "_written")

    def __init__(self, written: LaneGuard, decoded: LaneGuard) -> None:
        self._written = written
        self._decoded = decoded
        self._view = JsonView()
        self._released = 0
        self._spans: list[tuple[int, int]] = []
        """What is to be masked and has not left yet."""

    def feed(self, text: str) -> GuardStep:
        """What `text` changes."""
        return self._joined(self._written.feed(text), self._placed(self._decoded.feed(self._view.feed(text))))

    def close(self) -> list[GuardStep]:
        """What the end of the lane changes; an escape that never ended is text."""
        last = self._placed(self._decoded.feed(self._view.close()))
        written, decoded = self._written.close(), self._placed(self._decoded.close())
        decoded = decoded._replace(
            replacements=last.replacements + decoded.replacements, noted=last.noted + decoded.noted
        )
        return [self._joined(written, decoded)]

    def _placed(self, step: GuardStep) -> GuardStep:
        """A step about the decoded view, as one about the text itself."""
        view = self._view

        def placed(match: Match) -> Match:
            return replace(match, start=view.raw(match.start), end=view.raw(match.end))

        made = GuardStep(
            view.raw(step.release),
            None if step.match is None else placed(step.match),
            tuple(span._replace(start=view.raw(span.start), end=view.raw(span.end)) for span in step.replacements),
            tuple(placed(match) for match in step.noted),
        )
        view.forget(step.release)
        return made

    def _joined(self, one: GuardStep, other: GuardStep) -> GuardStep:
        """What both let go; each finding once."""
        release = min(one.release, other.release)
        spans = [(span.start, span.end) for span in (*one.replacements, *other.replacements)]
        self._spans = sorted({*self._spans, *spans})
        due: list[Replacement] = []
        later: list[tuple[int, int]] = []
        covered = self._released
        for start, end in self._spans:
            if end > release:
                later.append((max(start, release), end))
            first, last = max(start, covered), min(end, release)
            if first < last:
                due.append(Replacement(first, last, first == covered and first > start))
                covered = last
        self._spans = later
        self._released = release
        matches = [step.match for step in (one, other) if step.match is not None]
        match = min(matches, key=lambda found: (found.start, found.end)) if matches else None
        return GuardStep(release, match, tuple(due), tuple(dict.fromkeys((*one.noted, *other.noted))))
