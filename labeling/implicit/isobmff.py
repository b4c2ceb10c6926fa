# SPDX-License-Identifier: Apache-2.0
"""ISO base media file format (ISO/IEC 14496-12), the container of MP4, MOV, M4A, AVIF and HEIC: boxes and offsets.

Boxes hold absolute file offsets to media data. Whoever changes the size of a box in front of that data must move
every such offset; :func:`splice` does both in one step, so that no writer can forget it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from labeling.errors import DamagedFile, RefusedFile

XMP_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_CONTAINERS: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mfra"})
_MAX_DEPTH: Final = 12


@dataclass(frozen=True, slots=True)
class Box:
    """One box. ``start`` is the index of its size field; ``content`` and ``end`` delimit what it holds."""

    kind: bytes
    start: int
    content: int
    end: int


def walk(data: bytes | bytearray, start: int, stop: int) -> Iterator[Box]:
    """The boxes between two indices. Raises :class:`DamagedFile` where a box leaves the span."""
    at = start
    while at + 8 <= stop:
        size = int.from_bytes(data[at : at + 4], "big")
        kind = bytes(data[at + 4 : at + 8])
        content = at + 8
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
            content = at + 16
        elif size == 0:
            size = stop - at
        if at + size > stop or size < content - at:
            raise DamagedFile("a box of the file is longer than what holds it; ask its maker for a whole file")
        yield Box(kind, at, content, at + size)
        at += size


def make(kind: bytes, content: bytes) -> bytes:
    """A box with its size."""
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def make_full(kind: bytes, content: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with version and flags."""
    return make(kind, bytes((version,)) + flags.to_bytes(3, "big") + content)


def find(data: bytes | bytearray, kind: bytes, start: int = 0, stop: int | None = None) -> Box | None:
    """The first box of a kind between two indices."""
    return next((box for box in walk(data, start, len(data) if stop is None else stop) if box.kind == kind), None)


def close_last_box(data: bytes) -> bytes:
    """The file with an explicit size in a last box that reaches to the end, so that a box can be appended."""
    boxes = list(walk(data, 0, len(data)))
    last = boxes[-1] if boxes else None
    if last is None or int.from_bytes(data[last.start : last.start + 4], "big") != 0:
        return data
    if last.end - last.start > 0xFFFFFFFF:
        raise RefusedFile("the last box of the file has no size and exceeds 4 GiB; write the file with sizes")
    return data[: last.start] + (last.end - last.start).to_bytes(4, "big") + data[last.start + 4 :]


def splice(data: bytes, box: Box | None, new: bytes) -> bytes:
    """The file with a top-level box replaced, or a new one appended, and every absolute offset behind it moved."""
    if box is None:
        return close_last_box(data) + new
    delta = len(new) - (box.end - box.start)
    written = bytearray(data[: box.start] + new + data[box.end :])
    if delta and box.end < len(data):
        _shift(written, 0, len(written), box.end, delta, 0)
    return bytes(written)


def _shift(data: bytearray, start: int, stop: int, behind: int, delta: int, depth: int) -> None:
    """Add ``delta`` to every absolute offset that pointed at or behind ``behind``."""
    if depth > _MAX_DEPTH:
        raise DamagedFile("the boxes of the file are nested too deeply; ask its maker for a sound file")
    for box in walk(data, start, stop):
        at = box.content
        if box.kind in _CONTAINERS:
            _shift(data, at, box.end, behind, delta, depth + 1)
        elif box.kind in (b"stco", b"co64"):
            code = "I" if box.kind == b"stco" else "Q"
            count = struct.unpack_from(">I", data, at + 4)[0]
            _shift_table(data, at + 8, count, code, box.end, behind, delta)
        elif box.kind == b"tfhd" and data[at + 3] & 1:
            _shift_table(data, at + 8, 1, "Q", box.end, behind, delta)
        elif box.kind == b"tfra":
            _shift_tfra(data, box, behind, delta)
        elif box.kind == b"meta" and depth == 0:
            item_locations = find(data, b"iloc", at + 4, box.end)
            if item_locations is not None:
                shift_item_locations(data, item_locations, behind, delta)


def _shift_table(data: bytearray, at: int, count: int, code: str, stop: int, behind: int, delta: int) -> None:
    width = struct.calcsize(">" + code)
    if at + count * width > stop:
        raise DamagedFile("an offset table is longer than its box; ask the maker of the file for a sound one")
    layout = f">{count}{code}"
    moved = [value + delta if value >= behind else value for value in struct.unpack_from(layout, data, at)]
    if moved and max(moved) >= 1 << 8 * width:
        raise RefusedFile("the label would push the media data beyond 4 GiB; write the file with 64-bit offsets")
    struct.pack_into(layout, data, at, *moved)


