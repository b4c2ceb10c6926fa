# SPDX-License-Identifier: Apache-2.0
"""The legacy completions wire: the codecs driven as the runner drives them, and the official SDK against a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from pydantic import TypeAdapter

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Exchange, Outcome
from gateway.wires import ROUTES
from gateway.wires.fields import table
from gateway.wires.interfaces import BadAnswer, BadRequest
from gateway.wires.openai_completions import PATH, OpenAICompletions
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import HEAD, TAIL, TERM, answer, ask, pieces, read, texts
from tests.upstreams.scripted import ScriptedUpstream

WIRE = OpenAICompletions()
BASE: dict[str, Any] = {"id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": "m"}
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
WORDS = "【回答已停止"


def stream(**more: Any) -> Exchange:
    return ask(WIRE, PATH, orjson.dumps({"model": "m", "prompt": "你好", "stream": True, **more}))


def plain(**more: Any) -> Exchange:
    return ask(WIRE, PATH, orjson.dumps({"model": "m", "prompt": "你好", **more}))


def choice(text: str, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish, **more}


def told(*said: str, split: int = 1, **more: Any) -> list[dict[str, Any]]:
    """The events of a stream that says each of `said` in a choice of its own, all at the same time."""
    events = []
    longest = max(map(len, said))
    for at in range(0, longest, split):
        events += [choice(text[at : at + split], index) for index, text in enumerate(said) if at < len(text)]
    events += [choice("", index, "stop") for index in range(len(said))]
    documents = [{**BASE, "choices": [event], **more} for event in events]
    return [*documents, {**BASE, "choices": [], "usage": USAGE}]


def sse(events: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def whole(*said: str, **more: Any) -> bytes:
    choices = [choice(text, index, "stop") for index, text in enumerate(said)]
    return orjson.dumps({**BASE, "choices": choices, "usage": USAGE, **more})


def parsed(body: bytes) -> list[dict[str, Any]]:
    """The events that the client got, each as the SDK's own type allows it."""
    blocks = body.decode().removesuffix("\n\n").split("\n\n")
    assert blocks.pop() == "data: [DONE]"
    events = [json.loads(block.removeprefix("data: ")) for block in blocks]
    for event in events:
        # In a stream a choice that goes on has no reason yet; the SDK's type is that of the plain answer.
        closed = [{**item, "finish_reason": item["finish_reason"] or "stop"} for item in event["choices"]]
        TypeAdapter(Completion).validate_python({**event, "choices": closed})
    return events


def said(events: list[dict[str, Any]], index: int = 0) -> str:
    return "".join(item["text"] for event in events for item in event["choices"] if item["index"] == index)


def reasons(events: list[dict[str, Any]]) -> list[str]:
    return [item["finish_reason"] for event in events for item in event["choices"] if item["finish_reason"]]


# ---- requests


def test_every_text_that_the_model_reads_is_collected() -> None:
    """Prompts, suffix, stop words, schemas and what is not known; each prompt is a text of its own."""
    exchange = plain(
        prompt=["一", "二"], suffix="后缀", stop=["停"], novel={"键": "值"}, user="no text", n=2, echo=True
    )
    assert exchange.prompt is not None
    found = {item.text: item.where for item in exchange.prompt.texts}
    assert {"一": "prompt.0", "二": "prompt.1"}.items() <= found.items()
    assert {"后缀", "停", "键", "值"} <= found.keys()
    assert "no text" not in found
    assert not exchange.prompt.is_structured
    assert all(where.isascii() for where in found.values())


