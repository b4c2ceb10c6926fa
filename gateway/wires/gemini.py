# SPDX-License-Identifier: Apache-2.0
"""Google Gemini: `generateContent`, `streamGenerateContent` (events with `alt=sse`, else one JSON array), `countTokens`
and the list of models, under `/v1beta` and `/v1`.

What is looked at: the system instruction, every turn with its function calls and responses, text files in base64, tool
declarations and schemas; in the answer texts, thoughts, function calls, code and its results, citations, and every
string of a field that this codec does not know. Answers in sound or pictures are refused at the request, because they
could not be labelled; media that come all the same (plots of executed code) leave only labelled. Requests may spell
their members `inlineData` or `inline_data`, as proto3's JSON does.

Source: Gemini API reference, Generating content and Counting tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote_plus

import orjson

from gateway.decisions import Refusal
from gateway.events import Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires import gemini_answer, gemini_writer
from gateway.wires.base64_text import decoded_text
from gateway.wires.fields import Field
from gateway.wires.gemini_errors import error_body
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.passed import PassedReader, PassedWriter
from gateway.wires.request import add_members, read_object, typed

_MODEL = r"/v1(?:beta)?/(?:models|tunedModels)/[A-Za-z0-9._-]{1,256}"
PATH = _MODEL + ":(?:generateContent|streamGenerateContent)"
COUNT_PATH = _MODEL + ":countTokens"
MODELS_PATH = "/v1beta/models"
MODEL_PATH = r"/v1beta/(?:models|tunedModels)/[A-Za-z0-9._-]{1,256}"
KEY_HEADER = "x-goog-api-key"
KEY_PARAMETER = "key"

_STREAM = ":streamGenerateContent"
_FORWARDED = frozenset({"alt", "key", "access_token", "prettyPrint", "$prettyPrint", "quotaUser"})
"""Query parameters of Google's APIs that change nothing of what an answer says (`fields` and `callback` do)."""
_NOT_PROMPT = frozenset({"model", "safetySettings", "safety_settings", "cachedContent", "cached_content", "labels"})
"""Top-level request fields that no model reads as text."""
_NOT_TEXT = frozenset({"id", "mimeType", "mime_type", "thought", "thoughtSignature", "thought_signature"})
_ROLES = {"user": "user", "model": "assistant", "function": "tool", "system": "system"}
_DEEPEST = 16

_REQUEST_FIELDS = (
    Field("systemInstruction", "looked_at"),
    Field("contents[].parts[].text", "looked_at", "text parts of a content are one text; thoughts too"),
    Field("contents[].parts[].functionCall, functionResponse", "looked_at", "keys and strings"),
    Field("contents[].parts[].executableCode, codeExecutionResult", "looked_at"),
    Field("contents[].parts[].inlineData", "looked_at", "where it is text; else media, passed"),
    Field("contents[].parts[].fileData", "passed", "media; its address is looked at"),
    Field("tools[], toolConfig, generationConfig", "looked_at", "every string, keys included"),
    Field("generationConfig.responseModalities", "refused", "other than TEXT: could not be labelled"),
    Field("toolConfig.functionCallingConfig.streamFunctionCallArguments", "refused", "a call leaves whole"),
    Field("(unknown)", "looked_at"),
    Field("safetySettings, cachedContent, labels", "passed"),
)


@dataclass(slots=True)
class GeminiPrompt(Prompt):
    """A prompt that knows how its stream is framed."""

    is_sse: bool = False


