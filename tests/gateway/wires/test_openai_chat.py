# SPDX-License-Identifier: Apache-2.0
"""Chat requests: every text that a model reads is found, what is forwarded is what was checked, the rest is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.events import End
from gateway.wires.interfaces import BadRequest
from gateway.wires.openai_chat import PATH, OpenAIChat
from tests.gateway.wires.driver import ask

WIRE = OpenAIChat()
MARK = "needle"


def request(**members: Any) -> bytes:
    """A request body."""
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}], **members}).encode()


def texts(**members: Any) -> list[str]:
    """The texts of the prompt."""
    return [item.text for item in WIRE.read_request(PATH, "", request(**members)).texts]


def said(*parts: Any, role: str = "user", **members: Any) -> list[dict[str, Any]]:
    """Messages with one that has these parts."""
    return [{"role": role, "content": list(parts), **members}]


@pytest.mark.parametrize(
    "members",
    [
        {"messages": [{"role": "system", "content": MARK}, {"role": "user", "content": "x"}]},
        {"messages": [{"role": "user", "content": "x", "name": MARK}]},
        {"messages": said({"type": "text", "text": MARK})},
        {"messages": said({"type": "refusal", "refusal": MARK}, role="assistant")},
        {"messages": said({"type": "image_url", "image_url": {"url": f"https://example.org/{MARK}.png"}})},
        {"messages": said({"type": "file", "file": {"filename": MARK}})},
        {"messages": said({"type": "text", "text": "x", "vendor": {"note": MARK}})},
        {"messages": [{"role": "user", "content": "x", "vendor": {MARK: 1}}]},
        {"messages": [{"role": "assistant", "content": None, "reasoning_content": MARK}]},
        {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": MARK, "arguments": "{}"}}]}
            ]
        },
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": MARK}}]}]},
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": MARK}]},
        {"messages": [{"role": "poet", "content": MARK}]},
        {"tools": [{"type": "function", "function": {"name": "f", "description": MARK}}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {MARK: {}}}}}]},
        {"functions": [{"name": "f", "description": MARK}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": MARK}}},
        {"prediction": {"type": "content", "content": MARK}},
        {"stop": [MARK]},
        {"web_search_options": {"user_location": {"approximate": {"city": MARK}}}},
        {"vendor_prompt": MARK},
        {"vendor": [{"deep": [{"deeper": MARK}]}]},
    ],
)
def test_every_text_that_a_model_may_read_is_a_text_of_the_prompt(members: dict[str, Any]) -> None:
    """In a message, beside it, in a field nobody knows: the filter sees it."""
    assert any(MARK in text for text in texts(**members))


def test_what_no_model_reads_is_no_text() -> None:
    """Names for the account's owner are not asked of a model."""
    assert texts(
        user=MARK, metadata={MARK: MARK}, service_tier=MARK, prompt_cache_key=MARK, safety_identifier=MARK
    ) == ["hello"]


def test_text_parts_of_a_message_are_one_text() -> None:
    """A word that a part boundary cuts is still that word."""
    found = texts(messages=said({"type": "text", "text": "nee"}, {"type": "text", "text": "dle"}))
    assert MARK in found


