# SPDX-License-Identifier: Apache-2.0
"""Chat answers, streamed and plain: whole and labelled where nothing is wrong, and nothing of a match where it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from content_filter import ContentFilter, TermSet
from gateway.decisions import Action
from gateway.events import Usage
from gateway.exchange import Exchange, Outcome
from gateway.messages import MESSAGES
from gateway.wires.interfaces import BadAnswer
from gateway.wires.openai_chat import PATH, OpenAIChat
from tests.gateway.wires.chat_scripts import (
    MEMBERS,
    USAGE,
    Delta,
    Heard,
    Script,
    chunk,
    delta_of,
    heard_plain,
    heard_stream,
    logprobs,
    scripts,
)
from tests.gateway.wires.driver import HEAD, HEAD_EN, TAIL, TAIL_EN, TERM, answer, ask, pieces, read

WIRE = OpenAIChat()
MASKED = "假词"
PLAIN_FILTER = ContentFilter(TermSet.of((TERM, "A1a")))
MASK_FILTER = ContentFilter(TermSet.of((MASKED, "A4f", "mask")))
STOPPED = MESSAGES["answer_stopped"]["en"]
cuts = st.lists(st.integers(0, 5_000), max_size=8)


def asked(*, stream: bool = True, structured: bool = False, **known: Any) -> Exchange:
    """An exchange that waits for its answer."""
    members: dict[str, Any] = {"response_format": {"type": "json_object"}} if structured else {}
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": stream, **members}
    return ask(WIRE, PATH, json.dumps(body).encode(), **known)


def streamed(script: Script, where: list[int], *, current: ContentFilter = PLAIN_FILTER, **options: Any) -> Heard:
    """What a client hears of the stream."""
    exchange = asked(structured=options.pop("structured", False))
    heard = heard_stream(answer(WIRE, exchange, pieces(script.body(), where), current=current, **options).body)
    assert heard.documents[0]["aigc"] == heard.documents[-1]["aigc"] == exchange.label
    return heard


def plain(script: Script, *, current: ContentFilter = PLAIN_FILTER, **options: Any) -> tuple[Heard, Exchange]:
    """What a client reads in the completion."""
    exchange = asked(stream=False)
    return heard_plain(answer(WIRE, exchange, [script.completion()], current=current, **options).body), exchange


def unlabelled(text: str) -> str:
    """An answer without its labels, which it must have, once each."""
    for head, tail in ((HEAD, TAIL), (HEAD_EN, TAIL_EN)):
        if text.startswith(head):
            assert text.endswith(tail)
            inner = text[len(head) : -len(tail)]
            assert head.strip() not in inner
            return inner
    raise AssertionError(f"no label: {text!r}")


def without_labels(lanes: dict[tuple[int, str], str]) -> dict[tuple[int, str], str]:
    """All lanes, those of answers without their labels and the others as they are; names of tools left out."""
    return {
        lane: unlabelled(text) if lane[1] == "content" else text
        for lane, text in lanes.items()
        if not lane[1].startswith("name")
    }


# Nothing matches.


@settings(max_examples=80)
@given(scripts(), cuts)
def test_every_lane_arrives_whole_and_is_labelled_once(script: Script, where: list[int]) -> None:
    """In any order of lanes, in any reads: texts, finish reasons, tool names; labels only in answers."""
    heard = streamed(script, where)
    assert without_labels(heard.lanes) == script.lanes
    assert heard.finish == dict.fromkeys(script.choices, script.finish)
    assert heard.is_done


@settings(max_examples=40)
@given(scripts(alphabet="ab 甲乙é😀"), cuts)
def test_what_passes_unchanged_goes_out_as_the_bytes_that_came(script: Script, where: list[int]) -> None:
    """Only the first chunk, the last, and those with which a choice ends are written anew."""
    exchange = asked()
    body = answer(WIRE, exchange, pieces(script.body(), where), position="end", current=PLAIN_FILTER).body
    left = iter(body.split(b"\n\n"))
    untouched = [raw for raw in script.raws()[1:] if b'"usage"' not in raw and b'"finish_reason": "' not in raw]
    assert all(any(event == b"data: " + raw for event in left) for raw in untouched)


@settings(max_examples=40)
@given(scripts(), cuts)
def test_every_chunk_is_one_that_the_official_sdk_reads(script: Script, where: list[int]) -> None:
    """All of them carry the id of the answer, also those that this gateway makes."""
    for document in streamed(script, where).documents:
        ChatCompletionChunk.model_validate(document, strict=False)
        assert {key: document[key] for key in MEMBERS} == MEMBERS


@settings(max_examples=40)
@given(scripts())
def test_a_plain_answer_says_the_same_with_everything_else_in_place(script: Script) -> None:
    """The document with its texts labelled and `aigc` beside them; nothing else changes."""
    heard, exchange = plain(script)
    ChatCompletion.model_validate(heard.documents[0])
    assert without_labels(heard.lanes) == script.lanes
    document = json.loads(json.dumps(heard.documents[0]))
    assert document.pop("aigc") == exchange.label
    for choice in document["choices"]:
        if choice["message"].get("content"):
            choice["message"]["content"] = unlabelled(choice["message"]["content"])
    assert document == json.loads(script.completion())


@settings(max_examples=30)
@given(scripts(fields=("content",)), cuts)
def test_a_structured_answer_is_not_written_into(script: Script, where: list[int]) -> None:
    """A label would corrupt it: the envelope alone carries it."""
    assert streamed(script, where, structured=True).lanes == script.lanes


def test_logprobs_unknown_fields_and_usage_arrive() -> None:
    """Each on its own chunk, none lost when a label is written beside it."""
    script = Script(
        (Delta((0, "content"), "Hel", True), Delta((0, "content"), "lo", True), Delta((0, "vendor_note"), "n")),
        has_usage=True,
    )
    heard = streamed(script, [])
    told = [
        choice["logprobs"] for document in heard.documents for choice in document["choices"] if choice.get("logprobs")
    ]
    assert told == [logprobs("Hel"), logprobs("lo")]
    assert heard.lanes[0, "vendor_note"] == "n"
    assert [document["usage"] for document in heard.documents if "usage" in document] == [USAGE]


# A term that blocks.


@settings(max_examples=100)
@given(scripts(planted=TERM), cuts)
def test_of_a_match_no_character_leaves_a_stream(script: Script, where: list[int]) -> None:
    """In any lane and any cut: what stood before it in its lane has left, the answer ends in the wire's words."""
    exchange = asked()
    got = answer(WIRE, exchange, pieces(script.body(), where), current=PLAIN_FILTER)
    heard = heard_stream(got.body)
    lane = next(lane for lane, text in script.lanes.items() if TERM in text)
    before = script.lanes[lane].partition(TERM)[0]
    said = heard.lanes.get(lane, "")
    if lane[1] == "content":
        assert said.endswith(STOPPED)
        said = said[: -len(STOPPED)].removesuffix("\n\n")
        said = said.removeprefix(HEAD).removeprefix(HEAD_EN).removesuffix(TAIL).removesuffix(TAIL_EN)
    # A backslash in JSON may be the beginning of an escape that spells the first character of the match.
    assert said == before or (lane[1].startswith("arguments") and said == before.removesuffix("\\"))
    assert TERM not in got.body.decode() and json.dumps(TERM)[1:-1] not in got.body.decode()
    assert exchange.outcome is Outcome.STOPPED
    assert heard.documents[0]["aigc"] == heard.documents[-1]["aigc"] == exchange.label
    assert heard.finish[lane[0]] == "content_filter" and heard.is_done
    for document in heard.documents:
        ChatCompletionChunk.model_validate(document)


