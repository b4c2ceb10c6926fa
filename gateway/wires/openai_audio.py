# SPDX-License-Identifier: Apache-2.0
"""OpenAI audio: `POST /v1/audio/speech` (text to sound), `/v1/audio/transcriptions` and `/v1/audio/translations`.

The text to be spoken is checked; the sound is a media event and leaves once a duty has labelled it. As server-sent
events bare samples leave as they come, behind the audible label; any other sound is labelled whole and leaves in
pieces. Bare samples without events are not served: their hidden label would have no place. A transcript is guarded as
text, streamed and plain; it repeats what a person said, so no explicit label is written into it, and the envelope
carries the label where the format has one.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.decisions import Refusal
from gateway.events import Event
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.fields import Field
from gateway.wires.form import FormPrompt, Part, field_of, form_call, form_prompt, read_form
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.media_answer import BodyReader, BodyWriter
from gateway.wires.media_events import MediaEventsWriter, SoundEvents
from gateway.wires.openai_errors import error_body
from gateway.wires.openai_transcripts import (
    DocumentTranscript,
    DocumentTranscriptWriter,
    EventsTranscript,
    EventsTranscriptWriter,
    TextTranscript,
    TextTranscriptWriter,
)
from gateway.wires.request import add_members, read_object, typed

SPEECH_PATH = "/v1/audio/speech"
TRANSCRIPT_PATHS = ("/v1/audio/transcriptions", "/v1/audio/translations")

_SOUNDS = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
SAMPLES = "audio/pcm;rate=24000"
"""What OpenAI calls pcm: 16 bits, little-endian, one channel."""
_DOCUMENTS = frozenset({"json", "verbose_json", "diarized_json"})
_TEXTS = {"text": "text/plain; charset=utf-8", "srt": "text/plain; charset=utf-8", "vtt": "text/vtt; charset=utf-8"}


class OpenAISpeech:
    """The wire of text to sound."""

    name = "openai_speech"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("input, instructions, voice, (unknown)", "looked_at", "every string, keys included"),
        Field("stream_format: sse", "passed", "pcm leaves as it comes, other formats once the sound is whole"),
        Field("model", "passed"),
        Field("< (sound)", "labelled", "WAV; MP3, FLAC, Opus by `label.sound`; others: 501 `unlabelled_media`"),
        Field("< speech.audio.delta", "labelled", "the same as events; pcm too, its hidden label is `aigc` beside it"),
        Field("< (unknown)", "looked_at", "in events"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """What is to be said; see `Wire`."""
        document = read_object(body)
        model = typed(document, "model", str, required=True)
        texts = [PromptText("input", "user", typed(document, "input", str, required=True))]
        if instructions := typed(document, "instructions", str):
            texts.append(PromptText("instructions", "system", instructions))
        if (typed(document, "response_format", str) or "mp3") not in _SOUNDS:
            message = f"response_format must be one of {', '.join(_SOUNDS)}."
            raise BadRequest("invalid_value", message, param="response_format")
        stream_format = typed(document, "stream_format", str) or "audio"
        if stream_format not in ("audio", "sse"):
            raise BadRequest("invalid_value", "stream_format must be audio or sse.", param="stream_format")
        skipped = ("model", "input", "instructions", "response_format", "stream_format")
        add_members(document, "", "user", texts, skipped)
        return Prompt(model=model, stream=stream_format == "sse", texts=texts, body=document)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", SPEECH_PATH, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of a sound, or of its pieces."""
        asked = prompt.body.get("response_format") or "mp3"
        if not prompt.stream:
            return BodyReader(_SOUNDS[asked])
        is_samples = asked == "pcm"
        return SoundEvents(event_bytes, SAMPLES if is_samples else _SOUNDS[asked], is_samples=is_samples)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same sound with its label."""
        if exchange.prompt is not None and exchange.prompt.stream:
            return MediaEventsWriter(exchange, "speech.audio.delta")
        asked = exchange.prompt.body.get("response_format") if exchange.prompt is not None else None
        return BodyWriter(_SOUNDS[asked or "mp3"], error_body)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A sound of ours would need a voice: the error says it."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


class OpenAITranscripts:
    """The wire of sound to text."""

    name = "openai_transcripts"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("prompt, (every field), names of files", "looked_at"),
        Field("file", "passed", "media"),
        Field("model", "passed"),
        Field("< text, delta, segments[], words[], (unknown)", "looked_at", "no explicit label: a person said it"),
        Field("< (plain text, srt, vtt)", "looked_at", "checked whole, its lines as one text too"),
        Field("< logprobs", "looked_at", "tokens; dropped where they say what may not be said"),
        Field("< transcript.text.done", "looked_at", "says what was let out, and nothing else"),
        Field("< aigc, notices", "labelled", "in JSON: the document, or the first and the last event"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """Without headers there is no boundary, so nothing can be read."""
        return self.read_request_with_headers(path, query, body, ())

    def read_request_with_headers(
        self, path: str, query: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> Prompt:
        """The form's fields; see `Wire`."""
        parts = read_form(body, headers)
        stream = (field_of(parts, "stream") or "false").lower()
        if stream not in ("true", "false"):
            raise BadRequest("invalid_value", "stream must be true or false.", param="stream")
        if _format(parts) not in (*_DOCUMENTS, *_TEXTS):
            message = f"response_format must be one of {', '.join((*sorted(_DOCUMENTS), *_TEXTS))}."
            raise BadRequest("invalid_value", message, param="response_format")
        return form_prompt(parts, stream=stream == "true" and path == TRANSCRIPT_PATHS[0])

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The form for the model, made from what was checked."""
        return form_call(path, prompt)

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of events, of a document or of a text."""
        if prompt.stream:
            return EventsTranscript(event_bytes)
        return DocumentTranscript() if _asked(prompt) in _DOCUMENTS else TextTranscript()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same."""
        prompt = exchange.prompt
        if prompt is not None and prompt.stream:
            return EventsTranscriptWriter(exchange)
        asked = _asked(prompt) if prompt is not None else "json"
        if asked in _DOCUMENTS:
            return DocumentTranscriptWriter(exchange, error_body)
        return TextTranscriptWriter(exchange, _TEXTS[asked])

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A transcript of our words would be none: the error says it."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


def _format(parts: Sequence[Part]) -> str:
    return field_of(parts, "response_format") or "json"


def _asked(prompt: Prompt) -> str:
    return _format(prompt.parts) if isinstance(prompt, FormPrompt) else "json"
