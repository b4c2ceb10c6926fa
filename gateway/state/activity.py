# SPDX-License-Identifier: Apache-2.0
"""The clock of activity: how touches become a day's total and a continuous stretch.

This is the one place where the rule stands in Python; the memory and SQLite stores call it, and the Redis store's
script says the same in Lua (a test compares them). What must hold: a total never falls, an interval counts at most
once, a pause of the idle gap or longer counts nothing, and no order of touches from several devices, replicas or time
zones counts less than the clock saw on one of them.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.state.interfaces import Usage

KEPT_MS = 72 * 3_600_000
"""How long activity is kept after the last touch. Between the first and the last time zone of the earth a date lasts
50 hours, so a day that is forgotten after 72 can come back nowhere."""

KEPT_DAYS = 3
"""How many dates are kept: at any moment at most three are current somewhere on earth, so that a person who changes
zone to and fro finds each day's total again instead of a fresh one."""

CLOCK_STEP_MS = 3_600_000
"""A last touch further in the future than this is a clock that was wrong and has been put right: a new stretch begins
at the present time. Anything nearer is two replicas whose clocks differ, and the later one counts."""


class Activity(NamedTuple):
    """What is kept for one person, in milliseconds since the epoch and milliseconds used.

    The newest-touched day stands in its own two fields because most people have only one: a million of these must fit.
    """

    last_ms: int
    started_ms: int
    day: str
    day_ms: int
    others: tuple[tuple[str, int], ...] = ()

    def usage(self) -> Usage:
        """The same for the caller, in seconds."""
        return Usage(self.day_ms / 1000, (self.last_ms - self.started_ms) / 1000, self.started_ms / 1000)

    def expires_ms(self) -> int:
        """When this may be forgotten."""
        return self.last_ms + KEPT_MS


def touched(before: Activity | None, now_ms: int, day: str, gap_ms: int, day_started_ms: int) -> Activity:
    """The activity after a touch at `now_ms` on the local date `day`, which began at `day_started_ms`."""
    if before is None:
        return Activity(now_ms, now_ms, day, 0)
    last_ms, started_ms, shown, day_ms, others = before
    if day != shown:
        totals = dict(others)
        totals[shown] = day_ms
        day_ms = totals.pop(day, 0)
        newest = sorted(totals, reverse=True)[: KEPT_DAYS - 1]
        others = tuple((name, totals[name]) for name in newest)
    passed_ms = now_ms - last_ms
    if passed_ms >= gap_ms or passed_ms < -CLOCK_STEP_MS:
        return Activity(now_ms, now_ms, day, day_ms, others)
    if passed_ms <= 0:
        return Activity(last_ms, started_ms, day, day_ms, others)
    day_ms += max(0, now_ms - max(last_ms, day_started_ms))
    return Activity(now_ms, started_ms, day, day_ms, others)
