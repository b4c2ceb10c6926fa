# SPDX-License-Identifier: Apache-2.0
"""Chinese as it sounds: characters to syllables without tones.

Harmful texts are disguised by characters that sound alike and by writing the sound itself. Both are the same text once
written in syllables, and the encoder has learned that form too. The table `weights/pinyin.json` gives each of the 7,500
commonest characters its commonest reading; a character with several readings always gets that one, on both sides, so it
costs little.
"""

import functools
import json
from importlib import resources

_LONGEST = 6  # letters of a syllable, as in zhuang
_FIRST_WORDS = 8
_LONGEST_WORD = 40
_LEAST_SYLLABLES = 4  # fewer are too often words of another language


@functools.cache
def _table() -> tuple[dict[int, str], frozenset[str]]:
    """Character to syllable with a space on both sides, for `str.translate`, and all syllables."""
    raw = (resources.files("content_filter") / "weights" / "pinyin.json").read_text("utf-8")
    syllables: dict[str, str] = json.loads(raw)
    return {ord(char): f" {syllable} " for syllable, chars in syllables.items() for char in chars}, frozenset(syllables)


def sounded(normalised: str) -> str:
    """The text with every known character as a syllable, one space between. Changes nothing else."""
    return " ".join(normalised.translate(_table()[0]).split())


def is_syllable(letters: str) -> bool:
    """Whether these letters are one syllable of Chinese."""
    return letters in _table()[1]


def split_syllables(word: str) -> list[str] | None:
    """Cuts a word such as `zhizuo` into the fewest syllables, or None if it is not made of them."""
    best: list[list[str] | None] = [[]] + [None] * len(word)
    for end in range(1, len(word) + 1):
        for start in range(max(0, end - _LONGEST), end):
            before = best[start]
            if before is not None and is_syllable(word[start:end]):
                current = best[end]
                if current is None or len(before) + 1 < len(current):
                    best[end] = [*before, word[start:end]]
    return best[-1]


@functools.lru_cache(maxsize=4096)
def _is_spelled(word: str) -> bool:
    return len(word) > 1 and split_syllables(word[:_LONGEST_WORD]) is not None


def read_aloud(normalised: str) -> str | None:
    """Syllables of a text that is written in pinyin, whole or in part; None for one that is not.

    It is where at least `_LEAST_SYLLABLES` syllables, and most of its words of letters, are Chinese syllables.
    """
    words = normalised.split()
    # Most texts that are not pinyin say so in their first words.
    first = [word for word in words if word.isascii() and word.isalpha()][:_FIRST_WORDS]
    if sum(_is_spelled(word) for word in first) * 10 < len(first) * 6:
        return None
    out: list[str] = []
    letters = syllables = 0
    for word in words:
        if word.isascii() and word.isalpha():
            letters += 1
            parts = split_syllables(word) if len(word) <= _LONGEST_WORD else None
            if parts is not None and (len(parts) > 1 or len(word) > 1):
                syllables += 1
                out += parts
                continue
        out.append(word)
    if letters and syllables * 10 >= letters * 7 and len(out) >= _LEAST_SYLLABLES:
        return sounded(" ".join(out))
    return None
