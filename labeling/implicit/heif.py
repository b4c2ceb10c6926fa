# SPDX-License-Identifier: Apache-2.0
"""AVIF and HEIC (ISO/IEC 23008-12): the label in an XMP metadata item that describes the primary image.

The item is of type ``mime`` with content type ``application/rdf+xml`` and a ``cdsc`` reference to the primary item;
its data stand in a media data box at the end of the file. The coded image data stay byte for byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.implicit import isobmff, xmp
from labeling.implicit.field import AigcField
from labeling.implicit.isobmff import XMP_UUID, Box, ItemLocation, find, make, make_full, walk
from labeling.implicit.mp4 import blank_xmp_boxes

_RDF_TYPE = b"application/rdf+xml"


@dataclass(slots=True)
class _Items:
    """The ``meta`` box taken apart as far as items need it."""

    box: Box
    children: list[Box]
    primary_id: int
    xmp_ids: list[int]
    item_ids: list[int]
    locations: list[ItemLocation]

    def child(self, kind: bytes) -> Box | None:
        """The first child of a kind."""
        return next((child for child in self.children if child.kind == kind), None)

    def location(self, item_id: int) -> ItemLocation | None:
        """Where an item's data lie."""
        return next((location for location in self.locations if location.item_id == item_id), None)


def _items(data: bytes) -> _Items:
    box = find(data, b"meta")
    if box is None:
        raise DamagedFile("the image file has no meta box; ask its maker for a whole file")
    children = list(walk(data, box.content + 4, box.end))
    found = _Items(box, children, 0, [], [], [])
    primary, info, locations = found.child(b"pitm"), found.child(b"iinf"), found.child(b"iloc")
    if primary is None or info is None or locations is None:
        raise DamagedFile("the image file names no primary image; ask its maker for a sound file")
    found.primary_id = int.from_bytes(
        data[primary.content + 4 : primary.end][: 4 if data[primary.content] else 2], "big"
    )
    for entry in walk(data, info.content + (8 if data[info.content] else 6), info.end):
        if entry.kind != b"infe" or data[entry.content] not in (2, 3):
            continue
        width = 4 if data[entry.content] == 3 else 2
        at = entry.content + 4
        item_id = int.from_bytes(data[at : at + width], "big")
        found.item_ids.append(item_id)
        at += width + 2
        names = data[at + 4 : entry.end].split(b"\x00")
        if data[at : at + 4] == b"mime" and len(names) > 1 and names[1] == _RDF_TYPE:
            found.xmp_ids.append(item_id)
    found.locations = isobmff.read_item_locations(data, locations)
    return found


def _item_data(data: bytes, items: _Items, item_id: int) -> bytes:
    location = items.location(item_id)
    if location is None:
        return b""
    base = 0
    if location.construction == 1:
        store = items.child(b"idat")
        base = store.content if store else len(data)
    elif location.construction:
        raise DamagedFile("the XMP of the image is built from other items, which no writer does; ask its maker")
    pieces = []
    for _, offset, length in location.extents:
        end = base + offset + length if length else len(data)
        if end > len(data):
            raise DamagedFile("the XMP of the image lies outside the file; ask its maker for a whole file")
        pieces.append(data[base + offset : end])
    return b"".join(pieces)


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    items = _items(data)
    fields: list[AigcField] = []
    for item_id in items.xmp_ids:
        fields += xmp.read(_item_data(data, items, item_id), f"XMP item {item_id}")
    for box in walk(data, 0, len(data)):
        if box.kind == b"uuid" and data[box.content : box.content + 16] == XMP_UUID:
            fields += [
                AigcField(field.place, field.value, False)
                for field in xmp.read(data[box.content + 16 : box.end], "XMP uuid box")
            ]
    return fields


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    data = blank_xmp_boxes(isobmff.close_last_box(data))
    items = _items(data)
    item_id = items.xmp_ids[0] if items.xmp_ids else max([*items.item_ids, items.primary_id]) + 1
    old = _item_data(data, items, item_id) if items.xmp_ids else None
    packet = xmp.merge(old, label.as_json())
    is_new = not items.xmp_ids
    old_location = items.location(item_id)
    if old_location is not None:
        data = _zero(data, old_location)
        items.locations.remove(old_location)
    own = ItemLocation(item_id, 0, 0, [(0, 0, len(packet))])
    items.locations.append(own)
    wide = len(data) + len(packet) > 0xFFFF0000
    # The size of the new box does not depend on the offsets in it, so a first build gives the shift.
    delta = len(_meta(data, items, item_id, is_new, wide)) - (items.box.end - items.box.start)
    for location in items.locations:
        if location.construction == 0:
            location.extents = [
                (index, offset + delta if offset >= items.box.end else offset, length)
                for index, offset, length in location.extents
            ]
    own.extents = [(0, len(data) + delta + 8, len(packet))]
    new_meta = _meta(data, items, item_id, is_new, wide)
    tail = isobmff.splice(data, items.box, _as_padding(new_meta))
    at = items.box.start
    return tail[:at] + new_meta + tail[at + len(new_meta) :] + make(b"mdat", packet)


def _as_padding(box: bytes) -> bytes:
    """A free box of the same size: it holds the place while the offsets of a sequence's samples are moved.

    The item offsets in the real box are already the new ones and must not be moved a second time.
    """
    return make(b"free", bytes(len(box) - 8))


def _zero(data: bytes, location: ItemLocation) -> bytes:
    """The old packet's bytes overwritten, so that no second label stays in the file."""
    if location.construction:
        return data
    for _, offset, length in location.extents:
        data = data[:offset] + bytes(length) + data[offset + length :]
    return data


def _meta(data: bytes, items: _Items, item_id: int, is_new: bool, wide: bool) -> bytes:
    parts = [data[items.box.content : items.box.content + 4]]
    has_references = items.child(b"iref") is not None
    for child in items.children:
        content = data[child.content : child.end]
        if child.kind == b"iloc":
            parts.append(isobmff.write_item_locations(items.locations, wide=wide))
        elif child.kind == b"iinf" and is_new:
            parts.append(_with_entry(content, item_id))
            if not has_references:
                parts.append(make_full(b"iref", _reference(item_id, items.primary_id, 0)))
        elif child.kind == b"iref" and is_new:
            parts.append(make(b"iref", content + _reference(item_id, items.primary_id, content[0])))
        else:
            parts.append(data[child.start : child.end])
    return make(b"meta", b"".join(parts))


def _with_entry(content: bytes, item_id: int) -> bytes:
    version = 3 if item_id > 0xFFFF else 2
    head = struct.pack(">IH" if version == 3 else ">HH", item_id, 0)
    # Flag 1 hides the item from viewers that list images.
    entry = make_full(b"infe", head + b"mime" + b"XMP\x00" + _RDF_TYPE + b"\x00\x00", version, 1)
    if content[0]:
        count = struct.unpack_from(">I", content, 4)[0] + 1
        return make(b"iinf", content[:4] + struct.pack(">I", count) + content[8:] + entry)
    count = struct.unpack_from(">H", content, 4)[0] + 1
    return make(b"iinf", content[:4] + struct.pack(">H", count) + content[6:] + entry)


def _reference(from_id: int, to_id: int, version: int) -> bytes:
    code = "I" if version else "H"
    return make(b"cdsc", struct.pack(f">{code}H{code}", from_id, 1, to_id))
