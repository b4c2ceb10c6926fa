# SPDX-License-Identifier: Apache-2.0
"""The tables map what looks alike, one way, to one thing."""

from content_filter.lookalikes import HOMOGLYPHS, LEET, PARTS


def test_homoglyphs_go_from_other_scripts_to_one_latin_letter() -> None:
    """Never from Latin, and case is kept apart by the table."""
    assert all(len(other) == len(latin) == 1 for other, latin in HOMOGLYPHS.items())
    assert all(latin.isascii() and latin.isalpha() and not other.isascii() for other, latin in HOMOGLYPHS.items())


def test_signs_stand_for_small_letters() -> None:
    """No letter stands for another."""
    assert all(not sign.isalpha() and letter.islower() for sign, letter in LEET.items())


def test_two_parts_make_one_character() -> None:
    """With the parts as radicals, and as the characters that people without them type."""
    assert all(len(parts) == 2 and len(whole) == 1 and whole not in parts for parts, whole in PARTS.items())
    assert PARTS["火乍"] == "炸"
    assert PARTS["讠乍"] == PARTS["言乍"] == "诈"
    assert len(PARTS) > 250
