# SPDX-License-Identifier: Apache-2.0
"""TIFF: pages, compressions, byte orders."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest
from PIL import Image

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.implicit import tiff
from labeling.sniff import FileFormat

Encode = Callable[..., bytes]


MakePicture = Callable[..., Image.Image]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "tiff_deflate"])
def test_tiff_pages_and_compressions_are_kept(
    compression: str, label: AigcLabel, make_picture: MakePicture, encode: Encode
) -> None:
    """All pages, byte for byte; the tag is of type 7 as the guide says."""
    pages = [make_picture(), make_picture(32, 16)]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression=compression)
    written = implicit.write(data, FileFormat.TIFF, label)
    entry = tiff._first_directory(written).entry(0x02BC)

    assert entry is not None and entry[0] == 7
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(written)) as after:
        assert after.n_frames == 2
        for index in range(2):
            before.seek(index)
            after.seek(index)
            assert before.tobytes() == after.tobytes()


def test_a_big_endian_tiff_is_written_in_its_own_order(label: AigcLabel) -> None:
    """Made by hand: one grey pixel."""
    entries = [(256, 3, 1, 1 << 16), (257, 3, 1, 1 << 16), (258, 3, 1, 8 << 16), (262, 3, 1, 1 << 16)]
    entries += [(273, 4, 1, 8), (278, 3, 1, 1 << 16), (279, 4, 1, 1)]
    directory = struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHII", *entry) for entry in entries)
    data = b"MM\x00*" + struct.pack(">I", 10) + b"\x7b\x00" + directory + bytes(4)
    written = implicit.write(data, FileFormat.TIFF, label)

    assert only_label(written, FileFormat.TIFF) == label
    with Image.open(io.BytesIO(written)) as image:
        assert image.getpixel((0, 0)) == 0x7B
