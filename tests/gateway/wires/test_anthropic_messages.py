# SPDX-License-Identifier: Apache-2.0
"""Anthropic Messages: codec, duties on it, and the official SDK against a running gateway."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import anthropic
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.events import Channel, End, Finish, Usage
from gateway.exchange import Exchange, Outcome
from gateway.wires.anthropic_messages import COUNT_PATH, PATH, AnthropicCountTokens, AnthropicMessages
from gateway.wires.interfaces import BadAnswer, BadRequest
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import FILTER, HEAD, HEAD_EN, TAIL, TAIL_EN, TERM, answer, ask, pieces, read, texts
from tests.gateway.wires.hiding import came_through
from tests.upstreams.scripted import ScriptedUpstream

WIRE = AnthropicMessages()
USAGE = {"input_tokens": 25, "output_tokens": 1}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
SEARCHED = {
    "type": "web_search_tool_result", "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "url": "https://example.com/a", "title": "Title", "page_age": "1 day",
                 "encrypted_content": "forbiddenword"}],
}  # fmt: skip


def request(stream: bool = True, **more: Any) -> bytes:
    body = {"model": "claude-x", "max_tokens": 64, "messages": [{"role": "user", "content": "你好"}], "stream": stream}
    return json.dumps({**body, **more}).encode()


def event(kind: str, **members: Any) -> bytes:
    data = json.dumps({"type": kind, **members}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


def start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, kind: str, **members: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **members})


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def text_block(index: int, *said: str) -> bytes:
    deltas = b"".join(delta(index, "text_delta", text=text) for text in said)
    return start(index, type="text", text="") + deltas + stop(index)


def message(*blocks: bytes, reason: str = "end_turn") -> bytes:
    begun = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
             "stop_reason": None, "stop_sequence": None, "usage": USAGE}  # fmt: skip
    return (
        event("message_start", message=begun)
        + b"".join(blocks)
        + event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 15})
        + event("message_stop")
    )


def plain(*blocks: dict[str, Any], reason: str = "end_turn") -> bytes:
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": list(blocks)}
    body |= {"stop_reason": reason, "stop_sequence": None, "usage": {"input_tokens": 25, "output_tokens": 15}}
    return json.dumps(body, ensure_ascii=False).encode()


def exchange(stream: bool = True, **more: Any) -> Exchange:
    return ask(WIRE, PATH, request(stream, **more))


def stream_of(body: bytes, **options: Any) -> tuple[list[dict[str, Any]], Exchange]:
    """The events that a client gets for an upstream's stream."""
    asked = exchange()
    return parsed(answer(WIRE, asked, [body], **options).body), asked


def parsed(body: bytes) -> list[dict[str, Any]]:
    events = []
    for block in body.decode().split("\n\n"):
        if not block:
            continue
        name, data = block.split("\n")
        tree = json.loads(data.removeprefix("data: "))
        assert name == f"event: {tree['type']}"
        events.append(tree)
    return events


def accumulated(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a strict client makes of `events`; fails where the wire's state machine is broken."""
    begun = [item for item in events if item["type"] != "ping"]
    assert begun[0]["type"] == "message_start"
    result: dict[str, Any] = begun[0]["message"]
    open_index = None
    for item in begun[1:]:
        kind = item["type"]
        if kind == "content_block_start":
            assert open_index is None and item["index"] == len(result["content"])
            open_index = item["index"]
            result["content"].append(dict(item["content_block"]))
        elif kind == "content_block_delta":
            assert item["index"] == open_index
            block, change = result["content"][open_index], item["delta"]
            field = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature",
                     "input_json_delta": "partial_json"}.get(change["type"])  # fmt: skip
            if field:
                block[field] = block.get(field, "") + change[field]
            elif change["type"] == "citations_delta":
                block["citations"] = [*(block.get("citations") or []), change["citation"]]
        elif kind == "content_block_stop":
            assert item["index"] == open_index
            open_index = None
        elif kind == "message_delta":
            assert open_index is None
            result.update(item["delta"])
            result["usage"] = {**result["usage"], **item["usage"]}
    assert open_index is None and begun[-1]["type"] == "message_stop"
    return result


def said(result: dict[str, Any]) -> list[str]:
    return [block["text"] for block in result["content"] if block["type"] == "text"]


# ---- the request


