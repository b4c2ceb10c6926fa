# SPDX-License-Identifier: Apache-2.0
"""Pictures and sounds in streams: each leaves with its labels, in the place where it stood, or not at all."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.events import Event, Media
from gateway.exchange import Exchange
from gateway.house import House
from gateway.label_files import file_labels
from gateway.media_labels import LabelMedia, MediaLabels
from gateway.pipeline import FailureRule, Side, Stage
from gateway.policies import load
from gateway.settings import Settings
from gateway.wires.interfaces import BadAnswer, Wire
from gateway.wires.media_events import PIECE_BYTES
from gateway.wires.openai_audio import SPEECH_PATH, OpenAISpeech
from gateway.wires.openai_chat import PATH as CHAT_PATH
from gateway.wires.openai_chat import OpenAIChat
from gateway.wires.openai_images import GENERATIONS_PATH, OpenAIImages
from gateway.wires.openai_responses import PATH as RESPONSES_PATH
from gateway.wires.openai_responses import OpenAIResponses
from labeling.explicit.audio import AudioLabel, label_samples
from labeling.implicit import read
from labeling.inspection import inspect_file
from labeling.sniff import FileFormat
from tests.gateway.rooms import WAY, Client, Rooms
from tests.gateway.wires.driver import EVENT_BYTES, TERM, answer, ask, pieces
from tests.labeling.conftest import encoded, picture

CODE = "001191110000MA00000AAT10001"
PNG = encoded(picture(200, 160), "PNG")
OTHER_PNG = encoded(picture(160, 200), "PNG")
SAMPLES = struct.pack("<4800h", *(round(900 * math.sin(number / 5)) for number in range(4_800)))
PICTURES = {"path": GENERATIONS_PATH, "body": b'{"model":"m","prompt":"a cat","stream":true}'}


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def wav(samples: bytes, rate_hz: int = 8_000) -> bytes:
    """Bare samples as a file."""
    form = struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def sse(*documents: Any) -> bytes:
    """A stream of events, with the type of each where it has one."""
    parts = []
    for document in documents:
        kind = f"event: {document['type']}\n" if "type" in document else ""
        parts.append(f"{kind}data: {json.dumps(document, ensure_ascii=False)}\n\n")
    return "".join(parts).encode()


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The documents of a stream."""
    found = []
    for block in body.decode().split("\n\n"):
        lines = [line[len("data: ") :] for line in block.split("\n") if line.startswith("data: ")]
        if lines and lines != ["[DONE]"]:
            found.append(json.loads(lines[0]))
    return found


def walked(
    wire: Wire, body: bytes, client: dict[str, Any], *, label: dict[str, Any] | None = None, **rooms: Any
) -> tuple[Rooms, Client]:
    """One request through the runner, with the duty that labels media."""
    files = file_labels(Settings.model_validate({"label": label or {}}), load(["cn"]), CODE)
    media = MediaLabels(files, 1, 1 << 24)

    def made(house: House, exchange: Exchange) -> LabelMedia:
        return LabelMedia(exchange, media, house.meters)

    stages = (*WAY, Stage("label media", Side.ANSWER, "labels", FailureRule.STOP, media=made))
    house = Rooms(
        [block + b"\n\n" for block in body.split(b"\n\n")], stages=stages, content_type="text/event-stream", **rooms
    )

    async def whole() -> Client:
        try:
            return await house.walk(house.client(**client), wire)
        finally:
            await media.close()

    return house, asyncio.run(whole())


def number(client: Client) -> str:
    """The record that the answer names."""
    return client.answer_headers[b"duty-record"].decode()


def partial(data: bytes) -> dict[str, Any]:
    kind = "image_generation.partial_image"
    return {"type": kind, "b64_json": in_base64(data), "partial_image_index": 0, "size": "a"}


