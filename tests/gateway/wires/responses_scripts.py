# SPDX-License-Identifier: Apache-2.0
"""What an upstream of the Responses wire says, and what a client must have got.

`checked` reads what the client got as strictly as the SDK's own types allow, and holds the wire's promise of this
gateway: whatever place says a text, deltas, `.done` events, items and snapshot, says the same.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.events import Attached, End, Event, Finish, TextDelta, Usage
from gateway.exchange import Exchange
from gateway.wires.openai_responses import (
    PATH,
    OpenAIResponses,
)
from tests.gateway.wires.driver import answer, ask, pieces

WIRE = OpenAIResponses()
STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
WORDS = "【回答已停止"
BASE: dict[str, Any] = {
    "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": "in_progress", "error": None,
    "incomplete_details": None, "instructions": None, "metadata": {}, "model": "m", "output": [],
    "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
    "text": {"format": {"type": "text"}}, "usage": None,
}  # fmt: skip
USAGE = {
    "input_tokens": 11, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 18,
}  # fmt: skip


# ---- an upstream's own words


def message(*said: str, name: str = "msg_1") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []} for text in said]
    return {"id": name, "type": "message", "status": "completed", "role": "assistant", "content": content}


def refusal(text: str) -> dict[str, Any]:
    content = [{"type": "refusal", "refusal": text}]
    return {"id": "msg_r", "type": "message", "status": "completed", "role": "assistant", "content": content}


def reasoning(summary: str, text: str = "") -> dict[str, Any]:
    item: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": summary}]}
    if text:
        item["content"] = [{"type": "reasoning_text", "text": text}]
    return {**item, "status": "completed"}


def call(arguments: str, name: str = "look_up") -> dict[str, Any]:
    item = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": name, "arguments": arguments}
    return {**item, "status": "completed"}


TOOLS: dict[str, tuple[str, str]] = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "mcp_call": ("response.mcp_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
    "code_interpreter_call": ("response.code_interpreter_call_code", "code"),
}
PARTS: dict[str, tuple[str, str, str]] = {
    "output_text": ("response.output_text", "content_index", "text"),
    "refusal": ("response.refusal", "content_index", "refusal"),
    "reasoning_text": ("response.reasoning_text", "content_index", "text"),
    "summary_text": ("response.reasoning_summary_text", "summary_index", "text"),
}


def whole(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A complete response."""
    return {**BASE, "status": "completed", "output": list(items), "usage": USAGE, **more}


def told(
    *items: dict[str, Any], split: int = 1, base: dict[str, Any] | None = None, end: str = "completed", first: int = 0
) -> list[dict[str, Any]]:
    """The events with which OpenAI streams `items`, `split` characters a delta."""
    base = base or BASE
    events: list[dict[str, Any]] = [
        {"type": f"response.{kind}", "response": base} for kind in ("created", "in_progress")
    ]
    for index, item in enumerate(items):
        at = {"output_index": index}
        begun = {**item, "status": "in_progress"}
        for member in ("content", "summary"):
            if member in item:
                begun[member] = []
        event, member = TOOLS.get(item["type"], ("", ""))
        if event:
            begun[member] = ""
        events.append({"type": "response.output_item.added", **at, "item": begun})
        at["item_id"] = item["id"]
        if event:
            events += [{"type": f"{event}.delta", **at, "delta": piece} for piece in cut(item[member], split)]
            events.append({"type": f"{event}.done", **at, member: item[member]})
        for part, place in (
            (part, place) for key in ("summary", "content") for place, part in enumerate(item.get(key, []))
        ):
            event, number, member = PARTS[part["type"]]
            here = {**at, number: place}
            kind = "reasoning_summary_part" if number == "summary_index" else "content_part"
            logprobs = {"logprobs": []} if part["type"] == "output_text" else {}
            events.append({"type": f"response.{kind}.added", **here, "part": {**part, member: ""}})
            events += [
                {"type": f"{event}.delta", **here, "delta": piece, **logprobs} for piece in cut(part[member], split)
            ]
            events.append({"type": f"{event}.done", **here, member: part[member], **logprobs})
            events.append({"type": f"response.{kind}.done", **here, "part": part})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    response = {**base, "status": end, "output": list(items), "usage": USAGE}
    events.append({"type": f"response.{end}", "response": response})
    return [{**event, "sequence_number": number} for number, event in enumerate(events, first)]


