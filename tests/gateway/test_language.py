# SPDX-License-Identifier: Apache-2.0
"""Which language a person is addressed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.language import LANGUAGES, is_traditional, preferred


@pytest.mark.parametrize(
    ("header", "default", "expected"),
    [
        ("", "zh", "zh"),
        ("", "en", "en"),
        ("en", "zh", "en"),
        ("en-GB,en;q=0.9", "zh", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "en", "zh"),
        ("zh;q=0.3, en;q=0.7", "zh", "en"),
        ("fr, en;q=0.5", "zh", "en"),
        ("fr, de", "zh", "zh"),
        ("*", "en", "en"),
        ("fr, *;q=0.5", "zh", "zh"),
        ("en;q=0", "zh", "zh"),
        ("en;q=2", "zh", "zh"),
        ("en;q=nan", "zh", "zh"),
        ("en;q=x", "zh", "zh"),
        ("EN;Q=0.5", "zh", "en"),
        ("english", "zh", "zh"),
        (";;,,=", "zh", "zh"),
        ("zh,en", "en", "zh"),
    ],
)
def test_the_language_with_the_highest_weight_that_we_have_is_taken(header: str, default: str, expected: str) -> None:
    """RFC 9110 12.5.4: weights decide, order breaks ties, what is not understood counts as not said."""
    assert expected == preferred(header, default)


@given(st.text())
def test_any_header_gives_one_of_our_languages(header: str) -> None:
    """A header never breaks a page."""
    assert preferred(header) in LANGUAGES


@pytest.mark.parametrize(
    ("header", "is_hant"),
    [
        ("zh-TW", True), ("zh-hant", True), ("ZH-HK;q=0.9,en", True), ("zh-MO", True), ("zh-Hant-CN", True),
        ("zh", False), ("zh-CN,zh-TW;q=0.9", False), ("en", False), ("", False), ("zh-TW;q=0", False),
        ("zh-TW;q=x,zh-CN", False), ("*", False),
    ],
)  # fmt: skip
def test_traditional_chinese_is_told_by_its_tag(header: str, is_hant: bool) -> None:
    """The heaviest Chinese counts."""
    assert is_traditional(header) is is_hant