class Gemini:
    """The wire of `generateContent` and `streamGenerateContent`."""

    name = "gemini"
    is_generative = True
    FIELDS: ClassVar[tuple[Field, ...]] = (
        *_REQUEST_FIELDS,
        Field("< candidates[].content.parts[].text", "labelled", "thoughts are looked at"),
        Field("< candidates[].content.parts[].functionCall", "looked_at", "leaves whole or stops the answer"),
        Field("< candidates[].content.parts[].executableCode, codeExecutionResult", "looked_at", "whole or stopped"),
        Field("< candidates[].content.parts[].inlineData", "looked_at", "where it is text; media leave only labelled"),
        Field("< candidates[].content.parts[].thoughtSignature", "passed"),
        Field("< candidates[].citationMetadata, groundingMetadata, urlContextMetadata, logprobsResult", "looked_at",
              "dropped where they say what may not be said"),
        Field("< promptFeedback", "looked_at"),
        Field("< finishReason, safetyRatings, usageMetadata, modelVersion, responseId", "passed"),
        Field("< (unknown)", "looked_at", "every string, a lane for each path"),
        Field("< aigc, notices", "labelled", "in the first and the last document of a stream, or in the document"),
    )  # fmt: skip

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt; see `Wire`."""
        alt = _alt(query)
        document = read_object(body)
        typed(document, "contents", list, required=True)
        prompt = _prompt(path, document)
        prompt.stream = path.endswith(_STREAM)
        prompt.is_sse = alt == "sse"
        return prompt

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        query = _query(query, has_alt=prompt.stream)
        return Call("POST", path + query, orjson.dumps(prompt.body), key_header=KEY_HEADER, key_parameter=KEY_PARAMETER)

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of documents or of one."""
        if prompt.stream:
            return gemini_answer.ChunkReader(event_bytes, is_sse=_is_sse(prompt))
        return gemini_answer.AnswerReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of documents or of one."""
        if exchange.prompt is not None and exchange.prompt.stream:
            return gemini_writer.ChunkWriter(exchange, is_sse=_is_sse(exchange.prompt))
        return gemini_writer.AnswerWriter(exchange)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A normal answer that ends with `SAFETY`."""
        text: list[Event] = []
        if exchange.prompt is None or not exchange.prompt.is_structured:
            text.append(TextDelta(Lane(0, Channel.ANSWER), refusal.message))
        return 200, [*text, Finish(0, "content_filter"), End()]

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """Google's error object."""
        return error_body(status, code, message, param)


class GeminiCountTokens(Gemini):
    """How many tokens a request has: the same texts, an answer that no model gives."""

    name = "gemini_count_tokens"
    is_generative = False
    FIELDS: ClassVar[tuple[Field, ...]] = (*_REQUEST_FIELDS, Field("< totalTokens and details", "passed"))

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The contents, or a whole `generateContentRequest`."""
        _alt(query)
        document = read_object(body)
        prompt = _prompt(path, document)
        inner = typed(document, "generateContentRequest", dict) or typed(document, "generate_content_request", dict)
        if inner is not None:
            prompt.texts += _prompt(path, inner).texts
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


class GeminiModels(GeminiCountTokens):
    """The list of models, and one of them."""

    name = "gemini_models"
    FIELDS: ClassVar[tuple[Field, ...]] = (Field("< (all)", "passed"),)

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """An empty prompt: nothing is asked of a model."""
        _alt(query)
        return Prompt(model="", stream=False, texts=[], body={})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path and query below the upstream's URL."""
        return Call(
            "GET", path + ("?" + query if query else ""), b"", key_header=KEY_HEADER, key_parameter=KEY_PARAMETER
        )


def _is_sse(prompt: Prompt) -> bool:
    return isinstance(prompt, GeminiPrompt) and prompt.is_sse


def _pairs(query: str) -> list[tuple[str, str, str]]:
    """Name, value and spelling of each query parameter."""
    pairs = []
    for spelt in query.split("&"):
        name, _, value = spelt.partition("=")
        if name:
            pairs.append((unquote_plus(name), unquote_plus(value), spelt))
    return pairs


def _alt(query: str) -> str:
    """How the answer is to be framed: `sse` or `json`. Raises `BadRequest`."""
    alt = "json"
    for name, value, _ in _pairs(query):
        if name in ("alt", "$alt"):
            alt = value
        elif name in ("fields", "$fields", "callback", "$callback"):
            raise BadRequest(
                "unsupported_parameter",
                "The answer is served whole, because its duties are done on all of it. Leave fields and callback out.",
                param="fields",
            )
    if alt not in ("json", "sse"):
        raise BadRequest("unsupported_parameter", "alt must be json or sse.", param="alt")
    return alt


def _query(query: str, *, has_alt: bool) -> str:
    """What of the query goes on to the model."""
    kept = [spelt for name, _, spelt in _pairs(query) if name in _FORWARDED and name != "alt"]
    if has_alt and _alt(query) == "sse":
        kept.append("alt=sse")
    return "?" + "&".join(kept) if kept else ""


def _either(document: Mapping[str, Any], camel: str, snake: str) -> Any:
    value = document.get(camel)
    return document.get(snake) if value is None else value


def _prompt(path: str, document: dict[str, Any]) -> GeminiPrompt:
    texts: list[PromptText] = []
    has_media = False
    for key in ("systemInstruction", "system_instruction"):
        if document.get(key) is not None:
            has_media |= _read_content(document[key], key, "system", texts)
    for position, content in enumerate(typed(document, "contents", list) or ()):
        has_media |= _read_content(content, f"contents.{position}", "", texts)
    skipped = {"contents", "systemInstruction", "system_instruction", "generateContentRequest"}
    add_members(document, "", "system", texts, _NOT_PROMPT | skipped | {"generate_content_request"})
    config = _either(document, "generationConfig", "generation_config")
    _check_served(document, config)
    return GeminiPrompt(
        model=path.rpartition("/")[2].partition(":")[0],
        stream=False,
        texts=texts,
        body=document,
        is_structured=_is_structured(config),
        has_media=has_media,
    )


