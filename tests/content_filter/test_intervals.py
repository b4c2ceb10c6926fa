# SPDX-License-Identifier: Apache-2.0
"""Wilson's interval against published values and its properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_filter.intervals import Share


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_that_of_newcombes_table(hits: int, total: int, low: float, high: float) -> None:
    """R. G. Newcombe (1998), table I, method 3."""
    interval = Share(hits, total).interval

    assert interval is not None
    assert interval == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_the_interval_holds_the_share_and_stays_between_0_and_1(hits: int, total: int) -> None:
    """Also at the ends, where simpler intervals fail."""
    share = Share(min(hits, total), total)
    assert share.interval is not None
    assert share.value is not None

    assert 0 <= share.interval[0] <= share.value <= share.interval[1] <= 1


def test_nothing_counted_says_nothing() -> None:
    """No division by zero, no share."""
    assert Share(0, 0).as_json() == {"hits": 0, "of": 0, "share": None, "interval_95": None}
    with pytest.raises(ValueError, match="hits"):
        Share(2, 1)
