# SPDX-License-Identifier: Apache-2.0
"""Ollama's wire: the codecs driven as the runner drives them, and the official Python client against a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import ollama
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Exchange, Outcome
from gateway.wires.interfaces import BadAnswer, BadRequest, Wire
from gateway.wires.ollama import CHAT_PATH, EMBED_PATHS, GENERATE_PATH, OllamaChat, OllamaGenerate, OllamaPassed
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import HEAD, TAIL, TERM, answer, ask, pieces, read, texts
from tests.upstreams.scripted import Script, ScriptedUpstream

CHAT, GENERATE = OllamaChat(), OllamaGenerate()
END = {"done": True, "done_reason": "stop", "total_duration": 5, "prompt_eval_count": 3, "eval_count": 4}


def chat(stream: bool | None = None, **more: Any) -> Exchange:
    request = {"model": "m", "messages": [{"role": "user", "content": "你好"}], **more}
    return ask(CHAT, CHAT_PATH, orjson.dumps(request if stream is None else {**request, "stream": stream}))


def generate(**more: Any) -> Exchange:
    return ask(GENERATE, GENERATE_PATH, orjson.dumps({"model": "m", "prompt": "你好", **more}))


def lines(*messages: dict[str, Any], key: str = "message", end: dict[str, Any] | None = None) -> bytes:
    """A stream of chat messages, or of generate's members where `key` is empty."""
    head = {"model": "m", "created_at": "2025-11-21T00:00:00Z"}
    documents = [{**head, **({key: message} if key else message), "done": False} for message in messages]
    last = {"message": {"role": "assistant", "content": ""}} if key else {"response": ""}
    documents.append({**head, **last, **END, **(end or {})})
    return b"".join(orjson.dumps(document) + b"\n" for document in documents)


def says(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": character} for character in text]


def parsed(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.decode().splitlines()]


def said(body: bytes, key: str = "content") -> str:
    return "".join(line["message"].get(key) or "" for line in parsed(body) if "message" in line)


def test_a_request_is_a_stream_unless_it_says_otherwise() -> None:
    """Ollama's own default."""
    streams = [chat(stream).prompt.stream for stream in (None, True, False)]  # type: ignore[union-attr]
    assert streams == [True, True, False]


def test_every_text_that_the_model_reads_is_collected() -> None:
    """Messages, tool results, tools, schema, options; pictures are media and no text."""
    call = {"function": {"name": "tool-name", "arguments": {"key-name": "argument", "n": 1}}}
    request = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "system"},
            {"role": "user", "content": "user", "images": ["aGk="]},
            {"role": "assistant", "content": "", "thinking": "thought", "tool_calls": [call]},
            {"role": "tool", "content": "result", "tool_name": "tool-name"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "description"}}],
        "options": {"stop": ["stop-word"]},
        "format": {"type": "object", "description": "schema"},
        "later_field": "later",
    }
    prompt = CHAT.read_request(CHAT_PATH, "", orjson.dumps(request))
    found = {item.text for item in prompt.texts}
    assert found >= {"system", "user", "thought", "tool-name", "key-name", "argument", "result", "description"}
    assert found >= {"stop-word", "schema", "later"}
    assert "aGk=" not in found
    assert prompt.has_media
    assert prompt.is_structured
    assert orjson.loads(CHAT.call(CHAT_PATH, "", prompt).body) == request


