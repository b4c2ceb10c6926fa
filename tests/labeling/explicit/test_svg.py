# SPDX-License-Identifier: Apache-2.0
"""Drawings show their label as outlines; the smallest letter has the asked height."""

from __future__ import annotations

import re

import pytest

from labeling.explicit import glyphs
from labeling.explicit.image import ImageLabel
from labeling.explicit.svg import label_drawing

BOX = 1_000.0


@pytest.mark.parametrize("words", ["AI生成", "人工智能生成合成内容", "AI-generated content"])
@pytest.mark.parametrize("height_bp", [500, 700])
def test_every_letter_has_the_asked_height_in_the_drawing_itself(words: str, height_bp: int) -> None:
    """Measured on the outlines as written, character by character, with the pen."""
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {BOX * 2} {BOX}"></svg>'.encode()
    made = label_drawing(drawing, words, ImageLabel(words, height_bp)).decode()
    scale = float(re.findall(r"scale\(([\d.]+)\)", made)[0])
    strokes = [
        [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", stroke)]
        for stroke in re.findall(r"M([^M\"]+)", re.findall(r' d="([^"]+)"', made)[0])
    ]
    heights = []
    for character, at, drawn in glyphs.lay_out(words)[1]:
        if character.isalnum():
            right = at + glyphs.GLYPHS[character.upper()][0]
            ys = [y for stroke in strokes for x, y in stroke if at <= x <= right]
            assert len(ys) >= sum(map(len, drawn))
            heights.append((max(ys) - min(ys) + glyphs.PEN) * scale)
    assert min(heights) >= BOX * height_bp / 10_000 - 0.001
    assert min(heights) < BOX * height_bp / 10_000 * 1.05
