# SPDX-License-Identifier: Apache-2.0
"""The Python clients that people use, unchanged, against a running gateway.

Plain and streamed: an answer, a tool call, a stopped answer, a refused prompt.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import types

from tests.clients.arranged import (
    ARGUMENTS,
    LABEL,
    REFUSED,
    SENTENCE,
    Reply,
    sentence,
    stopped,
    tool_call,
    will_say,
)
from tests.conformance.model import TOOL_NAME
from tests.conformance.wires.openai_chat import tool
from tests.conftest import RunningGateway
from tests.upstreams.scripted import ScriptedUpstream

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its own imports warn about is not ours
    from langchain_openai import ChatOpenAI

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}}

Client = Callable[[str, str, bool, bool], Reply]
"""Ask a gateway at this URL this prompt, streamed or not, with or without a tool."""


def by_openai(url: str, prompt: str, stream: bool, with_tool: bool) -> Reply:
    """OpenAI's SDK, chat completions; a stream is put together by the SDK, which raises its own error for a filtered
    one and gives the answer with it."""
    options: dict[str, Any] = {"tools": [tool()]} if with_tool else {}
    with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0, timeout=20) as client:
        messages: Any = [{"role": "user", "content": prompt}]
        if stream:
            with client.chat.completions.stream(model="m", messages=messages, **options) as events:
                try:
                    choice: Any = events.get_final_completion().choices[0]
                except openai.ContentFilterFinishReasonError as error:
                    choice = error.completion.choices[0]
        else:
            choice = client.chat.completions.create(model="m", messages=messages, **options).choices[0]
    calls = choice.message.tool_calls or ()
    return Reply(
        choice.message.content or "", choice.finish_reason, *(_parsed(call.function.arguments) for call in calls)
    )


def by_openai_responses(url: str, prompt: str, stream: bool, with_tool: bool) -> Reply:
    """OpenAI's SDK, Responses."""
    options: dict[str, Any] = {"tools": [{"type": "function", "name": TOOL_NAME, "parameters": SCHEMA}]}
    options = options if with_tool else {}
    with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0, timeout=20) as client:
        if stream:
            with client.responses.stream(model="m", input=prompt, **options) as events:
                for event in events:
                    if event.type in ("response.completed", "response.incomplete"):
                        response: Any = event.response
        else:
            response = client.responses.create(model="m", input=prompt, **options)
    calls = [item for item in response.output if item.type == "function_call"]
    reason = response.incomplete_details.reason if response.incomplete_details else response.status
    return Reply(response.output_text, reason, *(_parsed(call.arguments) for call in calls))