def test_generate_collects_its_texts() -> None:
    """Prompt, suffix, system and template."""
    body = orjson.dumps({"model": "m", "prompt": "p", "suffix": "s", "system": "y", "template": "t", "raw": True})
    prompt = GENERATE.read_request(GENERATE_PATH, "", body)
    assert {(item.where, item.text) for item in prompt.texts} >= {
        ("prompt", "p"), ("suffix", "s"), ("system", "y"), ("template", "t"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wire", "request_", "param"),
    [
        (CHAT, {"messages": []}, "model"),
        (CHAT, {"model": 1}, "model"),
        (CHAT, {"model": "m", "messages": "x"}, "messages"),
        (CHAT, {"model": "m", "messages": ["x"]}, "messages.0"),
        (CHAT, {"model": "m", "messages": [{"content": "x"}]}, "messages.0.role"),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content"),
        (CHAT, {"model": "m", "stream": "yes"}, "stream"),
        (CHAT, {"model": "m", "format": 3}, "format"),
        (GENERATE, {"model": "m", "prompt": "x", "context": [1, 2]}, "context"),
        (GENERATE, {"model": "m", "prompt": ["x"]}, "prompt"),
    ],
)
def test_a_bad_request_names_its_field(wire: Wire, request_: dict[str, Any], param: str) -> None:
    """Earlier turns as token numbers are among what cannot be checked."""
    with pytest.raises(BadRequest) as caught:
        wire.read_request("", "", orjson.dumps(request_))
    assert caught.value.param == param


@given(st.lists(st.integers(0, 5_000), max_size=8))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    """Reads may cut anywhere, inside a character too."""
    body = lines(*says("今天天气很好😀"), {"role": "assistant", "content": "", "thinking": "嗯"})
    whole = read(CHAT, chat(), [body])
    assert texts(read(CHAT, chat(), pieces(body, cuts))) == texts(whole)
    assert texts(whole) == {(0, "answer", 0): "今天天气很好😀", (0, "reasoning", 0): "嗯"}


@given(st.lists(st.integers(0, 5_000), max_size=8), st.sampled_from(["content", "thinking"]))
def test_a_term_in_any_split_never_leaves(cuts: list[int], key: str) -> None:
    """The stream ends as a normal answer that is done, with our words and both labels."""
    body = lines(*({"role": "assistant", "content": "", key: piece} for piece in "好的。禁词来了"))
    given_ = answer(CHAT, chat(), pieces(body, cuts))
    assert TERM not in said(given_.body, key)
    assert "禁" not in given_.body.decode().replace("禁止", "")
    assert "来了" not in given_.body.decode()
    assert given_.exchange.outcome is Outcome.STOPPED
    sent = parsed(given_.body)
    assert [line["done"] for line in sent] == [False] * (len(sent) - 1) + [True]
    assert sent[-1]["done_reason"] == "stop"
    assert sent[0]["aigc"] == sent[-1]["aigc"] == given_.exchange.label
    assert "回答已停止" in said(given_.body)


@given(st.lists(st.integers(0, 5_000), max_size=8))
def test_what_is_clean_arrives_as_it_was_said(cuts: list[int]) -> None:
    """Between the labels, in order, with the counts of the last line."""
    text = "今天天气很好，我们去散步吧。"
    given_ = answer(CHAT, chat(), pieces(lines(*says(text)), cuts))
    assert said(given_.body) == HEAD + text + TAIL
    last = parsed(given_.body)[-1]
    assert last["done"] is True
    assert last["eval_count"] == 4
    assert (given_.exchange.outcome, given_.exchange.released_chars) == (Outcome.COMPLETED, len(text))


def test_a_line_that_passes_unchanged_leaves_as_it_came() -> None:
    """Byte for byte, whatever its spacing."""
    own = b'{"model" : "m", "message":{"content":"fine words","role":"assistant"},"done":false, "x": 1.50}'
    first, *rest = lines({"role": "assistant", "content": "some "}).splitlines()
    assert own in answer(CHAT, chat(), [b"\n".join([first, own, *rest, b""])]).body


def test_text_in_the_last_line_stands_before_the_end() -> None:
    """Some servers say their last words in the line that is done; the label still ends the text."""
    body = lines(*says("好"), end={"message": {"role": "assistant", "content": "的。"}})
    given_ = answer(CHAT, chat(), [body])
    assert said(given_.body) == HEAD + "好的。" + TAIL
    sent = parsed(given_.body)
    assert [line["done"] for line in sent].count(True) == 1
    assert sent[-1]["total_duration"] == 5
    assert not any("total_duration" in line for line in sent[:-1])


def test_generate_says_the_same_streamed_and_plain() -> None:
    """`context` is left out of both: it repeats the answer as token numbers."""
    members = [{"response": "", "thinking": "想"}, {"response": "今天"}, {"response": "很好"}]
    body = lines(*members, key="", end={"context": [1, 2]})
    sent = parsed(answer(GENERATE, generate(), [body]).body)
    assert "".join(line["response"] for line in sent) == HEAD + "今天很好" + TAIL
    assert "".join(line.get("thinking", "") for line in sent) == "想"
    plain = orjson.dumps({"model": "m", "response": "今天很好", "thinking": "想", "context": [1, 2], **END})
    document = json.loads(answer(GENERATE, generate(stream=False), [plain]).body)
    assert document["response"] == HEAD + "今天很好" + TAIL
    assert document["eval_count"] == 4
    assert set(document["aigc"]) >= {"Label", "ProduceID"}
    assert not any("context" in line for line in [*sent, document])


def test_a_plain_answer_with_a_term_says_nothing_of_it() -> None:
    """Nothing was shown yet, so nothing is: no thoughts, no calls."""
    call = {"function": {"name": "f", "arguments": {"q": "harmless"}}}
    message = {"role": "assistant", "content": f"harmless {TERM}", "thinking": "harmless", "tool_calls": [call]}
    body = orjson.dumps({"model": "m", "message": message, "x_vendor": "harmless", **END})
    given_ = answer(CHAT, chat(False), [body])
    document = json.loads(given_.body)
    assert "harmless" not in given_.body.decode()
    assert TERM not in given_.body.decode()
    assert set(document["message"]) == {"role", "content"}
    assert document["message"]["content"]
    assert document["done"] is True


CALL = {"function": {"name": "search", "arguments": {"q": "天气", "n": 3, "deep": {"list": ["a", 1.5, None]}}}}


@pytest.mark.parametrize("stream", [True, False])
def test_a_tool_call_arrives_as_it_was_made(stream: bool) -> None:
    """A tool acts on it: nothing is written into it, and the answer needs no label in text."""
    message = {"role": "assistant", "content": "", "tool_calls": [CALL, {"function": {"name": "g", "arguments": {}}}]}
    body = lines(message) if stream else orjson.dumps({"model": "m", "message": message, **END})
    sent = parsed(answer(CHAT, chat(stream), [body]).body)
    assert [line["message"]["tool_calls"] for line in sent if line["message"].get("tool_calls")] == [
        message["tool_calls"]
    ]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": f"x{TERM}", "arguments": {"q": "fine"}}},
        {"function": {"name": "f", "arguments": {"q": [{"deep": f"a{TERM}"}], "later": "fine"}}},
        {"function": {"name": "f", "arguments": {f"k{TERM}": 1}}},
        {"function": {"name": "f", "arguments": {"q": "fine"}}, "note": TERM},
    ],
)
def test_a_tool_call_with_a_term_does_not_leave_in_part(call: dict[str, Any], stream: bool) -> None:
    """Half a call would look whole to the tool that gets it."""
    message = {"role": "assistant", "content": "", "tool_calls": [CALL, call]}
    body = lines(message) if stream else orjson.dumps({"model": "m", "message": message, **END})
    given_ = answer(CHAT, chat(stream), [body])
    assert given_.exchange.outcome is Outcome.STOPPED
    assert not any(line["message"].get("tool_calls") for line in parsed(given_.body))
    assert TERM not in given_.body.decode()


