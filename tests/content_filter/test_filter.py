# SPDX-License-Identifier: Apache-2.0
"""The filter judges prompts and answers, whole and streamed, with the same result."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content_filter.errors import FilterError
from content_filter.filter import ContentFilter, Outcome, Role, Verdict
from content_filter.terms import Action, TermSet

# A busy machine is no failure of a property.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TERMS = TermSet.of(("blocked", "A1d"), ("masked", "A4f", "mask"), ("flagged", "A5a", "flag"), ("attack", "INJ"))


@pytest.mark.parametrize("role", [Role.PROMPT, "answer"])
def test_a_verdict_says_what_was_found_where_and_by_which_rule(role: Role | str) -> None:
    """Class, rule, span and a certain score; never the term."""
    verdict = ContentFilter(TERMS).check_text("so ＢＬＯＣＫＥＤ it is", role)

    assert verdict == Verdict(Outcome.BLOCK, Role(role), "A1d", TERMS.terms[1].rule, 3, 10, 10_000)
    assert "blocked" not in repr(verdict).replace("Outcome", "").lower()


def test_a_clean_text_passes_with_nothing_else() -> None:
    """No class, no rule, no score."""
    assert ContentFilter(TERMS).check_text("all is well", "prompt") == Verdict(Outcome.PASS, Role.PROMPT)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("flagged masked", "mask"), ("flagged", "flag"), ("flagged masked blocked", "block"), ("", "pass")],
)
def test_the_strongest_finding_is_the_verdict(text: str, outcome: str) -> None:
    """Block before mask before flag before pass."""
    assert ContentFilter(TERMS).check_text(text, "answer").verdict == outcome


def test_an_unknown_role_or_class_is_refused() -> None:
    """A typing error in the caller is no silent pass."""
    with pytest.raises(FilterError, match="unknown role"):
        ContentFilter(TERMS).check_text("x", "system")
    with pytest.raises(FilterError, match="1 unknown class"):
        ContentFilter(TERMS, ["A1a", "B1"])


def test_only_the_chosen_classes_are_looked_for_and_the_digest_says_so() -> None:
    """Fewer classes are another filter."""
    everything, some = ContentFilter(TERMS), ContentFilter(TERMS, ["INJ"])

    assert some.check_text("blocked", "prompt").verdict == "pass"
    assert some.check_text("attack", "prompt").class_code == "INJ"
    assert some.digest != everything.digest
    assert some.digest != ContentFilter(TERMS, ["INJ", "A1a"]).digest
    assert everything.digest == ContentFilter(TERMS).digest


@settings(UNHURRIED)
@given(st.data())
def test_a_streamed_answer_is_never_judged_weaker_than_a_whole_one(model: SimpleNamespace, data: st.DataObject) -> None:
    """Whatever check_text says is what the guard reports: the stop, or the first mask, or the first flag."""
    terms = data.draw(model.term_sets(*Action))
    pieces = data.draw(model.chunked(terms))
    judge = ContentFilter(terms)
    guard = judge.guard()
    steps = [*map(guard.feed, pieces), guard.close()]
    noted = [match for step in steps for match in step.noted]
    strongest = steps[-1].match or next(
        (match for action in (Action.MASK, Action.FLAG) for match in noted if match.action is action), None
    )

    assert judge.verdict_of(strongest, "answer") == judge.check_text("".join(pieces), "answer")


def test_several_texts_are_judged_each_for_itself() -> None:
    """A term never reaches from one text into the next, and the strongest verdict names its text."""
    judge = ContentFilter(TermSet.of(("forbidden", "A1a"), ("noted", "A2e", "flag")))
    assert judge.check_texts(["forb", "idden"], "prompt")[1].verdict is Outcome.PASS
    place, verdict = judge.check_texts(["a noted word", "fine", "a forbidden word"], "prompt")
    assert (place, verdict.verdict, verdict.start) == (2, Outcome.BLOCK, 2)
    assert judge.check_texts([], "answer")[1].verdict is Outcome.PASS


def test_the_digest_names_what_judges_beside_the_terms() -> None:
    """A record tells two filters apart that differ in anything that gives verdicts."""
    alone, beside = ContentFilter(TERMS), ContentFilter(TERMS, beside=("classifier abc",))
    assert len({alone.digest, beside.digest, ContentFilter(TERMS, beside=("classifier def",)).digest}) == 3
    assert beside.beside == ("classifier abc",) and beside.check_text("blocked", "prompt").verdict is Outcome.BLOCK
