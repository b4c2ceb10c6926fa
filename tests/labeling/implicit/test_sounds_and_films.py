# SPDX-License-Identifier: Apache-2.0
"""Special cases of the sound and film containers: WAV, MP3, FLAC, Ogg, MP4, Matroska, AVI and FLV."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile, LabelError, RefusedFile
from labeling.implicit import flv, isobmff, matroska, ogg, riff, vorbis
from labeling.sniff import FileFormat, sniff

av: Any = pytest.importorskip("av")
Samples = dict[FileFormat, bytes]
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


# WAV


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


# ID3


def id3(version: int, flags: int, body: bytes) -> bytes:
    size = len(body)
    safe = bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127))
    return b"ID3" + bytes((version, 0, flags)) + safe + body


AUDIO = (b"\xff\xfb\x90\x00" + bytes(413)) * 4


def frame(name: bytes, content: bytes, version: int = 3) -> bytes:
    size = len(content)
    safe = bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127))
    return name + (safe if version == 4 else struct.pack(">I", size)) + bytes(2) + content


TITLE = b"\x03" + b"title"
CASES = {
    "none": b"",
    "2.2": id3(2, 0, b"TT2\x00\x00\x06" + TITLE + b"PIC\x00\x00\x08\x00PNG\x03\x00ab" + b"XXX\x00\x00\x01a"),
    "2.3": id3(3, 0, frame(b"TIT2", TITLE)),
    "2.3 padded": id3(3, 0, frame(b"TIT2", TITLE) + bytes(300)),
    "2.3 extended": id3(3, 0x40, struct.pack(">IHI", 6, 0, 0) + frame(b"TIT2", TITLE)),
    "2.3 unsynchronised": id3(
        3, 0x80, (frame(b"PRIV", b"\xff\xe0") + frame(b"TIT2", TITLE)).replace(b"\xff\xe0", b"\xff\x00\xe0")
    ),
    "2.4": id3(4, 0, frame(b"TIT2", TITLE, 4)),
    "2.4 footer": id3(4, 0x10, frame(b"TIT2", TITLE, 4)) + b"3DI\x04\x00\x10\x00\x00\x00\x10",
    "2.4 extended": id3(4, 0x40, b"\x00\x00\x00\x06\x01\x00" + frame(b"TIT2", TITLE, 4)),
    "2.4 plain sizes": id3(4, 0, frame(b"PRIV", b"x" * 200, 3) + frame(b"TIT2", TITLE, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_every_version_of_id3_takes_the_label_and_keeps_its_title(case: str, label: AigcLabel) -> None:
    """Audio frames byte for byte; the title as FFmpeg reads it."""
    data = CASES[case] + AUDIO
    written = implicit.write(data, FileFormat.MP3, label)

    assert only_label(written, FileFormat.MP3) == label
    assert written.endswith(AUDIO)
    if case != "none":
        with av.open(io.BytesIO(written), format="mp3") as source:
            assert source.metadata["title"] == "title"


@pytest.mark.parametrize("encoding", [0, 1, 2, 3])
def test_labels_in_every_text_encoding_are_read(encoding: int, other_label: AigcLabel) -> None:
    """Latin-1, UTF-16 with mark, UTF-16 without, UTF-8; in lower case and nested, as one service writes it."""
    codec = ("latin-1", "utf-16", "utf-16-be", "utf-8")[encoding]
    zero = b"\x00" * (2 if encoding in (1, 2) else 1)
    text = '{"aigc":' + other_label.as_json() + "}"
    data = id3(3, 0, frame(b"TXXX", bytes((encoding,)) + "aigc".encode(codec) + zero + text.encode(codec))) + AUDIO
    (field,) = implicit.read(data, FileFormat.MP3)

    assert parse(field.value).label == other_label
    assert not field.is_guide_place


@pytest.mark.parametrize(
    ("tag", "error"),
    [
        (b"ID3\x05\x00\x00\x00\x00\x00\x00", RefusedFile),
        (b"ID3\x03\x00\x00\x80\x00\x00\x00", DamagedFile),
        (b"ID3\x03\x00\x00\x7f\x7f\x7f\x7f", DamagedFile),
        (id3(3, 0, b"TIT2\x00\x00\xff\x00\x00\x00a"), DamagedFile),
        (id3(2, 0x40, b""), RefusedFile),
    ],
)
def test_broken_and_unknown_tags_are_refused(tag: bytes, error: type[LabelError], label: AigcLabel) -> None:
    """Not guessed at."""
    with pytest.raises(error):
        implicit.write(tag + AUDIO, FileFormat.MP3, label)


# Vorbis comments


def test_vorbis_comments_of_others_stay_and_names_are_case_insensitive(label: AigcLabel) -> None:
    """Including what follows the list."""
    comments = [b"TITLE=kept", b"aigc={}", b"Aigc_2={}"]
    block = struct.pack("<I", 3) + b"ven" + struct.pack("<I", 3)
    block += b"".join(struct.pack("<I", len(comment)) + comment for comment in comments) + b"\x01"
    written = vorbis.with_label(block, label)

    assert [field.place for field in vorbis.read_fields(block, "x")] == ["x comment aigc", "x comment Aigc_2"]
    assert [parse(field.value).label for field in vorbis.read_fields(written, "x")] == [label]
    assert b"TITLE=kept" in written and written.endswith(b"\x01") and b"ven" in written


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


@pytest.mark.parametrize("kind", [FileFormat.OPUS, FileFormat.OGG])
def test_a_long_comment_moves_to_more_pages_and_all_later_pages_follow(
    kind: FileFormat, label: AigcLabel, samples: Samples, content: Content
) -> None:
    """Sequence numbers without gaps, right checksums, the same packets: as FFmpeg reads them, with errors fatal."""
    long = AigcLabel("1", "P" * 1000, "I" * 1000, "R" * 6000)
    data = samples[kind]
    headers = ogg._headers(data)
    block = headers.packets[0][len(headers.prefix) :]
    big = struct.pack("<I", len(b"c=" + b"x" * 70_000)) + b"c=" + b"x" * 70_000
    vendor_end = 4 + int.from_bytes(block[:4], "little")
    count = struct.unpack_from("<I", block, vendor_end)[0]
    block = block[:vendor_end] + struct.pack("<I", count + 1) + big + block[vendor_end + 4 :]
    prefix = headers.prefix if headers.prefix[:1] == b"O" else headers.prefix[:1] + len(block).to_bytes(3, "big")
    pages = ogg._paginate([prefix + block, *headers.packets[1:]], headers.first)
    shift = len(pages) - headers.pages
    rest, at = [], headers.end
    while at < len(data):
        page = ogg._page(data, at)
        body = data[page.content : page.end]
        rest.append(ogg._make_page(page.serial, page.sequence + shift, page.flags, page.granule, page.segments, body))
        at = page.end
    large = data[: headers.first.end] + b"".join(pages) + b"".join(rest)
    written = implicit.write(large, kind, long)
    sequences, at = [], 0
    while at < len(written):
        page = ogg._page(written, at)
        whole = bytearray(written[at : page.end])
        stated = struct.unpack_from("<I", whole, 22)[0]
        whole[22:26] = bytes(4)
        assert ogg.checksum(bytes(whole)) == stated
        sequences.append(page.sequence)
        at = page.end

    assert sequences == list(range(len(sequences)))
    assert only_label(written, kind) == long
    assert content(written, kind) == content(data, kind)
    smaller = implicit.write(samples[kind], kind, label)
    assert only_label(smaller, kind) == label


def test_the_checksum_is_that_of_the_format(samples: Samples) -> None:
    """Compared with one that FFmpeg wrote."""
    data = samples[FileFormat.OPUS]
    page = ogg._page(data, 0)
    whole = bytearray(data[: page.end])
    stated = struct.unpack_from("<I", whole, 22)[0]
    whole[22:26] = bytes(4)

    assert ogg.checksum(bytes(whole)) == stated


# MP4


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


def test_64_bit_offsets_and_open_last_boxes_are_handled(label: AigcLabel, make_film: Callable[..., bytes]) -> None:
    """A co64 table moves like a 32-bit one; a last box that reaches to the end gets its size."""
    data = make_film("mp4", "mpeg4", movflags="faststart")
    at = data.index(b"stco")
    count = struct.unpack_from(">I", data, at + 8)[0]
    table = struct.pack(f">{count}I", *struct.unpack_from(f">{count}I", data, at + 12))
    box = isobmff.find(data, b"moov")
    assert box is not None
    moved = bytearray(data)
    isobmff._shift(moved, 0, len(moved), box.end, 1000, 0)
    assert struct.unpack_from(f">{count}I", moved, at + 12) == tuple(
        value + 1000 for value in struct.unpack(f">{count}I", table)
    )
    wide = bytearray(isobmff.make_full(b"co64", struct.pack(">IQQ", 2, 50, 5000)))
    isobmff._shift(wide, 0, len(wide), 100, 7, 0)
    assert struct.unpack_from(">QQ", wide, 16) == (50, 5007)
    plain = make_film("mp4", "mpeg4")
    moov = isobmff.find(plain, b"moov")
    assert moov is not None and moov.end == len(plain)
    opened = plain[: moov.start] + bytes(4) + plain[moov.start + 4 :]
    assert only_label(implicit.write(opened, FileFormat.MP4, label), FileFormat.MP4) == label


def test_an_offset_that_has_no_room_to_move_is_refused() -> None:
    """Not wrapped around."""
    table = bytearray(isobmff.make_full(b"stco", struct.pack(">II", 1, 0xFFFFFFF0)))
    with pytest.raises(RefusedFile, match="64-bit"):
        isobmff._shift(table, 0, len(table), 100, 32, 0)


def test_boxes_nested_without_end_are_damaged() -> None:
    """A thousand boxes in each other."""
    data = b""
    for _ in range(1000):
        data = isobmff.make(b"moof", data)
    with pytest.raises(DamagedFile, match="nested"):
        isobmff._shift(bytearray(data), 0, len(data), 0, 8, 0)


# Matroska


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


# AVI


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


# FLV


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
