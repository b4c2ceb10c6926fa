# SPDX-License-Identifier: Apache-2.0
"""Boxes: offsets move, and only within their room."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit import isobmff
from labeling.sniff import FileFormat


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


def test_64_bit_offsets_and_open_last_boxes_are_handled(label: AigcLabel, make_film: Callable[..., bytes]) -> None:
    """A co64 table moves like a 32-bit one; a last box that reaches to the end gets its size."""
    data = make_film("mp4", "mpeg4", movflags="faststart")
    at = data.index(b"stco")
    count = struct.unpack_from(">I", data, at + 8)[0]
    table = struct.pack(f">{count}I", *struct.unpack_from(f">{count}I", data, at + 12))
    box = isobmff.find(data, b"moov")
    assert box is not None
    moved = bytearray(data)
    isobmff._shift(moved, 0, len(moved), box.end, 1000, 0)
    assert struct.unpack_from(f">{count}I", moved, at + 12) == tuple(
        value + 1000 for value in struct.unpack(f">{count}I", table)
    )
    wide = bytearray(isobmff.make_full(b"co64", struct.pack(">IQQ", 2, 50, 5000)))
    isobmff._shift(wide, 0, len(wide), 100, 7, 0)
    assert struct.unpack_from(">QQ", wide, 16) == (50, 5007)
    plain = make_film("mp4", "mpeg4")
    moov = isobmff.find(plain, b"moov")
    assert moov is not None and moov.end == len(plain)
    opened = plain[: moov.start] + bytes(4) + plain[moov.start + 4 :]
    assert only_label(implicit.write(opened, FileFormat.MP4, label), FileFormat.MP4) == label


def test_an_offset_that_has_no_room_to_move_is_refused() -> None:
    """Not wrapped around."""
    table = bytearray(isobmff.make_full(b"stco", struct.pack(">II", 1, 0xFFFFFFF0)))
    with pytest.raises(RefusedFile, match="64-bit"):
        isobmff._shift(table, 0, len(table), 100, 32, 0)


def test_boxes_nested_without_end_are_damaged() -> None:
    """A thousand boxes in each other."""
    data = b""
    for _ in range(1000):
        data = isobmff.make(b"moof", data)
    with pytest.raises(DamagedFile, match="nested"):
        isobmff._shift(bytearray(data), 0, len(data), 0, 8, 0)