def completed(data: bytes, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    return {"type": "image_generation.completed", "b64_json": in_base64(data), "usage": usage, **more}


def test_every_picture_of_a_stream_has_its_labels() -> None:
    """The unfinished one is a picture that somebody sees."""
    body = sse(partial(OTHER_PNG), completed(PNG, revised_prompt="a tabby cat"))
    rooms, client = walked(OpenAIImages(), body, PICTURES)
    first, last = events_of(client.answer)
    assert (client.status, first["type"], last["type"]) == (
        200, "image_generation.partial_image", "image_generation.completed"
    )  # fmt: skip
    for event in (first, last):
        [label] = inspect_file(base64.b64decode(event["b64_json"])).labels
        assert label.values["ProduceID"] == event["aigc"]["ProduceID"] == number(client)
    assert last["revised_prompt"] == "a tabby cat"
    assert {"duty": "label_media", "verdict": "pass", "action": "label", "reason": "image"} in rooms.record["decisions"]


def test_a_picture_that_cannot_be_labelled_ends_the_stream_in_the_wires_words() -> None:
    """Before the first byte it is a status, behind it an error event; nothing of the picture leaves."""
    _, client = walked(OpenAIImages(), sse(completed(PNG[:60])), PICTURES)
    assert (client.status, client.code) == (501, "unlabelled_media")
    rooms, client = walked(OpenAIImages(), sse(partial(PNG), completed(OTHER_PNG[:90])), PICTURES)
    _, last = events_of(client.answer)
    assert (last["type"], last["error"]["code"], client.status) == ("error", "unlabelled_media", 200)
    assert in_base64(OTHER_PNG)[:40].encode() not in client.answer
    assert rooms.record["action"] == "stop"


def test_a_picture_without_the_duty_does_not_leave() -> None:
    """The last door stands behind it."""
    with pytest.raises(BadAnswer, match="unlabelled_media"):
        answer(OpenAIImages(), ask(OpenAIImages(), GENERATIONS_PATH, PICTURES["body"]), [sse(completed(PNG))])


def labelled(events: Sequence[Event]) -> list[Event]:
    """What the duty would make of them, without drawing."""
    return [replace(event, is_labelled=True) if isinstance(event, Media) else event for event in events]


@given(st.lists(st.integers(0, 1 << 16), max_size=8))
@settings(max_examples=60)
def test_a_stopped_stream_of_pictures_ends_with_the_error_event(cuts: list[int]) -> None:
    """In any split; the picture beside the words stays here, and so do the words."""
    wire = OpenAIImages()
    exchange = ask(wire, GENERATIONS_PATH, PICTURES["body"])
    with pytest.raises(BadAnswer):
        answer(wire, exchange, [sse(completed(PNG))])  # no picture leaves here: only a stop ends well
    exchange = ask(wire, GENERATIONS_PATH, PICTURES["body"])
    body = sse({"type": "image_generation.partial_image", "revised_prompt": f"a {TERM}"}, completed(PNG))
    got = answer(wire, exchange, pieces(body, cuts)).body
    assert TERM.encode() not in got and in_base64(PNG)[:30].encode() not in got
    last = events_of(got)[-1]
    assert (last["type"], last["error"]["code"]) == ("error", "content_filter")
    assert last["aigc"]["ProduceID"] == exchange.record_id


def test_texts_beside_pictures_are_one_text_over_all_events() -> None:
    """A word cut in two by two events is that word."""
    wire = OpenAIImages()
    body = sse(
        {"type": "image_generation.partial_image", "caption": TERM[0]},
        {"type": "image_generation.partial_image", "caption": TERM[1:]},
        completed(PNG),
    )
    got = answer(wire, ask(wire, GENERATIONS_PATH, PICTURES["body"]), [body]).body
    assert events_of(got)[-1]["error"]["code"] == "content_filter"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"data: nothing\n\n", "invalid_json"),
        (b"data: []\n\n", "not_an_object"),
        (b'data: {"b64_json":"aGk="}\n\n', "bad_event"),
        (sse({"type": "image_generation.completed", "b64_json": 1}), "bad_media"),
        (sse({"type": "image_generation.completed", "b64_json": "%"}), "bad_media"),
        (sse({"type": "error", "error": {"message": TERM}}), "error_in_answer"),
        (sse({"type": "image_generation.partial_image"}), "incomplete"),
        (b"data: [DONE]\n\n", "incomplete"),
        (b"", "incomplete"),
        (b"data: " + b"x" * (EVENT_BYTES + 1), "event_too_large"),
    ],
)
def test_what_is_no_such_stream_is_refused(document: bytes, code: str) -> None:
    """With a fixed word for the reason."""
    wire = OpenAIImages()
    exchange = ask(wire, GENERATIONS_PATH, PICTURES["body"])
    assert exchange.prompt is not None
    reader = wire.reader(exchange.prompt, EVENT_BYTES)
    with pytest.raises(BadAnswer) as caught:
        reader.feed(document)
        reader.close()
    assert caught.value.code == code


def speech(response_format: str) -> dict[str, Any]:
    asked = {"model": "m", "input": "hello", "voice": "v", "response_format": response_format, "stream_format": "sse"}
    return {"path": SPEECH_PATH, "body": json.dumps(asked).encode()}


def spoken(*data: bytes) -> bytes:
    deltas = [{"type": "speech.audio.delta", "audio": in_base64(item)} for item in data]
    return sse(*deltas, {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 4}})


def heard(body: bytes) -> bytes:
    return b"".join(base64.b64decode(event.get("audio", "")) for event in events_of(body))


