# SPDX-License-Identifier: Apache-2.0
"""An object as one text: what was not changed comes back as it was, what was changed in its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wires.arguments import ObjectSlot, object_text
from gateway.wires.frames import Frame
from gateway.wires.interfaces import BadAnswer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def slot_of(value: Any) -> tuple[dict[str, Any], ObjectSlot]:
    holder = {"arguments": value}
    return holder, ObjectSlot(Frame(holder), holder, "arguments", ())


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_an_object_that_nobody_changed_comes_back_itself(value: dict[str, Any]) -> None:
    """Emptied in between, as a writer does it."""
    holder, slot = slot_of(value)
    slot.put("")
    assert slot.value == "" or holder["arguments"] == {}
    slot.put(slot.value)
    assert holder["arguments"] is value


@given(st.dictionaries(TEXT.map(lambda text: "k" + text), VALUES, max_size=4))
def test_a_changed_character_is_changed_in_its_place(value: dict[str, Any]) -> None:
    """Keys and strings; numbers and the shape stay."""
    holder, slot = slot_of(value)
    changed = slot.value.replace("k", "*")
    slot.put(changed)
    if value:
        assert object_text(holder["arguments"]).count("k") == 0 or changed == slot.value
        assert len(holder["arguments"]) <= len(value)


def test_an_object_whose_texts_are_not_all_there_is_empty() -> None:
    """Half an object would look whole to a tool."""
    holder, slot = slot_of({"a": "b", "c": "d"})
    slot.put(slot.value[:3])
    assert holder["arguments"] == {}


def test_what_is_nested_too_deeply_is_refused() -> None:
    """By name."""
    value: Any = "x"
    for _ in range(100):
        value = [value]
    with pytest.raises(BadAnswer):
        object_text(value)
