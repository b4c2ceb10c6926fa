# SPDX-License-Identifier: Apache-2.0
"""Errors as OpenAI's SDKs parse them."""

from __future__ import annotations

import json

import httpx
import openai
import pytest

from gateway.wires.openai_errors import error_body, error_object


@pytest.mark.parametrize(
    ("status", "kind", "raised"),
    [
        (400, "invalid_request_error", openai.BadRequestError),
        (401, "authentication_error", openai.AuthenticationError),
        (404, "invalid_request_error", openai.NotFoundError),
        (422, "invalid_request_error", openai.UnprocessableEntityError),
        (429, "rate_limit_error", openai.RateLimitError),
        (501, "server_error", openai.InternalServerError),
        (502, "upstream_error", openai.InternalServerError),
        (503, "server_error", openai.InternalServerError),
    ],
)
def test_the_sdk_reads_code_message_and_place(status: int, kind: str, raised: type[openai.APIStatusError]) -> None:
    """The official client raises its own class and finds everything in it."""
    body = error_body(status, "a_code", "A fact. The next step.", "messages.0")
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body))
    client = openai.OpenAI(
        api_key="k", base_url="http://test/v1", max_retries=0, http_client=httpx.Client(transport=transport)
    )
    with client, pytest.raises(raised) as caught:
        client.models.list()
    error = caught.value
    assert (error.code, error.param, error.type) == ("a_code", "messages.0", kind)
    assert "A fact. The next step." in error.message


def test_no_place_is_null() -> None:
    """As the original says it."""
    assert error_object(500, "c", "m")["error"]["param"] is None
    assert json.loads(error_body(500, "c", "m")) == error_object(500, "c", "m")
