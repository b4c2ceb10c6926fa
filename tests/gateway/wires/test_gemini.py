# SPDX-License-Identifier: Apache-2.0
"""Gemini: codec, duties on it, and the official SDK against a running gateway."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types
from hypothesis import given
from hypothesis import strategies as st

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.events import Channel, Lane, Media, TextDelta, Usage
from gateway.exchange import Exchange, Outcome
from gateway.wires import Table
from gateway.wires.gemini import Gemini, GeminiCountTokens, GeminiModels
from gateway.wires.interfaces import BadAnswer, BadRequest
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import HEAD, HEAD_EN, TAIL, TAIL_EN, TERM, answer, ask, pieces, read, texts
from tests.gateway.wires.hiding import came_through
from tests.upstreams.scripted import ScriptedUpstream

WIRE = Gemini()
PLAIN = "/v1beta/models/gemini-x:generateContent"
STREAM = "/v1beta/models/gemini-x:streamGenerateContent"
CONTENTS = [{"role": "user", "parts": [{"text": "你好"}]}]
USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 2, "totalTokenCount": 14}


def b64(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def request(**more: Any) -> bytes:
    return json.dumps({"contents": CONTENTS, **more}).encode()


def exchange(kind: str = "sse", **more: Any) -> Exchange:
    """An exchange of one of the three framings: `sse`, `array`, `plain`."""
    return ask(WIRE, PLAIN if kind == "plain" else STREAM, request(**more), "alt=sse" if kind == "sse" else "")


def text(*said: str, **more: Any) -> list[dict[str, Any]]:
    return [{"text": item, **more} for item in said]


def candidate(parts: list[dict[str, Any]], index: int | None = 0, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, **more}
    return found if index is None else {**found, "index": index}


def chunk(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": list(candidates), "modelVersion": "gemini-x-001", "responseId": "r1", **more}


def framed(trees: list[dict[str, Any]], kind: str = "sse") -> bytes:
    written = [json.dumps(tree, ensure_ascii=False).encode() for tree in trees]
    if kind == "sse":
        return b"".join(b"data: " + item + b"\r\n\r\n" for item in written)
    return b"[" + b",\r\n".join(written) + b"]"


def parsed(body: bytes, kind: str = "sse") -> list[dict[str, Any]]:
    if kind == "array":
        found: list[dict[str, Any]] = json.loads(body)
        return found
    blocks = [block for block in body.decode().split("\r\n\r\n") if block.strip()]
    assert all(block.startswith("data: ") for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def run(trees: list[dict[str, Any]], kind: str = "sse") -> tuple[list[dict[str, Any]], Exchange]:
    """What a client gets for an upstream's documents."""
    asked = exchange(kind)
    return parsed(answer(WIRE, asked, [framed(trees, kind)]).body, kind), asked


def said(trees: list[dict[str, Any]], index: int = 0, *, thought: bool = False) -> str:
    return "".join(
        part.get("text", "")
        for tree in trees
        for item in tree.get("candidates", [])
        if item.get("index", 0) == index
        for part in item.get("content", {}).get("parts", [])
        if bool(part.get("thought")) is thought
    )


def parts_of(trees: list[dict[str, Any]], key: str) -> list[Any]:
    return [
        part[key]
        for tree in trees
        for item in tree.get("candidates", [])
        for part in item.get("content", {}).get("parts", [])
        if key in part
    ]


def reasons(trees: list[dict[str, Any]]) -> dict[int, str]:
    return {
        item.get("index", 0): item["finishReason"]
        for tree in trees
        for item in tree.get("candidates", [])
        if item.get("finishReason")
    }


def weather(**more: Any) -> list[dict[str, Any]]:
    """A usual stream: two texts, the end, the counts."""
    return [
        chunk(candidate(text("今天"))),
        chunk(candidate(text("天气很好"), finishReason="STOP", **more), usageMetadata=USAGE),
    ]


# ---- the request


