# SPDX-License-Identifier: Apache-2.0
"""Phrases from words of this folder for the encoder to learn by: deeds and things beside each other, in many frames.

No label is needed, since only the teacher judges them (`distil`). They name more deeds than labelled data does, so the
encoder knows more than it was shown harmful examples of. What must hold: the phrases depend on the file and the seed
only.
"""

import random
import tomllib
from importlib import resources

COUNTS = {"en": 24_000, "zh": 12_000}
"""Phrases of each language."""


def phrases(seed: int = 1, counts: dict[str, int] | None = None) -> list[str]:
    """Phrases without doubles, sorted."""
    words = tomllib.loads((resources.files("content_filter.training") / "phrases.toml").read_text("utf-8"))
    draw = random.Random(seed)
    found: set[str] = set()
    for language, count in (counts or COUNTS).items():
        table, wanted = words[language], len(found) + count
        while len(found) < wanted:
            frame = draw.choice(table["frames"])
            found.add(
                frame.format(
                    v=draw.choice(table["v"]), n=draw.choice(table["n"]), p=draw.choice(table["p"]),
                    v2=draw.choice(table["v"]), n2=draw.choice(table["n"]),
                )
            )  # fmt: skip
    return sorted(found)
