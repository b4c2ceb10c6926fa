# SPDX-License-Identifier: Apache-2.0
"""OpenAI videos: beginning one, remixing one, asking for one, and downloading one.

Prompts are checked, in JSON and in forms; so is every string of what the server says of a video. The film itself, its
thumbnail and its sheet of pictures are media events and are not served while nothing has labelled them.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

import orjson

from gateway.decisions import Refusal
from gateway.events import Event
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.fields import Field
from gateway.wires.form import FormPrompt, field_of, form_call, form_prompt, read_form
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.media_answer import BodyReader, BodyWriter, DocumentReader, DocumentWriter
from gateway.wires.openai_errors import error_body
from gateway.wires.request import add_members, read_object, typed

PATH = "/v1/videos"
BEGIN_PATHS = (PATH, "/v1/videos/edits", "/v1/videos/extensions")
VIDEO_PATH = r"/v1/videos/[A-Za-z0-9._-]{1,128}"
REMIX_PATH = r"/v1/videos/[A-Za-z0-9._-]{1,128}/remix"
CONTENT_PATH = r"/v1/videos/[A-Za-z0-9._-]{1,128}/content"

_MEDIA = {"url": "link", "b64_json": "b64"}
_VARIANTS = {"video": "video/mp4", "thumbnail": "image/webp", "spritesheet": "image/jpeg"}

_ANSWER_FIELDS = (
    Field("< prompt, error, (unknown)", "looked_at", "a stopped answer is the error `content_filter`"),
    Field("< id, status, progress, seconds, size, ...", "passed"),
    Field("< url, b64_json", "labelled", "links by `label.links`; what cannot be labelled: 501 `unlabelled_media`"),
    Field("< aigc, notices", "labelled"),
)


class _Videos:
    """What the video wires share."""

    name = ""
    is_generative = True
    FIELDS: tuple[Field, ...] = ()

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one document."""
        return DocumentReader(_MEDIA)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of one document."""
        return DocumentWriter(exchange, error_body)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A film has no words: the error says it."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


class OpenAIVideos(_Videos):
    """The wire of beginning a video, from nothing or from another one, which it remixes, edits or makes longer."""

    name = "openai_videos"
    FIELDS: tuple[Field, ...] = (
        Field("prompt, (every other string)", "looked_at"),
        Field("input_reference", "passed", "media"),
        Field("model", "passed"),
        *_ANSWER_FIELDS,
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The prompt of a JSON request; see `Wire`."""
        document = read_object(body)
        model = typed(document, "model", str) or ""
        texts = [PromptText("prompt", "user", typed(document, "prompt", str, required=True))]
        add_members(document, "", "user", texts, ("model", "prompt"))
        return Prompt(model=model, stream=False, texts=texts, body=document)

    def read_request_with_headers(
        self, path: str, query: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> Prompt:
        """The prompt of a JSON request or of a form."""
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        if not kind.lower().startswith(b"multipart/"):
            return self.read_request(path, query, body)
        parts = read_form(body, headers)
        if field_of(parts, "prompt") is None:
            raise BadRequest("missing_required_parameter", "prompt is required.", param="prompt")
        return form_prompt(parts)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        if isinstance(prompt, FormPrompt):
            return form_call(path, prompt)
        return Call("POST", path, orjson.dumps(prompt.body))


class OpenAIVideoTasks(_Videos):
    """The wire of asking for videos and of deleting one."""

    name = "openai_video_tasks"
    FIELDS: tuple[Field, ...] = (Field("(query)", "passed"), *_ANSWER_FIELDS)

    def __init__(self, method: str) -> None:
        self._method = method

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """An empty prompt: what was asked was checked when the video began."""
        return Prompt(model="", stream=False, texts=[], body={})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path and query below the upstream's URL."""
        return Call(self._method, path + ("?" + query if query else ""), b"")


class OpenAIVideoContent(_Videos):
    """The wire of downloading a video."""

    name = "openai_video_content"
    FIELDS: tuple[Field, ...] = (
        Field("(query) variant", "passed", "video, thumbnail or spritesheet"),
        Field("< (pictures)", "labelled", "thumbnail and spritesheet"),
        Field("< (film)", "labelled", "where PyAV is installed, else 501 `unlabelled_media`"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """Which form of the video is asked for."""
        variant = parse_qs(query).get("variant", ["video"])
        if len(variant) != 1 or variant[0] not in _VARIANTS:
            message = f"variant must be one of {', '.join(_VARIANTS)}."
            raise BadRequest("invalid_value", message, param="variant")
        return Prompt(model="", stream=False, texts=[], body={"variant": variant[0]})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The path with what was understood of the query."""
        return Call("GET", f"{path}?variant={prompt.body['variant']}", b"")

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of a film or a picture."""
        return BodyReader(_VARIANTS[prompt.body["variant"]])

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same with its label."""
        variant = exchange.prompt.body["variant"] if exchange.prompt is not None else "video"
        return BodyWriter(_VARIANTS[variant], error_body)
