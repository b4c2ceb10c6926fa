# SPDX-License-Identifier: Apache-2.0
"""Outlines of our own drawing for the words of the usual labels, for machines that have no font for them.

Each character is a list of strokes on a grid of 100 by 100, y downwards, drawn with a round pen. A label must never
be missing or show empty boxes because a container image came without Chinese fonts. Small Latin letters are drawn as
capitals, so that every letter has the full height.
"""

from __future__ import annotations

from typing import Final

Stroke = tuple[tuple[int, int], ...]

PEN: Final = 9
"""Width of the pen on the grid."""

TOP: Final = 4
BOTTOM: Final = 96


def _strokes(text: str) -> tuple[Stroke, ...]:
    """``"x,y x,y; x,y x,y"``: strokes apart by semicolons, points by spaces."""
    return tuple(
        tuple((int(x), int(y)) for x, y in (point.split(",") for point in stroke.split())) for stroke in text.split(";")
    )


_SHAPES: Final[dict[str, tuple[int, str]]] = {
    "人": (100, "50,6 45,44 8,94; 47,38 66,72 94,94"),
    "工": (100, "12,12 88,12; 50,12 50,90; 6,90 94,90"),
    "智": (
        100,
        "24,5 12,27; 20,15 48,15; 6,32 52,32; 32,15 29,34 6,54; 32,37 50,53; 62,13 92,13 92,48 62,48 62,13; "
        "24,60 78,60 78,95 24,95 24,60; 24,78 78,78",
    ),
    "能": (
        100,
        "27,5 11,27 43,25; 36,14 47,30; 12,95 12,40 44,40 44,94 36,93; 12,57 44,57; 12,74 44,74; "
        "60,6 60,40 92,40 92,30; 88,12 60,25; 60,52 60,93 92,93 92,81; 88,59 60,73",
    ),
    "生": (100, "29,8 14,42; 22,28 84,28; 20,58 80,58; 50,5 50,93; 8,93 92,93"),
    "成": (
        100,
        "14,27 90,27; 17,27 16,62 6,95; 16,50 43,50 41,80 30,78; 54,6 58,42 72,77 89,93 93,74; "
        "85,45 66,75 45,93; 71,8 83,19",
    ),
    "合": (100, "50,5 6,45; 50,5 94,45; 28,44 72,44; 22,61 78,61 78,94 22,94 22,61"),
    "内": (100, "12,95 12,25 88,25 88,93 77,92; 50,5 48,40 24,74; 50,43 75,72"),
    "容": (
        100,
        "50,4 50,15; 12,36 12,18 88,18 88,36; 34,28 16,48; 66,28 84,48; 50,36 10,70; 50,36 90,70; "
        "28,68 72,68 72,95 28,95 28,68",
    ),
    "由": (100, "16,30 84,30 84,94 16,94 16,30; 50,6 50,94; 16,62 84,62"),
    "本": (100, "8,30 92,30; 50,6 50,95; 48,32 8,76; 52,32 92,76; 30,74 70,74"),
    "图": (100, "10,8 90,8 90,94 10,94 10,8; 42,20 22,44; 36,28 70,28 28,62; 34,36 74,60; 44,64 58,70; 38,78 60,86"),
    "A": (72, "5,94 36,7 67,94; 17,64 55,64"),
    "B": (68, "9,94 9,7 42,7 56,18 56,38 42,48 9,48; 42,48 60,60 60,82 44,94 9,94"),
    "C": (72, "64,24 50,8 24,8 8,26 8,76 24,94 50,94 64,78"),
    "D": (72, "9,7 9,94 38,94 63,74 63,28 38,7 9,7"),
    "E": (64, "57,7 9,7 9,94 57,94; 9,50 48,50"),
    "G": (74, "63,24 48,8 24,8 8,26 8,76 24,94 50,94 65,80 65,56 42,56"),
    "I": (28, "14,7 14,94"),
    "N": (74, "9,94 9,7 65,94 65,7"),
    "O": (76, "26,8 50,8 68,28 68,74 50,94 26,94 8,74 8,28 26,8"),
    "R": (70, "9,94 9,7 44,7 59,20 59,38 44,50 9,50; 36,50 62,94"),
    "T": (68, "4,7 64,7; 34,7 34,94"),
    "Y": (68, "5,7 34,48 63,7; 34,48 34,94"),
    "-": (44, "8,56 36,56"),
    " ": (36, ""),
}

GLYPHS: Final[dict[str, tuple[int, tuple[Stroke, ...]]]] = {
    character: (width, _strokes(text) if text else ()) for character, (width, text) in _SHAPES.items()
}
"""Advance width and strokes of each character that is drawn here."""


def can_draw(words: str) -> bool:
    """Whether every character of the words has an outline here."""
    return all(character.upper() in GLYPHS for character in words)


def smallest_ink(words: str) -> float:
    """Height on the grid of the ink of the least tall letter or digit, the pen's width included."""
    heights = []
    for character in words:
        if character.isalnum():
            ys = [y for stroke in GLYPHS[character.upper()][1] for _, y in stroke]
            heights.append(max(ys) - min(ys) + PEN)
    return float(min(heights))


def lay_out(words: str) -> tuple[int, list[tuple[str, int, tuple[Stroke, ...]]]]:
    """Total width on the grid, and each character with its left edge and strokes."""
    gap = 8
    at = 0
    placed = []
    for character in words:
        width, strokes = GLYPHS[character.upper()]
        placed.append((character, at, strokes))
        at += width + gap
    return max(at - gap, 1), placed
