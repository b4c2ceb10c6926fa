# SPDX-License-Identifier: Apache-2.0
"""EXIF: labels of other writers are read and blanked."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable

import pytest
from PIL import Image

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.implicit import exif
from labeling.sniff import FileFormat

Encode = Callable[..., bytes]


MakePicture = Callable[..., Image.Image]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


def exif_with_label(label: AigcLabel) -> Image.Exif:
    made = Image.Exif()
    made[0x010E] = json.dumps({"AIGC": label.as_dict()})
    made[0x010F] = "kept maker"
    return made


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_label_in_exif_is_read_and_blanked(
    kind: str, label: AigcLabel, other_label: AigcLabel, make_picture: MakePicture, encode: Encode
) -> None:
    """One label a file; the other EXIF values stay."""
    data = encode(make_picture(), kind, exif=exif_with_label(other_label))
    (field,) = implicit.read(data, FileFormat[kind])
    written = implicit.write(data, FileFormat[kind], label)

    assert "ImageDescription" in field.place and not field.is_guide_place
    assert parse(field.value).label == other_label
    assert only_label(written, FileFormat[kind]) == label
    with Image.open(io.BytesIO(written)) as image:
        assert image.getexif()[0x010F] == "kept maker"
        assert image.getexif()[0x010E].strip(" \x00") == ""


def test_exif_directories_in_a_circle_end() -> None:
    """A next-directory pointer to itself."""
    circle = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 0) + struct.pack("<I", 8)

    assert exif.read(circle, "x") == []
    assert exif.read(b"no tiff", "x") == []


def test_a_jpeg_keeps_jfif_and_exif_in_front(label: AigcLabel, make_picture: MakePicture, encode: Encode) -> None:
    """Readers expect them first."""
    data = encode(make_picture(), "JPEG", exif=exif_with_label(label), comment=b"c")
    written = implicit.write(data, FileFormat.JPEG, label)

    assert written[:4] == b"\xff\xd8\xff\xe0"
    assert written.index(b"Exif\x00\x00") < written.index(b"http://ns.adobe.com/xap/")
