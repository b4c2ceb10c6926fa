# SPDX-License-Identifier: Apache-2.0
"""WebP (RFC 9649): the label in the ``XMP `` chunk; a simple file is turned into the extended form that may have one.

The image chunks stay byte for byte.
"""

from __future__ import annotations

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.implicit import exif, riff, xmp
from labeling.implicit.field import AigcField

_HAS_XMP = 0x04
_HAS_ALPHA = 0x10


def _chunks(data: bytes) -> list[riff.Chunk]:
    stop = 8 + int.from_bytes(data[4:8], "little")
    if stop > len(data):
        raise DamagedFile("the WebP file is shorter than its header says; ask its maker for a whole file")
    chunks = list(riff.walk(data, 12, stop))
    if not any(chunk.name in (b"VP8 ", b"VP8L", b"ANMF") for chunk in chunks):
        raise DamagedFile("the WebP file holds no image; ask its maker for a sound file")
    return chunks


def _extended_header(chunk: riff.Chunk, data: bytes) -> bytes:
    """The VP8X content for a simple file, from the size that its only image states."""
    content = data[chunk.content : chunk.content + 10]
    if chunk.name == b"VP8L":
        if len(content) < 5 or content[0] != 0x2F:
            raise DamagedFile("the lossless WebP image has no valid header; ask its maker for a sound file")
        bits = int.from_bytes(content[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags = _HAS_ALPHA if bits >> 28 & 1 else 0
    else:
        if len(content) < 10 or content[3:6] != b"\x9d\x01\x2a":
            raise DamagedFile("the WebP image has no valid header; ask its maker for a sound file")
        width = int.from_bytes(content[6:8], "little") & 0x3FFF
        height = int.from_bytes(content[8:10], "little") & 0x3FFF
        flags = 0
    return bytes((flags, 0, 0, 0)) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _exif_of(content: bytes) -> tuple[bytes, bytes]:
    """Some writers put the JPEG header before the TIFF structure."""
    prefix = b"Exif\x00\x00" if content.startswith(b"Exif\x00\x00") else b""
    return prefix, content[len(prefix) :]


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    fields: list[AigcField] = []
    for chunk in _chunks(data):
        if chunk.name == b"XMP ":
            fields += xmp.read(data[chunk.content : chunk.end], "WebP XMP chunk")
        elif chunk.name == b"EXIF":
            fields += exif.read(_exif_of(data[chunk.content : chunk.end])[1], "WebP EXIF chunk")
    return fields


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    chunks = _chunks(data)
    packet: bytes | None = None
    header: bytes | None = None
    kept: list[bytes] = []
    for chunk in chunks:
        content = data[chunk.content : chunk.end]
        if chunk.name == b"VP8X":
            header = content
        elif chunk.name == b"XMP " and packet is None:
            packet = content
        elif chunk.name == b"XMP ":
            kept.append(riff.make(b"XMP ", xmp.remove(content)))
        elif chunk.name == b"EXIF":
            prefix, tiff = _exif_of(content)
            kept.append(riff.make(b"EXIF", prefix + exif.blank(tiff)))
        else:
            kept.append(riff.make(chunk.name, content))
    if header is None:
        header = _extended_header(chunks[0], data)
    header = bytes((header[0] | _HAS_XMP,)) + header[1:]
    body = riff.make(b"VP8X", header) + b"".join(kept) + riff.make(b"XMP ", xmp.merge(packet, label.as_json()))
    return riff.form(b"WEBP", body) + data[8 + int.from_bytes(data[4:8], "little") :]