def test_every_text_of_the_prompt_is_collected() -> None:
    """System, turns, tool calls and results, documents, tools; cut words are joined; media and secrets are not text."""
    pdf = base64.b64encode(b"%PDF").decode()
    prompt = WIRE.read_request(
        PATH,
        "",
        request(
            system=[{"type": "text", "text": "be "}, {"type": "text", "text": "kind", "cache_control": {"type": "x"}}],
            messages=[
                {"role": "user", "content": [{"type": "text", "text": "禁"}, {"type": "text", "text": "词"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "sig"},
                        {"type": "redacted_thinking", "data": "secret"},
                        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"key": "value"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "42"}]},
                        {"type": "document", "title": "T", "context": "C",
                         "source": {"type": "text", "media_type": "text/plain", "data": "inside"}},
                        {"type": "document", "source": {"type": "content", "content": "nested"}},
                        {"type": "document",
                         "source": {"type": "base64", "media_type": "text/plain",
                                    "data": base64.b64encode("编码".encode()).decode()}},
                        {"type": "document",
                         "source": {"type": "base64", "media_type": "application/pdf", "data": pdf}},
                        {"type": "search_result", "source": "https://e.x", "title": "S",
                         "content": [{"type": "text", "text": "found"}]},
                    ],
                },
            ],
            tools=[{"name": "f", "description": "does f", "input_schema": {"type": "object"}}],
            metadata={"user_id": "somebody"},
            x_new={"deep": ["new"]},
        ),
    )  # fmt: skip
    found = {item.text for item in prompt.texts}
    assert {"be kind", TERM, "hm", "key", "value", "42", "inside", "T", "C", "nested", "编码", "S", "found"} <= found
    assert {"https://e.x", "does f", "new", "deep"} <= found
    assert not {"sig", "secret", "somebody", pdf, "toolu_1"} & found
    assert prompt.has_media and prompt.stream and not prompt.is_structured
    assert json.loads(WIRE.call(PATH, "beta=true", prompt).body) == prompt.body
    assert WIRE.call(PATH, "beta=true", prompt).path == "/v1/messages?beta=true"
    assert {item.role for item in prompt.texts} == {"system", "user", "assistant"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", ""),
        (b"{", ""),
        (json.dumps({"messages": [{}]}).encode(), "model"),
        (json.dumps({"model": "m"}).encode(), "messages"),
        (request(messages=[]), "messages"),
        (request(messages=["x"]), "messages.0"),
        (request(messages=[{"content": "x"}]), "messages.0.role"),
        (request(messages=[{"role": "user"}]), "messages.0.content"),
        (request(messages=[{"role": "user", "content": [1]}]), "messages.0.content.0"),
        (request(messages=[{"role": "user", "content": [{"type": "text", "text": 1}]}]), "messages.0.content.0.text"),
        (request(stream="yes"), "stream"),
        (
            request(messages=[{"role": "user", "content": [
                {"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": "!"}}]}]),
            "messages.0.content.0.source.data",
        ),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_refused_with_our_own_path(body: bytes, param: str) -> None:
    """The error names a field of the protocol, never what the client wrote."""
    with pytest.raises(BadRequest) as caught:
        WIRE.read_request(PATH, "", body)
    assert caught.value.param == param


def test_nesting_without_end_is_refused() -> None:
    """A tool result in a tool result, a hundred times."""
    content: Any = "x"
    for _ in range(100):
        content = [{"type": "tool_result", "content": content}]
    with pytest.raises(BadRequest):
        WIRE.read_request(PATH, "", request(messages=[{"role": "user", "content": content}]))


def test_a_schema_makes_the_answer_machine_readable() -> None:
    """Nothing is written into an answer that a program parses; the envelope carries the label."""
    asked = exchange(output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}})
    assert asked.prompt is not None and asked.prompt.is_structured
    events = parsed(answer(WIRE, asked, [message(text_block(0, '{"a":', "1}"))]).body)
    assert said(accumulated(events)) == ['{"a":1}']
    assert events[0]["aigc"] == events[-1]["aigc"] == asked.label


# ---- the stream


def test_a_stream_is_labelled_at_both_ends_and_in_its_envelope() -> None:
    """Head in the first text block, tail in the last before it stops; the object in the first and the last event."""
    events, asked = stream_of(message(text_block(0, "今天", "天气"), text_block(1, "很好")))
    assert said(accumulated(events)) == [f"{HEAD}今天天气", f"很好{TAIL}"]
    assert [item["type"] for item in events if "aigc" in item] == ["message_start", "message_stop"]
    assert events[-1]["aigc"] == asked.label
    assert asked.outcome is Outcome.COMPLETED
    assert (asked.input_tokens, asked.output_tokens) == (-1, -1)  # the runner's to write


def test_what_passes_unchanged_goes_out_byte_for_byte() -> None:
    """Odd spacing, unknown members, pings: between the labels nothing is written anew."""
    data = b'{"type":  "content_block_delta","index": 0,"delta": {"type":"text_delta","text":"\\u4f60"} }'
    odd = b"event: content_block_delta\ndata: " + data + b"\n\n"
    ping = b'event: ping\ndata: {"type": "ping" }\n\n'
    new = event("brand_new", x=1)
    body = message(start(0, type="text", text="") + ping + odd + new + stop(0))
    out = answer(WIRE, exchange(), [body]).body
    assert odd in out and ping in out and new in out