def test_every_text_of_the_prompt_is_collected() -> None:
    """Instruction, turns, calls and responses, text files, tools, in both spellings of members; media is not text."""
    picture = b64(b"\x89PNG")
    prompt = WIRE.read_request(
        PLAIN,
        "",
        request(
            system_instruction={"parts": [{"text": "be "}, {"text": "kind"}]},
            contents=[
                {"parts": [{"text": "禁"}, {"text": "词"}, {"inlineData": {"mimeType": "image/png", "data": picture}}]},
                {"role": "model", "parts": [{"text": "hm", "thought": True, "thoughtSignature": "sig"},
                                            {"functionCall": {"id": "1", "name": "f", "args": {"key": "value"}}}]},
                {"role": "user", "parts": [
                    {"functionResponse": {"name": "f", "response": {"out": "42"},
                                          "parts": [{"inline_data": {"mime_type": "text/plain",
                                                                     "data": b64("编码")}}]}},
                    {"inlineData": {"mimeType": "text/csv; charset=utf-8", "data": b64("表格")}},
                    {"fileData": {"mimeType": "image/png", "fileUri": "https://e.x/f"}},
                    {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                    {"brand_new": {"deep": ["new"]}}]},
            ],
            tools=[{"functionDeclarations": [{"name": "f", "description": "does f"}]}],
            labels={"team": "somebody"},
        ),
    )  # fmt: skip
    found = {item.text for item in prompt.texts}
    assert {"be kind", TERM, "hm", "key", "value", "42", "编码", "表格", "https://e.x/f", "print(1)", "1"} <= found
    assert {"does f", "new", "deep"} <= found
    assert not {picture, "sig", "somebody", b64("编码")} & found
    assert prompt.model == "gemini-x" and prompt.has_media and not prompt.stream
    assert json.loads(WIRE.call(PLAIN, "", prompt).body) == prompt.body


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"contents": None}, "contents"),
        ({"contents": "x"}, "contents"),
        ({"contents": ["x"]}, "contents.0"),
        ({"contents": [{"role": 1}]}, "contents.0.role"),
        ({"contents": [{"parts": "x"}]}, "contents.0.parts"),
        ({"contents": [{"parts": [1]}]}, "contents.0.parts.0"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "contents.0.parts.0.text"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "text/plain", "data": "!"}}]}]},
         "contents.0.parts.0.inlineData.data"),
        ({"generationConfig": {"responseModalities": ["TEXT", "AUDIO"]}}, "generationConfig.responseModalities"),
        ({"generation_config": {"response_modalities": ["image"]}}, "generationConfig.responseModalities"),
        ({"toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": True}}},
         "toolConfig.functionCallingConfig.streamFunctionCallArguments"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_served_is_refused_with_our_own_path(more: dict[str, Any], param: str) -> None:
    """Unreadable, or answered in a form whose duties cannot be done."""
    with pytest.raises(BadRequest) as caught:
        WIRE.read_request(PLAIN, "", request(**more))
    assert caught.value.param == param


@pytest.mark.parametrize("query", ["alt=proto", "alt=media", "fields=candidates", "%24fields=x", "callback=f"])
def test_a_query_that_would_change_the_answer_is_refused(query: str) -> None:
    """Partial answers and other framings would slip past the duties."""
    with pytest.raises(BadRequest):
        WIRE.read_request(STREAM, query, request())


def test_the_query_goes_on_as_far_as_it_is_known() -> None:
    """The framing that was read is the framing that is asked for."""
    prompt = WIRE.read_request(STREAM, "%24alt=sse&key=k&other=x", request())
    call = WIRE.call(STREAM, "%24alt=sse&key=k&other=x", prompt)
    assert call.path == STREAM + "?key=k&alt=sse"
    assert (call.key_header, call.key_parameter) == ("x-goog-api-key", "key")
    plain = WIRE.read_request(PLAIN, "alt=sse", request())
    assert WIRE.call(PLAIN, "alt=sse", plain).path == PLAIN


@pytest.mark.parametrize(
    "config",
    [{"responseMimeType": "application/json"}, {"response_schema": {}}, {"responseJsonSchema": {"type": "object"}}],
)
def test_a_schema_makes_the_answer_machine_readable(config: dict[str, Any]) -> None:
    """Nothing is written into an answer that a program parses."""
    asked = exchange(generationConfig=config)
    assert asked.prompt is not None and asked.prompt.is_structured
    trees = parsed(answer(WIRE, asked, [framed(weather())]).body)
    assert said(trees) == "今天天气很好" and trees[0]["aigc"] == trees[-1]["aigc"] == asked.label


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", PLAIN, "gemini"),
        ("POST", STREAM.replace("v1beta", "v1"), "gemini"),
        ("POST", "/v1beta/tunedModels/mine-1:generateContent", "gemini"),
        ("POST", "/v1beta/models/gemini-x:countTokens", "gemini_count_tokens"),
        ("GET", "/v1beta/models", "gemini_models"),
        ("GET", "/v1beta/models/gemini-x", "gemini_models"),
        ("POST", "/v1beta/models/gemini-x:embedContent", None),
        ("POST", "/v1beta/models/../x:generateContent", None),
    ],
)
def test_every_path_is_found_and_no_other(method: str, path: str, name: str | None) -> None:
    """What is not known cannot have its duties done."""
    wire = Table().find(method, path)
    assert (wire.name if wire else None) == name


# ---- streams in both framings


@pytest.mark.parametrize("kind", ["sse", "array"])
def test_a_stream_is_labelled_at_both_ends_and_in_its_envelope(kind: str) -> None:
    """The label in the text and the object in the first and the last document."""
    trees, asked = run(weather(), kind)
    assert said(trees) == f"{HEAD}今天天气很好{TAIL}"
    assert reasons(trees) == {0: "STOP"}
    assert ["aigc" in tree for tree in trees] == [True, *[False] * (len(trees) - 2), True]
    assert trees[-1]["aigc"] == asked.label
    assert [tree["usageMetadata"] for tree in trees if "usageMetadata" in tree] == [USAGE]
    assert asked.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("kind", ["sse", "array"])
