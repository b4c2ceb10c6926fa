# SPDX-License-Identifier: Apache-2.0
"""Bytes decide what a file is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.errors import LabelError, RefusedFile, UnsupportedFormat
from labeling.sniff import FileFormat, sniff


def test_a_wrong_declaration_changes_nothing(samples: dict[FileFormat, bytes]) -> None:
    """A PNG that is called JPEG is a PNG."""
    for kind, data in samples.items():
        if kind is not FileFormat.MARKDOWN:
            assert sniff(data, "image/jpeg") is kind
            assert sniff(data, None) is kind


@pytest.mark.parametrize(
    ("data", "declared", "expected"),
    [
        (b"plain words", None, FileFormat.TEXT),
        (b"# heading", "text/markdown; charset=utf-8", FileFormat.MARKDOWN),
        (b"---\nAIGC:\n  Label: 1\n---\n", None, FileFormat.MARKDOWN),
        (b"---\ntitle: x\n---\n", None, FileFormat.TEXT),
        ("文字".encode(), "text/plain", FileFormat.TEXT),
        (b"\xef\xbb\xbf<!doctype HTML><p>", None, FileFormat.HTML),
        (b"<!-- c --><html>", "text/plain", FileFormat.HTML),
        (b"<?xml version='1.0'?><!-- c --><svg xmlns='x'/>", "text/html", FileFormat.SVG),
        (b"<s:svg xmlns:s='x'></s:svg>", None, FileFormat.SVG),
        (b"junk before\n%PDF-1.7", None, FileFormat.PDF),
        (b"\xff\xfb\x90\x00" + bytes(400), None, FileFormat.MP3),
        (b"\x00\x00\x00\x08wide\x00\x00\x00\x08mdat", None, FileFormat.MOV),
    ],
)
def test_forms_that_are_easily_mistaken(data: bytes, declared: str | None, expected: FileFormat) -> None:
    """Marks, comments and declarations in front; text kinds that only their maker can tell apart."""
    assert sniff(data, declared) is expected


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"abc", b"\xff\xf1\x50\x80" + bytes(50), b"RIFF\x00\x00\x00\x00XXXX", b"BM" + bytes(60)),
        *(b"II+\x00" + bytes(20), b"OggS" + bytes(60), b"\x1aE\xdf\xa3\x84\x42\x82\x81x", b"PK\x03\x04" + bytes(60)),
        *(b"\x00\x00\x00\x08ftypxxxx", b"\x80\x81\x82\x83 no text"),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_cannot_be_labelled_is_refused(data: bytes) -> None:
    """With one class of error."""
    with pytest.raises(UnsupportedFormat):
        sniff(data)


def test_an_encrypted_office_file_is_refused_with_the_way_out() -> None:
    """Encrypted DOCX files are compound files, as the old formats are."""
    with pytest.raises(RefusedFile, match="unencrypted"):
        sniff(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64))


@given(st.binary(max_size=80))
def test_any_bytes_are_sniffed_or_refused(data: bytes) -> None:
    """Nothing else escapes."""
    try:
        assert isinstance(sniff(data), FileFormat)
    except LabelError:
        assert True
