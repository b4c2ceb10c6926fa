# SPDX-License-Identifier: Apache-2.0
"""Answers of the Responses wire, driven as the runner drives them: nothing leaks, and everything says the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Outcome
from gateway.wires.interfaces import BadAnswer
from gateway.wires.openai_responses import (
    PATH,
    StoredResponse,
)
from tests.gateway.wires.driver import HEAD, TAIL, TERM, answer, ask, pieces, read
from tests.gateway.wires.responses_scripts import (
    BASE,
    ITEMS,
    STREAM_EVENT,
    USAGE,
    WIRE,
    WORDS,
    call,
    checked,
    cut,
    events_of,
    message,
    output_text,
    plain,
    reasoning,
    refusal,
    said,
    shapes,
    sse,
    stream,
    streamed,
    told,
    whole,
)


@given(st.lists(st.integers(0, 20_000), max_size=6), st.integers(1, 4))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int], split: int) -> None:
    """Reads cut anywhere, also inside characters."""
    body = sse(told(*ITEMS, split=split))
    assert shapes(read(WIRE, stream(), pieces(body, cuts))) == shapes(read(WIRE, stream(), [body]))


@given(st.lists(st.integers(0, 20_000), max_size=6), st.integers(1, 4))
def test_what_is_clean_arrives_as_it_was_said(cuts: list[int], split: int) -> None:
    """Labels apart, every text is the upstream's, in deltas and in every repetition of them."""
    events = streamed(*ITEMS, split=split, cuts=tuple(cuts))
    output = events[-1]["response"]["output"]
    assert events[-1]["type"] == "response.completed"
    assert [part["text"] for part in output[1]["content"]] == [
        f"{HEAD}今天天气很好。{TAIL}",
        f"{HEAD}第二部分 👍🏽。{TAIL}",
    ]
    for index in (0, 2, 3):
        assert output[index] == ITEMS[index]
    assert events[-1]["response"]["usage"] == USAGE


def test_nothing_changes_where_nothing_is_added() -> None:
    """JSON mode: every event leaves as the bytes that came, but for the first and the last, which carry the label."""
    upstream = told(*ITEMS, base={**BASE, "text": {"format": {"type": "json_object"}}})
    out = answer(WIRE, stream(text={"format": {"type": "json_object"}}), [sse(upstream)]).body
    blocks, came = out.split(b"\n\n"), sse(upstream).split(b"\n\n")
    assert blocks[1:-2] == came[1:-2]
    assert len(blocks) == len(came)


def test_a_number_that_does_not_begin_at_zero_goes_on_from_there() -> None:
    """And stays without gaps, whatever is added."""
    body = sse(told(message("你好"), first=7))
    assert checked(answer(WIRE, stream(), [body]).body, first=7)[-1]["response"]["output"]


