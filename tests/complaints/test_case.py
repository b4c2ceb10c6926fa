# SPDX-License-Identifier: Apache-2.0
"""A case as the sum of its events."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from complaints.case import Case, CaseEvent, Category, advance, involved, parse_category
from complaints.errors import Invalid
from complaints.workflow import Act, Decision, Role, State

T0 = datetime(2026, 9, 18, tzinfo=UTC)
T1 = datetime(2026, 9, 19, tzinfo=UTC)

MakeCase = Callable[[State, int], Case]


@pytest.fixture
def make_case() -> MakeCase:
    def make(state: State, version: int) -> Case:
        return Case("id", "r", Category.OTHER, "zh", None, None, T0, state, version, T0, T0, T0, True, None)

    return make


def _decided(seq: int, act: Act, actor: str | None = None) -> CaseEvent:
    return CaseEvent(seq, act, State.IN_REVIEW, State.ANSWERED, T1, Role.OFFICER, actor, Decision.UPHELD)


@pytest.mark.parametrize(
    ("value", "category"),
    [
        ("privacy", Category.PRIVACY),
        ("PRIVACY", Category.PRIVACY),
        ("Illegal-Content", Category.ILLEGAL_CONTENT),
        ("illegal content", Category.ILLEGAL_CONTENT),
        ("copyright", Category.INTELLECTUAL_PROPERTY),
        ("Personal Information", Category.PRIVACY),
        ("label", Category.LABELLING),
    ],
)
def test_a_category_is_known_by_key_or_synonym(value: str, category: Category) -> None:
    """Case and joints do not matter, and plain other words are understood."""
    assert parse_category(value) is category


@pytest.mark.parametrize("value", ["", "weather", None, 1, {"key": "privacy"}])
def test_an_unknown_category_is_refused_with_the_choices(value: object) -> None:
    """What is not understood is not guessed."""
    with pytest.raises(Invalid) as caught:
        parse_category(value)

    assert caught.value.field == "category" and "illegal_content, discrimination" in caught.value.reason


def test_taking_answering_and_appealing_leave_their_marks(make_case: MakeCase) -> None:
    """Holder, decision, count of appeals and the start of the clock follow the events."""
    case = advance(
        make_case(State.ACKNOWLEDGED, 2),
        CaseEvent(3, Act.TAKE, State.ACKNOWLEDGED, State.IN_REVIEW, T1, Role.OFFICER, "li"),
    )
    assert (case.holder, case.state, case.version, case.started_at) == ("li", State.IN_REVIEW, 3, T0)

    case = advance(case, _decided(4, Act.ANSWER, "li"))
    assert (case.decision, case.answered_at, case.holder) == (Decision.UPHELD, T1, "li")

    case = advance(case, CaseEvent(5, Act.APPEAL, State.ANSWERED, State.APPEALED, T1, Role.PUBLIC))
    assert (case.holder, case.started_at, case.appeals) == (None, T1, 1)


def test_reopening_keeps_the_case_and_starts_anew(make_case: MakeCase) -> None:
    """Same id, receipt and day of filing; a new clock, no decision, appeals possible again."""
    closed = make_case(State.CLOSED, 6)
    case = advance(closed, CaseEvent(7, Act.REOPEN, State.CLOSED, State.ACKNOWLEDGED, T1, Role.OFFICER, "li"))

    assert (case.id, case.receipt, case.received_at) == (closed.id, closed.receipt, T0)
    assert (case.started_at, case.decision, case.answered_at, case.appeals) == (T1, None, None, 0)


@pytest.mark.parametrize(
    "event",
    [
        CaseEvent(4, Act.TAKE, State.ACKNOWLEDGED, State.IN_REVIEW, T1, Role.OFFICER, "li"),
        CaseEvent(2, Act.TAKE, State.ACKNOWLEDGED, State.IN_REVIEW, T1, Role.OFFICER, "li"),
        CaseEvent(3, Act.TAKE, State.APPEALED, State.IN_REVIEW, T1, Role.OFFICER, "li"),
    ],
)
def test_an_event_that_does_not_follow_is_refused(make_case: MakeCase, event: CaseEvent) -> None:
    """History has no gaps, no repeats and no jumps."""
    with pytest.raises(Invalid):
        advance(make_case(State.ACKNOWLEDGED, 2), event)


def test_deciders_are_barred_only_while_an_appeal_waits() -> None:
    """All who answered before the appeal are barred; once it is answered, no one is."""
    first = [_decided(3, Act.ANSWER, "li")]
    appealed = [*first, _decided(4, Act.APPEAL)]
    answered = [*appealed, _decided(5, Act.ANSWER, "wang")]

    assert involved([]) == involved(first) == frozenset()
    assert involved(appealed) == {"li"}
    assert involved(answered) == frozenset()
    assert involved([*answered, _decided(6, Act.APPEAL)]) == {"li", "wang"}


def test_a_case_is_overdue_only_past_an_open_limit(make_case: MakeCase) -> None:
    """On the limit it is in time; with nothing awaited it is never late."""
    case = make_case(State.RECEIVED, 1)

    assert not case.is_overdue(T1)
    assert not replace(case, next_due=T1).is_overdue(T1)
    assert replace(case, next_due=T0).is_overdue(T1)
