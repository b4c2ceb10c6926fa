# SPDX-License-Identifier: Apache-2.0
"""A book shows the words on its first page, whatever else it holds."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from labeling.errors import DamagedFile, LabelError, RefusedFile
from labeling.explicit.epub import label_book
from labeling.implicit.epub import package_of
from labeling.implicit.zip_archive import Archive
from tests.labeling.conftest import book

WORDS = "本内容由AI生成 <&>"
XHTML = "http://www.w3.org/1999/xhtml"


def made(spine: str = '<itemref idref="a"/>', page: str = "", href: str = "text/first%20page.xhtml") -> bytes:
    """A book whose first page lies in a folder, under a name with a space."""
    archive = Archive(book())
    name, _ = package_of(archive)
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/><manifest>'
        '<item id="cover" href="cover.png" media-type="image/png"/>'
        f'<item id="a" href="{href}" media-type="application/xhtml+xml"/>'
        '<item id="b" href="b.xhtml" media-type="application/xhtml+xml"/>'
        f"</manifest><spine>{spine}</spine></package>"
    )
    folder = name.rpartition("/")[0]
    page = page or f'<html xmlns="{XHTML}"><head><title>t</title></head><body class="x"><h1>书</h1></body></html>'
    path = f"{folder}/text/first page.xhtml".lstrip("/")
    other = f'<html xmlns="{XHTML}"><body/></html>'.encode()
    return archive.replace({name: package.encode(), path: page.encode(), f"{folder}/b.xhtml".lstrip("/"): other})


def first_page(data: bytes) -> ElementTree.Element:
    """The first page, as XML."""
    archive = Archive(data)
    [name] = [name for name in archive.names if name.endswith("first page.xhtml")]
    return ElementTree.fromstring(archive.read(name) or b"")


@pytest.mark.parametrize(
    "spine",
    ['<itemref idref="a"/><itemref idref="b"/>', '<itemref idref="b" linear="no"/><itemref idref="a"/>',
     '<itemref idref="cover"/><itemref idref="a"/>'],
)  # fmt: skip
def test_the_first_page_begins_with_the_words(spine: str) -> None:
    """The first that readers open in order and that is a page; well-formed, written once, all else as it was."""
    data = made(spine)
    labelled = label_book(data, WORDS)
    body = first_page(labelled).find(f"{{{XHTML}}}body")
    assert body is not None and [(element.tag, element.text) for element in body] == [
        (f"{{{XHTML}}}p", WORDS),
        (f"{{{XHTML}}}h1", "书"),
    ]
    assert label_book(labelled, WORDS) == labelled
    assert Archive(labelled).names == Archive(data).names


@pytest.mark.parametrize(
    "page",
    [f'<html xmlns="{XHTML}"><body/></html>', f'<h:html xmlns:h="{XHTML}"><h:body><h:p>a</h:p></h:body></h:html>'],
)
def test_empty_and_prefixed_pages_are_labelled(page: str) -> None:
    """A body that closes itself is opened; a prefix is followed."""
    found = first_page(label_book(made(page=page), WORDS)).find(f"{{{XHTML}}}body/{{{XHTML}}}p")
    assert found is not None and found.text == WORDS


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (Archive(made()).replace({"META-INF/signatures.xml": b"<x/>"}), RefusedFile),
        (made(spine=""), DamagedFile),
        (made(href="missing.xhtml"), DamagedFile),
        (made(page="<html/>"), DamagedFile),
        (made(page="<html><body>"), DamagedFile),
    ],
)
def test_a_book_that_must_not_or_cannot_show_it_is_refused(data: bytes, error: type[LabelError]) -> None:
    """Signed, without a page, broken."""
    with pytest.raises(error):
        label_book(data, WORDS)


def test_a_book_whose_first_page_is_encrypted_is_refused() -> None:
    """Obfuscated fonts are no reason to."""
    name = next(name for name in Archive(made()).names if name.endswith("first page.xhtml"))
    for uri, is_refused in ((name, True), ("fonts/a.otf", False)):
        listing = f'<encryption><EncryptedData><CipherReference URI="{uri}"/></EncryptedData></encryption>'.encode()
        data = Archive(made()).replace({"META-INF/encryption.xml": listing})
        if is_refused:
            with pytest.raises(RefusedFile):
                label_book(data, WORDS)
        else:
            assert label_book(data, WORDS) != data