def _check_served(document: Mapping[str, Any], config: Any) -> None:
    """Raises `BadRequest` where the answer would be one whose duties cannot be done."""
    modalities = _either(config, "responseModalities", "response_modalities") if isinstance(config, Mapping) else None
    if isinstance(modalities, list) and any(str(item).upper() != "TEXT" for item in modalities):
        raise BadRequest(
            "unsupported_modality",
            "Answers in sound or pictures are not served on this endpoint, because they could not be labelled. "
            "Ask for TEXT.",
            param="generationConfig.responseModalities",
        )
    tools = _either(document, "toolConfig", "tool_config")
    calling = _either(tools, "functionCallingConfig", "function_calling_config") if isinstance(tools, Mapping) else None
    if isinstance(calling, Mapping) and _either(
        calling, "streamFunctionCallArguments", "stream_function_call_arguments"
    ):
        raise BadRequest(
            "unsupported_parameter",
            "Arguments of function calls are served whole. Leave streamFunctionCallArguments out.",
            param="toolConfig.functionCallingConfig.streamFunctionCallArguments",
        )


def _is_structured(config: Any) -> bool:
    if not isinstance(config, Mapping):
        return False
    mime = _either(config, "responseMimeType", "response_mime_type")
    if isinstance(mime, str) and mime.lower() not in ("", "text/plain"):
        return True
    names = ("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema", "_responseJsonSchema")
    return any(config.get(name) is not None for name in names)


def _read_content(content: Any, where: str, role: str, texts: list[PromptText]) -> bool:
    """Collects the texts of one content; says whether it carries media."""
    if not isinstance(content, Mapping):
        raise BadRequest("invalid_type", f"{where} must be an object.", param=where)
    said = typed(content, "role", str, where=where) or "user"
    role = role or _ROLES.get(said, "other")
    parts = content.get("parts")
    has_media = _read_parts([parts] if isinstance(parts, Mapping) else parts, f"{where}.parts", role, texts, 0)
    if len(content) > 2:
        add_members(content, where, role, texts, ("role", "parts"))
    return has_media


def _read_parts(parts: Any, where: str, role: str, texts: list[PromptText], depth: int) -> bool:
    """A model reads the text parts of one content as one text."""
    if parts is None:
        return False
    if not isinstance(parts, list):
        raise BadRequest("invalid_type", f"{where} must be an array.", param=where)
    if depth > _DEEPEST:
        raise BadRequest("invalid_value", f"{where} is nested too deeply.", param=where)
    has_media = False
    words: list[str] = []
    for position, part in enumerate(parts):
        at = f"{where}.{position}"
        if not isinstance(part, Mapping):
            raise BadRequest("invalid_type", f"{at} must be an object.", param=at)
        text = typed(part, "text", str, where=at)
        if text:
            words.append(text)
        if len(part) > 1 or text is None:
            has_media |= _read_members(part, at, role, texts, depth)
    if words:
        texts.append(PromptText(where, role, "".join(words)))
    return has_media


def _read_members(part: Mapping[str, Any], where: str, role: str, texts: list[PromptText], depth: int) -> bool:
    has_media = False
    read = {"text"}
    for key in ("inlineData", "inline_data"):
        if isinstance(part.get(key), Mapping):
            read.add(key)
            has_media |= _read_inline(part[key], f"{where}.{key}", role, texts)
    for key in ("functionResponse", "function_response"):
        response = part.get(key)
        if isinstance(response, Mapping) and response.get("parts") is not None:
            read.add(key)
            has_media |= _read_parts(response["parts"], f"{where}.{key}.parts", role, texts, depth + 1)
            add_members(response, f"{where}.{key}", role, texts, _NOT_TEXT | {"parts"})
    has_media |= "fileData" in part or "file_data" in part
    add_members(part, where, role, texts, _NOT_TEXT | read)
    return has_media


def _read_inline(inline: Mapping[str, Any], where: str, role: str, texts: list[PromptText]) -> bool:
    """Collects the text of a text file; says whether it is media instead."""
    try:
        text = decoded_text(_either(inline, "mimeType", "mime_type"), inline.get("data"))
    except ValueError:
        raise BadRequest("invalid_value", f"{where}.data must be base64.", param=f"{where}.data") from None
    if text is not None:
        texts.append(PromptText(f"{where}.data", role, text))
    add_members(inline, where, role, texts, _NOT_TEXT | {"data"})
    return text is None
