# SPDX-License-Identifier: Apache-2.0
"""MP4 and MOV: every arrangement plays and seeks as before."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.sniff import FileFormat, sniff

av: Any = pytest.importorskip("av")


Content = Callable[[bytes, FileFormat], object]


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


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"movflags": "faststart"},
        {"movflags": "frag_keyframe+empty_moov"},
        {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
        {"movflags": "use_metadata_tags"},
        {"movflags": "faststart+use_metadata_tags"},
        {"movflags": "faststart", "write_tmcd": "0", "brand": "isom"},
    ],
    ids=lambda options: "+".join(options.values()) or "plain",
)
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_mp4_in_every_arrangement_plays_and_seeks_as_before(
    container: str, options: dict[str, str], label: AigcLabel, make_film: Callable[..., bytes], content: Content
) -> None:
    """Index behind or in front of the data, fragments, metadata of other kinds beside ours."""
    data = make_film(container, "mpeg4", **options)
    kind = sniff(data)
    written = implicit.write(data, kind, label)

    assert only_label(written, kind) == label
    assert content(written, kind) == content(data, kind)
    assert frames_after_seeking(written) == frames_after_seeking(data)
    with av.open(io.BytesIO(written)) as source:
        assert source.metadata["title"] == "kept title"
        assert parse(source.metadata["AIGC"]).label == label