def test_a_tool_call_beside_text_stands_in_its_own_line() -> None:
    """Whatever of the text still waits."""
    body = lines({"role": "assistant", "content": "好禁", "tool_calls": [CALL]}, *says("好"))
    sent = parsed(answer(CHAT, chat(), [body]).body)
    assert [line["message"]["tool_calls"] for line in sent if line["message"].get("tool_calls")] == [[CALL]]
    assert "".join(line["message"]["content"] for line in sent) == HEAD + "好禁好" + TAIL


def test_a_tool_call_whose_text_left_before_it_leaves_in_a_line_of_its_own() -> None:
    """A verdict on the calls takes longer than one on the words beside them; nothing is lost or ends early."""
    made = chat()
    assert made.prompt is not None
    reader, writer = CHAT.reader(made.prompt, 1 << 20), CHAT.writer(made)
    body = lines({"role": "assistant", "content": "words", "tool_calls": [CALL]})
    first, *rest = [*reader.feed(body), *reader.close()]
    sent = parsed(writer.write([first]) + writer.write(rest))
    assert [line["message"]["content"] for line in sent] == ["words", "", ""]
    assert [line["message"].get("tool_calls") for line in sent] == [None, [CALL], None]
    assert [line["done"] for line in sent] == [False, False, True]


