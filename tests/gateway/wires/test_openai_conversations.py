# SPDX-License-Identifier: Apache-2.0
"""OpenAI conversations: what is put into one is a prompt, what is read out of one is an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest

from gateway.events import Media
from gateway.wires import Table
from gateway.wires.interfaces import BadAnswer, BadRequest
from gateway.wires.openai_conversations import PATH, ConversationItem, ConversationItems, Conversations
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import HEAD, TAIL, TERM, answer, ask, read
from tests.upstreams.scripted import Script, ScriptedUpstream

ONE = f"{PATH}/conv_1"
ITEMS = f"{ONE}/items"


def said(text: str, role: str = "assistant") -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text, **({"annotations": []} if role == "assistant" else {})}]
    return {"id": "msg_1", "type": "message", "role": role, "status": "completed", "content": content}


def listed(*items: dict[str, Any]) -> bytes:
    return orjson.dumps({"object": "list", "data": items, "first_id": "a", "last_id": "b", "has_more": False})


def test_every_place_has_its_wire() -> None:
    """Others are refused."""
    found = Table().find
    for method, path, name in (
        ("POST", PATH, Conversations.name),
        ("GET", ONE, Conversations.name),
        ("POST", ONE, Conversations.name),
        ("DELETE", ONE, Conversations.name),
        ("GET", ITEMS, ConversationItems.name),
        ("POST", ITEMS, ConversationItems.name),
        ("GET", f"{ITEMS}/msg_1", ConversationItem.name),
        ("DELETE", f"{ITEMS}/msg_1", Conversations.name),
    ):
        wire = found(method, path)
        assert wire is not None and wire.name == name
    assert found("GET", PATH) is None and found("GET", f"{ITEMS}/a/b") is None


def test_items_and_metadata_are_texts() -> None:
    """Of all roles; the request goes on as it was checked."""
    wire = Conversations("POST")
    request = {"items": [{"role": "user", "content": "hello"}, said("an answer")], "metadata": {"topic": "cats"}}
    prompt = wire.read_request(PATH, "", orjson.dumps(request))
    assert {item.text for item in prompt.texts} >= {"hello", "an answer", "topic", "cats"}
    call = wire.call(PATH, "include=x", prompt)
    assert (call.method, call.path, orjson.loads(call.body)) == ("POST", f"{PATH}?include=x", request)


@pytest.mark.parametrize(
    ("body", "param"),
    [({"items": "x"}, "items"), ({"items": [5]}, "items.0"), ({"items": [{"content": "x"}]}, "items.0.role")],
)
def test_a_bad_request_names_its_field(body: dict[str, Any], param: str) -> None:
    """By our own path of it."""
    for wire in (Conversations("POST"), ConversationItems("POST")):
        with pytest.raises(BadRequest) as caught:
            wire.read_request(PATH, "", orjson.dumps(body))
        assert caught.value.param == param
    with pytest.raises(BadRequest):
        ConversationItems("POST").read_request(ITEMS, "", b"{}")


def test_what_is_read_out_is_labelled_like_an_answer() -> None:
    """In a list and alone; what a person said has no label."""
    wire = ConversationItems("GET")
    got = orjson.loads(answer(wire, ask(wire, ITEMS, b""), [listed(said("你好"), said("在吗", "user"))]).body)
    first, second = got["data"]
    assert first["content"][0]["text"] == HEAD + "你好" + TAIL
    assert second["content"][0]["text"] == "在吗"
    assert got["aigc"]["Label"] == "1"
    single = ConversationItem("GET")
    got = orjson.loads(answer(single, ask(single, f"{ITEMS}/msg_1", b""), [orjson.dumps(said("你好"))]).body)
    assert got["content"][0]["text"] == HEAD + "你好" + TAIL
    assert got["aigc"]["Label"] == "1"


@pytest.mark.parametrize("role", ["assistant", "user"])
def test_what_may_not_be_said_is_not_read_out(role: str) -> None:
    """A list is empty then, a single item is the wire's error."""
    wire, single = ConversationItems("GET"), ConversationItem("GET")
    body = answer(wire, ask(wire, ITEMS, b""), [listed(said("fine"), said(f"a {TERM}", role))]).body
    assert TERM.encode() not in body and orjson.loads(body)["data"] == []
    exchange = ask(single, f"{ITEMS}/msg_1", b"")
    body = answer(single, exchange, [orjson.dumps(said(f"a {TERM}", role))]).body
    assert TERM.encode() not in body and orjson.loads(body)["error"]["code"] == "content_filter"


