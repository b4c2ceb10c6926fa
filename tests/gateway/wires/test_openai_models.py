# SPDX-License-Identifier: Apache-2.0
"""The list of models passes through: no model generates it, so no duty about answers touches it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.wires.interfaces import BadAnswer
from gateway.wires.openai_models import PATH, OpenAIModels
from tests.gateway.wires.driver import answer, ask, pieces

WIRE = OpenAIModels()
BODY = b'{"object": "list", "data": [{"id": "m", "note": "\\u7981\\u8bcd"}], "big": 123456789012345678901234567890}'


@given(st.lists(st.integers(0, 200), max_size=5))
def test_the_document_goes_through_as_it_came(cuts: list[int]) -> None:
    """Byte for byte, in any reads: no label, no filter, no notice."""
    exchange = ask(WIRE, PATH, b"", head_notice="Hello.")
    assert exchange.prompt is not None
    reader, writer = WIRE.reader(exchange.prompt, 1_024), WIRE.writer(exchange)
    events = [event for piece in pieces(BODY, cuts) for event in reader.feed(piece)]
    assert writer.write([*events, *reader.close()]) == BODY


def test_nothing_is_asked_of_a_model() -> None:
    """No texts, no stream, no label, whatever a client puts into the body of a GET."""
    exchange = ask(WIRE, PATH, b"anything")
    assert exchange.prompt is not None and exchange.prompt.texts == [] and not exchange.prompt.stream
    assert not WIRE.is_generative and exchange.label is None


def test_path_and_query_reach_the_upstream() -> None:
    """A single model as well as the list."""
    exchange = ask(WIRE, f"{PATH}/m", b"", "limit=2")
    assert exchange.prompt is not None
    call = WIRE.call(f"{PATH}/m", "limit=2", exchange.prompt)
    assert (call.method, call.path, call.body) == ("GET", "/v1/models/m?limit=2", b"")
    assert WIRE.call(PATH, "", exchange.prompt).path == PATH


@pytest.mark.parametrize(("body", "code"), [(b"{", "invalid_json"), (b"", "invalid_json"), (b"[]", "not_an_object")])
def test_what_is_no_document_is_a_bad_answer(body: bytes, code: str) -> None:
    """A client never gets half a document."""
    with pytest.raises(BadAnswer) as caught:
        answer(WIRE, ask(WIRE, PATH, b""), [body])
    assert caught.value.code == code


def test_errors_are_openais() -> None:
    """There is no in-band form of a refusal."""
    exchange = ask(WIRE, PATH, b"")
    refusal = Refusal(Decision("identify", Verdict.BLOCK, Action.REFUSE), status=401, code="c", message="m")
    assert WIRE.refusal(exchange, refusal) is None
    assert json.loads(WIRE.error(401, "c", "m"))["error"]["type"] == "authentication_error"
    assert json.loads(WIRE.writer(exchange).broken("c", "m"))["error"]["code"] == "c"
    assert json.loads(WIRE.writer(exchange).keep_alive() + b"{}") == {}
