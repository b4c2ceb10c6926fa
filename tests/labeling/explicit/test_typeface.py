# SPDX-License-Identifier: Apache-2.0
"""The font is chosen with open eyes and its ink is measured, not believed."""

from pathlib import Path

import pytest
from PIL import ImageFont

from labeling.errors import LabelError
from labeling.explicit import typeface
from labeling.explicit.typeface import FontFile, Outlines, choose, ink_height

PILLOW_FONT = ImageFont.load_default(20)


@pytest.fixture
def latin_font(tmp_path: Path) -> Path:
    """A real font without Chinese characters: the one that Pillow carries."""
    path = tmp_path / "latin.ttf"
    path.write_bytes(PILLOW_FONT.font_bytes)
    return path


@pytest.mark.parametrize("ink_px", [5, 9, 12, 33, 52, 128])
@pytest.mark.parametrize("words", ["AI生成", "人工智能合成", "AI-generated"])
def test_our_outlines_reach_the_height_they_are_asked_for(words: str, ink_px: int) -> None:
    """Every letter, not only the tallest, and not much more than asked."""
    drawing = Outlines().draw([words], ink_px)

    assert ink_px <= drawing.smallest_ink_px <= ink_px + max(4, ink_px // 5)
    assert len(drawing.character_boxes) == sum(character.isalnum() for character in words)


@pytest.mark.parametrize("ink_px", [9, 30, 77])
def test_a_font_is_enlarged_until_its_smallest_letter_reaches_the_height(latin_font: Path, ink_px: int) -> None:
    """A font size of N gives letters of less than N: size is not height."""
    drawing = FontFile(str(latin_font)).draw(["AI made"], ink_px)
    tallest = max(ink_height(drawing.mask.crop(box)) for box in drawing.character_boxes)

    assert drawing.smallest_ink_px >= ink_px
    assert tallest > drawing.smallest_ink_px


def test_lines_stand_below_each_other_without_touching() -> None:
    """Two lines are as tall as two letters and more."""
    drawing = Outlines().draw(["AI", "生成"], 20)

    assert drawing.mask.height >= 2 * 20
    assert drawing.character_boxes[0][3] <= drawing.character_boxes[2][1]


def test_a_font_without_the_characters_is_not_chosen(latin_font: Path) -> None:
    """Empty boxes in place of a label would look like a label to nobody."""
    assert FontFile(str(latin_font)).has("AI")
    assert not FontFile(str(latin_font)).has("AI生成")
    assert isinstance(choose("AI生成", search=[str(latin_font)]), Outlines)
    assert isinstance(choose("AI MADE", search=[str(latin_font)]), FontFile)


def test_without_any_font_the_own_outlines_are_chosen() -> None:
    """The last fallback."""
    assert isinstance(choose("人工智能生成", search=[]), Outlines)


def test_words_that_nothing_can_draw_are_refused() -> None:
    """At start-up, not at the first picture."""
    with pytest.raises(LabelError, match="configure a font"):
        choose("龘龘生成", search=[])


def test_a_configured_font_that_lacks_a_character_is_a_mistake_that_is_said(latin_font: Path) -> None:
    """The operator chose it; replacing it silently would hide the mistake."""
    with pytest.raises(LabelError, match="lacks a character"):
        choose("AI生成", latin_font)


def test_a_configured_font_that_is_no_font_is_said(tmp_path: Path) -> None:
    """A wrong path or a wrong file."""
    wrong = tmp_path / "wrong.ttf"
    wrong.write_bytes(b"no font")
    for path in (wrong, tmp_path / "missing.ttf"):
        with pytest.raises(LabelError, match="cannot be read"):
            choose("AI", path)


def test_a_broken_installed_font_is_passed_over(tmp_path: Path) -> None:
    """One bad file on the machine must not stop labelling."""
    (tmp_path / "a.ttf").write_bytes(b"no font")

    assert isinstance(choose("AI生成", search=[str(tmp_path / "*")]), Outlines)


def test_system_fonts_are_found_by_their_patterns(tmp_path: Path, latin_font: Path) -> None:
    """Only font files count."""
    (tmp_path / "x.txt").write_bytes(b"")

    assert typeface._matching([str(tmp_path / "*")]) == [str(latin_font)]