def test_bare_samples_leave_as_they_come_behind_the_audible_label() -> None:
    """Also where the first piece ends in the middle of a sample; the hidden label stands beside them."""
    rooms, client = walked(OpenAISpeech(), spoken(SAMPLES[:1_001], SAMPLES[1_001:]), speech("pcm"))
    assert heard(client.answer) == label_samples(AudioLabel(), 24_000) + SAMPLES
    events = events_of(client.answer)
    assert [event["type"] for event in events] == ["speech.audio.delta", "speech.audio.delta", "speech.audio.done"]
    assert events[0]["aigc"]["ProduceID"] == events[-1]["aigc"]["ProduceID"] == number(client)
    assert {"duty": "label_media", "verdict": "pass", "action": "label", "reason": "audio"} in rooms.record["decisions"]


def test_bare_samples_are_left_alone_where_the_interface_labels_sounds() -> None:
    """The record says so."""
    rooms, client = walked(OpenAISpeech(), spoken(SAMPLES), speech("pcm"), label={"sound": "interface"})
    assert heard(client.answer) == SAMPLES
    assert [item["reason"] for item in rooms.record["decisions"] if item["duty"] == "label_media"] == [
        "interface_label"
    ]


def test_a_sound_that_is_a_file_is_labelled_whole_and_leaves_in_pieces() -> None:
    """A program that knows nothing of the gateway reads the label in what the pieces make."""
    data = wav(SAMPLES * 4)
    _, client = walked(OpenAISpeech(), spoken(data[:777], data[777:5_000], data[5_000:]), speech("wav"))
    made = heard(client.answer)
    [label] = inspect_file(made).labels
    assert label.values["ProduceID"] == number(client)
    assert len(read(made, FileFormat.WAV)) == 1 and SAMPLES in made
    sizes = [len(base64.b64decode(event.get("audio", ""))) for event in events_of(client.answer)]
    assert sizes[:-2] == [PIECE_BYTES] * (len(sizes) - 2) and 0 < sizes[-2] <= PIECE_BYTES and not sizes[-1]


def test_a_sound_that_nobody_can_label_is_an_error_before_the_first_byte() -> None:
    """Its pieces were collected, so the status still tells it."""
    _, client = walked(OpenAISpeech(), spoken(b"ID3", b"sound"), speech("mp3"))
    assert (client.status, client.code) == (501, "unlabelled_media")


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6), st.lists(st.integers(0, 1 << 16)))
@settings(max_examples=60)
def test_any_split_gives_the_same_sound(data: list[bytes], cuts: list[int]) -> None:
    """Collected or not."""
    for kind in ("pcm", "wav"):
        wire = OpenAISpeech()
        exchange = ask(wire, SPEECH_PATH, speech(kind)["body"])
        assert exchange.prompt is not None
        reader, writer = wire.reader(exchange.prompt, EVENT_BYTES), wire.writer(exchange)
        reads = pieces(spoken(*data), cuts)
        out = b"".join(writer.write(labelled(reader.feed(item))) for item in reads)
        assert heard(out + writer.write(labelled(reader.close()))) == b"".join(data)


def chat(stream: bool, sound: str) -> dict[str, Any]:
    asked = {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": stream,
        "modalities": ["text", "audio"],
        "audio": {"voice": "v", "format": sound},
    }
    return {"path": CHAT_PATH, "body": json.dumps(asked).encode()}


def chunk(reason: str | None = None, **audio: Any) -> dict[str, Any]:
    delta = {"audio": audio} if audio else {}
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def spoken_answer(*transcript: str) -> bytes:
    """A transcript with a piece of sound behind each of its pieces."""
    size = len(SAMPLES) // len(transcript)
    documents = [chunk(id="audio_1")]
    for number, words in enumerate(transcript):
        documents.append(chunk(transcript=words))
        documents.append(chunk(data=in_base64(SAMPLES[number * size : (number + 1) * size])))
    return sse(*documents, chunk(expires_at=1), chunk("stop")) + b"data: [DONE]\n\n"


def sounds(body: bytes) -> list[tuple[str, str]]:
    """Transcript and sound of a stream in the order in which they came."""
    found = []
    for event in events_of(body):
        for choice in event.get("choices", ()):
            audio = choice["delta"].get("audio", {})
            found += [(key, audio[key]) for key in ("transcript", "data") if audio.get(key)]
            found += [("end", choice["finish_reason"])] if choice["finish_reason"] else []
    return found


def test_a_spoken_chat_answer_waits_for_its_transcript_and_then_leaves_labelled() -> None:
    """Nothing tells which words a piece of sound says, so none leaves before all words may."""
    rooms, client = walked(OpenAIChat(), spoken_answer("It is ", "a fine ", "day."), chat(True, "pcm16"))
    found = sounds(client.answer)
    assert [kind for kind, _ in found] == ["transcript"] * 3 + ["data"] * (len(found) - 4) + ["end"]
    assert "".join(value for kind, value in found if kind == "transcript") == "It is a fine day."
    sound = b"".join(base64.b64decode(value) for kind, value in found if kind == "data")
    assert sound == label_samples(AudioLabel(), 24_000) + SAMPLES
    assert client.answer.endswith(b"data: [DONE]\n\n")
    assert rooms.record["outcome"] == "completed"


