# SPDX-License-Identifier: Apache-2.0
"""Matroska and WebM (RFC 9559): the label as SimpleTag ``AIGC`` in ``Segment.Tags`` (practice guide TC260-PG-20257A).

The tags go in front of the first cluster, where players look. The positions that the seek head and the cues hold are
written anew with a fixed width; checksums over what changed are left out, as they are optional. The blocks in the
clusters stay byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit.field import AigcField

_EBML, _SEGMENT, _CLUSTER, _CUES, _SEEK_HEAD, _TAGS, _VOID, _CRC32 = (
    0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1C53BB6B, 0x114D9B74, 0x1254C367, 0xEC, 0xBF,
)  # fmt: skip
_SEEK, _SEEK_ID, _SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
_CUE_POINT, _CUE_TRACK_POSITIONS, _CUE_CLUSTER_POSITION = 0xBB, 0xB7, 0xF1
_CLUSTER_POSITION, _PREVIOUS_SIZE = 0xA7, 0xAB
_TAG, _TARGETS, _SIMPLE_TAG, _TAG_NAME, _TAG_STRING = 0x7373, 0x63C0, 0x67C8, 0x45A3, 0x4487
_MASTER_OF_TAGS = frozenset({_TAGS, _TAG, _SIMPLE_TAG})
_LEVEL_1 = frozenset({
    _CLUSTER, _CUES, _SEEK_HEAD, _TAGS, _VOID, _CRC32, 0x1549A966, 0x1654AE6B, 0x1941A469, 0x1043A770,
})  # fmt: skip
_MAX_DEPTH = 8
_FIXED = 8


@dataclass(frozen=True, slots=True)
class Element:
    """One element; ``end`` is None where the size is unknown (live streams)."""

    kind: int
    start: int
    content: int
    end: int


def _element(data: bytes, at: int, stop: int) -> tuple[int, int, int | None]:
    """Identifier, start of content, and end or None for an unknown size."""
    width = _width(data, at, 4)
    kind = int.from_bytes(data[at : at + width], "big")
    at += width
    width = _width(data, at, 8)
    raw = int.from_bytes(data[at : at + width], "big")
    size = raw & ((1 << 7 * width) - 1)
    content = at + width
    if size == (1 << 7 * width) - 1:
        return kind, content, None
    if content + size > stop:
        raise DamagedFile("an element of the file is longer than what holds it; ask its maker for a whole file")
    return kind, content, content + size


def _width(data: bytes, at: int, limit: int) -> int:
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length() if first else 9
    if width > limit or at + width > len(data):
        raise DamagedFile("the file holds no valid element where one belongs; ask its maker for a sound file")
    return width


def _walk(data: bytes, start: int, stop: int) -> Iterator[Element]:
    at = start
    while at < stop:
        kind, content, end = _element(data, at, stop)
        if end is None:
            end = _end_of_unknown(data, content, stop) if kind == _CLUSTER else stop
        yield Element(kind, at, content, end)
        at = end


def _end_of_unknown(data: bytes, at: int, stop: int) -> int:
    """A cluster of unknown size ends where the next element of its own level begins."""
    while at < stop:
        kind, _, end = _element(data, at, stop)
        if kind in _LEVEL_1 and kind not in (_VOID, _CRC32):
            return at
        if end is None:
            raise DamagedFile("an element of unknown size stands inside a cluster; ask the maker of the file")
        at = end
    return stop


def _encode(kind: int, content: bytes, width: int = 0) -> bytes:
    name = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    return name + _size(len(content), width) + content


def _size(size: int, width: int = 0) -> bytes:
    width = width or next(count for count in range(1, 9) if size < (1 << 7 * count) - 1)
    return (size | 1 << 7 * width).to_bytes(width, "big")


def _segment(data: bytes) -> tuple[int, int, int, bool]:
    """Start, content start and end of the segment, and whether its size is known."""
    at = 0
    while at < len(data):
        kind, content, end = _element(data, at, len(data))
        if kind == _SEGMENT:
            return at, content, len(data) if end is None else end, end is not None
        if end is None:
            break
        at = end
    raise DamagedFile("the file has no segment; ask its maker for a whole file")


def _texts(data: bytes, tags: Element, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Name and text of every SimpleTag inside."""
    if depth > _MAX_DEPTH:
        raise DamagedFile("the tags of the file are nested too deeply; ask its maker for a sound file")
    name, text = "", b""
    for child in _walk(data, tags.content, tags.end):
        if child.kind in _MASTER_OF_TAGS:
            yield from _texts(data, child, depth + 1)
        elif child.kind == _TAG_NAME:
            name = data[child.content : child.end].decode("utf-8", "replace").rstrip("\x00")
        elif child.kind == _TAG_STRING:
            text = data[child.content : child.end].rstrip(b"\x00")
    if tags.kind == _SIMPLE_TAG:
        yield name, text


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    _, content, end, _ = _segment(data)
    fields = []
    for element in _walk(data, content, end):
        if element.kind == _TAGS:
            for name, text in _texts(data, element):
                if "AIGC" in name.upper():
                    fields.append(AigcField(f"Matroska SimpleTag {name[:64]}", text, name == "AIGC"))
    return fields


