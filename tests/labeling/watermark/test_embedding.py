# SPDX-License-Identifier: Apache-2.0
"""Putting a mark into pictures of all kinds."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from labeling.errors import LabelError, UnsupportedFormat
from labeling.watermark.detection import find_mark
from labeling.watermark.embedding import LEAST_PSNR_DB, is_markable, mark_image, why_not
from tests.labeling.watermark.pictures import KEY, PAYLOAD, scene


def psnr_db(one: Image.Image, other: Image.Image) -> float:
    """The distance of two pictures in decibels."""
    square = np.mean(np.square(np.asarray(one, np.float64) - np.asarray(other, np.float64)))
    return float(10 * np.log10(255**2 / square))


@pytest.mark.parametrize("size", [(256, 256), (512, 640), (1024, 300), (1500, 1100)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_mark_is_hardly_seen_and_read_back(size: tuple[int, int], seed: int) -> None:
    """At every size: at least 40 dB from the original, and the payload is there."""
    image = scene(seed, size)
    marked = mark_image(image, PAYLOAD, KEY)
    assert marked.size == size and marked.mode == "RGB"
    assert psnr_db(image, marked) >= LEAST_PSNR_DB
    found = find_mark(marked, KEY, thorough=False)
    assert found is not None and found.payload == PAYLOAD


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16"])
def test_every_kind_of_pixels_keeps_its_kind(mode: str) -> None:
    """Grey, transparent, for print, 16 bits: the mark is there and the kind is the same."""
    image = scene(3, mode="RGB" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    marked = mark_image(image, PAYLOAD, KEY)
    assert marked.mode == mode
    found = find_mark(marked, KEY, thorough=False)
    assert found is not None and found.payload == PAYLOAD


def test_transparency_stays_as_it_is() -> None:
    """The alpha band is no brightness."""
    image = scene(4, mode="RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    marked = mark_image(image, PAYLOAD, KEY)
    assert marked.getchannel("A").tobytes() == image.getchannel("A").tobytes()


def test_one_colour_all_over_can_be_marked() -> None:
    """There is no activity to hide in; the floor of the strength is enough without loss."""
    marked = mark_image(Image.new("RGB", (512, 512), (120, 130, 140)), PAYLOAD, KEY)
    found = find_mark(marked, KEY, thorough=False)
    assert found is not None and found.payload == PAYLOAD


def test_a_second_mark_takes_the_place_of_the_first() -> None:
    """A picture that was edited and goes out again leads to its last record."""
    twice = mark_image(mark_image(scene(5), b"first.", KEY), PAYLOAD, KEY)
    found = find_mark(twice, KEY, thorough=False)
    assert found is not None and found.payload == PAYLOAD


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.new("RGB", (255, 900)), "too small"),
        (Image.new("RGB", (300, 1300)), "too small"),
        (Image.new("P", (512, 512)), "kind P"),
        (Image.new("F", (512, 512)), "kind F"),
    ],
)
def test_what_cannot_hold_a_mark_says_why(image: Image.Image, reason: str) -> None:
    """Too small, too long, or pixels of another kind."""
    assert not is_markable(image)
    assert reason in why_not(image)
    with pytest.raises(UnsupportedFormat, match="not marked"):
        mark_image(image, PAYLOAD, KEY)


def test_a_wrong_payload_or_key_is_refused() -> None:
    """Nothing is cut or padded."""
    with pytest.raises(LabelError, match="6 bytes"):
        mark_image(scene(1), b"12345", KEY)
    with pytest.raises(LabelError, match="32 bytes"):
        mark_image(scene(1), PAYLOAD, b"key")
