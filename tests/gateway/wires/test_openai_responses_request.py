# SPDX-License-Identifier: Apache-2.0
"""Requests of the Responses wire: every text that a model reads is found, and what cannot be served is refused."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from gateway.wires.interfaces import BadRequest
from gateway.wires.openai_responses import (
    PATH,
)
from tests.gateway.wires.driver import ask
from tests.gateway.wires.responses_scripts import (
    WIRE,
    plain,
)


def test_every_text_that_the_model_reads_is_collected() -> None:
    """Instructions, turns, tool results, files, tools and schemas; parts of one item are one text."""
    file = base64.b64encode("文件里的字".encode()).decode()
    request = {
        "model": "m",
        "instructions": "系统",
        "metadata": {"note": "not for the model"},
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "拆"}, {"type": "input_text", "text": "开"}]},
            {"role": "user", "content": "第二句"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_file", "filename": "名字.txt", "file_data": f"data:text/plain;base64,{file}"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="},
            ]},
            {"type": "function_call", "call_id": "c", "name": "查", "arguments": "{\"地\":1}"},
            {"type": "function_call_output", "call_id": "c", "output": "结果"},
            {"type": "custom_tool_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "另一个"}]},
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "摘要"}],
             "encrypted_content": "opaque"},
            {"type": "item_reference", "id": "msg_9"},
            {"type": "mcp_approval_response", "approval_request_id": "a", "approve": False, "reason": "理由"},
            {"type": "local_shell_call_output", "id": "l", "output": "屏幕"},
            {"type": "shell_call_output", "call_id": "s", "output": [{"stdout": "输出", "stderr": "",
             "outcome": {"type": "exit", "exit_code": 0}}]},
            {"type": "something_new", "words": {"键": ["值"]}},
        ],
        "tools": [{"type": "function", "name": "查", "description": "描述", "parameters": {"属性": {"type": "string"}}},
                  {"type": "mcp", "server_label": "标签", "server_url": "https://例.example"}],
        "prompt": {"id": "pmpt_1", "variables": {"变量": "变量值", "b": {"type": "input_text", "text": "变量部分"}}},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"description": "模式"}}},
    }  # fmt: skip
    prompt = ask(WIRE, PATH, orjson.dumps(request)).prompt
    assert prompt is not None
    found = [item.text for item in prompt.texts]
    for text in ("系统", "拆开", "第二句", "文件里的字", "名字.txt", "查", "{\"地\":1}", "结果", "另一个", "摘要",
                 "理由", "屏幕", "输出", "键", "值", "描述", "属性", "标签", "https://例.example", "变量", "变量值",
                 "变量部分", "模式"):  # fmt: skip
        assert text in found, text
    assert not any("not for the model" in text or "opaque" in text or "iVBOR" in text for text in found)
    assert prompt.is_structured
    assert prompt.has_media
    roles = {item.text: item.role for item in prompt.texts}
    assert roles["结果"] == roles["另一个"] == "tool"
    assert all(item.where.isascii() for item in prompt.texts)


def test_text_files_are_read_in_the_encodings_that_people_use() -> None:
    """UTF-8 with or without a mark, UTF-16 with one, GB 18030 where the file says that it is text."""
    for data in (
        base64.b64encode("禁词".encode("utf-8-sig")).decode(),
        "data:text/plain;base64," + base64.b64encode("禁词".encode("gb18030")).decode(),
        "data:text/csv;base64," + base64.b64encode("禁词".encode("utf-16")).decode(),
        "data:text/plain,%E7%A6%81%E8%AF%8D",
        "禁词",
    ):
        part = {"type": "input_file", "file_data": data}
        prompt = plain(input=[{"role": "user", "content": [part]}]).prompt
        assert prompt is not None and [item.text for item in prompt.texts] == ["禁词"], data


def test_what_cannot_be_read_is_media() -> None:
    """A picture and a PDF are no text, whatever their type says."""
    for kind, raw in (
        ("application/pdf", b"%PDF-1.7 \xe2\xe3\xcf\xd3"),
        ("text/plain", b"\xff\xff\x00"),
        ("", b"a\x00"),
    ):
        data = (f"data:{kind};base64," if kind else "") + base64.b64encode(raw).decode()
        prompt = plain(input=[{"role": "user", "content": [{"type": "input_file", "file_data": data}]}]).prompt
        assert prompt is not None and prompt.has_media and prompt.texts == []


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"input": "a"}, "model"),
        ({"model": 1, "input": "a"}, "model"),
        ({"model": "m", "input": 5}, "input"),
        ({"model": "m", "input": ["a"]}, "input.0"),
        ({"model": "m", "input": [{"content": "a"}]}, "input.0.role"),
        ({"model": "m", "input": [{"role": "user", "content": [3]}]}, "input.0.content.0"),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input.0.content.0.text"),
        ({"model": "m", "input": [{"role": "user", "content": 7}]}, "input.0"),
        ({"model": "m", "input": [{"type": ["x"], "role": "user"}]}, "input.0.type"),
        ({"model": "m", "input": "a", "stream": "yes"}, "stream"),
    ],
)
def test_a_bad_request_names_its_field(request_: dict[str, Any], param: str) -> None:
    """By our own path of it."""
    with pytest.raises(BadRequest) as caught:
        ask(WIRE, PATH, orjson.dumps(request_))
    assert caught.value.param == param
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(BadRequest):
        ask(WIRE, PATH, body)


def test_what_was_checked_is_what_is_forwarded() -> None:
    """Unknown members too, and a duplicate key only once."""
    exchange = ask(WIRE, PATH, b'{"model":"m","input":"a","input":"b","store":true,"novel":[1]}')
    assert exchange.prompt is not None
    sent = WIRE.call(PATH, "", exchange.prompt)
    assert (sent.method, sent.path) == ("POST", PATH)
    assert orjson.loads(sent.body) == {"model": "m", "input": "b", "store": True, "novel": [1]}