@pytest.mark.parametrize(
    "more", [{"response_format": {"type": "json_object"}}, {"guided_json": {}}, {"guided_regex": "a"}]
)
def test_a_request_for_machine_readable_text_is_known(more: dict[str, Any]) -> None:
    """In OpenAI's words and in those of other servers."""
    prompt = plain(**more).prompt
    assert prompt is not None and prompt.is_structured
    text = plain(response_format={"type": "text"}).prompt
    assert text is not None and not text.is_structured


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": None}, "model"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt_embeds": "AAAA"}, "prompt_embeds"),
        ({"suffix": 5}, "suffix"),
        ({"stream": "yes"}, "stream"),
        ({"n": True}, "n"),
    ],
)
def test_what_cannot_be_checked_is_refused(more: dict[str, Any], param: str) -> None:
    """Token numbers and embeddings say what nobody can read."""
    with pytest.raises(BadRequest) as caught:
        plain(**more)
    assert (caught.value.param, caught.value.status) == (param, 400)


def test_what_was_checked_is_what_is_forwarded() -> None:
    """Unknown members too."""
    exchange = plain(best_of=2, novel=[1])
    assert exchange.prompt is not None
    sent = WIRE.call(PATH, "", exchange.prompt)
    assert (sent.method, sent.path) == ("POST", PATH)
    assert orjson.loads(sent.body) == {"model": "m", "prompt": "你好", "best_of": 2, "novel": [1]}


# ---- streams


@given(st.lists(st.integers(0, 5_000), max_size=6), st.integers(1, 4))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int], split: int) -> None:
    """Reads cut anywhere, also inside characters."""
    body = sse(told("今天天气很好 😀", "第二个", split=split, novel="字"))
    events = read(WIRE, stream(), pieces(body, cuts))
    assert [type(event) for event in events] == [type(event) for event in read(WIRE, stream(), [body])]
    assert texts(events) == texts(read(WIRE, stream(), [body]))


@given(st.lists(st.integers(0, 5_000), max_size=6), st.integers(1, 9))
def test_what_is_clean_arrives_as_it_was_said(cuts: list[int], split: int) -> None:
    """Every choice, labelled; the label in the first and the last event, usage kept."""
    events = parsed(answer(WIRE, stream(n=2), pieces(sse(told("今天天气很好 😀", "第二个", split=split)), cuts)).body)
    assert said(events) == f"{HEAD}今天天气很好 😀{TAIL}"
    assert said(events, 1) == f"{HEAD}第二个{TAIL}"
    assert reasons(events) == ["stop", "stop"]
    assert events[0]["aigc"] == events[-1]["aigc"]
    assert events[-1]["usage"] == USAGE


def test_an_event_that_passes_unchanged_leaves_as_it_came() -> None:
    """Members that are not known stay in their place."""
    body = sse(told("abc", novel={"k": "v"})).replace(b'"novel"', b' "novel" ')
    out = answer(WIRE, stream(response_format={"type": "json_object"}), [body]).body
    assert out.split(b"\n\n")[1:3] == body.split(b"\n\n")[1:3]


@given(st.lists(st.integers(0, 5_000), max_size=6), st.integers(1, 6), st.sampled_from(["禁词", "禁\u200b詞"]))
def test_a_term_in_any_split_never_leaves(cuts: list[int], split: int, word: str) -> None:
    """What stood before it stays; the answer ends in the wire's own way."""
    answered = answer(WIRE, stream(), pieces(sse(told(f"前面的话{word}鸟", split=split)), cuts))
    events = parsed(answered.body)
    assert not set("词詞鸟") & set(answered.body.decode())
    assert answered.exchange.outcome is Outcome.STOPPED
    assert said(events).startswith(f"{HEAD}前面的话{TAIL}\n\n{WORDS}")
    assert reasons(events) == ["content_filter"]
    assert events[-1]["aigc"]


def test_a_word_in_the_second_choice_or_in_an_unknown_member_stops_the_answer() -> None:
    """Every choice is guarded, and what is not known too."""
    for body in (sse(told("好好好", f"一{TERM}")), sse(told("好", novel=TERM)), sse([{**event, "novel": word} for event, word in zip(told("好好"), "前禁词后", strict=True)])):  # fmt: skip  # noqa: E501
        answered = answer(WIRE, stream(), [body])
        assert TERM not in answered.body.decode()
        assert answered.exchange.outcome is Outcome.STOPPED
        assert set(reasons(parsed(answered.body))) == {"content_filter"}


