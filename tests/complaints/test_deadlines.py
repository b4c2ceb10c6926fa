# SPDX-License-Identifier: Apache-2.0
"""The working-day clock, against days counted by hand from the State Council's notice for 2026."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from complaints.deadlines import Calendar, ChinaCalendar, WeekdayCalendar, due, earliest
from complaints.errors import Invalid

SHANGHAI = ZoneInfo("Asia/Shanghai")
CHINA = ChinaCalendar()


def _noon(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 12, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("received_at", "working_days", "last_day"),
    [
        (_noon(2026, 11, 2), 1, date(2026, 11, 3)),  # a plain week: the day itself does not count
        (_noon(2026, 11, 6), 1, date(2026, 11, 9)),  # Friday to Monday
        (_noon(2026, 11, 7), 1, date(2026, 11, 9)),  # received on a Saturday
        (_noon(2026, 11, 2), 15, date(2026, 11, 23)),  # three weeks
        (_noon(2026, 9, 18), 1, date(2026, 9, 20)),  # a Sunday that is worked
        (_noon(2026, 9, 24), 1, date(2026, 9, 28)),  # Mid-Autumn
        (_noon(2026, 9, 30), 1, date(2026, 10, 8)),  # National Day
        (_noon(2026, 9, 18), 15, date(2026, 10, 15)),  # all of these at once, and the worked Saturday 10 October
    ],
)
def test_working_days_follow_the_published_calendar(received_at: datetime, working_days: int, last_day: date) -> None:
    """Holidays do not count, make-up weekend days do."""
    limit = due(received_at, working_days, SHANGHAI, CHINA)

    assert limit.at.date() == last_day
    assert limit.at.isoformat().endswith("T23:59:59+08:00")
    assert limit.is_certain


def test_the_day_of_receipt_is_the_day_where_the_desk_is() -> None:
    """16:00 UTC is the next day in Shanghai."""
    before = due(datetime(2026, 11, 2, 15, 59, tzinfo=UTC), 1, SHANGHAI, CHINA)
    after = due(datetime(2026, 11, 2, 16, 0, tzinfo=UTC), 1, SHANGHAI, CHINA)

    assert (before.at.date(), after.at.date()) == (date(2026, 11, 3), date(2026, 11, 4))


def test_a_year_not_yet_published_is_counted_by_weekdays_and_says_so() -> None:
    """The limit that reaches into such a year is marked; the one that ends before is not."""
    assert due(_noon(2040, 10, 1), 5, SHANGHAI, CHINA).at.date() == date(2040, 10, 8)
    assert not due(_noon(2040, 10, 1), 5, SHANGHAI, CHINA).is_certain
    assert not due(_noon(2026, 12, 30), 2, SHANGHAI, CHINA).is_certain
    assert due(_noon(2026, 12, 30), 1, SHANGHAI, CHINA).is_certain


def test_an_operator_can_overrule_and_complete_the_calendar() -> None:
    """Own holidays and working days win, and a year declared complete is certain."""
    own = ChinaCalendar(
        holidays=frozenset({date(2026, 11, 3), date(2040, 10, 1)}),
        workdays=frozenset({date(2026, 11, 7)}),
        complete_years=frozenset({2040}),
    )

    assert due(_noon(2026, 11, 2), 1, SHANGHAI, own).at.date() == date(2026, 11, 4)
    assert due(_noon(2026, 11, 6), 1, SHANGHAI, own).at.date() == date(2026, 11, 7)
    assert due(_noon(2040, 9, 28), 1, SHANGHAI, own).at.date() == date(2040, 10, 2)
    assert due(_noon(2040, 9, 28), 1, SHANGHAI, own).is_certain


def test_a_year_declared_complete_replaces_the_published_one() -> None:
    """Then only the operator's own days count besides weekends."""
    own = ChinaCalendar(complete_years=frozenset({2026}))

    assert due(_noon(2026, 9, 30), 1, SHANGHAI, own).at.date() == date(2026, 10, 1)


def test_a_day_cannot_be_holiday_and_working_day() -> None:
    """A contradiction is refused when it is made."""
    with pytest.raises(Invalid):
        ChinaCalendar(holidays=frozenset({date(2026, 1, 1)}), workdays=frozenset({date(2026, 1, 1)}))


def test_elsewhere_weekdays_less_holidays_count() -> None:
    """The plain calendar knows weekends and what it is told."""
    plain = WeekdayCalendar(frozenset({date(2026, 9, 21)}))

    assert due(_noon(2026, 9, 18), 1, SHANGHAI, plain).at.date() == date(2026, 9, 22)


def test_nonsense_is_refused() -> None:
    """A time without zone, no days, and a calendar without working days are errors, not endless loops."""
    with pytest.raises(Invalid, match="received_at"):
        due(datetime(2026, 9, 18), 1, SHANGHAI, CHINA)
    with pytest.raises(Invalid, match="working_days"):
        due(_noon(2026, 9, 18), 0, SHANGHAI, CHINA)
    never = ChinaCalendar(holidays=frozenset(date(2027, 1, 1) + timedelta(days=n) for n in range(366 * 12)))
    with pytest.raises(Invalid, match="calendar"):
        due(_noon(2027, 1, 4), 1, SHANGHAI, never)


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),
    st.integers(1, 60),
    st.sampled_from([SHANGHAI, ZoneInfo("America/New_York"), timezone(timedelta(hours=-11))]),
    st.sampled_from([CHINA, WeekdayCalendar()]),
)
def test_a_limit_is_the_end_of_exactly_that_many_working_days(
    received_at: datetime, working_days: int, tz: ZoneInfo, calendar: Calendar
) -> None:
    """Counted the slow way: the days after receipt up to the limit hold just so many working days, the last is one."""
    last = due(received_at, working_days, tz, calendar).at.astimezone(tz).date()
    first = received_at.astimezone(tz).date()
    days = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]

    assert sum(calendar.is_working_day(day) for day in days) == working_days
    assert calendar.is_working_day(last)


def test_the_earliest_moment_ignores_what_is_absent() -> None:
    """`None` among the moments does not matter; alone it is the answer."""
    assert earliest([None, _noon(2026, 2, 2), _noon(2026, 1, 1)]) == _noon(2026, 1, 1)
    assert earliest([None]) is None
