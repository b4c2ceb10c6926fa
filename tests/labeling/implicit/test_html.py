# SPDX-License-Identifier: Apache-2.0
"""HTML: the place of the label, odd pages, slow pages."""

from __future__ import annotations

import time

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import UnsupportedFormat
from labeling.explicit.document import label_document
from labeling.sniff import FileFormat, sniff


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


@pytest.mark.parametrize(
    ("page", "before"),
    [
        (
            "<!doctype html><html><head><meta charset=utf-8><title>t</title>",
            "<!doctype html><html><head><meta charset=utf-8>",
        ),
        ("<!doctype html><html><head><title>t</title>", "<!doctype html><html><head>"),
        ("<!doctype html>\n<p>x", "<!doctype html>"),
        ("<html><body><meta charset=utf-8></body>", "<html>"),
        ("<!-- <head> --><!DOCTYPE html><title><head></title>", "<!-- <head> --><!DOCTYPE html>"),
        ("<p>x", ""),
    ],
)
def test_the_html_label_stands_behind_what_browsers_need_first(page: str, before: str, label: AigcLabel) -> None:
    """Document type, head, character set; tags in comments and titles are no tags."""
    written = implicit.write(page.encode(), FileFormat.HTML, label).decode()

    assert written.startswith(before + '<meta name="AIGC"')
    assert written.endswith(page[len(before) :])


@pytest.mark.parametrize(
    "page",
    ["<!doctype html><!--" * 20_000, "<script>" * 20_000, "<a " * 60_000, "<!---->" * 20_000 + "x", "<p a='" * 30_000],
)
def test_a_page_made_to_be_slow_is_not(page: str, label: AigcLabel) -> None:
    """Linear in the size of the page: the limit is a hundred times what it takes."""
    started = time.perf_counter()
    assert (
        only_label(implicit.write(b"<!doctype html>" + page.encode(), FileFormat.HTML, label), FileFormat.HTML) == label
    )
    sniff(page.encode())
    label_document(page.encode(), FileFormat.HTML, "AI")

    assert time.perf_counter() - started < 5


def test_html_labels_are_found_in_any_writing_and_other_encodings_stay(label: AigcLabel) -> None:
    """Order and quotes of attributes; bytes of GB 18030 untouched."""
    page = "<html><head><META content='{&quot;Label&quot;:&quot;1&quot;}' NAME=aigc></head>内容".encode("gb18030")
    written = implicit.write(page, FileFormat.HTML, label)

    assert implicit.read(page, FileFormat.HTML)[0].value == b'{"Label":"1"}'
    assert only_label(written, FileFormat.HTML) == label
    assert written.endswith("</head>内容".encode("gb18030"))
    with pytest.raises(UnsupportedFormat, match="UTF-16"):
        implicit.write("<html>".encode("utf-16"), FileFormat.HTML, label)
