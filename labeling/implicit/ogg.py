# SPDX-License-Identifier: Apache-2.0
"""Ogg (RFC 3533) with Vorbis, Opus (RFC 7845) or FLAC: the label as Vorbis comment ``AIGC`` of the first stream.

The comment header is rewritten over fresh pages. Audio pages keep their packets; where the number of header pages
changes, their sequence numbers and checksums are set anew.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.implicit import vorbis
from labeling.implicit.field import AigcField

_CONTINUED, _FIRST = 1, 2
_FLAC_COMMENT = 4
_NO_GRANULE = b"\xff" * 8
_MAX_SEGMENTS = 255
_MAX_HEADER_PAGES = 4096
# Ogg's checksum is the CRC-32 polynomial without reflection; reflecting the bytes lets the C routine do the work.
_REFLECT = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def checksum(page: bytes) -> int:
    """The checksum of a page whose checksum field is zero (RFC 3533 section 6)."""
    reflected = zlib.crc32(page.translate(_REFLECT), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)


@dataclass(frozen=True, slots=True)
class _Page:
    start: int
    flags: int
    granule: bytes
    serial: bytes
    sequence: int
    segments: bytes
    content: int
    end: int


def _page(data: bytes, at: int) -> _Page:
    if data[at : at + 5] != b"OggS\x00" or at + 27 > len(data):
        raise DamagedFile("the Ogg file has bytes between its pages; ask its maker for a sound file")
    content = at + 27 + data[at + 26]
    segments = data[at + 27 : content]
    end = content + sum(segments)
    if end > len(data):
        raise DamagedFile("the Ogg file ends within a page; ask its maker for a whole file")
    sequence = struct.unpack_from("<I", data, at + 18)[0]
    return _Page(at, data[at + 5], data[at + 6 : at + 14], data[at + 14 : at + 18], sequence, segments, content, end)


def _make_page(serial: bytes, sequence: int, flags: int, granule: bytes, segments: bytes, content: bytes) -> bytes:
    head = b"OggS\x00" + bytes((flags,)) + granule + serial + struct.pack("<I", sequence)
    tail = bytes((len(segments),)) + segments + content
    return head + struct.pack("<I", checksum(head + bytes(4) + tail)) + tail


@dataclass(frozen=True, slots=True)
class _Headers:
    """The header packets after the first, and where their pages lie."""

    first: _Page
    packets: list[bytes]
    pages: int
    end: int
    prefix: bytes


def _headers(data: bytes) -> _Headers:
    first = _page(data, 0)
    identification = data[first.content : first.end]
    if identification.startswith(b"OpusHead"):
        wanted, prefix = 1, b"OpusTags"
    elif identification.startswith(b"\x01vorbis"):
        wanted, prefix = 2, b"\x03vorbis"
    else:
        # The FLAC mapping counts its further headers at bytes 7 and 8; zero means unknown, and comments come first.
        wanted, prefix = max(1, int.from_bytes(identification[7:9], "big")), b""
    packets: list[bytes] = []
    pending = b""
    pages = 0
    at = first.end
    while len(packets) < wanted and at < len(data):
        page = _page(data, at)
        if page.serial != first.serial or pages > _MAX_HEADER_PAGES:
            raise DamagedFile("the Ogg file mixes other streams into its headers; label a file with one stream")
        pages += 1
        position = page.content
        for length in page.segments:
            pending += data[position : position + length]
            position += length
            if length < _MAX_SEGMENTS:
                packets.append(pending)
                pending = b""
        at = page.end
    if len(packets) != wanted or pending or not packets[0].startswith(prefix):
        raise DamagedFile("the Ogg file has no sound headers; ask its maker for a sound file")
    if not prefix:
        if packets[0][0] & 0x7F != _FLAC_COMMENT:
            raise DamagedFile("the FLAC stream's comments are not where its format puts them; ask its maker")
        prefix = packets[0][:4]
    return _Headers(first, packets, pages, at, prefix)


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the first stream."""
    headers = _headers(data)
    return vorbis.read_fields(headers.packets[0][len(headers.prefix) :], "Ogg Vorbis")


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    headers = _headers(data)
    block = vorbis.with_label(headers.packets[0][len(headers.prefix) :], label)
    prefix = headers.prefix
    if prefix[:1] not in (b"O", b"\x03"):
        # A FLAC block header: type and 24-bit length.
        prefix = prefix[:1] + len(block).to_bytes(3, "big")
    pages = _paginate([prefix + block, *headers.packets[1:]], headers.first)
    shift = len(pages) - headers.pages
    written = [data[: headers.first.end], *pages]
    at = headers.end
    if not shift:
        written.append(data[at:])
        return b"".join(written)
    while at < len(data):
        page = _page(data, at)
        if page.serial == headers.first.serial and not page.flags & _FIRST:
            content = data[page.content : page.end]
            written.append(
                _make_page(page.serial, page.sequence + shift, page.flags, page.granule, page.segments, content)
            )
        else:
            written.append(data[at : page.end])
        at = page.end
    return b"".join(written)


def _paginate(packets: list[bytes], first: _Page) -> list[bytes]:
    """The header packets over as few pages as they need; the last page ends with the last packet."""
    segments = b"".join(b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,)) for packet in packets)
    content = b"".join(packets)
    pages = []
    position = 0
    is_continued = False
    for index, start in enumerate(range(0, len(segments), _MAX_SEGMENTS)):
        table = segments[start : start + _MAX_SEGMENTS]
        end = position + sum(table)
        # A page on which no packet ends has no granule position.
        granule = bytes(8) if any(length < 255 for length in table) else _NO_GRANULE
        flags = _CONTINUED if is_continued else 0
        pages.append(_make_page(first.serial, first.sequence + 1 + index, flags, granule, table, content[position:end]))
        is_continued = table[-1] == 255
        position = end
    return pages
