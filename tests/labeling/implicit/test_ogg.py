# SPDX-License-Identifier: Apache-2.0
"""Ogg: pages, sequence numbers and checksums."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile
from labeling.implicit import ogg
from labeling.sniff import FileFormat, sniff

Samples = dict[FileFormat, bytes]


Content = Callable[[bytes, FileFormat], object]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


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


def test_ogg_vorbis_keeps_its_setup_header_and_its_sound(
    label: AigcLabel, make_sound: Callable[..., bytes], content: Content
) -> None:
    """Comment and setup headers share pages; both are rewritten, and FFmpeg decodes the same packets."""
    data = make_sound("ogg", "vorbis", layout="stereo", strict="-2")
    written = implicit.write(data, FileFormat.OGG, label)

    assert sniff(data) is FileFormat.OGG
    assert only_label(written, FileFormat.OGG) == label
    assert content(written, FileFormat.OGG) == content(data, FileFormat.OGG)


def test_flac_comments_in_the_wrong_place_are_damaged(label: AigcLabel, samples: Samples) -> None:
    """The first packet after the identification must be the comments."""
    data = bytearray(samples[FileFormat.OGG])
    headers = ogg._headers(bytes(data))
    at = headers.first.end + 27 + data[headers.first.end + 26]
    data[at] = 3
    with pytest.raises(DamagedFile, match="comments"):
        implicit.write(bytes(data), FileFormat.OGG, label)
