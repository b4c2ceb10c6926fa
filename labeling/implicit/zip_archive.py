# SPDX-License-Identifier: Apache-2.0
"""ZIP archives (APPNOTE 6.3) as Office and EPUB files use them: read parts within limits, replace some, copy the rest.

Parts that are not replaced keep their compressed bytes and their order; nothing is unpacked that need not be.
Archives that readers could understand in two ways (duplicate names, overlapping parts) are refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from labeling.errors import DamagedFile, RefusedFile

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _HAS_DESCRIPTOR = 0x01, 0x08
MAX_PARTS: Final = 65_534
MAX_PART_BYTES: Final = 16 << 20
"""Largest part that is unpacked. Only small XML parts are ever read."""


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    central: bytes
    """The entry of the central directory as it stands."""
    flags: int
    method: int
    packed_bytes: int
    unpacked_bytes: int
    start: int
    content: int
    end: int
    """End of the packed data with its descriptor: where the next part may begin."""


class Archive:
    """An archive opened for reading and rewriting. Raises :class:`DamagedFile` where its directory does not hold."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._parts = self._read_directory()

    @property
    def names(self) -> list[str]:
        """The part names in the order of the directory."""
        return list(self._parts)

    def _read_directory(self) -> dict[str, _Part]:
        data = self._data
        end_at = data.rfind(_END, max(0, len(data) - 65_557))
        if end_at < 0 or end_at + 22 > len(data):
            raise DamagedFile("the ZIP file has no directory at its end; ask its maker for a whole file")
        count, size, at = struct.unpack_from("<HII", data, end_at + 10)
        if count == 0xFFFF or at == 0xFFFFFFFF:
            raise RefusedFile("the ZIP file is of the 64-bit kind, which Office files do not need; save it anew")
        if at + size > end_at:
            raise DamagedFile("the directory of the ZIP file lies outside it; ask its maker for a whole file")
        parts: dict[str, _Part] = {}
        for _ in range(count):
            if data[at : at + 4] != _CENTRAL or at + 46 > end_at:
                raise DamagedFile("the directory of the ZIP file is broken; ask its maker for a sound file")
            flags, method = struct.unpack_from("<HH", data, at + 8)
            packed, unpacked, name_size, extra_size, comment_size = struct.unpack_from("<IIHHH", data, at + 20)
            start = struct.unpack_from("<I", data, at + 42)[0]
            raw_name = data[at + 46 : at + 46 + name_size]
            name = raw_name.decode("utf-8" if flags & 0x800 else "cp437", "replace")
            next_at = at + 46 + name_size + extra_size + comment_size
            if data[start : start + 4] != _LOCAL or start + 30 > len(data):
                raise DamagedFile("a part of the ZIP file is not where the directory says; ask its maker")
            local_name_size, local_extra_size = struct.unpack_from("<HH", data, start + 26)
            content = start + 30 + local_name_size + local_extra_size
            if data[start + 30 : start + 30 + local_name_size] != raw_name or content + packed > len(data):
                raise DamagedFile("a part of the ZIP file contradicts the directory; ask its maker for a sound file")
            if name in parts:
                raise RefusedFile("the ZIP file has two parts of one name; readers would disagree, save it anew")
            parts[name] = _Part(
                name, data[at:next_at], flags, method, packed, unpacked, start, content, content + packed
            )
            at = next_at
        return self._checked(parts)

    def _checked(self, parts: dict[str, _Part]) -> dict[str, _Part]:
        ordered = sorted(parts.values(), key=lambda part: part.start)
        for part, following in pairwise(ordered):
            if part.end > following.start:
                raise RefusedFile("parts of the ZIP file overlap, as in a decompression bomb; save it anew")
        return parts

    def has_encrypted_parts(self) -> bool:
        """Whether any part is encrypted."""
        return any(part.flags & _ENCRYPTED for part in self._parts.values())

    def read(self, name: str) -> bytes | None:
        """The unpacked bytes of a part, or None where there is no such part.

        Raises :class:`RefusedFile` beyond :data:`MAX_PART_BYTES` whatever size the directory states.
        """
        part = self._parts.get(name)
        if part is None:
            return None
        packed = self._data[part.content : part.content + part.packed_bytes]
        if part.flags & _ENCRYPTED or part.method not in (_STORED, _DEFLATED):
            raise RefusedFile("a part of the ZIP file is encrypted or packed in a rare way; save it without that")
        if part.method == _STORED:
            content, is_whole = packed, True
        else:
            unpacker = zlib.decompressobj(-15)
            content = unpacker.decompress(packed, MAX_PART_BYTES + 1)
            is_whole = unpacker.eof
        if len(content) > MAX_PART_BYTES:
            raise RefusedFile(
                f"a part of the ZIP file unpacks to more than {MAX_PART_BYTES >> 20} MiB; make it smaller"
            )
        if not is_whole or zlib.crc32(content) != struct.unpack_from("<I", part.central, 16)[0]:
            raise DamagedFile("a part of the ZIP file does not unpack to what it should; ask its maker")
        return content

    def replace(self, parts: Mapping[str, bytes]) -> bytes:
        """The archive with these parts replaced, or added at the end; all others copied with their packed bytes."""
        if len(self._parts) + len(parts) > MAX_PARTS:
            raise RefusedFile("the ZIP file has too many parts for one more; make it smaller")
        bodies: list[bytes] = []
        directory: list[bytes] = []
        at = 0
        waiting = dict(parts)
        for part in sorted(self._parts.values(), key=lambda part: part.start):
            if part.name in waiting:
                body, entry = _new_part(part.name, waiting.pop(part.name), at)
            else:
                body, entry = self._copy(part, at)
            bodies.append(body)
            directory.append(entry)
            at += len(body)
        for name, content in waiting.items():
            body, entry = _new_part(name, content, at)
            bodies.append(body)
            directory.append(entry)
            at += len(body)
        central = b"".join(directory)
        if at + len(central) > 0xFFFFFFF0:
            raise RefusedFile("the ZIP file exceeds 4 GiB; make it smaller")
        end = _END + struct.pack("<HHHHIIH", 0, 0, len(directory), len(directory), len(central), at, 0)
        return b"".join(bodies) + central + end

    def _copy(self, part: _Part, at: int) -> tuple[bytes, bytes]:
        """A part with its sizes in the local header, so that no descriptor has to follow it."""
        data = self._data
        flags = part.flags & ~_HAS_DESCRIPTOR
        head = bytearray(data[part.start : part.content])
        struct.pack_into("<H", head, 6, flags)
        head[14:26] = part.central[16:28]
        entry = bytearray(part.central)
        struct.pack_into("<H", entry, 8, flags)
        struct.pack_into("<I", entry, 42, at)
        return bytes(head) + data[part.content : part.content + part.packed_bytes], bytes(entry)


def _new_part(name: str, content: bytes, at: int) -> tuple[bytes, bytes]:
    """Local part and directory entry; the time is the format's earliest, so that the same input gives the same file."""
    raw_name = name.encode("utf-8")
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    common = struct.pack(
        "<HHHHHIIIHH", 20, 0x800, _DEFLATED, 0, 0x21, zlib.crc32(content), len(packed), len(content), len(raw_name), 0
    )
    entry = _CENTRAL + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, at) + raw_name
    return _LOCAL + common + raw_name + packed, entry
