# SPDX-License-Identifier: Apache-2.0
"""Elements are found, cut and put in by byte position, and nothing around them changes."""

import time

import pytest

from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit.xml_elements import as_utf8, cut, find_elements, insert_last

XML = '<r a="1"><p:x xmlns:p="u" k=">">文<y/>b</p:x><x/><z x="/>"></z></r>'.encode()


def test_elements_are_found_with_their_spans_and_texts() -> None:
    """Under any prefix, closed or self-closing, with brackets in attribute values."""
    found = find_elements(XML, ("x",))

    assert [(element.name, element.prefix, element.text) for element in found] == [("p:x", "p:", "文b"), ("x", "", "")]
    assert [XML[element.start : element.end] for element in found] == [
        '<p:x xmlns:p="u" k=">">文<y/>b</p:x>'.encode(),
        b"<x/>",
    ]
    assert [element.close is None for element in found] == [False, True]
    assert cut(XML, found) == b'<r a="1"><z x="/>"></z></r>'


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (b"<r><a/></r>", b"<r><a/><n/></r>"),
        (b"<r/>", b"<r><n/></r>"),
        (b'<p:r xmlns:p="u" a="/"/>', b'<p:r xmlns:p="u" a="/"><p:n/></p:r>'),
        (b'<p:r xmlns:p="u"></p:r><!-- </p:r> -->', b'<p:r xmlns:p="u"><p:n/></p:r><!-- </p:r> -->'),
    ],
)
def test_an_element_is_put_in_as_the_last_child(xml: bytes, expected: bytes) -> None:
    """With the prefix of its parent."""
    assert insert_last(xml, "r", "<\0n/>") == expected


def test_a_missing_parent_is_damage() -> None:
    """The part is not what its format says."""
    with pytest.raises(DamagedFile, match="lacks"):
        insert_last(b"<r/>", "q", "<n/>")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_encoding_that_the_formats_allow_becomes_utf_8(encoding: str) -> None:
    """With a declaration that is true."""
    found = as_utf8('<?xml version="1.0" encoding="x"?>\r\n<r>文</r>'.encode(encoding))

    assert find_elements(found, ("r",))[0].text == "文"
    assert found.startswith(b'<?xml version="1.0" encoding="UTF-8"')
    with pytest.raises(DamagedFile):
        as_utf8(b"\x80\x81")


def test_declared_entities_are_refused_and_broken_xml_is_damaged() -> None:
    """No entity is ever expanded."""
    with pytest.raises(RefusedFile, match="entities"):
        find_elements(b'<!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>', ("r",))
    with pytest.raises(DamagedFile, match="well-formed"):
        find_elements(b"<r><x></r>", ("r",))


def test_many_elements_take_linear_time() -> None:
    """A hundred thousand elements that never close, and as many that do: the limit is generous."""
    started = time.perf_counter()
    assert len(find_elements(b"<r>" + b"<x></x>" * 100_000 + b"</r>", ("x",))) == 100_000
    with pytest.raises(DamagedFile):
        find_elements(b"<x>" * 100_000, ("x",))

    assert time.perf_counter() - started < 10
