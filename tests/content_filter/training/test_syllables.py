# SPDX-License-Identifier: Apache-2.0
"""The table of sounds is made from frequencies and readings."""

import json
from pathlib import Path

from content_filter.training.syllables import CHARACTERS, syllables

TABLE = Path(__file__).parents[3] / "content_filter" / "weights" / "pinyin.json"


def test_the_commonest_characters_stand_first_under_one_reading() -> None:
    """Other scripts and readings that are no letters are left out."""
    readings = {"马": "ma", "妈": "ma", "女": "nü", "嗯": "ń"}
    words = [("妈妈", 5), ("马", 4), ("女马", 3), ("嗯", 9), ("abc", 99)]

    assert syllables(words, lambda char: readings[char]) == {"ma": "妈马", "nv": "女"}
    assert syllables(words, lambda char: readings[char], most=2) == {"ma": "妈"}


def test_the_shipped_table_has_every_character_once() -> None:
    """As made by this module."""
    table = json.loads(TABLE.read_text("utf-8"))
    characters = "".join(table.values())

    assert CHARACTERS - 10 < len(characters) == len(set(characters)) <= CHARACTERS
    assert all(syllable.isascii() and syllable.isalpha() for syllable in table)