def test_candidates_that_may_not_be_said_are_dropped_with_their_tokens() -> None:
    """In the old form candidates are keys."""
    logprobs = {
        "tokens": ["好"],
        "token_logprobs": [-0.1],
        "top_logprobs": [{"好": -0.1, TERM: -3.0}],
        "text_offset": [0],
    }
    clean = {**logprobs, "top_logprobs": [{"好": -0.1}]}
    events = told("好好")
    events[0]["choices"][0]["logprobs"], events[1]["choices"][0]["logprobs"] = logprobs, clean
    found = parsed(answer(WIRE, stream(), [sse(events)]).body)
    assert [item["logprobs"] for event in found for item in event["choices"] if item["logprobs"]] == [clean]
    document = {**BASE, "choices": [choice("好", 0, "stop", logprobs=logprobs)]}
    answered = answer(WIRE, plain(), [orjson.dumps(document)])
    assert TERM not in answered.body.decode()
    assert json.loads(answered.body)["choices"][0]["text"] == f"{HEAD}好{TAIL}"


def test_text_after_the_end_of_its_choice_is_no_answer_of_this_wire() -> None:
    """A word could be cut in two by the end between them; another choice goes on."""
    events = [{**BASE, "choices": [choice("禁", 0, "stop")]}, {**BASE, "choices": [choice("好", 1)]}]
    assert texts(read(WIRE, stream(n=2), [sse(events)])) == {(0, "answer", 0): "禁", (1, "answer", 0): "好"}
    with pytest.raises(BadAnswer) as caught:
        read(WIRE, stream(), [sse([*events, {**BASE, "choices": [choice("词", 0)]}])])
    assert caught.value.code == "text_after_finish"


def test_an_event_of_several_lines_leaves_as_one() -> None:
    """JSON may be written over several `data:` lines; what leaves is one event again."""
    body = b'data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"m",\ndata: "choices":[{"index":0,'
    body += b'"text":"abc","logprobs":null,"finish_reason":null}]}\n\n' + sse(
        [{**BASE, "choices": [choice("", 0, "stop")]}]
    )
    assert said(parsed(answer(WIRE, stream(response_format={"type": "json_object"}), [body]).body)) == "abc"


def test_a_stream_that_breaks_off_says_so() -> None:
    """An error event without `[DONE]`; a stream that only lacks `[DONE]` is complete."""
    events = told("你好")
    body = answer(WIRE, stream(), [sse(events[:2]).removesuffix(b"data: [DONE]\n\n")]).body
    assert b"upstream_incomplete" in body
    assert not body.endswith(b"[DONE]\n\n")
    assert reasons(parsed(answer(WIRE, stream(), [sse(events).removesuffix(b"data: [DONE]\n\n")]).body)) == ["stop"]


@pytest.mark.parametrize(
    "data", [b"nothing", b"[]", b'{"choices":1}', b'{"choices":[1]}', b'{"choices":[{"index":"0"}]}',
             b'{"choices":[{"index":-1,"text":"a"}]}', b'{"choices":[{"text":1}]}'])  # fmt: skip
def test_what_is_not_this_wire_is_refused(data: bytes) -> None:
    """Streamed or plain."""
    with pytest.raises(BadAnswer):
        read(WIRE, stream(), [b"data: " + data + b"\n\n"])
    with pytest.raises(BadAnswer):
        read(WIRE, plain(), [data])


# ---- plain answers


def test_a_plain_answer_says_the_same_as_a_stream() -> None:
    """Choice by choice, label by label."""
    document = json.loads(answer(WIRE, plain(), [whole("今天", "第二个")]).body)
    Completion.model_validate(document)
    assert [item["text"] for item in document["choices"]] == [f"{HEAD}今天{TAIL}", f"{HEAD}第二个{TAIL}"]
    assert document["aigc"]["Label"] == "1"
    assert document["usage"] == USAGE


