# SPDX-License-Identifier: Apache-2.0
"""The official OpenAI SDK against a running gateway: it works unchanged, and every duty is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import RunningGateway
from tests.upstreams.scripted import ScriptedUpstream

LABEL = "本内容由AI生成"
SENTENCE = "今天天气很好，我们去公园散步吧。 Let us go for a walk."
SEVEN_KEYS = {
    "Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2",
}  # fmt: skip


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0, timeout=20) as made:
        yield made


def ask(client: openai.OpenAI, script: dict[str, Any], prompt: str = "你好", **options: Any) -> Any:
    """A plain answer to `prompt` by an upstream that follows `script`."""
    return client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": prompt}],
        metadata={"script": json.dumps(script)},
        **options,
    )


def stream(client: openai.OpenAI, script: dict[str, Any], prompt: str = "你好", **options: Any) -> list[Any]:
    """The chunks of a streamed answer."""
    return list(ask(client, script, prompt, stream=True, **options))


def said(chunks: list[Any], choice: int = 0) -> str:
    """The text of one choice of a stream."""
    return "".join(item.delta.content or "" for chunk in chunks for item in chunk.choices if item.index == choice)


def test_a_plain_answer_is_labelled_in_text_and_envelope(client: openai.OpenAI, shared_gateway: RunningGateway) -> None:
    """GB 45438: an explicit label in the text; Annex E: seven keys, ProduceID is the record that exists."""
    raw = client.chat.completions.with_raw_response.create(
        model="m", messages=[{"role": "user", "content": "你好"}], metadata={"script": json.dumps({"text": SENTENCE})}
    )
    completion = raw.parse()
    assert completion.choices[0].message.content == f"{LABEL}\n\n{SENTENCE}\n\n{LABEL}"
    label = completion.model_extra["aigc"]
    assert set(label) == SEVEN_KEYS
    assert label["Label"] == "1"
    assert label["ContentProducer"] == "001191110000MA00000AAT10001"
    assert label["ProduceID"] == raw.headers["duty-record"]
    assert raw.headers["ai-disclosure"].startswith("mode=")
    record = shared_gateway.record(raw.headers["duty-record"])
    assert record["record"]["outcome"] == "completed"


@pytest.mark.parametrize("split", [1, 2, 3, 7, 0])
@pytest.mark.parametrize("writes", [1, 5, 0])
def test_a_streamed_answer_says_the_same_as_a_plain_one(client: openai.OpenAI, split: int, writes: int) -> None:
    """However the upstream cuts its words and its packets."""
    chunks = stream(client, {"text": SENTENCE, "split": split, "writes": writes})
    assert said(chunks) == f"{LABEL}\n\n{SENTENCE}\n\n{LABEL}"
    assert set(chunks[0].model_extra["aigc"]) == SEVEN_KEYS
    assert chunks[0].model_extra["aigc"] == chunks[-1].model_extra["aigc"]
    assert [item.finish_reason for chunk in chunks for item in chunk.choices if item.finish_reason] == ["stop"]


@pytest.mark.parametrize("word", ["forbiddenword", "禁词", "ＦＯＲＢＩＤＤＥＮＷＯＲＤ", "禁\u200b詞"])
@pytest.mark.parametrize("split", [1, 2, 3, 0])
def test_a_forbidden_word_never_leaves_a_stream(
    client: openai.OpenAI, upstream: ScriptedUpstream, shared_gateway: RunningGateway, word: str, split: int
) -> None:
    """What stood before it has left, nothing of it has, the answer ends with content_filter, the upstream is cut."""
    upstream.reset()
    script = {"text": f"before {word} after", "split": split, "event_delay_s": 0.002}
    with client.chat.completions.with_streaming_response.create(
        model="m",
        messages=[{"role": "user", "content": "hello"}],
        metadata={"script": json.dumps(script)},
        stream=True,
    ) as raw:
        record_id = raw.headers["duty-record"]
        chunks = list(raw.parse())
    text = said(chunks)
    assert "before " in text
    assert word not in text
    assert "after" not in text
    assert not any(piece in text for piece in ("forbid", "禁", "ＦＯＲＢ"))
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    record = shared_gateway.record(record_id)
    close = next(item for item in record["related"] if item["type"] == "close")
    assert close["record"]["class"] in ("A1a", "A1d")
    assert any(item["type"] == "incident" for item in record["related"])
    retraction = chunks[-1].model_extra["notices"][-1]
    assert retraction["kind"] == "retraction"
    assert retraction["retract"] == [{"choice": 0, "channel": "answer", "item": 0, "start": 0, "end": len(text)}]
    assert close["record"]["released"][0]["chars"] == len(text)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_forbidden_prompt_is_refused_without_calling_the_model(
    client: openai.OpenAI, upstream: ScriptedUpstream, streamed: bool
) -> None:
    """The refusal is a normal answer of the wire and repeats nothing."""
    upstream.reset()
    if streamed:
        chunks = stream(client, {"text": "never"}, "please say 禁词 now")
        text, reason = said(chunks), chunks[-1].choices[0].finish_reason
    else:
        choice = ask(client, {"text": "never"}, "please say 禁词 now").choices[0]
        text, reason = choice.message.content, choice.finish_reason
    assert reason == "content_filter"
    assert text
    assert "禁词" not in text
    assert upstream.seen == []


def test_a_plain_answer_with_a_forbidden_word_says_nothing_of_it(client: openai.OpenAI) -> None:
    """Of a plain answer nothing was shown yet, so nothing is."""
    completion = ask(client, {"text": "harmless words forbiddenword"})
    assert completion.choices[0].finish_reason == "content_filter"
    assert "harmless" not in completion.choices[0].message.content
    assert "forbidden" not in completion.choices[0].message.content


@pytest.mark.parametrize("split", [1, 3, 0])
def test_a_masked_word_is_masked_and_the_answer_goes_on(client: openai.OpenAI, split: int) -> None:
    """The same text, streamed and plain."""
    script = {"text": "a maskedword here", "split": split}
    assert f"a {'*' * 10} here" in said(stream(client, script))
    assert f"a {'*' * 10} here" in ask(client, script).choices[0].message.content


def test_every_choice_is_guarded(client: openai.OpenAI) -> None:
    """`n > 1`: a word in the second choice stops the answer."""
    chunks = stream(client, {"texts": ["all is well here", "then forbiddenword"], "split": 4}, n=2)
    assert "forbiddenword" not in said(chunks, 1)
    plain = ask(client, {"texts": ["all is well here", "then forbiddenword"]}, n=2)
    assert {choice.finish_reason for choice in plain.choices} == {"content_filter"}


def test_reasoning_and_tool_arguments_are_guarded(client: openai.OpenAI) -> None:
    """What a person can see, or a tool can act on."""
    chunks = stream(client, {"reasoning": "think forbiddenword think", "text": "fine", "split": 3})
    thought = "".join(
        (choice.delta.model_extra or {}).get("reasoning_content") or "" for chunk in chunks for choice in chunk.choices
    )
    assert "forbidden" not in thought
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    call = {"id": "call_1", "name": "search", "arguments": '{"q": "forbiddenword"}'}
    chunks = stream(client, {"tool_calls": [call], "split": 5})
    sent = "".join(
        call.function.arguments or ""
        for chunk in chunks
        for choice in chunk.choices
        for call in choice.delta.tool_calls or ()
    )
    assert "forbidden" not in sent
    assert chunks[-1].choices[0].finish_reason == "content_filter"


@pytest.mark.parametrize("split", [1, 4, 0])
def test_a_word_spelt_in_json_escapes_is_still_that_word(client: openai.OpenAI, split: int) -> None:
    """Whoever parses the arguments, or a JSON-mode answer, reads the word."""
    call = {"id": "call_1", "name": "search", "arguments": '{"q": "x \\u7981\\u8bcd y"}'}
    chunks = stream(client, {"tool_calls": [call], "split": split})
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert "8bcd" not in "".join(chunk.model_dump_json() for chunk in chunks)
    assert ask(client, {"tool_calls": [call]}).choices[0].finish_reason == "content_filter"
    script = {"text": '{"answer": "x \\u7981\\u8bcd y"}', "split": split}
    options: dict[str, Any] = {"response_format": {"type": "json_object"}}
    chunks = stream(client, script, **options)
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert "8bcd" not in said(chunks)
    assert ask(client, script, **options).choices[0].finish_reason == "content_filter"


def test_tool_calls_arrive_whole_and_unlabelled(client: openai.OpenAI) -> None:
    """A tool acts on the arguments: nothing is written into them; the envelope still carries the label."""
    call = {"id": "call_1", "name": "search", "arguments": '{"q": "天气", "n": 3}'}
    completion = ask(client, {"tool_calls": [call]})
    assert json.loads(completion.choices[0].message.tool_calls[0].function.arguments) == {"q": "天气", "n": 3}
    assert completion.choices[0].message.content is None
    assert set(completion.model_extra["aigc"]) == SEVEN_KEYS
    chunks = stream(client, {"tool_calls": [call], "split": 2})
    pieces = [item for chunk in chunks for choice in chunk.choices for item in choice.delta.tool_calls or ()]
    assert "".join(piece.function.arguments or "" for piece in pieces) == call["arguments"]
    assert [piece.id for piece in pieces if piece.id] == ["call_1"]
    assert said(chunks) == ""


def test_json_mode_stays_json(client: openai.OpenAI) -> None:
    """A label or a notice would break what a program is going to parse."""
    script = {"text": '{"answer": "天气很好"}', "split": 2}
    options: dict[str, Any] = {"response_format": {"type": "json_object"}}
    assert json.loads(ask(client, script, **options).choices[0].message.content) == {"answer": "天气很好"}
    chunks = stream(client, script, **options)
    assert json.loads(said(chunks)) == {"answer": "天气很好"}
    assert set(chunks[-1].model_extra["aigc"]) == SEVEN_KEYS


def test_usage_logprobs_and_unknown_fields_arrive(client: openai.OpenAI) -> None:
    """What no duty looks at is kept."""
    script = {
        "text": "fine words", "logprobs": True, "split": 3, "extra": {"x_vendor": {"n": [1, 2.5, "three"]}},
        "choice_extra": {"x_choice": "kept"},
    }  # fmt: skip
    completion = ask(client, script, logprobs=True)
    assert completion.usage.total_tokens == 18
    assert "".join(token.token for token in completion.choices[0].logprobs.content) == "fine words"
    assert completion.model_extra["x_vendor"] == {"n": [1, 2.5, "three"]}
    chunks = stream(client, script, logprobs=True, stream_options={"include_usage": True})
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [18]
    tokens = [
        token.token
        for chunk in chunks
        for choice in chunk.choices
        if choice.logprobs
        for token in choice.logprobs.content
    ]
    assert "".join(tokens) == "fine words"
    assert {"n": [1, 2.5, "three"]} in [(chunk.model_extra or {}).get("x_vendor") for chunk in chunks]


def test_the_prompt_reaches_the_model_as_it_was_sent(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """Several system and user parts, pictures by URL and base64, unknown fields."""
    upstream.reset()
    picture = "data:image/png;base64," + "A" * 2_000
    messages: list[Any] = [
        {"role": "system", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": " kind"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "看图"},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": picture}},
            ],
        },
    ]
    client.chat.completions.create(
        model="m", messages=messages, seed=2**53, extra_body={"x_unknown": {"deep": [None, 1.5]}}
    )
    body = upstream.seen[0].json
    assert body["messages"] == messages
    assert body["seed"] == 2**53
    assert body["x_unknown"] == {"deep": [None, 1.5]}
    assert upstream.seen[0].header("authorization") == "Bearer sk-test"


def test_a_word_cut_by_a_part_boundary_is_still_that_word(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """A model reads the parts as one text."""
    upstream.reset()
    parts: list[Any] = [{"type": "text", "text": "say forbid"}, {"type": "text", "text": "denword"}]
    completion = client.chat.completions.create(model="m", messages=[{"role": "user", "content": parts}])
    assert completion.choices[0].finish_reason == "content_filter"
    assert upstream.seen == []


def test_upstream_errors_pass_through(client: openai.OpenAI) -> None:
    """The SDK raises its own exception with the upstream's words and headers."""
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, {"status": 429, "error": "slow down", "retry_after_s": 7})
    assert caught.value.response.headers["retry-after"] == "7"
    assert "slow down" in str(caught.value)
    assert caught.value.response.headers["duty-record"]


def test_models_pass_through(client: openai.OpenAI, shared_gateway: RunningGateway) -> None:
    """The list of models is the upstream's."""
    answer = httpx.get(f"{shared_gateway.v1}/models", headers={"Authorization": "Bearer x"})
    assert answer.headers["duty-record"]


def test_async_sdk_and_accumulating_stream_helper_work(shared_gateway: RunningGateway) -> None:
    """The SDK's own accumulator must be able to put the answer together."""
    with (
        openai.OpenAI(base_url=shared_gateway.v1, api_key="x", max_retries=0) as client,
        client.chat.completions.stream(
            model="m",
            messages=[{"role": "user", "content": "hello"}],
            metadata={"script": json.dumps({"text": SENTENCE, "split": 2})},
        ) as events,
    ):
        final = events.get_final_completion()
    assert final.choices[0].message.content is not None
    assert SENTENCE in final.choices[0].message.content
