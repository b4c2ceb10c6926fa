# SPDX-License-Identifier: Apache-2.0
"""Our own outlines cover the words of the usual labels and stay on their grid."""

import pytest

from labeling.explicit import glyphs

FIXED_WORDS = [
    *("AI生成", "AI合成", "AI生成合成", "人工智能生成", "人工智能合成", "人工智能生成合成", "人工智能生成合成内容"),
    *("本图由AI生成", "AI-generated", "AI generated content", "BY AI"),
]


@pytest.mark.parametrize("words", FIXED_WORDS)
def test_the_usual_labels_can_be_drawn_without_any_font(words: str) -> None:
    """A machine without Chinese fonts still labels."""
    assert glyphs.can_draw(words)


@pytest.mark.parametrize("words", ["由机器写成", "AI生成!"])
def test_other_words_are_not_claimed(words: str) -> None:
    """Half a label is no label."""
    assert not glyphs.can_draw(words)


@pytest.mark.parametrize("character", sorted(set(glyphs.GLYPHS) - {" "}))
def test_every_shape_stays_inside_its_advance_and_reaches_its_height(character: str) -> None:
    """Letters do not run into each other, and all but the hyphen are as tall as the ink height assumes."""
    width, strokes = glyphs.GLYPHS[character]
    xs = [x for stroke in strokes for x, _ in stroke]
    ys = [y for stroke in strokes for _, y in stroke]

    assert min(xs) >= glyphs.PEN // 2
    assert max(xs) <= width - glyphs.PEN // 2
    if character != "-":
        assert max(ys) - min(ys) + glyphs.PEN >= 85


def test_characters_stand_beside_each_other() -> None:
    """The layout gives each one its own span."""
    width, placed = glyphs.lay_out("AI生")

    assert [character for character, _, _ in placed] == ["A", "I", "生"]
    assert [left for _, left, _ in placed] == [0, 80, 116]
    assert width == 216