@settings(max_examples=53)
@given(scripts(planted=TERM))
def test_of_a_plain_answer_with_a_match_nothing_leaves(script: Script) -> None:
    """It was not shown yet, so none of it is: every choice says why it ended and no more."""
    heard, exchange = plain(script)
    ChatCompletion.model_validate(heard.documents[0])
    assert exchange.outcome is Outcome.STOPPED and exchange.released_chars == 0
    assert heard.finish == dict.fromkeys(script.choices, "content_filter")
    assert heard.lanes == {(choice, "content"): STOPPED for choice in script.choices}
    assert TERM not in json.dumps(heard.documents, ensure_ascii=False)
    assert heard.documents[0]["aigc"] == exchange.label


@settings(max_examples=100)
@given(scripts(alphabet="a禁词禁词"), cuts)
def test_a_stream_says_never_more_than_a_plain_answer(script: Script, where: list[int]) -> None:
    """One is stopped exactly where the other is; what is let through is the same."""
    exchange = asked()
    got = heard_stream(answer(WIRE, exchange, pieces(script.body(), where), current=PLAIN_FILTER).body)
    whole, plain_exchange = plain(script)
    assert (exchange.outcome is Outcome.STOPPED) == (plain_exchange.outcome is Outcome.STOPPED)
    if exchange.outcome is Outcome.COMPLETED:
        assert without_labels(got.lanes) == without_labels(whole.lanes) == script.lanes
    else:
        assert not any(TERM in text for text in got.lanes.values())