def test_what_passes_unchanged_goes_out_byte_for_byte(kind: str) -> None:
    """Odd spacing, escapes and unknown members between the labels."""
    odd = b'{ "candidates": [ {"content": {"parts": [{"text": "\\u4f60\\u597d"}],"role": "model"},"x":[1.50]} ] }'
    first, last = (json.dumps(tree, ensure_ascii=False).encode() for tree in weather())
    body = b"".join(b"data: %b\n\n" % item for item in (first, odd, last))
    if kind == "array":
        body = b"[" + b"\n,\n".join((first, odd, last)) + b"\n]"
    assert odd in answer(WIRE, exchange(kind), [body]).body


@pytest.mark.parametrize("kind", ["sse", "array"])
def test_a_term_stops_the_stream_with_safety(kind: str) -> None:
    """What stood before it was shown, our words follow, the counts are kept, the framing is whole."""
    trees, asked = run(
        [chunk(candidate(text("先说", "禁")), usageMetadata=USAGE), chunk(candidate(text("词后")))], kind
    )
    assert asked.outcome is Outcome.STOPPED
    assert said(trees).startswith(f"{HEAD}先说{TAIL}\n\n")
    assert reasons(trees) == {0: "SAFETY"}
    assert trees[-1]["usageMetadata"]["promptTokenCount"] == 5 and trees[-1]["aigc"] == asked.label
    assert "禁" not in json.dumps(trees, ensure_ascii=False)


