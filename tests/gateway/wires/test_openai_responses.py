# SPDX-License-Identifier: Apache-2.0
"""The Responses wire as a whole: stored responses, its places, and the official SDK against a gateway."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import Attached, End, Event, Finish, Lane, TextDelta
from gateway.notices import NoticesInAnswer
from gateway.text_labels import LabelAnswer
from gateway.wires import ROUTES, Table
from gateway.wires.fields import table
from gateway.wires.interfaces import BadRequest
from gateway.wires.openai_responses import (
    PATH,
    TOKENS_PATH,
    DeletedResponse,
    ResponseInputItems,
    ResponseInputTokens,
    StoredResponse,
)
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import HEAD, TAIL, TERM, answer, ask, labels, pieces
from tests.gateway.wires.responses_scripts import (
    ITEMS,
    WIRE,
    WORDS,
    call,
    checked,
    events_of,
    message,
    output_text,
    reasoning,
    sse,
    stream,
    streamed,
    told,
    whole,
)
from tests.upstreams.scripted import ScriptedUpstream


def test_a_reading_that_goes_on_is_guarded_from_the_start() -> None:
    """`starting_after` is kept here: the numbers are ours, and a word that began before them is found."""
    wire = StoredResponse("GET")
    path = f"{PATH}/resp_1"
    body = sse(told(message("今天天气很好"), split=2))
    exchange = ask(wire, path, b"", "stream=true&starting_after=6&include%5B%5D=message.output_text.logprobs")
    assert exchange.prompt is not None
    sent = wire.call(path, "stream=true&starting_after=6&include%5B%5D=a", exchange.prompt)
    assert (sent.method, sent.path, sent.body) == ("GET", f"{path}?stream=true&include%5B%5D=a", b"")
    first = checked(answer(WIRE, stream(), [body]).body)
    rest = answer(wire, exchange, [body]).body
    assert events_of(rest)[0]["aigc"]
    assert [dict(event, aigc=0) for event in events_of(rest)[:-1]] == [dict(event, aigc=0) for event in first[7:-1]]
    assert events_of(rest)[-1] == first[-1]


@given(st.lists(st.integers(0, 20_000), max_size=8), st.integers(1, 5))
def test_the_numbers_do_not_depend_on_how_the_bytes_came(cuts: list[int], split: int) -> None:
    """Or a reading that goes on would miss an event, or see one twice."""
    body = sse(told(reasoning("禁止"), message("禁止说禁止的话"), call('"禁"'), split=split))
    assert answer(WIRE, stream(), pieces(body, cuts)).body == answer(WIRE, stream(), [body]).body


class Independent:
    """A duty that keeps each lane's order alone.

    Texts leave `delays` events late, lane by lane; an ending waits for the texts that it ends. What stands around texts
    keeps its own order, and texts may overtake it.
    """

    def __init__(self, delays: list[int]) -> None:
        self._delays = delays
        self._lanes: dict[Lane, list[tuple[float, Event]]] = {}
        self._behind: list[Event] = []
        self._count = 0.0

    def feed(self, events: list[Event]) -> list[Event]:
        for event in events:
            self._count += 1
            if isinstance(event, (TextDelta, Attached)):
                due = self._count + self._delays[event.lane.choice % len(self._delays)]
                self._lanes.setdefault(event.lane, []).append((due, event))
            else:
                self._behind.append(event)
            if isinstance(event, End):
                self._count = float("inf")
        out: list[Event] = []
        for waiting in self._lanes.values():
            while waiting and waiting[0][0] <= self._count:
                out.append(waiting.pop(0)[1])
        while self._behind and self._may_pass(self._behind[0]):
            out.append(self._behind.pop(0))
        return out

    def _may_pass(self, event: Event) -> bool:
        if not isinstance(event, (Finish, End)):
            return True
        lanes = self._lanes.items()
        ended = [waiting for lane, waiting in lanes if isinstance(event, End) or lane.choice == event.choice]
        return not any(ended)


@given(
    st.lists(st.integers(0, 20_000), max_size=40),
    st.integers(1, 4),
    st.lists(st.integers(0, 40), min_size=1, max_size=5),
)
def test_texts_that_overtake_the_events_around_them_wait_for_them(
    cuts: list[int], split: int, delays: list[int]
) -> None:
    """A duty may judge a text before the one in front of it is through; the client sees the wire's own order."""
    body = sse(told(*ITEMS, split=split))
    expected = answer(WIRE, stream(), [body]).body
    exchange = stream()
    assert exchange.prompt is not None
    reader, writer = WIRE.reader(exchange.prompt, 1 << 20), WIRE.writer(exchange)
    duties = [Independent(delays), LabelAnswer(exchange, labels()), NoticesInAnswer(exchange)]
    out = b""
    for data in pieces(body, cuts):
        events = reader.feed(data)
        for duty in duties:
            events = duty.feed(events)
        out += writer.write(events)
    assert out == expected