HIDING_PLACES: dict[str, Any] = {
    "an unknown member of the document": {**MEMBERS, "choices": [], "note": TERM},
    "a structure beside the choices": {**MEMBERS, "choices": [], "vendor": {"list": [{"x": [TERM]}]}},
    "an error in the middle of a stream": {"error": {"message": TERM}},
    "an unknown member of a choice": chunk({"index": 0, "delta": {}, "note": TERM}),
    "an unknown member of a delta": chunk({"index": 0, "delta": {"vendor": [TERM]}}),
    "content as parts": chunk({"index": 0, "delta": {"content": [{"type": "text", "text": TERM}]}}),
    "reasoning as parts": chunk({"index": 0, "delta": {"reasoning": [{"text": TERM}]}}),
    "the name of a tool": chunk({"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": TERM}}]}}),
    "the input of a custom tool": chunk(
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "custom": {"input": TERM}}]}}
    ),
    "arguments that are an object": chunk(
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {"x": TERM}}}]}}
    ),
    "a name that is a list": chunk({"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": [TERM]}}]}}),
    "a function that is a text": chunk({"index": 0, "delta": {"tool_calls": [{"index": 0, "function": TERM}]}}),
    "an unknown member of a call": chunk({"index": 0, "delta": {"tool_calls": [{"index": 0, "note": TERM}]}}),
    "the legacy function call": chunk({"index": 0, "delta": {"function_call": {"name": "f", "arguments": TERM}}}),
    "a legacy call that is a text": chunk({"index": 0, "delta": {"function_call": TERM}}),
    "legacy arguments that are an object": chunk({"index": 0, "delta": {"function_call": {"arguments": {"x": TERM}}}}),
}