@pytest.mark.parametrize("kind", ["sse", "array", "plain"])
@pytest.mark.parametrize(
    "parts",
    [
        [{"text": "禁"}, {"text": "词"}],
        [{"text": "禁"}, {"functionCall": {"name": "f", "args": {}}}, {"text": "词"}],
        [{"text": "想禁", "thought": True}, {"text": "好"}, {"text": "词", "thought": True}],
        [{"functionCall": {"name": "禁词", "args": {}}}],
        [{"functionCall": {"name": "f", "args": {"a": [{"b": "关于禁词"}]}}}],
        [{"functionCall": {"name": "f", "args": {"禁词": 1}}}],
        [{"executableCode": {"language": "PYTHON", "code": "print('禁词')"}}],
        [{"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "禁词"}}],
        [{"inlineData": {"mimeType": "text/plain", "data": b64("说禁词")}}],
        [{"brandNew": {"deep": ["禁词"]}}],
    ],
)
def test_a_term_never_leaves_wherever_it_stands(parts: list[dict[str, Any]], kind: str) -> None:
    """Over parts, behind a call, in thoughts, names, arguments, keys, code, results, files and unknown parts."""
    asked = exchange(kind)
    if kind == "plain":
        body = json.dumps(chunk(candidate(parts, finishReason="STOP"))).encode()
        trees = [json.loads(answer(WIRE, asked, [body]).body)]
    else:
        documents = [chunk(candidate([part])) for part in parts]
        out = answer(WIRE, asked, [framed([*documents, chunk(candidate([], finishReason="STOP"))], kind)])
        trees = parsed(out.body, kind)
    shown = json.dumps(trees, ensure_ascii=False)
    assert asked.outcome is Outcome.STOPPED and reasons(trees) == {0: "SAFETY"}
    assert TERM not in shown and b64("说禁词") not in shown
    assert "词" not in said(trees) + said(trees, thought=True)


def test_a_call_with_a_term_is_left_out_and_the_text_beside_it_stays() -> None:
    """Half a function call would be a wrong call."""
    call = {"functionCall": {"name": "f", "args": {"ok": "fine", "bad": "禁词"}}}
    trees, _ = run([chunk(candidate([*text("好的"), call]))])
    assert parts_of(trees, "functionCall") == [] and said(trees).startswith(f"{HEAD}好的")


def test_a_call_is_never_held_for_what_the_model_says_later() -> None:
    """Its last word may be the beginning of a term; the call is complete all the same, and so it leaves."""
    call = {"functionCall": {"id": "1", "name": "f", "args": {"a": "禁", "b": "禁"}}}
    reader_parts = answer(WIRE, exchange(), [framed([chunk(candidate([call]))]), framed(weather())]).parts
    assert parts_of(parsed(reader_parts[0]), "functionCall") == [call["functionCall"]]


def test_a_call_between_texts_of_one_document_survives_the_label() -> None:
    """The label cuts the document in two; the call leaves with its first half, once."""
    call = {"functionCall": {"name": "f", "args": {"city": "北京"}}}
    parts = [*text("想", thought=True), *text("查"), call]
    trees, _ = run([chunk(candidate(parts, finishReason="STOP"), usageMetadata=USAGE)])
    assert parts_of(trees, "functionCall") == [call["functionCall"]]
    assert said(trees) == f"{HEAD}查{TAIL}" and said(trees, thought=True) == "想"


def test_calls_of_two_candidates_in_one_document_both_survive_the_labels() -> None:
    """Each candidate's label cuts the document; what is whole leaves with its first piece."""
    calls = [{"functionCall": {"name": f"f{n}", "args": {"n": "x"}}} for n in (0, 1)]
    both = chunk(*(candidate([*text("甲"), call], n, finishReason="STOP") for n, call in enumerate(calls)))
    trees, _ = run([both])
    assert parts_of(trees, "functionCall") == [call["functionCall"] for call in calls]
    assert [said(trees, n) for n in (0, 1)] == [f"{HEAD}甲{TAIL}"] * 2


def test_a_labelled_picture_behind_a_thought_and_a_text_is_not_lost() -> None:
    """The label stands between the two texts, so the document leaves in pieces; the picture leaves once."""
    picture = {"inlineData": {"mimeType": "image/png", "data": b64(b"\x89PNG")}}
    asked = exchange()
    parts = [*text("想", thought=True), *text("图"), picture]
    events = read(WIRE, asked, [framed([chunk(candidate(parts, finishReason="STOP"))])])
    made: list[Any] = []
    for event in events:
        if getattr(event, "lane", None) == Lane(0, Channel.ANSWER):
            made.append(TextDelta(Lane(0, Channel.ANSWER), HEAD))
        made.append(dataclasses.replace(event, is_labelled=True) if isinstance(event, Media) else event)
    trees = parsed(WIRE.writer(asked).write(made))
    assert parts_of(trees, "inlineData") == [picture["inlineData"]]
    assert said(trees) == HEAD + "图"


@pytest.mark.parametrize("kind", ["sse", "array", "plain"])
@pytest.mark.parametrize("part", ["functionCall", "executableCode"])
def test_a_backslash_in_a_call_or_in_code_hides_nothing(part: str, kind: str) -> None:
    """Both are decoded already; read as JSON once more, `\\f` would swallow the first letter."""
    value = "C:\\forbiddenword"
    made = {"name": "f", "args": {"path": value}} if part == "functionCall" else {"language": "PYTHON", "code": value}
    tree = chunk(candidate([{part: made}], finishReason="STOP"))
    asked = exchange(kind)
    body = json.dumps(tree).encode() if kind == "plain" else framed([tree], kind)
    out = answer(WIRE, asked, [body]).body
    assert asked.outcome is Outcome.STOPPED and b"forbiddenword" not in out


def test_two_calls_are_not_one_text() -> None:
    """What one name or file ends with is no beginning of the next."""
    calls = [{"functionCall": {"name": name, "args": {}}} for name in "禁词"]
    files = [{"inlineData": {"mimeType": "text/plain", "data": b64(name)}} for name in "禁词"]
    trees, asked = run([*(chunk(candidate([part])) for part in (*calls, *files)), *weather()])
    assert asked.outcome is Outcome.COMPLETED
    assert parts_of(trees, "functionCall") == [call["functionCall"] for call in calls]
    assert parts_of(trees, "inlineData") == [item["inlineData"] for item in files]


def test_masked_words_of_a_call_and_of_a_file_are_masked_in_place() -> None:
    """Keys, numbers and the encoding stay what they were."""
    parts = [
        {"functionCall": {"name": "f", "args": {"a": ["x maskedword", 1, None]}}},
        {"inlineData": {"mimeType": "text/plain", "data": b64("x maskedword")}},
    ]
    trees, asked = run([chunk(candidate(parts)), *weather()])
    assert parts_of(trees, "functionCall") == [{"name": "f", "args": {"a": ["x **********", 1, None]}}]
    assert parts_of(trees, "inlineData") == [{"mimeType": "text/plain", "data": b64("x **********")}]
    assert {item.action for item in asked.decisions} == {Action.MODIFY}


@pytest.mark.parametrize("kind", ["sse", "array"])
def test_candidates_are_guarded_and_labelled_each(kind: str) -> None:
    """A second candidate is no way round; its held text does not hold back the first."""
    trees, _ = run(
        [
            chunk(candidate(text("甲"), 0), candidate(text("乙禁"), 1)),
            chunk(candidate(text("完"), 0, finishReason="STOP"), candidate(text("果"), 1, finishReason="MAX_TOKENS")),
        ],
        kind,
    )
    assert said(trees, 0) == f"{HEAD}甲完{TAIL}" and said(trees, 1) == f"{HEAD}乙禁果{TAIL}"
    assert reasons(trees) == {0: "STOP", 1: "MAX_TOKENS"}
    stopped, asked = run([chunk(candidate(text("甲"), 0), candidate(text("乙禁"), 1)), chunk(candidate(text("词"), 1))])
    assert asked.outcome is Outcome.STOPPED and reasons(stopped) == {0: "SAFETY", 1: "SAFETY"}


def test_what_tells_of_the_text_follows_it_and_is_dropped_where_it_may_not_be_said() -> None:
    """Grounding and citations copy words of the answer and of pages."""
    good = {"groundingChunks": [{"web": {"uri": "https://e.x", "title": "标题"}}]}
    bad = {"citationSources": [{"uri": "u", "title": "禁词"}]}
    trees, asked = run(weather(groundingMetadata=good, citationMetadata=bad))
    kept = [item for tree in trees for item in tree["candidates"] if item.get("groundingMetadata")]
    assert kept and kept[0]["groundingMetadata"] == good
    assert TERM not in json.dumps(trees, ensure_ascii=False) and asked.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("kind", ["sse", "array"])
def test_half_a_surrogate_pair_is_replaced_before_the_candidate_ends(kind: str) -> None:
    """Joined over documents; what never finds its half stands inside the label's end."""
    trees = [chunk(candidate(text(word))) for word in ("好", "HIGH", "LOW", "HIGH")]
    body = framed([*trees, chunk(candidate([], finishReason="STOP"))], kind)
    body = body.replace(b"HIGH", b"\\ud83d").replace(b"LOW", b"\\ude00")
    out = parsed(answer(WIRE, exchange(kind), [body]).body, kind)
    assert said(out) == f"{HEAD}好😀\ufffd{TAIL}"


def test_media_leave_only_labelled_and_then_in_their_place() -> None:
    """A picture nobody labelled is no answer; a labelled one takes the place of what the model sent."""
    part = {"inlineData": {"mimeType": "image/png", "data": b64(b"\x89PNG")}}
    for kind in ("sse", "plain"):
        asked = exchange(kind)
        tree = chunk(candidate([*text("图"), part], finishReason="STOP"))
        body = framed([tree]) if kind == "sse" else json.dumps(tree).encode()
        with pytest.raises(BadAnswer, match="unlabelled_media"):
            answer(WIRE, asked, [body])
        asked = exchange(kind)
        events = read(WIRE, asked, [body])
        media = [event for event in events if isinstance(event, Media)]
        assert [(item.mime, item.data) for item in media] == [("image/png", b"\x89PNG")]
        labelled = [
            dataclasses.replace(event, data=b"LABELLED", is_labelled=True) if isinstance(event, Media) else event
            for event in events
        ]
        out = WIRE.writer(asked).write(labelled)
        trees = parsed(out) if kind == "sse" else [json.loads(out)]
        assert parts_of(trees, "inlineData") == [{"mimeType": "image/png", "data": b64(b"LABELLED")}]
    linked = chunk(candidate([{"fileData": {"mimeType": "image/png", "fileUri": "u"}}], finishReason="STOP"))
    with pytest.raises(BadAnswer, match="unlabelled_media"):
        answer(WIRE, exchange(), [framed([linked])])


def test_a_blocked_prompt_of_the_models_is_a_complete_answer() -> None:
    """The upstream's own filter: no candidates, and the reason."""
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "no"}
    trees, asked = run([{"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}}])
    assert trees[0]["promptFeedback"] == feedback and asked.outcome is Outcome.COMPLETED
    assert trees[-1]["aigc"] == asked.label
    plain = exchange("plain")
    document = json.loads(answer(WIRE, plain, [json.dumps({"promptFeedback": feedback}).encode()]).body)
    assert document == {"promptFeedback": feedback, "aigc": plain.label}


@pytest.mark.parametrize("kind", ["sse", "array"])
def test_an_error_in_a_stream_is_an_answer_that_broke_off(kind: str) -> None:
    """Ours follows in its place, and the framing is whole."""
    error = {"error": {"code": 503, "message": "forbiddenword", "status": "UNAVAILABLE"}}
    asked = exchange(kind)
    body = framed([weather()[0], error], kind)
    out = answer(WIRE, asked, [body])
    trees = parsed(out.body, kind)
    assert trees[-1]["error"]["status"] == "UNAVAILABLE" and b"forbiddenword" not in out.body
    assert said(trees).startswith(f"{HEAD}今天") and asked.outcome is Outcome.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("sse", framed(weather()[:1])),
        ("sse", b""),
        ("array", framed(weather()[:1], "array")),
        ("array", framed(weather(), "array")[:-1]),
        ("array", b"[]"),
        ("sse", framed([chunk(candidate(text("x"), finishReason="FINISH_REASON_UNSPECIFIED"))])),
    ],
)
def test_a_stream_without_its_end_broke_off(kind: str, body: bytes) -> None:
    """No `finishReason`, no closing bracket, nothing at all."""
    with pytest.raises(BadAnswer, match="incomplete"):
        read(WIRE, exchange(kind), [body])


@pytest.mark.parametrize(
    "tree",
    [
        {"candidates": {}},
        {"candidates": [1]},
        {"candidates": [{"index": -1}]},
        {"candidates": [{"index": "0"}]},
        {"candidates": [{"content": []}]},
        {"candidates": [{"content": {"parts": {}}}]},
        {"candidates": [{"content": {"parts": [1]}}]},
        {"candidates": [{"content": {"parts": [{"text": 1}]}}]},
        {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "!"}}]}}]},
        {"candidates": [{"content": {"parts": [{"inlineData": {}}]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"partialArgs": [{"stringValue": "x"}]}}]}}]},
    ],
)
def test_what_is_not_the_wire_is_no_answer(tree: dict[str, Any]) -> None:
    """In a stream and in a whole document."""
    with pytest.raises(BadAnswer):
        read(WIRE, exchange(), [framed([tree])])
    with pytest.raises(BadAnswer):
        read(WIRE, exchange("plain"), [json.dumps(tree).encode()])


