# SPDX-License-Identifier: Apache-2.0
"""Terms with context, the classifier and a second opinion, one behind the other."""

from __future__ import annotations

import asyncio

import pytest

from content_filter import Action, FilterError, Outcome, Role, Verdict
from content_filter.cascade import UNAVAILABLE, BandRules, Cascade, Look, stronger
from content_filter.classifier import Band, Classifier, Judgement
from content_filter.context import CheckUnavailable
from content_filter.context_terms import ContextMatcher, context_term
from content_filter.judge import TextJudge

TERMS = ContextMatcher(
    [
        context_term("forbidden phrase", "A1a", Action.BLOCK),
        context_term("masked phrase", "A4f", Action.MASK),
        context_term("noted phrase", "A2e", Action.FLAG),
    ]
)


class Fixed(TextJudge):
    """Judges every text alike."""

    def __init__(self, band: Band, code: str = "A1h") -> None:
        self.band, self.code = band, code

    def judge(self, text: str, role: Role | str = Role.PROMPT) -> Judgement:
        return Judgement(
            self.band, Role(role), self.code, 6_000, ((self.code, 9_000),), 0, len(text), "classifier:request"
        )


class Second:
    """Says what it was told to, and keeps what it was asked."""

    name = "second"

    def __init__(self, outcome: Outcome | None) -> None:
        self.outcome = outcome
        self.asked: list[tuple[str, Role]] = []
        self.is_closed = False

    async def judge(self, text: str, role: Role) -> Verdict:
        self.asked.append((text, role))
        if self.outcome is None:
            raise CheckUnavailable("away")
        if self.outcome is Outcome.PASS:
            return Verdict(Outcome.PASS, role)
        return Verdict(self.outcome, role, "A1d", "second:x", 0, len(text), 9_500)

    async def close(self) -> None:
        self.is_closed = True


def judged(cascade: Cascade, text: str = "some text", role: Role = Role.PROMPT) -> Verdict:
    """The verdict of a whole cascade."""
    return asyncio.run(cascade.judge(text, role))


@pytest.mark.parametrize(
    ("band", "expected"), [(Band.PASS, Outcome.PASS), (Band.SECOND_OPINION, Outcome.FLAG), (Band.BLOCK, Outcome.BLOCK)]
)
def test_without_a_second_opinion_the_bands_decide(band: Band, expected: Outcome) -> None:
    """Nothing has to be asked."""
    cascade = Cascade(judge=Fixed(band))
    look = cascade.look("some text", Role.PROMPT)
    assert (look.said.verdict, look.asks) == (expected, False)
    assert judged(cascade).verdict is expected
    if expected is not Outcome.PASS:
        assert (look.said.class_code, look.said.rule, look.said.score_bp) == ("A1h", "classifier:request", 6_000)


@pytest.mark.parametrize("said", [Outcome.PASS, Outcome.FLAG, Outcome.BLOCK])
def test_the_middle_band_is_decided_by_the_second_opinion(said: Outcome) -> None:
    """Which may also let pass what the classifier would have noted."""
    second = Second(said)
    cascade = Cascade(judge=Fixed(Band.SECOND_OPINION), second=second)
    assert cascade.look("some text", Role.ANSWER).asks
    assert judged(cascade, role=Role.ANSWER).verdict is said
    assert second.asked == [("some text", Role.ANSWER)]


@pytest.mark.parametrize(("band", "asks_all", "asked"), [
    (Band.PASS, False, 0), (Band.PASS, True, 1), (Band.SECOND_OPINION, True, 1), (Band.BLOCK, True, 0),
])  # fmt: skip
def test_who_is_asked_about(band: Band, asks_all: bool, asked: int) -> None:
    """What blocks needs no second opinion; what passes only where all is asked about."""
    second = Second(Outcome.BLOCK)
    verdict = judged(Cascade(judge=Fixed(band), second=second, asks_all=asks_all))
    assert len(second.asked) == asked
    assert verdict.verdict is (Outcome.BLOCK if asked or band is Band.BLOCK else Outcome.PASS)