def test_another_kind_of_block_ends_a_text_and_begins_a_new_one() -> None:
    """The end label stands before the tool call, in the block that the text stands in."""
    events, _ = stream_of(
        message(
            text_block(0, "我查一下"),
            start(1, **TOOL) + delta(1, "input_json_delta", partial_json='{"city":"北京"}') + stop(1),
            text_block(2, "晴"),
            reason="tool_use",
        )
    )
    result = accumulated(events)
    assert said(result) == [f"{HEAD}我查一下{TAIL}", f"{HEAD}晴{TAIL}"]
    assert json.loads(result["content"][1]["partial_json"]) == {"city": "北京"}
    assert result["content"][1]["name"] == "get_weather"


def test_a_text_blocks_stop_waits_one_event_and_a_ping_does_not_count() -> None:
    """The stop leaves with the next event that tells whether the text goes on."""
    asked = exchange()
    body = [message(text_block(0, "好的。"))]
    whole = body[0]
    cut = whole.index(b"event: message_delta")
    parts = answer(WIRE, asked, [whole[:cut], b'event: ping\ndata: {"type": "ping"}\n\n', whole[cut:]]).parts
    assert b"content_block_stop" not in parts[0] + parts[1]
    assert b"ping" in parts[1] and b"content_block_stop" in parts[2]


def test_the_notice_of_first_contact_stands_once_before_everything() -> None:
    """A message of several texts tells it once."""
    asked = exchange()
    asked.head_notice = "这是AI。"
    body = message(text_block(0, "一"), start(1, **TOOL) + stop(1), text_block(2, "二"))
    result = accumulated(parsed(answer(WIRE, asked, [body]).body))
    assert said(result) == [f"这是AI。\n\n{HEAD}一{TAIL}", f"{HEAD}二{TAIL}"]


def test_a_term_stops_the_stream_with_refusal() -> None:
    """What stood before it was shown; it was not; our words follow; the message is well-formed; usage is kept."""
    events, asked = stream_of(message(text_block(0, "先说", "禁", "词，后说")))
    result = accumulated(events)
    assert asked.outcome is Outcome.STOPPED
    assert said(result)[0].startswith(f"{HEAD}先说{TAIL}\n\n")
    assert result["stop_reason"] == "refusal"
    assert result["usage"] == {"input_tokens": 25, "output_tokens": 1}
    assert "禁" not in json.dumps(events, ensure_ascii=False) and "后说" not in json.dumps(events, ensure_ascii=False)
    assert events[-1]["aigc"] == asked.label


@pytest.mark.parametrize(
    "blocks",
    [
        (text_block(0, "好禁"), text_block(1, "词")),
        (text_block(0, "好禁"), text_block(1, ""), text_block(2, "词")),
        (start(0, type="text", text="好禁") + delta(0, "text_delta", text="词") + stop(0),),
        (start(0, type="text", text="好禁词") + stop(0),),
        (start(0, type="thinking", thinking="") + delta(0, "thinking_delta", thinking="禁")
         + delta(0, "thinking_delta", thinking="词") + delta(0, "signature_delta", signature="c2ln") + stop(0),),
        (start(0, **TOOL) + delta(0, "input_json_delta", partial_json='{"a":"禁')
         + delta(0, "input_json_delta", partial_json='词"}') + stop(0),),
        (start(0, **TOOL) + delta(0, "input_json_delta", partial_json='{"a":"\\u79')
         + delta(0, "input_json_delta", partial_json='81\\u8bcd"}') + stop(0),),
        (start(0, type="tool_use", id="toolu_1", name="禁词", input={}) + stop(0),),
        (start(0, type="server_tool_use", id="s", name="web_search", input={"query": "禁词"}) + stop(0),),
        (start(0, **{**SEARCHED, "content": [{"type": "web_search_result", "title": "关于禁词", "url": "u"}]})
         + stop(0),),
        (start(0, type="brand_new", deep=[{"x": "禁词"}]) + stop(0),),
        (start(0, type="brand_new") + delta(0, "new_delta", piece="禁") + delta(0, "new_delta", piece="词") + stop(0),),
        (event("brand_new", note="禁词"), text_block(0, "好")),
        (start(0, type="text", text="") + delta(0, "text_delta", text="好", note="禁词") + stop(0),),
    ],
)  # fmt: skip
def test_a_term_never_leaves_wherever_it_stands(blocks: tuple[bytes, ...]) -> None:
    """Text over blocks, thinking, tool input with and without escapes, names, results, unknown blocks and events."""
    body = message(*blocks)
    events, asked = stream_of(body)
    out = json.dumps(events, ensure_ascii=False)
    assert TERM not in out and "词" not in out
    assert asked.outcome is Outcome.STOPPED
    assert accumulated(events)["stop_reason"] == "refusal"


@pytest.mark.parametrize("stream", [True, False])
def test_a_term_cut_by_a_tool_call_is_still_a_term(stream: bool) -> None:
    """Apps show the texts of a message one behind the other; its second half never leaves."""
    asked = exchange(stream)
    if stream:
        body = message(text_block(0, "好禁"), start(1, **TOOL) + stop(1), text_block(2, "词后"))
    else:
        body = plain({"type": "text", "text": "好禁"}, TOOL, {"type": "text", "text": "词后"})
    out = answer(WIRE, asked, [body]).body
    assert asked.outcome is Outcome.STOPPED and "词" not in out.decode()


