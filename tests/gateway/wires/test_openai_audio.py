# SPDX-License-Identifier: Apache-2.0
"""OpenAI audio: what is to be spoken is checked, sounds wait for their labels."""

from __future__ import annotations

from typing import Any

import openai
import orjson
import pytest

from gateway.wires.form import Part, read_form, write_form
from gateway.wires.interfaces import BadRequest
from gateway.wires.openai_audio import SPEECH_PATH, TRANSCRIPT_PATHS, OpenAISpeech, OpenAITranscripts
from tests.conftest import RunningGateway
from tests.upstreams.scripted import Script, ScriptedUpstream

SPEECH, TRANSCRIPTS = OpenAISpeech(), OpenAITranscripts()
SAY: dict[str, Any] = {"model": "m", "input": "hello", "voice": "alloy"}


def test_what_is_to_be_spoken_is_a_text() -> None:
    """And how it is to be spoken; the request goes on as it was checked."""
    request = {**SAY, "instructions": "cheerfully", "later": "x", "response_format": "wav"}
    prompt = SPEECH.read_request(SPEECH_PATH, "", orjson.dumps(request))
    assert {item.text for item in prompt.texts} >= {"hello", "cheerfully", "alloy", "x"}
    assert orjson.loads(SPEECH.call(SPEECH_PATH, "", prompt).body) == request


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": None}, "input"),
        ({"model": 1}, "model"),
        ({"response_format": "exe"}, "response_format"),
        ({"stream_format": "exe"}, "stream_format"),
    ],
)
def test_a_bad_speech_request_names_its_field(more: dict[str, Any], param: str) -> None:
    """The client learns where to look."""
    with pytest.raises(BadRequest) as caught:
        SPEECH.read_request(SPEECH_PATH, "", orjson.dumps({**SAY, **more}))
    assert caught.value.param == param


def form(**fields: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    parts = [Part("file", b"RIFF", "a.wav", "audio/wav"), Part("model", b"m")]
    body, content_type = write_form([*parts, *(Part(name, value.encode()) for name, value in fields.items())])
    return body, [(b"content-type", content_type.encode())]


def test_a_transcripts_form_is_read() -> None:
    """Its prompt is a text, the sound is none; only a transcription streams."""
    body, headers = form(prompt="names", stream="true")
    prompt = TRANSCRIPTS.read_request_with_headers(TRANSCRIPT_PATHS[0], "", body, headers)
    assert {item.text for item in prompt.texts} >= {"names", "a.wav"}
    assert prompt.stream
    call = TRANSCRIPTS.call(TRANSCRIPT_PATHS[0], "", prompt)
    assert read_form(call.body, [(b"content-type", call.content_type.encode())]) == read_form(body, headers)
    assert not TRANSCRIPTS.read_request_with_headers(TRANSCRIPT_PATHS[1], "", body, headers).stream
    for fields in ({"response_format": "exe"}, {"stream": "maybe"}):
        with pytest.raises(BadRequest):
            TRANSCRIPTS.read_request_with_headers(TRANSCRIPT_PATHS[0], "", *form(**fields))


def test_the_official_sdk_gets_a_clear_error_for_a_sound(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """And a forbidden text is never spoken."""
    upstream.reset()
    upstream.queued.append(Script.of({"raw": "ID3sound", "content_type": "audio/mpeg"}))
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0) as client:
        with pytest.raises(openai.InternalServerError) as unlabelled:
            client.audio.speech.create(model="m", voice="alloy", input="hello")
        with pytest.raises(openai.BadRequestError) as refused:
            client.audio.speech.create(model="m", voice="alloy", input="a 禁词")
    assert (unlabelled.value.status_code, unlabelled.value.code) == (501, "unlabelled_media")
    assert refused.value.code == "content_filter"
    assert [seen.path for seen in upstream.seen] == [SPEECH_PATH]
