# SPDX-License-Identifier: Apache-2.0
"""Escapes in fragments of JSON: written out in any split, and the JSON means the same."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wires.json_fragment import Unescaper

VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def unescaped(text: str, cuts: list[int]) -> str:
    unescaper = Unescaper()
    edges = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    out = "".join(unescaper.feed(text[first:last]) for first, last in pairwise(edges))
    return out + unescaper.close()


@given(VALUES, st.lists(st.integers(0, 999), max_size=9))
def test_the_json_means_the_same_and_the_text_is_plain(value: object, cuts: list[int]) -> None:
    """What a tool reads is what the guard read, surrogate pairs included."""
    out = unescaped(json.dumps(value), cuts)
    assert json.loads(out) == value
    assert out == unescaped(json.dumps(value), [])
    assert out == json.dumps(value, ensure_ascii=False).replace("\\u007f", "\x7f")


@given(st.text('\\u"dD8cC00f禁/ n', max_size=30), st.lists(st.integers(0, 99), max_size=9))
def test_what_is_no_json_comes_out_the_same_in_any_split(text: str, cuts: list[int]) -> None:
    """Lone surrogates, cut escapes and backslashes of all kinds: never lost, never decided by the split."""
    assert unescaped(text, cuts) == unescaped(text, [])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (r'{"a":"\u7981\u8bcd"}', '{"a":"禁词"}'),
        (r'"\u0041\/b"', '"A/b"'),
        (r'"\\u7981"', r'"\\u7981"'),
        (r'"\u0022\u005c\u000a\n"', r'"\u0022\u005c\u000a\n"'),
        (r'"\ud83d\ude00"', '"😀"'),
        (r'"\ud83d"', r'"\ud83d"'),
        (r'"\ude00"', r'"\ude00"'),
        (r'"\ud83d\u7981"', r'"\ud83d禁"'),
        (r'"\uzzzz"', r'"\uzzzz"'),
    ],
)
def test_only_escapes_that_need_not_be_are_written_out(text: str, wanted: str) -> None:
    """Quotes, backslashes, control characters and lone surrogates stay escaped."""
    for cut in range(len(text)):
        assert unescaped(text, [cut]) == wanted
    assert unescaped(text, list(range(len(text)))) == wanted


def test_at_most_eleven_characters_wait() -> None:
    """Half a surrogate pair and an escape that is not complete."""
    unescaper = Unescaper()
    assert unescaper.feed(r"abc\ud83d\ude0") == "abc"
    assert unescaper.feed("0") == "😀"
    assert unescaper.close() == ""
