# SPDX-License-Identifier: Apache-2.0
"""What is learned from: the rows of a folder, capped and weighed, and this package's own rows.

Moderation data comes in sources, each with its own way of writing. A model that is tested on the sources that it was
trained on looks better than it is, so sources are put into four groups, each of which is left out once. What must hold:
a source is in one group; own rows, which are of one hand, are divided row by row; everything depends on the seed only.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from content_filter.rows import Row, read_rows
from content_filter.training.patterns import own_rows
from content_filter.windows import SentenceWindows

GROUPS = 4
MOST_ROWS = 5000
"""Most rows of one source, label, role and language."""
LONGEST = 250
"""Characters of a text that are learned from in one piece."""
_SENTENCES = 4
"""Sentences of a harmless answer that are rows of their own, as a stream shows them."""

# Chosen so that each group leaves harmful and harmless rows of both languages to learn from. Others: by their name.
_GROUP_OF = {
    "jade": 0, "jade_v3_medium": 0, "kdconv": 0, "jade_en": 0, "xsafety_en": 0, "self_instruct": 0,
    "self_instruct_seed": 0,
    "jailbench": 1, "jailbench_seed": 1, "swsr": 1, "crosswoz": 1, "chatterbot_corpus": 1, "hh_rlhf_harmless": 1,
    "xsafety_zh": 2, "llamafactory_zh": 2, "cmrc2018": 2, "davidson": 2,
    "synth_zh": 3, "cold": 3, "drcd": 3, "advbench": 3, "adv": 3, "tdc2023": 3, "inthewild_jailbreak": 3,
    "llamafactory_en": 3,
}  # fmt: skip
QUARREL_SOURCES = frozenset({"cold", "swsr", "davidson"})
"""Comments from social media: abuse beside harmless talk about the same groups. Harmless rows are no ordinary ones."""
_WEAK_WEIGHT = 0.5  # labels inferred from a category
_OWN_HARMLESS_FRAMES_WEIGHT = 0.4  # they outnumber all other mentions of these topics
_HARD_SOURCE, _HARD_WEIGHT = "own_hard_negatives", 4.0  # few, and all that stands against words that look harmful
# Own rows that are worded one by one and not put together.
_VOICED = frozenset({"own_asks_en", "own_asks_more", "own_asks_zh", "own_comments", "own_requests"})
_VOICED_WEIGHT = 2.5
_OWN_WEIGHT = {"zh": 0.7, "en": 0.4}  # much of one hand: enough to learn from, not enough to drown the rest


def load_rows(folder: str | Path, seed: int = 1) -> list[Row]:
    """Rows of all .jsonl files of a folder, at most `MOST_ROWS` of a kind, and the own rows."""
    rows = list(read_rows(sorted(Path(folder).glob("*.jsonl"))))
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    seen: Counter[tuple[str, bool, str, str]] = Counter()
    kept = []
    for index in order:
        kind = _kind(rows[index])
        seen[kind] += 1
        if seen[kind] <= MOST_ROWS:
            kept.append(index)
    return [rows[index] for index in sorted(kept)] + own_rows(seed)


def language(row: Row) -> str:
    """`zh` or `en`."""
    return "zh" if row.lang.startswith("zh") else "en"


def group_of(row: Row) -> int:
    """Which group leaves this row out."""
    if row.source.startswith("own_"):
        return hashlib.sha256(row.text.encode()).digest()[0] % GROUPS
    known = _GROUP_OF.get(row.source)
    return hashlib.sha256(row.source.encode()).digest()[0] % GROUPS if known is None else known


def weights_of(rows: Sequence[Row], reference: int = 1500, power: float = 0.7) -> NDArray[np.float64]:
    """Weight of each row: a kind with more than `reference` rows counts less than its number."""
    sizes = Counter(map(_kind, rows))
    weights = np.array([min(1.0, reference / sizes[_kind(row)]) ** power for row in rows])
    weights *= np.where([row.is_weak for row in rows], _WEAK_WEIGHT, 1.0)
    about = [row.source == "own_acts" and not row.is_harmful for row in rows]
    weights *= np.where([row.source == _HARD_SOURCE for row in rows], _HARD_WEIGHT, 1.0)
    weights *= np.where([row.source in _VOICED for row in rows], _VOICED_WEIGHT, 1.0)
    weights *= np.array([_OWN_WEIGHT[language(row)] if row.source.startswith("own_") else 1.0 for row in rows])
    return np.asarray(weights * np.where(about, _OWN_HARMLESS_FRAMES_WEIGHT, 1.0))


def pieces(rows: Sequence[Row]) -> list[Row]:
    """The rows cut to `LONGEST`; the later pieces of a long harmless text are harmless rows of their own, and so are
    some sentences of harmless answers: an answer that streams is judged by them."""
    cut = []
    for row in rows:
        cut.append(replace(row, text=row.text[:LONGEST]))
        if not row.is_harmful:
            for start in range(LONGEST, min(len(row.text), 3 * LONGEST), 90):
                cut.append(replace(row, text=row.text[start : start + 90]))
    for row in rows:
        if not row.is_harmful and row.role == "response" and not row.source.startswith("own_"):  # those are short
            shown = sentences(row.text)
            if len(shown) > 1:
                draw = random.Random(hashlib.sha256(row.text.encode("utf-8", "surrogatepass")).digest())
                chosen = draw.sample(shown, min(_SENTENCES, len(shown)))
                cut += (replace(row, text=text) for text in chosen)
    return cut


def sentences(text: str) -> list[str]:
    """What is judged of an answer while it streams."""
    windows = SentenceWindows()
    return [window.text for window in (*windows.feed(text), *windows.close())]


def _kind(row: Row) -> tuple[str, bool, str, str]:
    return row.source, row.is_harmful, row.role, language(row)