def test_without_a_classifier_everything_is_asked_about() -> None:
    """Or a second opinion alone would never be heard."""
    assert judged(Cascade(second=Second(Outcome.BLOCK))).verdict is Outcome.BLOCK


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a forbidden phrase", Outcome.BLOCK), ("a masked phrase", Outcome.BLOCK), ("a noted phrase", Outcome.FLAG)],
)
def test_terms_with_context_stand_whatever_a_second_opinion_says(text: str, expected: Outcome) -> None:
    """A mask blocks: by the time its context is known its beginning may have left."""
    second = Second(Outcome.PASS)
    verdict = judged(Cascade(terms=TERMS, judge=Fixed(Band.SECOND_OPINION), second=second), text)
    assert verdict.verdict is expected
    assert verdict.rule.startswith("context:") and text[verdict.start : verdict.end] == text.removeprefix("a ")
    assert bool(second.asked) is (expected is Outcome.FLAG)


def test_a_second_opinion_that_is_away_is_an_error_or_a_flag_and_never_a_pass() -> None:
    """As the rule says; the flag names what was missing."""
    with pytest.raises(CheckUnavailable):
        judged(Cascade(judge=Fixed(Band.SECOND_OPINION), second=Second(None)))
    flagged = Cascade(judge=Fixed(Band.SECOND_OPINION), second=Second(None), when_unavailable=Outcome.FLAG)
    verdict = judged(flagged)
    assert (verdict.verdict, verdict.rule, verdict.class_code) == (Outcome.FLAG, UNAVAILABLE + "second", "A1h")
    everything = Cascade(judge=Fixed(Band.PASS), second=Second(None), asks_all=True, when_unavailable=Outcome.FLAG)
    assert judged(everything).verdict is Outcome.FLAG


def test_bands_mean_what_the_operator_chose_by_role_and_class() -> None:
    """A single class may have a rule of its own; the band that passes always passes."""
    usual = {(role, band): Outcome.FLAG for role in Role for band in (Band.SECOND_OPINION, Band.BLOCK)}
    rules = BandRules(usual, {(Role.PROMPT, Band.BLOCK, "A5b"): Outcome.PASS})
    for band, code, role, expected in (
        (Band.BLOCK, "A1h", Role.PROMPT, Outcome.FLAG),
        (Band.BLOCK, "A5b", Role.PROMPT, Outcome.PASS),
        (Band.BLOCK, "A5b", Role.ANSWER, Outcome.FLAG),
        (Band.PASS, "A5b", Role.ANSWER, Outcome.PASS),
    ):
        assert judged(Cascade(judge=Fixed(band, code), rules=rules), role=role).verdict is expected


def test_what_cannot_be_meant_is_refused() -> None:
    """No mask, no unknown class, nothing to ask, and no pass in place of an opinion."""
    with pytest.raises(FilterError):
        BandRules(classes={(Role.PROMPT, Band.BLOCK, "A1a"): Outcome.MASK})
    with pytest.raises(FilterError):
        BandRules(classes={(Role.PROMPT, Band.BLOCK, "Z9"): Outcome.PASS})
    with pytest.raises(FilterError):
        Cascade()
    for outcome in (Outcome.PASS, Outcome.BLOCK):
        with pytest.raises(FilterError):
            Cascade(second=Second(None), when_unavailable=outcome)


def test_it_says_what_it_is_made_of_and_closes_it() -> None:
    """The name stands in records."""
    second = Second(None)
    cascade = Cascade(terms=TERMS, judge=Fixed(Band.PASS), second=second)
    assert cascade.name == "context+classifier+second"
    asyncio.run(cascade.close())
    assert second.is_closed


def test_the_stronger_of_two_verdicts_is_kept() -> None:
    """Of two alike the first."""
    flag, block = (Verdict(outcome, Role.PROMPT, "A1a") for outcome in (Outcome.FLAG, Outcome.BLOCK))
    other = Verdict(Outcome.FLAG, Role.PROMPT, "A2a")
    assert stronger(flag, block) is stronger(block, flag) is block
    assert stronger(flag, other) is flag


def test_the_shipped_classifier_fits() -> None:
    """A harmless text passes at once."""
    cascade = Cascade(judge=TextJudge(Classifier.load()))
    look = cascade.look("请帮我写一首关于春天的诗。", Role.PROMPT)
    assert look == Look(Verdict(Outcome.PASS, Role.PROMPT), Verdict(Outcome.PASS, Role.PROMPT), asks=False)
