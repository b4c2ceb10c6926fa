# SPDX-License-Identifier: Apache-2.0
"""The sample model speaks OpenAI's wire exactly enough for the official SDK, and repeats nothing of a prompt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import openai
import orjson
import pytest
from pydantic import BaseModel

from gateway import sample

NOW_S = 1_800_000_000.0
EN = [{"role": "user", "content": "Where does xylophonequux live?"}]
ZH = [{"role": "user", "content": "请介绍一下长江三峡。"}]
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


def in_process() -> openai.AsyncOpenAI:
    """The official SDK, speaking to the application in this process, and refusing what its types do not know."""
    transport = httpx.ASGITransport(app=sample.create_sample_app(clock=lambda: NOW_S))
    http = httpx.AsyncClient(transport=transport)
    return openai.AsyncOpenAI(
        base_url="http://sample/v1", api_key="none", http_client=http, max_retries=0, _strict_response_validation=True
    )


def asked(**fields: Any) -> Any:
    """The SDK's parsed answer to a request."""

    async def go() -> Any:
        async with in_process() as client:
            return await client.chat.completions.create(**{"model": sample.MODEL_ID, "messages": EN, **fields})

    return asyncio.run(go())


def streamed(**fields: Any) -> list[Any]:
    """The SDK's parsed chunks of a streamed answer."""

    async def go() -> list[Any]:
        async with in_process() as client:
            fields_ = {"model": sample.MODEL_ID, "messages": EN, "stream": True, **fields}
            return [chunk async for chunk in await client.chat.completions.create(**fields_)]

    return asyncio.run(go())


def posted(body: bytes, path: str = "/v1/chat/completions", method: str = "POST") -> httpx.Response:
    """The answer to a raw request."""

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app=sample.create_sample_app(clock=lambda: NOW_S))
        async with httpx.AsyncClient(transport=transport, base_url="http://sample") as http:
            return await http.request(method, path, content=body)

    return asyncio.run(go())


def text_of(chunks: list[Any], index: int = 0) -> str:
    """The content of one choice of a stream."""
    return "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices if c.index == index)


def test_a_chinese_prompt_is_answered_in_chinese() -> None:
    """A person reads the sample's notice in the language they wrote."""
    content = asked(messages=ZH).choices[0].message.content
    assert content.startswith("您好") and "示例模型" in content
    assert not set("长江三峡") <= set(content)


def test_an_english_prompt_is_answered_in_english_without_repeating_it() -> None:
    """Nothing of a prompt comes back but counts."""
    answer = asked()
    content = answer.choices[0].message.content
    assert content.startswith("Hello") and f"{len(EN[0]['content'])} characters" in content
    assert "xylophonequux" not in answer.model_dump_json()
    assert answer.created == NOW_S and answer.model == "dutybound-sample"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_same_request_gives_the_same_answer() -> None:
    """Everything built on the sample can be repeated."""
    assert asked(n=3).model_dump() == asked(n=3).model_dump()


@pytest.mark.parametrize("messages", [EN, ZH])
def test_a_stream_says_what_the_plain_answer_says(messages: list[dict[str, str]]) -> None:
    """Streamed and plain differ in form only; each choice begins with the role and ends with a reason."""
    chunks = streamed(messages=messages, n=2)
    plain = asked(messages=messages, n=2)
    assert [text_of(chunks, at) for at in (0, 1)] == [choice.message.content for choice in plain.choices]
    assert plain.choices[0].message.content != plain.choices[1].message.content
    for at in (0, 1):
        own = [c for chunk in chunks for c in chunk.choices if c.index == at]
        assert own[0].delta.role == "assistant" and own[-1].finish_reason == "stop"
        assert all(c.finish_reason is None for c in own[:-1])
    assert {chunk.id for chunk in chunks} == {chunks[0].id} and chunks[0].object == "chat.completion.chunk"
    assert [chunk.choices[0].index for chunk in chunks[:4]] == [0, 1, 0, 1]


def test_usage_ends_a_stream_only_where_it_was_asked_for() -> None:
    """`stream_options.include_usage` adds one last chunk without choices and a null in all others."""
    chunks = streamed(stream_options={"include_usage": True})
    assert chunks[-1].choices == [] and chunks[-1].usage == asked().usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.usage is None and chunk.choices for chunk in streamed())