@given(st.binary(max_size=60), st.sampled_from(["sse", "array", "plain"]))
def test_garbage_is_a_bad_answer_and_nothing_else(body: bytes, kind: str) -> None:
    """Whatever the bytes are."""
    with pytest.raises(BadAnswer):
        read(WIRE, exchange(kind), [body])


RICH = [
    chunk(candidate(text("想禁", thought=True, thoughtSignature="c2ln"))),
    chunk(candidate([*text("今天😀说禁"), {"functionCall": {"name": "f", "args": {"城": '北"}]['}}}])),
    chunk(candidate(text("果")), candidate(text("另"), 1)),
    chunk(candidate([{"inlineData": {"mimeType": "text/plain", "data": b64("文件")}}])),
    chunk(candidate(text("完"), finishReason="STOP"), candidate([], 1, finishReason="STOP"), usageMetadata=USAGE),
]


@pytest.mark.parametrize("kind", ["sse", "array"])
@given(data=st.data())
def test_any_split_of_the_bytes_gives_the_same_events_and_the_same_answer(kind: str, data: st.DataObject) -> None:
    """Reads may end anywhere, inside UTF-8 and between brackets too."""
    body = framed(RICH, kind)
    reads = pieces(body, data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    assert texts(read(WIRE, exchange(kind), reads)) == texts(read(WIRE, exchange(kind), [body]))
    asked = exchange(kind)
    trees = parsed(answer(WIRE, asked, reads).body, kind)
    assert said(trees) == f"{HEAD}今天😀说禁果完{TAIL}" and said(trees, 1) == f"{HEAD}另{TAIL}"
    assert said(trees, thought=True) == "想禁"
    assert parts_of(trees, "functionCall") == [{"name": "f", "args": {"城": '北"}]['}}]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=6), st.sampled_from(["sse", "array"]))
