# SPDX-License-Identifier: Apache-2.0
"""The explicit label in PDF: the words on a dark plate in a corner of the first page, as its viewer shows it.

Implements GB 45438-2025 clause 5 with ISO 32000-2: an incremental update gives the first page one more content stream,
which draws behind everything that the page had. The words are outlines of our own, or a picture of them from a font, so
that the page needs no font; as marked content with `ActualText` they are read aloud and found by a search. All former
bytes stay. A signed file is refused, because its signature would not hold any more; so is an encrypted one.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from labeling.errors import DamagedFile, RefusedFile, UnsupportedFormat
from labeling.explicit import glyphs
from labeling.explicit.image import ImageLabel
from labeling.explicit.typeface import choose
from labeling.implicit.pdf import is_signed
from labeling.implicit.pdf_objects import (
    Dictionary,
    Document,
    integer,
    read_dictionary,
    reference_of,
    skip_value,
    write_dictionary,
)

_MARK: Final = b"/DTYB_AILabel"
_MOST_DEPTH: Final = 32
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)")
_LEGIBLE_PT: Final = 6.5
"""Least height of a letter that people can read on paper."""
_FONT_INK_PX: Final = 120
"""Height of a letter where the words are a picture: sharp at the size of a page."""
_PAPER = (612.0, 792.0)


def label_pdf(data: bytes, words: str, image: ImageLabel) -> bytes:
    """The file with the words on its first page.

    Raises :class:`RefusedFile` for a signed or encrypted file, :class:`DamagedFile`, and :class:`UnsupportedFormat`
    where the page is too small for them.
    """
    document = Document(data)
    if b"/Encrypt" in document.trailer:
        raise RefusedFile("the PDF is encrypted; save it without a password and without restrictions")
    if is_signed(data):
        raise RefusedFile("the PDF is digitally signed and a label would break the signature; label it first")
    number, page, inherited = _first_page(document)
    if _MARK in page:
        return data
    box = _box(document, page, inherited)
    turn = integer(document.resolve(page.get(b"/Rotate", inherited.get(b"/Rotate", b"0")))) % 360
    if turn % 90:
        raise DamagedFile("a page of the PDF is turned by an impossible angle; ask its maker for a sound file")
    drawn = _drawn(words, box, turn, image)
    size = integer(document.trailer.get(b"/Size"))
    before, after = size, size + 1
    contents = _contents(document, page.get(b"/Contents"))
    # What the page did to the coordinates must not move the label: its own content stands between save and restore.
    page = page | {
        b"/Contents": b"[%d 0 R %s %d 0 R]" % (before, contents, after),
        _MARK: b"true",
    }
    objects = {
        number: write_dictionary(page),
        before: _stream(b"q\n"),
        after: _stream(b"\nQ\n" + drawn),
    }
    return document.append(objects, {})


def _first_page(document: Document) -> tuple[int, Dictionary, Dictionary]:
    """Object number and entries of the first page, and what it inherits from the nodes above it."""
    catalogue = document.resolve(document.trailer.get(b"/Root"))
    if catalogue[:2] != b"<<":
        raise DamagedFile("the PDF has no catalogue; ask its maker for a sound file")
    reference = reference_of(read_dictionary(catalogue, 0)[0].get(b"/Pages"))
    inherited: Dictionary = {}
    for _ in range(_MOST_DEPTH):
        raw = document.resolve(b"%d %d R" % reference) if reference else b""
        if reference is None or raw[:2] != b"<<":
            break
        node = read_dictionary(raw, 0)[0]
        kids = document.resolve(node.get(b"/Kids"))
        if not kids.startswith(b"["):
            if node.get(b"/Type") == b"/Pages":
                break
            return reference[0], node, inherited
        inherited |= {key: node[key] for key in (b"/MediaBox", b"/CropBox", b"/Rotate") if key in node}
        first = re.match(rb"\[[\x00\t\n\x0c\r ]*(\d+)[\x00\t\n\x0c\r ]+(\d+)[\x00\t\n\x0c\r ]+R", kids)
        reference = (int(first[1]), int(first[2])) if first else None
    raise DamagedFile("the PDF has no first page; ask its maker for a sound file")


def _box(document: Document, page: Dictionary, inherited: Dictionary) -> tuple[float, float, float, float]:
    """What the viewer shows of the page: left, bottom, right, top in its own coordinates."""
    boxes = []
    for key in (b"/MediaBox", b"/CropBox"):
        raw = document.resolve(page.get(key, inherited.get(key)))
        values = [float(value) for value in _NUMBER.findall(raw)]
        if len(values) == 4 and raw.startswith(b"["):
            boxes.append((*sorted(values[::2]), *sorted(values[1::2])))
    if not boxes:
        return 0.0, 0.0, *_PAPER
    left, bottom = max(box[0] for box in boxes), max(box[2] for box in boxes)
    right, top = min(box[1] for box in boxes), min(box[3] for box in boxes)
    if right - left < 1 or top - bottom < 1:
        raise DamagedFile("the first page of the PDF has no area; ask its maker for a sound file")
    return left, bottom, right, top


def _contents(document: Document, raw: bytes | None) -> bytes:
    """The page's own content streams, as they stand in an array."""
    if raw is None:
        return b""
    if raw.startswith(b"["):
        return raw[1:-1]
    resolved = document.resolve(raw)
    return resolved[1:-1] if resolved.startswith(b"[") and skip_value(resolved, 0) == len(resolved) else raw


