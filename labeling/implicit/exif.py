# SPDX-License-Identifier: Apache-2.0
"""Labels that other writers put into EXIF (a TIFF structure inside JPEG, PNG, WebP).

The practice guide for images asks for XMP, so EXIF is only read here, and blanked when the label is written to its
proper place, because GB 45438-2025 6.1 c) allows one label a file. Blanking keeps every length and offset.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from labeling.implicit.field import AigcField

_ASCII, _UNDEFINED, _BYTE = 2, 7, 1
_SUB_DIRECTORIES = (0x8769, 0x8825)
_MAX_DIRECTORIES = 16
_MAX_ENTRIES = 4096
_NAMES = {0x010E: "ImageDescription", 0x9286: "UserComment", 0x9C9C: "XPComment", 0x010D: "DocumentName"}
_MARKS = (b"AIGC", b"ContentProducer", b"ServiceProvider")


def _value_spans(tiff: bytes) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of every text-like value that looks like a label, in the chain of IFDs and their children."""
    if len(tiff) < 8 or tiff[:4] not in (b"II*\x00", b"MM\x00*"):
        return
    order = "<" if tiff[:2] == b"II" else ">"
    waiting = [int(struct.unpack_from(order + "I", tiff, 4)[0])]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        at = waiting.pop()
        if at in seen or at < 8 or at + 2 > len(tiff):
            continue
        seen.add(at)
        count = min(struct.unpack_from(order + "H", tiff, at)[0], _MAX_ENTRIES)
        for index in range(count):
            entry = at + 2 + 12 * index
            if entry + 12 > len(tiff):
                break
            tag, kind, length, value = struct.unpack_from(order + "HHII", tiff, entry)
            if tag in _SUB_DIRECTORIES:
                waiting.append(value)
            elif kind in (_ASCII, _UNDEFINED, _BYTE) and length > 8 and value + length <= len(tiff) and tag != 0x02BC:
                content = tiff[value : value + length]
                if b"{" in content and any(mark in content.replace(b"\x00", b"") for mark in _MARKS):
                    yield tag, value, value + length
        following = at + 2 + 12 * count
        if following + 4 <= len(tiff):
            waiting.append(struct.unpack_from(order + "I", tiff, following)[0])


def read(tiff: bytes, place: str) -> list[AigcField]:
    """The label fields among the text values of an EXIF structure."""
    fields = []
    for tag, start, end in _value_spans(tiff):
        content = tiff[start:end].replace(b"\x00", b"")
        text = content[content.index(b"{") : content.rindex(b"}") + 1] if b"}" in content else content
        fields.append(AigcField(f"{place}, {_NAMES.get(tag, f'tag 0x{tag:04X}')}", text, False))
    return fields


def blank(tiff: bytes) -> bytes:
    """The structure with every label value overwritten by spaces, lengths unchanged."""
    blanked = bytearray(tiff)
    for _, start, end in _value_spans(tiff):
        blanked[start:end] = b" " * (end - start - 1) + b"\x00"
    return bytes(blanked)
