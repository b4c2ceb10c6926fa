# SPDX-License-Identifier: Apache-2.0
"""Reading a client's JSON request: types are checked, texts are found, nothing of the client's is in an error."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.exchange import PromptText
from gateway.wires.interfaces import BadRequest
from gateway.wires.request import add_members, add_strings, read_object, typed


@pytest.mark.parametrize("body", [b"", b"secret", b"[]", b'"secret"', b'{"a": NaN}', b'{"a": "\xff"}'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """Without repeating it."""
    with pytest.raises(BadRequest) as caught:
        read_object(body)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("value", "kind"), [(1, str), ("x", int), (True, int), (1, bool), ({}, list), ([], dict), (1.5, int)]
)
def test_a_member_of_another_type_is_refused(value: Any, kind: type) -> None:
    """A boolean is no integer."""
    with pytest.raises(BadRequest) as caught:
        typed({"key": value}, "key", kind, where="outer")
    assert caught.value.param == "outer.key"


def test_a_member_may_be_absent_unless_it_is_required() -> None:
    """Null is absent."""
    assert typed({"key": None}, "key", str) is None
    assert typed({"key": "x"}, "key", str) == "x"
    with pytest.raises(BadRequest) as caught:
        typed({}, "key", str, required=True)
    assert caught.value.code == "missing_required_parameter"


def test_all_strings_but_those_skipped_are_collected() -> None:
    """In order, with paths that hold no name of the client's; keys inside a member are texts."""
    texts: list[PromptText] = []
    add_members({"known": "no", "theirs": {"key": ["a", 1]}, "later": "b"}, "x", "user", texts, ("known",))
    assert [(item.where, item.text) for item in texts] == [("x.1.0.key", "key"), ("x.1.0.0", "a"), ("x.2", "b")]


def test_what_is_nested_too_deeply_is_refused() -> None:
    """By the path, not by the text."""
    value: Any = "secret"
    for _ in range(300):
        value = [value]
    with pytest.raises(BadRequest) as caught:
        add_strings(value, "x", "user", [])
    assert caught.value.param == "x"