@pytest.mark.parametrize("document", HIDING_PLACES.values(), ids=HIDING_PLACES.keys())
@pytest.mark.parametrize("stream", [True, False])
def test_there_is_no_place_to_hide(document: dict[str, Any], stream: bool) -> None:
    """A field that nobody knows, or a known one of another type: either it is guarded or the answer is refused."""
    exchange = asked(stream=stream)
    if stream:
        start = chunk({"index": 0, "delta": {"role": "assistant", "content": "Hello."}})
        end = chunk({"index": 0, "delta": {}, "finish_reason": "stop"})
        reads = [b"data: " + json.dumps(part).encode() + b"\n\n" for part in (start, document, end)]
    else:
        tree = json.loads(json.dumps({**MEMBERS, **document}).replace('"delta"', '"message"'))
        tree["choices"] = [{"finish_reason": "stop", **choice} for choice in tree.get("choices", ())] or [
            {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
        ]
        reads = [json.dumps(tree).encode()]
    try:
        body = answer(WIRE, exchange, reads).body
    except BadAnswer:
        return
    assert TERM not in body.decode() and json.dumps(TERM)[1:-1] not in body.decode()
    assert exchange.outcome in (Outcome.STOPPED, Outcome.UPSTREAM_FAILED)


def test_a_chunk_that_this_gateway_makes_repeats_no_text_of_the_upstreams() -> None:
    """Small chunks carry the members that name an answer, and none that say something."""
    first = {**chunk({"index": 0, "delta": {"content": "a"}}), "note": f"x{MASKED}y"}
    rest = [chunk({"index": 0, "delta": {"content": "假b"}}), chunk({"index": 0, "delta": {}, "finish_reason": "stop"})]
    reads = [b"data: " + json.dumps(part).encode() + b"\n\n" for part in (first, *rest)]
    heard = heard_stream(answer(WIRE, asked(), reads, current=MASK_FILTER, position="end").body)
    assert [document["note"] for document in heard.documents if "note" in document] == ["x**y"]
    assert len(heard.documents) > 3


# A term that masks.


@settings(max_examples=80)
@given(scripts(alphabet="ab假词", planted=MASKED), cuts)
def test_a_masked_answer_is_the_mask_of_its_whole_text(script: Script, where: list[int]) -> None:
    """In every lane, streamed as plain, and nothing else of it is lost."""
    heard = streamed(script, where, current=MASK_FILTER)
    whole, _ = plain(script, current=MASK_FILTER)
    expected = {lane: text.replace(MASKED, "**") for lane, text in script.lanes.items()}
    assert without_labels(heard.lanes) == without_labels(whole.lanes) == expected
    assert heard.finish == whole.finish == dict.fromkeys(script.choices, script.finish)


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_told_about_masked_tokens_does_not_tell_them(stream: bool) -> None:
    """`logprobs` spell the text token by token: where it is masked they are left out, elsewhere they stay."""
    words = ("fine", " and ", "假", "词", "!", " more")
    script = Script(tuple(Delta((0, "content"), word, True) for word in words))
    heard = streamed(script, [], current=MASK_FILTER) if stream else plain(script, current=MASK_FILTER)[0]
    assert unlabelled(heard.lanes[0, "content"]) == "fine and **! more"
    told = json.dumps(heard.documents, ensure_ascii=False)
    assert "假" not in told and "词" not in told
    if stream:
        kept = [
            c["logprobs"]["content"][0]["token"] for d in heard.documents for c in d["choices"] if c.get("logprobs")
        ]
        assert kept == ["fine", " and ", "!", " more"]


@pytest.mark.parametrize("stream", [True, False])
def test_other_tokens_that_were_likely_are_looked_at_too(stream: bool) -> None:
    """A forbidden word among them is dropped with them; the answer itself goes on."""
    told = logprobs("a")
    told["content"][0]["top_logprobs"] = [{"token": TERM, "logprob": -1.0, "bytes": None}]
    choice = {"index": 0, "finish_reason": "stop", "logprobs": told}
    part = {"role": "assistant", "content": "a"}
    document = {**MEMBERS, "choices": [{**choice, "delta" if stream else "message": part}]}
    raw = json.dumps(document).encode()
    exchange = asked(stream=stream)
    body = answer(WIRE, exchange, [b"data: " + raw + b"\n\n"] if stream else [raw], current=PLAIN_FILTER).body
    assert TERM not in body.decode() and json.dumps(TERM)[1:-1] not in body.decode()
    assert exchange.outcome is Outcome.COMPLETED
    assert [decision.action for decision in exchange.decisions] == [Action.MODIFY]


# Units, ends and nonsense.


@given(st.text("a😀甲", min_size=1, max_size=8), cuts)
def test_a_pair_that_two_chunks_share_is_one_character(text: str, where: list[int]) -> None:
    """An upstream that counts in UTF-16 cuts characters apart; the client gets them whole."""
    units = text.encode("utf-16-le")
    halves = [chr(int.from_bytes(units[at : at + 2], "little")) for at in range(0, len(units), 2)]
    script = Script(tuple(Delta((0, "content"), half) for half in halves), escapes=True)
    assert unlabelled(streamed(script, where).lanes[0, "content"]) == text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a", "b\ud83d"], "ab\ufffd"),
        (["\ude00a", "b"], "\ufffdab"),
        (["a\ud83d\ud83d", "\ude00b"], "a\ufffd😀b"),
    ],
)
def test_half_a_pair_alone_becomes_the_replacement_character(parts: list[str], said: str, stream: bool) -> None:
    """At its place, before the label at the end, and before the choice ends."""
    script = Script(tuple(Delta((0, "content"), part) for part in parts), escapes=True)
    heard = streamed(script, []) if stream else plain(script)[0]
    assert unlabelled(heard.lanes[0, "content"]) == said
    assert heard.finish == {0: "stop"}


