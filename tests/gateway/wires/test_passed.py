# SPDX-License-Identifier: Apache-2.0
"""Answers that no model generates go through as the bytes that came."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import End, Finish
from gateway.wires.interfaces import BadAnswer
from gateway.wires.passed import PassedReader, PassedWriter
from tests.gateway.wires.driver import pieces

BODY = b'{ "embedding": [1e-3, 0.50], "big": 123456789012345678901234567890, "text": "\\u7981" }'


@given(st.lists(st.integers(0, 200), max_size=6))
def test_the_document_goes_through_byte_for_byte(cuts: list[int]) -> None:
    """In any reads; not a byte before its end."""
    reader, writer = PassedReader(), PassedWriter()
    for piece in pieces(BODY, cuts):
        assert reader.feed(piece) == []
    assert writer.write(reader.close()) == BODY


@pytest.mark.parametrize(("body", "code"), [(b"", "invalid_json"), (b"{", "invalid_json"), (b"[]", "not_an_object")])
def test_what_is_no_document_is_a_bad_answer(body: bytes, code: str) -> None:
    """Half a document never leaves."""
    reader = PassedReader()
    reader.feed(body)
    with pytest.raises(BadAnswer) as caught:
        reader.close()
    assert caught.value.code == code


def test_only_a_document_is_written() -> None:
    """An end without one writes nothing, and a broken one neither."""
    writer = PassedWriter()
    assert writer.write([Finish(0, "stop"), End()]) == b""
    assert writer.broken("c", "m") == b""
    assert json.loads(writer.keep_alive() + BODY) == json.loads(BODY)
