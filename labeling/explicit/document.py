# SPDX-License-Identifier: Apache-2.0
"""The explicit label in documents: which way for which format, and the formats that are plain text.

Implements GB 45438-2025 clause 5.1 for text (words with both elements at the start) and 5.2 for drawings, pages and
slides (at a corner, at least 5 % of the shorter side). All other content stays as it is. A label that we wrote earlier
is not doubled.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from html import escape
from typing import Final

from labeling.errors import DamagedFile, UnsupportedFormat
from labeling.explicit.epub import label_book
from labeling.explicit.image import ImageLabel
from labeling.explicit.ooxml import label_presentation, label_text_document, label_workbook
from labeling.explicit.pdf import label_pdf
from labeling.explicit.svg import label_drawing
from labeling.implicit.html import doctype_end, tags
from labeling.sniff import FileFormat
from labeling.text import TextLabeler, check_words

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)")
# What a parser of foreign bytes trips over; see `labeling.implicit`.
_TRIPPED = (struct.error, zlib.error, IndexError, KeyError, ValueError, OverflowError, RecursionError, StopIteration)
_MARK = 'data-ai-label="1"'


def label_document(data: bytes, file_format: FileFormat, words: str, image: ImageLabel | None = None) -> bytes:
    """The document with the words at its start, or in the corner of its first page, first slide or drawing.

    ``image`` gives height and corner where the label is drawn. Raises :class:`UnsupportedFormat` for what is no
    document, and where a drawn label is needed and none is given.
    """
    check_words(words, "the label of a document")
    written = _WRITTEN.get(file_format)
    if written is not None:
        return _guarded(lambda: written(data, words), file_format)
    drawn = _DRAWN.get(file_format)
    if drawn is None:
        raise UnsupportedFormat(
            f"{file_format.value.name} cannot get a visible label here; label its content before it is made"
        )
    if image is None:
        raise UnsupportedFormat("a drawn label needs an image label with height and corner; configure one")
    return _guarded(lambda: drawn(data, words, image), file_format)


def _guarded(work: Callable[[], bytes], file_format: FileFormat) -> bytes:
    try:
        return work()
    except _TRIPPED as error:
        # The exception's text may quote the file, so only its kind is passed on.
        raise DamagedFile(
            f"the {file_format.value.name} file is broken ({type(error).__name__}); ask its maker for a sound file"
        ) from None


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


_WRITTEN: Final[dict[FileFormat, Callable[[bytes, str], bytes]]] = {
    FileFormat.TEXT: lambda data, words: TextLabeler(words, None).label(data.decode("utf-8")).encode("utf-8"),
    FileFormat.MARKDOWN: _markdown,
    FileFormat.HTML: _html,
    FileFormat.DOCX: label_text_document,
    FileFormat.XLSX: label_workbook,
    FileFormat.EPUB: label_book,
}
_DRAWN: Final[dict[FileFormat, Callable[[bytes, str, ImageLabel], bytes]]] = {
    FileFormat.SVG: label_drawing,
    FileFormat.PDF: label_pdf,
    FileFormat.PPTX: label_presentation,
}