def test_a_tool_call_with_a_term_is_left_out_whole() -> None:
    """With its other members it would be another call, and a tool might run it."""
    block = start(1, type="tool_use", id="toolu_1", name="f", input={"ok": "fine", "bad": "禁词"}) + stop(1)
    result = accumulated(stream_of(message(text_block(0, "好"), block))[0])
    assert {item["type"] for item in result["content"]} == {"text"}
    assert "fine" not in json.dumps(result)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "value", ["C:\\forbiddenword", "\\nforbiddenword", "x\\\\forbiddenword", "\\u0066orbiddenword"]
)
def test_a_backslash_in_whole_input_hides_nothing(value: str, stream: bool) -> None:
    """The object is decoded already; read as JSON once more, `\\f` would swallow the first letter."""
    asked = exchange(stream)
    block = {**TOOL, "input": {"path": value}}
    out = answer(WIRE, asked, [message(start(0, **block) + stop(0)) if stream else plain(block)]).body
    if "forbiddenword" in value:
        assert asked.outcome is Outcome.STOPPED and b"forbiddenword" not in out
    else:
        assert asked.outcome is Outcome.COMPLETED


def test_two_calls_are_not_one_text() -> None:
    """What one name ends with is no beginning of the next."""
    blocks = [start(n, type="tool_use", id=f"t{n}", name=name, input={}) + stop(n) for n, name in enumerate("禁词")]
    events, asked = stream_of(message(*blocks))
    assert asked.outcome is Outcome.COMPLETED
    assert [item["name"] for item in accumulated(events)["content"]] == ["禁", "词"]


def test_a_citation_that_may_not_be_said_is_dropped_alone() -> None:
    """It tells of the text and is no part of it; one that may be said stays as it came."""
    good = {"type": "char_location", "cited_text": "好", "document_index": 0}
    bad = {**good, "cited_text": "说禁词"}
    block = (
        start(0, type="text", text="", citations=[])
        + delta(0, "citations_delta", citation=good)
        + delta(0, "citations_delta", citation=bad)
        + delta(0, "text_delta", text="好的")
        + stop(0)
    )
    result = accumulated(stream_of(message(block))[0])
    assert result["content"][0]["citations"] == [good]
    assert said(result) == [f"{HEAD}好的{TAIL}"]


def test_thinking_and_its_signature_arrive_untouched() -> None:
    """No label, no notice; the signature follows the last of the text even where that waited in the guard."""
    block = (
        start(0, type="thinking", thinking="", signature="")
        + delta(0, "thinking_delta", thinking="想想禁")
        + delta(0, "signature_delta", signature="c2ln")
        + stop(0)
    )
    events, _ = stream_of(message(block, start(1, type="redacted_thinking", data="ZGF0YQ==") + stop(1)))
    result = accumulated(events)
    assert result["content"][0] == {"type": "thinking", "thinking": "想想禁", "signature": "c2ln"}
    assert result["content"][1] == {"type": "redacted_thinking", "data": "ZGF0YQ=="}


def test_thinking_is_cut_where_it_would_be_masked() -> None:
    """Changed thinking would carry a signature that is not its own."""
    block = (
        start(0, type="thinking", thinking="", signature="")
        + b"".join(delta(0, "thinking_delta", thinking=text) for text in ("say ", "masked", "word", " and more"))
        + delta(0, "signature_delta", signature="c2ln")
        + stop(0)
    )
    events, asked = stream_of(message(block, text_block(1, "好")))
    result = accumulated(events)
    assert result["content"][0] == {"type": "thinking", "thinking": "say ", "signature": ""}
    assert said(result) == [f"{HEAD}好{TAIL}"]
    assert [item.action for item in asked.decisions] == [Action.MODIFY]
    whole = answer(
        WIRE,
        exchange(stream=False),
        [
            plain(
                {"type": "thinking", "thinking": "say maskedword", "signature": "c2ln"}, {"type": "text", "text": "好"}
            )
        ],
    )
    assert json.loads(whole.body)["content"][0] == {"type": "thinking", "thinking": "say ", "signature": ""}


def test_whole_blocks_are_kept_as_they_came_and_opaque_members_are_not_read() -> None:
    """Search results leave with everything in them, and what is encrypted is nobody's text."""
    block = start(0, **SEARCHED) + stop(0)
    assert start(0, **SEARCHED) in answer(WIRE, exchange(), [message(block, text_block(1, "好"))]).body


def test_an_error_event_is_an_answer_that_broke_off() -> None:
    """Ours follows in its place, and the record says that the upstream failed."""
    body = message(text_block(0, "好的")).split(b"event: content_block_stop")[0]
    error = event("error", error={"type": "overloaded_error", "message": "forbiddenword"})
    asked = exchange()
    got = answer(WIRE, asked, [body, error])
    events = parsed(got.body)
    assert events[-1]["type"] == "error" and events[-1]["error"]["type"] == "api_error"
    assert events[-1]["request_id"] == asked.record_id
    assert asked.outcome is Outcome.UPSTREAM_FAILED
    assert b"forbiddenword" not in got.body
    assert got.body.count(b"event: error") == 1


