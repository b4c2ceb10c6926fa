# SPDX-License-Identifier: Apache-2.0
"""OpenAI chat completions: `POST /v1/chat/completions`, streamed and plain.

What is looked at: every text of the prompt that a model reads; in the answer `content`, `reasoning_content` (and
`reasoning`), `refusal`, the transcript of a spoken answer, tool names and arguments, the legacy `function_call`, the
other tokens of `logprobs`, and every string of a field that this codec does not know. Unknown fields go through; a
piece of the answer that passes unchanged goes out as the bytes that came in.

A spoken answer is a medium. Nothing tells which words a piece of sound says, so in a stream the sound waits until its
transcript is whole and may leave; then it is labelled and follows in pieces.
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
from gateway.wires.json_text import loads_request, strings
from gateway.wires.openai_chat_answer import SOUNDS, ChunkReader, ChunkWriter, CompletionReader, CompletionWriter
from gateway.wires.openai_errors import error_body

PATH = "/v1/chat/completions"

_NOT_PROMPT = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "n",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "service_tier",
        "modalities",
        "metadata",
    }
)
"""Top-level request fields that no model reads as text."""


class OpenAIChat:
    """The wire of OpenAI chat completions."""

    name = "openai_chat"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("messages[].content", "looked_at", "text parts of one message are one text"),
        Field("messages[].content[] (pictures, sounds, files)", "passed", "media"),
        Field("messages[] (every other string), tools, response_format, stop, ...", "looked_at", "keys included"),
        Field("modalities, audio", "passed", "a format that cannot be labelled ends as 501 `unlabelled_media`"),
        Field("model, stream, n, user, metadata, prompt_cache_key, service_tier, ...", "passed"),
        Field("(unknown)", "looked_at", "every string, keys included"),
        Field("< choices[].message.content, choices[].delta.content", "labelled"),
        Field("< audio.data", "labelled", "in a stream once the transcript is whole and may leave"),
        Field("< audio.transcript", "looked_at"),
        Field("< reasoning_content, reasoning, refusal", "looked_at"),
        Field("< tool_calls[], function_call", "looked_at", "name and arguments"),
        Field("< logprobs", "looked_at", "other likely tokens; dropped where they say what may not be said"),
        Field("< finish_reason", "passed", "`content_filter` where the answer was stopped or refused"),
        Field("< id, created, model, usage, system_fingerprint, service_tier", "passed"),
        Field("< (unknown)", "looked_at", "every string, a lane for each path"),
        Field("< aigc, notices", "labelled", "in the first and the last event, or in the document"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt; see `Wire`."""
        try:
            document = loads_request(body)
        except ValueError as error:
            raise BadRequest("invalid_json", f"The request body is {error}.") from None
        if not isinstance(document, dict):
            raise BadRequest("invalid_type", "The request body must be a JSON object.")
        model = _typed(document, "model", str, required=True)
        stream = bool(_typed(document, "stream", bool))
        _typed(document, "n", int)
        messages = _typed(document, "messages", list, required=True)
        if not messages:
            raise BadRequest("invalid_value", "messages must not be empty.", param="messages")
        sound = _typed(document, "audio", dict)
        if sound is not None and str(sound.get("format")) not in SOUNDS:
            raise BadRequest("invalid_value", f"audio.format must be one of {', '.join(SOUNDS)}.", param="audio.format")
        texts: list[PromptText] = []
        has_media = False
        for position, message in enumerate(messages):
            has_media |= _read_message(message, f"messages.{position}", texts)
        try:
            for key in document.keys() - _NOT_PROMPT - {"messages"}:
                # The path names the field only where it is one of the protocol's own, never a client's invention.
                where = key if key in _REQUEST_FIELDS else "(other field)"
                texts += (PromptText(at, "system", text) for at, text in strings(document[key], where))
        except ValueError as error:
            raise BadRequest("invalid_value", f"The request body is {error}.") from None
        return Prompt(
            model=model,
            stream=stream,
            texts=texts,
            body=document,
            is_structured=_is_structured(document.get("response_format")),
            has_media=has_media,
        )

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", PATH, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of chunks or of one completion."""
        sound = prompt.body.get("audio")
        mime = SOUNDS[sound["format"]] if sound else ""
        return ChunkReader(event_bytes, mime) if prompt.stream else CompletionReader(mime)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of chunks or of one completion."""
        if exchange.prompt is not None and exchange.prompt.stream:
            return ChunkWriter(exchange)
        return CompletionWriter(exchange)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A normal answer that ends with `content_filter`."""
        lane = Lane(0, Channel.ANSWER)
        text: list[Event] = []
        if exchange.prompt is None or not exchange.prompt.is_structured:
            text.append(TextDelta(lane, refusal.message))
        return 200, [*text, Finish(0, "content_filter"), End()]

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


