# SPDX-License-Identifier: Apache-2.0
"""Documents that are text show their label at the start, and keep all other bytes."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from labeling.errors import DamagedFile, LabelError, UnsupportedFormat
from labeling.explicit.document import label_document
from labeling.explicit.image import ImageLabel
from labeling.sniff import FileFormat

WORDS = "（内容由AI生成）"
IMAGE = ImageLabel("AI生成", 500)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# 文\n", f"> {WORDS}\n\n# 文\n"),
        ("---\na: 1\n---\n\n# 文\n", f"---\na: 1\n---\n\n> {WORDS}\n\n# 文\n"),
        ("a\r\nb\r\n", f"> {WORDS}\r\n\r\na\r\nb\r\n"),
        ("", f"> {WORDS}\n\n"),
    ],
)
def test_markdown_gets_a_quoted_line_behind_its_front_matter(before: str, after: str) -> None:
    """A block of its own, so that no paragraph swallows it; written once."""
    once = label_document(before.encode(), FileFormat.MARKDOWN, WORDS)

    assert once.decode() == after
    assert label_document(once, FileFormat.MARKDOWN, WORDS) == once


def test_markdown_signs_in_the_words_are_shown_as_they_are() -> None:
    """Words are no formatting."""
    assert label_document(b"x", FileFormat.MARKDOWN, "[AI] *生成*").decode().startswith(r"> \[AI\] \*生成\*")


class Shown(HTMLParser):
    """The text that a browser shows, in order, and where the note stands."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.notes = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.notes += dict(attrs).get("role") == "note"

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())


@pytest.mark.parametrize(
    "page",
    [
        "<!doctype html><html><head><title>T</title></head><body class='a>b'><h1>内</h1></body></html>",
        "<html><head><script>'<body>'</script></head><body><h1>内</h1>",
        "<!-- <body> --><html><body><h1>内</h1></body></html>",
        "<!doctype html><title>T</title><h1>内</h1>",
        "<!doctype html><html><head></head><h1>内</h1></html>",
    ],
)
def test_a_web_page_shows_the_words_before_its_content(page: str) -> None:
    """Inside the body, also where tags stand in comments, scripts and attributes; written once."""
    once = label_document(page.encode(), FileFormat.HTML, WORDS)
    shown = Shown()
    shown.feed(once.decode())

    assert shown.notes == 1
    assert shown.text.index(WORDS) < shown.text.index("内")
    assert re.sub(r"<p data-ai-label.*?</p>", "", once.decode()) == page
    assert label_document(once, FileFormat.HTML, WORDS) == once


def test_a_page_in_another_encoding_stays_in_it() -> None:
    """The words are written in references that every encoding shares."""
    page = "<html><head><meta charset='gb18030'></head><body>内容</body></html>".encode("gb18030")
    shown = Shown()
    shown.feed(label_document(page, FileFormat.HTML, WORDS).decode("gb18030"))

    assert shown.text == [WORDS, "内容"]


@pytest.mark.parametrize(
    ("root", "box"),
    [
        ('viewBox="-10 -20 400 300" width="80" height="60"', (-10, -20, 400, 300)),
        ('width="400" height="300px"', (0, 0, 400, 300)),
        ("", (0, 0, 300, 150)),
        ('width="100%" height="100%"', (0, 0, 300, 150)),
    ],
)
def test_a_drawing_gets_its_label_as_outlines_in_the_corner(root: str, box: tuple[int, int, int, int]) -> None:
    """Clause 5.2 in the drawing's own units, with no font needed; inside the picture; written once."""
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {root}><circle r="9"/></svg>'.encode()
    once = label_document(drawing, FileFormat.SVG, "AI生成", IMAGE)
    group = ElementTree.fromstring(once)[-1]
    x, y = map(float, re.findall(r"-?[\d.]+", group.get("transform", "")))
    plate, path = group[1], group[2]
    scale = float(re.findall(r"scale\(([\d.]+)", path.get("transform", ""))[0])

    assert x + float(plate.get("width", 0)) == pytest.approx(box[0] + box[2], abs=0.01)
    assert y + float(plate.get("height", 0)) == pytest.approx(box[1] + box[3], abs=0.01)
    points = [float(number) for number in re.findall(r"[ML][\d.-]+ ([\d.-]+)", path.get("d", ""))]
    assert scale * (max(points) - min(points) + 9) >= 0.05 * min(box[2:])
    assert once.startswith(drawing[: -len("</svg>")])
    assert label_document(once, FileFormat.SVG, "AI生成", IMAGE) == once


def test_an_empty_drawing_and_a_prefixed_one_are_labelled() -> None:
    """Roots that close themselves, and roots in a namespace prefix."""
    for drawing in (
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'<s:svg xmlns:s="http://www.w3.org/2000/svg"></s:svg>',
    ):
        root = ElementTree.fromstring(label_document(drawing, FileFormat.SVG, "AI生成", IMAGE))
        assert root[-1].tag == "{http://www.w3.org/2000/svg}g"


@pytest.mark.parametrize(
    ("drawing", "words", "error"),
    [
        (b'<svg viewBox="0 0 0 5"></svg>', "AI生成", DamagedFile),
        (b'<svg viewBox="0 0 1 900"></svg>', "AI生成" * 9, UnsupportedFormat),
        (b"<svg></svg>", "由机器人生成", UnsupportedFormat),
        (b"<svg>", "AI生成", DamagedFile),
    ],
)
def test_a_drawing_that_cannot_be_labelled_is_refused(drawing: bytes, words: str, error: type[LabelError]) -> None:
    """Never given back unlabelled."""
    with pytest.raises(error):
        label_document(drawing, FileFormat.SVG, words, IMAGE)


def test_plain_text_begins_with_the_words() -> None:
    """Through the same labeler as answers."""
    assert label_document("正文".encode(), FileFormat.TEXT, WORDS).decode() == f"{WORDS}\n\n正文"


@pytest.mark.parametrize("kind", [FileFormat.MP4, FileFormat.WAV])
def test_other_formats_are_refused(kind: FileFormat) -> None:
    """They are no documents."""
    with pytest.raises(UnsupportedFormat, match="before it is made"):
        label_document(b"", kind, WORDS)


@pytest.mark.parametrize("kind", [FileFormat.SVG, FileFormat.PDF, FileFormat.PPTX])
def test_a_drawn_label_needs_an_image_label(kind: FileFormat) -> None:
    """Height and corner come from the policy."""
    with pytest.raises(UnsupportedFormat, match="needs an image label"):
        label_document(b"<svg></svg>", kind, "AI生成")


@pytest.mark.parametrize(
    "kind",
    [FileFormat.PDF, FileFormat.PPTX, FileFormat.DOCX, FileFormat.XLSX, FileFormat.EPUB],
)
def test_a_broken_document_is_named_as_one(kind: FileFormat) -> None:
    """Whatever the parser tripped over, a reader of the error knows what to do."""
    for data in (b"\xff\xfe\xfd%PDF-1.4 startxref 9", b"PK\x05\x06" + bytes(18), b"\xff" * 40):
        with pytest.raises(DamagedFile):
            label_document(data, kind, "AI生成", IMAGE)