@given(st.lists(st.integers(0, 20_000), max_size=6), st.integers(1, 6), st.sampled_from(["禁词", "禁\u200b詞"]))
def test_a_term_in_any_split_never_leaves(cuts: list[int], split: int, word: str) -> None:
    """Not in a delta, not in what repeats it, not in the snapshot; what stood before it stays."""
    body = sse(told(message(f"前面的话{word}后面的话"), split=split))
    answered = answer(WIRE, stream(), pieces(body, cuts))
    events = checked(answered.body)
    assert (
        "词" not in answered.body.decode()
        and "詞" not in answered.body.decode()
        and "后面" not in answered.body.decode()
    )
    assert answered.exchange.outcome is Outcome.STOPPED
    last = events[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
    text = output_text(last["response"])
    assert text.startswith(f"{HEAD}前面的话{TAIL}\n\n{WORDS}")
    assert text == said(events)
    assert [item["status"] for item in last["response"]["output"]] == ["incomplete"]


@pytest.mark.parametrize(
    "item",
    [
        reasoning(f"想{TERM}"),
        reasoning("想", f"想{TERM}"),
        call(f'{{"q":"{TERM}"}}'),
        call("{}", TERM),
        refusal(f"不{TERM}"),
        {"id": "m", "type": "mcp_call", "server_label": "s", "name": "n", "arguments": f'"{TERM}"', "output": "o"},
        {"id": "m", "type": "mcp_call", "server_label": "s", "name": "n", "arguments": "{}", "output": TERM},
        {"id": "m", "type": "mcp_list_tools", "server_label": "s", "tools": [
            {"name": "n", "description": TERM, "input_schema": {}}]},
        {"id": "c", "type": "custom_tool_call", "call_id": "c", "name": "n", "input": f"做{TERM}"},
        {"id": "c", "type": "code_interpreter_call", "container_id": "c", "code": f"# {TERM}", "outputs": None},
        {"id": "c", "type": "code_interpreter_call", "container_id": "c", "code": "", "outputs": [
            {"type": "logs", "logs": TERM}]},
        {"id": "f", "type": "file_search_call", "queries": ["q"], "results": [{"file_id": "f", "text": TERM}]},
        {"id": "w", "type": "web_search_call", "action": {"type": "search", "query": TERM}},
        {"id": "t", "type": "tool_search_call", "execution": "server", "arguments": {TERM: 1}},
        {"id": "n", "type": "something_new", "words": [{"deep": TERM}]},
        {"id": "s", "type": "shell_call", "call_id": "c", "action": {"commands": ["ls", f"echo {TERM}"]}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_stream", [True, False])
def test_a_term_stops_the_answer_wherever_it_stands(item: dict[str, Any], is_stream: bool) -> None:
    """Reasoning, refusals, tool names, arguments, results, queries and what is not known."""
    item.setdefault("status", "completed")
    items = (message("好。"), item)
    if is_stream:
        answered = answer(WIRE, stream(), [sse(told(*items))])
        last = checked(answered.body)[-1]["response"]
    else:
        answered = answer(WIRE, plain(), [orjson.dumps(whole(*items))])
        last = json.loads(answered.body)
    assert TERM not in answered.body.decode()
    assert answered.exchange.outcome is Outcome.STOPPED
    assert last["incomplete_details"] == {"reason": "content_filter"}
    assert output_text(last).count(WORDS) == 1


@given(st.lists(st.integers(0, 20_000), max_size=4), st.integers(1, 13))
def test_a_masked_word_is_masked_everywhere(cuts: list[int], split: int) -> None:
    """In the deltas and in everything that repeats them; tokens that would tell it are dropped."""
    upstream = told(message("say maskedword now"), split=split)
    tokens = [
        {"token": piece, "logprob": -0.1, "bytes": [1], "top_logprobs": []}
        for piece in cut("say maskedword now", split)
    ]
    deltas = (event for event in upstream if event["type"] == "response.output_text.delta")
    for event, token in zip(deltas, tokens, strict=True):
        event["logprobs"] = [token]
    for event in upstream:
        if event["type"] == "response.output_text.done":
            event["logprobs"] = tokens
        elif event["type"] == "response.content_part.done":
            event["part"] = {**event["part"], "logprobs": tokens}
    body = answer(WIRE, stream(), pieces(sse(upstream), cuts)).body
    events = checked(body)
    assert "say ********** now" in output_text(events[-1]["response"])
    left = "".join(token["token"] for event in events for token in event.get("logprobs") or [])
    assert "say ".startswith(left)
    for event in events:
        if "part" in event:
            assert event["part"]["logprobs"] == []


def test_tokens_leave_with_their_text_and_no_forbidden_candidate() -> None:
    """`logprobs` are attachments: with the delta that they tell, or not at all."""
    upstream = told(message("好天气"))
    for number, event in enumerate(event for event in upstream if event["type"] == "response.output_text.delta"):
        other = {"token": TERM if number == 1 else "坏", "logprob": -3.0, "bytes": None}
        event["logprobs"] = [{"token": event["delta"], "logprob": -0.1, "top_logprobs": [other]}]
    body = answer(WIRE, stream(), [sse(upstream)]).body
    assert TERM not in body.decode()
    found = [event for event in events_of(body) if event["type"] == "response.output_text.delta"]
    assert [[token["token"] for token in event["logprobs"]] for event in found] == [["好"], [], ["气"], []]
    assert found[0]["delta"] == f"{HEAD}好"


def test_annotations_count_the_text_that_the_client_has() -> None:
    """A label in front moves every citation, in the event and in what repeats it; their titles are guarded."""
    cited = {"type": "url_citation", "title": "标题", "url": "https://a.example", "start_index": 0, "end_index": 2}
    item = message("你好。")
    item["content"][0]["annotations"] = [cited]
    upstream = told(item)
    for event in upstream:
        if event["type"] == "response.content_part.added":
            event["part"] = {**event["part"], "annotations": []}
    at = next(number for number, event in enumerate(upstream) if event["type"] == "response.output_text.done")
    upstream.insert(at, {"type": "response.output_text.annotation.added", "item_id": "msg_1", "output_index": 0,
                         "content_index": 0, "annotation_index": 0, "annotation": cited})  # fmt: skip
    upstream = [{**event, "sequence_number": number} for number, event in enumerate(upstream)]
    events = checked(answer(WIRE, stream(), [sse(upstream)]).body)
    text = output_text(events[-1]["response"])
    annotations = [event["annotation"] for event in events if "annotation" in event]
    annotations += events[-1]["response"]["output"][0]["content"][0]["annotations"]
    assert len(annotations) == 2
    for annotation in annotations:
        assert text[annotation["start_index"] : annotation["end_index"]] == "你好"
    upstream[at] = {**upstream[at], "annotation": {**cited, "title": TERM}}
    stopped = answer(WIRE, stream(), [sse(upstream)])
    assert TERM not in stopped.body.decode()
    checked(stopped.body)


def test_a_stop_keeps_what_was_cited() -> None:
    """The closing events of a part repeat its annotations."""
    upstream = told(message(f"你好。{TERM}"))
    at = next(number for number, event in enumerate(upstream) if event.get("delta") == "禁")
    cited = {"type": "url_citation", "title": "t", "url": "u", "start_index": 0, "end_index": 1}
    upstream.insert(at, {"type": "response.output_text.annotation.added", "item_id": "msg_1", "output_index": 0,
                         "content_index": 0, "annotation_index": 0, "annotation": cited})  # fmt: skip
    last = checked(answer(WIRE, stream(), [sse(upstream)]).body)[-1]["response"]
    assert last["output"][0]["content"][0]["annotations"][0]["title"] == "t"


@pytest.mark.parametrize("kept", ["text.done", "part.done", "item.done", "snapshot", "none of the middle"])
def test_a_text_that_is_said_only_once_is_guarded_and_labelled_there(kept: str) -> None:
    """Servers that send no deltas, or no `.done` events, are answers like any other."""
    endings = {"text.done": "output_text.done", "part.done": "content_part.done", "item.done": "output_item.done"}
    for text in ("你好。", f"你{TERM}好。"):
        upstream = [
            event
            for event in told(message(text))
            if event["type"] in ("response.created", "response.output_item.added", "response.completed")
            or event["type"].endswith(endings.get(kept, "content_part.added" if kept == "snapshot" else "-"))
        ]
        if kept == "none of the middle":
            upstream = [upstream[0], upstream[-1]]
        answered = answer(WIRE, stream(), [sse(upstream)])
        events = events_of(answered.body)
        assert TERM not in answered.body.decode()
        words = output_text(events[-1]["response"])
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        if text == "你好。":
            assert words == f"{HEAD}你好。{TAIL}"
        else:
            assert words.startswith(f"{HEAD}你{TAIL}\n\n{WORDS}" if kept == "snapshot" else WORDS)
            assert events[-1]["type"] == "response.incomplete"


def test_a_whole_text_that_could_begin_a_term_leaves_with_its_event() -> None:
    """Nothing follows that could complete the term, so nothing of it waits."""
    item = {
        "id": "m",
        "type": "mcp_call",
        "server_label": "签禁",
        "name": "名禁",
        "arguments": '"禁"',
        "output": "果禁",
    }
    events = streamed({**item, "status": "completed"})
    assert [event["item"]["output"] for event in events if "item" in event] == ["果禁", "果禁"]
    assert events[-1]["response"]["output"] == [{**item, "status": "completed"}]


def test_a_snapshot_that_leaves_items_out_says_the_texts_of_those_it_names() -> None:
    """Items are known by their ids; a text is not labelled a second time because it stands at another place."""
    upstream = told(reasoning("想"), message("你好"))
    upstream[-1]["response"]["output"] = [message("你好")]
    answered = answer(WIRE, stream(), [sse(upstream)])
    events = events_of(answered.body)
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == said(events) == f"{HEAD}你好{TAIL}"
    assert answered.exchange.released_chars == len("想你好")


def test_deltas_that_a_done_event_completes_are_completed_for_the_client() -> None:
    """What only the `.done` event says leaves as a delta before it."""
    upstream = told(message("你好吗"))
    upstream = [event for event in upstream if event.get("delta") != "吗"]
    events = checked(answer(WIRE, stream(), [sse(upstream)]).body)
    assert said(events) == f"{HEAD}你好吗{TAIL}"


def test_a_repetition_that_contradicts_the_deltas_is_not_believed() -> None:
    """The client gets what was guarded as it was said."""
    upstream = told(message("你好"))
    for event in upstream:
        if event["type"] == "response.output_text.done":
            event["text"] = f"{TERM}完全不同"
    body = answer(WIRE, stream(), [sse(upstream)]).body
    assert TERM not in body.decode()
    assert said(checked(body)) == f"{HEAD}你好{TAIL}"


def test_text_after_the_end_of_its_part_is_no_answer_of_this_wire() -> None:
    """A word could be cut in two by the end between them."""
    upstream = told(message("禁"))
    at = next(number for number, event in enumerate(upstream) if event["type"] == "response.output_text.done")
    upstream.insert(at + 1, {**upstream[at - 1], "delta": "词"})
    with pytest.raises(BadAnswer) as caught:
        read(WIRE, stream(), [sse(upstream)])
    assert caught.value.code == "text_after_done"


def test_deltas_of_types_that_are_not_known_are_guarded_across_their_pieces() -> None:
    """And so are members that are not known, of deltas that are."""
    at = {"output_index": 0, "item_id": "x"}
    for piece in (
        lambda text: {"type": "response.novel.delta", **at, "delta": text},
        lambda text: {"type": "response.novel.delta", **at, "delta": {"inner": [text]}},
        lambda text: {"type": "response.output_text.delta", **at, "content_index": 0, "delta": "好", "extra": text},
        lambda text: {"type": "response.shell_call_output_content.delta", **at, "command_index": 1,
                      "delta": {"stdout": text, "stderr": "e"}},
    ):  # fmt: skip
        upstream = told(message("好"))
        upstream[4:4] = [piece("前"), piece("禁"), piece("词"), piece("鸟")]
        body = answer(WIRE, stream(), [sse(upstream)]).body.decode()
        assert "前" in body
        assert "词" not in body and "鸟" not in body and '禁"' not in body
        assert events_of(body.encode())[-1]["type"] == "response.incomplete"
        upstream = told(message("好"))
        upstream[4:4] = [piece("前"), piece("禁"), piece("止"), piece("鸟")]
        events = events_of(answer(WIRE, stream(), [sse(upstream)]).body)
        novel = "".join(json.dumps(event, ensure_ascii=False) for event in events if event["type"] == piece("")["type"])
        assert re.sub(r"[^前禁止鸟]", "", novel) == "前禁止鸟"
        assert events[-1]["type"] == "response.completed"


def test_pieces_of_shell_output_keep_their_place_and_their_order() -> None:
    """Two texts in one event, one of which is held back."""
    at = {"type": "response.shell_call_output_content.delta", "output_index": 0, "item_id": "x", "command_index": 0}
    upstream = told(message("好"))
    upstream[3:3] = [
        {**at, "delta": {"stdout": "a禁", "stderr": "e"}},
        {**at, "delta": {"stdout": "止b", "stderr": "f"}},
    ]
    events = events_of(answer(WIRE, stream(), [sse(upstream)]).body)
    deltas = [event["delta"] for event in events if event["type"] == at["type"]]
    assert "".join(delta.get("stdout", "") for delta in deltas) == "a禁止b"
    assert "".join(delta.get("stderr", "") for delta in deltas) == "ef"


def test_half_surrogates_become_whole_again() -> None:
    """An upstream that cuts in UTF-16 units, and one that never sends the other half."""
    raw = sse(told(message("a"))).replace(b'"delta":"a"', b'"delta":"\\ud83d"', 1)
    second = raw.split(b"\n\n")[4].replace(b"ud83d", b"ude00")
    body = raw.replace(b'"text":"a"', b'"text":"\\ud83d\\ude00"')
    blocks = body.split(b"\n\n")
    blocks.insert(5, second)
    events = checked(answer(WIRE, stream(), [b"\n\n".join(blocks)]).body)
    assert said(events) == f"{HEAD}😀{TAIL}"
    blocks = (
        raw.replace(b'"text":"a"', b'"text":"b\\ud83d"').replace(b'delta":"\\ud83d', b'delta":"b\\ud83d').split(b"\n\n")
    )
    assert "b\ufffd" in said(checked(answer(WIRE, stream(), [b"\n\n".join(blocks)]).body))


def test_the_first_contact_notice_stands_once_at_the_head() -> None:
    """Parts that follow one another are one person's reading."""
    exchange = stream()
    exchange.head_notice = "您正在与人工智能对话。"
    events = checked(answer(WIRE, exchange, [sse(told(reasoning("想"), message("一", "二")))]).body)
    text = output_text(events[-1]["response"])
    assert text.startswith(f"您正在与人工智能对话。\n\n{HEAD}一")
    assert text.count("您正在与人工智能对话。") == 1
    exchange = stream()
    exchange.head_notice = "您正在与人工智能对话。"
    events = checked(answer(WIRE, exchange, [sse(told(call("{}")))]).body)
    assert events[-1]["notices"] == events[-1]["response"]["notices"]
    assert [notice["kind"] for notice in events[-1]["notices"]] == ["first_contact"]


def test_a_json_answer_is_guarded_and_not_written_into() -> None:
    """Whether the request says so, or only the response that is read again."""
    base = {**BASE, "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}
    for text, kind in (('{"a":1}', "completed"), (f'{{"a":"{TERM}"}}', "incomplete")):
        upstream = sse(told(message(text), base=base))
        for exchange, wire in (
            (stream(text={"format": {"type": "json_schema", "name": "n", "schema": {}}}), WIRE),
            (ask(StoredResponse("GET"), f"{PATH}/resp_1", b"", "stream=true"), StoredResponse("GET")),
        ):
            events = checked(answer(wire, exchange, [upstream]).body)
            assert events[-1]["type"] == f"response.{kind}"
            assert "人工智能" not in output_text(events[-1]["response"])
            assert WORDS not in output_text(events[-1]["response"])
            if kind == "completed":
                assert said(events) == text
            else:
                assert [notice["kind"] for notice in events[-1]["notices"]] == ["answer_stopped"]
        document = whole(message(text), text=base["text"])
        stored = StoredResponse("GET")
        found = json.loads(answer(stored, ask(stored, f"{PATH}/resp_1", b""), [orjson.dumps(document)]).body)
        assert found["status"] == kind
        assert output_text(found) == (text if kind == "completed" else "")


def test_an_echo_of_the_request_passes_and_a_forbidden_one_is_dropped() -> None:
    """The request was judged when it came; what the upstream makes of it is judged now."""
    base = {**BASE, "instructions": "讲中文", "metadata": {"k": TERM}}
    events = checked(answer(WIRE, stream(instructions="讲中文"), [sse(told(message("好"), base=base))]).body)
    assert {event["response"]["instructions"] for event in events if "response" in event} == {"讲中文"}
    assert {str(event["response"]["metadata"]) for event in events if "response" in event} == {"None"}
    assert events[-1]["type"] == "response.completed"


@pytest.mark.parametrize("end", ["incomplete", "failed"])
def test_the_upstreams_own_endings_pass(end: str) -> None:
    """With what was said, labelled."""
    upstream = told(message("你好"), end=end)
    if end == "failed":
        upstream[-1]["response"]["error"] = {"code": "server_error", "message": "broke"}
    events = checked(answer(WIRE, stream(), [sse(upstream)]).body)
    assert events[-1]["type"] == f"response.{end}"
    assert output_text(events[-1]["response"]) == f"{HEAD}你好{TAIL}"


def test_an_error_event_ends_the_stream_in_the_wires_own_words() -> None:
    """Its message is guarded; the label is in it."""
    for words, is_kept in (("the model is overloaded", True), (f"about {TERM}", False)):
        error = {"type": "error", "code": "server_error", "message": words, "param": None}
        upstream = [*told(message("你好"))[:6], {**error, "sequence_number": 6}]
        body = answer(WIRE, stream(), [sse(upstream)]).body
        events = events_of(body)
        assert (words in body.decode()) is is_kept
        assert events[-1]["type"] == ("error" if is_kept else "response.incomplete")
        assert events[-1]["aigc"]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_a_stream_that_breaks_off_says_so() -> None:
    """The wire's error event, with the next number."""
    body = answer(WIRE, stream(), [sse(told(message("你好"))[:5])]).body
    events = events_of(body)
    assert events[-1]["type"] == "error"
    assert events[-1]["code"] == "upstream_incomplete"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    STREAM_EVENT.validate_python(events[-1])
    assert WIRE.writer(stream()).broken("c", "m").startswith(b"event: error\ndata: ")


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "response.image_generation_call.partial_image", "partial_image_b64": "%"}, "bad_media"),
        ({"type": "response.output_item.done", "item": {"type": "image_generation_call", "result": 1}}, "bad_media"),
        ({"type": "response.audio.delta", "delta": "AAAA"}, "unlabelled_media"),
        ({"type": "response.content_part.added", "part": {"type": "output_audio", "data": "A"}}, "unlabelled_media"),
        ({"type": "response.output_text.delta", "output_index": -1, "delta": "a"}, "bad_index"),
        ({"type": "response.output_text.delta", "output_index": "0", "delta": "a"}, "bad_index"),
        ({"type": "bad\ntype"}, "bad_event"),
        ({"type": 5}, "bad_event"),
        ({}, "bad_event"),
        ({"type": "response.created"}, "bad_response"),
        ({"type": "response.created", "response": {"output": 1}}, "bad_output"),
        ({"type": "response.completed", "response": {"output": [1]}}, "bad_item"),
        ({"type": "response.content_part.added", "part": 1}, "bad_content"),
    ],
)
def test_what_is_not_this_wire_is_refused(event: dict[str, Any], code: str) -> None:
    """With a fixed word for the reason."""
    with pytest.raises(BadAnswer) as caught:
        read(WIRE, stream(), [b"data: " + orjson.dumps(event) + b"\n\n"])
    assert caught.value.code == code


@pytest.mark.parametrize("data", [b"nothing", b"[]", b"[DONE]", b'{"type":"response.created"', b""])
def test_what_is_no_event_is_refused(data: bytes) -> None:
    """Also a stream without an end."""
    with pytest.raises(BadAnswer):
        read(WIRE, stream(), [b"data: " + data + b"\n\n"])


@pytest.mark.parametrize("depth", [100, 300, 1_010, 100_000])
def test_nesting_without_end_is_refused_and_never_breaks(depth: int) -> None:
    """Wherever it stands, also in a member that is passed unread."""
    blocks = sse(told(message("abc"))).split(b"\n\n")
    deep = b"[" * depth + b"]" * depth
    for name in (b"obfuscation", b"novel", b"logprobs"):
        wild = [*blocks[:4], blocks[4].replace(b'"delta":"a"', b'"%s":%s,"delta":"a"' % (name, deep)), *blocks[5:]]
        body = answer(WIRE, stream(), [b"\n\n".join(wild[:3]) + b"\n\n", b"\n\n".join(wild[3:])]).body
        assert events_of(body)[-1]["type"] in ("response.completed", "error")


WILD = st.recursive(
    st.none() | st.integers(-1, 3) | st.text(max_size=4) | st.sampled_from([TERM, "禁", "词", "message", "refusal"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "id", "content", "text", "output", "summary", "arguments", "logprobs", "annotations",
                         "action", "commands", "delta", "name", "x"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(
    st.sampled_from(sorted({event["type"] for event in told(*ITEMS)} | {"error", "response.novel.done"})),
    st.dictionaries(
        st.sampled_from(["response", "item", "part", "delta", "text", "output_index", "content_index", "logprobs",
                         "arguments", "annotation", "item_id", "summary_index", "novel"]), WILD, max_size=5),
)  # fmt: skip
def test_wild_events_are_refused_or_leave_without_the_term(kind: str, members: dict[str, Any]) -> None:
    """Nothing but `BadAnswer` is ever raised, and nothing forbidden leaves."""
    begun = told(message("好"))[:3]
    try:
        body = answer(WIRE, stream(), [sse(begun), sse([{**members, "type": kind}]), sse(told(message("好")))]).body
    except BadAnswer:
        return
    for event in events_of(body):
        for words in all_strings(event):
            assert TERM not in words


def all_strings(value: Any, key: str = "") -> Iterator[str]:
    """Every string that is shown: names of things are not."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from all_strings(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from all_strings(item, key)
    elif isinstance(value, str) and key not in ("type", "id", "item_id"):
        yield value


# ---- plain answers


def test_a_plain_answer_says_the_same_as_a_stream() -> None:
    """Item by item, label by label."""
    document = json.loads(answer(WIRE, plain(), [orjson.dumps(whole(*ITEMS))]).body)
    assert document["output"] == streamed(*ITEMS)[-1]["response"]["output"]
    assert document["aigc"]["Label"] == "1"
    assert document["usage"] == USAGE
    Response.model_validate(document)


def test_a_plain_answer_with_the_term_shows_nothing_of_it() -> None:
    """One message with our words, and the wire's own reason."""
    answered = answer(WIRE, plain(), [orjson.dumps(whole(message(f"前面{TERM}"), call("{}"), instructions=TERM))])
    document = json.loads(answered.body)
    assert TERM not in answered.body.decode() and "前面" not in answered.body.decode()
    assert (document["id"], document["status"]) == ("resp_1", "incomplete")
    assert document["incomplete_details"] == {"reason": "content_filter"}
    assert output_text(document).startswith(WORDS)
    Response.model_validate(document)


def test_text_beside_the_items_says_what_the_items_say() -> None:
    """Some servers repeat all text as `output_text`."""
    body = orjson.dumps(whole(message("say maskedword"), output_text="say maskedword"))
    document = json.loads(answer(WIRE, plain(), [body]).body)
    assert "maskedword" not in json.dumps(document)
    assert document["output_text"] == output_text(document)


def test_a_response_that_has_only_begun_passes() -> None:
    """`background`: there is nothing to label yet."""
    document = json.loads(answer(WIRE, plain(background=True), [orjson.dumps({**BASE, "status": "queued"})]).body)
    assert document["status"] == "queued"
    assert document["aigc"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output":{}}', b'{"output":[3]}', b"{"])
def test_a_body_that_is_no_response_is_refused(body: bytes) -> None:
    """In the reader, before anything leaves."""
    with pytest.raises(BadAnswer):
        read(WIRE, plain(), [body])


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_refusal_is_a_response_that_the_sdk_reads(is_stream: bool) -> None:
    """Incomplete because of the content filter, with our words as its text."""
    exchange = stream() if is_stream else plain()
    exchange.outcome = Outcome.REFUSED
    decision = Decision("content_filter", Verdict.BLOCK, Action.REFUSE)
    made = WIRE.refusal(
        exchange, Refusal(decision, status=400, code="content_filter", message="不可以。", in_band=True)
    )
    assert made is not None and made[0] == 200
    body = WIRE.writer(exchange).write(made[1])
    document = checked(body)[-1]["response"] if is_stream else json.loads(body)
    assert output_text(document) == "不可以。"
    assert document["incomplete_details"] == {"reason": "content_filter"}
    Response.model_validate(document)
