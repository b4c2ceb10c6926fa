# SPDX-License-Identifier: Apache-2.0
"""Pages of a PDF show the label: drawn by a viewer that is not ours, and measured."""

from __future__ import annotations

import io
from pathlib import Path

import pypdf
import pypdfium2
import pytest
from PIL import Image
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject

from labeling import implicit
from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile, LabelError, RefusedFile, UnsupportedFormat
from labeling.explicit.image import ImageLabel, label_image
from labeling.explicit.pdf import label_pdf
from labeling.sniff import FileFormat
from tests.labeling.conftest import pdf_with_table

WORDS = "AI生成"
DOTS_A_POINT = 4
PLATE = 33


def page(
    width: float = 400, height: float = 300, turn: int = 0, box: tuple[float, ...] = (), content: str = ""
) -> bytes:
    """A PDF of one page, by a writer that is not ours."""
    writer = pypdf.PdfWriter()
    made = writer.add_blank_page(width, height)
    if turn:
        made.rotate(turn)
    if box:
        made.mediabox = pypdf.generic.RectangleObject(box)  # type: ignore[arg-type]
    if content:
        stream = pypdf.generic.StreamObject()
        stream.set_data(content.encode())
        made[NameObject("/Contents")] = writer._add_object(stream)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def shown(data: bytes) -> Image.Image:
    """The first page as PDFium shows it."""
    with pypdfium2.PdfDocument(data) as document:
        return document[0].render(scale=DOTS_A_POINT).to_pil().convert("L")


def ink_height(picture: Image.Image, corner: str) -> float:
    """Height in points of the least tall character in the dark plate of that corner; 0 where there is no plate."""
    plate = picture.point(lambda value: 255 if abs(value - PLATE) < 12 else 0).getbbox()
    if plate is None:
        return 0.0
    assert (plate[2] >= picture.width - 2) == corner.endswith("right")
    assert (plate[3] >= picture.height - 2) == corner.startswith("bottom")
    inside = picture.crop(plate).point(lambda value: 255 if value > 144 else 0)
    columns = [inside.crop((x, 0, x + 1, inside.height)).getbbox() is not None for x in range(inside.width)]
    heights, start = [], None
    for x, has_ink in enumerate([*columns, False]):
        if has_ink and start is None:
            start = x
        elif not has_ink and start is not None:
            box = inside.crop((start, 0, x, inside.height)).getbbox()
            assert box is not None
            heights.append(box[3] - box[1])
            start = None
    assert len(heights) >= 3  # letters stand apart
    return min(heights) / DOTS_A_POINT


@pytest.mark.parametrize("corner", ["top-left", "bottom-right"])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_page_shows_the_label_in_the_corner_that_people_see(turn: int, corner: str) -> None:
    """Upright and at least 5 % of the shorter side, however the page is turned in the file."""
    made = label_pdf(page(turn=turn), WORDS, ImageLabel(WORDS, 500, corner))
    assert ink_height(shown(made), corner) >= 0.05 * 300 - 1 / DOTS_A_POINT


@pytest.mark.parametrize(
    "content", ["", "q q 0.1 0 0 0.1 5 5 cm 1 0 0 rg 0 0 100 100 re f", "2 0 0 2 0 0 cm 0 1 0 rg 0 0 20 20 re f"]
)
def test_what_the_page_did_to_its_coordinates_does_not_move_the_label(content: str) -> None:
    """Also where it never restores what it saved."""
    made = label_pdf(page(content=content), WORDS, ImageLabel(WORDS, 500))
    assert ink_height(shown(made), "bottom-right") >= 15 - 1 / DOTS_A_POINT


def test_a_page_whose_corner_is_elsewhere_shows_it_too() -> None:
    """Boxes need not begin at zero."""
    made = label_pdf(page(box=(-100, 50, 300, 350)), WORDS, ImageLabel(WORDS, 500))
    assert ink_height(shown(made), "bottom-right") >= 15 - 1 / DOTS_A_POINT


def test_words_that_we_have_no_outlines_for_are_drawn_from_a_font(tmp_path: Path) -> None:
    """Where no font has them either, the file is refused."""
    latin = "Made by AI for you"
    made = label_pdf(page(), latin, ImageLabel(latin, 500))
    assert ink_height(shown(made), "bottom-right") >= 15 - 2 / DOTS_A_POINT


def test_only_the_first_page_is_drawn_on_and_all_former_bytes_stay() -> None:
    """An incremental update; other readers find every page; written once."""
    writer = pypdf.PdfWriter()
    for _ in range(3):
        writer.add_blank_page(200, 300)
    out = io.BytesIO()
    writer.write(out)
    data = out.getvalue()
    made = label_pdf(data, WORDS, ImageLabel(WORDS, 500))
    read = pypdf.PdfReader(io.BytesIO(made), strict=True)
    assert made.startswith(data) and len(read.pages) == 3
    assert [each.get_contents() is None for each in read.pages] == [False, True, True]
    assert WORDS.encode("utf-16-be").hex().upper().encode() in made
    assert label_pdf(made, WORDS, ImageLabel(WORDS, 500)) == made


@pytest.mark.parametrize("packed", [False, True])
def test_tables_and_streams_of_references_are_both_continued(packed: bool, label: AigcLabel) -> None:
    """And the hidden label is written behind the visible one."""
    data = pdf_with_table()
    if packed:
        writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
        writer.compress_identical_objects()
        out = io.BytesIO()
        writer.write(out)
        data = out.getvalue()
    made = implicit.write(label_pdf(data, WORDS, ImageLabel(WORDS, 500)), FileFormat.PDF, label)
    read = pypdf.PdfReader(io.BytesIO(made), strict=True)
    assert read.metadata is not None and read.metadata["/AIGC"] == label.as_json()
    assert b"BDC" in read.pages[0].get_contents().get_data()  # type: ignore[union-attr]


def signed() -> bytes:
    """A PDF with a signature, as readers find it."""
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 300)
    numbers = ArrayObject([NumberObject(value) for value in (0, 10, 20, 30)])
    writer._add_object(DictionaryObject({NameObject("/Type"): NameObject("/Sig"), NameObject("/ByteRange"): numbers}))
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def encrypted() -> bytes:
    """A PDF behind a password."""
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 300)
    writer.encrypt("x", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (signed(), RefusedFile),
        (encrypted(), RefusedFile),
        (page()[:200], DamagedFile),
        (page(20, 900), UnsupportedFormat),
        (page(turn=90).replace(b"/Rotate 90", b"/Rotate 45"), DamagedFile),
        (page().replace(b"/Kids", b"/Kixs"), DamagedFile),
        (page(box=(0, 0, 0, 0)), DamagedFile),
    ],
)
def test_a_file_that_must_not_or_cannot_be_drawn_on_is_refused(data: bytes, error: type[LabelError]) -> None:
    """Signed, encrypted, cut off, too narrow, contradictory: never given back without its label."""
    with pytest.raises(error):
        label_pdf(data, WORDS, ImageLabel(WORDS, 500))


def test_a_picture_of_the_page_has_the_same_label_as_a_picture() -> None:
    """The same rule for both: nobody can tell a scanned page from a picture."""
    picture = Image.new("RGB", (1_600, 1_200), "white")
    out = io.BytesIO()
    picture.save(out, "PNG")
    drawn = label_image(out.getvalue(), FileFormat.PNG, ImageLabel(WORDS, 500))
    assert drawn.required_px == 60
    assert ink_height(shown(label_pdf(page(), WORDS, ImageLabel(WORDS, 500))), "bottom-right") * DOTS_A_POINT >= 59
