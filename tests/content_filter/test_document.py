# SPDX-License-Identifier: Apache-2.0
"""The word-processor document is well formed whatever stands in it."""

import io
import zipfile
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from content_filter.document import Heading, Paragraph, Table, document

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def _parts(raw: bytes) -> dict[str, ElementTree.Element]:
    with zipfile.ZipFile(io.BytesIO(raw)) as package:
        return {name: ElementTree.fromstring(package.read(name)) for name in package.namelist()}


def test_every_part_that_is_named_is_there() -> None:
    """Content types and relations point at files that exist."""
    parts = _parts(document([Heading("T", 0), Paragraph("p"), Table((("a", "b"),))], "zh-CN"))
    named = [element.get("PartName", "").lstrip("/") for element in parts["[Content_Types].xml"]]
    targets = [element.get("Target", "") for element in parts["word/_rels/document.xml.rels"]]

    assert {name for name in named if name} <= parts.keys()
    assert {f"word/{target}" for target in targets} <= parts.keys()
    assert parts["_rels/.rels"][0].get("Target") in parts


def test_every_style_that_is_used_is_defined() -> None:
    """An undefined style is drawn as plain text."""
    parts = _parts(document([Heading("T", 0), Heading("H"), Table((("a", "b"),))], "en-US"))
    used = {
        element.get(f"{W}val") for tag in ("pStyle", "tblStyle") for element in parts["word/document.xml"].iter(W + tag)
    }
    defined = {element.get(f"{W}styleId") for element in parts["word/styles.xml"].iter(f"{W}style")}

    assert used == {"Title", "Heading1", "Grid"}
    assert used <= defined


@given(st.text())
def test_any_text_can_be_written(text: str) -> None:
    """Half surrogates and controls become U+FFFD; everything else comes back."""
    body = _parts(document([Paragraph(text)], "en-US"))["word/document.xml"]
    found = "\n".join(element.text or "" for element in body.iter(f"{W}t"))
    forbidden = [char for char in text if (ord(char) < 32 and char not in "\t\n\r") or char in "\ufffe\uffff"]
    expected = text
    for char in {*forbidden, *(char for char in text if "\ud800" <= char <= "\udfff")}:
        expected = expected.replace(char, "\ufffd")

    # XML reads every line break as one line feed.
    assert found == expected.replace("\r\n", "\n").replace("\r", "\n")