def test_a_notice_does_not_move_the_numbers() -> None:
    """The first reading may begin with a notice that the second has no more."""
    body = sse(told(message("你好")))
    exchange = stream()
    exchange.head_notice = "您正在与人工智能对话。"
    with_notice = checked(answer(WIRE, exchange, [body]).body)
    assert [event["type"] for event in with_notice] == [event["type"] for event in streamed(message("你好"))]


@pytest.mark.parametrize(
    "query", ["stream=maybe", "starting_after=-1", "starting_after=x", "stream=true&starting_after="]
)
def test_a_bad_query_names_its_field(query: str) -> None:
    """Before anything is asked of the model."""
    with pytest.raises(BadRequest):
        ask(StoredResponse("GET"), f"{PATH}/resp_1", b"", query)


def test_cancelling_answers_with_the_guarded_response() -> None:
    """It is the same document as any other."""
    wire = StoredResponse("POST")
    exchange = ask(wire, f"{PATH}/resp_1/cancel", b"")
    assert exchange.prompt is not None
    sent = wire.call(f"{PATH}/resp_1/cancel", "", exchange.prompt)
    assert (sent.method, sent.path) == ("POST", f"{PATH}/resp_1/cancel")
    document = json.loads(answer(wire, exchange, [orjson.dumps(whole(message("你好"), status="cancelled"))]).body)
    assert output_text(document) == f"{HEAD}你好{TAIL}"
    assert document["status"] == "cancelled"


def test_input_items_are_guarded_and_earlier_answers_labelled() -> None:
    """What people wrote is left as they wrote it."""
    wire = ResponseInputItems()
    asked = {"id": "a", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "问"}]}
    for text, count in (("答", 2), (f"答{TERM}", 0)):
        listed = {
            "object": "list",
            "data": [asked, message(text)],
            "first_id": "a",
            "last_id": "msg_1",
            "has_more": False,
        }
        body = answer(wire, ask(wire, f"{PATH}/resp_1/input_items", b""), [orjson.dumps(listed)]).body
        document = json.loads(body)
        assert TERM not in body.decode()
        assert document["aigc"]
        assert len(document["data"]) == count
        if count:
            assert document["data"][0] == asked
            assert document["data"][1]["content"][0]["text"] == f"{HEAD}答{TAIL}"
        else:
            assert [notice["kind"] for notice in document["notices"]] == ["answer_stopped"]


def test_every_place_of_the_wire_is_found() -> None:
    """And no other: the upstream is never asked for a path that a client invents."""
    places = Table()
    for method, path, name in (
        ("POST", PATH, WIRE.name),
        ("POST", TOKENS_PATH, ResponseInputTokens.name),
        ("GET", f"{PATH}/resp_1", StoredResponse.name),
        ("DELETE", f"{PATH}/resp_1", DeletedResponse.name),
        ("POST", f"{PATH}/resp_1/cancel", StoredResponse.name),
        ("GET", f"{PATH}/resp_1/input_items", ResponseInputItems.name),
    ):
        found = places.find(method, path)
        assert found is not None and found.name == name
    for method, path in (("POST", f"{PATH}/resp_1"), ("GET", f"{PATH}/.."), ("GET", f"{PATH}/a/b"), ("PUT", PATH)):
        assert places.find(method, path) is None
    printed = table(route for route in ROUTES if route.wire.name.startswith("openai_responses"))
    assert "| `< image_generation_call.partial_image` | labelled |" in printed


