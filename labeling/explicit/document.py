# SPDX-License-Identifier: Apache-2.0
"""The explicit label in documents that are text: Markdown, HTML and SVG.

Implements GB 45438-2025 clause 5.1 for text (words with both elements at the start) and 5.2 for drawings (at a corner,
at least 5 % of the shorter side). All other bytes stay as they are. A label that we wrote earlier is not doubled.
"""

from __future__ import annotations

import re
from html import escape

from labeling.errors import DamagedFile, UnsupportedFormat
from labeling.explicit import glyphs
from labeling.explicit.image import ImageLabel
from labeling.implicit import xmp
from labeling.implicit.html import doctype_end, tags
from labeling.sniff import FileFormat
from labeling.text import TextLabeler, check_words

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)")
_MARK = 'data-ai-label="1"'
_SVG_MARK = 'id="ai-label"'
_LENGTH = re.compile(r"\s*([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(?:px|pt|mm|cm|in|pc|em)?\s*")
_SVG_ROOT = re.compile(rb"""<(?P<prefix>[\w.-]+:)?svg(?P<attributes>(?:[^>"']|"[^"]*"|'[^']*')*)>""")


def label_document(data: bytes, file_format: FileFormat, words: str, image: ImageLabel | None = None) -> bytes:
    """The document with the words at its start, or in the corner of a drawing.

    ``image`` gives height and corner for SVG. Raises :class:`UnsupportedFormat` for formats that are not text.
    """
    check_words(words, "the label of a document")
    if file_format is FileFormat.MARKDOWN:
        return _markdown(data, words)
    if file_format is FileFormat.HTML:
        return _html(data, words)
    if file_format is FileFormat.SVG:
        if image is None:
            raise UnsupportedFormat("a drawing needs an image label with height and corner; configure one")
        return _svg(data, words, image)
    if file_format is FileFormat.TEXT:
        return TextLabeler(words, None).label(data.decode("utf-8")).encode("utf-8")
    raise UnsupportedFormat(
        f"{file_format.value.name} cannot get a visible label here; label its content before it is made"
    )


def _markdown(data: bytes, words: str) -> bytes:
    text = data.decode("utf-8")
    front = _FRONT_MATTER.match(text)
    head = front[0] if front else "\ufeff" if text.startswith("\ufeff") else ""
    body = text[len(head) :]
    # Punctuation that Markdown understands is escaped, so that the words show as they are.
    line = "> " + re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", words)
    if body.lstrip().startswith(line):
        return data
    newline = "\r\n" if "\r\n" in text[:4096] else "\n"
    space = newline if front else ""
    return f"{head}{space}{line}{newline}{newline}{body.lstrip(chr(10) + chr(13))}".encode()


def _html(data: bytes, words: str) -> bytes:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnsupportedFormat("an HTML page in UTF-16 cannot be labelled; save it as UTF-8")
    page = data.decode("latin-1")
    if _MARK in page:
        return data
    at = _body_start(page, doctype_end(data))
    # Character references are the same in every ASCII-compatible encoding.
    text = "".join(character if character.isascii() else f"&#{ord(character)};" for character in escape(words))
    style = (
        "position:relative;z-index:2147483647;margin:0;padding:.5em 1em;background:#222;color:#fff;"
        "font:16px/1.5 sans-serif;text-align:left"
    )
    own = f'<p {_MARK} role="note" style="{style}">{text}</p>'
    return (page[:at] + own + page[at:]).encode("latin-1")


def _body_start(page: str, after_metadata: int) -> int:
    """Behind the body's tag, else behind the head, else behind the metadata that browsers look for first."""
    after_head: int | None = None
    for tag in tags(page):
        if tag.name == "body" and not tag.is_end:
            return tag.end
        if tag.name == "head" and tag.is_end:
            after_head = tag.end
        elif after_head is None:
            if tag.name not in ("html", "head", "meta", "title", "link", "style", "script", "base"):
                break
            after_metadata = tag.end
    return after_metadata if after_head is None else after_head


def _number(text: str | None) -> float | None:
    match = _LENGTH.fullmatch(text) if text else None
    return float(match[1]) if match else None


def _svg(data: bytes, words: str, image: ImageLabel) -> bytes:
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
    # The least tall letter fills 85 of the 100 units of the grid.
    scale = min(width, height) * image.height_bp / 10_000 / 85 * 1.02
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
