# SPDX-License-Identifier: Apache-2.0
"""Reading marks after what happens to pictures, and not where there are none."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageEnhance

from labeling.watermark.detection import find_mark, holds_mark
from labeling.watermark.embedding import mark_image
from tests.labeling.watermark.pictures import KEY, PAYLOAD, scene

Attack = Callable[[Image.Image], Image.Image]


def lossy(kind: str, quality: int) -> Attack:
    """Written and read again."""

    def attack(image: Image.Image) -> Image.Image:
        out = io.BytesIO()
        image.save(out, kind, quality=quality)
        return Image.open(io.BytesIO(out.getvalue())).convert("RGB")

    return attack


def cut(left: float, top: float, right: float, bottom: float) -> Attack:
    """Parts of the width and height cut off at the four sides."""
    return lambda image: image.crop(
        (
            round(image.width * left),
            round(image.height * top),
            round(image.width * (1 - right)),
            round(image.height * (1 - bottom)),
        )
    )


ATTACKS: dict[str, Attack] = {
    "jpeg 50": lossy("JPEG", 50),
    "webp 75": lossy("WEBP", 75),
    "a quarter": lambda image: image.resize((image.width // 4, image.height // 4), Image.Resampling.LANCZOS),
    "twice": lambda image: image.resize((image.width * 2, image.height * 2)),
    "another aspect": lambda image: image.resize((image.width, round(image.height * 0.7))),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "cut at a side": cut(0.1, 0, 0, 0),
    "cut at a corner, jpeg 60": lambda image: lossy("JPEG", 60)(cut(0, 0.1, 0.1, 0)(image)),
    "turned": lambda image: image.rotate(2, Image.Resampling.BICUBIC),
    "turned the other way in a larger frame": lambda image: image.rotate(-2, Image.Resampling.BICUBIC, expand=True),
}


@pytest.fixture(scope="module")
def marked() -> Image.Image:
    """A picture of somewhat less than a megapixel."""
    return mark_image(scene(11, (1024, 768)), PAYLOAD, KEY)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_mark_survives(name: str, marked: Image.Image) -> None:
    """The payload is read after each, without the original."""
    found = find_mark(ATTACKS[name](marked), KEY)
    assert found is not None and found.payload == PAYLOAD


def test_a_find_says_whether_the_picture_was_moved(marked: Image.Image) -> None:
    """Resizing is no move, a cut is one; the fit is a share."""
    still, moved = find_mark(marked, KEY), find_mark(cut(0.1, 0.05, 0, 0)(marked), KEY)
    assert still is not None and not still.was_moved and 0.36 <= still.fit <= 1
    assert moved is not None and moved.was_moved
    assert find_mark(cut(0.1, 0.05, 0, 0)(marked), KEY, thorough=False) is None


def test_another_key_sees_nothing(marked: Image.Image) -> None:
    """Only who made the mark reads it."""
    assert find_mark(marked, bytes(32)) is None


@pytest.mark.parametrize("seed", range(4))
def test_pictures_without_a_mark_have_none(seed: int) -> None:
    """However long one looks."""
    assert find_mark(scene(100 + seed, (320, 320)), KEY) is None


@pytest.mark.parametrize("size", [(1, 1), (40, 900), (300, 300)])
def test_pictures_that_show_nothing_have_none(size: tuple[int, int]) -> None:
    """One colour, or a few pixels: no error, no mark."""
    assert find_mark(Image.new("RGB", size, (255, 255, 255)), KEY) is None


def test_reading_back_knows_the_payload(marked: Image.Image) -> None:
    """The check after writing: this payload, under this key, and no other."""
    assert holds_mark(marked, PAYLOAD, KEY)
    assert not holds_mark(marked, b"others", KEY)
    assert not holds_mark(marked, PAYLOAD, bytes(32))
    assert not holds_mark(scene(11, (1024, 768)), PAYLOAD, KEY)
    assert not holds_mark(Image.new("L", (300, 300)), PAYLOAD, KEY)
