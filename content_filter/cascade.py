# SPDX-License-Identifier: Apache-2.0
"""The checks that need context, one behind the other: terms with conditions, the classifier, a second opinion.

Terms and classifier answer within a millisecond or two, without waiting. A guard model is asked for what the classifier
leaves in its middle band, or for everything, by setting. What a band meets is the operator's choice, for prompts and
answers apart and for each class: block, flag or pass.

What must hold: what blocks needs no second opinion; a second opinion that is not to be had is an error or a flag, as
the rule says, and never a pass; a verdict given without it is not remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from content_filter.classifier import Band, Judgement
from content_filter.context import CheckUnavailable, ContextCheck
from content_filter.context_terms import ContextMatcher
from content_filter.errors import FilterError
from content_filter.filter import CERTAIN_BP, Outcome, Verdict
from content_filter.judge import TextJudge
from content_filter.roles import Role
from content_filter.taxonomy import CLASSES
from content_filter.terms import Action

UNAVAILABLE = "unavailable:"
"""How the rule of a verdict begins that was given without the second opinion it needed."""

_STRENGTH = {Outcome.PASS: 0, Outcome.FLAG: 1, Outcome.MASK: 2, Outcome.BLOCK: 3}
_PASSED = {role: Verdict(Outcome.PASS, role) for role in Role}
_CHOICES = (Outcome.PASS, Outcome.FLAG, Outcome.BLOCK)


def stronger(one: Verdict, other: Verdict) -> Verdict:
    """The verdict that asks for more; of two alike the first."""
    return other if _STRENGTH[other.verdict] > _STRENGTH[one.verdict] else one


@dataclass(frozen=True, slots=True)
class BandRules:
    """What a band of the classifier's meets, by role and class. The band `pass` always passes."""

    usual: Mapping[tuple[Role, Band], Outcome] = field(
        default_factory=lambda: {
            (role, band): outcome
            for role in Role
            for band, outcome in ((Band.SECOND_OPINION, Outcome.FLAG), (Band.BLOCK, Outcome.BLOCK))
        }
    )
    classes: Mapping[tuple[Role, Band, str], Outcome] = field(default_factory=dict)
    """Exceptions for single classes."""

    def __post_init__(self) -> None:
        for outcome in (*self.usual.values(), *self.classes.values()):
            if outcome not in _CHOICES:
                raise FilterError("a band must pass, flag or block")
        if unknown := {code for _, _, code in self.classes} - CLASSES.keys():
            raise FilterError(f"{len(unknown)} unknown class codes; expected codes A1a to A5b or INJ")

    def outcome(self, said: Judgement) -> Outcome:
        """What is said of a text that the classifier judged so."""
        if said.band is Band.PASS:
            return Outcome.PASS
        own = self.classes.get((said.role, said.band, said.class_code))
        return self.usual[said.role, said.band] if own is None else own


@dataclass(frozen=True, slots=True)
class Look:
    """What was said without waiting: `certain` stands whatever a second opinion says, `said` where none is asked."""

    said: Verdict
    certain: Verdict
    asks: bool
    """Whether the second check has to be asked."""


class Cascade:
    """The checks in force together. Immutable but for what the second check remembers."""

    __slots__ = ("_asks_all", "_judge", "_rules", "_second", "_terms", "_when_unavailable", "name")

    def __init__(
        self,
        *,
        terms: ContextMatcher | None = None,
        judge: TextJudge | None = None,
        rules: BandRules | None = None,
        second: ContextCheck | None = None,
        asks_all: bool = False,
        when_unavailable: Outcome | None = None,
    ) -> None:
        """`asks_all` sends every text to the second check, also where there is no classifier. `when_unavailable` is
        flag, or None to hand `CheckUnavailable` on. Raises `FilterError` where there is nothing to ask."""
        if when_unavailable not in (None, Outcome.FLAG):
            raise FilterError("a second opinion that is not to be had must be a flag or an error")
        parts = [name for name, part in (("context", terms), ("classifier", judge)) if part is not None]
        if second is not None:
            parts.append(second.name)
        if not parts:
            raise FilterError("a cascade needs at least one check")
        self.name = "+".join(parts)
        self._terms, self._judge, self._rules = terms, judge, rules or BandRules()
        self._second, self._asks_all = second, asks_all or judge is None
        self._when_unavailable = when_unavailable

    def look(self, text: str, role: Role) -> Look:
        """What the checks say that need no waiting. Takes a millisecond or two for a paragraph and some 6 for each
        thousand characters: give long texts a thread of their own."""
        certain = _PASSED[role]
        if self._terms is not None and (match := self._terms.find(text)) is not None:
            # A mask cannot be put on what was judged in its context: by then its beginning may have left.
            outcome = Outcome.FLAG if match.action is Action.FLAG else Outcome.BLOCK
            certain = Verdict(outcome, role, match.class_code, match.rule, match.start, match.end, CERTAIN_BP)
            if outcome is Outcome.BLOCK:
                return Look(certain, certain, asks=False)
        if self._judge is None:
            return Look(certain, certain, asks=self._second is not None)
        judged = self._judge.judge(text, role)
        outcome = self._rules.outcome(judged)
        own = _PASSED[role]
        if outcome is not Outcome.PASS:
            own = Verdict(outcome, role, judged.class_code, judged.rule, judged.start, judged.end, judged.score_bp)
        if outcome is Outcome.BLOCK:
            return Look(own, own, asks=False)
        is_open = self._asks_all or judged.band is Band.SECOND_OPINION
        return Look(stronger(own, certain), certain, asks=is_open and self._second is not None)

    async def finish(self, found: Look, text: str, role: Role) -> Verdict:
        """The verdict on a text that was looked at. Raises `CheckUnavailable` where the rule hands it on."""
        if not found.asks or self._second is None:
            return found.said
        try:
            return stronger(found.certain, await self._second.judge(text, role))
        except CheckUnavailable:
            if self._when_unavailable is None:
                raise
            rule = UNAVAILABLE + self._second.name
            said = found.said
            flag = Verdict(self._when_unavailable, role, said.class_code, rule, 0, len(text), said.score_bp)
            return stronger(flag, found.certain)

    async def judge(self, text: str, role: Role) -> Verdict:
        """The verdict, in one. Raises `CheckUnavailable` where the rule hands it on."""
        return await self.finish(self.look(text, role), text, role)

    async def close(self) -> None:
        """Closes the second check."""
        if self._second is not None:
            await self._second.close()
