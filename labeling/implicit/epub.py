# SPDX-License-Identifier: Apache-2.0
"""EPUB 2 and 3: the label as ``<meta name="AIGC">`` among the package document's metadata.

No practice guide names EPUB; the place is the one that both EPUB versions give to metadata of others. A book with
META-INF/signatures.xml is refused, because the label would break the signature.
"""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit.field import AigcField
from labeling.implicit.xml_elements import Element, as_utf8, cut, find_elements, insert_last
from labeling.implicit.zip_archive import Archive


def package_of(archive: Archive) -> tuple[str, bytes]:
    """Name and content of the package document."""
    container = archive.read("META-INF/container.xml")
    roots = find_elements(as_utf8(container), ("rootfile",)) if container else []
    name = roots[0].attributes.get("full-path", "") if roots else ""
    content = archive.read(name)
    if content is None:
        raise DamagedFile("the book names no package document; ask its maker for a sound file")
    return name, as_utf8(content)


def _labels(package: bytes) -> list[Element]:
    return [
        element for element in find_elements(package, ("meta",)) if "AIGC" in element.attributes.get("name", "").upper()
    ]


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the book."""
    return [
        AigcField(f"EPUB meta {name[:64]}", element.attributes.get("content", element.text), name == "AIGC")
        for element in _labels(package_of(Archive(data))[1])
        for name in (element.attributes["name"],)
    ]


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The book with exactly this label."""
    archive = Archive(data)
    if "META-INF/signatures.xml" in archive.names:
        raise RefusedFile("the book is digitally signed and a label would break the signature; label it first")
    name, package = package_of(archive)
    own = f'<\0meta name="AIGC" content={quoteattr(label.as_json(), {chr(34): "&quot;"})}/>'
    return archive.replace({name: insert_last(cut(package, _labels(package)), "metadata", own)})
