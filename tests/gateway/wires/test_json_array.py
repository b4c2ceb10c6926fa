# SPDX-License-Identifier: Apache-2.0
"""Streams that are one JSON array: the framing is exact in any split."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_array import ArrayReader
from tests.gateway.wires.driver import pieces

VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=6) | st.sampled_from(['"', "\\", '\\"', "}{", "][", ",", "禁😀"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ELEMENTS = st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=3), max_size=4)


def elements(body: bytes, cuts: list[int], limit: int = 10_000) -> list[bytes]:
    reader = ArrayReader(limit)
    found = [element for data in pieces(body, cuts) for element in reader.feed(data)]
    reader.close()
    return found


@given(ELEMENTS, st.booleans(), st.sampled_from(["", " ", "\r\n", "\n\t "]), st.lists(st.integers(0, 999), max_size=9))
def test_elements_are_the_same_in_any_split(trees: list[object], ascii_: bool, space: str, cuts: list[int]) -> None:
    """White space of any kind between them, escapes and brackets inside strings."""
    written = [json.dumps(tree, ensure_ascii=ascii_, indent=1 if space else None).encode() for tree in trees]
    gap = space.encode()
    body = gap + b"[" + gap + (gap + b"," + gap).join(written) + gap + b"]" + gap
    assert elements(body, cuts) == written


def test_every_element_leaves_with_its_last_byte() -> None:
    """Nothing waits for the comma behind it."""
    reader = ArrayReader(100)
    assert reader.feed(b'[{"a":1') == []
    assert reader.feed(b"}") == [b'{"a":1}']
    assert reader.feed(b',\r\n{"b":"}') == []
    assert reader.feed(b'\\"') == [] and reader.feed(b'"}]') == [b'{"b":"}\\""}']
    assert reader.is_done


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"[,]", b"[{},]", b"[{}{}]", b"[{}];", b"[[]]", b"x", b"[{}] []"])
def test_what_is_no_array_of_objects_is_a_bad_answer(body: bytes) -> None:
    """Whole or byte by byte."""
    for cuts in ([], list(range(len(body)))):
        with pytest.raises(BadAnswer, match="not_an_array"):
            elements(body, cuts)


@pytest.mark.parametrize("body", [b"", b"[", b"[{}", b'[{"a":"]', b"[{},"])
def test_an_array_that_is_not_closed_broke_off(body: bytes) -> None:
    """So that the record can say it."""
    with pytest.raises(BadAnswer, match="incomplete"):
        elements(body, [])


def test_one_element_is_bounded() -> None:
    """Open or complete; many small ones are not."""
    for body in (b'[{"a":"' + b"x" * 200, b'[{"a":"' + b"x" * 200 + b'"}]'):
        with pytest.raises(BadAnswer, match="event_too_large"):
            elements(body, [], limit=100)
    assert len(elements(b"[" + b",".join([b'{"a":1}'] * 99) + b"]", [], limit=100)) == 99