def test_text_out_is_text_in(words: list[str], kind: str) -> None:
    """Whatever the model says, nothing but the labels is added."""
    trees, _ = run([*(chunk(candidate(text(word))) for word in words), chunk(candidate([], finishReason="STOP"))], kind)
    spoken = "".join(words)
    out = said(trees)
    assert out in (spoken, HEAD + spoken + TAIL, HEAD_EN + spoken + TAIL_EN, HEAD + spoken + TAIL_EN)
    assert bool(spoken) == (out != spoken)


@given(st.text("前后好", max_size=4), st.text("前后好", max_size=4), st.sampled_from(["sse", "array"]), st.data())
def test_a_term_split_any_way_never_leaks(before: str, after: str, kind: str, data: st.DataObject) -> None:
    """Documents, parts and reads cut it anywhere; a whole answer is as strict."""
    spoken = before + TERM + after
    edges = [0, *sorted(data.draw(st.sets(st.integers(0, len(spoken)), max_size=4))), len(spoken)]
    words = [spoken[first:last] for first, last in pairwise(edges)]
    size = data.draw(st.integers(1, 3))
    trees = [chunk(candidate(text(*words[at : at + size]))) for at in range(0, len(words), size)]
    body = framed([*trees, chunk(candidate([], finishReason="STOP"))], kind)
    asked = exchange(kind)
    got = parsed(answer(WIRE, asked, pieces(body, data.draw(st.lists(st.integers(0, 999), max_size=5)))).body, kind)
    assert asked.outcome is Outcome.STOPPED and "禁" not in said(got) and "词" not in said(got)
    assert said(got).startswith(HEAD + before if before else "")
    plain = exchange("plain")
    document = json.loads(
        answer(WIRE, plain, [json.dumps(chunk(candidate(text(*words), finishReason="STOP"))).encode()]).body
    )
    assert plain.outcome is Outcome.STOPPED and reasons([document]) == {0: "SAFETY"}
    assert TERM not in json.dumps(document, ensure_ascii=False)


PASSED: set[str] = set()
"""Nothing passes by its name alone: what stands in a naming member has to look like a name."""


@pytest.mark.parametrize("kind", ["sse", "plain"])
def test_there_is_no_place_to_hide(kind: str) -> None:
    """Known members of the wrong type or place, unknown ones, keys: all are looked at, or the answer is none."""
    call = {"functionCall": {"id": "1", "name": "f", "args": {"a": {"id": "x"}}}}
    parts = [*text("想", thought=True, thoughtSignature="c2ln"), *text("今天"), call]
    parts.append({"executableCode": {"language": "PYTHON", "code": "1"}})
    documents = [chunk(candidate(parts)), chunk(candidate(text("完"), finishReason="STOP"), usageMetadata=USAGE)]
    if kind == "plain":
        documents = [chunk(candidate(parts, finishReason="STOP"), usageMetadata=USAGE)]
    tried, found = came_through(
        WIRE, lambda: exchange(kind), documents,
        lambda trees: json.dumps(trees[0]).encode() if kind == "plain" else framed(list(trees), kind), PASSED, {"args"},
    )  # fmt: skip
    assert found == [] and tried > 500


