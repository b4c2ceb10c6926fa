# SPDX-License-Identifier: Apache-2.0
"""PNG (ISO/IEC 15948): the label in the ``iTXt`` chunk ``XML:com.adobe.xmp``, before the image data.

Also read, because it is met in the wild: text chunks whose keyword contains ``AIGC``, and EXIF. Those are removed when
the label is written, so that exactly one stays.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.implicit import exif, xmp
from labeling.implicit.field import AigcField

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
# A compressed text chunk may unpack to anything; no label is longer than this.
_MAX_UNPACKED_BYTES = 1 << 20


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk up to IEND; start and end include length and checksum."""
    at = len(_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise DamagedFile("the PNG ends before its IEND chunk; ask its maker for a whole file")
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 12 + length
        if end > len(data):
            raise DamagedFile("a PNG chunk is longer than the file; ask its maker for a whole file")
        kind = data[at + 4 : at + 8]
        if at == len(_SIGNATURE) and kind != b"IHDR":
            raise DamagedFile("the PNG does not begin with its IHDR chunk; ask its maker for a sound file")
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def make_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _text(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
    """Keyword and text of a text chunk, unpacked within a limit."""
    keyword, _, rest = content.partition(b"\x00")
    if kind == b"tEXt":
        return keyword, rest
    if kind == b"zTXt":
        return keyword, _unpack(rest[1:])
    is_packed = rest[:1] == b"\x01"
    text = rest[2:].partition(b"\x00")[2].partition(b"\x00")[2]
    return keyword, _unpack(text) if is_packed else text


def _unpack(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(packed, _MAX_UNPACKED_BYTES)
    if unpacker.unconsumed_tail:
        raise DamagedFile("a PNG text chunk unpacks to more than 1 MiB; remove it")
    return text


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    fields: list[AigcField] = []
    for kind, start, end in _chunks(data):
        content = data[start + 8 : end - 4]
        if kind == b"eXIf":
            fields += exif.read(content, "PNG eXIf chunk")
        elif kind in _TEXT_CHUNKS:
            if content.startswith(_XMP_KEYWORD + b"\x00"):
                fields += xmp.read(_text(kind, content)[1], f"PNG {kind.decode()} chunk XML:com.adobe.xmp")
            elif b"AIGC" in content.partition(b"\x00")[0].upper():
                keyword, text = _text(kind, content)
                fields.append(AigcField(f"PNG {kind.decode()} chunk {keyword[:79].decode('latin-1')}", text, False))
    return fields


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label. All image data chunks stay as they are."""
    packet: bytes | None = None
    kept: list[bytes] = []
    header = b""
    end = len(_SIGNATURE)
    for kind, start, end in _chunks(data):
        content = data[start + 8 : end - 4]
        if kind == b"IHDR":
            header = data[start:end]
            continue
        if kind in _TEXT_CHUNKS:
            if content.startswith(_XMP_KEYWORD + b"\x00"):
                if packet is None:
                    packet = _text(kind, content)[1]
                    continue
                content = _itxt(xmp.remove(_text(kind, content)[1]))
                kept.append(make_chunk(b"iTXt", content))
                continue
            if b"AIGC" in content.partition(b"\x00")[0].upper():
                continue
        elif kind == b"eXIf":
            blanked = exif.blank(content)
            if blanked != content:
                kept.append(make_chunk(kind, blanked))
                continue
        kept.append(data[start:end])
    own = make_chunk(b"iTXt", _itxt(xmp.merge(packet, label.as_json())))
    return b"".join((_SIGNATURE, header, own, *kept, data[end:]))


def _itxt(packet: bytes) -> bytes:
    return _XMP_KEYWORD + b"\x00\x00\x00\x00\x00" + packet