@settings(max_examples=30)
@given(scripts(fields=("content", "reasoning_content")), cuts, st.booleans())
def test_an_answer_whose_choices_never_say_that_they_end_is_whole_and_labelled(
    script: Script, where: list[int], stream: bool
) -> None:
    """Some upstreams send `[DONE]` alone, some a completion without a reason."""
    if stream:
        documents = [d for d in script.chunks() if not any(c.get("finish_reason") for c in d["choices"])]
        body = b"".join(b"data: " + json.dumps(d).encode() + b"\n\n" for d in documents) + b"data: [DONE]\n\n"
        heard = heard_stream(answer(WIRE, asked(), pieces(body, where), current=PLAIN_FILTER).body)
    else:
        tree = json.loads(script.completion())
        for choice in tree["choices"]:
            choice["finish_reason"] = None
        heard = heard_plain(answer(WIRE, asked(stream=False), [json.dumps(tree).encode()], current=PLAIN_FILTER).body)
    assert without_labels(heard.lanes) == script.lanes


def test_a_text_that_is_the_beginning_of_the_label_is_not_lost() -> None:
    """It waits for what follows; where nothing follows it leaves with its labels."""
    for end in ([], [chunk({"index": 0, "delta": {}, "finish_reason": "stop"})]):
        parts = [chunk({"index": 0, "delta": {"content": "人工智"}}), *end]
        reads = [b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts]
        heard = heard_stream(answer(WIRE, asked(), [*reads, b"data: [DONE]\n\n"]).body)
        assert unlabelled(heard.lanes[0, "content"]) == "人工智"