def test_a_stream_that_breaks_off_is_not_complete() -> None:
    """Whatever is missing: the last event, a stop, everything."""
    body = message(text_block(0, "好"))
    for cut in (0, body.index(b"event: content_block_stop"), body.index(b"event: message_stop")):
        with pytest.raises(BadAnswer, match="incomplete"):
            read(WIRE, exchange(), [body[:cut]])


@pytest.mark.parametrize(
    "body",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        event("message_start"),
        event("message_stop"),
        message(delta(0, "text_delta", text="x")),
        message(start(0, type="text", text="") + start(1, type="text", text="")),
        message(text_block(0, "x"), text_block(0, "x")),
        message(start(0, **TOOL) + delta(0, "text_delta", text="x")),
        message(start(-1, type="text")),
        message(start(0, type="text", text="") + stop(1)),
        b'data: {"type": "bad\\nevent: x"}\n\n',
        b'data: {"type": 1}\n\n',
    ],
)
def test_what_is_not_the_wire_is_no_answer(body: bytes) -> None:
    """Events out of order, of no type, or not JSON."""
    with pytest.raises(BadAnswer):
        read(WIRE, exchange(), [body])


def test_half_a_surrogate_pair_is_replaced_in_its_own_block() -> None:
    """Joined over deltas; what never finds its half stands inside the label's end, not behind the message."""
    joined = delta(0, "text_delta", text="好").replace("好".encode(), b"\\ud83d")
    low = delta(0, "text_delta", text="好").replace("好".encode(), b"\\ude00")
    alone = start(0, type="text", text="") + delta(0, "text_delta", text="好") + joined + low + joined + stop(0)
    events, asked = stream_of(message(alone))
    assert said(accumulated(events)) == [f"{HEAD}好😀\ufffd{TAIL}"] and asked.outcome is Outcome.COMPLETED


def test_usage_is_cumulative() -> None:
    """Input tokens come first, output tokens last; both are in the last count."""
    counts = [item for item in read(WIRE, exchange(), [message(text_block(0, "x"))]) if isinstance(item, Usage)]
    assert [(item.input_tokens, item.output_tokens) for item in counts] == [(25, 1), (25, 15)]


RICH = message(
    start(0, type="thinking", thinking="", signature="")
    + delta(0, "thinking_delta", thinking="想禁")
    + delta(0, "signature_delta", signature="c2ln")
    + stop(0),
    text_block(1, "今天😀", "说禁", "果"),
    text_block(2, "好"),
    start(3, **TOOL) + delta(3, "input_json_delta", partial_json='{"城": "\\u5317') + stop(3),
    start(4, **SEARCHED) + stop(4),
    text_block(5, "完"),
)


