# SPDX-License-Identifier: Apache-2.0
"""WAV: open sizes and odd lengths."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.implicit import riff
from labeling.sniff import FileFormat

Content = Callable[[bytes, FileFormat], object]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_with_open_sizes_is_closed_and_labelled(
    size: int, label: AigcLabel, pcm: Callable[..., bytes], content: Content
) -> None:
    """As text-to-speech services stream it."""
    data = bytearray(pcm(sound=bytes(range(200)) * 5))
    data[4:8] = data[40:44] = struct.pack("<I", size)
    written = implicit.write(bytes(data), FileFormat.WAV, label)

    assert only_label(written, FileFormat.WAV) == label
    assert struct.unpack_from("<I", written, 40)[0] == 1000
    assert struct.unpack_from("<I", written, 4)[0] == len(written) - 8
    assert content(written, FileFormat.WAV) == content(pcm(sound=bytes(range(200)) * 5), FileFormat.WAV)


def test_a_wav_of_odd_length_is_padded(label: AigcLabel, pcm: Callable[..., bytes]) -> None:
    """Chunks begin at even places."""
    written = implicit.write(pcm(1, 8, 1, 8000, bytes(7)), FileFormat.WAV, label)

    assert [chunk.name for chunk in riff.walk(written, 12, len(written))] == [b"fmt ", b"data", b"AIGC"]
