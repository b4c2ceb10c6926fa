# SPDX-License-Identifier: Apache-2.0
"""HTML: the label as ``<meta name="AIGC" content="...">`` in the head.

No practice guide names HTML; this is the form seen in practice. The page's other bytes stay as they are: the element
goes behind the declaration of the character set, which browsers look for in the first 1024 bytes, and never in front
of the document type, which would change how the page is laid out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape, unescape

from labeling.aigc import AigcLabel
from labeling.errors import UnsupportedFormat
from labeling.implicit.field import AigcField
from labeling.sniff import skip_prolog

# The page is handled as Latin-1, one character a byte: every ASCII-compatible encoding passes through unchanged.
_OPENING = re.compile(r"<(?:(?P<comment>!--)|(?P<slash>/)?(?P<name>[a-zA-Z][^\s/>]*))")
_QUOTED_OR_END = re.compile(r"[>\"']")
_RAW_TEXT = frozenset({"script", "style", "template", "textarea", "title"})
_NAME = re.compile(r"""\bname\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.I)
_CONTENT = re.compile(r"""\bcontent\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.I)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of a page: lower-case name, whether it is an end tag, its attributes as written, and its span."""

    name: str
    is_end: bool
    attributes: str
    start: int
    end: int


def tags(page: str, at: int = 0) -> Iterator[Tag]:
    """The tags that a browser would see, in one linear pass: none inside comments, scripts, styles and titles.

    What does not end reaches to the end of the page, as in a browser.
    """
    while True:
        opening = _OPENING.search(page, at)
        if opening is None:
            return
        if opening["comment"]:
            end = page.find("-->", opening.end())
            if end < 0:
                return
            at = end + 3
            continue
        at = _end_of_tag(page, opening.end())
        if at < 0:
            return
        name = opening["name"].lower()
        yield Tag(name, bool(opening["slash"]), page[opening.end() : at - 1], opening.start(), at)
        if name in _RAW_TEXT and not opening["slash"]:
            closing = re.compile(rf"</{name}(?=[\s/>])", re.I).search(page, at)
            if closing is None:
                return
            at = closing.start()


def _end_of_tag(page: str, at: int) -> int:
    """The index after the tag's ``>``, quoted values skipped; -1 where it does not end."""
    while True:
        stop = _QUOTED_OR_END.search(page, at)
        if stop is None:
            return -1
        if stop[0] == ">":
            return stop.end()
        at = page.find(stop[0], stop.end()) + 1
        if not at:
            return -1


def _page(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnsupportedFormat("an HTML page in UTF-16 cannot be labelled; save it as UTF-8")
    return data.decode("latin-1")


def _attribute(pattern: re.Pattern[str], attributes: str) -> str:
    match = pattern.search(attributes)
    return unescape(match[1] or match[2] or match[3] or "") if match else ""


def _labels(page: str) -> list[tuple[Tag, str]]:
    found = []
    for tag in tags(page):
        if tag.name == "meta" and not tag.is_end and "aigc" in tag.attributes.lower():
            name = _attribute(_NAME, tag.attributes)
            if "AIGC" in name.upper():
                found.append((tag, name))
    return found


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the page."""
    return [
        AigcField(
            f"HTML meta {name[:64]}", _attribute(_CONTENT, tag.attributes).encode("latin-1", "replace"), name == "AIGC"
        )
        for tag, name in _labels(_page(data))
    ]


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The page with exactly this label."""
    page = _page(data)
    for tag, _ in reversed(_labels(page)):
        page = page[: tag.start] + page[tag.end :]
    at = _place(page, doctype_end(page.encode("latin-1")))
    own = f'<meta name="AIGC" content="{escape(label.as_json())}">'
    return (page[:at] + own + page[at:]).encode("latin-1")


def doctype_end(data: bytes) -> int:
    """The index after the document type; without one, after the byte order mark."""
    at = skip_prolog(data)
    end = data.find(b">", at) + 1 if data[at : at + 9].lower() == b"<!doctype" else 0
    return end or (3 if data.startswith(b"\xef\xbb\xbf") else 0)


def _place(page: str, place: int) -> int:
    """Behind the character set where one is declared, else behind ``<head>``, ``<html>``, or at ``place``."""
    for tag in tags(page, place):
        if tag.name == "body" or (tag.is_end and tag.name == "head"):
            break
        if tag.name in ("html", "head"):
            place = tag.end
        elif tag.name == "meta" and re.search(r"\bcharset\b|content-type", tag.attributes, re.I):
            return tag.end
    return place
