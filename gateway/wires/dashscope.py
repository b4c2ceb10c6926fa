# SPDX-License-Identifier: Apache-2.0
"""DashScope (Alibaba Cloud Model Studio), its native protocol: text and multimodal generation, and image tasks.

Whether an answer is a stream stands in the header `X-DashScope-SSE: enable`. With `incremental_output` true each event
says what is new; with false each repeats all that was said so far. The duties see what is new in either case, and what
leaves is written from what they let through, so a text that is repeated is never weaker guarded than one that is not.
Where the request leaves it open, the first two events tell; the first waits for the second.

What is looked at: every text of `input` and `parameters`; in the answer `text`, `content`, `reasoning_content`, tool
names and arguments, and every string of a field that this codec does not know. Pictures, sounds and films in answers,
and links to them, become media events and are not served while nothing has labelled them. An `input` that the client
encrypted (`X-DashScope-EncryptionKey`) is no object and is refused: what cannot be read cannot be checked.

Source: Alibaba Cloud Model Studio, "DashScope API reference".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.decisions import Refusal
from gateway.events import Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.dashscope_answer import EventsReader, PlainReader
from gateway.wires.dashscope_writer import EventsWriter, PlainWriter, error_document
from gateway.wires.fields import Field
from gateway.wires.framing import encoded
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.request import add_members, read_object, typed

TEXT_PATH = "/api/v1/services/aigc/text-generation/generation"
MULTIMODAL_PATH = "/api/v1/services/aigc/multimodal-generation/generation"
IMAGE_PATH = "/api/v1/services/aigc/text2image/image-synthesis"
TASK_PATH = r"/api/v1/tasks/[A-Za-z0-9-]{1,128}"

_MEDIA = frozenset({"image", "audio", "video", "file"})
"""Members of a content part that are media: a link, data, or a list of them."""


@dataclass(slots=True)
class DashScopePrompt(Prompt):
    """A prompt that knows what the writer must: how texts are repeated, and in which form an answer is expected."""

    incremental: bool | None = None
    form: str = ""
    """`text`, `message` or `parts` where the request says it; empty where the model's default decides."""


