# SPDX-License-Identifier: Apache-2.0
"""The square picture and its waves."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from labeling.watermark.spectrum import (
    SIDE,
    activity,
    band_of,
    canonical,
    flattened,
    grey_of,
    picture_of,
    waves_at,
    whole_waves,
)
from tests.labeling.watermark.pictures import scene

CYCLES = np.array([[30, 41], [-52, 60], [90, 7]], np.int32)


def test_waves_that_were_put_in_are_read_out() -> None:
    """Both ways of reading give back the amplitudes and phases that made the picture."""
    values = np.array([1.0, 0.5j, -0.25 + 0.1j], np.complex64)
    picture = picture_of(CYCLES, values)
    scale = SIDE * SIDE / 2
    assert whole_waves(picture, CYCLES) / scale == pytest.approx(values, abs=1e-4)
    assert waves_at(picture, CYCLES.astype(float)) / scale == pytest.approx(values, abs=1e-4)


def test_the_band_is_without_brightness_and_slow_change() -> None:
    """A gradient is nearly nothing in it, a wave in the middle stays."""
    slope = np.tile(np.linspace(0, 255, SIDE, dtype=np.float32), (SIDE, 1))
    wave = picture_of(CYCLES[:1], np.array([20.0], np.complex64))
    assert np.abs(band_of(wave + 100)).max() == pytest.approx(20, rel=0.02)
    inside = band_of(slope)[:, SIDE // 4 : -SIDE // 4]  # the step between its ends is no slow change
    assert inside.std() < slope.std() / 20


def test_flattening_evens_the_activity_out() -> None:
    """Busy and quiet halves have about the same strength afterwards."""
    band = band_of(np.asarray(canonical(scene(31))))
    band[:, : SIDE // 2] *= 20
    flat = flattened(band, activity(band))
    assert np.abs(flat).max() <= 3
    assert flat[:, : SIDE // 2].std() / flat[:, SIDE // 2 :].std() < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_any_picture_becomes_a_grey_square(mode: str) -> None:
    """Of eight bits, whatever it was."""
    image = Image.new("I;16", (70, 50)) if mode == "I;16" else scene(32, (70, 50)).convert(mode)
    assert grey_of(image).mode == "L" and grey_of(image).size == (70, 50)
    assert canonical(image).shape == (SIDE, SIDE)


def test_what_is_transparent_is_not_seen() -> None:
    """Colours under full transparency do not count."""
    image = scene(33, (64, 64), "RGBA")
    image.putalpha(0)
    assert grey_of(image).getextrema() == (128, 128)
