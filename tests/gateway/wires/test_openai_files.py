# SPDX-License-Identifier: Apache-2.0
"""Files and batches: what is asked in a file is checked as if it were asked directly, what a file says is guarded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest

from gateway.wires import Table
from gateway.wires.form import Part, read_form, write_form
from gateway.wires.interfaces import BadRequest
from gateway.wires.openai_chat import PATH as CHAT
from gateway.wires.openai_chat import OpenAIChat
from gateway.wires.openai_files import BATCHES_PATH, FILES_PATH, OpenAIBatches, OpenAIFileUpload
from tests.conftest import RunningGateway
from tests.upstreams.scripted import Script, ScriptedUpstream

UPLOAD = OpenAIFileUpload({CHAT: OpenAIChat()})


def uploaded(data: bytes, purpose: str = "batch", **fields: str) -> Any:
    body, content_type = write_form(
        [Part("purpose", purpose.encode()), Part("file", data, "batch.jsonl"),
         *(Part(name, value.encode()) for name, value in fields.items())]
    )  # fmt: skip
    return UPLOAD.read_request_with_headers(FILES_PATH, "", body, [(b"content-type", content_type.encode())])


def line(text: str = "你好", **more: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": "c-1", "method": "POST", "url": CHAT, "body": body, **more}


def jsonl(*lines: Any) -> bytes:
    return b"\n".join(item if isinstance(item, bytes) else orjson.dumps(item) for item in lines)


def test_every_line_of_a_batch_is_read_by_its_own_wire() -> None:
    """Its texts are found where that wire finds them, and the file is written anew from what was read."""
    given = jsonl(line("one"), b"", line("two"))
    prompt = uploaded(given)
    found = {(item.where, item.text) for item in prompt.texts}
    assert ("file.1.body.messages.0.content", "one") in found
    assert ("file.3.body.messages.0.content", "two") in found
    call = UPLOAD.call(FILES_PATH, "", prompt)
    parts = read_form(call.body, [(b"content-type", call.content_type.encode())])
    sent = next(part for part in parts if part.name == "file")
    assert [json.loads(item) for item in sent.data.splitlines()] == [line("one"), line("two")]


def test_a_member_that_comes_twice_cannot_hide_a_text() -> None:
    """Two parsers would read two requests; the server gets the one that was checked."""
    hidden = (
        b'{"method":"POST","url":"%s","body":{"model":"m","messages":[{"role":"user","content":"%s","content":"x"}]}}'
    )
    call = UPLOAD.call(FILES_PATH, "", uploaded(hidden % (CHAT.encode(), "禁词".encode())))
    assert "禁词".encode() not in call.body


@pytest.mark.parametrize(
    ("bad", "param"),
    [
        (b"oops", "file.2"),
        (b"[]", "file.2"),
        (line(url="/v1/images/generations"), "file.2.url"),
        (line(method="GET"), "file.2.url"),
        (line(body="x"), "file.2.body"),
        (line(body={"model": "m"}), "file.2.body.messages"),
        (line(body={"model": "m", "messages": ["x"]}), "file.2.body.messages.0"),
    ],
)
def test_a_bad_line_names_itself(bad: Any, param: str) -> None:
    """Nothing may be asked in a batch that could not be asked directly."""
    with pytest.raises(BadRequest) as caught:
        uploaded(jsonl(line(), bad))
    assert caught.value.param == param


def test_other_purposes_are_texts_where_they_are_texts() -> None:
    """Lines for fine-tuning; any UTF-8, also without JSON's escapes; bytes are media."""
    tuned = uploaded(jsonl({"messages": [{"content": "deep"}]}), "fine-tune")
    assert "deep" in {item.text for item in tuned.texts}
    assert "plain words" in {item.text for item in uploaded(b"plain words", "user_data").texts}
    assert "禁词" in {item.text for item in uploaded(b'{"a": "\\u7981\\u8bcd"}', "user_data").texts}
    picture = uploaded(b"\x89PNG\xff", "vision")
    assert {item.text for item in picture.texts} == {"vision", "batch.jsonl"}
    assert picture.has_media


