# SPDX-License-Identifier: Apache-2.0
"""Words that go with harm get weight, words that do not get none."""

import numpy as np
import pytest

from content_filter.training.linear import LinearPlan, fit

TEXTS = [np.array(rows) for rows in ([0, 2], [1, 2], [0, 3], [1, 3])] * 40
"""Row 0 stands in harmful texts, row 1 in harmless ones, 2 and 3 in both; 4 nowhere."""
WANTED = np.array([[1], [0], [1], [0]] * 40, np.float32)
EVEN = np.ones((160, 1), np.float32)


def test_words_are_weighed_by_what_they_go_with() -> None:
    """An n-gram that no text has keeps no weight."""
    table, bias = fit(TEXTS, 5, WANTED, EVEN, LinearPlan(passes=20, batch=16))

    assert table[0, 0] > 1 > 0.3 > abs(table[2, 0])
    assert table[1, 0] < -1
    assert table[4, 0] == 0
    assert bias.shape == (1,)


def test_a_row_without_weight_teaches_nothing() -> None:
    """And a text without any known n-gram does no harm."""
    weights = EVEN.copy()
    weights[0::4] = 0  # the rows [0, 2]
    texts = [np.zeros(0, np.int64) if index % 4 == 2 else text for index, text in enumerate(TEXTS)]

    table, _ = fit(texts, 5, WANTED, weights, LinearPlan(passes=5, batch=16))

    assert table[0, 0] == pytest.approx(0, abs=1e-6)
    assert table[1, 0] < 0


def test_the_same_rows_give_the_same_weights() -> None:
    """Another seed orders them otherwise."""
    first, again = (fit(TEXTS, 5, WANTED, EVEN, LinearPlan(passes=2))[0] for _ in range(2))
    assert np.array_equal(first, again)


def test_rare_words_are_shrunk() -> None:
    """The more is given up at each step, the less is left."""
    weak = fit(TEXTS, 5, WANTED, EVEN, LinearPlan(passes=10, shrink=1e-2))[0]
    strong = fit(TEXTS, 5, WANTED, EVEN, LinearPlan(passes=10, shrink=0.0))[0]
    assert 0 < weak[0, 0] < strong[0, 0]
