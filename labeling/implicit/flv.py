# SPDX-License-Identifier: Apache-2.0
"""FLV: the label as property ``AIGC`` of the script tag ``onMetaData`` (practice guide TC260-PG-20257A).

The property is an AMF0 string. Absolute offsets that the same tag may hold (``keyframes.filepositions``, ``filesize``)
are moved with the data. All other tags stay byte for byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit.field import AigcField

_SCRIPT = 18
_NUMBER, _BOOLEAN, _STRING, _OBJECT, _NULL, _UNDEFINED, _REFERENCE, _ECMA_ARRAY, _STRICT_ARRAY, _DATE, _LONG_STRING = (
    0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12,
)  # fmt: skip
_END = b"\x00\x00\x09"
_NAME = b"onMetaData"
_MAX_DEPTH = 16
_MAX_TAG_BYTES = (1 << 24) - 1


@dataclass(slots=True)
class _Script:
    """The first onMetaData tag: its span, the count of its array, its properties and the numbers that are offsets."""

    start: int
    end: int
    count_at: int | None
    first: int
    properties: list[tuple[bytes, int, int]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


def _skip(data: bytes, at: int, stop: int, path: tuple[bytes, ...], script: _Script) -> int:
    """The index after the AMF0 value at ``at``; offsets on the way are noted."""
    if len(path) > _MAX_DEPTH or at >= stop:
        raise DamagedFile("the script data of the FLV are broken; ask the maker of the file for a sound one")
    kind = data[at]
    at += 1
    if kind == _NUMBER:
        if path[:2] == (b"keyframes", b"filepositions"):
            script.offsets.append(at)
        elif path == (b"filesize",):
            script.sizes.append(at)
        return at + 8
    if kind == _BOOLEAN:
        return at + 1
    if kind == _STRING:
        return at + 2 + int.from_bytes(data[at : at + 2], "big")
    if kind == _LONG_STRING:
        return at + 4 + int.from_bytes(data[at : at + 4], "big")
    if kind in (_NULL, _UNDEFINED):
        return at
    if kind == _REFERENCE:
        return at + 2
    if kind == _DATE:
        return at + 10
    if kind == _STRICT_ARRAY:
        count = int.from_bytes(data[at : at + 4], "big")
        at += 4
        for _ in range(count):
            at = _skip(data, at, stop, (*path, b""), script)
        return at
    if kind in (_OBJECT, _ECMA_ARRAY):
        at += 4 if kind == _ECMA_ARRAY else 0
        while data[at : at + 3] != _END:
            length = int.from_bytes(data[at : at + 2], "big")
            name = data[at + 2 : at + 2 + length]
            end = _skip(data, at + 2 + length, stop, (*path, name), script)
            if not path:
                script.properties.append((name, at, end))
            at = end
        return at + 3
    raise DamagedFile("the script data of the FLV hold an unknown type; ask the maker of the file for a sound one")


def _script(data: bytes) -> tuple[_Script | None, int]:
    """The metadata tag, and the index of the first tag."""
    at = int.from_bytes(data[5:9], "big") + 4
    first = at
    if first < 13 or first > len(data):
        raise DamagedFile("the FLV ends in its header; ask its maker for a whole file")
    # Metadata stand in front; a few audio and video headers may come before them.
    for _ in range(16):
        if at + 11 > len(data):
            break
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        end = at + 11 + size
        if end + 4 > len(data):
            raise DamagedFile("an FLV tag is longer than the file; ask its maker for a whole file")
        body = at + 11
        if data[at] & 0x1F == _SCRIPT and data[body : body + 13] == b"\x02\x00\x0a" + _NAME:
            if data[body + 13 : body + 14] not in (bytes((_OBJECT,)), bytes((_ECMA_ARRAY,))):
                raise DamagedFile("the metadata of the FLV are no object; ask the maker of the file for a sound one")
            is_array = data[body + 13] == _ECMA_ARRAY
            found = _Script(at, end, body + 14 if is_array else None, body + 14 + (4 if is_array else 0))
            if _skip(data, body + 13, end, (), found) > end:
                raise DamagedFile("the metadata of the FLV leave their tag; ask the maker of the file for a sound one")
            return found, first
        at = end + 4
    return None, first


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    found, _ = _script(data)
    fields = []
    for name, start, end in found.properties if found else []:
        if b"AIGC" in name.upper():
            value = data[start + 2 + len(name) : end]
            text = value[5:] if value[0] == _LONG_STRING else value[3:] if value[0] == _STRING else value
            fields.append(AigcField(f"onMetaData {name[:64].decode('latin-1')}", text, name == b"AIGC"))
    return fields


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    text = label.as_json().encode("ascii")
    own = b"\x00\x04AIGC" + bytes((_STRING,)) + len(text).to_bytes(2, "big") + text
    found, first = _script(data)
    if found is None:
        body = b"\x02\x00\x0a" + _NAME + bytes((_ECMA_ARRAY,)) + (1).to_bytes(4, "big") + own + _END
        return data[:first] + _tag(body, bytes(7)) + data[first:]
    old = [entry for entry in found.properties if b"AIGC" in entry[0].upper()]
    delta = len(own) - sum(end - start for _, start, end in old)
    patched = bytearray(data)
    for at in found.offsets:
        value = struct.unpack_from(">d", data, at)[0]
        struct.pack_into(">d", patched, at, value + delta if value >= found.end else value)
    for at in found.sizes:
        struct.pack_into(">d", patched, at, struct.unpack_from(">d", data, at)[0] + delta)
    if found.count_at is not None:
        count = max(int.from_bytes(data[found.count_at : found.count_at + 4], "big"), len(found.properties))
        patched[found.count_at : found.count_at + 4] = (count - len(old) + 1).to_bytes(4, "big")
    body = bytes(patched[found.start + 11 : found.end])
    for _, start, end in sorted(old, key=lambda entry: entry[1], reverse=True):
        body = body[: start - found.start - 11] + body[end - found.start - 11 :]
    place = found.first - found.start - 11
    body = body[:place] + own + body[place:]
    return data[: found.start] + _tag(body, data[found.start + 4 : found.start + 11]) + data[found.end + 4 :]


def _tag(body: bytes, time_and_stream: bytes) -> bytes:
    if len(body) > _MAX_TAG_BYTES:
        raise RefusedFile("the metadata with the label exceed the 16 MiB of an FLV tag; shorten the metadata")
    tag = bytes((_SCRIPT,)) + len(body).to_bytes(3, "big") + time_and_stream + body
    return tag + len(tag).to_bytes(4, "big")
