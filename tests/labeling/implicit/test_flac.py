# SPDX-License-Identifier: Apache-2.0
"""FLAC: files without comments and behind an ID3 tag."""

from __future__ import annotations

from collections.abc import Callable

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.sniff import FileFormat, sniff

Samples = dict[FileFormat, bytes]


Content = Callable[[bytes, FileFormat], object]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


def id3(version: int, flags: int, body: bytes) -> bytes:
    size = len(body)
    safe = bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127))
    return b"ID3" + bytes((version, 0, flags)) + safe + body


def test_a_flac_without_comments_gets_a_block(label: AigcLabel, samples: Samples, content: Content) -> None:
    """Behind the stream information, the last-block flag kept right."""
    data = samples[FileFormat.FLAC]
    end = 4 + 4 + int.from_bytes(data[5:8], "big")
    at, audio = end, end
    while not data[audio - 0] & 0x80 and audio < len(data):
        audio += 4 + int.from_bytes(data[audio + 1 : audio + 4], "big")
    audio += 4 + int.from_bytes(data[audio + 1 : audio + 4], "big")
    bare = data[:4] + bytes((0x80,)) + data[5:at] + data[audio:]

    assert content(bare, FileFormat.FLAC) == content(data, FileFormat.FLAC)
    written = implicit.write(bare, FileFormat.FLAC, label)
    assert only_label(written, FileFormat.FLAC) == label
    assert content(written, FileFormat.FLAC) == content(data, FileFormat.FLAC)


def test_a_flac_behind_an_id3_tag_is_labelled_in_its_own_comments(label: AigcLabel, samples: Samples) -> None:
    """Where Content Credentials stand."""
    data = id3(4, 0, b"") + samples[FileFormat.FLAC]

    assert sniff(data) is FileFormat.FLAC
    assert only_label(implicit.write(data, FileFormat.FLAC, label), FileFormat.FLAC) == label
