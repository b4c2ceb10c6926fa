# SPDX-License-Identifier: Apache-2.0
"""Frames know every text in a document and where it stands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import Channel, Lane
from gateway.wires.frames import (
    At,
    Attachment,
    Ending,
    Frame,
    Lanes,
    Slot,
    built,
    joined_strings,
    mere_names,
    odd_keys,
    odd_names,
    unknown_texts,
)
from gateway.wires.interfaces import BadAnswer

NOTHING: frozenset[str] = frozenset()
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=10,
)
paths = st.lists(st.sampled_from("abc") | st.integers(0, 3).map(At), min_size=0, max_size=4).map(
    lambda steps: ("root", *steps)
)


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def found(value: Any) -> list[str]:
    """Every text that is not empty, by hand."""
    if isinstance(value, str):
        return [value] if value else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in found(item)]


@given(st.dictionaries(st.sampled_from("abcd"), values, max_size=4))
def test_every_text_below_an_unknown_field_is_found_at_its_place(tree: dict[str, Any]) -> None:
    """What the guard is given is what stands in the document, and what is put back lands there."""
    texts = list(unknown_texts(tree, (), NOTHING))
    assert sorted(text for _, _, text, _ in texts) == sorted(found(tree))
    for container, key, text, _ in texts:
        assert container[key] == text
        container[key] = "*"
    assert set(found(tree)) <= {"*"}


def test_known_members_are_left_to_the_codec() -> None:
    """They have lanes of their own; of the same name deeper down the codec knows nothing, mere names apart."""
    tree = {"content": "a", "id": "b", "other": {"content": "c", "id": "d", "type": {"x": "e"}, "more": "f"}}
    assert [text for *_, text, _ in unknown_texts(tree, (), frozenset({"content", "id", "type"}))] == ["c", "e", "f"]


def test_what_does_not_look_like_a_name_is_looked_at_and_can_be_taken_out() -> None:
    """Values of naming members, and names of members, wherever they stand."""
    tree = {"id": "a", "model": "a b", "usage": {"n": 1, "x y": 2}, "more": {"z z": [{"k k": 1}]}}
    frame = Frame(tree)
    found = [*odd_names(frame, tree, ("id", "model", "usage", "none")), *odd_keys(frame, tree, frozenset({"usage"}))]
    assert [event.texts for event in found] == [("a b",), ("n", "x y"), ("z z",), ("k k",)]
    assert mere_names(tree, ("id", "model", "none")) == {"id": "a"}
    for event in reversed(found):
        assert isinstance(event.carrier, Attachment)
        event.carrier.put(None)
    assert tree == {"id": "a", "model": None, "usage": None, "more": {}}


def test_an_element_is_named_by_its_index_where_it_has_one() -> None:
    """Deltas of one element are one text, at whatever position of the array they come."""
    tree = {"parts": [{"index": 3, "x": "a"}, {"x": "b"}, "c"]}
    assert [at for *_, at in unknown_texts(tree, (), NOTHING)] == [
        ("parts", At(3), "x"),
        ("parts", At(1), "x"),
        ("parts", At(2)),
    ]


@pytest.mark.parametrize(
    "walk", [lambda value: list(unknown_texts(value, (), NOTHING)), lambda v: list(joined_strings(v))]
)
def test_nesting_without_end_is_refused(walk: Any) -> None:
    """A document may not make us recurse for ever."""
    walk(nested(60))
    with pytest.raises(BadAnswer) as caught:
        walk(nested(100))
    assert caught.value.code == "nested_too_deeply"


@given(paths, st.text(min_size=1, max_size=5))
def test_a_small_document_says_its_text_at_its_path(path: tuple[str | At, ...], text: str) -> None:
    """And nothing else is said in it."""
    document = built(path, text)
    assert found(document) == [text]
    value: Any = document
    for step in path:
        if isinstance(step, At):
            (value,) = value
            if isinstance(value, dict):
                assert value["index"] == step.index
        else:
            value = value[step]
    assert value == text


def test_a_path_must_begin_with_a_name() -> None:
    """A document is an object."""
    with pytest.raises(BadAnswer):
        built((At(0),), "x")


def test_unknown_fields_have_lanes_of_their_own_and_not_without_end() -> None:
    """The same path is the same lane; an upstream cannot make endless guards."""
    lanes = Lanes()
    first, second = lanes.other(0, ("a",)), lanes.other(0, ("b",))
    assert first != second
    assert lanes.other(0, ("a",)) == first == Lane(0, Channel.OTHER, first.item)
    assert lanes.other(1, ("a",)) != first
    with pytest.raises(BadAnswer) as caught:
        for number in range(Lanes.MOST + 1):
            lanes.other(0, (f"f{number}",))
    assert caught.value.code == "too_many_fields"


def test_parts_stand_in_the_order_in_which_they_were_found() -> None:
    """The writer compares what came through with what was there."""
    tree = {"text": "a", "more": 1, "end": "stop"}
    frame = Frame(tree, b"raw")
    parts = [
        Slot(frame, tree, "text", "a", ("text",)),
        Attachment(frame, tree, "more", 1),
        Ending(frame, tree, "end", "stop"),
    ]
    assert frame.parts == parts
    parts[0].put("b")
    assert tree["text"] == "b" and parts[0].value == "a"


@given(values)
def test_texts_that_are_checked_whole_are_all_there(value: Any) -> None:
    """Strings only, keys left out."""
    assert [text for text in joined_strings(value) if text] == found(value)