def test_a_tool_call_that_may_become_a_term_leaves_whole() -> None:
    """What ends like the beginning of a term is decided with its line, not a line later."""
    call = {"function": {"name": "f禁", "arguments": {"q": "fine", "end": "the forbidden"}}}
    body = lines({"role": "assistant", "content": "", "tool_calls": [call]}, *says("好的。"))
    given_ = answer(CHAT, chat(), [body])
    assert [line["message"]["tool_calls"] for line in parsed(given_.body) if line["message"].get("tool_calls")] == [
        [call]
    ]
    assert given_.exchange.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("stream", [True, False])
def test_a_masked_word_in_arguments_is_masked_in_its_place(stream: bool) -> None:
    """In a key, too; the object stays an object."""
    call = {"function": {"name": "f", "arguments": {"a": 1, "q": ["x maskedword"], "maskedword": True}}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    body = lines(message) if stream else orjson.dumps({"model": "m", "message": message, **END})
    sent = next(line for line in parsed(answer(CHAT, chat(stream), [body]).body) if line["message"].get("tool_calls"))
    arguments = sent["message"]["tool_calls"][0]["function"]["arguments"]
    assert arguments == {"a": 1, "q": ["x " + "*" * 10], "*" * 10: True}


def test_json_mode_stays_json() -> None:
    """Nothing is written into the text; a stop is said in the envelope."""
    text = '{"a": "天气"}'
    assert said(answer(CHAT, chat(format="json"), [lines(*says(text))]).body) == text
    stopped = parsed(answer(CHAT, chat(format="json"), [lines(*says(TERM))]).body)
    assert stopped[-1]["notices"][0]["kind"] == "answer_stopped"


def test_likely_tokens_are_checked_and_follow_their_text() -> None:
    """`logprobs` with a forbidden other token are dropped, the others kept."""

    def probabilities(other: str) -> list[dict[str, Any]]:
        return [{"token": "好", "logprob": -1, "top_logprobs": [{"token": other, "logprob": -2}]}]

    documents = [
        {
            "model": "m",
            "message": {"role": "assistant", "content": "好"},
            "logprobs": probabilities("坏"),
            "done": False,
        },
        {
            "model": "m",
            "message": {"role": "assistant", "content": "好"},
            "logprobs": probabilities(TERM),
            "done": False,
        },
        {"model": "m", "message": {"role": "assistant", "content": ""}, **END},
    ]
    given_ = answer(CHAT, chat(), [b"".join(orjson.dumps(document) + b"\n" for document in documents)])
    kept = [line["logprobs"] for line in parsed(given_.body) if line.get("logprobs")]
    assert kept == [probabilities("坏")]
    assert said(given_.body) == HEAD + "好好" + TAIL


@pytest.mark.parametrize("stream", [True, False])
def test_fields_of_a_later_version_are_kept_and_guarded(stream: bool) -> None:
    """Every string that the codec does not know is a text."""
    for value, is_kept in (({"n": [1, "fine"]}, True), ({"n": [1, TERM]}, False)):
        message = {"role": "assistant", "content": "好的", "x_vendor": value}
        body = lines(message) if stream else orjson.dumps({"model": "m", "message": message, **END})
        sent = answer(CHAT, chat(stream), [body]).body
        assert any("x_vendor" in line["message"] and line["message"]["x_vendor"] == value for line in parsed(sent)) is (
            is_kept
        )
        assert TERM not in sent.decode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not json\n", "invalid_json"),
        (b"[]\n", "not_an_object"),
        (b'{"error":"out of memory"}\n', "error_in_answer"),
        (b'{"model":"m","done":true}\n', "bad_message"),
        (b'{"message":{"role":"assistant","content":["x"]},"done":true}\n', "bad_text"),
        (b'{"message":{"role":"assistant","tool_calls":["x"]},"done":true}\n', "bad_tool_calls"),
        (b'{"message":{"role":"assistant","images":["aGk="]},"done":true}\n', "unlabelled_media"),
    ],
)
def test_what_is_not_the_wire_is_refused(body: bytes, code: str) -> None:
    """Streamed and plain; the upstream's own words are not repeated."""
    for stream in (True, False):
        with pytest.raises(BadAnswer) as caught:
            read(CHAT, chat(stream), [body])
        assert caught.value.code == code


