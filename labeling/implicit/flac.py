# SPDX-License-Identifier: Apache-2.0
"""FLAC (RFC 9639): the label as Vorbis comment ``AIGC``. The audio frames stay byte for byte.

An ID3v2 tag in front of the stream, where Content Credentials stand, is kept as it is.
"""

from __future__ import annotations

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit import mp3, vorbis
from labeling.implicit.field import AigcField

_STREAM_INFO, _VORBIS_COMMENT = 0, 4
_LAST = 0x80
_MAX_BLOCK_BYTES = (1 << 24) - 1


def _blocks(data: bytes) -> tuple[int, list[tuple[int, bytes]], int]:
    """Index of the stream, type and content of each metadata block, and the index of the first audio frame."""
    found = []
    start = mp3.end_of_tag(data)
    if data[start : start + 4] != b"fLaC":
        raise DamagedFile("the file has no FLAC stream; ask its maker for a whole file")
    at = start + 4
    while True:
        if at + 4 > len(data):
            raise DamagedFile("the FLAC file ends in its metadata; ask its maker for a whole file")
        end = at + 4 + int.from_bytes(data[at + 1 : at + 4], "big")
        if end > len(data):
            raise DamagedFile("a FLAC metadata block is longer than the file; ask its maker for a whole file")
        found.append((data[at] & 0x7F, data[at + 4 : end]))
        is_last = data[at] & _LAST
        at = end
        if is_last:
            break
    if found[0][0] != _STREAM_INFO:
        raise DamagedFile("the FLAC file does not begin with its stream information; ask its maker for a sound file")
    return start, found, at


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    fields: list[AigcField] = []
    for kind, content in _blocks(data)[1]:
        if kind == _VORBIS_COMMENT:
            fields += vorbis.read_fields(content, "FLAC Vorbis")
    return fields


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    start, blocks, audio_at = _blocks(data)
    comment_at = next((index for index, block in enumerate(blocks) if block[0] == _VORBIS_COMMENT), None)
    if comment_at is None:
        blocks.insert(1, (_VORBIS_COMMENT, vorbis.new_block(label)))
    else:
        blocks[comment_at] = (_VORBIS_COMMENT, vorbis.with_label(blocks[comment_at][1], label))
    written = [data[: start + 4]]
    for index, (kind, content) in enumerate(blocks):
        if len(content) > _MAX_BLOCK_BYTES:
            raise RefusedFile("the comments with the label exceed the 16 MiB of a FLAC block; shorten the comments")
        last = _LAST if index == len(blocks) - 1 else 0
        written += [bytes((kind | last,)), len(content).to_bytes(3, "big"), content]
    return b"".join(written) + data[audio_at:]