def cut(text: str, split: int) -> list[str]:
    return [text[at : at + split] for at in range(0, len(text), split)]


def sse(events: list[dict[str, Any]]) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events)


# ---- what the client got


def stream(**more: Any) -> Exchange:
    return ask(WIRE, PATH, orjson.dumps({"model": "m", "input": "你好", "stream": True, **more}))


def plain(**more: Any) -> Exchange:
    return ask(WIRE, PATH, orjson.dumps({"model": "m", "input": "你好", **more}))


def events_of(body: bytes) -> list[dict[str, Any]]:
    found = []
    for block in body.decode().split("\n\n"):
        if block and not block.startswith(":"):
            name, data = re.fullmatch(r"event: (.+)\ndata: (.+)", block).groups()  # type: ignore[union-attr]
            event = json.loads(data)
            assert event["type"] == name
            found.append(event)
    return found


def checked(body: bytes, *, first: int = 0) -> list[dict[str, Any]]:
    """The events, after every promise about them was held against them."""
    events = events_of(body)
    assert [event["sequence_number"] for event in events] == list(range(first, first + len(events)))
    for event in events:
        STREAM_EVENT.validate_python(event)
    assert set(events[0]["aigc"]) >= {"Label", "ContentProducer", "ProduceID"}
    assert events[-1]["aigc"] == events[0]["aigc"] == events[-1]["response"]["aigc"]
    deltas: dict[Any, str] = {}
    for event in events:
        kind, _, what = event["type"].rpartition(".")
        key = (kind, event.get("output_index"), event.get("content_index", event.get("summary_index")))
        if what == "delta":
            deltas[key] = deltas.get(key, "") + event["delta"]
        elif what == "done" and key in deltas:
            member = next(name for name in ("text", "refusal", "arguments", "input", "code") if name in event)
            assert event[member] == deltas[key], key
    done = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    output = events[-1]["response"]["output"]
    assert [done[index] for index in sorted(done)] == output
    for event in events:
        if event["type"] in ("response.content_part.done", "response.reasoning_summary_part.done"):
            member = "summary" if "summary_index" in event else "content"
            place = event.get("summary_index", event.get("content_index"))
            assert done[event["output_index"]][member][place] == event["part"]
    for (kind, index, place), text in deltas.items():
        assert text in texts_of(done[index], place), (kind, index, place)
    return events


def texts_of(item: dict[str, Any], place: int | None = None) -> list[str]:
    """The texts of an output item, of one of its parts where `place` says which."""
    if place is None:
        return [item[key] for key in ("arguments", "input", "code") if key in item]
    parts = [part for key in ("content", "summary") for at, part in enumerate(item.get(key) or []) if at == place]
    return [part.get("text", part.get("refusal")) for part in parts]


def output_text(response: dict[str, Any]) -> str:
    """As the SDK's `output_text`."""
    return Response.model_validate(response).output_text


def said(events: list[dict[str, Any]], kind: str = "response.output_text") -> str:
    return "".join(event["delta"] for event in events if event["type"] == f"{kind}.delta")


def streamed(*items: dict[str, Any], split: int = 1, cuts: tuple[int, ...] = (), **more: Any) -> list[dict[str, Any]]:
    """What becomes of a stream of `items`."""
    return checked(answer(WIRE, stream(**more), pieces(sse(told(*items, split=split)), cuts)).body)


def shapes(events: list[Event]) -> list[tuple[Any, ...]]:
    """Events without what stands behind them, for comparison; texts of one lane joined."""
    out: list[tuple[Any, ...]] = []
    for event in events:
        if isinstance(event, TextDelta):
            out.append(("text", event.lane, event.text))
        elif isinstance(event, Attached):
            out.append(("attached", event.texts))
        elif isinstance(event, Finish):
            out.append(("finish", event.choice))
        elif isinstance(event, Usage):
            out.append(("usage", event.input_tokens, event.output_tokens))
        elif isinstance(event, End):
            out.append(("end",))
    return out


ITEMS = (
    reasoning("想一想。", "😀 多想一会儿。"),
    message("今天天气很好。", "第二部分 👍🏽。"),
    call('{"city":"北京"}'),
    refusal("不能。"),
)
