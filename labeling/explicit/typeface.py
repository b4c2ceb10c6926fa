# SPDX-License-Identifier: Apache-2.0
"""Which font draws the words of a label, and how tall their ink really is.

GB 45438-2025 clause 5.2 asks for characters of at least 5 % of the shorter side. A font's size is not the height of
its characters (Chinese ones reach about 73 % of it), so the ink of every letter and digit is measured as drawn, and the
font grows until the smallest reaches the height. The choice: the configured font, a font package or system font that
has every character, at last the outlines of :mod:`labeling.explicit.glyphs`.
"""

from __future__ import annotations

import glob
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from labeling.errors import LabelError
from labeling.explicit import glyphs

INK_THRESHOLD: Final = 176
"""A pixel belongs to the ink where at least two thirds of it are covered: less would look like the plate behind it."""

SYSTEM_FONTS: Final = (
    "/usr/share/fonts/**/NotoSansCJK*Regular*",
    "/usr/share/fonts/**/NotoSansSC*Regular*",
    "/usr/share/fonts/**/SourceHanSans*Regular*",
    "/usr/share/fonts/**/wqy-*",
    "/usr/share/fonts/**/DroidSansFallback*",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "C:/Windows/Fonts/msyh.ttc",
)
_FONT_PACKAGES: Final = (("zhplot", "**/NotoSansSC-Regular.ttf"),)
_SUPERSAMPLING: Final = 4


@dataclass(frozen=True, slots=True)
class Drawing:
    """Drawn words: coverage of each pixel (mode ``L``), and the box of every letter and digit in it."""

    mask: Image.Image
    character_boxes: tuple[tuple[int, int, int, int], ...]

    @property
    def smallest_ink_px(self) -> int:
        """Height of the ink of the least tall letter or digit."""
        return min(ink_height(self.mask.crop(box)) for box in self.character_boxes)


def ink_height(coverage: Image.Image, threshold: int = INK_THRESHOLD) -> int:
    """Rows from the first to the last that hold ink; 0 where there is none."""
    box = coverage.point(lambda value: 255 if value >= threshold else 0).getbbox()
    return box[3] - box[1] if box else 0


