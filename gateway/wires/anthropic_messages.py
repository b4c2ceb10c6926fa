# SPDX-License-Identifier: Apache-2.0
"""Anthropic Messages: `POST /v1/messages`, streamed and plain, and `POST /v1/messages/count_tokens`.

What is looked at: the system prompt, every turn with its tool calls, tool results, documents and thinking, the tools;
in the answer text, thinking, tool names and input, citations, results of tools that ran at the model, and every string
of a field that this codec does not know. Unknown fields go through; an event that passes unchanged goes out as the
bytes that came in. How blocks, labels and signatures go together is told in `anthropic_messages_answer`.

Source: Anthropic's API reference, Messages and Streaming Messages, versions 2023-06-01 and 2026-10-21. The later
refuses some requests that the earlier took (sampling parameters, documents of the assistant, citations of the user);
the model's side says so. Answers are the same. Official SDKs put their key into `x-api-key` or, in the releases that
speak the later version, send it as a bearer token: either goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from gateway.decisions import Refusal
from gateway.events import Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.anthropic_errors import error_body
from gateway.wires.anthropic_messages_answer import MessageReader, StreamReader
from gateway.wires.anthropic_messages_writer import MessageWriter, StreamWriter
from gateway.wires.base64_text import decoded_text
from gateway.wires.fields import Field
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.passed import PassedReader, PassedWriter
from gateway.wires.request import add_members, add_strings, read_object, typed

PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
KEY_HEADER = "x-api-key"

_NOT_PROMPT = frozenset(
    {"model", "stream", "max_tokens", "metadata", "service_tier", "container", "mcp_servers", "inference_geo"}
)
"""Top-level request fields that no model reads as text."""
_NOT_TEXT = frozenset(
    {
        "type", "cache_control", "id", "tool_use_id", "file_id", "signature", "encrypted_content", "encrypted_index",
        "encrypted_stdout",
    }
)  # fmt: skip
"""Members of content blocks that name things or are opaque."""
_DEEPEST = 32

_REQUEST_FIELDS = (
    Field("system", "looked_at"),
    Field("messages[].content", "looked_at", "text blocks of a message are one text"),
    Field("messages[].content[] tool_use, server_tool_use", "looked_at", "keys and strings of input"),
    Field("messages[].content[] tool_result, search_result", "looked_at"),
    Field("messages[].content[] document", "looked_at", "title, context, text and content; base64 where it is text"),
    Field("messages[].content[] image, document (pdf)", "passed", "media"),
    Field("messages[].content[] thinking", "looked_at", "the signature is passed"),
    Field("messages[].content[] redacted_thinking", "passed", "opaque"),
    Field("tools[], tool_choice, stop_sequences, output_config", "looked_at", "every string, keys included"),
    Field("(unknown)", "looked_at"),
    Field("model, max_tokens, metadata, service_tier, container, mcp_servers, stream", "passed"),
)


class AnthropicMessages:
    """The wire of Anthropic Messages."""

    name = "anthropic_messages"
    is_generative = True
    FIELDS: ClassVar[tuple[Field, ...]] = (
        *_REQUEST_FIELDS,
        Field("< content[] text", "labelled", "blocks side by side are one text"),
        Field("< content[] text.citations[]", "looked_at", "dropped where they say what may not be said"),
        Field("< content[] thinking", "looked_at", "never changed: passed, cut or stopped"),
        Field("< content[] thinking.signature", "passed"),
        Field("< content[] redacted_thinking", "passed", "opaque"),
        Field(
            "< content[] tool_use, server_tool_use",
            "looked_at",
            "name and input, through escapes; whole input leaves whole",
        ),
        Field("< content[] ..._tool_result", "looked_at", "leaves whole or stops the answer"),
        Field("< stop_sequence, stop_details.explanation", "looked_at"),
        Field("< id, model, stop_reason, usage", "passed"),
        Field("< (unknown)", "looked_at"),
        Field("< aigc, notices", "labelled", "in message_start and message_stop, or in the message"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt; see `Wire`."""
        document = read_object(body)
        model = typed(document, "model", str, required=True)
        stream = bool(typed(document, "stream", bool))
        messages = typed(document, "messages", list, required=True)
        if not messages:
            raise BadRequest("invalid_value", "messages must not be empty.", param="messages")
        texts: list[PromptText] = []
        has_media = False
        if document.get("system") is not None:
            has_media |= _read_content(document["system"], "system", "system", texts, 0)
        for position, message in enumerate(messages):
            has_media |= _read_message(message, f"messages.{position}", texts)
        add_members(document, "", "system", texts, _NOT_PROMPT | {"messages", "system"})
        return Prompt(
            model=model,
            stream=stream,
            texts=texts,
            body=document,
            is_structured=_is_structured(document),
            has_media=has_media,
        )

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", path + ("?" + query if query else ""), orjson.dumps(prompt.body), key_header=KEY_HEADER)

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of events or of one message."""
        return StreamReader(event_bytes) if prompt.stream else MessageReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of events or of one message."""
        if exchange.prompt is not None and exchange.prompt.stream:
            return StreamWriter(exchange)
        return MessageWriter(exchange)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A normal message that ends with `refusal`."""
        text: list[Event] = []
        if exchange.prompt is None or not exchange.prompt.is_structured:
            text.append(TextDelta(Lane(0, Channel.ANSWER), refusal.message))
        return 200, [*text, Finish(0, "content_filter"), End()]

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """Anthropic's error object."""
        return error_body(status, code, message, param)


