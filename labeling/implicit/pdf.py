# SPDX-License-Identifier: Apache-2.0
"""PDF: the label as entry ``/AIGC`` of the document information dictionary (practice guide TC260-PG-20258A clause 6.3).

Written as an incremental update: every byte of the file stays, and what changes follows. A signed file is refused,
because its signature would no longer cover the whole file; an encrypted one, because its strings cannot be read.
"""

from __future__ import annotations

import re

from labeling.aigc import AigcLabel
from labeling.errors import RefusedFile
from labeling.implicit import xmp
from labeling.implicit.field import AigcField
from labeling.implicit.pdf_objects import (
    Document,
    decode_text,
    integer,
    read_dictionary,
    read_string,
    reference_of,
    write_dictionary,
    write_string,
)

_SIGNATURE = re.compile(rb"/ByteRange[\x00\t\n\x0c\r ]*\[")


def _information(document: Document) -> dict[bytes, bytes]:
    raw = document.resolve(document.trailer.get(b"/Info"))
    return read_dictionary(raw, 0)[0] if raw.startswith(b"<<") else {}


def _metadata(document: Document) -> tuple[int, bytes] | None:
    """Number and bytes of the catalogue's XMP stream."""
    catalogue = document.resolve(document.trailer.get(b"/Root"))
    reference = reference_of(read_dictionary(catalogue, 0)[0].get(b"/Metadata")) if catalogue[:2] == b"<<" else None
    return (reference[0], document.stream(reference[0]).unpack()) if reference else None


def _open(data: bytes) -> Document:
    document = Document(data)
    if b"/Encrypt" in document.trailer:
        raise RefusedFile("the PDF is encrypted; save it without a password and without restrictions")
    return document


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the newest revision."""
    document = _open(data)
    fields = []
    for name, raw in _information(document).items():
        if b"AIGC" in name.upper():
            value = document.resolve(raw)
            text = decode_text(read_string(value)) if value[:1] in (b"(", b"<") and value[:2] != b"<<" else value
            place = f"PDF information {name[:64].decode('latin-1')}"
            fields.append(AigcField(place, text, name == b"/AIGC"))
    metadata = _metadata(document)
    if metadata and b"AIGC" in metadata[1]:
        fields += [AigcField(found.place, found.value, False) for found in xmp.read(metadata[1], "PDF XMP metadata")]
    return fields


def is_signed(data: bytes) -> bool:
    """Whether a digital signature stands in the file, or room for one."""
    return _SIGNATURE.search(data) is not None


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label in its newest revision."""
    document = _open(data)
    if is_signed(data):
        raise RefusedFile("the PDF is digitally signed and a label would break the signature; label it first")
    information = {name: value for name, value in _information(document).items() if b"AIGC" not in name.upper()} | {
        b"/AIGC": write_string(label.as_json().encode("ascii"))
    }
    reference = reference_of(document.trailer.get(b"/Info"))
    number = reference[0] if reference else integer(document.trailer.get(b"/Size"))
    objects = {number: write_dictionary(information)}
    metadata = _metadata(document)
    if metadata and b"AIGC" in metadata[1] and xmp.read(metadata[1], ""):
        packet = xmp.remove(metadata[1])
        head = b"<< /Type /Metadata /Subtype /XML /Length %d >>\nstream\n" % len(packet)
        objects[metadata[0]] = head + packet + b"\nendstream"
    return document.append(objects, {b"/Info": b"%d %d R" % (number, document.generation(number))})