def _drawn(words: str, box: tuple[float, float, float, float], turn: int, image: ImageLabel) -> bytes:
    """Operators that draw the plate and the words in the corner that people see."""
    left, bottom, right, top = box
    is_sideways = turn in (90, 270)
    width, height = (top - bottom, right - left) if is_sideways else (right - left, top - bottom)
    ink = max(min(width, height) * image.height_bp / 10_000, _LEGIBLE_PT)
    outline = _outlines(words, ink) if glyphs.can_draw(words) else _picture(words, ink, image)
    words_width, words_height, operators = outline
    margin = ink / 4
    plate = (words_width + 2 * margin, words_height + 2 * margin)
    if plate[0] > width or plate[1] > height:
        raise UnsupportedFormat("the first page is too narrow for the label in one line; use shorter words")
    x = width - plate[0] if image.corner.endswith("right") else 0.0
    y = height - plate[1] if image.corner.startswith("top") else 0.0
    # From the page as it is seen (origin at its lower left corner) to the page as it is stored.
    seen = {
        0: (1, 0, 0, 1, left, bottom),
        90: (0, 1, -1, 0, right, bottom),
        180: (-1, 0, 0, -1, right, top),
        270: (0, -1, 1, 0, left, top),
    }[turn]
    matrix = " ".join(f"{value:.4f}" for value in seen)
    said = ("\ufeff" + words).encode("utf-16-be").hex().upper()
    return (
        (
            f"/Span << /ActualText <{said}> >> BDC\nq {matrix} cm\n"
            f"0.13 g {x:.4f} {y:.4f} {plate[0]:.4f} {plate[1]:.4f} re f\n"
            f"1 0 0 1 {x + margin:.4f} {y + margin:.4f} cm\n"
        ).encode("ascii")
        + operators
        + b"\nQ\nEMC\n"
    )


def _outlines(words: str, ink: float) -> tuple[float, float, bytes]:
    """Width, height and operators of the words as strokes of a round pen."""
    grid_width, placed = glyphs.lay_out(words)
    scale = ink / glyphs.smallest_ink(words)
    lines = [f"1 G 1 J 1 j {glyphs.PEN} w {scale:.6f} 0 0 {-scale:.6f} 0 {100 * scale:.4f} cm"]
    for _, at, strokes in placed:
        for stroke in strokes:
            (first_x, first_y), *rest = stroke
            lines.append(f"{first_x + at} {first_y} m " + " ".join(f"{x + at} {y} l" for x, y in rest) + " S")
    return grid_width * scale, 100 * scale, "\n".join(lines).encode("ascii")


def _picture(words: str, ink: float, image: ImageLabel) -> tuple[float, float, bytes]:
    """The same as a picture, from a font that has the words."""
    drawing = choose(words, image.font).draw([words], _FONT_INK_PX)
    scale = ink / drawing.smallest_ink_px
    # An inline image mask paints where a bit is 0.
    bits = drawing.mask.point(lambda value: 0 if value >= 128 else 255).convert("1").tobytes()
    packed = zlib.compress(bits, 9).hex().encode("ascii") + b">"
    width, height = drawing.mask.width * scale, drawing.mask.height * scale
    head = f"1 g {width:.4f} 0 0 {height:.4f} 0 0 cm\nBI /W {drawing.mask.width} /H {drawing.mask.height} /IM true"
    return width, height, f"{head} /F [/AHx /Fl] ID ".encode("ascii") + packed + b"\nEI"


def _stream(content: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream"
