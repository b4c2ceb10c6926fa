# SPDX-License-Identifier: Apache-2.0
"""MP3: the label in the ID3v2 frame ``TXXX`` with description ``AIGC`` (practice guide TC260-PG-202510A).

Reads ID3v2.2, 2.3 and 2.4 with all their unsynchronisations; writes the version that the file has, 2.3 where it has
no tag and in place of 2.2. Other frames stay byte for byte in content; the audio frames and tags at the end of the
file stay byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit.field import AigcField

_HEADER_BYTES = 10
_UNSYNCHRONISED, _EXTENDED, _FOOTER = 0x80, 0x40, 0x10
_MAX_TAG_BYTES = 1 << 28
# Readers that tell plain from syncsafe sizes by looking at what follows a frame need something to look at.
_PADDING = bytes(_HEADER_BYTES)
# ID3v2.2 names its frames with three letters; those that the other versions also know.
_NAMES_OF_2_2 = {
    b"TXX": b"TXXX", b"TT1": b"TIT1", b"TT2": b"TIT2", b"TT3": b"TIT3", b"TP1": b"TPE1", b"TP2": b"TPE2",
    b"TP3": b"TPE3", b"TP4": b"TPE4", b"TAL": b"TALB", b"TRK": b"TRCK", b"TYE": b"TYER", b"TCO": b"TCON",
    b"TCM": b"TCOM", b"TEN": b"TENC", b"TSS": b"TSSE", b"TCR": b"TCOP", b"TBP": b"TBPM", b"TLA": b"TLAN",
    b"TPA": b"TPOS", b"TPB": b"TPUB", b"TRC": b"TSRC", b"TXT": b"TEXT", b"COM": b"COMM", b"ULT": b"USLT",
    b"UFI": b"UFID", b"WXX": b"WXXX",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Frame:
    name: bytes
    flags: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class _Tag:
    """An ID3v2 tag; ``end`` is the index of the first byte after it."""

    version: int
    frames: list[_Frame]
    end: int


def _syncsafe(value: bytes) -> int:
    if any(byte & 0x80 for byte in value):
        raise DamagedFile("a size in the ID3 tag is not syncsafe; ask the maker of the file for a sound one")
    return value[0] << 21 | value[1] << 14 | value[2] << 7 | value[3]


def _as_syncsafe(value: int) -> bytes:
    return bytes((value >> 21 & 0x7F, value >> 14 & 0x7F, value >> 7 & 0x7F, value & 0x7F))


def _resynchronise(data: bytes) -> bytes:
    return data.replace(b"\xff\x00", b"\xff")


def _read_tag(data: bytes) -> _Tag:
    if not data.startswith(b"ID3"):
        return _Tag(3, [], 0)
    if len(data) < _HEADER_BYTES:
        raise DamagedFile("the file ends in its ID3 header; ask its maker for a whole file")
    version, flags = data[3], data[5]
    if version not in (2, 3, 4):
        raise RefusedFile(f"ID3 version 2.{version} is not known; write the file with 2.3 or 2.4")
    size = _syncsafe(data[6:10])
    end = _HEADER_BYTES + size + (_HEADER_BYTES if version == 4 and flags & _FOOTER else 0)
    if end > len(data):
        raise DamagedFile("the ID3 tag is longer than the file; ask its maker for a whole file")
    body = data[_HEADER_BYTES : _HEADER_BYTES + size]
    if flags & _UNSYNCHRONISED and version < 4:
        body = _resynchronise(body)
    at = 0
    if flags & _EXTENDED:
        if version == 2:
            raise RefusedFile("the ID3v2.2 tag is compressed in a way that was never defined; write the tag anew")
        at = _syncsafe(body[:4]) if version == 4 else 4 + int.from_bytes(body[:4], "big")
    frames = _frames_of_2_2(body) if version == 2 else _frames(body, at, version, bool(flags & _UNSYNCHRONISED))
    return _Tag(max(version, 3), frames, end)


def end_of_tag(data: bytes) -> int:
    """The index of the first byte after the ID3v2 tag, 0 where there is none."""
    if not data.startswith(b"ID3") or len(data) < _HEADER_BYTES:
        return 0
    return _HEADER_BYTES + _syncsafe(data[6:10]) + (_HEADER_BYTES if data[3] == 4 and data[5] & _FOOTER else 0)


def _frames_of_2_2(body: bytes) -> list[_Frame]:
    frames = []
    at = 0
    while at + 6 <= len(body) and body[at]:
        size = int.from_bytes(body[at + 3 : at + 6], "big")
        if at + 6 + size > len(body):
            raise DamagedFile("an ID3 frame is longer than its tag; ask the maker of the file for a sound one")
        name = body[at : at + 3]
        content = body[at + 6 : at + 6 + size]
        if name == b"PIC" and len(content) > 5:
            kind = b"image/png" if content[1:4] == b"PNG" else b"image/jpeg"
            frames.append(_Frame(b"APIC", b"\x00\x00", content[:1] + kind + b"\x00" + content[4:]))
        elif name in _NAMES_OF_2_2:
            frames.append(_Frame(_NAMES_OF_2_2[name], b"\x00\x00", content))
        at += 6 + size
    return frames


def _frames(body: bytes, at: int, version: int, is_unsynchronised: bool) -> list[_Frame]:
    frames = []
    while at + _HEADER_BYTES <= len(body) and body[at]:
        name, raw_size, flags = body[at : at + 4], body[at + 4 : at + 8], body[at + 8 : at + 10]
        size = _size_of_2_4(body, at, raw_size) if version == 4 else int.from_bytes(raw_size, "big")
        end = at + _HEADER_BYTES + size
        if end > len(body):
            raise DamagedFile("an ID3 frame is longer than its tag; ask the maker of the file for a sound one")
        content = body[at + _HEADER_BYTES : end]
        if version == 4 and is_unsynchronised and not flags[1] & 0x02:
            # The tag says that all frames are unsynchronised; the frame's own flag says it again when we write.
            flags = bytes((flags[0], flags[1] | 0x02))
        frames.append(_Frame(name, flags, content))
        at = end
    return frames


def _size_of_2_4(body: bytes, at: int, raw: bytes) -> int:
    """Some writers put a plain size where a syncsafe one belongs; the next frame's name tells which it is."""
    plain = int.from_bytes(raw, "big")
    if any(byte & 0x80 for byte in raw):
        return plain
    size = _syncsafe(raw)
    if size != plain and not _is_frame_start(body, at + 10 + size) and _is_frame_start(body, at + 10 + plain):
        return plain
    return size


