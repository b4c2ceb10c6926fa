# SPDX-License-Identifier: Apache-2.0
"""Ollama: `POST /api/chat` and `/api/generate` (JSON lines unless `stream` is false), embeddings, and lists.

What is looked at: every text of the prompt that a model reads; in the answer `content` or `response`, `thinking`, names
and arguments of tool calls (the arguments are an object: its keys and strings), the other tokens of `logprobs`, and
every string of a field that this codec does not know. `context` holds earlier turns as token numbers, which cannot be
checked: it is refused in a request and left out of answers. Pictures in answers are refused, because they could not be
labelled. Paths that change the server's models (`/api/pull`, `/api/create`, ...) are unknown here, and so refused.

Source: Ollama's API reference (docs/api.md of the Ollama repository).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.decisions import Refusal
from gateway.events import Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.fields import Field
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.ollama_answer import LineAnswer, LinesWriter, PlainAnswer, PlainWriter, error_line
from gateway.wires.passed import PassedReader, PassedWriter
from gateway.wires.request import add_members, add_strings, read_object, typed

CHAT_PATH = "/api/chat"
GENERATE_PATH = "/api/generate"
EMBED_PATHS = ("/api/embed", "/api/embeddings")
LIST_PATHS = ("/api/tags", "/api/version")
SHOW_PATH = "/api/show"

_NOT_PROMPT = frozenset({"model", "stream", "keep_alive", "images", "context"})
"""Members that no model reads as text; pictures are media, and `context` is refused."""

_ANSWER_FIELDS = (
    Field("< thinking", "looked_at"),
    Field("< logprobs", "looked_at", "other likely tokens; dropped where they say what may not be said"),
    Field("< done_reason", "passed", "a stopped or refused answer ends with `stop` and our words"),
    Field("< context", "refused", "left out: it repeats the answer as token numbers"),
    Field("< counts and durations", "passed"),
    Field("< (unknown)", "looked_at", "every string, a lane for each path"),
    Field("< aigc, notices", "labelled", "in the first and the last line, or in the document"),
)


class OllamaChat:
    """The wire of `/api/chat`."""

    name = "ollama_chat"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("messages[].content", "looked_at"),
        Field("messages[].thinking, tool_name, tool_calls[]", "looked_at", "keys and strings of arguments"),
        Field("messages[].images[]", "passed", "media"),
        Field("tools[], format, options", "looked_at", "every string, keys included"),
        Field("(unknown)", "looked_at"),
        Field("model, stream, keep_alive", "passed"),
        Field("< message.content", "labelled"),
        Field("< message.tool_calls[]", "looked_at", "name, keys and strings of arguments; a call leaves whole or not"),
        Field("< message.images[]", "refused", "could not be labelled"),
        *_ANSWER_FIELDS,
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt; see `Wire`. Without messages the server only loads the model."""
        document = read_object(body)
        texts: list[PromptText] = []
        has_media = False
        for position, message in enumerate(typed(document, "messages", list) or ()):
            has_media |= _read_message(message, f"messages.{position}", texts)
        return _prompt(document, texts, {"messages"}, has_media)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", CHAT_PATH, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of lines or of one document."""
        return LineAnswer(event_bytes, is_chat=True) if prompt.stream else PlainAnswer(is_chat=True)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of lines or of one document."""
        return _writer(exchange, is_chat=True)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A normal answer that is done."""
        return _refused(exchange, refusal)

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """Ollama's error object."""
        return error_line(code, message, param)


