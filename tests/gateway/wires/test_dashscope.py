# SPDX-License-Identifier: Apache-2.0
"""DashScope's native wire: the codecs driven as the runner drives them, and the official SDK against a gateway."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange, Outcome
from gateway.wires.dashscope import (
    IMAGE_PATH,
    MULTIMODAL_PATH,
    TEXT_PATH,
    DashScopeGeneration,
    DashScopeImageTask,
    DashScopeTasks,
)
from gateway.wires.interfaces import BadAnswer, BadRequest
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import HEAD, TAIL, TERM, answer, ask, pieces, read, texts
from tests.upstreams.scripted import Script, ScriptedUpstream

WIRE = DashScopeGeneration()
SSE = [(b"x-dashscope-sse", b"enable")]
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
FORMS = ["text", "message", "parts"]


def asked(
    *, stream: bool = True, incremental: bool | None = None, form: str = "message", **parameters: Any
) -> Exchange:
    if incremental is not None:
        parameters["incremental_output"] = incremental
    parameters["result_format"] = "message" if form == "parts" else form
    request = {"model": "m", "input": {"messages": [{"role": "user", "content": "你好"}]}, "parameters": parameters}
    path = MULTIMODAL_PATH if form == "parts" else TEXT_PATH
    return ask(WIRE, path, orjson.dumps(request), headers=SSE if stream else [])


def output(text: str, form: str, finish: str = "null", **message: Any) -> dict[str, Any]:
    if form == "text":
        return {"text": text, "finish_reason": finish}
    content: Any = [{"text": text}] if form == "parts" else text
    return {"choices": [{"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}]}


def document(told: dict[str, Any]) -> dict[str, Any]:
    return {"output": told, "usage": USAGE, "request_id": "r-1"}


def events(*outputs: dict[str, Any]) -> bytes:
    made = []
    for number, told in enumerate(outputs, 1):
        data = orjson.dumps(document(told)).decode()
        made.append(f"id:{number}\nevent:result\n:HTTP_STATUS/200\ndata:{data}\n\n")
    return "".join(made).encode()


def stream(text: str, form: str, *, is_cumulative: bool) -> bytes:
    """One character an event; the last event ends, and repeats the whole where the stream is cumulative."""
    told = [output(text[: end + 1] if is_cumulative else text[end], form) for end in range(len(text))]
    return events(*told, output(text if is_cumulative else "", form, "stop"))


def parsed(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[5:]) for line in body.decode().splitlines() if line.startswith("data:")]


def text_of(sent: dict[str, Any], form: str) -> str:
    told = sent["output"]
    if form == "text":
        return str(told["text"])
    content = told["choices"][0]["message"]["content"]
    return content[0]["text"] if form == "parts" else content


def shown(body: bytes, form: str, *, is_cumulative: bool) -> str:
    """What a client shows at the end: the last event, or all of them together."""
    told = [text_of(sent, form) for sent in parsed(body)]
    if is_cumulative:
        assert all(later.startswith(earlier) for earlier, later in pairwise(told))
    return told[-1] if is_cumulative else "".join(told)


def finish_of(sent: dict[str, Any], form: str) -> str:
    return str(sent["output"]["finish_reason"] if form == "text" else sent["output"]["choices"][0]["finish_reason"])


def test_a_header_makes_a_stream() -> None:
    """And nothing else does."""
    for headers, expected in ((SSE, True), ([(b"x-dashscope-sse", b"disable")], False), ([], False)):
        prompt = WIRE.read_request_with_headers(TEXT_PATH, "", b'{"model":"m","input":{"prompt":"x"}}', headers)
        assert prompt.stream is expected


def test_every_text_that_the_model_reads_is_collected() -> None:
    """Parts of one message are one text; links to media are none."""
    request = {
        "model": "m",
        "input": {
            "prompt": "prompt",
            "messages": [
                {"role": "system", "content": "system"},
                {"role": "user", "content": [{"image": "https://host/x.png"}, {"text": "fir"}, {"text": "st"}]},
                {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "args"}}]},
            ],
            "history": [{"user": "earlier", "bot": "later"}],
        },
        "parameters": {"tools": [{"function": {"description": "description"}}], "stop": ["stop-word"]},
        "x": "unknown",
    }
    prompt = WIRE.read_request(TEXT_PATH, "", orjson.dumps(request))
    found = {item.text for item in prompt.texts}
    assert found >= {"prompt", "system", "first", "f", "args", "earlier", "later", "description", "stop-word"}
    assert "unknown" in found
    assert not any("host" in text for text in found)
    assert prompt.has_media
    assert orjson.loads(WIRE.call(TEXT_PATH, "", prompt).body) == request


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"input": {"prompt": "x"}}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": "encrypted"}, "input"),
        ({"model": "m", "input": {"prompt": 1}}, "input.prompt"),
        ({"model": "m", "input": {"messages": ["x"]}}, "input.messages.0"),
        ({"model": "m", "input": {"messages": [{"content": 1}]}}, "input.messages.0.content"),
        ({"model": "m", "input": {"messages": [{"content": [{"text": 1}]}]}}, "input.messages.0.content.0.text"),
        ({"model": "m", "input": {}, "parameters": {"incremental_output": 1}}, "parameters.incremental_output"),
    ],
)
def test_a_bad_request_names_its_field(request_: dict[str, Any], param: str) -> None:
    """What is encrypted cannot be checked."""
    with pytest.raises(BadRequest) as caught:
        WIRE.read_request(TEXT_PATH, "", orjson.dumps(request_))
    assert caught.value.param == param


@given(
    st.lists(st.integers(0, 9_000), max_size=8),
    st.sampled_from(FORMS),
    st.sampled_from([(False, True), (True, False), (None, True), (None, False)]),
)
def test_any_split_and_either_way_of_repeating_say_the_same(
    cuts: list[int], form: str, mode: tuple[bool | None, bool]
) -> None:
    """What the duties see is what is new, once."""
    incremental, is_cumulative = mode
    body = stream("今天天气很好😀。", form, is_cumulative=is_cumulative)
    found = read(WIRE, asked(incremental=incremental, form=form), pieces(body, cuts))
    assert texts(found) == {(0, "answer", 0): "今天天气很好😀。"}


@given(
    st.lists(st.integers(0, 9_000), max_size=8),
    st.sampled_from(FORMS),
    st.sampled_from([(False, True), (True, False), (None, True), (None, False)]),
)
def test_a_clean_stream_arrives_between_its_labels(cuts: list[int], form: str, mode: tuple[bool | None, bool]) -> None:
    """In the form and the way of repeating that the upstream has; the last event ends it and carries the label."""
    incremental, is_cumulative = mode
    exchange = asked(incremental=incremental, form=form)
    given_ = answer(WIRE, exchange, pieces(stream("今天很好，出门。", form, is_cumulative=is_cumulative), cuts))
    assert shown(given_.body, form, is_cumulative=is_cumulative) == HEAD + "今天很好，出门。" + TAIL
    sent = parsed(given_.body)
    assert [finish_of(item, form) for item in sent] == ["null"] * (len(sent) - 1) + ["stop"]
    assert sent[0]["aigc"] == sent[-1]["aigc"] == exchange.label
    assert sent[-1]["usage"] == USAGE
    assert exchange.outcome is Outcome.COMPLETED


@given(
    st.lists(st.integers(0, 9_000), max_size=8),
    st.sampled_from(FORMS),
    st.sampled_from([(False, True), (True, False), (None, True), (None, False)]),
)
def test_a_term_never_leaves_in_any_split(cuts: list[int], form: str, mode: tuple[bool | None, bool]) -> None:
    """Neither once nor repeated; the stream ends with `content_filter` and our words."""
    incremental, is_cumulative = mode
    exchange = asked(incremental=incremental, form=form)
    given_ = answer(WIRE, exchange, pieces(stream("好的。禁词来了", form, is_cumulative=is_cumulative), cuts))
    assert exchange.outcome is Outcome.STOPPED
    text = shown(given_.body, form, is_cumulative=is_cumulative)
    assert text.startswith(HEAD + "好的。")
    assert "回答已停止" in text
    assert "禁" not in given_.body.decode()
    assert finish_of(parsed(given_.body)[-1], form) == "content_filter"
    assert parsed(given_.body)[-1]["aigc"] == exchange.label


@pytest.mark.parametrize("is_cumulative", [True, False])
def test_what_is_held_back_is_not_repeated_either(is_cumulative: bool) -> None:
    """The beginning of a term waits in a cumulative stream too, and leaves once it is none."""
    body = stream("好禁好", "message", is_cumulative=is_cumulative)
    first, second, *rest = [event + b"\n\n" for event in body.split(b"\n\n") if event]
    given_ = answer(WIRE, asked(incremental=not is_cumulative), [first, second, b"".join(rest)])
    assert "禁" not in given_.parts[1].decode()
    assert shown(given_.body, "message", is_cumulative=is_cumulative) == HEAD + "好禁好" + TAIL


def test_thoughts_are_repeated_beside_the_answer() -> None:
    """A client of a cumulative stream shows the last event alone."""
    steps = [("", "想", "null"), ("", "想想", "null"), ("好", "想想", "null"), ("好", "想想", "stop")]
    told = [output(text, "message", finish, reasoning_content=thought) for text, thought, finish in steps]
    sent = parsed(answer(WIRE, asked(incremental=False), [events(*told)]).body)
    last = sent[-1]["output"]["choices"][0]["message"]
    assert (last["content"], last["reasoning_content"]) == (HEAD + "好" + TAIL, "想想")


def test_an_event_that_passes_unchanged_leaves_as_it_came() -> None:
    """Its data, byte for byte."""
    own = b'{"output": {"choices":[{"message":{"content":"fine","role":"assistant"},"finish_reason":"null"}]},"usage":{"x":1.50},"request_id":"r"}'  # noqa: E501
    first, rest = events(output("some ", "message")), events(output("", "message", "stop"))
    body = first + b"id:2\nevent:result\n:HTTP_STATUS/200\ndata:" + own + b"\n\n" + rest
    assert b"data:" + own + b"\n\n" in answer(WIRE, asked(incremental=True), [body]).body


def test_a_stream_that_takes_back_what_it_said_is_refused() -> None:
    """What has left cannot be called back."""
    body = events(output("今天很好", "text"), output("今天不好", "text"))
    with pytest.raises(BadAnswer) as caught:
        read(WIRE, asked(incremental=False, form="text"), [body])
    assert caught.value.code == "not_cumulative"


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_json_mode_stays_json(form: str, is_stream: bool) -> None:
    """Nothing is written into the text, the label stands in the envelope."""
    exchange = asked(stream=is_stream, incremental=True, form=form, response_format={"type": "json_object"})
    told = output('{"a": "好"}', form, "stop")
    body = events(told) if is_stream else orjson.dumps(document(told))
    sent = answer(WIRE, exchange, [body]).body
    found = parsed(sent) if is_stream else [json.loads(sent)]
    assert "".join(text_of(item, form) for item in found) == '{"a": "好"}'
    assert found[-1]["aigc"] == exchange.label


@pytest.mark.parametrize("form", FORMS)
def test_a_plain_answer_is_labelled_or_says_nothing(form: str) -> None:
    """Between its labels; with a term, nothing of the model's."""
    exchange = asked(stream=False, form=form)
    sent = json.loads(answer(WIRE, exchange, [orjson.dumps(document(output("很好", form, "stop")))]).body)
    assert text_of(sent, form) == HEAD + "很好" + TAIL
    assert sent["aigc"] == exchange.label
    told = {**output(f"harmless {TERM}", form, "stop"), "search_info": {"note": "harmless"}}
    stopped = answer(WIRE, asked(stream=False, form=form), [orjson.dumps(document(told))])
    sent = json.loads(stopped.body)
    assert finish_of(sent, form) == "content_filter"
    assert "harmless" not in stopped.body.decode()
    assert TERM not in stopped.body.decode()


