# SPDX-License-Identifier: Apache-2.0
"""Makes `weights/pinyin.json`: `python -m content_filter.training.syllables > pinyin.json`.

The commonest characters by the word frequencies of jieba (MIT), each with the commonest reading that pypinyin (MIT)
gives it, without tones, `v` for the u with two dots. Needs both, here alone. What must hold: a character stands under
one syllable, the commonest first.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

CHARACTERS = 7_500


def syllables(
    words: Iterable[tuple[str, int]], reading: Callable[[str], str], most: int = CHARACTERS
) -> dict[str, str]:
    """Syllable to its characters, from words with how often they occur and a function that reads one character."""
    counts: Counter[str] = Counter()
    for word, count in words:
        for char in word:
            if "\u4e00" <= char <= "\u9fff":
                counts[char] += count
    found: dict[str, list[str]] = {}
    for char, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]:
        syllable = reading(char).replace("ü", "v")
        if syllable.isascii() and syllable.isalpha():
            found.setdefault(syllable, []).append(char)
    return {syllable: "".join(found[syllable]) for syllable in sorted(found)}


def main() -> None:
    """Writes the table to standard output."""
    import jieba
    from pypinyin import lazy_pinyin

    lines = (Path(jieba.__file__).parent / "dict.txt").read_text("utf-8").splitlines()
    words = ((fields[0], int(fields[1])) for fields in map(str.split, lines))
    print(json.dumps(syllables(words, lambda char: str(lazy_pinyin(char)[0])), ensure_ascii=False, indent=0))


if __name__ == "__main__":
    main()
