# SPDX-License-Identifier: Apache-2.0
"""When a complaint has to be acknowledged, looked at and answered. Every number comes from the caller's policy.

Counting follows the Civil Code of China (民法典) art. 201 and 203: the day something happens does not count, and a
limit ends with its last day. Working days follow the State Council's yearly holiday notice, as `chinesecalendar`
publishes it, with make-up working days at weekends. A year that it does not hold yet is counted Monday to Friday and
the result says so (`Due.is_certain`). Deadlines are derived: with a newer calendar they are computed anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Protocol

import chinese_calendar

from complaints.errors import Invalid

_LAST_SECOND = time(23, 59, 59)
_COVERED_YEARS = frozenset(day.year for day in chinese_calendar.holidays)
_YEARS_AHEAD_MAX = 10


class Calendar(Protocol):
    """Which days are worked. Both must be pure: the same day, the same answer."""

    def is_working_day(self, day: date) -> bool:
        """Whether the desk's time limits count this day."""

    def is_certain(self, day: date) -> bool:
        """Whether that rests on a published calendar, not on a rule of thumb."""


@dataclass(frozen=True, slots=True)
class ChinaCalendar:
    """The mainland calendar. `holidays` and `workdays` overrule it; `complete_years` are years they fully describe."""

    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()
    complete_years: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.holidays & self.workdays:
            raise Invalid("holidays", "a day cannot be both a holiday and a working day")

    def is_working_day(self, day: date) -> bool:
        if day in self.workdays:
            return True
        if day in self.holidays:
            return False
        if day.year in _COVERED_YEARS and day.year not in self.complete_years:
            return bool(chinese_calendar.is_workday(day))
        return day.weekday() < 5

    def is_certain(self, day: date) -> bool:
        listed = day in self.workdays or day in self.holidays
        return listed or day.year in _COVERED_YEARS or day.year in self.complete_years


@dataclass(frozen=True, slots=True)
class WeekdayCalendar:
    """Monday to Friday less `holidays`, for places whose policy says so; always certain."""

    holidays: frozenset[date] = field(default_factory=frozenset)

    def is_working_day(self, day: date) -> bool:
        return day.weekday() < 5 and day not in self.holidays

    def is_certain(self, day: date) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Due:
    """The last second of a time limit, in the policy's time zone."""

    at: datetime
    is_certain: bool


def due(received_at: datetime, working_days: int, tz: tzinfo, calendar: Calendar) -> Due:
    """The end of the `working_days`-th working day after the day, in `tz`, of `received_at` (aware).

    >>> from datetime import UTC; from zoneinfo import ZoneInfo
    >>> friday = datetime(2026, 9, 18, 4, tzinfo=UTC)   # National Day holidays ahead, with make-up Sundays
    >>> due(friday, 3, ZoneInfo("Asia/Shanghai"), ChinaCalendar()).at.isoformat()
    '2026-09-22T23:59:59+08:00'
    """
    if received_at.tzinfo is None:
        raise Invalid("received_at", "expected a time with its zone")
    if working_days < 1:
        raise Invalid("working_days", "expected 1 or more")
    day = received_at.astimezone(tz).date()
    horizon = day.year + _YEARS_AHEAD_MAX
    is_certain = True
    left = working_days
    while left:
        day += timedelta(days=1)
        if day.year > horizon:
            raise Invalid("working_days", f"the calendar has not so many working days within {_YEARS_AHEAD_MAX} years")
        is_certain = is_certain and calendar.is_certain(day)
        left -= calendar.is_working_day(day)
    return Due(datetime.combine(day, _LAST_SECOND, tz), is_certain)


def earliest(moments: Iterable[datetime | None]) -> datetime | None:
    """The earliest of the moments given, `None` where there is none."""
    return min((moment for moment in moments if moment is not None), default=None)
