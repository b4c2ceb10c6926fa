# SPDX-License-Identifier: Apache-2.0
"""OpenAI images: `POST /v1/images/generations` (JSON), `/v1/images/edits` and `/v1/images/variations` (forms).

Prompts are checked; so is every string of the answer that is no picture (`revised_prompt`). Pictures, as base64 or as
links, become media events, and what a duty labelled is written back. Of a stream each unfinished picture is labelled as
one: it is a picture that somebody sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.decisions import Refusal
from gateway.events import Event
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.fields import Field
from gateway.wires.form import field_of, form_call, form_prompt, read_form
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.media_answer import DocumentReader, DocumentWriter
from gateway.wires.media_events import MediaEventsWriter, PictureEvents
from gateway.wires.openai_errors import error_body
from gateway.wires.request import add_members, read_object, typed

GENERATIONS_PATH = "/v1/images/generations"
FORM_PATHS = ("/v1/images/edits", "/v1/images/variations")

_MEDIA = {"b64_json": "b64", "url": "link"}

_ANSWER_FIELDS = (
    Field("< data[].b64_json", "labelled", "PNG, JPEG, WebP, GIF, TIFF, AVIF, SVG; others: 501 `unlabelled_media`"),
    Field("< data[].url", "labelled", "by `label.links`: a link of this service, or 501 `unlabelled_media`"),
    Field("< data[].revised_prompt, (unknown)", "looked_at", "a stopped answer is the error `content_filter`"),
    Field("< image_generation.partial_image, .completed", "labelled", "and image_edit...: `b64_json` of each"),
    Field("< created, usage, size, quality, ...", "passed"),
    Field("< aigc, notices", "labelled"),
)


class OpenAIImages:
    """The wire of making pictures."""

    name = "openai_images"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("prompt, (unknown)", "looked_at", "every string, keys included"),
        Field("stream, partial_images", "passed", "each unfinished picture is labelled too"),
        Field("model, user", "passed"),
        *_ANSWER_FIELDS,
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The prompt; see `Wire`."""
        document = read_object(body)
        model = typed(document, "model", str) or ""
        texts = [PromptText("prompt", "user", typed(document, "prompt", str, required=True))]
        stream = bool(typed(document, "stream", bool))
        add_members(document, "", "user", texts, ("model", "prompt", "user"))
        return Prompt(model=model, stream=stream, texts=texts, body=document)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", path, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of events or of one document."""
        return PictureEvents(event_bytes) if prompt.stream else DocumentReader(_MEDIA)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of events or of one document."""
        if exchange.prompt is not None and exchange.prompt.stream:
            return MediaEventsWriter(exchange)
        return DocumentWriter(exchange, error_body)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A picture has no words: the error says it."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


class OpenAIImageForms(OpenAIImages):
    """The wire of changing pictures."""

    name = "openai_image_edits"
    FIELDS: tuple[Field, ...] = (
        Field("prompt, (every field), names of files", "looked_at"),
        Field("image[], mask", "passed", "media"),
        Field("stream, partial_images", "passed", "each unfinished picture is labelled too"),
        Field("model", "passed"),
        *_ANSWER_FIELDS,
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
        if stream not in ("true", "false") or (stream == "true" and path != FORM_PATHS[0]):
            raise BadRequest("invalid_value", "stream must be true or false, and false for variations.", param="stream")
        if field_of(parts, "prompt") is None and path == FORM_PATHS[0]:
            raise BadRequest("missing_required_parameter", "prompt is required.", param="prompt")
        return form_prompt(parts, stream=stream == "true")

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The form for the model, made from what was checked."""
        return form_call(path, prompt)