def _is_frame_start(body: bytes, at: int) -> bool:
    name = body[at : at + 4]
    return at == len(body) or (len(name) > 0 and (name[0] == 0 or (name.isalnum() and name.isupper())))


def _user_text(frame: _Frame) -> tuple[str, str] | None:
    """Description and value of a TXXX frame that is neither compressed nor encrypted."""
    if frame.name != b"TXXX" or not frame.content or frame.flags[1] & 0xCC:
        return None
    content = _resynchronise(frame.content) if frame.flags[1] & 0x02 else frame.content
    if frame.flags[1] & 0x01:
        content = content[4:]
    encoding = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}.get(content[0], "latin-1")
    text = content[1:].decode(encoding, "replace")
    description, _, value = text.partition("\x00")
    return description, value.strip("\x00").removeprefix("\ufeff").removeprefix("\ufffe")


def _is_label(frame: _Frame) -> bool:
    text = _user_text(frame)
    return text is not None and "AIGC" in text[0].upper()


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    fields = []
    for frame in _read_tag(data).frames:
        text = _user_text(frame)
        if text is not None and "AIGC" in text[0].upper():
            fields.append(AigcField(f"ID3v2 TXXX frame {text[0][:64]}", text[1], text[0] == "AIGC"))
    return fields


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    tag = _read_tag(data)
    # Encoding 0 is enough, as the label is ASCII, and every reader knows it.
    own = _Frame(b"TXXX", b"\x00\x00", b"\x00AIGC\x00" + label.as_json().encode("ascii"))
    body = b"".join(
        frame.name
        + (_as_syncsafe(len(frame.content)) if tag.version == 4 else len(frame.content).to_bytes(4, "big"))
        + frame.flags
        + frame.content
        for frame in [*(frame for frame in tag.frames if not _is_label(frame)), own]
    )
    body += _PADDING
    if len(body) >= _MAX_TAG_BYTES:
        raise RefusedFile("the ID3 tag with the label exceeds 256 MiB; remove pictures from it")
    return b"ID3" + bytes((tag.version, 0, 0)) + _as_syncsafe(len(body)) + body + data[tag.end :]
