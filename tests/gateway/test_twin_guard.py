# SPDX-License-Identifier: Apache-2.0
"""Whichever way a program reads a lane, no forbidden word leaves it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from content_filter import ContentFilter, TermSet
from gateway.json_view import decoded
from gateway.twin_guard import TwinGuard

JUDGE = ContentFilter(TermSet.of(("fbad", "A1a"), ("禁词", "A1d"), ("mask", "A4f", "mask")))
TEXTS = st.text(alphabet=st.sampled_from('fbadmsk禁词\\un7981bc {}"'), max_size=40) | st.lists(
    st.sampled_from(
        ["fbad", "\\fbad", "\\u7981\\u8bcd", "\\u7981", "\\u8bcd", "禁词", "mask", "\\u006dask", "\\", "x "]
    ),
    max_size=8,
).map("".join)


def released(text: str, cuts: list[int]) -> tuple[str, bool]:
    """What leaves of `text`, masked, in any chunking; and whether it was stopped."""
    guard, out, at = TwinGuard(JUDGE.guard(), JUDGE.guard()), "", 0
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    steps = [guard.feed(text[start:end]) for start, end in pairwise(places)]
    for step in [*steps, *guard.close()]:
        piece = list(text[at : step.release])
        for span in step.replacements:
            assert at <= span.start < span.end <= step.release
            piece[span.start - at : span.end - at] = "*" * (span.end - span.start)
        out += "".join(piece)
        at = step.release
        if step.match is not None:
            return out, True
    return out, False


@given(TEXTS, st.lists(st.integers(0, 60), max_size=12))
def test_neither_reading_lets_a_word_out(text: str, cuts: list[int]) -> None:
    """Written or decoded, in any chunking: stopped if and only if a block term stands in one of the readings."""
    out, is_stopped = released(text, cuts)
    for reading in (out, decoded(out)):
        assert "fbad" not in reading
        assert "禁词" not in reading
        assert "mask" not in reading
    forbidden = any(word in reading for reading in (text, decoded(text)) for word in ("fbad", "禁词"))
    assert is_stopped == forbidden
    if not is_stopped:
        assert len(out) == len(text)


@given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=12))
def test_harmless_text_leaves_as_it_came(text: str, cuts: list[int]) -> None:
    """Byte for byte."""
    if JUDGE.matcher.is_clean([text, decoded(text)]):
        assert released(text, cuts) == (text, False)
