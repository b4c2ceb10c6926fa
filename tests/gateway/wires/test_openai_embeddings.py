# SPDX-License-Identifier: Apache-2.0
"""OpenAI embeddings: inputs are checked, vectors pass."""

from __future__ import annotations

import json
from typing import Any

import openai
import orjson
import pytest

from gateway.wires.interfaces import BadAnswer, BadRequest
from gateway.wires.openai_embeddings import PATH, OpenAIEmbeddings
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import ask, read
from tests.upstreams.scripted import Script, ScriptedUpstream

WIRE = OpenAIEmbeddings()


@pytest.mark.parametrize("value", ["one", ["one", "two"]])
def test_every_input_is_a_text(value: Any) -> None:
    """And what a later version adds is one too; what was checked is what the model gets."""
    request = {"model": "m", "input": value, "user": "nobody", "instruction": "later"}
    prompt = WIRE.read_request(PATH, "", orjson.dumps(request))
    assert {item.text for item in prompt.texts} == {"later", *([value] if isinstance(value, str) else value)}
    assert json.loads(WIRE.call(PATH, "", prompt).body) == request


@pytest.mark.parametrize("value", [None, [1, 2], [[1, 2], [3]], 5, {"a": "b"}, ["one", 1]])
def test_inputs_that_cannot_be_read_are_refused(value: Any) -> None:
    """Token numbers may say anything."""
    with pytest.raises(BadRequest) as caught:
        WIRE.read_request(PATH, "", orjson.dumps({"model": "m", "input": value}))
    assert caught.value.param == "input"


def test_an_answer_that_is_no_document_is_refused() -> None:
    """The reader takes one JSON object."""
    exchange = ask(WIRE, PATH, b'{"model": "m", "input": "x"}')
    for body in (b"[1]", b"oops"):
        with pytest.raises(BadAnswer):
            read(WIRE, exchange, [body])


def test_the_official_sdk_gets_its_vectors(shared_gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """Byte for byte, with a record; a forbidden input never reaches the model."""
    upstream.reset()
    body = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.5]}], "model": "m",
            "usage": {"prompt_tokens": 1, "total_tokens": 1}}  # fmt: skip
    upstream.queued.append(Script.of({"body": body}))
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0) as client:
        raw = client.embeddings.with_raw_response.create(model="m", input=["你好"], encoding_format="float")
        assert raw.parse().data[0].embedding == [0.25, -1.5]
        assert shared_gateway.record(raw.headers["duty-record"])["record"]["outcome"] == "completed"
        assert upstream.seen[0].path == PATH
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model="m", input=["fine", "禁词"])
    assert caught.value.code == "content_filter"
    assert "禁词" not in str(caught.value)
    assert len(upstream.seen) == 1
