# SPDX-License-Identifier: Apache-2.0
"""Every step and every clock of an incident."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_filter.errors import FilterError
from content_filter.incident_state import IncidentState, Transition
from content_filter.incident_workflow import STEPS, Clock, ClockState, check_step, deadlines
from content_filter.incidents import Incident, IncidentStore
from content_filter.roles import Role

OPEN, CONFIRMED, FALSE_ALARM, CONTAINED, REPORTED, CLOSED = IncidentState
HOUR_S = 3_600.0
REPORT = Clock("report", OPEN, frozenset({REPORTED, CLOSED}), 4 * HOUR_S, "art. 4")
CLOSING = Clock("closing report", REPORTED, frozenset({CLOSED}), 30 * 24 * HOUR_S, "art. 8")
FIRST = Incident("inc_1", 1000.0, "A1d", "term:1", Role.ANSWER, "rec_1", "t", "s1", 12, 12, 16, "ab" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[IncidentStore]:
    """A store with one open incident."""
    made = IncidentStore(tmp_path / "incidents.db")
    made.open(FIRST)
    yield made
    made.close()


def _history(*steps: tuple[float, IncidentState]) -> list[Transition]:
    states = ["", *(state for _, state in steps)]
    return [
        Transition("inc_1", number, at_s, "somebody", states[number - 1], state, "")
        for number, (at_s, state) in enumerate(steps, start=1)
    ]


@pytest.mark.parametrize(("before", "after"), list(itertools.product(IncidentState, IncidentState)))
def test_exactly_the_steps_of_the_table_may_be_taken(before: IncidentState, after: IncidentState) -> None:
    """All 36 pairs: the eight of the table pass, the others are refused."""
    allowed = {
        (OPEN, CONFIRMED), (OPEN, FALSE_ALARM), (CONFIRMED, CONTAINED), (CONFIRMED, FALSE_ALARM),
        (CONTAINED, REPORTED), (CONTAINED, CLOSED), (REPORTED, CLOSED), (FALSE_ALARM, OPEN),
    }  # fmt: skip

    if (before, after) in allowed:
        check_step(before, after, "officer", "because")
    else:
        with pytest.raises(FilterError, match="cannot become"):
            check_step(before, after, "officer", "because")


@pytest.mark.parametrize(
    ("before", "after", "needs"),
    [
        (OPEN, CONFIRMED, False), (CONFIRMED, CONTAINED, False), (CONTAINED, REPORTED, False),
        (OPEN, FALSE_ALARM, True), (CONFIRMED, FALSE_ALARM, True), (FALSE_ALARM, OPEN, True),
        (CONTAINED, CLOSED, True), (REPORTED, CLOSED, True),
    ],
)  # fmt: skip
def test_a_step_that_ends_or_takes_back_says_why(before: IncidentState, after: IncidentState, needs: bool) -> None:
    """And every step says who."""
    with pytest.raises(FilterError, match="who"):
        check_step(before, after, " ", "because")
    if needs:
        with pytest.raises(FilterError, match="reason"):
            check_step(before, after, "officer", " ")
    else:
        check_step(before, after, "officer", "")


def test_a_reason_has_an_end() -> None:
    """A novel is not a reason."""
    with pytest.raises(FilterError, match="shorten"):
        check_step(OPEN, FALSE_ALARM, "officer", "x" * 4_001)


def test_an_incident_goes_its_whole_way_and_all_of_it_is_kept(store: IncidentStore) -> None:
    """State and history agree after every step, and another store reads the same."""
    way = [(CONFIRMED, "a", ""), (CONTAINED, "b", ""), (REPORTED, "c", "no. 7"), (CLOSED, "d", "improved")]

    for number, (state, actor, reason) in enumerate(way, start=2):
        step = store.move("inc_1", state, at_s=1000.0 + number, actor=actor, reason=reason)
        assert (step.number, step.after, step.actor, step.reason) == (number, state, actor, reason)
        found = store.get("inc_1")
        assert found is not None
        assert found.state is state

    history = store.history("inc_1")
    assert [step.after for step in history] == [OPEN, CONFIRMED, CONTAINED, REPORTED, CLOSED]
    assert [step.before for step in history] == ["", OPEN, CONFIRMED, CONTAINED, REPORTED]
    assert [step.at_s for step in history] == [1000.0, 1002.0, 1003.0, 1004.0, 1005.0]


def test_a_refused_step_changes_nothing(store: IncidentStore) -> None:
    """Wrong step, unknown state, unknown incident, time that runs backwards."""
    for id_, state, at_s in (
        ("inc_1", "closed", 2000.0), ("inc_1", "finished", 2000.0), ("inc_2", "confirmed", 2000.0),
        ("inc_1", "confirmed", 999.0),
    ):  # fmt: skip
        with pytest.raises(FilterError):
            store.move(id_, state, at_s=at_s, actor="a", reason="r")

    assert store.get("inc_1") == FIRST
    assert len(store.history("inc_1")) == 1


def test_of_many_who_confirm_at_once_one_does(store: IncidentStore, tmp_path: Path) -> None:
    """Two stores on one file, several threads: the step is taken once, the rest are told that it cannot be."""
    other = IncidentStore(tmp_path / "incidents.db")
    refused: list[FilterError] = []
    barrier = threading.Barrier(6)

    def confirm(target: IncidentStore) -> None:
        barrier.wait()
        try:
            target.move("inc_1", "confirmed", at_s=2000.0, actor="a")
        except FilterError as error:
            refused.append(error)

    threads = [threading.Thread(target=confirm, args=(target,)) for target in (store, other) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 5
    assert [step.after for step in store.history("inc_1")] == [OPEN, CONFIRMED]
    other.close()


@pytest.mark.asyncio
async def test_a_step_can_be_taken_from_an_event_loop(store: IncidentStore) -> None:
    """`move_async` is `move`."""
    await store.move_async("inc_1", "false_alarm", at_s=2000.0, actor="a", reason="a quotation")

    assert store.history("inc_1")[-1].reason == "a quotation"


@pytest.mark.parametrize(
    ("steps", "now_s", "state", "remaining_s"),
    [
        ([(0.0, OPEN)], 0.0, ClockState.RUNNING, 4 * HOUR_S),
        ([(0.0, OPEN)], 4 * HOUR_S, ClockState.RUNNING, 0.0),
        ([(0.0, OPEN)], 4 * HOUR_S + 1, ClockState.MISSED, -1.0),
        ([(0.0, OPEN), (60.0, CONFIRMED), (90.0, CONTAINED)], 100.0, ClockState.RUNNING, 4 * HOUR_S - 100),
        ([(0.0, OPEN), (60.0, CONFIRMED), (90.0, CONTAINED), (4 * HOUR_S, REPORTED)], 9e9, ClockState.MET, None),
        ([(0.0, OPEN), (60.0, CONFIRMED), (90.0, CONTAINED), (4 * HOUR_S + 1, REPORTED)], 9e9, ClockState.LATE, None),
        ([(0.0, OPEN), (60.0, CONFIRMED), (90.0, CONTAINED), (95.0, CLOSED)], 9e9, ClockState.MET, None),
        ([(0.0, OPEN), (60.0, FALSE_ALARM)], 9e9, ClockState.DROPPED, None),
        ([(0.0, OPEN), (60.0, FALSE_ALARM), (7000.0, OPEN)], 7010.0, ClockState.RUNNING, 4 * HOUR_S - 10),
    ],
)
def test_the_report_clock_runs_from_the_finding(
    steps: list[tuple[float, IncidentState]], now_s: float, state: ClockState, remaining_s: float | None
) -> None:
    """The last moment of the limit is in time; a false alarm drops the clock, opening again starts it anew."""
    (found,) = deadlines(_history(*steps), [REPORT], now_s)

    assert found.state is state
    assert found.remaining_s(now_s) == remaining_s


def test_the_closing_clock_waits_for_the_report() -> None:
    """Thirty days run from the first report."""
    early = _history((0.0, OPEN), (1.0, CONFIRMED), (2.0, CONTAINED))
    late = [*early, *_history((0.0, OPEN), (1.0, CONFIRMED), (2.0, CONTAINED), (3.0, REPORTED))[3:]]

    assert deadlines(early, [CLOSING], 10.0)[0].state is ClockState.WAITING
    assert deadlines(late, [CLOSING], 10.0)[0].due_at_s == 3.0 + 30 * 24 * HOUR_S


def test_the_most_urgent_clock_comes_first() -> None:
    """Those that run by their due time, the others behind."""
    soon = Clock("soon", OPEN, frozenset({CONFIRMED}), 60.0, "")
    later = Clock("later", OPEN, frozenset({CONTAINED}), 600.0, "")

    found = deadlines(_history((0.0, OPEN)), [CLOSING, later, soon], 5.0)

    assert [item.clock.name for item in found] == ["soon", "later", "closing report"]


@pytest.mark.parametrize(
    ("starts", "stops", "limit_s"), [(OPEN, {OPEN}, 1.0), (OPEN, set(), 1.0), (OPEN, {CLOSED}, 0.0)]
)
def test_a_clock_that_cannot_run_is_refused(starts: IncidentState, stops: set[IncidentState], limit_s: float) -> None:
    """A policy with such a clock is wrong."""
    with pytest.raises(FilterError, match="clock"):
        Clock("x", starts, frozenset(stops), limit_s, "")


@given(st.data())
def test_whatever_is_done_clocks_only_start_and_stop_by_steps(data: st.DataObject) -> None:
    """On every possible way: a clock that was met stays met as long as nothing is taken back, and a clock that runs
    is missed after its limit."""
    steps, at_s = [(0.0, OPEN)], 0.0
    for _ in range(data.draw(st.integers(0, 8))):
        choices = sorted(STEPS[steps[-1][1]])
        if not choices:
            break
        at_s += data.draw(st.sampled_from([0.0, 1.0, HOUR_S, 5 * HOUR_S]))
        steps.append((at_s, data.draw(st.sampled_from(choices))))

    (now,) = deadlines(_history(*steps), [REPORT], at_s)
    (much_later,) = deadlines(_history(*steps), [REPORT], at_s + 100 * HOUR_S)

    expected = {ClockState.RUNNING: ClockState.MISSED}.get(now.state, now.state)
    assert much_later.state is expected
    assert (now.state is ClockState.DROPPED) == (steps[-1][1] is FALSE_ALARM)
