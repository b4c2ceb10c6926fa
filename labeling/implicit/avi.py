# SPDX-License-Identifier: Apache-2.0
"""AVI: the label as sub-chunk ``AIGC`` of a ``LIST INFO`` (practice guide TC260-PG-20257A).

Indexes in AVI hold absolute offsets, so nothing in front of the streams may move: the list goes to the end of the
first RIFF segment, or, where further segments follow (OpenDML), into a padding chunk in front of the streams. A former
label is turned into padding where it stands.
"""

from __future__ import annotations

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit import riff
from labeling.implicit.field import AigcField

_NAME = b"AIGC"
_PADDING = b"JUNK"


def _segment(data: bytes) -> tuple[int, list[riff.Chunk]]:
    stop = 8 + int.from_bytes(data[4:8], "little")
    if stop > len(data):
        raise DamagedFile("the AVI file is shorter than its header says; ask its maker for a whole file")
    found = list(riff.walk(data, 12, stop))
    if not any(chunk.name == b"LIST" and data[chunk.content : chunk.content + 4] == b"movi" for chunk in found):
        raise DamagedFile("the AVI file has no streams; ask its maker for a whole file")
    return stop, found


def _labels(data: bytes, found: list[riff.Chunk]) -> list[riff.Chunk]:
    labels = []
    for chunk in found:
        if chunk.name == b"LIST" and data[chunk.content : chunk.content + 4] == b"INFO":
            labels += [child for child in riff.walk(data, chunk.content + 4, chunk.end) if child.name == _NAME]
    return labels


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    _, found = _segment(data)
    return [
        AigcField("LIST INFO sub-chunk AIGC", data[chunk.content : chunk.end], True) for chunk in _labels(data, found)
    ]


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    stop, found = _segment(data)
    written = bytearray(data)
    for old in _labels(data, found):
        written[old.start : old.start + 4] = _PADDING
        written[old.content : old.end] = bytes(old.end - old.content)
    own = riff.make(b"LIST", b"INFO" + riff.make_text(_NAME, label.as_json()))
    if data[stop : stop + 4] != b"RIFF":
        if stop & 1:
            own = b"\x00" + own
        written[stop:stop] = own
        written[4:8] = (stop + len(own) - 8).to_bytes(4, "little")
        return bytes(written)
    for chunk in found:
        room = chunk.end - chunk.start + (chunk.end & 1) - len(own)
        if chunk.name == _PADDING and (room == 0 or room >= 8):
            rest = riff.make(_PADDING, bytes(room - 8)) if room else b""
            written[chunk.start : chunk.start + len(own) + room] = own + rest
            return bytes(written)
    raise RefusedFile("the AVI file has several segments and no padding for a label; convert it to MP4 or MKV")