class DashScopeGeneration:
    """The wire of text and multimodal generation."""

    name = "dashscope"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("input.prompt, input.messages[], input.history[]", "looked_at", "adjacent text parts are one text"),
        Field("input.messages[].content[].image, audio, video, file", "passed", "media"),
        Field("input (encrypted)", "refused", "cannot be checked"),
        Field("parameters", "looked_at", "every string, keys included"),
        Field("(unknown)", "looked_at"),
        Field("model", "passed"),
        Field("< output.text, output.choices[].message.content", "labelled", "cumulative or incremental"),
        Field("< output.choices[].message.reasoning_content", "looked_at"),
        Field("< output.choices[].message.tool_calls[]", "looked_at", "name and arguments"),
        Field("< output.choices[].message.content[].image, audio, video", "labelled", "by `label.links`"),
        Field("< finish_reason", "passed", "`content_filter` where the answer was stopped or refused"),
        Field("< usage, request_id", "passed"),
        Field("< (unknown)", "looked_at", "every string, a lane for each path"),
        Field("< aigc, notices", "labelled", "in the first and the last event, or in the document"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request without its headers: a plain answer is asked for."""
        return self.read_request_with_headers(path, query, body, ())

    def read_request_with_headers(
        self, path: str, query: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> Prompt:
        """The request as a prompt; see `Wire`."""
        document = read_object(body)
        model = typed(document, "model", str, required=True)
        given = typed(document, "input", dict, required=True)
        parameters = typed(document, "parameters", dict) or {}
        incremental = typed(parameters, "incremental_output", bool, where="parameters")
        form = typed(parameters, "result_format", str, where="parameters")
        texts: list[PromptText] = []
        if prompt := typed(given, "prompt", str, where="input"):
            texts.append(PromptText("input.prompt", "user", prompt))
        has_media = False
        for position, message in enumerate(typed(given, "messages", list, where="input") or ()):
            has_media |= _read_message(message, f"input.messages.{position}", texts)
        add_members(given, "input", "user", texts, ("prompt", "messages"))
        add_members(document, "", "system", texts, ("model", "input"))
        answer_format = parameters.get("response_format")
        return DashScopePrompt(
            model=model,
            stream=any(name == b"x-dashscope-sse" and value.strip().lower() == b"enable" for name, value in headers),
            texts=texts,
            body=document,
            is_structured=isinstance(answer_format, Mapping) and answer_format.get("type") not in (None, "text"),
            has_media=has_media,
            incremental=incremental,
            form="parts" if path == MULTIMODAL_PATH else form if form in ("text", "message") else "",
        )

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", path, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of events or of one document."""
        assert isinstance(prompt, DashScopePrompt)
        return EventsReader(event_bytes, prompt.incremental) if prompt.stream else PlainReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of events or of one document."""
        prompt = exchange.prompt
        if not isinstance(prompt, DashScopePrompt):
            return PlainWriter(exchange, "")
        if prompt.stream:
            return EventsWriter(exchange, prompt.form, is_cumulative=not prompt.incremental)
        return PlainWriter(exchange, prompt.form)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A normal answer that ends with `content_filter`."""
        text: list[Event] = []
        if exchange.prompt is None or not exchange.prompt.is_structured:
            text.append(TextDelta(Lane(0, Channel.ANSWER), refusal.message))
        return 200, [*text, Finish(0, "content_filter"), End()]

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """DashScope's error object."""
        return encoded(error_document(code, message))


class DashScopeImageTask:
    """The wire of an image task's beginning: `POST .../image-synthesis` with `X-DashScope-Async: enable`."""

    name = "dashscope_images"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("input.prompt, input.negative_prompt, input (other)", "looked_at", "every string, keys included"),
        Field("parameters, (unknown)", "looked_at"),
        Field("model", "passed"),
        Field("< output.results[].url", "labelled", "by `label.links`"),
        Field("< output.task_id, task_status, usage, request_id", "passed"),
        Field("< (unknown)", "looked_at"),
        Field("< aigc, notices", "labelled"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The prompts of a picture; see `Wire`."""
        document = read_object(body)
        model = typed(document, "model", str, required=True)
        given = typed(document, "input", dict, required=True)
        texts: list[PromptText] = []
        for key in ("prompt", "negative_prompt"):
            if text := typed(given, key, str, where="input"):
                texts.append(PromptText(f"input.{key}", "user", text))
        add_members(given, "input", "user", texts, ("prompt", "negative_prompt"))
        add_members(document, "", "system", texts, ("model", "input"))
        return Prompt(model=model, stream=False, texts=texts, body=document)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", IMAGE_PATH, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of a task."""
        return PlainReader(is_task=True)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same task."""
        return PlainWriter(exchange, "")

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A task has no text to say it in."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """DashScope's error object."""
        return encoded(error_document(code, message))


class DashScopeTasks(DashScopeImageTask):
    """The wire of asking for a task: `GET /api/v1/tasks/{id}`."""

    name = "dashscope_tasks"
    FIELDS: tuple[Field, ...] = DashScopeImageTask.FIELDS[3:]

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """An empty prompt: what was asked was checked when the task began."""
        return Prompt(model="", stream=False, texts=[], body={})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path below the upstream's URL."""
        return Call("GET", path, b"")


def _read_message(message: Any, where: str, texts: list[PromptText]) -> bool:
    if not isinstance(message, Mapping):
        raise BadRequest("invalid_type", f"{where} must be an object.", param=where)
    role = typed(message, "role", str, where=where)
    role = role if role in ("system", "user", "assistant", "tool") else "other"
    content = message.get("content")
    has_media = False
    if isinstance(content, list):
        words: list[str] = []
        for position, part in enumerate(content):
            at = f"{where}.content.{position}"
            if not isinstance(part, Mapping):
                raise BadRequest("invalid_type", f"{at} must be an object.", param=at)
            words.append(typed(part, "text", str, where=at) or "")
            has_media |= not _MEDIA.isdisjoint(part)
            add_members(part, at, role, texts, ("text", *_MEDIA))
        texts.append(PromptText(f"{where}.content", role, "".join(words)))
    elif content:
        texts.append(PromptText(f"{where}.content", role, typed(message, "content", str, where=where)))
    add_members(message, where, role, texts, ("role", "content"))
    return has_media
