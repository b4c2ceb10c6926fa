# SPDX-License-Identifier: Apache-2.0
"""The fingerprint of a text: which runs of words it has.

Case, width, punctuation, spaces and line breaks do not count. A Chinese character is a word, and so is a run of Latin
letters or digits. Copied parts, small edits and added labels leave most runs as they are; a paraphrase or a translation
leaves none, so it is not found.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from typing import Final

import numpy as np

from labeling.fingerprint.sketch import Print, of_set

LEAST_WORDS: Final = 40
"""A shorter text may well have been written by somebody else."""
MOST_WORDS: Final = 20_000
_RUN: Final = 4
_ALONE: Final = "㐀-鿿぀-ヿ가-힯\U00020000-\U0003ffff"
"""Characters that are words by themselves."""
_WORDS: Final = re.compile(f"[{_ALONE}]|[^\\W_{_ALONE}]+")
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)


def text_print(text: str) -> Print | None:
    """The fingerprint of a text; None where it has fewer than :data:`LEAST_WORDS` words."""
    words = _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())[:MOST_WORDS]
    if len(words) < LEAST_WORDS:
        return None
    numbers = np.fromiter((zlib.crc32(word.encode()) for word in words), np.uint64, len(words))
    runs = np.zeros(len(words) - _RUN + 1, np.uint64)
    for place in range(_RUN):
        runs = (runs ^ numbers[place : place + len(runs)]) * _MULTIPLIER
        runs ^= runs >> np.uint64(29)
    return Print("text", of_set(runs))
