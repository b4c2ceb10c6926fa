# SPDX-License-Identifier: Apache-2.0
"""What the sample model reads of a request: OpenAI's chat completions, checked as the real API checks them.

What must hold: wrong input is a `SampleError` that names the field and never its value, so that an error can be logged
and shown; what the sample does not look at is not refused, because a real API has more fields than this one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from gateway.sample_schema import UnfitSchema, instance

T = TypeVar("T")

MODEL_ID: Final = "dutybound-sample"
MAX_CHOICES: Final = 128
ANY_OBJECT: Final = object()
"""Stands for JSON mode without a schema: the fixed answer inside a JSON object."""

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN_CHARACTER = re.compile(f"[{_HAN}]")
_TOKEN = re.compile(rf"\s*(?:[{_HAN}]|[A-Za-z0-9_]+|\S)|\s+")
_ASKS_FOR_TOOL = re.compile(r"\btools?\b|工具|调用", re.IGNORECASE)
_EFFORTS = frozenset(("none", "minimal", "low", "medium", "high", "xhigh", "max"))
_ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))
_PARTS = {"text": "text", "refusal": "refusal", "image_url": "image_url", "input_audio": "input_audio", "file": "file"}
_KINDS: Final[dict[type, str]] = {bool: "true or false", str: "a string", dict: "an object", list: "a list"}


class SampleError(Exception):
    """A request the sample cannot answer, as OpenAI's error format says it. Holds no text of the prompt."""

    def __init__(self, message: str, param: str | None = None, *, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.document = {
            "error": {"message": message, "type": "invalid_request_error", "param": param, "code": code},
        }


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client offers; `parameters` is its JSON Schema."""

    name: str
    parameters: Any


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as far as the sample looks at it. `schema` is None for plain text; `called` are the tools to call."""

    language: str
    prompt_tokens: int
    counts: Mapping[str, int]
    follows_tool: bool
    choices: int
    streams: bool
    includes_usage: bool
    max_tokens: int | None
    stops: tuple[str, ...]
    schema: Any
    called: tuple[Tool, ...]
    reasons: bool
    top_logprobs: int | None


def tokens(text: str) -> tuple[str, ...]:
    """The text in pieces: a Chinese character, a word or a sign each, with the white space before it.

    The pieces together are the text again.
    """
    return tuple(match.group() for match in _TOKEN.finditer(text))


def read(body: bytes) -> Ask:
    """The request in `body`. Raises `SampleError` with status 400."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise SampleError("Expected the body to be JSON in UTF-8.", code="invalid_json") from None
    if not isinstance(request, dict):
        raise SampleError("Expected the body to be a JSON object.")
    if not _of(request, "model", str, ""):
        raise SampleError(f"Expected a model, for example {MODEL_ID}.", "model", code="missing_required_parameter")
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise SampleError("Expected a list with at least one message.", "messages")
    texts, images, last_user = _prompt(messages)
    streams = _of(request, "stream", bool, False)
    options = _of(request, "stream_options", dict, {})
    if options and not streams:
        raise SampleError("stream_options is only allowed with stream: true.", "stream_options")
    _in_range(request, "temperature", 0, 2)
    _in_range(request, "top_p", 0, 1)
    effort = _of(request, "reasoning_effort", str, "none")
    if effort not in _EFFORTS:
        raise SampleError(f"Expected one of {', '.join(sorted(_EFFORTS))}.", "reasoning_effort", code="invalid_value")
    follows_tool = messages[-1]["role"] == "tool"
    return Ask(
        language="zh" if _HAN_CHARACTER.search(last_user) else "en",
        prompt_tokens=sum(len(tokens(text)) for text in texts) + 4 * len(messages),
        counts={
            "messages": len(messages),
            "characters": len(texts[-1]) if follows_tool and texts else sum(map(len, texts)),
            "images": images,
        },
        follows_tool=follows_tool,
        choices=_whole(request, "n", 1, MAX_CHOICES) or 1,
        streams=streams,
        includes_usage=_of(options, "include_usage", bool, False, "stream_options."),
        max_tokens=_whole(request, "max_completion_tokens", 1, 1 << 31) or _whole(request, "max_tokens", 1, 1 << 31),
        stops=_stops(request.get("stop")),
        schema=_schema(_of(request, "response_format", dict, {"type": "text"})),
        called=_called(request, last_user, follows_tool),
        reasons=effort != "none",
        top_logprobs=_logprobs(request),
    )


def _prompt(messages: list[Any]) -> tuple[list[str], int, str]:
    """All texts of the messages, how many images they hold, and the text of the last message of a user."""
    texts: list[str] = []
    images = 0
    last_user = ""
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        if not isinstance(message, dict):
            raise SampleError("Expected a message to be an object.", where)
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise SampleError(f"Expected one of {', '.join(sorted(_ROLES))}.", f"{where}.role", code="invalid_value")
        if role == "tool" and not isinstance(message.get("tool_call_id"), str):
            raise SampleError("Expected a tool message to name its tool_call_id.", f"{where}.tool_call_id")
        content = message.get("content")
        if content is None and role == "assistant":
            continue
        own: list[str] = []
        if isinstance(content, str):
            own.append(content)
        elif isinstance(content, list) and content:
            for number, part in enumerate(content):
                text = _part(part, f"{where}.content[{number}]")
                images += isinstance(part, dict) and part.get("type") == "image_url"
                own.append(text)
        else:
            raise SampleError("Expected a string or a list of content parts.", f"{where}.content")
        texts.extend(own)
        if role == "user":
            last_user = "\n".join(own)
    return texts, images, last_user


def _part(part: Any, where: str) -> str:
    """The text of a content part; empty for a picture, a sound or a file."""
    kind = part.get("type") if isinstance(part, dict) else None
    key = _PARTS.get(kind) if isinstance(kind, str) else None
    if key is None:
        raise SampleError(f"Expected one of {', '.join(_PARTS)}.", f"{where}.type", code="invalid_value")
    value = part.get(key)
    if key in ("text", "refusal"):
        if not isinstance(value, str):
            raise SampleError("Expected a string.", f"{where}.{key}", code="invalid_type")
        return value
    if not isinstance(value, dict):
        raise SampleError("Expected an object.", f"{where}.{key}", code="invalid_type")
    if key == "image_url" and not isinstance(value.get("url"), str):
        raise SampleError("Expected a URL or a data: URL.", f"{where}.image_url.url", code="invalid_type")
    return ""


def _of(holder: Mapping[str, Any], key: str, kind: type[T], default: T, prefix: str = "") -> T:
    value = holder.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise SampleError(f"Expected {_KINDS[kind]}.", prefix + key, code="invalid_type")
    return value


def _whole(request: Mapping[str, Any], key: str, least: int, most: int) -> int | None:
    value = request.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SampleError(f"Expected a whole number from {least} to {most}.", key, code="invalid_value")
    return value


def _in_range(request: Mapping[str, Any], key: str, least: float, most: float) -> None:
    value = request.get(key)
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise SampleError(f"Expected a number from {least} to {most}.", key, code="invalid_value")


def _logprobs(request: Mapping[str, Any]) -> int | None:
    wanted = _of(request, "logprobs", bool, False)
    top = _whole(request, "top_logprobs", 0, 20)
    if top is not None and not wanted:
        raise SampleError("top_logprobs needs logprobs: true.", "top_logprobs")
    return (top or 0) if wanted else None


def _stops(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(stop, str) and stop for stop in stops):
        raise SampleError("Expected a string or a list of at most 4 strings, none empty.", "stop", code="invalid_value")
    return tuple(stops)


def _schema(response_format: Mapping[str, Any]) -> Any:
    """The schema an answer must fit, None where plain text is wanted."""
    kind = response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return ANY_OBJECT
    if kind != "json_schema":
        raise SampleError("Expected text, json_object or json_schema.", "response_format.type", code="invalid_value")
    wanted = response_format.get("json_schema")
    if not isinstance(wanted, dict) or not isinstance(wanted.get("name"), str):
        raise SampleError("Expected an object with a name and a schema.", "response_format.json_schema")
    schema = wanted.get("schema", {"type": "object"})
    fitted(schema, "response_format.json_schema.schema")
    return schema


def fitted(schema: object, param: str) -> str:
    """An instance of `schema` as JSON text. Raises `SampleError` for `param` where the sample cannot make one."""
    try:
        return orjson.dumps(instance(schema)).decode()
    except (UnfitSchema, TypeError) as error:
        raise SampleError(f"Expected a schema that the sample model can fit: {error}", param) from None


def _called(request: Mapping[str, Any], last_user: str, follows_tool: bool) -> tuple[Tool, ...]:
    """The tools this request makes the sample call: those it must, or those the prompt asks for."""
    tools: list[Tool] = []
    for at, offered in enumerate(_of(request, "tools", list, [])):
        where = f"tools[{at}]"
        function = offered.get("function") if isinstance(offered, dict) and offered.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise SampleError("Expected a function tool with a name.", f"{where}.function.name")
        tool = Tool(function["name"], function.get("parameters") or {"type": "object", "properties": {}})
        fitted(tool.parameters, f"{where}.function.parameters")
        tools.append(tool)
    choice = request.get("tool_choice", "auto" if tools else "none")
    if choice == "none" or choice is None:
        return ()
    if choice not in ("auto", "required") and not isinstance(choice, dict):
        raise SampleError("Expected none, auto, required or a function.", "tool_choice", code="invalid_value")
    if not tools:
        raise SampleError("tool_choice needs tools.", "tool_choice")
    if isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        named = [tool for tool in tools if tool.name == name]
        if not named:
            raise SampleError("Expected the name of one of the tools.", "tool_choice.function.name")
        return (named[0],)
    if choice == "required":
        return (tools[0],)
    if follows_tool:
        return ()
    named = [tool for tool in tools if tool.name in last_user]
    if named:
        return tuple(named) if _of(request, "parallel_tool_calls", bool, True) else (named[0],)
    return (tools[0],) if _ASKS_FOR_TOOL.search(last_user) else ()