# ---- the official SDK against a gateway

LABEL = "本内容由AI生成"


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0, timeout=20) as made:
        yield made


def script(events: list[dict[str, Any]]) -> dict[str, str]:
    return {"script": json.dumps({"raw": sse(events).decode(), "content_type": "text/event-stream"})}


def test_the_sdks_stream_helper_reads_our_stream(client: openai.OpenAI, shared_gateway: RunningGateway) -> None:
    """Its own accumulator finds the same text as the snapshot, and the label beside it."""
    with client.responses.stream(model="m", input="你好", extra_body={"metadata": script(told(*ITEMS))}) as running:
        events = list(running)
        final = running.get_final_response()
    assert final.output_text == f"{LABEL}\n\n今天天气很好。\n\n{LABEL}{LABEL}\n\n第二部分 👍🏽。\n\n{LABEL}"
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert deltas[-1].snapshot == f"{LABEL}\n\n第二部分 👍🏽。\n\n{LABEL}"
    assert final.model_extra["aigc"]["Label"] == "1"
    record = shared_gateway.record(final.model_extra["aigc"]["ProduceID"])["record"]
    assert record["wire"] == "openai_responses"


@pytest.mark.parametrize("split", [1, 2, 100])
def test_the_sdk_reads_a_stopped_stream(client: openai.OpenAI, split: int) -> None:
    """A well-formed last event, with what was released and why it ended."""
    upstream = told(reasoning("想"), message(f"前面{TERM}后面"), split=split)
    events = list(
        client.responses.create(model="m", input="你好", stream=True, extra_body={"metadata": script(upstream)})
    )
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "content_filter"
    assert last.response.output_text.startswith(f"{LABEL}\n\n前面\n\n{LABEL}\n\n{WORDS}")
    assert last.response.output_text == "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert TERM not in repr(events)
    with client.responses.stream(model="m", input="你好", extra_body={"metadata": script(upstream)}) as running:
        assert list(running)[-1].type == "response.incomplete"


def test_the_sdk_reads_plain_refused_and_stopped_responses(client: openai.OpenAI) -> None:
    """As responses, not as errors."""
    for prompt, text, reason in (
        ("你好", "你好。", None),
        ("你好", TERM, "content_filter"),
        (TERM, "", "content_filter"),
    ):
        body = {"script": json.dumps({"body": whole(message(text))})}
        raw = client.responses.with_raw_response.create(model="m", input=prompt, extra_body={"metadata": body})
        response = raw.parse()
        assert raw.headers["duty-record"] == response.model_extra["aigc"]["ProduceID"]
        assert TERM not in raw.text
        assert (response.incomplete_details and response.incomplete_details.reason) == reason
        assert response.output_text if reason else response.output_text == f"{LABEL}\n\n你好。\n\n{LABEL}"


def test_the_sdk_reads_a_refused_stream(client: openai.OpenAI) -> None:
    """Its accumulator takes the whole synthetic stream."""
    with client.responses.stream(model="m", input=[{"role": "user", "content": TERM}]) as running:
        events = list(running)
    assert events[0].type == "response.created"
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.output_text
    assert TERM not in repr(events)


def test_the_sdk_parses_structured_output(client: openai.OpenAI) -> None:
    """JSON stays JSON; the label is beside it."""
    form = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": False}}
    body = {"script": json.dumps({"body": whole(message('{"a": 1}'), text=form)})}
    response = client.responses.create(model="m", input="你好", text=form, extra_body={"metadata": body})
    assert json.loads(response.output_text) == {"a": 1}
    assert response.model_extra["aigc"]