@given(st.lists(st.integers(0, len(RICH)), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_events_and_the_same_answer(cuts: list[int]) -> None:
    """Reads may end anywhere, inside UTF-8 too."""
    reads = pieces(RICH, cuts)
    assert texts(read(WIRE, exchange(), reads)) == texts(read(WIRE, exchange(), [RICH]))
    assert accumulated(parsed(answer(WIRE, exchange(), reads).body)) == accumulated(stream_of(RICH)[0])


@given(st.lists(st.lists(st.text(max_size=8), max_size=4), min_size=1, max_size=4))
def test_text_out_is_text_in(blocks: list[list[str]]) -> None:
    """Whatever the model says, nothing but the labels is added, and every block keeps its text."""
    body = message(*(text_block(index, *words) for index, words in enumerate(blocks)))
    result = said(accumulated(stream_of(body)[0]))
    assert len(result) == len(blocks)
    spoken = "".join("".join(words) for words in blocks)
    out = "".join(result)
    assert out in (spoken, HEAD + spoken + TAIL, HEAD_EN + spoken + TAIL_EN, HEAD + spoken + TAIL_EN)
    assert bool(spoken) == (out != spoken)


@given(st.text("前后好", max_size=4), st.text("前后好", max_size=4), st.data())
def test_a_term_split_any_way_over_deltas_and_blocks_never_leaks(before: str, after: str, data: st.DataObject) -> None:
    """Deltas, blocks and reads cut it anywhere; what stood before it is what is shown."""
    spoken = before + TERM + after
    cuts = sorted(data.draw(st.sets(st.integers(0, len(spoken)), max_size=4)))
    new_block = data.draw(st.lists(st.booleans(), min_size=len(cuts), max_size=len(cuts)))
    blocks: list[list[str]] = [[]]
    edges = [0, *cuts, len(spoken)]
    for position, (first, last) in enumerate(pairwise(edges)):
        if position and new_block[position - 1]:
            blocks.append([])
        blocks[-1].append(spoken[first:last])
    body = message(*(text_block(index, *words) for index, words in enumerate(blocks)))
    asked = exchange()
    events = parsed(answer(WIRE, asked, pieces(body, data.draw(st.lists(st.integers(0, 999), max_size=5)))).body)
    out = "".join(said(accumulated(events)))
    assert asked.outcome is Outcome.STOPPED
    assert "词" not in out and "禁" not in out
    assert out.startswith(HEAD + before if before else "")
    whole = [{"type": "text", "text": "".join(words)} for words in blocks]
    other = exchange(stream=False)
    document = json.loads(answer(WIRE, other, [plain(*whole)]).body)
    assert other.outcome is Outcome.STOPPED and document["stop_reason"] == "refusal"
    assert TERM not in json.dumps(document, ensure_ascii=False)


# ---- the plain answer


def test_a_plain_message_is_labelled_like_a_stream() -> None:
    """The same texts in the same blocks, and the object beside them."""
    asked = exchange(stream=False)
    body = plain(
        {"type": "text", "text": "今天"}, {"type": "text", "text": "很好"}, TOOL, {"type": "text", "text": "完"}
    )
    document = json.loads(answer(WIRE, asked, [body]).body)
    assert said(document) == [f"{HEAD}今天", f"很好{TAIL}", f"{HEAD}完{TAIL}"]
    assert document["aigc"] == asked.label
    assert document["content"][2] == TOOL


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "说禁词"},
        {"type": "thinking", "thinking": "想禁词", "signature": "s"},
        {**TOOL, "input": {"a": ["禁词"]}},
        {**TOOL, "input": {"禁词": 1}},
        {**TOOL, "name": "禁词"},
        {"type": "brand_new", "x": {"y": "禁词"}},
    ],
)
def test_a_plain_message_with_a_term_shows_nothing_of_the_models(block: dict[str, Any]) -> None:
    """Our words in one text block, and the wire's own ending."""
    asked = exchange(stream=False)
    document = json.loads(answer(WIRE, asked, [plain({"type": "text", "text": "好"}, block)]).body)
    assert asked.outcome is Outcome.STOPPED
    assert document["stop_reason"] == "refusal" and document["usage"] == {"input_tokens": 25, "output_tokens": 15}
    assert [item["type"] for item in document["content"]] == ["text"]
    assert "好" not in said(document)[0] and TERM not in json.dumps(document, ensure_ascii=False)


def test_unknown_members_of_a_plain_message_are_kept_and_masked_words_are_masked() -> None:
    """A tool's input is put together again with only the masked word changed."""
    body = json.loads(plain({**TOOL, "input": {"a": ["x maskedword y", 1, None]}, "x_new": True}))
    body["x_vendor"] = {"n": 2**70}
    document = json.loads(answer(WIRE, exchange(stream=False), [json.dumps(body).encode()]).body)
    assert document["content"][0]["input"] == {"a": ["x ********** y", 1, None]}
    assert document["content"][0]["x_new"] is True and document["x_vendor"] == {"n": 2**70}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"content": 1}', b'{"content": ["x"]}'])
def test_a_plain_body_that_is_no_message_is_no_answer(body: bytes) -> None:
    """`BadAnswer`, nothing else."""
    with pytest.raises(BadAnswer):
        read(WIRE, exchange(stream=False), [body])


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: b"data: " + text.encode() + b"\n\n"))
def test_garbage_is_a_bad_answer_and_nothing_else(body: bytes) -> None:
    """Streamed or plain."""
    for stream in (True, False):
        with pytest.raises(BadAnswer):
            read(WIRE, exchange(stream), [body])


PASSED: set[str] = set()
"""Nothing passes by its name alone: what stands in a naming member has to look like a name."""


def test_there_is_no_place_to_hide_in_a_stream() -> None:
    """Known members of the wrong event or type, unknown ones, keys: all are looked at, or the answer is none."""
    documents = parsed(
        message(
            start(0, type="thinking", thinking="", signature="")
            + delta(0, "thinking_delta", thinking="想")
            + delta(0, "signature_delta", signature="c2ln")
            + stop(0),
            text_block(1, "今天"),
            start(2, **TOOL) + delta(2, "input_json_delta", partial_json='{"a":1}') + stop(2),
            start(3, **SEARCHED) + stop(3),
        )
    )

    def framed(trees: Sequence[dict[str, Any]]) -> bytes:
        return b"".join(event(tree["type"], **{key: tree[key] for key in tree.keys() - {"type"}}) for tree in trees)

    tried, found = came_through(WIRE, exchange, documents, framed, PASSED, {"input"})
    assert found == [] and tried > 1_000


def test_there_is_no_place_to_hide_in_a_plain_message() -> None:
    """The same for a whole document; what stands beside the content is emptied with it."""
    thought = {"type": "thinking", "thinking": "想", "signature": "s"}
    tool = {**TOOL, "input": {"a": {"id": "x"}}}
    documents = [json.loads(plain(thought, {"type": "text", "text": "今天"}, tool, SEARCHED))]
    tried, found = came_through(
        WIRE, lambda: exchange(stream=False), documents,
        lambda trees: json.dumps(trees[0], ensure_ascii=False).encode(), PASSED, {"input"},
    )  # fmt: skip
    assert found == [] and tried > 300


