# SPDX-License-Identifier: Apache-2.0
"""Office files show the label where people look first; libraries that are not ours read them as before."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import docx
import openpyxl
import pptx
import pytest
from openpyxl.chart import BarChart, Reference
from pptx.util import Emu

from labeling.errors import DamagedFile, LabelError, RefusedFile, UnsupportedFormat
from labeling.explicit.image import ImageLabel
from labeling.explicit.ooxml import label_presentation, label_text_document, label_workbook
from labeling.implicit.zip_archive import Archive

WORDS = "本内容由AI生成 <&>"
IMAGE = ImageLabel("AI生成", 500, "top-right")
DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"


def saved(document: object) -> bytes:
    """A document of one of these libraries as a file."""
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def text_document() -> bytes:
    """A text document with a heading and a table."""
    made = docx.Document()
    made.add_heading("标题", 1)
    made.add_paragraph("正文")
    made.add_table(1, 2)
    return saved(made)


def workbook(*, chart: bool = False) -> bytes:
    """A workbook with two sheets, a formula and perhaps a chart."""
    made = openpyxl.Workbook()
    sheet = made.active
    for row in ((1, 2, "=A1+B1"), (3, 4, "=A2+B2")):
        sheet.append(row)
    if chart:
        bars = BarChart()
        bars.add_data(Reference(sheet, min_col=1, min_row=1, max_row=2))
        sheet.add_chart(bars, "E5")
    made.create_sheet("two")
    return saved(made)


def presentation(slides: int = 2, width: int = 9_144_000, height: int = 6_858_000) -> bytes:
    """A presentation."""
    made = pptx.Presentation()
    made.slide_width, made.slide_height = Emu(width), Emu(height)
    for _ in range(slides):
        made.slides.add_slide(made.slide_layouts[0]).shapes.title.text = "标题"
    return saved(made)


def test_a_text_document_begins_with_the_words() -> None:
    """As its first paragraph, before the heading; written once, nothing else moved."""
    data = text_document()
    made = label_text_document(data, WORDS)
    before, after = docx.Document(io.BytesIO(data)), docx.Document(io.BytesIO(made))
    assert [each.text for each in after.paragraphs] == [WORDS, *(each.text for each in before.paragraphs)]
    assert len(after.tables) == 1
    assert label_text_document(made, WORDS) == made


def test_the_first_slide_shows_the_words_in_its_corner() -> None:
    """In letters of at least 5 % of the shorter side, within the slide; the others stay; written once."""
    made = label_presentation(presentation(), WORDS, IMAGE)
    read = pptx.Presentation(io.BytesIO(made))
    assert read.slide_width is not None and read.slide_height is not None
    [label] = [shape for shape in read.slides[0].shapes if shape.name == "AI label"]
    assert label.text_frame.text == WORDS
    size = label.text_frame.paragraphs[0].runs[0].font.size
    assert size is not None and size.pt * 0.7 >= 0.05 * read.slide_height / 12_700 - 0.01
    assert label.left + label.width == read.slide_width and label.top == 0
    assert len({shape.shape_id for shape in read.slides[0].shapes}) == len(list(read.slides[0].shapes))
    assert all(shape.name != "AI label" for shape in read.slides[1].shapes)
    assert label_presentation(made, WORDS, IMAGE) == made


def anchors(data: bytes) -> list[ElementTree.Element]:
    """What is drawn on the first sheet."""
    archive = Archive(data)
    [name] = [name for name in archive.names if name.startswith("xl/drawings/drawing")]
    return list(ElementTree.fromstring(archive.read(name) or b""))


@pytest.mark.parametrize("chart", [False, True])
def test_the_first_sheet_shows_the_words_beside_its_cells(chart: bool) -> None:
    """In the first free column; no cell and no formula moved, a drawing that was there stays."""
    data = workbook(chart=chart)
    made = label_workbook(data, WORDS)
    before, after = openpyxl.load_workbook(io.BytesIO(data)), openpyxl.load_workbook(io.BytesIO(made))
    for sheet in before.sheetnames:
        assert [[cell.value for cell in row] for row in after[sheet]] == [
            [cell.value for cell in row] for row in before[sheet]
        ]
    found = anchors(made)
    assert len(found) == 1 + chart
    assert "".join(found[-1].itertext()).endswith(WORDS)
    assert found[-1].findtext(f"{DRAWING}from/{DRAWING}col") == "3"
    assert len(after.worksheets[0]._charts) == int(chart)
    assert label_workbook(made, WORDS) == made


def test_the_new_drawing_stands_at_its_place_in_the_sheet() -> None:
    """Before tables and extensions, as the schema orders them."""
    made = openpyxl.load_workbook(io.BytesIO(workbook()))
    made.active["A1"], made.active["B1"], made.active["C1"] = "a", "b", "c"  # type: ignore[index]
    made.active.add_table(openpyxl.worksheet.table.Table(displayName="T", ref="A1:C2"))  # type: ignore[union-attr]
    labelled = label_workbook(saved(made), WORDS)
    sheet = Archive(labelled).read("xl/worksheets/sheet1.xml") or b""
    names = [element.tag.rpartition("}")[2] for element in ElementTree.fromstring(sheet)]
    assert names.index("drawing") < names.index("tableParts")
    assert openpyxl.load_workbook(io.BytesIO(labelled)).active.tables.keys() == {"T"}  # type: ignore[union-attr]


def with_part(data: bytes, name: str, content: bytes) -> bytes:
    """The package with one part more, or another one."""
    return Archive(data).replace({name: content})


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (with_part(presentation(), "_xmlsignatures/sig1.xml", b"<x/>"), RefusedFile),
        (presentation(0), UnsupportedFormat),
        (presentation(width=914_400, height=9_144_000), UnsupportedFormat),
        (with_part(presentation(), "ppt/slides/slide1.xml", b"<broken"), DamagedFile),
        (with_part(presentation(), "_rels/.rels", b"<Relationships/>"), DamagedFile),
        (with_part(presentation(), "ppt/slides/slide1.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), RefusedFile),
        (presentation()[:-30], DamagedFile),
    ],
)
def test_a_file_that_must_not_or_cannot_show_it_is_refused(data: bytes, error: type[LabelError]) -> None:
    """Signed, without a slide, too narrow, broken, hostile."""
    with pytest.raises(error):
        label_presentation(data, WORDS, IMAGE)


def test_a_signed_text_document_and_workbook_are_refused() -> None:
    """The label would break the signature."""
    for data, work in ((text_document(), label_text_document), (workbook(), label_workbook)):
        with pytest.raises(RefusedFile, match="signed"):
            work(with_part(data, "_xmlsignatures/sig1.xml", b"<x/>"), WORDS)


def test_default_namespaces_and_other_prefixes_are_followed() -> None:
    """Not every writer calls the namespace `w`."""
    part = (
        b'<document xmlns="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><body><p><r><t>a</t></r></p>'
        b"</body></document>"
    )
    made = label_text_document(with_part(text_document(), "word/document.xml", part), "AI生成")
    assert [each.text for each in docx.Document(io.BytesIO(made)).paragraphs] == ["AI生成", "a"]