def test_a_stream_that_breaks_off_is_not_complete() -> None:
    """What was held back cannot be a match any more and leaves; an error line follows."""
    whole = lines(*says("好的禁"))
    body = whole[: whole.rindex(b'{"model"')]
    with pytest.raises(BadAnswer) as caught:
        read(CHAT, chat(), [body])
    assert caught.value.code == "incomplete"
    given_ = answer(CHAT, chat(), [body])
    assert "好的禁" in said(given_.body)
    assert set(parsed(given_.body)[-1]) >= {"error", "aigc"}


def test_a_line_has_a_size() -> None:
    """An upstream cannot make us hold without end."""
    reader = CHAT.reader(chat().prompt, 100)  # type: ignore[arg-type]
    with pytest.raises(BadAnswer) as caught:
        for _ in range(20):
            reader.feed(b"x" * 10)
    assert caught.value.code == "event_too_large"


def test_keep_alives_between_lines_break_no_document() -> None:
    """The official client parses every line, so a line must not be empty."""
    exchange = chat()
    writer = CHAT.writer(exchange)
    body = writer.keep_alive() + answer(CHAT, chat(), [lines(*says("好"))]).body + b""
    assert all(json.loads(line) for line in body.decode().splitlines())


@pytest.mark.parametrize("wire", [CHAT, GENERATE])
@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_is_an_answer_that_is_done(wire: Wire, stream: bool) -> None:
    """With our words, the label and no model."""
    exchange = chat(stream) if wire is CHAT else generate(stream=stream)
    refusal = Refusal(Decision("d", Verdict.BLOCK, Action.REFUSE), status=400, code="c", message="不行", in_band=True)
    refused = wire.refusal(exchange, refusal)
    assert refused is not None
    sent = parsed(wire.writer(exchange).write(refused[1]))
    words = "".join(line["message"]["content"] if wire is CHAT else line["response"] for line in sent)
    assert words == "不行"
    assert sent[-1]["done"] is True
    assert sent[-1]["aigc"] == exchange.label


@pytest.mark.parametrize("path", EMBED_PATHS)
def test_inputs_of_embeddings_are_texts_and_the_vectors_pass(path: str) -> None:
    """Token numbers cannot be checked and are refused."""
    wire = OllamaPassed("ollama_embeddings", "POST")
    exchange = ask(wire, path, orjson.dumps({"model": "m", "input": ["one", "two"], "prompt": "three"}))
    assert exchange.prompt is not None
    assert {"one", "two", "three"} <= {item.text for item in exchange.prompt.texts}
    body = b'{"embeddings": [[0.10, 2]]}'
    reader, writer = wire.reader(exchange.prompt, 1_000), wire.writer(exchange)
    assert writer.write([*reader.feed(body), *reader.close()]) == body
    with pytest.raises(BadRequest):
        wire.read_request(path, "", orjson.dumps({"model": "m", "input": [1, 2]}))


# The official client.


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[ollama.Client]:
    made = ollama.Client(host=shared_gateway.url, timeout=20)
    yield made
    made._client.close()


def scripted(upstream: ScriptedUpstream, body: bytes, stream: bool = True, **more: Any) -> None:
    upstream.reset()
    content_type = "application/x-ndjson" if stream else "application/json"
    upstream.queued.append(Script.of({"raw": body.decode(), "content_type": content_type, **more}))


LABEL = "本内容由AI生成"