# ---- refusals, errors, counting


@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_is_a_whole_message_of_the_wire(stream: bool) -> None:
    """No model was asked; SDKs parse it and apps show it."""
    asked = exchange(stream)
    refusal = Refusal(Decision("x", Verdict.BLOCK, Action.REFUSE), status=400, code="x", message="不行", in_band=True)
    made = WIRE.refusal(asked, refusal)
    assert made is not None
    status, events = made
    out = WIRE.writer(asked).write(events)
    document = accumulated(parsed(out)) if stream else json.loads(out)
    assert status == 200 and said(document) == ["不行"] and document["stop_reason"] == "refusal"
    assert document["model"] == "claude-x" and document["role"] == "assistant"
    if stream:
        assert parsed(out)[0]["aigc"] == parsed(out)[-1]["aigc"] == asked.label


def test_a_refusal_of_a_machine_readable_answer_has_no_text() -> None:
    """Words would break the parser; the notices tell."""
    asked = exchange(output_config={"format": {"type": "json_schema"}})
    refusal = Refusal(Decision("x", Verdict.BLOCK, Action.REFUSE), status=400, code="x", message="不行", in_band=True)
    made = WIRE.refusal(asked, refusal)
    assert made is not None and [type(item) for item in made[1]] == [Finish, End]


def test_counting_tokens_reads_the_same_prompt_and_passes_the_answer() -> None:
    """Nothing generates it, so nothing labels it; it has no in-band refusal."""
    count = AnthropicCountTokens()
    asked = ask(count, COUNT_PATH, request(messages=[{"role": "user", "content": "禁词"}]))
    assert asked.prompt is not None and asked.prompt.texts[0].text == TERM and not asked.prompt.stream
    reader = count.reader(asked.prompt, 1_000)
    assert count.writer(asked).write([*reader.feed(b'{"input_tokens": 7}'), *reader.close()]) == b'{"input_tokens": 7}'
    refusal = Refusal(Decision("x", Verdict.BLOCK, Action.REFUSE), status=400, code="x", message="不行", in_band=True)
    assert count.refusal(asked, refusal) is None
    assert json.loads(count.error(429, "quota", "Later."))["error"]["type"] == "rate_limit_error"


def test_every_lane_of_a_rich_stream_is_where_it_belongs() -> None:
    """Text is the answer, thinking is reasoning, fragments are a tool's arguments, results are looked at."""
    lanes = texts(read(WIRE, exchange(), [RICH]))
    assert lanes[0, Channel.ANSWER, 0] == "今天😀说禁果好完"
    assert lanes[0, Channel.REASONING, 0] == "想禁"
    assert lanes[0, Channel.TOOL_ARGUMENTS, 3] == '{"城": "\\u5317'
    assert lanes[-2, Channel.TOOL_NAME, 1] == "get_weather\uffff"  # the end of a whole text
    assert any("Title" in text for (choice, *_), text in lanes.items() if choice == -2)
    assert FILTER.check_text("".join(lanes.values()), "answer").verdict.value == "pass"


# ---- the official SDK


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=shared_gateway.url, api_key="sk-ant", max_retries=0, timeout=20) as made:
        yield made


KEYS = ("x-api-key", "authorization")
LABEL = "本内容由AI生成"
MESSAGES: list[Any] = [{"role": "user", "content": "你好"}]


def scripted(body: bytes, stream: bool) -> dict[str, Any]:
    """The options that make the upstream answer with `body`."""
    script = {"raw_base64": base64.b64encode(body).decode(), "answers_as": "stream" if stream else "plain"}
    return {
        "model": "claude-x",
        "max_tokens": 64,
        "messages": MESSAGES,
        "extra_headers": {"X-Script": json.dumps(script)},
    }


def test_the_sdk_reads_a_plain_message(client: anthropic.Anthropic, upstream: ScriptedUpstream) -> None:
    """Labelled in text and envelope; the key and the version reach the model."""
    upstream.reset()
    got = client.messages.create(**scripted(plain({"type": "text", "text": "今天很好"}), False))
    block = got.content[0]
    assert block.type == "text" and block.text == f"{LABEL}\n\n今天很好\n\n{LABEL}"
    assert got.model_extra is not None and got.model_extra["aigc"]["Label"] == "1"
    seen = upstream.seen[0]
    assert seen.header("anthropic-version") == client.default_headers["anthropic-version"]
    assert [value for name in KEYS if (value := seen.header(name))] in (["sk-ant"], ["Bearer sk-ant"])
    assert seen.path == "/v1/messages"