def test_a_picture_in_an_item_is_a_medium() -> None:
    """It needs its labels as in a response."""
    drawn = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "aGk="}
    single = ConversationItem("GET")
    exchange = ask(single, f"{ITEMS}/ig_1", b"")
    assert [event.data for event in read(single, exchange, [orjson.dumps(drawn)]) if isinstance(event, Media)] == [
        b"hi"
    ]
    with pytest.raises(BadAnswer, match="unlabelled_media"):
        answer(single, exchange, [orjson.dumps(drawn)])


@pytest.mark.parametrize("body", [b"[]", b"nothing", b"{}", b'{"data":{}}'])
def test_what_is_no_such_list_is_refused(body: bytes) -> None:
    """With a fixed word for the reason."""
    wire = ConversationItems("GET")
    with pytest.raises(BadAnswer):
        answer(wire, ask(wire, ITEMS, b""), [body])


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0) as made:
        yield made


def test_the_official_sdk_reads_conversations(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """Made, filled, listed, asked for one item and deleted; a forbidden item never reaches the model's server."""
    upstream.reset()
    conversation = {"id": "conv_1", "object": "conversation", "created_at": 1, "metadata": {}}
    for body in (
        conversation,
        orjson.loads(listed(said("你好"))),
        orjson.loads(listed(said("你好"))),
        said("你好"),
        conversation,
        {"id": "conv_1", "object": "conversation.deleted", "deleted": True},
    ):
        upstream.queued.append(Script.of({"body": body}))
    made = client.conversations.create(items=[{"role": "user", "content": "hello"}])
    put = client.conversations.items.create(made.id, items=[{"role": "user", "content": "hello"}])
    everything = client.conversations.items.list(made.id).data
    one: Any = client.conversations.items.retrieve("msg_1", conversation_id=made.id)
    assert put.data[0] == everything[0]
    assert "你好" in one.content[0].text != "你好"
    assert client.conversations.items.delete("msg_1", conversation_id=made.id).id == "conv_1"
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.BadRequestError) as caught:
        client.conversations.items.create(made.id, items=[{"role": "user", "content": f"a {TERM}"}])
    assert caught.value.code == "content_filter"
    assert [(seen.method, seen.path) for seen in upstream.seen] == [
        ("POST", PATH),
        ("POST", ITEMS),
        ("GET", ITEMS),
        ("GET", f"{ITEMS}/msg_1"),
        ("DELETE", f"{ITEMS}/msg_1"),
        ("DELETE", ONE),
    ]


def test_the_official_sdk_compacts_a_conversation(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """The prompt is checked; what only the upstream can read goes through; what may not be said is an error."""
    upstream.reset()
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    short = {"id": "cmp_1", "type": "compaction", "encrypted_content": "gAAA"}
    document = {"id": "resp_1", "object": "response.compaction", "created_at": 1, "usage": usage}
    upstream.queued.append(Script.of({"body": {**document, "output": [said("hello", "user"), short]}}))
    upstream.queued.append(Script.of({"body": {**document, "output": [said(f"a {TERM}", "user"), short]}}))
    made: Any = client.responses.compact(model="gpt-5.1", input=[{"role": "user", "content": "hello"}])
    assert made.output[1].encrypted_content == "gAAA"
    assert made.output[0].content[0].text == "hello"
    for text, count in (("fine", 2), (f"a {TERM}", 2)):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.compact(model="gpt-5.1", input=text)
        assert caught.value.code == "content_filter"
        assert len(upstream.seen) == count
