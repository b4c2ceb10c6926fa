# SPDX-License-Identifier: Apache-2.0
"""Ollama chat and generate, read by the `ollama` client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import ollama

from tests.conformance.model import TOOL_NAME, Answer, Asked, Can, Channel, Request, Said, Told
from tests.conformance.wires.openai_chat import tool
from tests.conformance.wires.replay import Replay

HEAD = {"model": "m", "created_at": "2025-11-21T00:00:00Z"}
END = {"done": True, "done_reason": "stop", "total_duration": 5, "prompt_eval_count": 1, "eval_count": 1}


class OllamaChat:
    """`POST /api/chat`. The wire has no end reason of its own for a stopped answer."""

    name = "ollama_chat"
    sdk = "ollama"
    can = frozenset(Can) - {Can.CHOICES, Can.TOOL_PIECES, Can.PARTS, Can.MARKS_STOPS}

    def __init__(self) -> None:
        self._replay = Replay()
        self._client = ollama.Client(host="http://gateway", transport=self._replay.transport)

    def request(self, asked: Asked) -> Request:
        """See `Wire`."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": asked.system}] if asked.system else []
        if asked.earlier is not None:
            messages.append({"role": "user", "content": asked.earlier[0]})
            messages.append({"role": "assistant", "content": asked.earlier[1]})
        messages.append({"role": "user", "content": asked.prompt})
        if asked.tool_result:
            calls = [{"function": {"name": TOOL_NAME, "arguments": {}}}]
            messages.append({"role": "assistant", "content": "", "tool_calls": calls})
            messages.append({"role": "tool", "tool_name": TOOL_NAME, "content": asked.tool_result})
        body: dict[str, Any] = {"model": "m", "messages": messages, "stream": asked.stream}
        if asked.as_json:
            body["format"] = "json"
        if asked.with_tool:
            body["tools"] = [tool()]
        return Request("/api/chat", body)

    def tell(self, asked: Asked, said: Said) -> Told:
        """See `Wire`."""
        said = said.with_whole_tools()
        if not asked.stream:
            return Told((said.dumps({**HEAD, **self._whole(said), **END}).encode(),), "application/json")
        documents = [{**HEAD, **self._delta(piece.channel, piece.text), "done": False} for piece in said.pieces]
        documents.append({**HEAD, **self._delta(Channel.ANSWER, ""), **END})
        return Told(tuple(f"{said.dumps(document)}\n".encode() for document in documents), "application/x-ndjson")

    def _delta(self, channel: Channel, text: str) -> dict[str, Any]:
        if channel is Channel.TOOL:
            calls = [{"function": {"name": TOOL_NAME, "arguments": json.loads(text)}}]
            return {"message": {"role": "assistant", "content": "", "tool_calls": calls}}
        if channel is Channel.REASONING:
            return {"message": {"role": "assistant", "content": "", "thinking": text}}
        return {"message": {"role": "assistant", "content": text}}

    def _whole(self, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.text()}
        if thought := said.text(0, Channel.REASONING):
            message["thinking"] = thought
        if said.calls_tool():
            message |= self._delta(Channel.TOOL, said.text(0, Channel.TOOL))["message"] | {"content": said.text()}
        return {"message": message}

    def read(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `Wire`."""
        self._replay.put(status, headers, body)
        answer = Answer()
        try:
            for part in self._parts(asked.stream):
                self._take(answer, part)
                if part.done:
                    answer.ends[0] = part.done_reason or "done"
        except ollama.ResponseError as error:
            answer.error = f"{type(error).__name__}: {error}"
        except Exception as error:  # whatever it is, it is the finding
            answer.fault = f"{type(error).__name__}: {error}"
        return answer

    def _parts(self, is_stream: bool) -> Any:
        messages: Any = [{"role": "user", "content": "x"}]
        if is_stream:
            return self._client.chat("m", messages, stream=True)
        return [self._client.chat("m", messages)]

    def _take(self, answer: Answer, part: Any) -> None:
        answer.add(0, Channel.ANSWER, part.message.content)
        answer.add(0, Channel.REASONING, part.message.thinking)
        for call in part.message.tool_calls or ():
            answer.add(0, Channel.TOOL, json.dumps(dict(call.function.arguments), ensure_ascii=False))


class OllamaGenerate(OllamaChat):
    """`POST /api/generate`."""

    name = "ollama_generate"
    can = frozenset({Can.REASONING, Can.JSON, Can.SYSTEM})

    def request(self, asked: Asked) -> Request:
        """See `Wire`."""
        body: dict[str, Any] = {"model": "m", "prompt": asked.prompt, "stream": asked.stream}
        if asked.system:
            body["system"] = asked.system
        if asked.as_json:
            body["format"] = "json"
        return Request("/api/generate", body)

    def _delta(self, channel: Channel, text: str) -> dict[str, Any]:
        return {"response": "", "thinking": text} if channel is Channel.REASONING else {"response": text}

    def _whole(self, said: Said) -> dict[str, Any]:
        thought = said.text(0, Channel.REASONING)
        return {"response": said.text(), **({"thinking": thought} if thought else {})}

    def _parts(self, is_stream: bool) -> Any:
        if is_stream:
            return self._client.generate("m", "x", stream=True)
        return [self._client.generate("m", "x")]

    def _take(self, answer: Answer, part: Any) -> None:
        answer.add(0, Channel.ANSWER, part.response)
        answer.add(0, Channel.REASONING, part.thinking)
