# SPDX-License-Identifier: Apache-2.0
"""The filter as its users see it: a term set compiled for some classes, which judges texts and guards streams.

A verdict is what the check said. What is then done (refuse, stop, mask, open an incident, nothing) is an action, which
belongs to whoever asked; the two are recorded apart. A verdict never carries the text or the term.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from content_filter.errors import FilterError
from content_filter.guard import StreamGuard
from content_filter.matcher import Match, TermMatcher
from content_filter.roles import Role as Role
from content_filter.taxonomy import CLASSES
from content_filter.terms import TermSet

CERTAIN_BP = 10_000
"""Score of a term that was found: 100 %, in basis points."""


class Outcome(StrEnum):
    """What the check says about a text; the values beside `pass` are those of `terms.Action`."""

    PASS = "pass"
    BLOCK = "block"
    MASK = "mask"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check said about one text.

    `start` and `end` are characters of the original text, `score_bp` is in basis points from 0 to 10,000. A passed text
    has empty class and rule, no span and score 0.
    """

    verdict: Outcome
    role: Role
    class_code: str = ""
    rule: str = ""
    start: int = 0
    end: int = 0
    score_bp: int = 0


_STRENGTH = {Outcome.PASS: 0, Outcome.FLAG: 1, Outcome.MASK: 2, Outcome.BLOCK: 3}
_PASSED = {role: Verdict(Outcome.PASS, role) for role in Role}


class ContentFilter:
    """Judges prompts and answers alike, whole or streamed. Immutable and safe to share between threads."""

    __slots__ = ("beside", "classes", "digest", "matcher")

    classes: frozenset[str]
    """Class codes that are looked for."""
    beside: tuple[str, ...]
    """What else judges in the same service, each as a fixed word and a digest."""
    digest: str
    """SHA-256 in hex over the terms, the classes and what judges beside them: which filter gave a verdict."""
    matcher: TermMatcher

    def __init__(self, terms: TermSet, classes: Iterable[str] | None = None, beside: Iterable[str] = ()) -> None:
        """Compiles the terms of `classes` (class codes; all when None). Raises `FilterError` for an unknown class."""
        self.classes = frozenset(CLASSES if classes is None else classes)
        if unknown := self.classes - CLASSES.keys():
            raise FilterError(f"{len(unknown)} unknown class codes; expected codes A1a to A5b or INJ")
        chosen = terms.only(self.classes)
        self.matcher = TermMatcher(chosen)
        self.beside = tuple(beside)
        parts = (chosen.digest, *sorted(self.classes), *self.beside)
        self.digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def check_text(self, text: str, role: Role | str) -> Verdict:
        """Judges a whole text. The verdict is the strongest there is, at its first place."""
        return self.verdict_of(self.matcher.find(text), role)

    def check_texts(self, texts: Sequence[str], role: Role | str) -> tuple[int, Verdict]:
        """Judges several texts, each for itself, and gives the strongest verdict with the place of its text.

        The common case, that nothing is found, costs one scan for all of them.
        """
        if self.matcher.is_clean(texts):
            return 0, _PASSED[Role(role)]
        verdicts = [self.check_text(text, role) for text in texts]
        strongest = max(range(len(verdicts)), key=lambda place: (_STRENGTH[verdicts[place].verdict], -place))
        return strongest, verdicts[strongest]

    def verdict_of(self, match: Match | None, role: Role | str) -> Verdict:
        """The verdict that a match stands for, or `pass` for None; for matches that a guard reports."""
        try:
            judged = Role(role)
        except ValueError:
            raise FilterError("unknown role; expected prompt or answer") from None
        if match is None:
            return _PASSED[judged]
        return Verdict(
            verdict=Outcome(match.action),
            role=judged,
            class_code=match.class_code,
            rule=match.rule,
            start=match.start,
            end=match.end,
            score_bp=CERTAIN_BP,
        )

    def guard(self) -> StreamGuard:
        """A new guard for one lane of an answer."""
        return StreamGuard(self.matcher)
