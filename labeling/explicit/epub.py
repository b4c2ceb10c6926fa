# SPDX-License-Identifier: Apache-2.0
"""The explicit label in EPUB 2 and 3: the words as the first thing that the first page of the book shows.

Implements GB 45438-2025 clause 5.1. A signed book and an encrypted first page are refused.
"""

from __future__ import annotations

import posixpath
from html import escape
from typing import Final
from urllib.parse import unquote

from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit.epub import package_of
from labeling.implicit.xml_elements import as_utf8, end_of_tag, find_elements
from labeling.implicit.zip_archive import Archive

_MARK: Final = 'class="ai-label"'
_STYLE: Final = "margin:0;padding:.5em 1em;background:#222;color:#fff;text-align:left"
_PAGES: Final = frozenset({"application/xhtml+xml", "text/html"})


def label_book(data: bytes, words: str) -> bytes:
    """The book with the words at the start of its first page. Raises :class:`RefusedFile`, :class:`DamagedFile`."""
    archive = Archive(data)
    if "META-INF/signatures.xml" in archive.names:
        raise RefusedFile("the book is digitally signed and a label would break the signature; label it first")
    name = _first_page(archive)
    encryption = archive.read("META-INF/encryption.xml")
    if encryption is not None and any(
        element.attributes.get("URI", "") in (name, "/" + name)
        for element in find_elements(as_utf8(encryption), ("CipherReference",))
    ):
        raise RefusedFile("the first page of the book is encrypted; save it without protection")
    content = archive.read(name)
    if content is None:
        raise DamagedFile("the book lacks its first page; ask its maker for a whole file")
    page = as_utf8(content)
    if _MARK.encode() in page:
        return data
    bodies = find_elements(page, ("body",))
    if not bodies:
        raise DamagedFile("the first page of the book has no body; ask its maker for a sound file")
    prefix = bodies[0].prefix
    own = f'<{prefix}p {_MARK} style="{_STYLE}">{escape(words)}</{prefix}p>'.encode()
    at = end_of_tag(page, bodies[0].start)
    if bodies[0].close is None:  # a body that closes itself
        return archive.replace({name: page[: at - 2] + b">" + own + f"</{bodies[0].name}>".encode() + page[at:]})
    return archive.replace({name: page[:at] + own + page[at:]})


def _first_page(archive: Archive) -> str:
    """The part that readers open first: the first of the spine that is a page."""
    package_name, package = package_of(archive)
    items = {element.attributes.get("id", ""): element.attributes for element in find_elements(package, ("item",))}
    for element in find_elements(package, ("itemref",)):
        item = items.get(element.attributes.get("idref", ""), {})
        if item.get("media-type") in _PAGES and element.attributes.get("linear") != "no":
            path = unquote(item.get("href", "").partition("#")[0])
            return posixpath.normpath(posixpath.join(posixpath.dirname(package_name), path))
    raise DamagedFile("the book names no page to begin with; ask its maker for a sound file")
