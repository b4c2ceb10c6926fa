# SPDX-License-Identifier: Apache-2.0
"""Times of queries and answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.moments import format_moment, parse_moment
from gateway.operator.problems import ProblemError

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=offsets))
def test_any_time_with_an_offset_is_read_to_the_microsecond(moment: datetime) -> None:
    """Whatever the offset."""
    expected = round(moment.timestamp() * 1_000_000)

    assert round(parse_moment(moment.isoformat(timespec="microseconds"), "since") * 1_000_000) == expected


@given(st.integers(0, 4_102_444_800_000))
def test_what_is_written_is_read_back(time_ms: int) -> None:
    """An answer's time can be put into the next query."""
    text = format_moment(time_ms / 1000)

    assert round(parse_moment(text, "since") * 1000) == time_ms
    assert datetime.fromisoformat(text).tzinfo == UTC


@given(st.text(max_size=40))
def test_any_other_text_is_a_problem_that_names_the_field(text: str) -> None:
    """Reading raises one thing and repeats nothing."""
    try:
        parse_moment(text, "until")
    except ProblemError as error:
        assert error.problem.status == 400
        assert error.problem.detail.startswith("until: expected RFC 3339")


def test_more_digits_than_microseconds_are_cut() -> None:
    """Nanoseconds, as Go programs write them, are no error."""
    assert parse_moment("1970-01-01T00:00:01.123456789Z", "since") == pytest.approx(1.123456, abs=1e-9)
