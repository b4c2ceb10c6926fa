# SPDX-License-Identifier: Apache-2.0
"""Anthropic Messages, read by the `anthropic` SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import anthropic
import httpx2

from tests.conformance.model import TOOL_NAME, Answer, Asked, Can, Channel, Request, Said, Told
from tests.conformance.wires.replay import Replay

MESSAGE: dict[str, Any] = {
    "id": "msg_conformance", "type": "message", "role": "assistant", "model": "m", "content": [],
    "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip
_BLOCKS: dict[Channel, tuple[dict[str, Any], str, str]] = {
    Channel.ANSWER: ({"type": "text", "text": ""}, "text_delta", "text"),
    Channel.REASONING: ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking"),
    Channel.TOOL: (
        {"type": "tool_use", "id": "toolu_1", "name": TOOL_NAME, "input": {}}, "input_json_delta", "partial_json",
    ),
}  # fmt: skip


class AnthropicMessages:
    """`POST /v1/messages`."""

    name = "anthropic_messages"
    sdk = "anthropic"
    can = frozenset(Can) - {Can.CHOICES, Can.JSON}

    def __init__(self) -> None:
        self._replay = Replay(httpx2)
        self._client = anthropic.Anthropic(
            base_url="http://gateway", api_key="x", max_retries=0, http_client=self._replay.client
        )

    def request(self, asked: Asked) -> Request:
        """See `Wire`."""
        messages: list[dict[str, Any]] = []
        if asked.earlier is not None:
            messages.append({"role": "user", "content": asked.earlier[0]})
            messages.append({"role": "assistant", "content": asked.earlier[1]})
        content: Any = asked.prompt
        if asked.parts:
            content = [{"type": "text", "text": text} for text in (asked.prompt, *asked.parts)]
        messages.append({"role": "user", "content": content})
        if asked.tool_result:
            use = {"type": "tool_use", "id": "toolu_1", "name": TOOL_NAME, "input": {}}
            result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": asked.tool_result}
            messages += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        body: dict[str, Any] = {"model": "m", "max_tokens": 256, "messages": messages, "stream": asked.stream}
        if asked.system:
            body["system"] = asked.system
        if asked.with_tool:
            schema = {"type": "object", "properties": {"q": {"type": "string"}}}
            body["tools"] = [{"name": TOOL_NAME, "description": "looks it up", "input_schema": schema}]
        return Request("/v1/messages", body, {"x-api-key": "conformance", "anthropic-version": "2023-06-01"})

    def tell(self, asked: Asked, said: Said) -> Told:
        """See `Wire`."""
        groups = [(channel, [p.text for p in pieces]) for channel, pieces in groupby(said.pieces, lambda p: p.channel)]
        end = "tool_use" if said.calls_tool() else "end_turn"
        if not asked.stream:
            blocks = []
            for channel, texts in groups:
                block, _, member = _BLOCKS[channel]
                text = "".join(texts)
                blocks.append(
                    {**block, "input": json.loads(text)} if channel is Channel.TOOL else {**block, member: text}
                )
            document = {**MESSAGE, "content": blocks, "stop_reason": end}
            return Told((said.dumps(document).encode(),), "application/json")
        events: list[dict[str, Any]] = [{"type": "message_start", "message": MESSAGE}]
        for index, (channel, texts) in enumerate(groups):
            block, delta, member = _BLOCKS[channel]
            at = {"index": index}
            events.append({"type": "content_block_start", **at, "content_block": block})
            events += [{"type": "content_block_delta", **at, "delta": {"type": delta, member: text}} for text in texts]
            if channel is Channel.REASONING:
                signed = {"type": "signature_delta", "signature": "c2lnbmVk"}
                events.append({"type": "content_block_delta", **at, "delta": signed})
            events.append({"type": "content_block_stop", **at})
        ended = {"stop_reason": end, "stop_sequence": None}
        events += [
            {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
        ]
        frames = (f"event: {event['type']}\ndata: {said.dumps(event)}\n\n".encode() for event in events)
        return Told(tuple(frames), "text/event-stream")

    def read(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `Wire`. A stream is put together by the SDK's own accumulator."""
        self._replay.put(status, headers, body)
        answer = Answer()
        options: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
        try:
            if not asked.stream:
                self._take(answer, self._client.messages.create(**options))
            else:
                with self._client.messages.stream(**options) as stream:
                    for event in stream:
                        if event.type != "content_block_delta":
                            continue
                        answer.add(0, Channel.ANSWER, getattr(event.delta, "text", None))
                        answer.add(0, Channel.REASONING, getattr(event.delta, "thinking", None))
                        answer.add(0, Channel.TOOL, getattr(event.delta, "partial_json", None))
                    last = stream.get_final_message()
                if last.stop_reason:
                    answer.ends[0] = last.stop_reason
                told = "".join(block.text for block in last.content if block.type == "text")
                if told != answer.text():
                    answer.fault = "the accumulated message says something else than its deltas"
        except anthropic.APIError as error:
            answer.error = f"{type(error).__name__}: {error}"
        except Exception as error:  # whatever it is, it is the finding
            answer.fault = f"{type(error).__name__}: {error}"
        answer.is_stopped = "refusal" in answer.ends.values()
        return answer

    @staticmethod
    def _take(answer: Answer, message: Any) -> None:
        for block in message.content:
            if block.type == "text":
                answer.add(0, Channel.ANSWER, block.text)
            elif block.type == "thinking":
                answer.add(0, Channel.REASONING, block.thinking)
            elif block.type == "tool_use":
                answer.add(0, Channel.TOOL, json.dumps(block.input, ensure_ascii=False))
        if message.stop_reason:
            answer.ends[0] = message.stop_reason
