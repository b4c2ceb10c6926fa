# SPDX-License-Identifier: Apache-2.0
"""What disguises cost: `python -m bench.disguises FILE... [--rows N]` on labelled rows, Chinese and English apart.

Every row is judged plain and in each disguise. Printed is the share of harmful rows above the score that 5 % of the
harmless rows reach *in the same disguise*, so that a filter which flags the wrapper gains nothing, and that share over
the one of the plain text.
"""

import argparse
import base64
import functools
import json
import random
import urllib.parse
from collections.abc import Callable

from content_filter.classifier import Classifier
from content_filter.judge import TextJudge
from content_filter.lookalikes import HOMOGLYPHS, LEET, PARTS
from content_filter.pinyin import sounded
from content_filter.rows import Row, read_rows

_SPLIT = {whole: parts for parts, whole in PARTS.items()}
_HOMOGLYPHS = {latin: other for other, latin in HOMOGLYPHS.items()}
_LEET = {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"}
assert all(LEET[sign] == letter for letter, sign in _LEET.items())


def _spread(text: str, gap: str) -> str:
    return gap.join(text)


@functools.cache
def _alike() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for code in range(0x4E00, 0x9FA6):
        syllable = sounded(chr(code))
        if syllable.isascii():
            found.setdefault(syllable, []).append(chr(code))
    return found


def _homophones(text: str) -> str:
    draw, alike = random.Random(text), _alike()
    return "".join(
        draw.choice(alike.get(sounded(char), [char])) if "\u4e00" <= char <= "\u9fff" and draw.random() < 0.5 else char
        for char in text
    )


Disguise = Callable[[str], str]
COMMON: dict[str, Disguise] = {
    "separators -": lambda text: _spread(text, "-"),
    "separators space": lambda text: _spread(text, " "),
    "zero width": lambda text: _spread(text, "\u200b"),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "combining marks": lambda text: _spread(text, "\u0335"),
    "HTML entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "URL escapes": lambda text: urllib.parse.quote(text, safe=""),
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "reversal": lambda text: text[::-1],
    "vertical": lambda text: _spread(text, "\n"),
}
CHINESE: dict[str, Disguise] = {
    "pinyin": lambda text: sounded(text),
    "homophones": _homophones,
    "split characters": lambda text: "".join(_SPLIT.get(char, char) for char in text),
}
ENGLISH: dict[str, Disguise] = {
    "leet": lambda text: "".join(_LEET.get(char.lower(), char) for char in text),
    "homoglyphs": lambda text: "".join(_HOMOGLYPHS.get(char, char) for char in text),
}


def _recall(judge: TextJudge, harmful: list[Row], harmless: list[Row], disguise: Disguise) -> float:
    scores = sorted((judge.judge(disguise(row.text[:200])).score_bp for row in harmless), reverse=True)
    threshold = scores[int(0.05 * len(scores))]
    found = sum(judge.judge(disguise(row.text[:200])).score_bp > threshold for row in harmful)
    return found / len(harmful)


def main() -> None:
    """Measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--rows", type=int, default=200, help="of each language and label")
    parser.add_argument("--weights", help="a folder with weights; the shipped ones without it")
    given = parser.parse_args()
    judge = TextJudge(Classifier.load(given.weights))
    rows = [row for row in read_rows(given.files) if row.role != "response" and 6 <= len(row.text) <= 200]
    random.Random(1).shuffle(rows)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for language, own in (("zh", CHINESE), ("en", ENGLISH)):
        harmful, harmless = (
            [row for row in rows if row.lang == language and row.is_harmful is wanted][: given.rows]
            for wanted in (True, False)
        )
        if not harmful or not harmless:
            continue
        plain = _recall(judge, harmful, harmless, str)
        found[language] = {"plain": {"recall": round(plain, 3)}}
        for name, disguise in {**COMMON, **own}.items():
            recall = _recall(judge, harmful, harmless, disguise)
            found[language][name] = {"recall": round(recall, 3), "kept": round(recall / plain, 3) if plain else 0.0}
    print(json.dumps(found, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