@pytest.mark.parametrize("kind", ["sse", "array", "plain"])
def test_words_that_call_a_member_do_not_leave(kind: str) -> None:
    """Found by the fuzzer: a broken part whose text had become the name of a member. The member is taken out."""
    documents = [chunk(candidate([{f"x {TERM} y": True}, *text("完")], finishReason="STOP"))]
    body = json.dumps(documents[0]).encode() if kind == "plain" else framed(documents, kind)
    got = answer(WIRE, exchange(kind), [body]).body.decode()
    assert TERM not in got and json.dumps(TERM)[1:-1] not in got and "完" in got


# ---- the plain answer, refusals, counting


def test_a_plain_answer_is_labelled_like_a_stream_and_keeps_what_is_unknown() -> None:
    """Text over parts is one text; unknown members and big numbers stay."""
    asked = exchange("plain")
    tree = chunk(candidate(text("今天", "很好"), None, finishReason="STOP", xNew=[2**70]), usageMetadata=USAGE, yNew=1)
    document = json.loads(answer(WIRE, asked, [json.dumps(tree).encode()]).body)
    assert [part["text"] for part in document["candidates"][0]["content"]["parts"]] == [f"{HEAD}今天", f"很好{TAIL}"]
    assert document["aigc"] == asked.label
    assert document["candidates"][0]["xNew"] == [2**70] and document["yNew"] == 1
    assert [
        event.output_tokens for event in read(WIRE, asked, [json.dumps(tree).encode()]) if isinstance(event, Usage)
    ] == [9]


@pytest.mark.parametrize("kind", ["sse", "array", "plain"])
def test_a_refusal_is_a_whole_answer_of_the_wire(kind: str) -> None:
    """No model was asked; SDKs parse it and apps show it."""
    asked = exchange(kind)
    refusal = Refusal(Decision("x", Verdict.BLOCK, Action.REFUSE), status=400, code="x", message="不行", in_band=True)
    made = WIRE.refusal(asked, refusal)
    assert made is not None
    out = WIRE.writer(asked).write(made[1])
    trees = [json.loads(out)] if kind == "plain" else parsed(out, kind)
    assert made[0] == 200 and said(trees) == "不行" and reasons(trees) == {0: "SAFETY"}
    assert trees[0]["aigc"] == trees[-1]["aigc"] == asked.label


def test_lanes_are_where_they_belong() -> None:
    """Text is the answer, thoughts are reasoning, calls and files come whole."""
    lanes = texts(read(WIRE, exchange(), [framed(RICH)]))
    assert lanes[0, Channel.ANSWER, 0] == "今天😀说禁果完" and lanes[1, Channel.ANSWER, 0] == "另"
    assert lanes[0, Channel.REASONING, 0] == "想禁"
    whole = [said_ for (choice, *_), said_ in lanes.items() if choice == -2]
    assert any("城" in item for item in whole) and any("文件" in item for item in whole)


def test_counting_and_listing_pass_their_answers_and_have_no_refusal_in_band() -> None:
    """The count reads the same texts, of a whole request too; the list asks nothing of a model."""
    count, models = GeminiCountTokens(), GeminiModels()
    inner = json.dumps({"generateContentRequest": {"contents": [{"parts": [{"text": TERM}]}]}}).encode()
    asked = ask(count, "/v1beta/models/gemini-x:countTokens", inner)
    assert asked.prompt is not None and TERM in [item.text for item in asked.prompt.texts]
    reader = count.reader(asked.prompt, 1_000)
    assert count.writer(asked).write([*reader.feed(b'{"totalTokens": 7}'), *reader.close()]) == b'{"totalTokens": 7}'
    refusal = Refusal(Decision("x", Verdict.BLOCK, Action.REFUSE), status=400, code="x", message="不行", in_band=True)
    assert count.refusal(asked, refusal) is None
    listed = models.read_request("/v1beta/models", "pageSize=2", b"")
    assert models.call("/v1beta/models", "pageSize=2", listed).path == "/v1beta/models?pageSize=2"
    assert json.loads(models.error(429, "quota", "Later."))["error"]["status"] == "RESOURCE_EXHAUSTED"


# ---- the official SDK

LABEL = "本内容由AI生成"


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=shared_gateway.url, timeout=20_000)
    made = genai.Client(api_key="google-key", http_options=options)
    yield made
    made.close()


def scripted(body: bytes, *, stream: bool = True, content_type: str = "text/event-stream") -> Any:
    """The configuration that makes the upstream answer with `body`."""
    script = {
        "raw_base64": base64.b64encode(body).decode(),
        "answers_as": "stream" if stream else "plain",
        "content_type": content_type if stream else "application/json; charset=UTF-8",
    }
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers={"X-Script": json.dumps(script)}))


