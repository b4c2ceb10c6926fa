# SPDX-License-Identifier: Apache-2.0
"""Expands the acts, frames and templates of this folder into labelled rows.

An act ("forge a passport") stands once in harmful frames ("how do I ...") and once in harmless ones ("what is the
sentence for those who ..."); harmless acts stand in the same frames as the harmful. So neither a topic nor a way of
asking decides alone. What must hold: the rows depend on the files and the seed only.
"""

import json
import random
import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from content_filter.rows import Row

_ACT_FILES = ("zh.toml", "en.toml")
_TEMPLATE_FILES = ("platform.toml", "comments.toml", "asks_en.toml", "asks_zh.toml", "asks_more.toml")
_WRITTEN_FILES = ("hard_negatives.jsonl", "thin_classes.jsonl", "requests.jsonl", "attacks.jsonl")
_HARMFUL_FRAMES, _HARMLESS_FRAMES, _PLAIN_FRAMES, _ANSWER_FRAMES, _TEMPLATE_COPIES = 8, 8, 12, 4, 5
_SLOT = re.compile(r"\{(\w+)\}")


def own_rows(seed: int = 1) -> list[Row]:
    """All rows of this folder, expanded; `seed` chooses which frames an act meets."""
    folder = resources.files("content_filter.training")
    draw, answers = random.Random(seed), random.Random(seed + 1_000)  # so that neither moves the other's rows
    rows = [row for name in _WRITTEN_FILES for row in _written(folder, name)]
    rows += [row for name in _ACT_FILES for row in _acts(_toml(folder, name), draw, answers)]
    rows += [row for name in _TEMPLATE_FILES for row in _templates(_toml(folder, name), _source(name), draw)]
    return rows


def _toml(folder: Traversable, name: str) -> dict[str, Any]:
    return tomllib.loads((folder / name).read_text("utf-8"))


def _source(name: str) -> str:
    return "own_" + name.partition(".")[0]


def _written(folder: Traversable, name: str) -> Iterator[Row]:
    source = _source(name)
    for line in (folder / name).read_text("utf-8").splitlines():
        row = json.loads(line)
        yield Row(row["text"], row["lang"], row["role"], row["label"] == "harmful", row["category"], source)


def _acts(table: dict[str, Any], draw: random.Random, answers: random.Random) -> Iterator[Row]:
    lang, frames = table["lang"], table["frames"]
    for category, acts in table["acts"].items():
        for act in acts:
            if category == "none":
                for frame in _some(draw, frames["plain"], _PLAIN_FRAMES):
                    yield Row(frame.format(act), lang, "prompt", False, "none", "own_acts")
                for frame in _some(answers, frames["answer_plain"], _ANSWER_FRAMES):
                    yield Row(frame.format(act), lang, "response", False, "none", "own_acts")
                continue
            yield Row(act, lang, "prompt", True, category, "own_acts")
            for frame in _some(draw, frames["ask"], _HARMFUL_FRAMES):
                yield Row(frame.format(act), lang, "prompt", True, category, "own_acts")
            for frame in _some(draw, frames["about"], _HARMLESS_FRAMES):
                yield Row(frame.format(act), lang, "prompt", False, "none", "own_acts")
            for frame in _some(draw, frames["answer_harm"], 2):
                yield Row(frame.format(act), lang, "response", True, category, "own_acts")
            for frame in _some(draw, frames["answer_safe"], 2):
                yield Row(frame.format(act), lang, "response", False, "none", "own_acts")


def _templates(table: dict[str, Any], source: str, draw: random.Random) -> Iterator[Row]:
    slots = table["slots"]

    def filled(template: str) -> str:
        while _SLOT.search(template):
            template = _SLOT.sub(lambda slot: draw.choice(slots[slot[1]]), template)
        return template

    for is_harmful, part in ((True, "harmful"), (False, "benign")):
        for category, templates in table[part].items():
            for template in templates:
                texts = {filled(template) for _ in range(_TEMPLATE_COPIES)}
                for text in sorted(texts):
                    yield Row(text, table["lang"], "prompt", is_harmful, category, source)


def _some(draw: random.Random, frames: list[str], count: int) -> list[str]:
    return draw.sample(frames, min(count, len(frames)))
