# SPDX-License-Identifier: Apache-2.0
"""The sample model reads a request as OpenAI's API does, and refuses by the name of the field."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sample_request import SampleError, read, tokens

EN = [{"role": "user", "content": "Where does xylophonequux live?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
        },
    },
}
SECRET = "zqsecretword"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [SECRET]}, "messages[0]"),
        ({"messages": [{"role": SECRET, "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": SECRET}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": []}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id"),
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": 129}, "n"),
        ({"stream": SECRET}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": SECRET}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"stop": ["a", ""]}, "stop"),
        ({"stop": 5}, "stop"),
        ({"reasoning_effort": SECRET}, "reasoning_effort"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"response_format": {"type": SECRET}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": SECRET}}}},
            "response_format.json_schema.schema",
        ),
        ({"tools": SECRET}, "tools"),
        ({"tools": [{"type": "custom"}]}, "tools[0].function.name"),
        ({"tools": [WEATHER], "tool_choice": SECRET}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"function": {"name": SECRET}}}, "tool_choice.function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_wrong_input_is_refused_by_the_name_of_its_field(fields: dict[str, Any], param: str) -> None:
    """The error is OpenAI's, names the field, and repeats nothing that was sent."""
    with pytest.raises(SampleError) as caught:
        read(orjson.dumps({"model": "m", "messages": EN, **fields}))
    error = caught.value.document["error"]
    assert (caught.value.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"] and SECRET not in str(caught.value.document)


def test_a_request_is_counted_over_all_its_parts() -> None:
    """Messages, characters and images of every form count, and the last user's words decide the language."""
    messages = [
        {"role": "system", "content": "abc"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "de"}, {"type": "image_url", "image_url": {"url": "data:,"}}],
        },
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "f"}]},
        {"role": "user", "content": [{"type": "text", "text": "你好"}, {"type": "file", "file": {"file_id": "x"}}]},
    ]
    ask = read(orjson.dumps({"model": "m", "messages": messages, "unknown_field": {"kept": "elsewhere"}}))
    assert ask.counts == {"messages": 5, "characters": 8, "images": 1}
    assert (ask.language, ask.choices, ask.streams, ask.max_tokens) == ("zh", 1, False, None)


def test_null_means_not_given() -> None:
    """The SDK's users send null for what they leave open."""
    keys = (
        "n",
        "stop",
        "stream",
        "stream_options",
        "max_tokens",
        "temperature",
        "tools",
        "tool_choice",
        "response_format",
    )
    request = {"model": "m", "messages": EN, **dict.fromkeys(keys)}
    assert read(orjson.dumps(request)) == read(orjson.dumps({"model": "m", "messages": EN}))


@given(st.text())
def test_tokens_add_up_to_the_text(text: str) -> None:
    """Cutting into tokens loses nothing and makes no empty token."""
    pieces = tokens(text)
    assert "".join(pieces) == text and all(pieces)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from(["model", "messages", "role", "content", "tools", "stop", "n", "stream"]),
            inner | st.lists(inner),
        ),
    ).map(orjson.dumps)
)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No input leads to another error than the one."""
    try:
        read(body)
    except SampleError as error:
        assert error.status == 400