def test_a_stopped_transcript_takes_its_sound_with_it() -> None:
    """Streamed and plain."""
    words = ("It is ", TERM[0], TERM[1:])
    _, client = walked(OpenAIChat(), spoken_answer(*words), chat(True, "pcm16"))
    found = sounds(client.answer)
    assert [kind for kind, _ in found] == ["transcript", "end"] and found[-1][1] == "content_filter"
    audio = {"id": "a", "data": in_base64(wav(SAMPLES)), "transcript": "".join(words), "expires_at": 1}
    message = {"role": "assistant", "content": None, "audio": audio}
    document = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    _, client = walked(OpenAIChat(), json.dumps(document).encode(), chat(False, "wav"))
    [choice] = json.loads(client.answer)["choices"]
    assert choice["finish_reason"] == "content_filter" and "audio" not in choice["message"]


def test_a_plain_spoken_answer_is_labelled_in_its_place() -> None:
    """The words beside it stay; the file names its record."""
    audio = {"id": "a", "data": in_base64(wav(SAMPLES)), "transcript": "It is a fine day.", "expires_at": 1}
    message = {"role": "assistant", "content": None, "audio": audio}
    document = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    _, client = walked(OpenAIChat(), json.dumps(document).encode(), chat(False, "wav"))
    got = json.loads(client.answer)["choices"][0]["message"]["audio"]
    [label] = inspect_file(base64.b64decode(got["data"])).labels
    assert label.values["ProduceID"] == number(client)
    assert (got["transcript"], got["id"]) == ("It is a fine day.", "a")


def test_an_unasked_sound_in_a_chat_answer_is_a_medium_too() -> None:
    """Whatever the request said."""
    asked = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    _, client = walked(OpenAIChat(), spoken_answer("fine"), {"path": CHAT_PATH, "body": json.dumps(asked).encode()})
    assert [kind for kind, _ in sounds(client.answer)] == ["transcript"]
    assert events_of(client.answer)[-1]["error"]["code"] == "unlabelled_media"


def response_stream() -> bytes:
    """A Responses stream in which a tool draws: one unfinished picture, then the picture, said three times."""
    drawn = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": in_base64(PNG)}
    response = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [drawn]}
    begun = {**response, "status": "in_progress", "output": []}
    at = {"item_id": "ig_1", "output_index": 0}
    return sse(
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**drawn, "result": None}},
        {
            "type": "response.image_generation_call.partial_image",
            **at,
            "partial_image_index": 0,
            "partial_image_b64": in_base64(OTHER_PNG),
        },
        {"type": "response.image_generation_call.completed", **at},
        {"type": "response.output_item.done", "output_index": 0, "item": drawn},
        {"type": "response.completed", "response": response},
    )


def drawing(stream: bool) -> dict[str, Any]:
    asked = {"model": "m", "input": "a cat", "stream": stream, "tools": [{"type": "image_generation"}]}
    return {"path": RESPONSES_PATH, "body": json.dumps(asked).encode()}


def test_a_response_that_draws_leaves_with_labelled_pictures() -> None:
    """Wherever the stream says the picture, it is the same labelled one; it was drawn upon once."""
    rooms, client = walked(OpenAIResponses(), response_stream(), drawing(True))
    events = {event["type"]: event for event in events_of(client.answer)}
    early = base64.b64decode(events["response.image_generation_call.partial_image"]["partial_image_b64"])
    done = events["response.output_item.done"]["item"]["result"]
    assert events["response.completed"]["response"]["output"][0]["result"] == done
    for data in (early, base64.b64decode(done)):
        [label] = inspect_file(data).labels
        assert label.values["ProduceID"] == number(client)
    assert 'labels_applied_total{kind="implicit",media="image"} 2.0' in rooms.meters.scrape().decode()
    assert in_base64(PNG) not in client.answer.decode()


def test_a_plain_response_that_draws_leaves_with_labelled_pictures() -> None:
    """The tool is no longer refused; what cannot be labelled is."""
    drawn = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": in_base64(PNG)}
    response = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [drawn]}
    _, client = walked(OpenAIResponses(), json.dumps(response).encode(), drawing(False))
    [item] = json.loads(client.answer)["output"]
    [label] = inspect_file(base64.b64decode(item["result"])).labels
    assert label.values["ProduceID"] == number(client)
    drawn["result"] = in_base64(PNG[:60])
    _, client = walked(OpenAIResponses(), json.dumps(response).encode(), drawing(False))
    assert (client.status, client.code) == (501, "unlabelled_media")