def _shift_tfra(data: bytearray, box: Box, behind: int, delta: int) -> None:
    version = data[box.content]
    sizes, count = struct.unpack_from(">II", data, box.content + 8)
    tail = (sizes >> 4 & 3) + (sizes >> 2 & 3) + (sizes & 3) + 3
    width = 8 if version == 1 else 4
    at = box.content + 16
    for _ in range(count):
        _shift_table(data, at + width, 1, "Q" if version == 1 else "I", box.end, behind, delta)
        at += 2 * width + tail


@dataclass(slots=True)
class ItemLocation:
    """Where the data of one HEIF item lie: construction 0 is the file, 1 the ``idat`` box, 2 another item."""

    item_id: int
    construction: int
    reference: int
    extents: list[tuple[int, int, int]]
    """Index, offset and length of each extent; the base offset is added in."""


def read_item_locations(data: bytes | bytearray, box: Box) -> list[ItemLocation]:
    """The entries of an ``iloc`` box of version 0 to 2."""
    reader = _BigEndian(data, box.content, box.end)
    version = reader.take(1)
    reader.take(3)
    sizes = reader.take(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    locations = []
    for _ in range(reader.take(4 if version == 2 else 2)):
        item_id = reader.take(4 if version == 2 else 2)
        construction = reader.take(2) & 15 if version in (1, 2) else 0
        reference = reader.take(2)
        base = reader.take(base_size)
        extents = []
        for _ in range(reader.take(2)):
            index = reader.take(index_size)
            offset = base + reader.take(offset_size)
            extents.append((index, offset, reader.take(length_size)))
        locations.append(ItemLocation(item_id, construction, reference, extents))
    return locations


def write_item_locations(locations: list[ItemLocation], *, wide: bool) -> bytes:
    """An ``iloc`` box; ``wide`` for offsets beyond 4 GiB."""
    has_index = any(extent[0] for location in locations for extent in location.extents)
    has_big_id = any(location.item_id > 0xFFFF for location in locations)
    has_construction = has_index or has_big_id or any(location.construction for location in locations)
    version = 2 if has_big_id else 1 if has_construction else 0
    width = 8 if wide else 4
    content = struct.pack(">H", width << 12 | width << 8 | (4 if has_index else 0))
    content += struct.pack(">I" if version == 2 else ">H", len(locations))
    for location in locations:
        content += struct.pack(">I" if version == 2 else ">H", location.item_id)
        if version:
            content += struct.pack(">H", location.construction)
        content += struct.pack(">HH", location.reference, len(location.extents))
        for index, offset, length in location.extents:
            if has_index:
                content += struct.pack(">I", index)
            content += offset.to_bytes(width, "big") + length.to_bytes(width, "big")
    return make_full(b"iloc", content, version)


def shift_item_locations(data: bytearray, box: Box, behind: int, delta: int) -> None:
    """Move file offsets in an ``iloc`` box in place. Raises :class:`RefusedFile` where its fields have no room."""
    reader = _BigEndian(data, box.content, box.end)
    version = reader.take(1)
    reader.take(3)
    sizes = reader.take(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    for _ in range(reader.take(4 if version == 2 else 2)):
        reader.take(4 if version == 2 else 2)
        construction = reader.take(2) & 15 if version in (1, 2) else 0
        reader.take(2)
        base_at = reader.at
        base = reader.take(base_size)
        extents = []
        for _ in range(reader.take(2)):
            reader.take(index_size)
            extents.append((reader.at, reader.take(offset_size)))
            reader.take(length_size)
        if construction:
            continue
        moved = [offset for offset in extents if base + offset[1] >= behind]
        if not moved:
            continue
        if base_size and len(moved) == len(extents):
            data[base_at : base_at + base_size] = _fit(base + delta, base_size)
        else:
            for at, offset in moved:
                data[at : at + offset_size] = _fit(offset + delta, offset_size)


def _fit(value: int, width: int) -> bytes:
    if not 0 <= value < 1 << 8 * width:
        raise RefusedFile("an item offset of the file has no room to be moved; write the file with wider offsets")
    return value.to_bytes(width, "big")


class _BigEndian:
    """Reads unsigned integers one after the other within bounds."""

    __slots__ = ("_data", "_stop", "at")

    def __init__(self, data: bytes | bytearray, start: int, stop: int) -> None:
        self._data = data
        self._stop = stop
        self.at = start

    def take(self, width: int) -> int:
        end = self.at + width
        if end > self._stop:
            raise DamagedFile("a table of the file is longer than its box; ask its maker for a sound file")
        value = int.from_bytes(self._data[self.at : end], "big")
        self.at = end
        return value