class Outlines:
    """The outlines of our own drawing as a typeface."""

    name = "own outlines"

    def draw(self, lines: Sequence[str], ink_px: int) -> Drawing:
        """The lines, one below the other, every letter at least ``ink_px`` tall."""
        # A character fills the grid from its top to its bottom, so one line of ink is this much of the em.
        em_px = -(-ink_px * 100 // (glyphs.BOTTOM - glyphs.TOP))
        while True:
            drawing = self._draw(lines, em_px)
            if drawing.smallest_ink_px >= ink_px:
                return drawing
            em_px += max(1, em_px // 32)

    def _draw(self, lines: Sequence[str], em_px: int) -> Drawing:
        scale = em_px * _SUPERSAMPLING / 100
        line_px = em_px + max(1, em_px // 4)
        laid_out = [glyphs.lay_out(line) for line in lines]
        width_px = max(-(-width * em_px // 100) for width, _ in laid_out) + 1
        height_px = line_px * len(lines)
        large = Image.new("L", (width_px * _SUPERSAMPLING, height_px * _SUPERSAMPLING))
        draw = ImageDraw.Draw(large)
        pen = max(1, round(glyphs.PEN * scale))
        boxes = []
        for row, (_, placed) in enumerate(laid_out):
            top = row * line_px * _SUPERSAMPLING
            for character, left, strokes in placed:
                for stroke in strokes:
                    points = [((left + x) * scale, top + y * scale) for x, y in stroke]
                    draw.line(points, fill=255, width=pen, joint="curve")
                    for x, y in (points[0], points[-1]):
                        draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)
                if character.isalnum():
                    width = glyphs.GLYPHS[character.upper()][0]
                    left_px, right_px = left * em_px // 100, -(-(left + width) * em_px // 100)
                    boxes.append((left_px, row * line_px, right_px, (row + 1) * line_px))
        return Drawing(large.resize((width_px, height_px), Image.Resampling.BOX), tuple(boxes))


class FontFile:
    """A font file as a typeface."""

    def __init__(self, path: str, index: int = 0) -> None:
        self._path = path
        self._index = index
        self.name = Path(path).name

    def has(self, words: str) -> bool:
        """Whether the font draws every character, and not its sign for a missing one."""
        font = self._font(24)
        missing = bytes(font.getmask("\U0010ffff"))
        return all(
            character.isspace() or (font.getmask(character).getbbox() and bytes(font.getmask(character)) != missing)
            for character in words
        )

    def _font(self, size_px: int) -> ImageFont.FreeTypeFont:
        return _load(self._path, self._index, size_px)

    def draw(self, lines: Sequence[str], ink_px: int) -> Drawing:
        """The lines, one below the other, every letter at least ``ink_px`` tall."""
        # First guess from the smallest letter at a middle size, then grow by measurement.
        probe = self._draw(lines, 100).smallest_ink_px
        if probe <= 0:
            raise LabelError("the font draws no ink for the label; configure another font")
        size_px = max(4, -(-ink_px * 100 // probe))
        while True:
            drawing = self._draw(lines, size_px)
            if drawing.smallest_ink_px >= ink_px:
                return drawing
            size_px += max(1, size_px // 64)

    def _draw(self, lines: Sequence[str], size_px: int) -> Drawing:
        font = self._font(size_px)
        line_px = size_px + size_px // 4
        widths = [font.getlength(line) for line in lines]
        mask = Image.new("L", (int(max(widths)) + size_px // 4 + 2, line_px * len(lines) + size_px // 4))
        draw = ImageDraw.Draw(mask)
        boxes = []
        ascent = font.getmetrics()[0]
        for row, line in enumerate(lines):
            # Character by character: only so the ink of each one is known where it is drawn.
            x = float(size_px // 8)
            baseline = row * line_px + ascent
            for character in line:
                advance = font.getlength(character)
                draw.text((round(x), baseline), character, font=font, fill=255, anchor="ls")
                if character.isalnum():
                    left, top, right, bottom = draw.textbbox((round(x), baseline), character, font=font, anchor="ls")
                    boxes.append((int(left), int(max(0, top)), int(-(-right // 1)), int(-(-bottom // 1))))
                x += advance
        used = mask.getbbox() or (0, 0, 1, 1)
        shifted = tuple((box[0] - used[0], box[1] - used[1], box[2] - used[0], box[3] - used[1]) for box in boxes)
        return Drawing(mask.crop(used), shifted)


@lru_cache(maxsize=64)
def _load(path: str, index: int, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size_px, index=index)


def choose(words: str, font: Path | None = None, *, search: Iterable[str] | None = None) -> FontFile | Outlines:
    """The typeface for the words: ``font`` if given, else an installed one that has them all, else our outlines.

    ``search`` are glob patterns in place of the usual places. Raises :class:`LabelError` where a configured font lacks
    a character (a configuration mistake that must not be papered over), or where nothing can draw the words.
    """
    if font is not None:
        try:
            chosen = FontFile(str(font))
            complete = chosen.has(words)
        except OSError:
            raise LabelError(
                "the configured font cannot be read; give the path of a TrueType or OpenType file"
            ) from None
        if not complete:
            raise LabelError("the configured font lacks a character of the label; configure a font that has it")
        return chosen
    return _choose_installed(words, None if search is None else tuple(search))


@lru_cache(maxsize=32)
def _choose_installed(words: str, search: tuple[str, ...] | None) -> FontFile | Outlines:
    for path in _installed() if search is None else _matching(search):
        try:
            candidate = FontFile(path)
            if candidate.has(words):
                return candidate
        except OSError:
            continue
    if glyphs.can_draw(words):
        return Outlines()
    raise LabelError("no installed font has every character of the label; configure a font, or use fixed words")


def _installed() -> list[str]:
    found: list[str] = []
    for package, pattern in _FONT_PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            found += _matching([f"{folder}/{pattern}"])
    return found + _matching(SYSTEM_FONTS)


def _matching(patterns: Iterable[str]) -> list[str]:
    return [
        path
        for pattern in patterns
        for path in sorted(glob.glob(pattern, recursive=True))
        if path.endswith((".ttf", ".otf", ".ttc"))
    ]