def test_the_wire_ends_with_done_and_says_null_usage_where_asked() -> None:
    """The bytes of a stream are events of one data line each, and [DONE] is the last."""
    request = {"model": "m", "messages": EN, "stream": True, "stream_options": {"include_usage": True}}
    response = posted(orjson.dumps(request))
    events = response.content.split(b"\n\n")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert events[-2:] == [b"data: [DONE]", b""]
    assert json.loads(events[0].removeprefix(b"data: "))["usage"] is None


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_cuts_the_answer_and_says_length(name: str) -> None:
    """The limit holds for reasoning and content together, streamed and plain."""
    answer = asked(**{name: 5})
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 5
    assert asked().choices[0].message.content.startswith(answer.choices[0].message.content)
    chunks = streamed(**{name: 5})
    assert text_of(chunks) == answer.choices[0].message.content and chunks[-1].choices[0].finish_reason == "length"
    spent = asked(reasoning_effort="low", **{name: 3})
    assert spent.choices[0].message.content == "" and spent.usage.completion_tokens_details.reasoning_tokens == 3


def test_a_stop_string_ends_the_answer_before_it() -> None:
    """The earliest of the stop strings counts and is not part of the answer."""
    whole = asked().choices[0].message.content
    answer = asked(stop=["sample", "built"]).choices[0]
    assert answer.message.content == whole[: whole.index("built")] and answer.finish_reason == "stop"
    assert asked(stop="never in there").choices[0].message.content == whole


def test_json_mode_gives_a_json_object() -> None:
    """`json_object` without a schema still is JSON, streamed and plain."""
    plain = asked(response_format={"type": "json_object"}).choices[0].message.content
    assert orjson.loads(plain)["language"] == "en"
    assert text_of(streamed(response_format={"type": "json_object"})) == plain


class Visit(BaseModel):
    """What the structured output test asks for."""

    city: str
    days: int
    tags: list[str]
    note: str | None


def test_structured_output_parses_into_the_sdk_s_model() -> None:
    """The SDK's own `parse` accepts the answer to the schema that it wrote."""

    async def go() -> Any:
        async with in_process() as client:
            return await client.chat.completions.parse(model=sample.MODEL_ID, messages=EN, response_format=Visit)

    parsed = asyncio.run(go()).choices[0].message.parsed
    assert isinstance(parsed, Visit) and parsed.tags


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_required_tool_is_called_with_fitting_arguments(choice: Any) -> None:
    """A tool call holds arguments of the tool's schema and says so in the reason."""
    answer = asked(tools=[WEATHER], tool_choice=choice).choices[0]
    call = answer.message.tool_calls[0]
    assert answer.message.content is None and answer.finish_reason == "tool_calls"
    assert call.function.name == "get_weather" and set(orjson.loads(call.function.arguments)) == {"city", "unit"}


def test_a_prompt_can_ask_for_tools_by_name_or_in_general() -> None:
    """With tool_choice auto the prompt decides; naming two tools calls both unless parallel calls are off."""
    other = {"type": "function", "function": {"name": "get_time"}}
    both = [{"role": "user", "content": "call get_weather and get_time"}]
    assert len(asked(tools=[WEATHER, other], messages=both).choices[0].message.tool_calls) == 2
    assert (
        len(asked(tools=[WEATHER, other], messages=both, parallel_tool_calls=False).choices[0].message.tool_calls) == 1
    )
    general = [{"role": "user", "content": "请调用工具"}]
    assert asked(tools=[WEATHER], messages=general).choices[0].message.tool_calls
    assert asked(tools=[WEATHER]).choices[0].message.tool_calls is None
    assert asked(tools=[WEATHER], messages=both, tool_choice="none").choices[0].message.tool_calls is None


def test_a_streamed_tool_call_adds_up_to_the_plain_one() -> None:
    """The SDK's own accumulator gathers the same call, identity and arguments."""

    async def go() -> Any:
        async with in_process() as client:
            request = {"model": sample.MODEL_ID, "messages": EN, "tools": [WEATHER], "tool_choice": "required"}
            async with client.chat.completions.stream(**request) as stream:
                return (await stream.get_final_completion()).choices[0].message.tool_calls[0]

    gathered = asyncio.run(go())
    plain = asked(tools=[WEATHER], tool_choice="required").choices[0].message.tool_calls[0]
    assert gathered.function.arguments == plain.function.arguments
    assert gathered.id.startswith("call_") and gathered.function.name == plain.function.name


def test_after_a_tool_s_result_the_sample_answers_in_words() -> None:
    """The tool loop of an agent ends."""
    messages = [
        {"role": "user", "content": "use the tool"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "12345"},
    ]
    answer = asked(messages=messages, tools=[WEATHER]).choices[0]
    assert answer.finish_reason == "stop" and "5 characters" in answer.message.content


def test_reasoning_is_given_where_effort_is_asked_for() -> None:
    """`reasoning_content` stands beside the content, streamed before it."""
    plain = asked(reasoning_effort="low", messages=ZH)
    assert plain.choices[0].message.reasoning_content.startswith("先看")
    assert plain.usage.completion_tokens_details.reasoning_tokens > 0
    deltas = [
        chunk.choices[0].delta.model_dump(exclude_none=True) for chunk in streamed(reasoning_effort="low", messages=ZH)
    ]
    order = [key for delta in deltas for key in ("reasoning_content", "content") if delta.get(key)]
    assert order == sorted(order, reverse=True) and "reasoning_content" in order
    assert not hasattr(asked(reasoning_effort="none").choices[0].message, "reasoning_content")


