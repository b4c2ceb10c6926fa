# SPDX-License-Identifier: Apache-2.0
"""The explicit label in SVG drawings: outlines of our own in a corner, so that no font is asked for.

Implements GB 45438-2025 clause 5.2: the smallest letter's ink is at least the asked part of the drawing's shorter side.
"""

from __future__ import annotations

import re
from html import escape

from labeling.errors import DamagedFile, UnsupportedFormat
from labeling.explicit import glyphs
from labeling.explicit.image import ImageLabel
from labeling.implicit import xmp

_SVG_MARK = 'id="ai-label"'
_LENGTH = re.compile(r"\s*([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(?:px|pt|mm|cm|in|pc|em)?\s*")
_SVG_ROOT = re.compile(rb"""<(?P<prefix>[\w.-]+:)?svg(?P<attributes>(?:[^>"']|"[^"]*"|'[^']*')*)>""")


def _number(text: str | None) -> float | None:
    match = _LENGTH.fullmatch(text) if text else None
    return float(match[1]) if match else None


def label_drawing(data: bytes, words: str, image: ImageLabel) -> bytes:
    """The drawing with the words in its corner. Raises :class:`UnsupportedFormat` where they do not fit."""
    places = xmp.find_places(data.removeprefix(b"\xef\xbb\xbf"))
    start = (places.root_start or 0) + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
    root = _SVG_ROOT.match(data, start)
    if not places.root_is_svg or root is None:
        raise DamagedFile("the drawing has no svg element at its root; ask its maker for a sound file")
    if _SVG_MARK.encode() in data:
        return data
    if not glyphs.can_draw(words):
        raise UnsupportedFormat("the words cannot be drawn as outlines in a drawing; use the usual fixed words")
    attributes = root["attributes"].decode("utf-8", "replace")
    box = re.search(r"""\bviewBox\s*=\s*["']([^"']*)["']""", attributes)
    numbers = [_number(part) for part in re.split(r"[\s,]+", box[1].strip())] if box else []
    if len(numbers) == 4 and all(number is not None for number in numbers):
        left, top, width, height = (float(number or 0) for number in numbers)
    else:
        found = [
            re.search(rf"""(?<![\w-]){name}\s*=\s*["']([^"'%]*)["']""", attributes) for name in ("width", "height")
        ]
        sizes = [_number(match[1]) if match else None for match in found]
        left = top = 0.0
        # 300 by 150 is what CSS gives a drawing that states no size.
        width, height = sizes[0] or 300.0, sizes[1] or 150.0
    if width <= 0 or height <= 0:
        raise DamagedFile("the drawing has no area; ask its maker for a sound file")
    drawn = _drawn_label(words, (left, top, width, height), image, (root["prefix"] or b"").decode())
    prefix = root["prefix"] or b""
    if root["attributes"].endswith(b"/"):
        end = root.end()
        return data[: end - 2] + b">" + drawn + b"</" + prefix + b"svg>" + data[end:]
    close = data.rfind(b"</" + prefix + b"svg")
    return data[:close] + drawn + data[close:]


def _drawn_label(words: str, box: tuple[float, float, float, float], image: ImageLabel, prefix: str) -> bytes:
    left, top, width, height = box
    grid_width, placed = glyphs.lay_out(words)
    scale = min(width, height) * image.height_bp / 10_000 / glyphs.smallest_ink(words)
    margin = 25 * scale
    plate = (grid_width * scale + 2 * margin, 100 * scale + 2 * margin)
    if plate[0] > width or plate[1] > height:
        raise UnsupportedFormat(
            "the drawing is too narrow for its label in one line; use shorter words or a wider drawing"
        )
    x = left + width - plate[0] if image.corner.endswith("right") else left
    y = top + height - plate[1] if image.corner.startswith("bottom") else top
    path = " ".join(
        "M" + " L".join(f"{glyph_x + at} {glyph_y}" for glyph_x, glyph_y in stroke)
        for _, at, strokes in placed
        for stroke in strokes
    )
    return (
        f'<{prefix}g {_SVG_MARK} role="note" transform="translate({x:.4f} {y:.4f})"><{prefix}title>{escape(words)}'
        f'</{prefix}title><{prefix}rect width="{plate[0]:.4f}" height="{plate[1]:.4f}" fill="#000" fill-opacity="0.7"/>'
        f'<{prefix}path transform="translate({margin:.4f} {margin:.4f}) scale({scale:.6f})" d="{path}" fill="none" '
        f'stroke="#fff" stroke-width="{glyphs.PEN}" stroke-linecap="round" stroke-linejoin="round"/></{prefix}g>'
    ).encode()
