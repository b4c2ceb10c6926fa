# SPDX-License-Identifier: Apache-2.0
"""The rule of the activity clock, against a straightforward count of the same touches."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.state.activity import KEPT_DAYS, Activity, touched

GAP_MS = 300_000
DAY_MS = 86_400_000


@given(st.lists(st.integers(0, 2 * DAY_MS), min_size=1, max_size=60))
def test_totals_equal_a_count_of_all_intervals(moments: list[int]) -> None:
    """Each interval shorter than the gap counts to the days it lies in, and to nothing else."""
    moments = sorted(moments)
    activity: Activity | None = None
    for moment in moments:
        day = moment // DAY_MS
        activity = touched(activity, moment, f"day-{day}", GAP_MS, day * DAY_MS)
        used = [(a, b) for a, b in pairwise(moments) if b <= moment and b - a < GAP_MS]
        # What one millisecond after another would say: the part of every interval that lies in this day.
        total = sum(max(0, b - max(a, day * DAY_MS)) for a, b in used)
        pauses = [b for a, b in pairwise(moments) if b <= moment and b - a >= GAP_MS]

        assert total == activity.day_ms
        assert moment - max([moments[0], *pauses]) == activity.last_ms - activity.started_ms


@given(st.lists(st.tuples(st.integers(0, 4_000_000), st.booleans()), max_size=40))
def test_a_total_never_falls_and_never_outruns_the_clock(calls: list[tuple[int, bool]]) -> None:
    """In any order of touches within a clock difference of two replicas."""
    activity: Activity | None = None
    latest = total = 0
    for moment, is_late in calls:
        now = max(0, latest - moment % 3_600_000) if is_late else latest + moment % 400_000
        latest = max(latest, now)
        activity = touched(activity, now, "day", GAP_MS, 0)

        assert total <= activity.day_ms <= latest
        total = activity.day_ms


def test_only_the_newest_days_are_kept() -> None:
    """What is kept of one person is bounded."""
    activity: Activity | None = None
    for number in range(10, 30):
        activity = touched(activity, number * 1000, f"2026-03-{number}", GAP_MS, 0)

    assert activity is not None
    assert (activity.day, len(activity.others)) == ("2026-03-29", KEPT_DAYS - 1)
    assert [day for day, _ in activity.others] == ["2026-03-28", "2026-03-27"]
