# SPDX-License-Identifier: Apache-2.0
"""Requests of the OpenAI Responses API: every text that a model will read, and what cannot be served.

Items of all kinds are read alike: text parts of one item are one text, files that hold text are decoded, and every
other string is a text of its own, keys included, unless the wire says that it only names something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from gateway.exchange import Prompt, PromptText
from gateway.wires.base64_text import decoded
from gateway.wires.interfaces import BadRequest
from gateway.wires.openai_responses_parts import CONTENT_KINDS, KINDS, asks_for_structure
from gateway.wires.request import add_members, add_strings, read_object, typed

_NOT_PROMPT = frozenset(
    {
        "model", "stream", "stream_options", "background", "background_options", "conversation", "include",
        "max_output_tokens", "max_tool_calls", "metadata", "moderation", "parallel_tool_calls", "previous_response_id",
        "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "service_tier",
        "store", "temperature", "top_logprobs", "top_p", "truncation", "user",
    }
)  # fmt: skip
"""Top-level members that no model reads as text."""

_NAMES = frozenset({"type", "id", "status", "role", "call_id", "encrypted_content", "phase", "approval_request_id"})
"""Members of items that name things, or that only the upstream can read."""

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_TEXT_PARTS: Mapping[str, str] = {
    "input_text": "text",
    "text": "text",
    **{kind: KINDS[name].member for kind, name in CONTENT_KINDS.items()},
}
"""Types of parts, and the member that holds their text."""


def read_prompt(body: bytes) -> Prompt:
    """The request as a prompt. Raises `BadRequest`."""
    document = read_object(body)
    model = typed(document, "model", str)
    stream = bool(typed(document, "stream", bool))
    typed(document, "background", bool)
    typed(document, "previous_response_id", str)
    if model is None and document.get("prompt") is None:
        raise BadRequest("missing_required_parameter", "model is required.", param="model")
    texts: list[PromptText] = []
    has_media = False
    for key in ("instructions", "input"):
        value = document.get(key)
        if isinstance(value, list):
            for position, item in enumerate(value):
                has_media |= read_item(item, f"{key}.{position}", texts)
        elif isinstance(value, str):
            texts.append(PromptText(key, "system" if key == "instructions" else "user", value))
        elif value is not None:
            raise BadRequest("invalid_type", f"{key} must be a string or an array.", param=key)
    prompt = typed(document, "prompt", dict)
    if prompt is not None:
        has_media |= _read_template(prompt, texts)
    add_members(document, "", "system", texts, _NOT_PROMPT | {"instructions", "input", "prompt"})
    return Prompt(
        model=model or "",
        stream=stream,
        texts=texts,
        body=document,
        is_structured=asks_for_structure(document),
        has_media=has_media,
    )


def _read_template(prompt: Mapping[str, Any], texts: list[PromptText]) -> bool:
    """The variables of a stored prompt; its own words stand at the upstream."""
    variables = typed(prompt, "variables", dict, where="prompt")
    has_media = False
    for position, (name, value) in enumerate((variables or {}).items()):
        where = f"prompt.variables.{position}"
        texts.append(PromptText(f"{where}.key", "user", name))
        if isinstance(value, str):
            texts.append(PromptText(where, "user", value))
        else:
            has_media |= _read_parts([value], where, "user", texts)
    add_members(prompt, "prompt", "user", texts, {"id", "version", "variables"})
    return has_media


def read_item(item: Any, where: str, texts: list[PromptText]) -> bool:
    """Collects the texts of one input item; says whether it carries media. Raises `BadRequest`."""
    if not isinstance(item, Mapping):
        raise BadRequest("invalid_type", f"{where} must be an object.", param=where)
    kind = item.get("type", "message")
    if not isinstance(kind, str):
        raise BadRequest("invalid_type", f"{where}.type must be a string.", param=f"{where}.type")
    if kind == "message" and not isinstance(item.get("role"), str):
        raise BadRequest("invalid_type", f"{where}.role must be a string.", param=f"{where}.role")
    role = item.get("role") or ("tool" if kind.endswith("_output") else "assistant")
    role = role if role in _ROLES else "other"
    read = set(_NAMES)
    has_media = False
    if kind == "image_generation_call":
        read.add("result")  # a picture of an earlier turn, in base64
        has_media = bool(item.get("result"))
    for member in ("content", "summary", "output"):
        value = item.get(member)
        if isinstance(value, str):
            texts.append(PromptText(f"{where}.{member}", role, value))
        elif isinstance(value, list):
            has_media |= _read_parts(value, f"{where}.{member}", role, texts)
        elif isinstance(value, Mapping):
            has_media |= _read_parts([value], f"{where}.{member}", role, texts)
        elif value is not None:
            raise BadRequest("invalid_type", f"{where}.{member} must be a string or an array.", param=where)
        read.add(member)
    if not item.keys() <= read:
        add_members(item, where, role, texts, read)
    return has_media


def _read_parts(parts: list[Any], where: str, role: str, texts: list[PromptText]) -> bool:
    """Collects the texts of content parts. A model reads them as one text, so a word cut in two is still that word."""
    words: list[str] = []
    has_media = False
    for position, part in enumerate(parts):
        at = f"{where}.{position}"
        if not isinstance(part, Mapping):
            raise BadRequest("invalid_type", f"{at} must be an object.", param=at)
        kind = part.get("type")
        read = {"type"}
        member = _TEXT_PARTS.get(kind) if isinstance(kind, str) else None
        if member is not None:
            words.append(typed(part, member, str, where=at, required=True))
            read.add(member)
        for key in ("image_url", "input_audio", "file_data"):
            value = part.get(key)
            if isinstance(value, str) and (key == "file_data" or value.startswith("data:")):
                read.add(key)
                text = _file_text(value)
                has_media |= text is None
                if text is not None:
                    texts.append(PromptText(f"{at}.{key}", role, text))
            elif key == "input_audio" and isinstance(value, Mapping):
                read.add(key)
                has_media = True
                for name in value.keys() - {"data", "format"}:
                    add_strings(value[name], f"{at}.{key}", role, texts)
            elif value is not None:
                has_media = True
        has_media |= "file_id" in part
        if not part.keys() <= read:
            add_members(part, at, role, texts, read | {"file_id"})
    if words:
        texts.append(PromptText(where, role, "".join(words)))
    return has_media


def _file_text(data: str) -> str | None:
    """The text of a file that travels in base64 (RFC 4648), bare or as a data URL; None where it is no text."""
    mime = ""
    if data.startswith("data:"):
        mime, _, data = data[len("data:") :].partition(",")
        if not mime.endswith(";base64"):
            return unquote(data)
        if mime.startswith(("image/", "audio/", "video/")) and not mime.startswith("image/svg"):
            return None
    try:
        raw = decoded(data)
    except ValueError:
        return data  # no base64: whatever it is, it is read as it stands
    is_text = mime.startswith("text/")
    for encoding in ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030"):
        if encoding == "gb18030" and not is_text:
            continue  # nearly any bytes are GB 18030: only a file that says it is text is read so
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if is_text or "\x00" not in text:
            return text
    return None
