# SPDX-License-Identifier: Apache-2.0
"""Vorbis comments, the tags that FLAC, Ogg Vorbis and Opus share: the label is the comment ``AIGC=`` with bare JSON.

A block is a vendor text and a list of ``NAME=value`` texts, each with a 32-bit little-endian length. Names are
case-insensitive. What follows the list (the framing bit of Vorbis, the padding of Opus) is kept.
"""

from __future__ import annotations

import struct

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.implicit.field import AigcField


def _parse(block: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Vendor, comments and the rest of the block."""
    vendor, at = _string(block, 0)
    if at + 4 > len(block):
        raise DamagedFile("the comment block of the file is cut off; ask its maker for a whole file")
    count = struct.unpack_from("<I", block, at)[0]
    at += 4
    comments = []
    for _ in range(count):
        comment, at = _string(block, at)
        comments.append(comment)
    return vendor, comments, block[at:]


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    end = at + 4 + int.from_bytes(block[at : at + 4], "little")
    if at + 4 > len(block) or end > len(block):
        raise DamagedFile("a comment of the file is longer than its block; ask its maker for a sound file")
    return block[at + 4 : end], end


def _is_label(comment: bytes) -> bool:
    return b"AIGC" in comment.partition(b"=")[0].upper()


def read_fields(block: bytes, place: str) -> list[AigcField]:
    """The label comments in a block."""
    fields = []
    for comment in _parse(block)[1]:
        if _is_label(comment):
            name, _, value = comment.partition(b"=")
            is_guide_place = name.upper() == b"AIGC"
            fields.append(AigcField(f"{place} comment {name[:64].decode('latin-1')}", value, is_guide_place))
    return fields


def with_label(block: bytes, label: AigcLabel) -> bytes:
    """The block with exactly this label."""
    vendor, comments, rest = _parse(block)
    kept = [comment for comment in comments if not _is_label(comment)]
    kept.append(b"AIGC=" + label.as_json().encode("ascii"))
    texts = b"".join(struct.pack("<I", len(comment)) + comment for comment in kept)
    return struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", len(kept)) + texts + rest


def new_block(label: AigcLabel) -> bytes:
    """A block with the label alone and an empty vendor."""
    return with_label(struct.pack("<II", 0, 0), label)
