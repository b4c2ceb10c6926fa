# SPDX-License-Identifier: Apache-2.0
"""The waves of a key."""

from __future__ import annotations

import numpy as np
import pytest

from labeling.errors import LabelError
from labeling.watermark.carriers import DATA, LEAST_CYCLES, MOST_CYCLES, PILOTS, carriers_of, wanted_of
from labeling.watermark.code import encode


def test_a_key_gives_the_same_waves_for_ever() -> None:
    """They are drawn by SHAKE-256, not by a generator that a library may change: files marked years ago are read."""
    waves = carriers_of(bytes(32))
    assert waves.cycles.shape == (PILOTS + DATA, 2)
    assert waves.cycles[:3].tolist() == [[-14, 46], [-71, 64], [-22, 65]]
    assert np.angle(waves.phases[0]) == pytest.approx(-0.07191, abs=1e-4)


def test_another_key_gives_other_waves() -> None:
    """Who has another key looks elsewhere."""
    one, other = (set(map(tuple, carriers_of(bytes([number]) * 32).cycles.tolist())) for number in (1, 2))
    assert len(one & other) < len(one) // 10


def test_waves_keep_apart_and_within_the_band() -> None:
    """So that a crop, which blurs each by a cycle, does not mix them."""
    cycles = carriers_of(bytes(range(32))).cycles.astype(float)
    radius = np.hypot(cycles[:, 0], cycles[:, 1])
    assert radius.min() >= LEAST_CYCLES and radius.max() <= MOST_CYCLES
    apart = np.hypot(*(cycles[:, None, :] - cycles[None, :, :]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    assert apart.min() >= 4


def test_pilots_do_not_depend_on_the_payload() -> None:
    """They tell the place; the others tell the payload."""
    waves = carriers_of(bytes(32))
    one, other = wanted_of(waves, encode(b"abcdef")), wanted_of(waves, encode(b"ghijkl"))
    assert np.array_equal(one[:PILOTS], other[:PILOTS])
    assert not np.allclose(one[PILOTS:], other[PILOTS:])
    assert np.abs(one) == pytest.approx(1.0, abs=1e-5)


def test_a_key_of_another_length_is_refused() -> None:
    """Nothing is padded."""
    with pytest.raises(LabelError, match="32 bytes"):
        carriers_of(b"short")
