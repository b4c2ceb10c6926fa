# SPDX-License-Identifier: Apache-2.0
"""DOCX, XLSX and PPTX (ISO/IEC 29500): the label as custom property ``AIGC`` in ``docProps/custom.xml``.

Practice guide TC260-PG-20258A: the property's ``vt:lpwstr`` is the bare JSON. The part is created where it is missing,
with its content type and its relationship. A digitally signed package is refused, because the label would break the
signature.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit.field import AigcField
from labeling.implicit.xml_elements import Element, as_utf8, cut, find_elements, insert_last
from labeling.implicit.zip_archive import Archive

_PART: Final = "docProps/custom.xml"
TYPES: Final = "[Content_Types].xml"
RELATIONSHIPS: Final = "_rels/.rels"
_CONTENT_TYPE: Final = "application/vnd.openxmlformats-officedocument.custom-properties+xml"
_RELATIONSHIP: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/custom-properties"
_FORMAT_ID: Final = "{D5CDD505-2E9C-101B-9397-08002B2CF9AE}"
_TYPES_NAMESPACE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes"
_EMPTY: Final = (
    b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    b'<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties"></Properties>'
)


def open_package(data: bytes) -> Archive:
    """The package. Raises :class:`RefusedFile` where it is encrypted."""
    archive = Archive(data)
    if archive.has_encrypted_parts():
        raise RefusedFile("the Office file is encrypted; save it without a password")
    return archive


def part_of(archive: Archive, name: str) -> bytes:
    """A part of it as UTF-8. Raises :class:`DamagedFile` where it is missing."""
    content = archive.read(name)
    if content is None:
        raise DamagedFile(f"the Office file has no part {name}; ask its maker for a sound file")
    return as_utf8(content)


def _properties(part: bytes) -> tuple[list[Element], list[Element]]:
    """The label properties of the part, with the values that stand in them, and all properties."""
    everything = find_elements(part, ("property", "lpwstr", "lpstr", "bstr"))
    properties = [element for element in everything if element.name.rpartition(":")[2] == "property"]
    for each in everything:
        if each.name.rpartition(":")[2] != "property":
            holder = next((found for found in reversed(properties) if found.start < each.start < found.end), None)
            if holder is not None:
                holder.text += each.text
    return [element for element in properties if "AIGC" in element.attributes.get("name", "").upper()], properties


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    content = open_package(data).read(_PART)
    if content is None:
        return []
    return [
        AigcField(f"{_PART} property {name[:64]}", element.text.strip(), name == "AIGC")
        for element in _properties(as_utf8(content))[0]
        for name in (element.attributes["name"],)
    ]


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label. Raises :class:`RefusedFile` for a signed or encrypted package."""
    archive = open_package(data)
    if any(name.startswith("_xmlsignatures/") for name in archive.names):
        raise RefusedFile("the Office file is digitally signed and a label would break the signature; label it first")
    former = archive.read(_PART)
    part = _EMPTY if former is None else as_utf8(former)
    labels, properties = _properties(part)
    numbers = [element.attributes.get("pid", "") for element in properties if element not in labels]
    # Identifiers 0 and 1 are reserved.
    identifier = max([1, *(int(number) for number in numbers if number.isdecimal() and len(number) < 10)]) + 1
    own = (
        f'<\0property fmtid="{_FORMAT_ID}" pid="{identifier}" name="AIGC">'
        f'<vt:lpwstr xmlns:vt="{_TYPES_NAMESPACE}">{escape(label.as_json())}</vt:lpwstr></\0property>'
    )
    parts = {_PART: insert_last(cut(part, labels), "Properties", own)}
    types = part_of(archive, TYPES)
    if _CONTENT_TYPE.encode() not in types:
        override = f'<\0Override PartName="/{_PART}" ContentType="{_CONTENT_TYPE}"/>'
        parts[TYPES] = insert_last(types, "Types", override)
    relationships = part_of(archive, RELATIONSHIPS)
    if _RELATIONSHIP.encode() not in relationships:
        taken = {element.attributes.get("Id") for element in find_elements(relationships, ("Relationship",))}
        name = next(f"rId{number}" for number in range(1, len(taken) + 2) if f"rId{number}" not in taken)
        relationship = f'<\0Relationship Id="{name}" Type="{_RELATIONSHIP}" Target="{_PART}"/>'
        parts[RELATIONSHIPS] = insert_last(relationships, "Relationships", relationship)
    return archive.replace(parts)
