# SPDX-License-Identifier: Apache-2.0
"""GIF 89a: the label in the application extension ``XMP Data`` (ISO 16684-3), before the first image.

The packet stands there as raw bytes followed by a 258-byte trailer that leads any reader of sub-blocks to the end.
"""

from __future__ import annotations

from collections.abc import Iterator

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.implicit import xmp
from labeling.implicit.field import AigcField

_XMP_HEADER = b"\x21\xff\x0bXMP DataXMP"
_MAGIC_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"


def _blocks(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Kind (``xmp``, ``comment``, ``extension``, ``image``, ``trailer``), start and end of each block."""
    if len(data) < 13:
        raise DamagedFile("the GIF ends in its header; ask its maker for a whole file")
    at = 13 + _table_bytes(data[10])
    while at < len(data):
        introducer = data[at]
        if introducer == 0x3B:
            yield "trailer", at, len(data)
            return
        start = at
        if introducer == 0x21:
            if data[at : at + len(_XMP_HEADER)] == _XMP_HEADER:
                kind = "xmp"
                at += len(_XMP_HEADER)
            else:
                kind = "comment" if data[at + 1 : at + 2] == b"\xfe" else "extension"
                at += 2
        elif introducer == 0x2C and at + 10 <= len(data):
            kind = "image"
            at += 10 + _table_bytes(data[at + 9]) + 1
        else:
            break
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
        if at > len(data):
            break
        yield kind, start, at
    raise DamagedFile("the GIF ends before its trailer; ask its maker for a whole file")


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _packet(block: bytes) -> bytes:
    return block[len(_XMP_HEADER) :].removesuffix(_MAGIC_TRAILER)


def _comment_text(block: bytes) -> bytes:
    text, at = b"", 2
    while at < len(block) and block[at]:
        text += block[at + 1 : at + 1 + block[at]]
        at += 1 + block[at]
    return text


def _is_label_comment(kind: str, block: bytes) -> bool:
    return kind == "comment" and len(block) < 65_536 and b"AIGC" in (text := _comment_text(block)) and b"{" in text


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    fields: list[AigcField] = []
    for kind, start, end in _blocks(data):
        if kind == "xmp":
            fields += xmp.read(_packet(data[start:end]), "GIF application extension XMP Data")
        elif _is_label_comment(kind, data[start:end]):
            text = _comment_text(data[start:end])
            fields.append(AigcField("GIF comment", text[text.index(b"{") :], False))
    return fields


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label. A GIF 87a becomes 89a, because only that has extensions."""
    packet: bytes | None = None
    before: list[bytes] = []
    after: list[bytes] = []
    for kind, start, end in _blocks(data):
        block = data[start:end]
        if kind == "xmp":
            if packet is None:
                packet = _packet(block)
                continue
            block = _XMP_HEADER + xmp.remove(_packet(block)) + _MAGIC_TRAILER
        elif _is_label_comment(kind, block):
            continue
        # Loop counts and other application data stay first; a graphic control must stay beside its image.
        is_application = kind == "extension" and block[1] == 0xFF
        (before if is_application and not after else after).append(block)
    own = _XMP_HEADER + xmp.merge(packet, label.as_json()) + _MAGIC_TRAILER
    head = b"GIF89a" + data[6 : 13 + _table_bytes(data[10])]
    return b"".join((head, *before, own, *after))
