# SPDX-License-Identifier: Apache-2.0
"""Transcripts are guarded as any text: streamed, as documents, and as captions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange, Outcome
from gateway.wires.form import Part, write_form
from gateway.wires.interfaces import BadAnswer
from gateway.wires.openai_audio import TRANSCRIPT_PATHS, OpenAITranscripts
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import TERM, Answered, answer, ask, pieces, read, texts
from tests.upstreams.scripted import Script, ScriptedUpstream

WIRE = OpenAITranscripts()
PATH = TRANSCRIPT_PATHS[0]


def asked(**fields: str) -> Exchange:
    parts = [Part("file", b"RIFF", "a.wav"), Part("model", b"m")]
    body, content_type = write_form([*parts, *(Part(name, value.encode()) for name, value in fields.items())])
    return ask(WIRE, PATH, body, headers=[(b"content-type", content_type.encode())])


def events(text: str, done: str | None = None, *, name: bool = False) -> bytes:
    told: list[dict[str, Any]] = [{"type": "transcript.text.delta", "delta": character} for character in text]
    usage = {"type": "tokens", "input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    told.append({"type": "transcript.text.done", "text": text if done is None else done, "usage": usage})
    head = [f"event: {item['type']}\n".encode() if name else b"" for item in told]
    return b"".join(start + b"data: " + orjson.dumps(item) + b"\n\n" for start, item in zip(head, told, strict=True))


def parsed(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]


@given(st.lists(st.integers(0, 3_000), max_size=8))
def test_any_split_gives_the_same_events(cuts: list[int]) -> None:
    """The last event repeats the text and is no second one."""
    found = read(WIRE, asked(stream="true"), pieces(events("今天天气很好😀"), cuts))
    assert texts(found) == {(0, "transcript", 0): "今天天气很好😀"}


@given(st.lists(st.integers(0, 3_000), max_size=8))
def test_a_clean_stream_arrives_as_it_was_said(cuts: list[int]) -> None:
    """Without an explicit label in it, with the label in the first and the last event."""
    given_ = answer(WIRE, asked(stream="true"), pieces(events("今天很好。"), cuts))
    sent = parsed(given_.body)
    assert "".join(item.get("delta", "") for item in sent) == sent[-1]["text"] == "今天很好。"
    assert sent[0]["aigc"] == sent[-1]["aigc"] == given_.exchange.label
    assert sent[-1]["usage"]["input_tokens"] == 3
    assert given_.exchange.outcome is Outcome.COMPLETED


@given(st.lists(st.integers(0, 3_000), max_size=8))
def test_a_term_never_leaves_a_stream(cuts: list[int]) -> None:
    """Not in the pieces and not in the last event, which says what was let out."""
    given_ = answer(WIRE, asked(stream="true"), pieces(events("好的。禁词来了"), cuts))
    assert "禁" not in given_.body.decode()
    assert "来了" not in given_.body.decode()
    sent = parsed(given_.body)
    assert sent[-1]["type"] == "transcript.text.done"
    assert sent[-1]["text"] == "".join(item.get("delta", "") for item in sent)
    assert sent[-1]["text"].startswith("好的。")
    assert given_.exchange.outcome is Outcome.STOPPED


def test_a_masked_word_is_masked_in_the_last_event_too() -> None:
    """The last event never knows more than the pieces."""
    sent = parsed(answer(WIRE, asked(stream="true"), [events("a maskedword b")]).body)
    assert sent[-1]["text"] == f"a {'*' * 10} b"


def test_a_last_event_that_says_more_than_its_pieces_says_it_guarded() -> None:
    """Where an upstream sends no pieces at all, its only text is guarded; where it sends some, they are the text."""
    for text in ("fine words", f"some {TERM}"):
        given_ = answer(WIRE, asked(stream="true"), [events("", text)])
        assert TERM not in given_.body.decode()
        assert (parsed(given_.body)[-1]["text"] == text) is (TERM not in text)
    sent = parsed(answer(WIRE, asked(stream="true"), [events("fine", f"fine {TERM}")]).body)
    assert sent[-1]["text"] == "fine"


@pytest.mark.parametrize("name", [True, False])
def test_events_keep_their_names_and_bytes(name: bool) -> None:
    """A piece that passes unchanged leaves as it came."""
    own = b'data: {"type": "transcript.text.delta", "delta":"fine", "n": 1.50}\n\n'
    head = b"event: transcript.text.delta\n" if name else b""
    body = events("a", name=name)
    first, rest = body.split(b"\n\n", 1)
    sent = answer(WIRE, asked(stream="true"), [first + b"\n\n" + head + own + rest]).body
    assert head + own in sent
    assert (b"event: transcript.text.done\n" in sent) is name


def plain(exchange: Exchange, tree: dict[str, Any]) -> Answered:
    return answer(WIRE, exchange, [orjson.dumps(tree)])


VERBOSE = {
    "task": "transcribe",
    "language": "chinese",
    "duration": 1.5,
    "text": "今天很好",
    "segments": [{"id": 0, "text": "今天", "tokens": [1]}, {"id": 1, "text": "很好", "speaker": "A"}],
    "words": [{"word": "今", "start": 0.0}, {"word": "天"}, {"word": "很"}, {"word": "好"}],
}


def test_a_document_passes_with_its_label() -> None:
    """Segments and words in their places."""
    exchange = asked(response_format="verbose_json")
    sent = json.loads(plain(exchange, VERBOSE).body)
    assert sent == {**VERBOSE, "aigc": exchange.label}


@pytest.mark.parametrize(
    "more",
    [
        {"text": f"a {TERM}"},
        {"segments": [{"text": "禁"}, {"text": "词"}]},
        {"words": [{"word": "禁"}, {"word": "词"}]},
        {"later": [{"note": TERM}]},
        {"segments": [{"text": "fine", "speaker": TERM}]},
    ],
)
def test_a_document_with_a_term_is_an_error(more: dict[str, Any]) -> None:
    """Also where the term is cut between two words."""
    given_ = plain(asked(response_format="verbose_json"), {**VERBOSE, **more})
    assert json.loads(given_.body)["error"]["code"] == "content_filter"
    assert "今天" not in given_.body.decode()
    assert given_.exchange.outcome is Outcome.STOPPED


def test_a_masked_word_is_masked_in_words_and_text() -> None:
    """Wherever it is cut."""
    tree = {"text": "a maskedword", "words": [{"word": "a"}, {"word": "masked"}, {"word": "word"}]}
    sent = json.loads(plain(asked(response_format="verbose_json"), tree).body)
    assert sent["text"] == f"a {'*' * 10}"
    assert [item["word"] for item in sent["words"]] == ["a", "*" * 6, "*" * 4]


SRT = "1\n00:00:00,000 --> 00:00:02,000\n{}\n\n2\n00:00:02,000 --> 00:00:04,000\n{}\n"


@pytest.mark.parametrize("asked_for", ["text", "srt", "vtt"])
def test_captions_pass_as_they_are(asked_for: str) -> None:
    """Byte for byte."""
    body = SRT.format("今天", "很好").encode()
    assert answer(WIRE, asked(response_format=asked_for), [body]).body == body


@pytest.mark.parametrize(
    ("first", "second", "is_stopped"),
    [("今天", TERM, True), ("禁", "词", True), ("maskedword", "b", False), ("masked", "word", True)],
)
def test_captions_are_guarded_across_their_cuts(first: str, second: str, is_stopped: bool) -> None:
    """What would have to be masked across two captions is refused whole."""
    given_ = answer(WIRE, asked(response_format="srt"), [SRT.format(first, second).encode()])
    if is_stopped:
        assert json.loads(given_.body)["error"]["code"] == "content_filter"
        assert second not in given_.body.decode()
    else:
        assert given_.body.decode() == SRT.format("*" * 10, "b")


@pytest.mark.parametrize(
    ("fields", "body", "code"),
    [
        ({}, b"oops", "invalid_json"),
        ({}, b'{"text": 1}', "no_text"),
        ({}, b'{"text": "x", "words": ["y"]}', "bad_list"),
        ({"response_format": "srt"}, b"\xff", "invalid_text"),
        ({"stream": "true"}, b"data: oops\n\n", "invalid_json"),
        ({"stream": "true"}, b'data: {"type":"error"}\n\n', "error_in_answer"),
        ({"stream": "true"}, b'data: {"type":"transcript.text.delta"}\n\n', "no_text"),
        ({"stream": "true"}, b'data: {"type":"transcript.text.delta","delta":"x"}\n\n', "incomplete"),
    ],
)
def test_what_is_not_the_wire_is_refused(fields: dict[str, str], body: bytes, code: str) -> None:
    """By name."""
    with pytest.raises(BadAnswer) as caught:
        read(WIRE, asked(**fields), [body])
    assert caught.value.code == code


# The official SDK.


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0) as made:
        yield made


def scripted(upstream: ScriptedUpstream, body: bytes, content_type: str, **more: Any) -> None:
    upstream.reset()
    upstream.queued.append(Script.of({"raw": body.decode(), "content_type": content_type, **more}))


SOUND = ("a.wav", b"RIFF", "audio/wav")


def test_the_sdk_reads_a_stream(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """Clean, and stopped."""
    scripted(upstream, events("今天很好"), "text/event-stream", writes=9)
    told = list(client.audio.transcriptions.create(model="m", file=SOUND, stream=True))
    assert [item.type for item in told][-1] == "transcript.text.done"
    assert told[-1].text == "今天很好"  # type: ignore[union-attr]
    scripted(upstream, events("before forbiddenword after"), "text/event-stream")
    told = list(client.audio.transcriptions.create(model="m", file=SOUND, stream=True))
    last = told[-1].text  # type: ignore[union-attr]
    assert last.startswith("before ")
    assert "forbid" not in last
    assert "after" not in last


def test_the_sdk_reads_plain_transcripts(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """Documents and texts; a stopped one is an error with our words."""
    scripted(upstream, orjson.dumps({"text": "今天很好"}), "application/json")
    assert client.audio.transcriptions.create(model="m", file=SOUND).text == "今天很好"
    scripted(upstream, "今天很好\n".encode(), "text/plain")
    assert client.audio.transcriptions.create(model="m", file=SOUND, response_format="text") == "今天很好\n"
    scripted(upstream, orjson.dumps({"text": "a 禁词"}), "application/json")
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.transcriptions.create(model="m", file=SOUND)
    assert caught.value.code == "content_filter"
    upstream.reset()
    with pytest.raises(openai.BadRequestError):
        client.audio.transcriptions.create(model="m", file=SOUND, prompt="a 禁词")
    assert upstream.seen == []
