# SPDX-License-Identifier: Apache-2.0
"""Matroska and WebM: every arrangement plays and seeks as before."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.implicit import matroska
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
        {"live": "1"},
        {"reserve_index_space": "900"},
        {"cues_to_front": "1"},
        {"write_crc32": "0"},
        {"cluster_time_limit": "300"},
    ],
    ids=lambda options: "+".join(options) or "plain",
)
@pytest.mark.parametrize(("container", "codec"), [("matroska", "mpeg4"), ("webm", "libvpx")])
def test_matroska_in_every_arrangement_plays_and_seeks_as_before(
    container: str,
    codec: str,
    options: dict[str, str],
    label: AigcLabel,
    make_film: Callable[..., bytes],
    content: Content,
) -> None:
    """Live without sizes, cues in front or behind, with and without checksums, several clusters."""
    data = make_film(container, codec, **options)
    kind = sniff(data)
    written = implicit.write(data, kind, label)

    assert only_label(written, kind) == label
    assert content(written, kind) == content(data, kind)
    if "live" not in options:
        assert frames_after_seeking(written) == frames_after_seeking(data)
    with av.open(io.BytesIO(written)) as source:
        assert source.metadata["title"] == "kept title"


def test_the_cues_point_at_clusters(label: AigcLabel, make_film: Callable[..., bytes]) -> None:
    """Each position in cues and seek head is the start of the element it names."""
    written = implicit.write(make_film("matroska", "mpeg4", cluster_time_limit="300"), FileFormat.MKV, label)
    _, content, end, _ = matroska._segment(written)
    elements = {element.start - content: element.kind for element in matroska._walk(written, content, end)}
    cues = next(element for element in matroska._walk(written, content, end) if element.kind == matroska._CUES)
    found = []
    for point in matroska._walk(written, cues.content, cues.end):
        for place in matroska._walk(written, point.content, point.end):
            if place.kind == matroska._CUE_TRACK_POSITIONS:
                for entry in matroska._walk(written, place.content, place.end):
                    if entry.kind == matroska._CUE_CLUSTER_POSITION:
                        found.append(int.from_bytes(written[entry.content : entry.end], "big"))
    head = next(element for element in matroska._walk(written, content, end) if element.kind == matroska._SEEK_HEAD)
    for seek in matroska._walk(written, head.content, head.end):
        parts = {
            part.kind: int.from_bytes(written[part.content : part.end], "big")
            for part in matroska._walk(written, seek.content, seek.end)
        }
        if parts:
            assert elements[parts[matroska._SEEK_POSITION]] == parts[matroska._SEEK_ID]

    assert len(found) > 1
    assert {elements[position] for position in found} == {matroska._CLUSTER}


def test_other_tags_of_a_matroska_stay(label: AigcLabel, make_film: Callable[..., bytes]) -> None:
    """The encoder's own tag, as FFmpeg reads it."""
    written = implicit.write(make_film("matroska", "mpeg4"), FileFormat.MKV, label)
    with av.open(io.BytesIO(written)) as source:
        assert "DURATION" in source.streams[0].metadata
