# SPDX-License-Identifier: Apache-2.0
"""A member that names something passes only while it holds a name: no wire has a place where words go unread."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wires import BadAnswer, Table
from gateway.wires.names import is_mere, is_name
from tests.conformance.model import Asked, Piece, Said
from tests.conformance.wires.table import WIRES
from tests.gateway.wires.driver import TERM, answer, ask

NAMING = frozenset(
    {
        "id", "object", "model", "system_fingerprint", "service_tier", "obfuscation", "finish_reason", "role", "type",
        "status", "item_id", "created", "usage", "stop_reason", "modelVersion", "responseId", "createTime",
        "created_at", "finishReason", "usageMetadata", "done_reason", "request_id", "remote_model",
    }
)  # fmt: skip


@pytest.mark.parametrize("text", ["", "chatcmpl-1", "gpt-5.1", "qwen/qwen3:8b", "2026-11-21T10:00:00.123Z", "a" * 256])
def test_a_name_is_a_name(text: str) -> None:
    """What APIs call their answers, models and times."""
    assert is_name(text) and is_mere(text)


@pytest.mark.parametrize("text", ["a b", "通义千问", "a\n", "a" * 257 + ".", "<b>", '"', "é"])
def test_what_could_be_words_is_no_name(text: str) -> None:
    """White space, other scripts, and anything too long."""
    assert not is_name(text) and not is_mere(text)


def test_encoded_bytes_are_mere_at_any_length() -> None:
    """A signature, in either alphabet of base64."""
    assert is_mere("QUJD" * 5_000 + "QQ==") and is_mere("_-" * 500)
    assert not is_mere("QUJD" * 500 + "QQ===")


@given(st.recursive(st.integers() | st.none() | st.sampled_from(["stop", "a b"]), lambda inner: st.lists(inner)
                    | st.dictionaries(st.sampled_from(["id", "x y"]), inner), max_leaves=8))  # fmt: skip
def test_a_structure_is_mere_where_all_in_it_is(value: Any) -> None:
    """Its keys too."""
    spelt = json.dumps(value)
    assert is_mere(value) == ("a b" not in spelt and "x y" not in spelt)


def test_a_structure_that_goes_too_deep_is_not_mere() -> None:
    """Nobody looks that far."""
    value: Any = "x"
    for _ in range(100):
        value = [value]
    assert not is_mere(value)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    pairs = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in pairs:
        if key in NAMING:
            yield tree, key
        yield from _places(value)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", WIRES)
def test_words_in_a_naming_member_do_not_leave(name: str, stream: bool) -> None:
    """Of every wire, in every document that names something, as text and in a structure."""
    adapter = WIRES[name]()
    asked = Asked(stream=stream)
    told = adapter.tell(asked, Said((Piece("It is a "), Piece("fine day."))))
    made = adapter.request(asked)
    path, _, query = made.path.partition("?")
    headers = tuple((key.lower().encode(), value.encode()) for key, value in made.headers.items())
    wire = Table().find("POST", path)
    assert wire is not None
    tried = 0
    for number, frame in enumerate(told.frames):
        start, end = frame.find(b"{"), frame.rfind(b"}") + 1
        if start < 0:
            continue
        count = len(list(_places(json.loads(frame[start:end]))))
        for place in range(count):
            for value in (f"a {TERM}", [TERM], {TERM: 1}):
                tree = json.loads(frame[start:end])
                holder, key = list(_places(tree))[place]
                holder[key] = value
                spelt = frame[:start] + json.dumps(tree, ensure_ascii=False).encode() + frame[end:]
                exchange = ask(wire, path, json.dumps(made.body).encode(), query, headers=headers)
                reads = [*told.frames[:number], spelt, *told.frames[number + 1 :]]
                tried += 1
                try:
                    got = answer(wire, exchange, reads).body.decode()
                except BadAnswer:
                    continue
                assert TERM not in got and json.dumps(TERM)[1:-1] not in got, (number, key, value)
    assert tried >= 3
