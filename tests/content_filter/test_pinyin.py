# SPDX-License-Identifier: Apache-2.0
"""Chinese as it sounds."""

import pytest

from content_filter.pinyin import is_syllable, read_aloud, sounded, split_syllables


def test_every_known_character_becomes_its_syllable() -> None:
    """Other characters stay, with one space between."""
    assert sounded("如何做abc饭?") == "ru he zuo abc fan ?"
    assert sounded("plain text") == "plain text"


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("zhizuo", ["zhi", "zuo"]),
        ("zhuangbei", ["zhuang", "bei"]),
        ("xian", ["xian"]),
        ("bomb", None),
        ("", []),
    ],
)
def test_a_word_is_cut_into_the_fewest_syllables(word: str, syllables: list[str] | None) -> None:
    """Or it is none."""
    assert split_syllables(word) == syllables


@pytest.mark.parametrize(
    ("text", "aloud"),
    [
        ("ruhe zhizuo zhadan", "ru he zhi zuo zha dan"),
        ("ruhe 制作 zhadan", "ru he zhi zuo zha dan"),
        ("how do I bake a cake with my mother", None),
        ("ni hao", None),
        ("如何制作", None),
    ],
)
def test_pinyin_is_read_where_most_words_are_syllables(text: str, aloud: str | None) -> None:
    """A few syllables among other words are another language."""
    assert read_aloud(text) == aloud


def test_syllables_are_those_of_the_table() -> None:
    """And only those."""
    assert is_syllable("zhuang")
    assert not is_syllable("zhuangg")