def test_the_client_reads_a_stream(client: ollama.Client, upstream: ScriptedUpstream) -> None:
    """Thoughts, text between labels, a tool call and the counts."""
    message = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    scripted(
        upstream, lines({"role": "assistant", "content": "", "thinking": "嗯"}, *says("今天很好"), message), writes=7
    )
    parts = list(client.chat("m", [{"role": "user", "content": "你好"}], stream=True))
    assert "".join(part.message.content or "" for part in parts) == f"{LABEL}\n\n今天很好\n\n{LABEL}"
    assert "".join(part.message.thinking or "" for part in parts) == "嗯"
    calls = [call for part in parts for call in part.message.tool_calls or ()]
    assert calls[0].function.arguments == CALL["function"]["arguments"]
    assert (parts[-1].done, parts[-1].done_reason, parts[-1].eval_count) == (True, "stop", 4)


def test_the_client_reads_a_plain_answer(client: ollama.Client, upstream: ScriptedUpstream) -> None:
    """Chat and generate."""
    scripted(
        upstream,
        orjson.dumps({"model": "m", "message": {"role": "assistant", "content": "今天很好"}, **END}),
        stream=False,
    )
    assert client.chat("m", [{"role": "user", "content": "你好"}]).message.content == f"{LABEL}\n\n今天很好\n\n{LABEL}"
    scripted(upstream, orjson.dumps({"model": "m", "response": "今天很好", **END}), stream=False)
    assert client.generate("m", "你好").response == f"{LABEL}\n\n今天很好\n\n{LABEL}"
    assert upstream.seen[-1].path == GENERATE_PATH


@pytest.mark.parametrize("writes", [1, 9, 0])
def test_the_client_never_sees_a_forbidden_word(
    client: ollama.Client, upstream: ScriptedUpstream, shared_gateway: RunningGateway, writes: int
) -> None:
    """The last part is a normal end."""
    scripted(upstream, lines(*says("before forbiddenword after")), writes=writes)
    parts = list(client.chat("m", [{"role": "user", "content": "你好"}], stream=True))
    text = "".join(part.message.content or "" for part in parts)
    assert "before " in text
    assert "forbid" not in text
    assert "after" not in text
    assert parts[-1].done


def test_a_forbidden_prompt_does_not_reach_the_model(client: ollama.Client, upstream: ScriptedUpstream) -> None:
    """Chat streamed and plain, generate, and embeddings, which have no in-band form."""
    upstream.reset()
    bad = [{"role": "user", "content": "please say 禁词 now"}]
    assert client.chat("m", bad).done
    assert list(client.chat("m", bad, stream=True))[-1].done
    assert client.generate("m", "forbiddenword").done
    with pytest.raises(ollama.ResponseError) as caught:
        client.embed("m", ["fine", "禁词"])
    assert caught.value.status_code == 400
    assert "禁词" not in caught.value.error
    assert upstream.seen == []


def test_an_upstream_that_breaks_off_is_an_error_of_the_client(
    client: ollama.Client, upstream: ScriptedUpstream
) -> None:
    """Half an answer does not look like a whole one."""
    body = lines(*says("今天天气很好"))
    scripted(upstream, body[: body.rindex(b'{"model"')], event_delay_s=0.01)
    with pytest.raises(ollama.ResponseError):
        list(client.chat("m", [{"role": "user", "content": "你好"}], stream=True))


def test_lists_and_embeddings_pass_and_changing_models_does_not(
    client: ollama.Client, upstream: ScriptedUpstream
) -> None:
    """`pull` is an unknown path here."""
    scripted(upstream, b'{"models": [{"model": "m:latest"}]}', stream=False)
    assert client.list().models[0].model == "m:latest"
    scripted(upstream, b'{"embeddings": [[0.5, 1.5]]}', stream=False)
    assert client.embed("m", "fine").embeddings == [[0.5, 1.5]]
    scripted(upstream, b'{"license": "MIT", "model_info": {}, "capabilities": ["tools"]}', stream=False)
    assert client.show("m").license == "MIT"
    upstream.reset()
    with pytest.raises(ollama.ResponseError) as caught:
        client.pull("m")
    assert caught.value.status_code == 404
    assert upstream.seen == []
