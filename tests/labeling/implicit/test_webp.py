# SPDX-License-Identifier: Apache-2.0
"""WebP: every kind becomes extended and keeps its picture."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image

from labeling import implicit
from labeling.aigc import AigcLabel
from labeling.sniff import FileFormat

Encode = Callable[..., bytes]


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 80}, {"quality": 80, "exif": b"Exif\x00\x00II*\x00"}]
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_of_every_kind_becomes_extended_and_keeps_its_size_and_alpha(
    options: dict[str, object], mode: str, label: AigcLabel, encode: Encode
) -> None:
    """Simple lossy, simple lossless, already extended; read by libwebp."""
    picture = Image.new(mode, (33, 17), (9, 99, 199, 77)[: len(mode)])
    data = encode(picture, "WEBP", **options)
    written = implicit.write(data, FileFormat.WEBP, label)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(written)) as after:
        assert (after.size, after.mode, after.tobytes()) == (before.size, before.mode, before.tobytes())
        assert b"TC260" in after.info["xmp"]


def test_an_animated_webp_keeps_its_frames(label: AigcLabel, encode: Encode) -> None:
    """Frames, times, loop count."""
    frames = [Image.new("RGB", (20, 20), (index * 80, 0, 0)) for index in range(3)]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=[30, 60, 90], loop=3)
    with Image.open(io.BytesIO(implicit.write(data, FileFormat.WEBP, label))) as image:
        assert (image.n_frames, image.info["loop"]) == (3, 3)
