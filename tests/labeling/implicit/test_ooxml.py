# SPDX-License-Identifier: Apache-2.0
"""Office: custom properties, declarations, signatures."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import RefusedFile
from labeling.implicit.zip_archive import Archive
from labeling.sniff import FileFormat

Samples = dict[FileFormat, bytes]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


def test_other_custom_properties_stay_and_numbers_go_on(samples: Samples, label: AigcLabel) -> None:
    """The file is well-formed XML with both properties and distinct identifiers."""
    part = (
        '<?xml version="1.0" encoding="UTF-16"?><Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/'
        'custom-properties" xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes"><property '
        'fmtid="{D5CDD505-2E9C-101B-9397-08002B2CF9AE}" pid="7" name="部门"><vt:lpwstr>a&amp;b</vt:lpwstr></property>'
        '<property fmtid="{x}" pid="8" name="AIGC"><vt:lpwstr>{&quot;Label&quot;:&quot;1&quot;}</vt:lpwstr></property>'
        "</Properties>"
    )
    data = Archive(samples[FileFormat.DOCX]).replace({"docProps/custom.xml": part.encode("utf-16")})
    written = implicit.write(data, FileFormat.DOCX, label)
    root = ElementTree.fromstring(Archive(written).read("docProps/custom.xml") or b"")
    found = {element.get("name"): (element.get("pid"), element[0].text) for element in root}

    assert implicit.read(data, FileFormat.DOCX)[0].value == '{"Label":"1"}'
    assert found == {"部门": ("7", "a&b"), "AIGC": ("8", label.as_json())}


def test_an_empty_part_and_prefixed_names_are_handled(samples: Samples, label: AigcLabel) -> None:
    """Roots that close themselves, roots under a prefix."""
    for root in (
        '<Properties xmlns="p"/>',
        '<cp:Properties xmlns:cp="p"></cp:Properties>',
        '<cp:Properties xmlns:cp="p"/>',
    ):
        data = Archive(samples[FileFormat.XLSX]).replace({"docProps/custom.xml": root.encode()})
        once = implicit.write(data, FileFormat.XLSX, label)
        ElementTree.fromstring(Archive(once).read("docProps/custom.xml") or b"")
        assert only_label(implicit.write(once, FileFormat.XLSX, label), FileFormat.XLSX) == label


def test_the_new_part_is_declared_once(samples: Samples, label: AigcLabel) -> None:
    """Its content type and its relationship, which Office needs to find it."""
    archive = Archive(
        implicit.write(implicit.write(samples[FileFormat.PPTX], FileFormat.PPTX, label), FileFormat.PPTX, label)
    )

    assert (archive.read("[Content_Types].xml") or b"").count(b"custom-properties+xml") == 1
    assert (archive.read("_rels/.rels") or b"").count(b"relationships/custom-properties") == 1
    assert (archive.read("_rels/.rels") or b"").count(b'Id="rId2"') == 1


def test_signed_and_encrypted_packages_and_entities_are_refused(samples: Samples, label: AigcLabel) -> None:
    """A label must not break a signature."""
    data = samples[FileFormat.DOCX]
    for part, content in (
        ("_xmlsignatures/origin.sigs", b""),
        ("docProps/custom.xml", b'<!DOCTYPE a [<!ENTITY x "y">]><Properties/>'),
    ):
        with pytest.raises(RefusedFile):
            implicit.write(Archive(data).replace({part: content}), FileFormat.DOCX, label)
    encrypted = bytearray(data)
    encrypted[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(RefusedFile, match="encrypted"):
        implicit.write(bytes(encrypted), FileFormat.DOCX, label)