def test_a_form_without_its_file_or_purpose_is_refused() -> None:
    """Nothing to check is nothing to pass."""
    for parts in ([Part("purpose", b"batch")], [Part("file", b"x", "f")], [Part("file", b"x", "f")] * 2):
        body, content_type = write_form(parts)
        with pytest.raises(BadRequest):
            UPLOAD.read_request_with_headers(FILES_PATH, "", body, [(b"content-type", content_type.encode())])


def test_a_batch_asks_only_what_has_a_wire() -> None:
    """By its endpoint."""
    wire = OpenAIBatches([CHAT])
    request = {"input_file_id": "f", "endpoint": CHAT, "completion_window": "24h", "metadata": {"note": "words"}}
    prompt = wire.read_request(BATCHES_PATH, "", orjson.dumps(request))
    assert {item.text for item in prompt.texts} >= {"note", "words"}
    assert orjson.loads(wire.call(BATCHES_PATH, "", prompt).body) == request
    for more in ({"endpoint": "/v1/other"}, {"endpoint": None}, {"input_file_id": 1}):
        with pytest.raises(BadRequest):
            wire.read_request(BATCHES_PATH, "", orjson.dumps({**request, **more}))


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/files", "openai_file_upload"),
        ("GET", "/v1/files", "openai_files"),
        ("GET", "/v1/files/f-1", "openai_files"),
        ("DELETE", "/v1/files/f-1", "openai_files"),
        ("GET", "/v1/files/f-1/content", "openai_file_content"),
        ("POST", "/v1/batches", "openai_batches"),
        ("POST", "/v1/batches/b-1/cancel", "openai_files"),
    ],
)
def test_each_place_has_its_wire(method: str, path: str, name: str) -> None:
    """A content is never taken for a mere description."""
    wire = Table().find(method, path)
    assert wire is not None
    assert wire.name == name


# The official SDK.


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0) as made:
        yield made


FILE = {"id": "f-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "b.jsonl", "purpose": "batch",
        "status": "processed"}  # fmt: skip


def test_a_forbidden_line_does_not_reach_the_server(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """A clean file does."""
    upstream.reset()
    upstream.queued.append(Script.of({"body": FILE}))
    assert client.files.create(file=("b.jsonl", jsonl(line())), purpose="batch").id == "f-1"
    assert upstream.seen[0].path == FILES_PATH
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=("b.jsonl", jsonl(line(), line("a 禁词"))), purpose="batch")
    assert caught.value.code == "content_filter"
    assert len(upstream.seen) == 1


def test_a_batch_begins_and_its_output_is_labelled(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """Line by line; a forbidden line withholds the file."""
    upstream.reset()
    batch = {"id": "b-1", "object": "batch", "endpoint": CHAT, "input_file_id": "f-1", "completion_window": "24h",
             "status": "validating", "created_at": 1}  # fmt: skip
    upstream.queued.append(Script.of({"body": batch}))
    begun = client.batches.create(input_file_id="f-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert begun.id == "b-1"
    upstream.queued.append(Script.of({"body": {"object": "list", "data": [FILE], "has_more": False}}))
    assert client.files.list(limit=3).data[0].id == "f-1"
    assert upstream.seen[-1].path == "/v1/files?limit=3"
    choice = {"index": 0, "message": {"role": "assistant", "content": "今天很好"}, "finish_reason": "stop"}
    done = {"id": "r", "custom_id": "c-1", "response": {"status_code": 200, "body": {"choices": [choice]}}}
    upstream.queued.append(Script.of({"raw": jsonl(done, done).decode(), "content_type": "application/octet-stream"}))
    told = [json.loads(item) for item in client.files.content("f-1").text.splitlines()]
    assert len(told) == 2
    body = told[1]["response"]["body"]
    assert "本内容由AI生成" in body["choices"][0]["message"]["content"]
    assert body["aigc"]["Label"] == "1"
    choice["message"] = {"role": "assistant", "content": "a 禁词"}
    upstream.queued.append(Script.of({"raw": jsonl(done).decode(), "content_type": "application/octet-stream"}))
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.content("f-1")
    assert caught.value.code == "content_filter"
    assert "禁词" not in str(caught.value)