class AnthropicCountTokens(AnthropicMessages):
    """How many tokens a request has: the same request, an answer that no model gives."""

    name = "anthropic_count_tokens"
    is_generative = False
    FIELDS: ClassVar[tuple[Field, ...]] = (*_REQUEST_FIELDS, Field("< input_tokens", "passed"))

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The same request; the answer is never a stream."""
        prompt = super().read_request(path, query, body)
        prompt.stream = False
        return prompt

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one document."""
        return PassedReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same document."""
        return PassedWriter()

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A count cannot be refused in-band."""
        return None


def _is_structured(document: Mapping[str, Any]) -> bool:
    config = document.get("output_config")
    formats = (document.get("output_format"), config.get("format") if isinstance(config, Mapping) else None)
    return any(isinstance(item, Mapping) and item.get("type") not in (None, "text") for item in formats)


def _read_message(message: Any, where: str, texts: list[PromptText]) -> bool:
    """Collects the texts of one message; says whether it carries media."""
    if not isinstance(message, Mapping):
        raise BadRequest("invalid_type", f"{where} must be an object.", param=where)
    role = typed(message, "role", str, where=where, required=True)
    role = role if role in ("user", "assistant", "system") else "other"
    has_media = _read_content(message.get("content"), f"{where}.content", role, texts, 0)
    add_members(message, where, role, texts, ("role", "content"))
    return has_media


def _read_content(content: Any, where: str, role: str, texts: list[PromptText], depth: int) -> bool:
    """Collects the texts of a string or of blocks. A model reads the text blocks of one message as one text."""
    if isinstance(content, str):
        texts.append(PromptText(where, role, content))
        return False
    if isinstance(content, Mapping):
        content = [content]  # results of tools that ran at the model are one block
    if not isinstance(content, list):
        raise BadRequest("invalid_type", f"{where} must be a string or an array.", param=where)
    if depth > _DEEPEST:
        raise BadRequest("invalid_value", f"{where} is nested too deeply.", param=where)
    has_media = False
    words: list[str] = []
    for position, block in enumerate(content):
        at = f"{where}.{position}"
        if not isinstance(block, Mapping):
            raise BadRequest("invalid_type", f"{at} must be an object.", param=at)
        has_media |= _read_block(block, at, role, texts, words, depth)
    if words:
        texts.append(PromptText(where, role, "".join(words)))
    return has_media


def _read_block(
    block: Mapping[str, Any], where: str, role: str, texts: list[PromptText], words: list[str], depth: int
) -> bool:
    kind = block.get("type")
    has_media = False
    read = {"type"}
    if kind == "text":
        words.append(typed(block, "text", str, where=where, required=True))
        read.add("text")
    elif kind == "redacted_thinking":
        read.add("data")
    if isinstance(block.get("source"), Mapping):
        has_media = _read_source(block["source"], f"{where}.source", role, texts, depth)
        read.add("source")
    if isinstance(block.get("content"), (str, list, dict)):
        has_media |= _read_content(block["content"], f"{where}.content", role, texts, depth + 1)
        read.add("content")
    if len(block) > len(read):
        add_members(block, where, role, texts, _NOT_TEXT | read)
    return has_media


def _read_source(source: Mapping[str, Any], where: str, role: str, texts: list[PromptText], depth: int) -> bool:
    """Collects the texts of what a block shows; says whether it is media."""
    kind = source.get("type")
    if kind == "base64":
        try:
            text = decoded_text(source.get("media_type"), source.get("data"))
        except ValueError:
            raise BadRequest("invalid_value", f"{where}.data must be base64.", param=f"{where}.data") from None
        if text is None:
            return True
        texts.append(PromptText(f"{where}.data", role, text))
        return False
    has_media = kind in ("url", "file")
    if kind == "content" and source.get("content") is not None:
        has_media = _read_content(source["content"], f"{where}.content", role, texts, depth + 1)
        source = {key: source[key] for key in source.keys() - {"content"}}
    for key in source.keys() - _NOT_TEXT - {"media_type"}:
        add_strings(source[key], where, role, texts)
    return has_media
