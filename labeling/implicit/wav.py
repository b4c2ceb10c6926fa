# SPDX-License-Identifier: Apache-2.0
"""WAV: the label in a RIFF chunk ``AIGC`` (practice guide TC260-PG-202510A), after the sound.

Streaming writers leave the sizes of the file and of its sound open; both are set right, because a chunk can only follow
a sound whose end is known. The sound itself stays byte for byte.
"""

from __future__ import annotations

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.implicit import riff
from labeling.implicit.field import AigcField

_NAME = b"AIGC"


def chunks(data: bytes) -> list[riff.Chunk]:
    """The chunks of the file. Raises :class:`DamagedFile` where there is no sound."""
    stop = 8 + int.from_bytes(data[4:8], "little")
    if stop > len(data) or stop <= 12:
        stop = len(data)
    found = list(riff.walk(data, 12, stop, open_ended=b"data"))
    names = {chunk.name for chunk in found}
    if b"fmt " not in names or b"data" not in names:
        raise DamagedFile("the WAV file has no format or no sound; ask its maker for a whole file")
    return found


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    return [
        AigcField("RIFF chunk AIGC", data[chunk.content : chunk.end], True)
        for chunk in chunks(data)
        if chunk.name == _NAME
    ]


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    kept = [riff.make(chunk.name, data[chunk.content : chunk.end]) for chunk in chunks(data) if chunk.name != _NAME]
    return riff.form(b"WAVE", b"".join(kept) + riff.make_text(_NAME, label.as_json()))
