# SPDX-License-Identifier: Apache-2.0
"""FLV: the index moves with the data."""

from __future__ import annotations

import struct
from collections.abc import Callable

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.implicit import flv
from labeling.sniff import FileFormat

Samples = dict[FileFormat, bytes]


Content = Callable[[bytes, FileFormat], object]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


def test_the_key_frame_index_of_an_flv_moves_with_the_data(label: AigcLabel, samples: Samples) -> None:
    """Each file position is the start of a video tag, before and after."""
    for data in (samples[FileFormat.FLV], implicit.write(samples[FileFormat.FLV], FileFormat.FLV, label)):
        script, _ = flv._script(data)
        assert script is not None
        offsets = [int(struct.unpack_from(">d", data, at)[0]) for at in script.offsets]
        assert offsets
        assert all(data[offset] in (9, 18) for offset in offsets)
        assert [int(struct.unpack_from(">d", data, at)[0]) for at in script.sizes] == [len(data)]


def test_an_flv_without_metadata_gets_a_tag(label: AigcLabel, samples: Samples, content: Content) -> None:
    """In front of everything, as players expect it."""
    data = samples[FileFormat.FLV]
    size = int.from_bytes(data[14:17], "big")
    bare = data[:13] + data[13 + 11 + size + 4 :]
    written = implicit.write(bare, FileFormat.FLV, label)

    assert only_label(written, FileFormat.FLV) == label
    assert content(written, FileFormat.FLV) == content(bare, FileFormat.FLV)