@pytest.mark.parametrize(
    ("version", "key"),
    [("2023-06-01", {"x-api-key": "sk-ant"}), ("2026-10-21", {"authorization": "Bearer sk-ant"})],
)
def test_clients_of_either_version_of_the_api_are_served(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream, version: str, key: dict[str, str]
) -> None:
    """Version and key reach the model as they came; its own refusal of a parameter reaches the client."""
    upstream.reset()
    refused = {"type": "error", "error": {"type": "invalid_request_error", "message": "temperature: removed"}}
    script = json.dumps({"status": 400, "body": refused})
    got = httpx.post(
        shared_gateway.url + PATH,
        content=request(stream=False, temperature=1.0),
        headers={**key, "anthropic-version": version, "x-script": script},
    )
    assert (got.status_code, got.json()) == (400, refused)
    seen = upstream.seen[0]
    assert seen.header("anthropic-version") == version and seen.json["temperature"] == 1.0
    assert {name: seen.header(name) for name in KEYS if seen.header(name)} == key


def test_the_sdk_accumulates_a_stream_with_thinking_and_a_tool(client: anthropic.Anthropic) -> None:
    """The final message is what a stream without a gateway would give, with labels in its texts."""
    body = message(
        start(0, type="thinking", thinking="", signature="")
        + delta(0, "thinking_delta", thinking="想")
        + delta(0, "signature_delta", signature="c2ln")
        + stop(0),
        text_block(1, "我查", "一下"),
        start(2, **TOOL) + delta(2, "input_json_delta", partial_json='{"city":"北京"}') + stop(2),
        reason="tool_use",
    )
    with client.messages.stream(**scripted(body, True)) as stream:
        got = stream.get_final_message()
    thinking, text, tool = got.content
    assert thinking.type == "thinking" and (thinking.thinking, thinking.signature) == ("想", "c2ln")
    assert text.type == "text" and text.text == f"{LABEL}\n\n我查一下\n\n{LABEL}"
    assert tool.type == "tool_use" and tool.input == {"city": "北京"}
    assert got.stop_reason == "tool_use" and got.usage.output_tokens == 15
    events = list(client.messages.create(**scripted(body, True), stream=True))
    extras = {item.type: item.model_extra for item in (events[0], events[-1])}
    assert extras["message_start"] == extras["message_stop"]
    assert extras["message_stop"] is not None and extras["message_stop"]["aigc"]["Label"] == "1"


def test_the_sdk_gets_a_well_formed_message_from_a_stopped_stream(
    client: anthropic.Anthropic, shared_gateway: RunningGateway
) -> None:
    """`refusal`, our words, nothing of the term; the record says what happened."""
    body = message(text_block(0, "先说禁"), text_block(1, "词"))
    with client.messages.stream(**scripted(body, True)) as stream:
        got = stream.get_final_message()
        record_id = stream.response.headers["duty-record"]
    assert got.stop_reason == "refusal"
    assert got.content[0].type == "text" and got.content[0].text.startswith(f"{LABEL}\n\n先说")
    assert "禁词" not in got.model_dump_json()
    close = next(item for item in shared_gateway.record(record_id)["related"] if item["type"] == "close")
    assert close["record"]["outcome"] == "stopped"


def test_the_sdk_gets_a_refused_prompt_as_a_message(client: anthropic.Anthropic, upstream: ScriptedUpstream) -> None:
    """The model is not asked."""
    upstream.reset()
    options = {**scripted(b"", False), "messages": [{"role": "user", "content": "说禁词"}]}
    got = client.messages.create(**options)
    assert got.stop_reason == "refusal" and got.content[0].type == "text" and "禁词" not in got.content[0].text
    with client.messages.stream(**options) as stream:
        assert stream.get_final_message().stop_reason == "refusal"
    with pytest.raises(anthropic.BadRequestError):
        client.messages.count_tokens(model="claude-x", messages=[{"role": "user", "content": "禁词"}])
    assert upstream.seen == []


def test_the_sdk_raises_its_own_errors(client: anthropic.Anthropic) -> None:
    """A broken-off stream, a bad request, an upstream's own refusal."""
    body = message(text_block(0, "好的")).split(b"event: content_block_stop")[0]
    with (
        pytest.raises(anthropic.APIStatusError, match="api_error"),
        client.messages.stream(**scripted(body, True)) as stream,
    ):
        list(stream)
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**{**scripted(b"", False), "messages": []})
    assert caught.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    script = {"status": 529, "body": {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}}
    options = {**scripted(b"", False), "extra_headers": {"X-Script": json.dumps(script)}}
    with pytest.raises(anthropic.APIStatusError) as busy:
        client.messages.create(**options)
    assert busy.value.status_code == 529


def test_the_sdk_counts_tokens(client: anthropic.Anthropic, shared_gateway: RunningGateway) -> None:
    """The count comes as it was, without a label."""
    script = {"body": {"input_tokens": 7}}
    got = client.messages.count_tokens(
        model="claude-x", messages=MESSAGES, extra_headers={"X-Script": json.dumps(script)}
    )
    assert got.input_tokens == 7 and not got.model_extra
    answered = httpx.get(f"{shared_gateway.url}{PATH}")
    assert answered.status_code == 405
