# SPDX-License-Identifier: Apache-2.0
"""AVIF and HEIC: the XMP item and everything that moves with it."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.sniff import FileFormat

Encode = Callable[..., bytes]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_the_xmp_item_describes_the_primary_image(
    kind: str, samples: dict[FileFormat, bytes], label: AigcLabel
) -> None:
    """As ISO/IEC 23008-12 has it; the file is still sound after a second label with a longer packet."""
    if FileFormat[kind] not in samples:
        pytest.skip(f"no {kind} file could be made on this machine")
    once = implicit.write(samples[FileFormat[kind]], FileFormat[kind], label)
    longer = AigcLabel("1", "P" * 3000, "I")
    twice = implicit.write(once, FileFormat[kind], longer)

    assert b"cdsc" in once and b"application/rdf+xml" in once
    assert only_label(twice, FileFormat[kind]) == longer
    with Image.open(io.BytesIO(samples[FileFormat[kind]])) as before, Image.open(io.BytesIO(twice)) as after:
        assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()
        assert b"P" * 3000 in after.info["xmp"]


def test_an_avif_sequence_keeps_its_frames(label: AigcLabel, encode: Encode) -> None:
    """Its samples are found through chunk offsets, which move as well."""
    frames = [Image.new("RGB", (32, 32), (index * 90, 20, 20)) for index in range(3)]
    data = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=100)
    written = implicit.write(data, FileFormat.AVIF, label)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(written)) as after:
        assert after.n_frames == 3
        for index in range(3):
            before.seek(index)
            after.seek(index)
            assert before.tobytes() == after.tobytes()


def test_a_label_in_a_uuid_box_is_read_and_taken_out(
    label: AigcLabel, other_label: AigcLabel, samples: dict[FileFormat, bytes]
) -> None:
    """Another place that writers chose for AVIF and MP4."""
    from labeling.implicit import xmp
    from labeling.implicit.isobmff import XMP_UUID, make

    for kind in (FileFormat.AVIF, FileFormat.MP4):
        if kind not in samples:
            pytest.skip("no MP4 file could be made on this machine")
        data = samples[kind] + make(b"uuid", XMP_UUID + xmp.new_packet(other_label.as_json()))

        assert only_label(data, kind) == other_label
        assert only_label(implicit.write(data, kind, label), kind) == label
