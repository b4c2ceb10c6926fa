# SPDX-License-Identifier: Apache-2.0
"""The words that the target must be told to forbid, and the disguises in which they come.

No word is a word of any language, so that nothing else can contain it. Every text around them ends in `SENTINEL`: an
answer that holds it was not stopped.
"""

from __future__ import annotations

import re
import unicodedata

CHINESE = "严禁词语甲"
ENGLISH = "zqforbidden"
EMOJI = "🐲🔥🐍"
MARKS = "żqébom"
TERMS = (CHINESE, ENGLISH, EMOJI, MARKS)
SENTINEL = "tail-wvk"

FULL_WIDTH = "".join(chr(ord(char) + 0xFEE0) for char in ENGLISH)
ZERO_WIDTH = "\u200b".join(ENGLISH)
ZERO_WIDTH_CHINESE = "\u200d".join(CHINESE)
DECOMPOSED = unicodedata.normalize("NFD", MARKS)
UPPER = ENGLISH.upper()
DISGUISES = {
    "full width": FULL_WIDTH,
    "zero width inside": ZERO_WIDTH,
    "zero width inside Chinese": ZERO_WIDTH_CHINESE,
    "decomposed marks": DECOMPOSED,
    "upper case": UPPER,
}

_DROPPED = re.compile("[\u0300-\u036f\u200b\u200c\u200d\u2060\ufeff\u00ad]+")


def around(word: str) -> str:
    """A short text with `word` in it."""
    return f"ok {word} {SENTINEL}"


def plain(text: str) -> str:
    """A text without disguises, as a reader's eye takes it: what the suite searches for forbidden words."""
    if text.isascii():
        return text.lower()
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _DROPPED.sub("", unicodedata.normalize("NFKD", joined).casefold())


_PLAIN = tuple(map(plain, TERMS))


def holds_term(text: str) -> bool:
    """Whether a reader of `text` reads a forbidden word."""
    seen = plain(text)
    return any(term in seen for term in _PLAIN)


def holds_beginning(text: str) -> bool:
    """Whether `text` holds the first two characters of a forbidden word."""
    seen = plain(text)
    return any(term[:2] in seen for term in _PLAIN)