def test_a_plain_answer_with_the_term_shows_nothing_of_it() -> None:
    """Our words in its place; the reason is the wire's own."""
    answered = answer(WIRE, plain(), [whole(f"前面{TERM}", novel=TERM)])
    document = json.loads(answered.body)
    assert TERM not in answered.body.decode() and "前面" not in answered.body.decode()
    assert document["choices"][0]["text"].startswith(WORDS)
    assert document["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_refusal_is_a_completion(is_stream: bool) -> None:
    """That ends with `content_filter`, with our words as its text."""
    exchange = stream() if is_stream else plain()
    exchange.outcome = Outcome.REFUSED
    decision = Decision("content_filter", Verdict.BLOCK, Action.REFUSE)
    made = WIRE.refusal(
        exchange, Refusal(decision, status=400, code="content_filter", message="不可以。", in_band=True)
    )
    assert made is not None and made[0] == 200
    body = WIRE.writer(exchange).write(made[1])
    events = parsed(body) if is_stream else [json.loads(body)]
    assert said(events) == "不可以。"
    assert reasons(events) == ["content_filter"]


def test_the_fields_are_in_the_table() -> None:
    """The documentation is printed from the codec."""
    printed = table(route for route in ROUTES if route.wire.name == WIRE.name)
    assert f"`POST {PATH}`" in printed
    assert "| `prompt as token numbers, prompt_embeds` | refused |" in printed


# ---- the official SDK against a gateway

LABEL = "本内容由AI生成"


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0, timeout=20) as made:
        yield made


def create(client: openai.OpenAI, script: dict[str, Any], prompt: Any = "你好", **options: Any) -> Any:
    headers = {"X-Script": json.dumps(script)}
    return client.completions.create(model="m", prompt=prompt, extra_headers=headers, **options)


def test_the_sdk_reads_plain_and_streamed_completions(client: openai.OpenAI) -> None:
    """Unchanged, with the label in text and envelope."""
    document = create(client, {"body": json.loads(whole("今天"))})
    assert document.choices[0].text == f"{LABEL}\n\n今天\n\n{LABEL}"
    assert document.model_extra["aigc"]["Label"] == "1"
    script = {"raw": sse(told("今天")).decode(), "content_type": "text/event-stream"}
    events = list(create(client, script, stream=True))
    assert "".join(item.text for event in events for item in event.choices) == f"{LABEL}\n\n今天\n\n{LABEL}"
    assert events[0].model_extra["aigc"] == events[-1].model_extra["aigc"]
    assert events[-1].usage.total_tokens == 18


def test_the_sdk_reads_a_stopped_stream(client: openai.OpenAI) -> None:
    """With the wire's own reason."""
    script = {"raw": sse(told(f"前面{TERM}鸟")).decode(), "content_type": "text/event-stream"}
    events = list(create(client, script, stream=True))
    assert TERM not in repr(events)
    assert [item.finish_reason for event in events for item in event.choices if item.finish_reason] == [
        "content_filter"
    ]


def test_a_prompt_that_is_refused_never_reaches_the_model(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """In any of the prompts, or in the suffix; token numbers are a clear error."""
    before = len(upstream.seen)
    for prompt, more in (("你好", {"suffix": TERM}), (["好", TERM], {}), (TERM, {"stream": True})):
        answered = create(client, {}, prompt, **more)
        last = list(answered)[-1] if more.get("stream") else answered
        assert TERM not in repr(answered)
        assert last.model_extra["aigc"]
        if not more.get("stream"):
            assert answered.choices[0].finish_reason == "content_filter"
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, {}, [1, 2, 3])
    assert caught.value.param == "prompt"
    assert "token numbers" in caught.value.message
    assert len(upstream.seen) == before
