# SPDX-License-Identifier: Apache-2.0
"""AVI: the index stays true."""

from __future__ import annotations

import io
from typing import Any

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import RefusedFile
from labeling.implicit import riff
from labeling.sniff import FileFormat

av: Any = pytest.importorskip("av")


Samples = dict[FileFormat, bytes]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


def frames_after_seeking(data: bytes) -> list[int | None]:
    """Times of the key frames that a player lands on when it seeks: this is what indexes are for."""
    landed = []
    with av.open(io.BytesIO(data)) as source:
        stream = source.streams.video[0]
        for second in (1.5, 1.0, 0.5, 0.0):
            source.seek(int(second / stream.time_base), stream=stream, backward=True)
            landed.append(next(source.decode(stream)).pts)
    return landed


def test_an_avi_keeps_its_index(label: AigcLabel, samples: Samples) -> None:
    """Nothing in front of the streams moves."""
    data = samples[FileFormat.AVI]
    written = implicit.write(data, FileFormat.AVI, label)

    assert written[12 : len(data)] == data[12:]
    assert frames_after_seeking(written) == frames_after_seeking(data)


def test_an_avi_of_several_segments_uses_its_padding_or_is_refused(label: AigcLabel, samples: Samples) -> None:
    """OpenDML indexes hold absolute offsets into later segments."""
    data = samples[FileFormat.AVI]
    several = data + riff.form(b"AVIX", riff.make(b"LIST", b"movi"))
    written = implicit.write(several, FileFormat.AVI, label)

    assert len(written) == len(several)
    assert only_label(written, FileFormat.AVI) == label
    with pytest.raises(RefusedFile, match="no padding"):
        implicit.write(several.replace(b"JUNK", b"JUNX"), FileFormat.AVI, label)
