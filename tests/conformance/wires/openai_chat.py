# SPDX-License-Identifier: Apache-2.0
"""OpenAI chat completions, read by the `openai` SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai

from tests.conformance.model import TOOL_NAME, Answer, Asked, Can, Channel, Request, Said, Told
from tests.conformance.wires.replay import Replay

HEAD = {"id": "chatcmpl-conformance", "created": 1_700_000_000, "model": "m"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
_MEMBERS = {Channel.ANSWER: "content", Channel.REASONING: "reasoning_content"}


def messages_of(asked: Asked) -> list[dict[str, Any]]:
    """The conversation in the form that several wires share."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": asked.system}] if asked.system else []
    if asked.earlier is not None:
        messages += [
            {"role": role, "content": text} for role, text in zip(("user", "assistant"), asked.earlier, strict=True)
        ]
    content: Any = asked.prompt
    if asked.parts:
        content = [{"type": "text", "text": text} for text in (asked.prompt, *asked.parts)]
    messages.append({"role": "user", "content": content})
    if asked.tool_result:
        call = {"id": "call_1", "type": "function", "function": {"name": TOOL_NAME, "arguments": "{}"}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": "call_1", "content": asked.tool_result})
    return messages


def tool() -> dict[str, Any]:
    """The tool that answers may call."""
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    return {"type": "function", "function": {"name": TOOL_NAME, "description": "looks it up", "parameters": schema}}


class OpenAIChat:
    """`POST /v1/chat/completions`."""

    name = "openai_chat"
    sdk = "openai"
    can = frozenset(Can)

    def __init__(self) -> None:
        self._replay = Replay()
        self._client = openai.OpenAI(
            base_url="http://gateway/v1", api_key="x", max_retries=0, http_client=self._replay.client
        )

    def request(self, asked: Asked) -> Request:
        """See `Wire`."""
        body: dict[str, Any] = {"model": "m", "messages": messages_of(asked), "stream": asked.stream}
        if asked.choices > 1:
            body["n"] = asked.choices
        if asked.as_json:
            body["response_format"] = {"type": "json_object"}
        if asked.with_tool:
            body["tools"] = [tool()]
        return Request("/v1/chat/completions", body, {"Authorization": "Bearer conformance"})

    def tell(self, asked: Asked, said: Said) -> Told:
        """See `Wire`."""
        if not asked.stream:
            choices = [self._choice(said, choice) for choice in said.choices]
            document = {**HEAD, "object": "chat.completion", "choices": choices, "usage": USAGE}
            return Told((said.dumps(document).encode(),), "application/json")
        frames = []

        def chunk(choice: int, delta: dict[str, Any], end: str | None = None) -> None:
            choices = [{"index": choice, "delta": delta, "finish_reason": end}]
            document = {**HEAD, "object": "chat.completion.chunk", "choices": choices}
            frames.append(f"data: {said.dumps(document)}\n\n".encode())

        for choice in said.choices:
            chunk(choice, {"role": "assistant", "content": ""})
        begun = set()
        for piece in said.pieces:
            if piece.channel is Channel.TOOL:
                call: dict[str, Any] = {"index": 0, "function": {"arguments": piece.text}}
                if piece.choice not in begun:
                    begun.add(piece.choice)
                    call = {**call, "id": "call_1", "type": "function"}
                    call["function"] = {"name": TOOL_NAME, "arguments": piece.text}
                chunk(piece.choice, {"tool_calls": [call]})
            else:
                chunk(piece.choice, {_MEMBERS[piece.channel]: piece.text})
        for choice in said.choices:
            chunk(choice, {}, "tool_calls" if said.calls_tool(choice) else "stop")
        return Told((*frames, b"data: [DONE]\n\n"), "text/event-stream")

    @staticmethod
    def _choice(said: Said, choice: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.text(choice) or None}
        if thought := said.text(choice, Channel.REASONING):
            message["reasoning_content"] = thought
        if said.calls_tool(choice):
            function = {"name": TOOL_NAME, "arguments": said.text(choice, Channel.TOOL)}
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        end = "tool_calls" if said.calls_tool(choice) else "stop"
        return {"index": choice, "message": message, "finish_reason": end, "logprobs": None}

    def read(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `Wire`."""
        self._replay.put(status, headers, body)
        answer = Answer()
        messages: Any = [{"role": "user", "content": "x"}]
        try:
            if asked.stream:
                for part in self._client.chat.completions.create(model="m", messages=messages, stream=True):
                    for choice in part.choices:
                        self._take(answer, choice.index, choice.delta, choice.finish_reason)
            else:
                for whole in self._client.chat.completions.create(model="m", messages=messages).choices:
                    self._take(answer, whole.index, whole.message, whole.finish_reason)
        except openai.APIError as error:
            answer.error = f"{type(error).__name__}: {error}"
        except Exception as error:  # whatever it is, it is the finding
            answer.fault = f"{type(error).__name__}: {error}"
        answer.is_stopped = "content_filter" in answer.ends.values()
        return answer

    @staticmethod
    def _take(answer: Answer, choice: int, said: Any, end: str | None) -> None:
        answer.add(choice, Channel.ANSWER, said.content)
        answer.add(choice, Channel.REASONING, (said.model_extra or {}).get("reasoning_content"))
        for call in said.tool_calls or ():
            answer.add(choice, Channel.TOOL, call.function.arguments if call.function else None)
        if end:
            answer.ends[choice] = end
