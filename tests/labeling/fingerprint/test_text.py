# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of texts in Chinese and English."""

from __future__ import annotations

import pytest

from labeling.fingerprint.text import LEAST_WORDS, text_print

EN = (
    "A gateway stands in front of a model and does what the law asks of every answer. It tells people that a machine "
    "speaks, it stops what may not be said, it puts labels on texts, pictures and sounds, and it writes down what it "
    "did so that an auditor can check it years later without trusting anyone who runs the service. When a label is "
    "lost on the way, a fingerprint may still lead back to the record of the answer, as long as the words are there."
)
ZH = (
    "网关位于模型之前，对每一个回答履行法律所要求的义务：告知用户正在与人工智能交互，阻止不得生成的内容，为文字、图片和声音添加标识，"
    "并把所做的一切记录下来，使审计人员多年以后无须信任服务运营者也能核查。标识在传播中丢失时，只要文字仍在，特征值就可能指回原来的记录。"
)
OTHER = (
    "Bread needs flour, water, salt and time. Mix them in the evening, leave the dough in a cool place at night, fold "
    "it twice in the morning and bake it in a hot oven until the crust is brown and sounds hollow when you knock on it."
)


@pytest.mark.parametrize(("text", "label"), [(EN, "AI-generated content"), (ZH, "（AI生成）")])
def test_a_label_case_and_spacing_change_nothing_that_matters(text: str, label: str) -> None:
    """What lies around the words and how they are set does not count; a line more or less hardly does."""
    known = text_print(text)
    shown = text_print(f"{label}\n\n> " + text.upper().replace(" ", "\n").replace("，", " , "))
    assert known is not None and shown is not None
    assert known.is_like(shown)


@pytest.mark.parametrize("text", [EN, ZH])
def test_most_of_a_text_is_found(text: str) -> None:
    """Three quarters of it, cut out."""
    known, shown = text_print(text), text_print(text[: len(text) * 3 // 4])
    assert known is not None and shown is not None and known.is_like(shown)


def test_strangers_are_not_like() -> None:
    """Other words, other languages."""
    prints = [made for made in (text_print(text) for text in (EN, ZH, OTHER)) if made is not None]
    assert len(prints) == 3
    assert not any(one.is_like(other) for one in prints for other in prints if one is not other)


def test_a_short_text_has_none() -> None:
    """Anybody may have written it."""
    assert text_print("It is " * (LEAST_WORDS // 2 - 1)) is None
    assert text_print("") is None and text_print("，。！？" * 100) is None
    assert text_print("words in a row " * LEAST_WORDS) is not None


def test_a_long_text_is_read_to_a_limit() -> None:
    """Its beginning stands for the whole."""
    numbers = " ".join(str(number) for number in range(30_000))
    known, shown = text_print(numbers), text_print(numbers + " and more")
    assert known is not None and known == shown