_REQUEST_FIELDS = frozenset(
    {
        "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
        "max_tokens", "metadata", "parallel_tool_calls", "prediction", "presence_penalty", "reasoning_effort",
        "response_format", "seed", "stop", "store", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
        "verbosity", "web_search_options",
    }
)  # fmt: skip


def _typed(document: Mapping[str, Any], key: str, kind: type, *, required: bool = False) -> Any:
    value = document.get(key)
    if value is None:
        if required:
            raise BadRequest("missing_required_parameter", f"{key} is required.", param=key)
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {str: "a string", bool: "a boolean", int: "an integer", list: "an array", dict: "an object"}
        raise BadRequest("invalid_type", f"{key} must be {names[kind]}.", param=key)
    return value


def _is_structured(response_format: Any) -> bool:
    return isinstance(response_format, Mapping) and response_format.get("type") not in (None, "text")


def _read_message(message: Any, where: str, texts: list[PromptText]) -> bool:
    """Collects the texts of one message; says whether it carries media."""
    if not isinstance(message, Mapping):
        raise BadRequest("invalid_type", f"{where} must be an object.", param=where)
    role = message.get("role")
    if not isinstance(role, str):
        raise BadRequest("invalid_type", f"{where}.role must be a string.", param=f"{where}.role")
    role = role if role in ("system", "developer", "user", "assistant", "tool", "function") else "other"
    content = message.get("content")
    has_media = False
    if isinstance(content, str):
        texts.append(PromptText(f"{where}.content", role, content))
    elif isinstance(content, list):
        # A model reads the parts as one text, so a word cut in two by a part boundary is still that word.
        words: list[str] = []
        for position, part in enumerate(content):
            at = f"{where}.content.{position}"
            if not isinstance(part, Mapping):
                raise BadRequest("invalid_type", f"{at} must be an object.", param=at)
            if part.get("type") in ("text", "refusal"):
                text = part.get(part["type"])
                if not isinstance(text, str):
                    raise BadRequest("invalid_type", f"{at}.{part['type']} must be a string.", param=at)
                words.append(text)
                rest: Mapping[str, Any] = {key: part[key] for key in part.keys() - {"type", part["type"]}}
            else:
                has_media = True
                rest = {key: part[key] for key in part.keys() - {"type"}}
            _read_strings(rest, at, role, texts)
        if words:
            texts.append(PromptText(f"{where}.content", role, "".join(words)))
    elif content is not None:
        raise BadRequest("invalid_type", f"{where}.content must be a string or an array.", param=f"{where}.content")
    if len(message) > 2 or "content" not in message:
        _read_strings({key: message[key] for key in message.keys() - {"role", "content"}}, where, role, texts)
    return has_media


def _read_strings(value: Mapping[str, Any], where: str, role: str, texts: list[PromptText]) -> None:
    try:
        for at, text in strings(value, where):
            # Base64 of a picture or a sound is media, not text; the media duties look at it.
            if not (text.startswith("data:") or (len(text) > 512 and " " not in text and text.isascii())):
                texts.append(PromptText(at, role, text))
    except ValueError as error:
        raise BadRequest("invalid_value", f"{where} is {error}.", param=where) from None