class OllamaGenerate:
    """The wire of `/api/generate`."""

    name = "ollama_generate"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("prompt, suffix, system, template", "looked_at"),
        Field("format, options", "looked_at", "every string, keys included"),
        Field("images[]", "passed", "media"),
        Field("context", "refused", "earlier turns as token numbers cannot be checked"),
        Field("(unknown)", "looked_at"),
        Field("model, stream, keep_alive", "passed"),
        Field("< response", "labelled"),
        Field("< image", "refused", "could not be labelled"),
        *_ANSWER_FIELDS,
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt; see `Wire`. Without a prompt the server only loads the model."""
        document = read_object(body)
        if document.get("context"):
            raise BadRequest(
                "unsupported_parameter",
                "context holds earlier turns as token numbers, which this service cannot check. "
                "Send them as text, or use /api/chat.",
                param="context",
            )
        texts: list[PromptText] = []
        for key, role in (("system", "system"), ("template", "system"), ("prompt", "user"), ("suffix", "user")):
            if text := typed(document, key, str):
                texts.append(PromptText(key, role, text))
        images = typed(document, "images", list)
        return _prompt(document, texts, {"system", "template", "prompt", "suffix"}, bool(images))

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", GENERATE_PATH, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of lines or of one document."""
        return LineAnswer(event_bytes, is_chat=False) if prompt.stream else PlainAnswer(is_chat=False)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of lines or of one document."""
        return _writer(exchange, is_chat=False)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A normal answer that is done."""
        return _refused(exchange, refusal)

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """Ollama's error object."""
        return error_line(code, message, param)


class OllamaPassed:
    """What no model generates: embeddings (whose inputs are checked), and what the server says of its models."""

    is_generative = False

    def __init__(self, name: str, method: str) -> None:
        self.name = name
        self._method = method
        self.FIELDS: tuple[Field, ...] = (Field("(all)", "passed", "names of models"), Field("< (all)", "passed"))
        if name == "ollama_embeddings":
            self.FIELDS = (
                Field("input, prompt, options, (unknown)", "looked_at", "every string; token numbers are refused"),
                Field("model, truncate, dimensions, keep_alive", "passed"),
                Field("< (all)", "passed", "vectors hold no text"),
            )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The inputs of an embedding as texts; an empty prompt for anything else."""
        document = read_object(body) if self._method == "POST" else {}
        texts: list[PromptText] = []
        model = ""
        if path in EMBED_PATHS:
            model = typed(document, "model", str, required=True)
            _read_inputs(document, texts)
            add_members(document, "", "user", texts, {"model", "keep_alive", "input"})
        return Prompt(model=model, stream=False, texts=texts, body=document)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path below the upstream's URL."""
        return Call(self._method, path, orjson.dumps(prompt.body) if self._method == "POST" else b"")

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one document."""
        return PassedReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same document."""
        return PassedWriter()

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """There is no in-band form."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """Ollama's error object."""
        return error_line(code, message, param)


def _writer(exchange: Exchange, *, is_chat: bool) -> AnswerWriter:
    if exchange.prompt is not None and exchange.prompt.stream:
        return LinesWriter(exchange, is_chat=is_chat)
    return PlainWriter(exchange, is_chat=is_chat)


def _refused(exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]]:
    text: list[Event] = []
    if exchange.prompt is None or not exchange.prompt.is_structured:
        text.append(TextDelta(Lane(0, Channel.ANSWER), refusal.message))
    return 200, [*text, Finish(0, "content_filter"), End()]


def _prompt(document: dict[str, Any], texts: list[PromptText], read: set[str], has_media: bool) -> Prompt:
    model = typed(document, "model", str, required=True)
    stream = typed(document, "stream", bool)
    format_ = document.get("format")
    if format_ is not None and not isinstance(format_, (str, Mapping)):
        raise BadRequest("invalid_type", "format must be a string or an object.", param="format")
    add_members(document, "", "system", texts, _NOT_PROMPT | read)
    return Prompt(
        model=model,
        stream=stream is not False,
        texts=texts,
        body=document,
        is_structured=bool(format_),
        has_media=has_media,
    )


def _read_message(message: Any, where: str, texts: list[PromptText]) -> bool:
    if not isinstance(message, Mapping):
        raise BadRequest("invalid_type", f"{where} must be an object.", param=where)
    role = typed(message, "role", str, where=where, required=True)
    role = role if role in ("system", "user", "assistant", "tool") else "other"
    content = typed(message, "content", str, where=where)
    if content:
        texts.append(PromptText(f"{where}.content", role, content))
    images = typed(message, "images", list, where=where)
    add_members(message, where, role, texts, {"role", "content", "images"})
    return bool(images)


def _read_inputs(document: Mapping[str, Any], texts: list[PromptText]) -> None:
    value = document.get("input")
    for position, item in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
        if not isinstance(item, str):
            message = "input must be a string or an array of strings: what it says must be checked."
            raise BadRequest("invalid_type", message, param="input")
        add_strings(item, f"input.{position}", "user", texts)
