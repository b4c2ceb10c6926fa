# SPDX-License-Identifier: Apache-2.0
"""OpenAI moderations: what is to be judged passes, and is recorded."""

from __future__ import annotations

import json
from typing import Any

import openai
import orjson
import pytest

from gateway.wires.interfaces import BadRequest
from gateway.wires.openai_moderations import PATH, OpenAIModerations
from tests.conftest import RunningGateway
from tests.upstreams.scripted import Script, ScriptedUpstream

WIRE = OpenAIModerations()


@pytest.mark.parametrize("value", ["a 禁词", ["a", "b"], [{"type": "text", "text": "禁词"}]])
def test_what_is_to_be_judged_is_not_judged_here(value: Any) -> None:
    """No text of it is checked, and all of it goes on."""
    request = {"model": "m", "input": value}
    prompt = WIRE.read_request(PATH, "", orjson.dumps(request))
    assert prompt.texts == []
    assert json.loads(WIRE.call(PATH, "", prompt).body) == request


@pytest.mark.parametrize("request_", [{}, {"input": 1}, {"input": "x", "model": 3}])
def test_a_bad_request_is_refused(request_: dict[str, Any]) -> None:
    """The typed checks."""
    with pytest.raises(BadRequest):
        WIRE.read_request(PATH, "", orjson.dumps(request_))


def test_the_official_sdk_gets_the_judgement(shared_gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """Also of a text that this service would not have given to a model."""
    upstream.reset()
    result = {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}}
    upstream.queued.append(Script.of({"body": {"id": "modr-1", "model": "m", "results": [result]}}))
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0) as client:
        raw = client.moderations.with_raw_response.create(model="m", input="a 禁词")
    assert raw.parse().results[0].flagged
    assert shared_gateway.record(raw.headers["duty-record"])["record"]["wire"] == "openai_moderations"
    assert upstream.seen[0].path == PATH
