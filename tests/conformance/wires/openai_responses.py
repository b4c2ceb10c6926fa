# SPDX-License-Identifier: Apache-2.0
"""OpenAI Responses, read by the `openai` SDK."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import openai

from tests.conformance.model import TOOL_NAME, Answer, Asked, Can, Channel, Piece, Request, Said, Told
from tests.conformance.wires.replay import Replay

BASE: dict[str, Any] = {
    "id": "resp_conformance", "object": "response", "created_at": 1_700_000_000, "status": "in_progress",
    "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "model": "m", "output": [],
    "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": None,
}  # fmt: skip
USAGE = {
    "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2,
}  # fmt: skip
_PARTS = {
    Channel.ANSWER: ("response.output_text", "output_text"),
    Channel.REASONING: ("response.reasoning_text", "reasoning_text"),
}


def _item(channel: Channel, text: str, number: int) -> dict[str, Any]:
    status = {"status": "completed"}
    if channel is Channel.TOOL:
        call = {"id": f"fc_{number}", "type": "function_call", "call_id": "call_1", "name": TOOL_NAME}
        return {**call, "arguments": text, **status}
    if channel is Channel.REASONING:
        content = [{"type": "reasoning_text", "text": text}]
        return {"id": f"rs_{number}", "type": "reasoning", "summary": [], "content": content, **status}
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": [part], **status}


class OpenAIResponses:
    """`POST /v1/responses`."""

    name = "openai_responses"
    sdk = "openai"
    can = frozenset(Can) - {Can.CHOICES}

    def __init__(self) -> None:
        self._replay = Replay()
        self._client = openai.OpenAI(
            base_url="http://gateway/v1", api_key="x", max_retries=0, http_client=self._replay.client
        )

    def request(self, asked: Asked) -> Request:
        """See `Wire`."""
        items: list[dict[str, Any]] = []
        if asked.earlier is not None:
            items.append({"role": "user", "content": asked.earlier[0]})
            items.append({"role": "assistant", "content": asked.earlier[1]})
        content: Any = asked.prompt
        if asked.parts:
            content = [{"type": "input_text", "text": text} for text in (asked.prompt, *asked.parts)]
        items.append({"role": "user", "content": content})
        if asked.tool_result:
            items.append({"type": "function_call", "call_id": "call_1", "name": TOOL_NAME, "arguments": "{}"})
            items.append({"type": "function_call_output", "call_id": "call_1", "output": asked.tool_result})
        body: dict[str, Any] = {"model": "m", "input": items, "stream": asked.stream}
        if asked.system:
            body["instructions"] = asked.system
        if asked.as_json:
            body["text"] = {"format": {"type": "json_object"}}
        if asked.with_tool:
            schema = {"type": "object", "properties": {"q": {"type": "string"}}}
            body["tools"] = [{"type": "function", "name": TOOL_NAME, "parameters": schema, "strict": False}]
        return Request("/v1/responses", body, {"Authorization": "Bearer conformance"})

    def tell(self, asked: Asked, said: Said) -> Told:
        """See `Wire`."""
        groups = [(channel, list(pieces)) for channel, pieces in groupby(said.pieces, lambda piece: piece.channel)]
        items = [_item(channel, "".join(p.text for p in pieces), at) for at, (channel, pieces) in enumerate(groups)]
        whole = {**BASE, "status": "completed", "output": items, "usage": USAGE}
        if not asked.stream:
            return Told((said.dumps(whole).encode(),), "application/json")
        events: list[dict[str, Any]] = [
            {"type": f"response.{kind}", "response": BASE} for kind in ("created", "in_progress")
        ]
        for index, ((channel, pieces), item) in enumerate(zip(groups, items, strict=True)):
            events += self._events(index, channel, pieces, item)
        events.append({"type": "response.completed", "response": whole})
        frames = (
            f"event: {event['type']}\ndata: {said.dumps({**event, 'sequence_number': number})}\n\n".encode()
            for number, event in enumerate(events)
        )
        return Told(tuple(frames), "text/event-stream")

    @staticmethod
    def _events(index: int, channel: Channel, pieces: list[Piece], item: dict[str, Any]) -> list[dict[str, Any]]:
        at = {"output_index": index, "item_id": item["id"]}
        begun = {**item, "status": "in_progress"}
        done = {"type": "response.output_item.done", "output_index": index, "item": item}
        if channel is Channel.TOOL:
            kind = "response.function_call_arguments"
            return [
                {"type": "response.output_item.added", "output_index": index, "item": {**begun, "arguments": ""}},
                *({"type": f"{kind}.delta", **at, "delta": piece.text} for piece in pieces),
                {"type": f"{kind}.done", **at, "name": TOOL_NAME, "arguments": item["arguments"]},
                done,
            ]
        kind, part_type = _PARTS[channel]
        at = {**at, "content_index": 0}
        part = item["content"][0]
        logprobs: dict[str, Any] = {"logprobs": []} if part_type == "output_text" else {}
        return [
            {"type": "response.output_item.added", "output_index": index, "item": {**begun, "content": []}},
            {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
            *({"type": f"{kind}.delta", **at, "delta": piece.text, **logprobs} for piece in pieces),
            {"type": f"{kind}.done", **at, "text": part["text"], **logprobs},
            {"type": "response.content_part.done", **at, "part": part},
            done,
        ]

    def read(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `Wire`. What the deltas say and what the last snapshot says must agree."""
        self._replay.put(status, headers, body)
        answer = Answer()
        try:
            if asked.stream:
                self._stream(answer)
            else:
                self._whole(answer, self._client.responses.create(model="m", input="x"))
        except openai.APIError as error:
            answer.error = f"{type(error).__name__}: {error}"
        except Exception as error:  # whatever it is, it is the finding
            answer.fault = f"{type(error).__name__}: {error}"
        return answer

    def _stream(self, answer: Answer) -> None:
        last = None
        said = Answer()
        events: Any = self._client.responses.create(model="m", input="x", stream=True)
        for event in events:
            kind = event.type
            if kind == "response.output_text.delta":
                said.add(0, Channel.ANSWER, event.delta)
            elif kind == "response.reasoning_text.delta":
                said.add(0, Channel.REASONING, event.delta)
            elif kind == "response.function_call_arguments.delta":
                said.add(0, Channel.TOOL, event.delta)
            elif kind in ("response.completed", "response.incomplete", "response.failed"):
                last = event.response
        answer.texts = said.texts
        if last is None:
            return
        whole = Answer()
        self._whole(whole, last)
        answer.ends, answer.is_stopped, answer.error = whole.ends, whole.is_stopped, whole.error
        if whole.texts != said.texts:
            answer.fault = "the last snapshot says something else than the deltas before it"

    @staticmethod
    def _whole(answer: Answer, response: Any) -> None:
        for item in response.output:
            if item.type == "message":
                for part in item.content:
                    answer.add(0, Channel.ANSWER, getattr(part, "text", None))
            elif item.type == "reasoning":
                for part in item.content or ():
                    answer.add(0, Channel.REASONING, part.text)
            elif item.type == "function_call":
                answer.add(0, Channel.TOOL, item.arguments)
        reason = response.incomplete_details.reason if response.incomplete_details else ""
        answer.ends[0] = reason or response.status
        answer.is_stopped = reason == "content_filter"
        if response.status == "failed":
            answer.error = "the response failed"