@settings(max_examples=30)
@given(scripts(), st.integers(0, 5_000), cuts)
def test_a_stream_that_breaks_off_says_what_it_said_and_no_more(script: Script, at: int, where: list[int]) -> None:
    """What had come has left, labelled; then the wire's error, and no `[DONE]`."""
    body = script.body()
    end = at % max(1, body.rindex(b'"finish_reason": "') - 1)
    exchange = asked()
    try:
        got = answer(WIRE, exchange, pieces(body[:end], where), current=PLAIN_FILTER)
    except BadAnswer:
        return
    *events, last = got.body.split(b"\n\n")[:-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_incomplete"
    heard = heard_stream(b"".join(event + b"\n\n" for event in events))
    assert not heard.is_done
    for lane, text in without_labels(heard.lanes).items():
        assert script.lanes[lane].startswith(text)


def test_what_follows_done_is_not_part_of_the_answer() -> None:
    """A client stops reading there."""
    script = Script((Delta((0, "content"), "a"),))
    late = b"data: " + json.dumps(chunk({"index": 0, "delta": {"content": TERM}})).encode() + b"\n\n"
    heard = heard_stream(answer(WIRE, asked(), [script.body() + late]).body)
    assert unlabelled(heard.lanes[0, "content"]) == "a"


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.just("x"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["index", "delta", "message", "content", "tool_calls", "function", "name", "logprobs", "usage"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "index": junk, "delta": st.dictionaries(st.sampled_from(["content", "tool_calls", "function_call"]), junk),
        "message": st.dictionaries(st.sampled_from(["content", "tool_calls", "function_call"]), junk),
        "logprobs": junk, "finish_reason": junk,
    },
)  # fmt: skip


@settings(max_examples=166)
@given(
    st.one_of(junk, st.fixed_dictionaries({"choices": st.lists(choices | junk, max_size=2)}, optional={"usage": junk}))
)
def test_no_upstream_breaks_the_codec(document: Any) -> None:
    """Any JSON at all is an answer or a bad answer, streamed or plain; nothing else is ever raised."""
    raw = json.dumps(document).encode()
    for stream, reads in ((True, [b"data: " + raw + b"\n\n", b"data: [DONE]\n\n"]), (False, [raw])):
        exchange = asked(stream=stream)
        try:
            body = answer(WIRE, exchange, reads).body
        except BadAnswer:
            continue
        assert body


@pytest.mark.parametrize("place", ["usage", "id", "vendor"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_nested_without_end_is_refused_or_passed(place: str, stream: bool) -> None:
    """The encoder's limit is no way to break the gateway."""
    for depth in (100, 300, 980, 1_020):
        tree = json.dumps({**MEMBERS, place: "@", "choices": [{"index": 0, "finish_reason": "stop"}]})
        raw = tree.replace('"@"', "[" * depth + "]" * depth).encode()
        try:
            answer(WIRE, asked(stream=stream), [b"data: " + raw + b"\n\n"] if stream else [raw])
        except BadAnswer:
            continue


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"data: {}\n\n", "incomplete"),
        (b"data: {\n\n", "invalid_json"),
        (b"data: []\n\n", "not_an_object"),
        (b'data: {"choices": {}}\n\n', "bad_choices"),
        (b'data: {"choices": ["x"]}\n\n', "bad_choice"),
        (b'data: {"choices": [{"index": -1, "delta": {"content": "x"}}]}\n\n', "bad_choice"),
        (b'data: {"choices": [{"index": "0", "delta": {"content": "x"}}]}\n\n', "bad_choice"),
        (b'data: {"choices": [{"index": 0, "delta": {"tool_calls": 5}}]}\n\n', "bad_tool_call"),
        (b'data: {"choices": [{"index": 0, "delta": {"tool_calls": ["x"]}}]}\n\n', "bad_tool_call"),
        (b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n', "incomplete"),
        (b"", "incomplete"),
    ],
)
def test_what_is_wrong_with_a_stream_has_a_name(body: bytes, code: str) -> None:
    """For the operator's log."""
    with pytest.raises(BadAnswer) as caught:
        read(WIRE, asked(), [body])
    assert caught.value.code == code


def test_a_plain_answer_needs_choices() -> None:
    """An empty object is no answer."""
    for body, code in ((b"{}", "no_choices"), (b"", "invalid_json"), (b"[]", "not_an_object")):
        with pytest.raises(BadAnswer) as caught:
            read(WIRE, asked(stream=False), [body])
        assert caught.value.code == code


def test_tokens_are_counted() -> None:
    """What the upstream says it used, for the record; nonsense counts as not said."""
    tree = {**MEMBERS, "choices": [{"index": 0, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
    (usage,) = [
        event for event in read(WIRE, asked(stream=False), [json.dumps(tree).encode()]) if isinstance(event, Usage)
    ]
    assert (usage.input_tokens, usage.output_tokens) == (3, -1)


def test_a_delta_of_every_field_says_its_text() -> None:
    """The test's own tools are right."""
    for lane in ("content", "arguments:1", "parts:0"):
        assert "x" in json.dumps(delta_of(lane, "x"))