def by_anthropic(url: str, prompt: str, stream: bool, with_tool: bool) -> Reply:
    """Anthropic's SDK."""
    options: dict[str, Any] = {"tools": [{"name": TOOL_NAME, "input_schema": SCHEMA}]} if with_tool else {}
    options |= {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": prompt}]}
    with anthropic.Anthropic(base_url=url, api_key="sk-ant", max_retries=0, timeout=20) as client:
        if stream:
            with client.messages.stream(**options) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(**options)
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [dict(block.input) for block in message.content if block.type == "tool_use"]
    return Reply(text, message.stop_reason or "", *calls)


def by_google(url: str, prompt: str, stream: bool, with_tool: bool) -> Reply:
    """Google's SDK."""
    declared = types.FunctionDeclaration(name=TOOL_NAME, parameters_json_schema=SCHEMA)
    tools: Any = [types.Tool(function_declarations=[declared])] if with_tool else None
    config = types.GenerateContentConfig(
        tools=tools, automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
    )
    client = genai.Client(api_key="google-key", http_options=types.HttpOptions(base_url=url, timeout=20_000))
    try:
        if stream:
            parts = list(client.models.generate_content_stream(model="m", contents=prompt, config=config))
        else:
            parts = [client.models.generate_content(model="m", contents=prompt, config=config)]
    finally:
        client.close()
    reply = Reply()
    for candidate in (candidate for part in parts for candidate in part.candidates or ()):
        for item in (candidate.content.parts or ()) if candidate.content else ():
            reply.text += item.text or ""
            if item.function_call is not None:
                reply.tool_input = dict(item.function_call.args or {})
        if candidate.finish_reason is not None:
            reply.end = candidate.finish_reason.value
    return reply


def by_ollama(url: str, prompt: str, stream: bool, with_tool: bool) -> Reply:
    """Ollama's client."""
    client = ollama.Client(host=url, timeout=20)
    tools: Any = [tool()] if with_tool else None
    messages: Any = [{"role": "user", "content": prompt}]
    try:
        if stream:
            parts = list(client.chat("m", messages, tools=tools, stream=True))
        else:
            parts = [client.chat("m", messages, tools=tools)]
    finally:
        client._client.close()
    calls = [dict(call.function.arguments) for part in parts for call in part.message.tool_calls or ()]
    text = "".join(part.message.content or "" for part in parts)
    return Reply(text, parts[-1].done_reason or "", *calls)


def by_langchain(url: str, prompt: str, stream: bool, with_tool: bool) -> Reply:
    """LangChain's chat model for OpenAI's wire."""
    factory: Any = ChatOpenAI
    model = factory(model="m", base_url=f"{url}/v1", api_key="sk-test", max_retries=0, timeout=20)
    if with_tool:
        model = model.bind_tools([tool()])
    if stream:
        message: Any = None
        for part in model.stream(prompt):
            message = part if message is None else message + part
    else:
        message = model.invoke(prompt)
    calls = [call["args"] for call in message.tool_calls]
    return Reply(message.content, message.response_metadata["finish_reason"], *calls)


def _parsed(arguments: str) -> dict[str, Any]:
    return dict(json.loads(arguments))


CLIENTS: dict[str, tuple[Client, str, str]] = {
    "openai": (by_openai, "openai_chat", "content_filter"),
    "openai-responses": (by_openai_responses, "openai_responses", "content_filter"),
    "anthropic": (by_anthropic, "anthropic_messages", "refusal"),
    "google-genai": (by_google, "gemini", "SAFETY"),
    "ollama": (by_ollama, "ollama_chat", "stop"),
    "langchain": (by_langchain, "openai_chat", "content_filter"),
}
"""The client, the wire that it speaks, and how it says that an answer was stopped."""


@pytest.fixture(autouse=True)
def _fresh(upstream: ScriptedUpstream) -> None:
    upstream.reset()


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_arrives_whole_and_labelled(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream, name: str, stream: bool
) -> None:
    """As the model said it, between the label's words."""
    ask, wire, _ = CLIENTS[name]
    will_say(upstream, wire, sentence(), stream=stream)
    reply = ask(shared_gateway.url, "你好", stream, False)
    assert reply.text == f"{LABEL}\n\n{SENTENCE}\n\n{LABEL}"
    assert reply.end and reply.end != "content_filter"


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_arrives_with_its_arguments(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream, name: str, stream: bool
) -> None:
    """The client parses them; nothing was written into them."""
    ask, wire, _ = CLIENTS[name]
    will_say(upstream, wire, tool_call(), stream=stream)
    assert ask(shared_gateway.url, "你好", stream, True).tool_input == ARGUMENTS


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_stopped_answer_is_a_normal_end(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream, name: str, stream: bool
) -> None:
    """No exception, the wire's own reason, nothing of the word and nothing behind it."""
    ask, wire, end = CLIENTS[name]
    will_say(upstream, wire, stopped(), stream=stream)
    reply = ask(shared_gateway.url, "你好", stream, False)
    assert "forbid" not in reply.text and "after" not in reply.text
    assert ("before " in reply.text) is stream
    assert reply.text and reply.end == end


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_prompt_is_an_answer(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream, name: str, stream: bool
) -> None:
    """The model is not called; the client shows why in words."""
    ask, _, end = CLIENTS[name]
    reply = ask(shared_gateway.url, REFUSED, stream, False)
    assert reply.text and "禁词" not in reply.text
    assert reply.end == end
    assert upstream.seen == []
