# SPDX-License-Identifier: Apache-2.0
"""A downloaded file is guarded and labelled line by line."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import Media
from gateway.exchange import Exchange, Outcome
from gateway.wires.interfaces import BadAnswer
from gateway.wires.openai_files import OpenAIFileContent
from tests.gateway.wires.driver import HEAD, TAIL, TERM, answer, ask, pieces

WIRE = OpenAIFileContent()


def asked() -> Exchange:
    return ask(WIRE, "/v1/files/f-1/content", b"")


def chat(text: str, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **more}, "finish_reason": "stop"}
    return {"id": "r", "custom_id": "c", "response": {"body": {"object": "chat.completion", "choices": [choice]}}}


def jsonl(*lines: Any) -> bytes:
    return b"".join(orjson.dumps(item) + b"\n" for item in lines)


def downloaded(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer(WIRE, asked(), [body]).body.splitlines()]


@given(st.lists(st.integers(0, 2_000), max_size=6))
def test_answers_are_labelled_in_any_split(cuts: list[int]) -> None:
    """Chat, completions and responses; JSON by itself stays JSON; every line carries the object."""
    response = {"output": [{"type": "message", "content": [{"type": "output_text", "text": "三"}]}]}
    body = jsonl(
        chat("一"),
        {"response": {"body": {"choices": [{"text": "二"}]}}},
        {"response": {"body": response}},
        chat('{"a": "四"}'),
        {"error": {"message": "failed"}, "response": None},
    )
    exchange = asked()
    told = [json.loads(line) for line in answer(WIRE, exchange, pieces(body, cuts)).body.splitlines()]
    assert told[0]["response"]["body"]["choices"][0]["message"]["content"] == HEAD + "一" + TAIL
    assert told[1]["response"]["body"]["choices"][0]["text"] == HEAD + "二" + TAIL
    assert told[2]["response"]["body"]["output"][0]["content"][0]["text"] == HEAD + "三" + TAIL
    assert told[3]["response"]["body"]["choices"][0]["message"]["content"] == '{"a": "四"}'
    assert all(line["response"]["body"]["aigc"] == exchange.label for line in told[:4])
    assert told[4] == {"error": {"message": "failed"}, "response": None, "aigc": exchange.label}


@pytest.mark.parametrize(
    "bad",
    [
        chat(f"a {TERM}"),
        chat("fine", reasoning_content=TERM),
        chat("fine", tool_calls=[{"function": {"name": "f", "arguments": f'{{"q":"{TERM}"}}'}}]),
        chat("fine", tool_calls=[{"function": {"name": "f", "arguments": json.dumps({"q": TERM})}}]),
        chat(json.dumps({"a": TERM})),
        chat("fine", audio={"transcript": TERM}),
        {"response": {"body": {"output": [{"type": "function_call", "arguments": json.dumps({"q": TERM})}]}}},
        {"custom_id": "c", "response": {"body": {"choices": [{"text": "fine"}]}, "note": TERM}},
        {"error": {"message": TERM}},
        chat(f'{{"a": "{TERM}"}}'),
    ],
)
def test_a_term_in_one_line_withholds_the_file(bad: dict[str, Any]) -> None:
    """A file is one answer."""
    given_ = answer(WIRE, asked(), [jsonl(chat("harmless"), bad)])
    assert json.loads(given_.body)["error"]["code"] == "content_filter"
    assert "harmless" not in given_.body.decode()
    assert TERM not in given_.body.decode()
    assert given_.exchange.outcome is Outcome.STOPPED


def test_a_masked_word_is_masked_in_its_line() -> None:
    """The other lines stay."""
    told = downloaded(jsonl(chat("a maskedword"), chat("fine words")))
    said = [line["response"]["body"]["choices"][0]["message"]["content"] for line in told]
    assert said == [HEAD_EN + f"a {'*' * 10}" + TAIL_EN, HEAD_EN + "fine words" + TAIL_EN]


HEAD_EN, TAIL_EN = "AI-generated\n\n", "\n\nAI-generated"


def test_a_word_is_not_put_together_from_two_lines() -> None:
    """Each line is an answer of its own, whichever wire it is of."""
    parts = [{"type": "function_call", "name": part, "arguments": "{}"} for part in TERM]
    lines = [{"response": {"body": {"output": [part]}}} for part in parts] + [chat(part) for part in TERM]
    assert len(downloaded(jsonl(*lines))) == 4
    given_ = answer(WIRE, asked(), [jsonl(chat("fine"), {"response": {"body": {"choices": [{"text": TERM}]}}})])
    assert json.loads(given_.body)["error"]["code"] == "content_filter"


def test_every_choice_of_a_line_has_its_label() -> None:
    """And so has every part of a response."""
    line = chat("一")
    line["response"]["body"]["choices"].append(
        {"index": 1, "message": {"role": "assistant", "content": "二"}, "finish_reason": "stop"}
    )
    content = [{"type": "output_text", "text": text} for text in "三四"]
    told = downloaded(jsonl(line, {"response": {"body": {"output": [{"type": "message", "content": content}]}}}))
    said = [choice["message"]["content"] for choice in told[0]["response"]["body"]["choices"]]
    assert said == [HEAD + "一" + TAIL, HEAD + "二" + TAIL]
    said = [part["text"] for part in told[1]["response"]["body"]["output"][0]["content"]]
    assert said == [HEAD + "三" + TAIL, HEAD + "四" + TAIL]


def test_a_choice_with_an_absurd_number_is_refused() -> None:
    """It could be taken for another line's."""
    line = chat("fine")
    line["response"]["body"]["choices"][0]["index"] = 1 << 14
    with pytest.raises(BadAnswer, match="bad_choice"):
        downloaded(jsonl(line))


