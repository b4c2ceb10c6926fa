# SPDX-License-Identifier: Apache-2.0
"""TIFF 6.0: the label in tag 700 (0x2BC, XMP) of the first directory, type 7.

The first directory is written anew at the end of the file with the tag in it and the header points there; image data,
all other values and all other directories keep their bytes and offsets. What the old packet held is zeroed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit import exif, xmp
from labeling.implicit.field import AigcField

_XMP_TAG = 0x02BC
_UNDEFINED = 7
_ENTRY_BYTES = 12
_MAX_OFFSET = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Directory:
    order: str
    entries: list[bytes]
    following: int

    def entry(self, tag: int) -> tuple[int, int, int] | None:
        """Type, count and value of a tag."""
        for raw in self.entries:
            found, kind, count, value = struct.unpack(self.order + "HHII", raw)
            if found == tag:
                return kind, count, value
        return None


def _first_directory(data: bytes) -> _Directory:
    if len(data) < 8:
        raise DamagedFile("the TIFF ends in its header; ask its maker for a whole file")
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(order + "I", data, 4)[0]
    if at < 8 or at + 2 > len(data):
        raise DamagedFile("the first directory of the TIFF lies outside the file; ask its maker for a whole file")
    count = struct.unpack_from(order + "H", data, at)[0]
    end = at + 2 + _ENTRY_BYTES * count
    if count == 0 or end + 4 > len(data):
        raise DamagedFile("the first directory of the TIFF is empty or cut off; ask its maker for a whole file")
    entries = [data[at + 2 + _ENTRY_BYTES * index :][:_ENTRY_BYTES] for index in range(count)]
    return _Directory(order, entries, struct.unpack_from(order + "I", data, end)[0])


def _packet_span(data: bytes, directory: _Directory) -> tuple[int, int] | None:
    entry = directory.entry(_XMP_TAG)
    if entry is None or entry[0] not in (1, _UNDEFINED) or entry[1] <= 4:
        return None
    if entry[2] + entry[1] > len(data):
        raise DamagedFile("the XMP packet of the TIFF lies outside the file; ask its maker for a whole file")
    return entry[2], entry[2] + entry[1]


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    span = _packet_span(data, _first_directory(data))
    fields = xmp.read(data[span[0] : span[1]], "TIFF IFD0 tag 0x2BC") if span else []
    return fields + exif.read(data, "TIFF")


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    directory = _first_directory(data)
    span = _packet_span(data, directory)
    packet = xmp.merge(data[span[0] : span[1]] if span else None, label.as_json())
    written = bytearray(exif.blank(data))
    if span:
        written[span[0] : span[1]] = bytes(span[1] - span[0])
    written += b"\x00" * (len(written) & 1)
    packet_at = len(written)
    written += packet + b"\x00" * (len(packet) & 1)
    directory_at = len(written)
    if directory_at > _MAX_OFFSET - 65_536 * _ENTRY_BYTES:
        raise RefusedFile("the TIFF with the label exceeds 4 GiB; split it")
    order = directory.order
    own = struct.pack(order + "HHII", _XMP_TAG, _UNDEFINED, len(packet), packet_at)
    entries = [raw for raw in directory.entries if struct.unpack_from(order + "H", raw)[0] != _XMP_TAG]
    entries = sorted([*entries, own], key=lambda raw: int(struct.unpack_from(order + "H", raw)[0]))
    written += (
        struct.pack(order + "H", len(entries)) + b"".join(entries) + struct.pack(order + "I", directory.following)
    )
    struct.pack_into(order + "I", written, 4, directory_at)
    return bytes(written)