def test_a_picture_in_the_prompt_is_media_and_not_text() -> None:
    """Base64 is not looked through for words; the prompt says that it has media."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 300}}
    prompt = WIRE.read_request(PATH, "", request(messages=said({"type": "text", "text": "what?"}, picture)))
    assert prompt.has_media
    assert all("QUJD" not in item.text for item in prompt.texts)
    assert not WIRE.read_request(PATH, "", request()).has_media


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=6).map(lambda key: f"x_{key}"), json_values, max_size=3))
def test_what_is_forwarded_is_what_was_sent(unknown: dict[str, Any]) -> None:
    """Unknown fields go on, in meaning as they came."""
    body = request(temperature=0.5, **unknown)
    prompt = WIRE.read_request(PATH, "", body)
    call = WIRE.call(PATH, "", prompt)
    assert (call.method, call.path) == ("POST", PATH)
    assert json.loads(call.body) == json.loads(body)


@pytest.mark.parametrize("key", ["metadata", "modalities", "stream_options", "user", "vendor", "stop"])
@pytest.mark.parametrize("depth", [300, 1_000])
def test_nesting_without_end_is_a_bad_request(key: str, depth: int) -> None:
    """In a field that is looked at as in one that is not: it is refused while it is read, never broken over later."""
    body = request(**{key: "@"}).replace(b'"@"', b"[" * depth + b"]" * depth)
    with pytest.raises(BadRequest) as caught:
        WIRE.call(PATH, "", WIRE.read_request(PATH, "", body))
    assert caught.value.status == 400


def test_what_is_accepted_can_be_written_again() -> None:
    """At every depth: to the model, and into a sealed body."""
    for depth in (10, 100, 126, 127, 128, 129, 200, 252, 253, 254):
        for key in ("metadata", "vendor"):
            body = request(**{key: "@"}).replace(b'"@"', b"[" * depth + b"]" * depth)
            try:
                prompt = WIRE.read_request(PATH, "", body)
            except BadRequest:
                assert depth > 126
                continue
            assert depth < 128
            assert json.loads(WIRE.call(PATH, "", prompt).body) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", ""),
        (b"{", "invalid_json", ""),
        (b'{"model":"\xff"}', "invalid_json", ""),
        (b"[]", "invalid_type", ""),
        (b"null", "invalid_type", ""),
        (b"{}", "missing_required_parameter", "model"),
        (b'{"model":1,"messages":[]}', "invalid_type", "model"),
        (b'{"model":"m"}', "missing_required_parameter", "messages"),
        (b'{"model":"m","messages":{}}', "invalid_type", "messages"),
        (b'{"model":"m","messages":[]}', "invalid_value", "messages"),
        (b'{"model":"m","messages":["x"]}', "invalid_type", "messages.0"),
        (b'{"model":"m","messages":[{}]}', "invalid_type", "messages.0.role"),
        (b'{"model":"m","messages":[{"role":"user","content":7}]}', "invalid_type", "messages.0.content"),
        (b'{"model":"m","messages":[{"role":"user","content":["x"]}]}', "invalid_type", "messages.0.content.0"),
        (
            b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":7}]}]}',
            "invalid_type",
            "messages.0.content.0",
        ),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":"yes"}', "invalid_type", "stream"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"n":true}', "invalid_type", "n"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"n":"2"}', "invalid_type", "n"),
    ],
)
def test_what_is_wrong_is_named_by_our_own_path(body: bytes, code: str, param: str) -> None:
    """The client reads where to look; nothing of what it wrote is repeated."""
    with pytest.raises(BadRequest) as caught:
        WIRE.read_request(PATH, "", body)
    assert (caught.value.code, caught.value.param, caught.value.status) == (code, param, 400)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["model", "messages", "stream", "n", "tools", MARK]), json_values, max_size=5))
def test_no_request_breaks_the_codec(document: dict[str, Any]) -> None:
    """Any JSON is a prompt or a bad request, and a bad request never repeats the client's words."""
    try:
        WIRE.read_request(PATH, "", json.dumps(document).encode())
    except BadRequest as error:
        assert MARK not in error.message and MARK not in error.param


@pytest.mark.parametrize("sound", [{"voice": "v", "format": "exe"}, {"voice": "v"}, "wav"])
def test_a_sound_of_an_unknown_format_is_refused(sound: Any) -> None:
    """Before the model is asked for what could not be labelled."""
    with pytest.raises(BadRequest) as caught:
        WIRE.read_request(PATH, "", request(modalities=["text", "audio"], audio=sound))
    assert caught.value.param.startswith("audio")


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [(None, False), ({"type": "text"}, False), ({"type": "json_object"}, True), ({"type": "json_schema"}, True)],
)
def test_structured_answers_are_known(response_format: Any, expected: bool) -> None:
    """A label inside JSON would corrupt it."""
    assert WIRE.read_request(PATH, "", request(response_format=response_format)).is_structured is expected


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("structured", [False, True])
def test_a_refusal_is_a_normal_answer_that_the_sdk_reads(stream: bool, structured: bool) -> None:
    """With `content_filter` as its end; in JSON mode without words that are no JSON."""
    members: dict[str, Any] = {"response_format": {"type": "json_object"}} if structured else {}
    exchange = ask(WIRE, PATH, request(stream=stream, **members))
    refusal = Refusal(
        Decision("content_filter", Verdict.BLOCK, Action.REFUSE), status=400, code="content_filter", message="Sorry.",
        in_band=True,
    )  # fmt: skip
    spoken = WIRE.refusal(exchange, refusal)
    assert spoken is not None
    status, events = spoken
    assert status == 200 and isinstance(events[-1], End)
    body = WIRE.writer(exchange).write(events)
    if not stream:
        answer = ChatCompletion.model_validate(json.loads(body))
        assert answer.choices[0].finish_reason == "content_filter"
        assert answer.choices[0].message.content == (None if structured else "Sorry.")
        assert json.loads(body)["aigc"] == exchange.label
        return
    *documents, done = [event.removeprefix(b"data: ") for event in body.split(b"\n\n")[:-1]]
    assert done == b"[DONE]"
    chunks = [ChatCompletionChunk.model_validate(json.loads(document)) for document in documents]
    words = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    ends = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert words == ("" if structured else "Sorry.")
    assert ends == ["content_filter"]
    assert json.loads(documents[0])["aigc"] == json.loads(documents[-1])["aigc"] == exchange.label
