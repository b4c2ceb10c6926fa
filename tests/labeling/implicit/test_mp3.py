# SPDX-License-Identifier: Apache-2.0
"""MP3: every version of ID3, every text encoding."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile, LabelError, RefusedFile
from labeling.sniff import FileFormat

av: Any = pytest.importorskip("av")


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


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