def test_the_sdk_reads_stored_responses(
    client: openai.OpenAI, upstream: ScriptedUpstream, shared_gateway: RunningGateway
) -> None:
    """Retrieve, go on reading, cancel, list, count and delete; each asks the upstream for the same path."""
    before = len(upstream.seen)
    headers = {"X-Script": json.dumps({"body": whole(message("你好"))})}
    assert client.responses.retrieve("resp_1", extra_headers=headers).output_text == f"{LABEL}\n\n你好\n\n{LABEL}"
    body = sse(told(message("你好"))).decode()
    as_stream = {"raw": body, "content_type": "text/event-stream", "answers_as": "stream"}
    headers = {"X-Script": json.dumps(as_stream)}
    whole_stream = list(client.responses.retrieve("resp_1", stream=True, extra_headers=headers))
    rest = list(client.responses.retrieve("resp_1", stream=True, starting_after=4, extra_headers=headers))
    assert [event.sequence_number for event in rest] == [event.sequence_number for event in whole_stream[5:]]
    headers = {"X-Script": json.dumps({"body": whole(message("你好"), status="cancelled")})}
    assert client.responses.cancel("resp_1", extra_headers=headers).status == "cancelled"
    listed = {"object": "list", "data": [message("你好")], "first_id": "a", "last_id": "a", "has_more": False}
    headers = {"X-Script": json.dumps({"body": listed})}
    items = client.responses.input_items.list("resp_1", extra_headers=headers)
    assert items.data[0].content[0].text == f"{LABEL}\n\n你好\n\n{LABEL}"
    headers = {"X-Script": json.dumps({"body": {"object": "response.input_tokens", "input_tokens": 3}})}
    assert client.responses.input_tokens.count(model="m", input="你好", extra_headers=headers).input_tokens == 3
    headers = {"X-Script": json.dumps({"body": {"id": "resp_1", "object": "response", "deleted": True}})}
    client.responses.delete("resp_1", extra_headers=headers)
    assert [(seen.method, seen.path) for seen in upstream.seen[before:]] == [
        ("GET", f"{PATH}/resp_1"),
        ("GET", f"{PATH}/resp_1?stream=true"),
        ("GET", f"{PATH}/resp_1?stream=true"),
        ("POST", f"{PATH}/resp_1/cancel"),
        ("GET", f"{PATH}/resp_1/input_items"),
        ("POST", TOKENS_PATH),
        ("DELETE", f"{PATH}/resp_1"),
    ]


def test_the_sdk_raises_the_wires_own_errors(client: openai.OpenAI) -> None:
    """A request that cannot be read is refused before the model is asked."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="m", input="画", extra_body={"previous_response_id": 7})
    assert caught.value.param == "previous_response_id"
    assert caught.value.code == "invalid_type"


def test_the_sdk_sees_that_an_upstream_broke_off(client: openai.OpenAI) -> None:
    """The error event is the last; no final response is made up."""
    upstream = told(message("你好"))[:6]
    events = list(
        client.responses.create(model="m", input="你好", stream=True, extra_body={"metadata": script(upstream)})
    )
    assert events[-1].type == "error"
    assert events[-1].code == "upstream_incomplete"


def test_a_prompt_that_is_refused_never_reaches_the_model(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """In an earlier turn, a tool result, a file or a tool's description."""
    file = base64.b64encode(f"看{TERM}".encode()).decode()
    before = len(upstream.seen)
    for more in (
        {"instructions": TERM},
        {
            "input": [
                {
                    "role": "user",
                    "content": [{"type": "input_text", "text": "禁"}, {"type": "input_text", "text": "词"}],
                }
            ]
        },
        {"input": [{"type": "function_call_output", "call_id": "c", "output": TERM}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "filename": "a.txt", "file_data": file}]}]},
        {"tools": [{"type": "function", "name": "n", "description": TERM, "parameters": {}}]},
    ):
        answered = httpx.post(f"{shared_gateway.url}{PATH}", json={"model": "m", "input": "你好", **more})
        assert answered.json()["incomplete_details"] == {"reason": "content_filter"}, more
        assert TERM not in answered.text
    assert len(upstream.seen) == before