def _without_label(data: bytes, element: Element, depth: int = 0) -> bytes | None:
    """The tags without label tags; None where nothing remains. Checksums go, as they no longer hold."""
    if depth > _MAX_DEPTH:
        raise DamagedFile("the tags of the file are nested too deeply; ask its maker for a sound file")
    if element.kind == _SIMPLE_TAG and any("AIGC" in name.upper() for name, _ in _texts(data, element, depth)):
        return None
    parts = []
    has_tags = element.kind == _SIMPLE_TAG
    for child in _walk(data, element.content, element.end):
        if child.kind == _CRC32 or child.kind == _VOID:
            continue
        if child.kind in _MASTER_OF_TAGS:
            part = _without_label(data, child, depth + 1)
            if part is None:
                continue
            has_tags = True
            parts.append(part)
        else:
            parts.append(data[child.start : child.end])
    return _encode(element.kind, b"".join(parts)) if has_tags else None


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    start, content, end, size_is_known = _segment(data)
    elements = list(_walk(data, content, end))
    if not any(element.kind == _CLUSTER for element in elements):
        raise DamagedFile("the file has no cluster; ask its maker for a whole file")
    simple = _encode(_TAG_NAME, b"AIGC") + _encode(_TAG_STRING, label.as_json().encode("ascii"))
    tag = _encode(_TAG, _encode(_TARGETS, b"") + _encode(_SIMPLE_TAG, simple))
    former = b""
    for element in elements:
        if element.kind == _TAGS:
            kept = _without_label(data, element)
            if kept is not None:
                former += kept[4 + _width(kept, 4, 8) :]
    tags = _encode(_TAGS, former + tag)
    head_size = content - start - 4
    before = [element for element in elements if element.kind != _TAGS]
    # The place: after everything in front of the first cluster, so that the seek head stays first.
    place = next(index for index, element in enumerate(before) if element.kind == _CLUSTER)
    order: list[Element | None] = [*before[:place], None, *before[place:]]
    fixed: dict[int, bytes] = {}
    moved = _positions(order, content, len(tags), fixed)
    for element in elements:
        if element.kind in (_SEEK_HEAD, _CUES):
            fixed[element.start] = _reposition(data, element, content, moved)
    # The rewritten elements have a size that no longer depends on the positions in them, so one more round settles.
    moved = _positions(order, content, len(tags), fixed)
    for element in elements:
        if element.kind in (_SEEK_HEAD, _CUES):
            fixed[element.start] = _reposition(data, element, content, moved)
    parts = []
    for item in order:
        if item is None:
            parts.append(tags)
        elif item.kind == _CLUSTER:
            parts.append(_unpositioned_cluster(data, item))
        else:
            parts.append(fixed.get(item.start, data[item.start : item.end]))
    body = b"".join(parts)
    if not size_is_known:
        return data[:content] + body + data[end:]
    if len(body) >= (1 << 7 * head_size) - 1:
        raise RefusedFile("the segment with the label outgrows its size field; write the file anew")
    return data[: start + 4] + _size(len(body), head_size) + body + data[end:]


def _positions(order: list[Element | None], content: int, tags_bytes: int, fixed: dict[int, bytes]) -> dict[int, int]:
    """The new position of each element, by its old one; the label's own tags stand under -1."""
    moved = {}
    at = 0
    for item in order:
        if item is None:
            moved[-1] = at
            at += tags_bytes
        else:
            moved[item.start - content] = at
            at += len(fixed[item.start]) if item.start in fixed else item.end - item.start
    return moved


def _reposition(data: bytes, element: Element, content: int, moved: dict[int, int]) -> bytes:
    """A seek head or cues with the new positions, each eight bytes wide."""
    parts: list[bytes] = []
    for child in _walk(data, element.content, element.end):
        if child.kind == _CRC32:
            continue
        if child.kind == _SEEK:
            part = _seek(data, child, moved)
            if part is None:
                continue
            parts.append(part)
        elif child.kind in (_CUE_POINT, _CUE_TRACK_POSITIONS):
            parts.append(_reposition(data, child, content, moved))
        elif child.kind == _CUE_CLUSTER_POSITION:
            old = int.from_bytes(data[child.content : child.end], "big")
            # A cue to a place that holds no element is already broken; it stays as it is.
            parts.append(_encode(child.kind, moved.get(old, old).to_bytes(_FIXED, "big")))
        else:
            parts.append(data[child.start : child.end])
    if element.kind == _SEEK_HEAD:
        parts.append(_encode(_SEEK, _encode(_SEEK_ID, _TAGS.to_bytes(4, "big")) + _position(moved[-1])))
    return _encode(element.kind, b"".join(parts))


def _position(value: int) -> bytes:
    return _encode(_SEEK_POSITION, value.to_bytes(_FIXED, "big"))


def _seek(data: bytes, seek: Element, moved: dict[int, int]) -> bytes | None:
    """One entry of the seek head; None for former tags, which are gone."""
    identifier, old = b"", 0
    for child in _walk(data, seek.content, seek.end):
        if child.kind == _SEEK_ID:
            identifier = data[child.content : child.end]
        elif child.kind == _SEEK_POSITION:
            old = int.from_bytes(data[child.content : child.end], "big")
    if int.from_bytes(identifier, "big") == _TAGS or old not in moved:
        return None
    return _encode(_SEEK, _encode(_SEEK_ID, identifier) + _position(moved[old]))


def _unpositioned_cluster(data: bytes, cluster: Element) -> bytes:
    """The cluster with its optional own position, and a checksum over it, turned into padding of the same length."""
    written = bytearray(data[cluster.start : cluster.end])
    head: list[Element] = []
    for child in _walk(data, cluster.content, cluster.end):
        if child.kind not in (_CRC32, _CLUSTER_POSITION, _PREVIOUS_SIZE, 0xE7):
            break
        head.append(child)
    if any(child.kind == _CLUSTER_POSITION for child in head):
        for child in head:
            if child.kind in (_CLUSTER_POSITION, _CRC32):
                written[child.start - cluster.start] = _VOID
    return bytes(written)