def test_logprobs_cover_every_token_of_the_content() -> None:
    """Tokens and their bytes add up to the content, with as many alternatives as asked for."""
    choice = asked(logprobs=True, top_logprobs=2, messages=ZH).choices[0]
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert all(bytes(token.bytes).decode() == token.token for token in choice.logprobs.content)
    assert all(len(token.top_logprobs) == 2 for token in choice.logprobs.content)
    chunks = streamed(logprobs=True, top_logprobs=2, messages=ZH)
    gathered = [t for chunk in chunks if chunk.choices[0].logprobs for t in chunk.choices[0].logprobs.content]
    assert gathered == choice.logprobs.content
    assert asked().choices[0].logprobs is None


def test_models_are_listed_and_found() -> None:
    """The SDK can list the one model and fetch it."""

    async def go() -> tuple[Any, Any]:
        async with in_process() as client:
            return await client.models.list(), await client.models.retrieve(sample.MODEL_ID)

    listed, model = asyncio.run(go())
    assert [entry.id for entry in listed.data] == ["dutybound-sample"] and model.owned_by == "dutybound"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"model": "\xed\xa0\x80"}'])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    """Broken bytes get the same error format."""
    response = posted(body)
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/models/other", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/", 404),
    ],
)
def test_other_paths_and_methods_are_refused(method: str, path: str, status: int) -> None:
    """The sample has three paths; the SDK maps what it says elsewhere to its own errors."""
    response = posted(b"{}", path, method)
    assert response.status_code == status and "message" in response.json()["error"]


def test_the_sdk_raises_its_own_error_class() -> None:
    """A wrong request is a BadRequestError for users of the SDK, with param filled in."""
    with pytest.raises(openai.BadRequestError) as caught:
        asked(n=0)
    assert caught.value.param == "n"


def test_a_body_over_the_limit_is_refused_while_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless body does not fill the memory."""
    monkeypatch.setattr(sample, "MAX_BODY_BYTES", 10)
    assert posted(b"x" * 11).status_code == 413


async def drive(app: Any, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]]) -> list[dict[str, Any]]:
    """Run an ASGI application and gather what it sends."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def test_a_stream_ends_early_when_the_client_leaves() -> None:
    """Nothing is made up for nobody: after a disconnect no further event is sent."""

    async def go() -> list[dict[str, Any]]:
        body = orjson.dumps({"model": "m", "messages": EN, "stream": True})
        messages = iter([{"type": "http.request", "body": body}, {"type": "http.disconnect"}])

        async def receive() -> dict[str, Any]:
            return next(messages)

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions"}
        return await drive(sample.create_sample_app(clock=lambda: NOW_S), scope, receive)

    sent = asyncio.run(go())
    assert len(sent) <= 3 and b"[DONE]" not in b"".join(message.get("body", b"") for message in sent)


def test_a_request_that_breaks_off_is_not_answered_as_if_whole() -> None:
    """A client that leaves while sending gets no completion."""

    async def go() -> list[dict[str, Any]]:
        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions"}
        return await drive(sample.create_sample_app(clock=lambda: NOW_S), scope, receive)

    assert asyncio.run(go())[0]["status"] == 400


def test_the_application_completes_the_lifespan_and_refuses_websockets() -> None:
    """It runs under any ASGI server."""

    async def go() -> list[dict[str, Any]]:
        steps = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, Any]:
            return next(steps)

        app = sample.create_sample_app()
        return await drive(app, {"type": "lifespan"}, receive) + await drive(app, {"type": "websocket"}, receive)

    assert [message["type"] for message in asyncio.run(go())] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "websocket.close",
    ]


def test_the_served_sample_answers_over_a_socket_and_frees_its_port() -> None:
    """`serve_sample` is a real server on loopback, paced where asked, and is gone after its context."""

    async def go() -> None:
        async with sample.serve_sample(pace_s=0.001) as (server, port):
            assert server.started
            async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client:
                stream = await client.chat.completions.create(model="any", messages=ZH, stream=True)  # type: ignore[call-overload]
                assert text_of([chunk async for chunk in stream]).startswith("您好")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)

    asyncio.run(go())


def test_a_taken_port_is_an_error() -> None:
    """Serving on a port that somebody has is an OSError, not a hang."""

    async def go() -> None:
        async with sample.serve_sample() as (_, port):
            with pytest.raises(OSError):
                async with sample.serve_sample(port=port):
                    pass

    asyncio.run(go())