def test_labelled_media_leave_in_their_lines() -> None:
    """Pictures, spoken answers, and what a response drew."""
    drawn = {"type": "image_generation_call", "result": "aGk="}
    body = jsonl(
        {"response": {"body": {"data": [{"b64_json": "aGk="}]}}},
        chat("fine", audio={"id": "a", "data": "aGk=", "transcript": "fine"}),
        {"response": {"body": {"output": [drawn]}}},
    )
    exchange = asked()
    assert exchange.prompt is not None
    reader, writer = WIRE.reader(exchange.prompt, 1), WIRE.writer(exchange)
    events = [
        replace(event, data=b"labelled", is_labelled=True) if isinstance(event, Media) else event
        for event in [*reader.feed(body), *reader.close()]
    ]
    first, second, third = [json.loads(line)["response"]["body"] for line in writer.write(events).splitlines()]
    made = "bGFiZWxsZWQ="
    assert first["data"][0]["b64_json"] == made
    assert second["choices"][0]["message"]["audio"] == {"id": "a", "data": made, "transcript": "fine"}
    assert third["output"][0]["result"] == made
    assert all(item["aigc"] == exchange.label for item in (first, second, third))


@pytest.mark.parametrize("body", [b"some words\nand more", b"[1, 2]", b""])
def test_any_other_text_passes_as_it_is(body: bytes) -> None:
    """It is guarded, and nothing is written into it."""
    assert answer(WIRE, asked(), [body]).body == body


def test_any_other_text_is_guarded() -> None:
    """Also JSON over several lines, with its escapes."""
    escaped = b'"\\u7981\\u8bcd"'
    for body in (f"a {TERM}".encode(), b'{\n "a": ' + escaped + b"\n}", b"[%s]" % escaped, b"text\n[%s]\n{}" % escaped):
        given_ = answer(WIRE, asked(), [body])
        assert json.loads(given_.body)["error"]["code"] == "content_filter"


def test_a_word_to_be_masked_behind_an_escape_is_refused() -> None:
    """It cannot be put back; without an escape it can."""
    assert answer(WIRE, asked(), [b'["a maskedword"]']).body == b'["a **********"]'
    given_ = answer(WIRE, asked(), [b'["a \\u006daskedword"]'])
    assert json.loads(given_.body)["error"]["code"] == "content_filter"


@pytest.mark.parametrize(
    "body",
    [
        b"\x89PNG\xff",
        jsonl({"response": {"body": {"data": [{"b64_json": "aGk="}]}}}),
        jsonl(chat("fine", audio={"data": "aGk="})),
    ],
)
def test_media_do_not_leave_unlabelled(body: bytes) -> None:
    """Neither as a file nor in a line."""
    with pytest.raises(BadAnswer) as caught:
        answer(WIRE, asked(), [body])
    assert caught.value.code == "unlabelled_media"


def test_a_labelled_medium_leaves() -> None:
    """As the duty made it."""
    exchange = asked()
    assert exchange.prompt is not None
    reader, writer = WIRE.reader(exchange.prompt, 1), WIRE.writer(exchange)
    events = [
        replace(event, data=b"labelled", is_labelled=True) if isinstance(event, Media) else event
        for event in [*reader.feed(b"\x89PNG\xff"), *reader.close()]
    ]
    assert writer.write(events) == b"labelled"
