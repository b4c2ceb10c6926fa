# SPDX-License-Identifier: Apache-2.0
"""The guard reads JSON text as the program that parses it will."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.json_view import JsonPlace, JsonView, decoded

TEXT = st.text(alphabet=st.sampled_from('ab禁词\\"\n\U0001f600/u00'), max_size=30)


def spelt(text: str, escaped: list[bool]) -> str:
    """`text` as the inside of a JSON string, some characters as escapes."""
    out = []
    for character, as_escape in zip(text, escaped, strict=False):
        if as_escape or character in '"\\\n':
            units = character.encode("utf-16-be")
            out.append("".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)))
        else:
            out.append(character)
    return "".join(out)


@given(TEXT, st.lists(st.booleans(), min_size=30, max_size=30), st.lists(st.integers(0, 200), max_size=8))
def test_escapes_are_read_through_in_any_chunking(text: str, escaped: list[bool], cuts: list[int]) -> None:
    """The decoded view equals what a JSON parser reads, and offsets map back to where each character began."""
    raw = spelt(text, escaped)
    assert json.loads(f'"{raw}"') == text
    view, seen = JsonView(), ""
    places = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    for start, end in itertools.pairwise(places):
        seen += view.feed(raw[start:end])
    seen += view.close()
    assert seen == text
    for offset in range(len(text)):
        assert decoded(raw[view.raw(offset) :]) == text[offset:]
    assert view.raw(len(text)) == len(raw)


@given(st.text(max_size=40), st.lists(st.integers(0, 40), max_size=8))
def test_any_text_gives_the_same_view_in_any_chunking(raw: str, cuts: list[int]) -> None:
    """Broken escapes too: they are no escapes, and nothing is lost."""
    view, seen = JsonView(), ""
    places = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    for start, end in itertools.pairwise(places):
        seen += view.feed(raw[start:end])
    assert seen + view.close() == decoded(raw)


def test_what_is_not_needed_is_forgotten() -> None:
    """A long text with many escapes keeps a bounded table."""
    view = JsonView()
    for _ in range(10_000):
        view.feed("\\u7981 ")
        view.forget(view._total)
    assert len(view._jumps) < 200


VALUES = st.recursive(
    st.text(max_size=6) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.integers(1, 9))
def test_whether_a_place_is_inside_a_string_does_not_depend_on_the_cuts(value: object, size: int) -> None:
    """At the end of JSON it is outside; within, it is inside exactly between the quotes of a string."""
    text = json.dumps(value, ensure_ascii=False)
    whole, cut = JsonPlace(), JsonPlace()
    inside = []
    for at in range(len(text)):
        inside.append(whole.is_inside)
        whole.feed(text[at])
    for at in range(0, len(text), size):
        assert cut.is_inside is inside[at]
        cut.feed(text[at : at + size])
    assert not whole.is_inside and not cut.is_inside
    outside = "".join(character for character, within in zip(text, inside, strict=True) if not within)
    assert set(outside) <= set('"[]{}:, -0123456789')
