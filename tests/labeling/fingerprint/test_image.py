# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of pictures."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageDraw, ImageEnhance

from labeling.fingerprint.image import image_print
from labeling.watermark.embedding import mark_image
from tests.labeling.watermark.pictures import KEY, PAYLOAD, scene


def labelled(image: Image.Image) -> Image.Image:
    """With a plate in a corner, as our own label."""
    image = image.copy()
    ImageDraw.Draw(image).rectangle((image.width * 0.8, image.height * 0.93, image.width, image.height), fill=(0, 0, 0))
    return image


def squeezed(image: Image.Image) -> Image.Image:
    """Through a lossy format at low quality."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=40)
    return Image.open(io.BytesIO(out.getvalue()))


@pytest.mark.parametrize("seed", [61, 62, 63])
def test_a_copy_is_recognised(seed: int) -> None:
    """Smaller, larger, squeezed, brighter, labelled, marked."""
    image = scene(seed)
    known = image_print(image)
    copies = (
        image.resize((160, 128)),
        image.resize((1280, 900)),
        squeezed(image),
        ImageEnhance.Brightness(image).enhance(1.1),
        labelled(image),
        mark_image(image, PAYLOAD, KEY),
        image.convert("RGBA"),
    )
    assert known is not None
    for copy in copies:
        shown = image_print(copy)
        assert shown is not None and known.is_like(shown)


def test_strangers_are_not_like() -> None:
    """None of ten other pictures."""
    prints = [image_print(scene(seed, (200, 160))) for seed in range(70, 80)]
    likeness = [one.likeness(other) for one in prints for other in prints if one and other and one is not other]
    assert max(likeness) < 0.75


def test_a_picture_that_shows_nothing_has_none() -> None:
    """It would be like every other one."""
    assert image_print(Image.new("RGB", (300, 300), (9, 9, 9))) is None
