# SPDX-License-Identifier: Apache-2.0
"""Finding out what happened to a picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from labeling.watermark.carriers import carriers_of
from labeling.watermark.embedding import mark_image
from labeling.watermark.registration import Placement, Registration, window
from labeling.watermark.spectrum import SIDE, activity, band_of, canonical, flattened
from tests.labeling.watermark.pictures import KEY, PAYLOAD, scene


def best(image: Image.Image) -> Placement:
    """The likeliest placement of a picture."""
    band = band_of(canonical(image))
    found = Registration(flattened(band, activity(band)), carriers_of(KEY), image.width / image.height)
    return found.placements(4)[0]


@pytest.fixture(scope="module")
def marked() -> Image.Image:
    """A square picture with a mark."""
    return mark_image(scene(21, (640, 640)), PAYLOAD, KEY)


def test_a_crop_is_measured(marked: Image.Image) -> None:
    """A tenth off the width leaves nine tenths of the waves across."""
    found = best(marked.crop((64, 0, 640, 608)))
    assert found.matrix == pytest.approx(np.diag([0.9, 0.95]), abs=0.002)
    assert found.evidence > 0.5


def test_a_turn_is_measured(marked: Image.Image) -> None:
    """Two degrees, with their sign."""
    found = best(marked.rotate(2, Image.Resampling.BICUBIC))
    angle = np.degrees(np.arctan2(found.matrix[1, 0] - found.matrix[0, 1], np.trace(found.matrix)))
    assert abs(abs(angle) - 2) < 0.1
    other = best(marked.rotate(-2, Image.Resampling.BICUBIC))
    assert np.sign(other.matrix[1, 0]) == -np.sign(found.matrix[1, 0])


def test_without_a_mark_there_is_little_evidence() -> None:
    """The pilots of a strange picture agree by chance only."""
    assert best(scene(22, (512, 512))).evidence < 0.45


def test_the_window_fades_to_the_borders() -> None:
    """Full in the middle, next to nothing at the rim."""
    shape = window()
    assert shape.shape == (SIDE, SIDE)
    assert shape[SIDE // 2, SIDE // 2] == pytest.approx(1.0)
    assert shape[0].max() < 0.01 and shape[:, -1].max() < 0.01