@pytest.mark.parametrize("is_cumulative", [True, False])
def test_tool_calls_and_every_choice_are_guarded(is_cumulative: bool) -> None:
    """Name, arguments, a second choice, and fields of a later version."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": f'{{"q":"{TERM}"}}'}}
    second = {"index": 1, "message": {"role": "assistant", "content": TERM}, "finish_reason": "null"}
    told = [
        output("", "message", tool_calls=[call]),
        {"choices": [*output("好", "message")["choices"], second]},
        output("好", "message", x_later={"n": [TERM]}),
        {**output("好", "message"), "search_info": {"title": TERM}},
    ]
    for item in told:
        given_ = answer(WIRE, asked(incremental=not is_cumulative), [events(item)])
        assert given_.exchange.outcome is Outcome.STOPPED
        assert TERM not in given_.body.decode()


def test_tool_calls_arrive_whole() -> None:
    """In either way of repeating."""
    pieces_ = ['{"q"', ': "天', '气"}']
    for is_cumulative in (True, False):
        told = []
        for end in range(3):
            words = "".join(pieces_[: end + 1]) if is_cumulative else pieces_[end]
            name = "f" if is_cumulative or not end else ""
            function = {"name": name, "arguments": words}
            told.append(output("", "message", tool_calls=[{"index": 0, "id": "c", "function": function}]))
        finish = output(
            "",
            "message",
            "tool_calls",
            **({"tool_calls": told[-1]["choices"][0]["message"]["tool_calls"]} if is_cumulative else {}),
        )
        sent = parsed(answer(WIRE, asked(incremental=not is_cumulative), [events(*told, finish)]).body)
        calls = [call for item in sent for call in item["output"]["choices"][0]["message"].get("tool_calls") or ()]
        said = [call["function"]["arguments"] for call in calls]
        assert (said[-1] if is_cumulative else "".join(said)) == '{"q": "天气"}'
        assert finish_of(sent[-1], "message") == "tool_calls"


@pytest.mark.parametrize(
    "told",
    [
        output("好", "message", "stop", audio={"url": "https://host/a.wav"}),
        {"choices": [{"message": {"role": "assistant", "content": [{"image": "https://host/a.png"}]},
                      "finish_reason": "stop"}]},
        {**output("好", "message", "stop"), "audio": {"data": "aGk="}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_stream", [True, False])
def test_media_without_a_label_do_not_leave(told: dict[str, Any], is_stream: bool) -> None:
    """Nobody has labelled them."""
    body = events(told) if is_stream else orjson.dumps(document(told))
    with pytest.raises(BadAnswer) as caught:
        answer(WIRE, asked(stream=is_stream, incremental=True), [body])
    assert caught.value.code == "unlabelled_media"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"oops", "invalid_json"),
        (b'{"code":"Throttling","message":"x"}', "error_in_answer"),
        (b'{"usage":{}}', "no_output"),
        (b'{"output":{"choices":{}}}', "bad_choices"),
        (b'{"output":{"choices":[{"message":{"content":3}}]}}', "bad_text"),
        (b'{"output":{"choices":[{"message":{"tool_calls":["x"]}}]}}', "bad_tool_calls"),
    ],
)
def test_what_is_not_the_wire_is_refused(body: bytes, code: str) -> None:
    """Streamed and plain."""
    for is_stream, sent in ((True, b"data:" + body + b"\n\n"), (False, body)):
        with pytest.raises(BadAnswer) as caught:
            read(WIRE, asked(stream=is_stream, incremental=True), [sent])
        assert caught.value.code == code


def test_a_stream_that_breaks_off_is_not_complete() -> None:
    """An error event follows what had left."""
    body = stream("今天很好", "message", is_cumulative=True)
    cut = body[: body.rindex(b"id:")]
    with pytest.raises(BadAnswer) as caught:
        read(WIRE, asked(incremental=False), [cut])
    assert caught.value.code == "incomplete"
    given_ = answer(WIRE, asked(incremental=False), [cut])
    assert b"event:error\n" in given_.body
    assert parsed(given_.body)[-1]["code"] == "upstream_incomplete"


TASK = {"output": {"task_id": "t-1", "task_status": "PENDING"}, "request_id": "r-1"}


def test_a_task_begins_and_its_pictures_wait_for_labels() -> None:
    """Prompts are texts; a state passes, a picture does not, and neither does a forbidden word in it."""
    create, tasks = DashScopeImageTask(), DashScopeTasks()
    request = {"model": "m", "input": {"prompt": "cat", "negative_prompt": "dog"}, "parameters": {"style": "x"}}
    exchange = ask(create, IMAGE_PATH, orjson.dumps(request))
    assert exchange.prompt is not None
    assert {item.text for item in exchange.prompt.texts} >= {"cat", "dog", "x"}
    sent = json.loads(answer(create, exchange, [orjson.dumps(TASK)]).body)
    assert sent["output"] == TASK["output"]
    done = {"output": {"task_id": "t-1", "task_status": "SUCCEEDED", "results": [{"url": "https://host/x.png"}]}}
    with pytest.raises(BadAnswer) as caught:
        answer(tasks, ask(tasks, "/api/v1/tasks/t-1", b""), [orjson.dumps(done)])
    assert caught.value.code == "unlabelled_media"
    failed = {"output": {"task_id": "t-1", "task_status": "FAILED", "message": f"no {TERM}"}}
    given_ = answer(tasks, ask(tasks, "/api/v1/tasks/t-1", b""), [orjson.dumps(failed)])
    assert given_.exchange.outcome is Outcome.STOPPED
    assert TERM not in given_.body.decode()


# The official SDK.

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import dashscope

LABEL = "本内容由AI生成"


@pytest.fixture
def sdk(shared_gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from dashscope.api_entities.http_request import close_shared_sync_session

    monkeypatch.setattr(dashscope, "base_http_api_url", f"{shared_gateway.url}/api/v1")
    monkeypatch.setattr(dashscope, "api_key", "sk-test")
    yield dashscope
    close_shared_sync_session()


def scripted(upstream: ScriptedUpstream, body: bytes, *, is_stream: bool, **more: Any) -> None:
    upstream.reset()
    content_type = "text/event-stream" if is_stream else "application/json"
    upstream.queued.append(Script.of({"raw": body.decode(), "content_type": content_type, **more}))


def called(sdk: Any, prompt: str = "你好", **options: Any) -> Any:
    # The SDK asks every other model for what is new, and repeats it by itself.
    return sdk.Generation.call(
        model="qwen-omni", messages=[{"role": "user", "content": prompt}], result_format="message", **options
    )


@pytest.mark.parametrize("is_cumulative", [True, False])
def test_the_sdk_reads_a_stream(sdk: Any, upstream: ScriptedUpstream, is_cumulative: bool) -> None:
    """Unchanged, in either way of repeating."""
    body = stream("今天很好", "message", is_cumulative=is_cumulative)
    scripted(upstream, body, is_stream=True, writes=11)
    parts = list(called(sdk, stream=True, incremental_output=not is_cumulative))
    told = [part.output.choices[0].message.content for part in parts]
    assert (told[-1] if is_cumulative else "".join(told)) == f"{LABEL}\n\n今天很好\n\n{LABEL}"
    assert parts[-1].output.choices[0].finish_reason == "stop"
    assert parts[-1].usage.output_tokens == 4
    assert upstream.seen[0].path == TEXT_PATH


@pytest.mark.parametrize("is_cumulative", [True, False])
def test_the_sdk_never_sees_a_forbidden_word(sdk: Any, upstream: ScriptedUpstream, is_cumulative: bool) -> None:
    """The last part is a normal end."""
    body = stream("before forbiddenword after", "message", is_cumulative=is_cumulative)
    scripted(upstream, body, is_stream=True)
    parts = list(called(sdk, stream=True, incremental_output=not is_cumulative))
    told = "".join(part.output.choices[0].message.content for part in parts)
    assert "before " in told
    assert "forbid" not in told
    assert "after" not in told
    assert parts[-1].output.choices[0].finish_reason == "content_filter"


def test_the_sdk_reads_plain_answers_and_refusals(sdk: Any, upstream: ScriptedUpstream) -> None:
    """A refusal is an answer; an error has its code."""
    scripted(upstream, orjson.dumps(document(output("今天很好", "message", "stop"))), is_stream=False)
    assert called(sdk).output.choices[0].message.content == f"{LABEL}\n\n今天很好\n\n{LABEL}"
    upstream.reset()
    refused = called(sdk, "please say 禁词 now")
    assert refused.output.choices[0].finish_reason == "content_filter"
    assert "禁词" not in refused.output.choices[0].message.content
    assert list(called(sdk, "禁词", stream=True))[-1].output.choices[0].finish_reason == "content_filter"
    bad = sdk.ImageSynthesis.async_call(model="m", prompt="a 禁词")
    assert (bad.status_code, bad.code) == (400, "content_filter")
    assert upstream.seen == []


def test_a_picture_is_refused_with_a_clear_error(shared_gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """Until its label is configured."""
    done = {"output": {"task_id": "t-1", "task_status": "SUCCEEDED", "results": [{"url": "https://host/x.png"}]}}
    scripted(upstream, orjson.dumps(done), is_stream=False)
    got = httpx.get(f"{shared_gateway.url}/api/v1/tasks/t-1")
    assert (got.status_code, got.json()["code"]) == (501, "unlabelled_media")
    assert "host" not in got.text
