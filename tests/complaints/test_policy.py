# SPDX-License-Identifier: Apache-2.0
"""Numbers in, deadlines out."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from complaints import Case, Category, ChinaCalendar, DeskPolicy, Invalid, State

T0 = datetime(2026, 9, 18, 4, tzinfo=UTC)


def _case(state: State, **changes: object) -> Case:
    case = Case("id", "r", Category.OTHER, "zh", None, None, T0, state, 1, T0, T0, T0, False, None)
    return replace(case, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "hours"),
    [
        (State.RECEIVED, 2),
        (State.ACKNOWLEDGED, 24),
        (State.APPEALED, 24),
        (State.ANSWERED, None),
        (State.CLOSED, None),
        (State.WITHDRAWN, None),
    ],
)
def test_the_next_limit_depends_on_what_is_awaited(policy: DeskPolicy, state: State, hours: int | None) -> None:
    """Acknowledgement, then triage; nothing once the desk has answered."""
    timed = replace(policy, acknowledge_h=2).timed(_case(state))

    assert timed.next_due == (None if hours is None else T0 + timedelta(hours=hours))
    assert timed.due.isoformat() == "2026-10-15T23:59:59+08:00"


def test_in_review_the_answer_is_awaited(policy: DeskPolicy) -> None:
    """The working-day limit is then the next one."""
    timed = policy.timed(_case(State.IN_REVIEW))

    assert timed.next_due == timed.due and timed.is_due_certain


def test_the_answer_is_awaited_first_where_triage_takes_longer(policy: DeskPolicy) -> None:
    """The earliest limit counts, whatever it is."""
    timed = replace(policy, triage_h=24 * 365).timed(_case(State.ACKNOWLEDGED))

    assert timed.next_due == timed.due


def test_an_answer_can_be_appealed_for_its_working_days_and_so_often(policy: DeskPolicy) -> None:
    """From the answer, not from the filing; not when no appeal is left."""
    answered = _case(State.ANSWERED, answered_at=T0 + timedelta(days=31))

    until = policy.timed(answered).appeal_until
    assert until is not None and until.date() == date(2026, 11, 2)
    assert policy.timed(replace(answered, appeals=1)).appeal_until is None
    assert replace(policy, appeals_max=0).timed(answered).appeal_until is None
    assert policy.timed(replace(answered, state=State.CLOSED)).appeal_until is None


def test_a_newer_calendar_gives_another_limit(policy: DeskPolicy) -> None:
    """Deadlines are derived: the same case, computed anew."""
    newer = replace(policy, calendar=ChinaCalendar(holidays=frozenset({date(2026, 10, 15)})))

    assert newer.timed(policy.timed(_case(State.IN_REVIEW))).due.date() == date(2026, 10, 16)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("answer_working_days", 0),
        ("triage_h", -1),
        ("triage_h", float("nan")),
        ("acknowledge_h", -0.5),
        ("appeal_working_days", 0),
        ("appeals_max", -1),
        ("text_chars_max", 0),
        ("contact_chars_max", 0),
    ],
)
def test_numbers_that_make_no_promise_are_refused(policy: DeskPolicy, name: str, value: float) -> None:
    """A policy is wrong when it is made, not when the first complaint comes."""
    with pytest.raises(Invalid) as caught:
        replace(policy, **{name: value})  # type: ignore[arg-type]

    assert caught.value.field == name


def test_without_appeals_their_time_may_be_zero(policy: DeskPolicy) -> None:
    """A provider may offer none."""
    assert replace(policy, appeals_max=0, appeal_working_days=0).appeals_max == 0
