# SPDX-License-Identifier: Apache-2.0
"""Windows follow from the text alone, cover it, and stay small."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from content_filter.windows import CONTEXT_CHARS, MOST_CHARS, SentenceWindows, Window

TEXTS = st.text(alphabet=st.sampled_from("ab 。.!?\n禁词:"), max_size=400)


def cut(text: str, cuts: list[int]) -> list[Window]:
    """The windows of `text`, fed in pieces."""
    windows, made = SentenceWindows(), []
    places = sorted({min(place, len(text)) for place in cuts} | {0, len(text)})
    for start, end in itertools.pairwise(places):
        made += windows.feed(text[start:end])
        covered = made[-1].end if made else 0
        assert covered + windows.pending == end
    return made + windows.close()


@given(TEXTS, st.lists(st.integers(0, 400), max_size=20))
def test_windows_do_not_depend_on_how_the_text_is_cut(text: str, cuts: list[int]) -> None:
    """Any chunking gives the windows of the whole text."""
    assert cut(text, cuts) == cut(text, [])


@given(TEXTS)
def test_windows_cover_the_text_with_its_context(text: str) -> None:
    """Each character is in one window; each window shows what stood before it."""
    windows = cut(text, [])
    assert "".join(text[window.start : window.end] for window in windows) == text
    for window in windows:
        assert 0 < window.end - window.start <= MOST_CHARS
        assert window.text == text[max(0, window.start - CONTEXT_CHARS) : window.end]


def test_a_sentence_is_a_window() -> None:
    """Chinese and English ends; a full stop in a number ends nothing."""
    assert [text for _, _, text in cut("好。Pi is 3.14 or so. Yes!", [])] == [
        "好。",
        "好。Pi is 3.14 or so. ",
        "好。Pi is 3.14 or so. Yes!",
    ]
