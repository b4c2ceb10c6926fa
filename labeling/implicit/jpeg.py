# SPDX-License-Identifier: Apache-2.0
"""JPEG (ITU-T T.81): the label in the APP1 segment of XMP (ISO 16684-3), before the image data.

The entropy-coded data and all other segments stay byte for byte. EXIF values and comments that hold a label are
blanked when the label is written, so that exactly one stays.
"""

from __future__ import annotations

from collections.abc import Iterator

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit import exif, xmp
from labeling.implicit.field import AigcField

_XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\x00"
_EXIF_HEADER = b"Exif\x00\x00"
_MAX_CONTENT_BYTES = 65_533
_APP0, _APP1, _COMMENT, _START_OF_SCAN, _END = 0xE0, 0xE1, 0xFE, 0xDA, 0xD9


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment before the first scan, and at last the scan with all that follows."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise DamagedFile("the JPEG has bytes between its segments; ask its maker for a sound file")
        marker = data[at + 1]
        if marker == 0xFF:
            # Fill bytes may stand before any marker.
            at += 1
            continue
        if marker == _START_OF_SCAN:
            yield marker, at, len(data)
            return
        if marker in (_END, 0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4:
            break
        yield marker, at, end
        at = end
    raise DamagedFile("the JPEG ends before its image data; ask its maker for a whole file")


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    fields: list[AigcField] = []
    for marker, start, end in _segments(data):
        content = data[start + 4 : end] if marker in (_APP1, _COMMENT) else b""
        if content.startswith(_XMP_HEADER):
            fields += xmp.read(content[len(_XMP_HEADER) :], "JPEG APP1 XMP")
        elif content.startswith(_EXIF_HEADER):
            fields += exif.read(content[len(_EXIF_HEADER) :], "JPEG APP1 Exif")
        elif marker == _COMMENT and b"AIGC" in content and b"{" in content:
            fields.append(AigcField("JPEG comment", content[content.index(b"{") :], False))
    return fields


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label. Raises :class:`RefusedFile` where the metadata outgrow a segment."""
    before: list[bytes] = []
    after: list[bytes] = []
    packet: bytes | None = None
    for marker, start, end in _segments(data):
        whole = data[start:end]
        content = whole[4:] if marker in (_APP1, _COMMENT) else b""
        if content.startswith(_XMP_HEADER):
            if packet is None:
                packet = content[len(_XMP_HEADER) :]
                continue
            whole = _segment(_APP1, _XMP_HEADER + xmp.remove(content[len(_XMP_HEADER) :]))
        elif content.startswith(_EXIF_HEADER):
            # JFIF and EXIF must stay first, so the new segment goes after them.
            before += [*after, _segment(_APP1, _EXIF_HEADER + exif.blank(content[len(_EXIF_HEADER) :]))]
            after = []
            continue
        elif marker == _COMMENT and b"AIGC" in content and b"{" in content:
            continue
        elif marker == _APP0 and not after:
            before.append(whole)
            continue
        after.append(whole)
    own = _XMP_HEADER + xmp.merge(packet, label.as_json())
    if len(own) > _MAX_CONTENT_BYTES:
        raise RefusedFile("the XMP metadata with the label exceed the 64 KiB of a JPEG segment; shorten the metadata")
    return b"".join((b"\xff\xd8", *before, _segment(_APP1, own), *after))