def test_the_sdk_reads_a_plain_answer(client: genai.Client, upstream: ScriptedUpstream) -> None:
    """Labelled in the text; the envelope is there and does not trouble it; the key reaches the model."""
    upstream.reset()
    body = json.dumps(chunk(candidate(text("今天很好"), finishReason="STOP"), usageMetadata=USAGE)).encode()
    got = client.models.generate_content(model="gemini-x", contents="你好", config=scripted(body, stream=False))
    assert got.text == f"{LABEL}\n\n今天很好\n\n{LABEL}"
    assert got.candidates is not None and got.candidates[0].finish_reason == types.FinishReason.STOP
    assert got.sdk_http_response is not None and got.sdk_http_response.headers is not None
    assert got.sdk_http_response.headers["duty-record"]
    assert upstream.seen[0].header("x-goog-api-key") == "google-key"
    assert upstream.seen[0].path in (PLAIN, PLAIN.replace("v1beta", "v1"))  # the SDK's own default


def test_the_sdk_reads_a_stream_with_thoughts_and_a_call(client: genai.Client) -> None:
    """What the chunks say together is what the model said, with labels."""
    call = {"functionCall": {"name": "get_weather", "args": {"city": "北京"}}}
    trees = [chunk(candidate(text("想", thought=True, thoughtSignature="c2ln"))), chunk(candidate([call])), *weather()]
    chunks = list(
        client.models.generate_content_stream(model="gemini-x", contents="你好", config=scripted(framed(trees)))
    )
    assert "".join(item.text or "" for item in chunks) == f"{LABEL}\n\n今天天气很好\n\n{LABEL}"
    calls = [found for item in chunks for found in item.function_calls or ()]
    assert [(found.name, found.args) for found in calls] == [("get_weather", {"city": "北京"})]
    assert chunks[-1].candidates is not None and chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_the_sdk_gets_a_well_formed_end_from_a_stopped_stream(client: genai.Client) -> None:
    """`SAFETY`, our words, nothing of the term."""
    trees = [chunk(candidate(text("先说禁"))), chunk(candidate(text("词"))), *weather()]
    chunks = list(
        client.models.generate_content_stream(model="gemini-x", contents="你好", config=scripted(framed(trees)))
    )
    out = "".join(item.text or "" for item in chunks)
    assert out.startswith(f"{LABEL}\n\n先说") and "禁" not in out
    assert chunks[-1].candidates is not None and chunks[-1].candidates[0].finish_reason == types.FinishReason.SAFETY


def test_the_sdk_gets_a_refused_prompt_as_an_answer(client: genai.Client, upstream: ScriptedUpstream) -> None:
    """The model is not asked; a count is refused as an error."""
    upstream.reset()
    got = client.models.generate_content(model="gemini-x", contents="说禁词")
    assert got.text and "禁词" not in got.text
    assert got.candidates is not None and got.candidates[0].finish_reason == types.FinishReason.SAFETY
    chunks = list(client.models.generate_content_stream(model="gemini-x", contents="说禁词"))
    assert "".join(item.text or "" for item in chunks) == got.text
    with pytest.raises(errors.ClientError) as caught:
        client.models.count_tokens(model="gemini-x", contents="禁词")
    assert caught.value.code == 400 and caught.value.status == "INVALID_ARGUMENT"
    assert upstream.seen == []


def test_the_sdk_raises_an_answer_that_broke_off(client: genai.Client) -> None:
    """The text before it arrives, then the error."""
    stream = client.models.generate_content_stream(
        model="gemini-x", contents="你好", config=scripted(framed(weather()[:1]))
    )
    seen: list[str] = []
    with pytest.raises(errors.ServerError):
        seen.extend(item.text or "" for item in stream)


def test_a_stream_without_alt_is_one_array(shared_gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """As Google's REST clients read it, whatever pieces the upstream writes."""
    upstream.reset()
    script = {"raw_base64": b64(framed(weather(), "array")), "answers_as": "stream", "writes": 7,
              "content_type": "application/json; charset=UTF-8"}  # fmt: skip
    got = httpx.post(
        shared_gateway.url + STREAM, content=request(), headers={"x-script": json.dumps(script), "x-goog-api-key": "k"}
    )
    assert got.headers["content-type"] == "application/json; charset=UTF-8"
    assert said(got.json()) == f"{LABEL}\n\n今天天气很好\n\n{LABEL}"
    assert got.json()[-1]["aigc"]["ProduceID"] == got.headers["duty-record"]
    wrong = {**script, "content_type": "text/event-stream"}
    bad = httpx.post(shared_gateway.url + STREAM, content=request(), headers={"x-script": json.dumps(wrong)})
    assert bad.status_code == 502 and bad.json()["error"]["status"] == "UNAVAILABLE"


def test_counts_and_lists_pass_through_the_gateway(client: genai.Client, shared_gateway: RunningGateway) -> None:
    """As they were, without a label."""
    script = {"X-Script": json.dumps({"body": {"totalTokens": 7}})}
    counted = client.models.count_tokens(
        model="gemini-x",
        contents="你好",
        config=types.CountTokensConfig(http_options=types.HttpOptions(headers=script)),
    )
    assert counted.total_tokens == 7
    listed = {"models": [{"name": "models/gemini-x"}]}
    got = httpx.get(f"{shared_gateway.url}/v1beta/models", headers={"x-script": json.dumps({"body": listed})})
    assert got.json() == listed
