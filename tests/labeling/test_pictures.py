# SPDX-License-Identifier: Apache-2.0
"""Decoding pictures of strangers for looking at."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from labeling.errors import DamagedFile, RefusedFile, UnsupportedFormat
from labeling.pictures import picture_of
from labeling.sniff import FileFormat


def written(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_a_picture_is_seen_upright() -> None:
    """A camera that was held sideways says so in EXIF; people see the picture turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = written(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    assert picture_of(turned, FileFormat.JPEG).size == (20, 40)


def test_only_the_decoder_of_the_sniffed_format_is_used() -> None:
    """Bytes that claim to be another format do not choose their parser."""
    with pytest.raises(DamagedFile, match="PNG"):
        picture_of(written(Image.new("L", (9, 9)), "GIF"), FileFormat.PNG)


def test_damage_size_and_strangeness_are_told_apart() -> None:
    """Cut off, too large, or nothing to decode here."""
    data = written(Image.radial_gradient("L"), "PNG")
    with pytest.raises(DamagedFile):
        picture_of(data[: len(data) // 2], FileFormat.PNG)
    with pytest.raises(RefusedFile, match="1000 pixels"):
        picture_of(data, FileFormat.PNG, max_pixels=1000)
    for file_format in (FileFormat.SVG, FileFormat.HEIC, FileFormat.WAV):
        with pytest.raises(UnsupportedFormat):
            picture_of(data, file_format)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A few bytes that claim more pixels than the decoder's own limit."""
    data = bytearray(written(Image.new("1", (8, 8)), "GIF"))
    data[6:10] = b"\xff\xff\xff\xff"
    with pytest.raises(RefusedFile):
        picture_of(bytes(data), FileFormat.GIF)
