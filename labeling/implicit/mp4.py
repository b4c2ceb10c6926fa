# SPDX-License-Identifier: Apache-2.0
"""MP4, MOV and M4A: the label as key ``AIGC`` of ``moov.udta.meta`` (practice guides TC260-PG-20257A and 202510A).

The metadata box has handler ``mdta`` with the tables ``keys`` and ``ilst``. A metadata box of another handler (iTunes
tags) stays beside it. Media data stay byte for byte; chunk offsets move where the label stands in front of them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.implicit import xmp
from labeling.implicit.field import AigcField
from labeling.implicit.isobmff import XMP_UUID, Box, find, make, make_full, splice, walk

_KEY = b"AIGC"
_UTF8 = 1
_MDTA_HANDLER = make_full(b"hdlr", b"\x00\x00\x00\x00mdta" + bytes(12) + b"\x00")


@dataclass(slots=True)
class _Metadata:
    """A ``meta`` box taken apart. ``prefix`` is its version and flags, which QuickTime leaves out."""

    prefix: bytes
    others: list[bytes]
    is_mdta: bool
    keys: list[tuple[bytes, bytes]]
    items: list[tuple[bytes, bytes]]
    has_tables: bool = False


def _take_apart(data: bytes, box: Box) -> _Metadata:
    has_version = data[box.content + 4 : box.content + 8] != b"hdlr"
    first = box.content + 4 if has_version else box.content
    meta = _Metadata(data[box.content : first], [], False, [], [])
    for child in walk(data, first, box.end):
        if child.kind == b"hdlr":
            meta.is_mdta = data[child.content + 8 : child.content + 12] == b"mdta"
        if child.kind == b"keys":
            meta.has_tables = True
            meta.keys = _keys(data, child)
        elif child.kind == b"ilst":
            meta.has_tables = True
            meta.items = [(item.kind, data[item.content : item.end]) for item in walk(data, child.content, child.end)]
        else:
            meta.others.append(data[child.start : child.end])
    return meta


def _keys(data: bytes, box: Box) -> list[tuple[bytes, bytes]]:
    keys = []
    at = box.content + 8
    for _ in range(struct.unpack_from(">I", data, box.content + 4)[0]):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > box.end:
            raise DamagedFile("the table of metadata keys is broken; ask the maker of the file for a sound one")
        keys.append((data[at + 4 : at + 8], data[at + 8 : at + size]))
        at += size
    return keys


def _value(item: bytes) -> bytes:
    box = find(item, b"data")
    return item[box.content + 8 : box.end] if box else b""


def _freeform_name(item: bytes) -> bytes:
    """The name of an iTunes free-form item (``----``)."""
    box = find(item, b"name")
    return item[box.content + 4 : box.end] if box else b""


def _key_of(meta: _Metadata, kind: bytes, item: bytes) -> bytes:
    if kind == b"----":
        return _freeform_name(item)
    index = int.from_bytes(kind, "big")
    return meta.keys[index - 1][1] if meta.is_mdta and 1 <= index <= len(meta.keys) else b""


def _is_label(name: bytes) -> bool:
    return b"AIGC" in name.upper()


def _metadata_boxes(data: bytes, moov: Box) -> list[tuple[str, Box]]:
    places = []
    for box in walk(data, moov.content, moov.end):
        if box.kind == b"meta":
            places.append(("moov.meta", box))
        elif box.kind == b"udta":
            places += [("moov.udta.meta", child) for child in _user_data(data, box) if child.kind == b"meta"]
    return places


def _user_data(data: bytes, udta: Box) -> list[Box]:
    # QuickTime may end user data with four zero bytes, which the walk leaves out by itself.
    return list(walk(data, udta.content, udta.end))


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    fields: list[AigcField] = []
    moov = find(data, b"moov")
    if moov is None:
        raise DamagedFile("the file has no moov box; ask its maker for a whole file")
    for place, box in _metadata_boxes(data, moov):
        meta = _take_apart(data, box)
        for kind, item in meta.items:
            name = _key_of(meta, kind, item)
            if _is_label(name):
                is_guide_place = place == "moov.udta.meta" and kind != b"----" and name == _KEY
                fields.append(AigcField(f"{place} key {name[:64].decode('latin-1')}", _value(item), is_guide_place))
    for box in walk(data, 0, len(data)):
        if box.kind == b"uuid" and data[box.content : box.content + 16] == XMP_UUID:
            fields += [
                AigcField(field.place, field.value, False)
                for field in xmp.read(data[box.content + 16 : box.end], "XMP uuid box")
            ]
    return fields


def _without_label(data: bytes, box: Box) -> _Metadata:
    """A metadata box without label items; the indices of the remaining items follow the remaining keys."""
    meta = _take_apart(data, box)
    kept_keys: list[tuple[bytes, bytes]] = []
    new_index: dict[int, int] = {}
    for index, (namespace, name) in enumerate(meta.keys, start=1):
        if not _is_label(name):
            kept_keys.append((namespace, name))
            new_index[index] = len(kept_keys)
    items = []
    for kind, item in meta.items:
        if _is_label(_key_of(meta, kind, item)):
            continue
        index = int.from_bytes(kind, "big")
        if meta.is_mdta and index in new_index:
            kind = new_index[index].to_bytes(4, "big")
        items.append((kind, item))
    meta.keys, meta.items = kept_keys, items
    return meta


def _put_together(meta: _Metadata) -> bytes:
    tables = b""
    if meta.has_tables:
        if meta.is_mdta:
            entries = b"".join((8 + len(name)).to_bytes(4, "big") + namespace + name for namespace, name in meta.keys)
            tables = make_full(b"keys", len(meta.keys).to_bytes(4, "big") + entries)
        tables += make(b"ilst", b"".join(make(kind, item) for kind, item in meta.items))
    # The handler must come first, the tables next.
    return make(b"meta", meta.prefix + b"".join(meta.others[:1]) + tables + b"".join(meta.others[1:]))


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    moov = find(data, b"moov")
    if moov is None:
        raise DamagedFile("the file has no moov box; ask its maker for a whole file")
    text = label.as_json().encode("ascii")
    item = make(b"data", struct.pack(">II", _UTF8, 0) + text)
    moov_parts: list[bytes] = []
    user_parts: list[bytes] = []
    is_written = False
    for box in walk(data, moov.content, moov.end):
        if box.kind == b"meta":
            moov_parts.append(_put_together(_without_label(data, box)))
        elif box.kind == b"udta":
            for child in _user_data(data, box):
                if child.kind != b"meta":
                    user_parts.append(data[child.start : child.end])
                    continue
                meta = _without_label(data, child)
                if meta.is_mdta and not is_written:
                    meta.keys.append((b"mdta", _KEY))
                    meta.items.append((len(meta.keys).to_bytes(4, "big"), item))
                    meta.has_tables = True
                    is_written = True
                user_parts.append(_put_together(meta))
        else:
            moov_parts.append(data[box.start : box.end])
    if not is_written:
        own = _Metadata(bytes(4), [_MDTA_HANDLER], True, [(b"mdta", _KEY)], [(b"\x00\x00\x00\x01", item)], True)
        user_parts.append(_put_together(own))
    new_moov = make(b"moov", b"".join(moov_parts) + make(b"udta", b"".join(user_parts)))
    return blank_xmp_boxes(splice(data, moov, new_moov))


def blank_xmp_boxes(data: bytes) -> bytes:
    """The file with label properties taken out of XMP uuid boxes, whose sizes stay."""
    for box in walk(data, 0, len(data)):
        if box.kind == b"uuid" and data[box.content : box.content + 16] == XMP_UUID:
            packet = data[box.content + 16 : box.end]
            if xmp.find_places(packet.strip(b"\x00 \t\r\n")).values:
                cleaned = xmp.remove(packet)
                data = data[: box.content + 16] + cleaned.ljust(len(packet)) + data[box.end :]
    return data
