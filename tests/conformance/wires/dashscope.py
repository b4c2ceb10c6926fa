# SPDX-License-Identifier: Apache-2.0
"""DashScope's native text generation, incremental and cumulative.

Its SDK reads from `requests` and repeats texts by itself, so it cannot be given an answer that was received before;
the answers are read here as strictly as the protocol's documentation allows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.conformance.model import TOOL_NAME, Answer, Asked, Can, Channel, Request, Said, Told
from tests.conformance.wires.openai_chat import messages_of, tool

USAGE = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}


class DashScope:
    """`POST /api/v1/services/aigc/text-generation/generation`, each event holding what is new."""

    name = "dashscope"
    sdk = "the suite's own reader; the SDK cannot be given a received answer"
    can = frozenset(Can) - {Can.CHOICES, Can.PARTS}
    is_incremental = True

    def request(self, asked: Asked) -> Request:
        """See `Wire`."""
        parameters: dict[str, Any] = {"result_format": "message", "incremental_output": self.is_incremental}
        if asked.as_json:
            parameters["response_format"] = {"type": "json_object"}
        if asked.with_tool:
            parameters["tools"] = [tool()]
        headers = {"Authorization": "Bearer conformance", "X-DashScope-SSE": "enable" if asked.stream else "disable"}
        messages = [{**message, "content": message["content"] or ""} for message in messages_of(asked)]
        body = {"model": "m", "input": {"messages": messages}, "parameters": parameters}
        return Request("/api/v1/services/aigc/text-generation/generation", body, headers)

    def tell(self, asked: Asked, said: Said) -> Told:
        """See `Wire`."""
        end = "tool_calls" if said.calls_tool() else "stop"
        if not asked.stream:
            message = self._message({channel: said.text(0, channel) for channel in Channel})
            return Told((said.dumps(self._document(message, end)).encode(),), "application/json")
        so_far: dict[Channel, str] = {}
        documents = []
        for piece in said.pieces:
            so_far = so_far if not self.is_incremental else {}
            so_far[piece.channel] = so_far.get(piece.channel, "") + piece.text
            documents.append(self._document(self._message(so_far), "null"))
        documents.append(self._document(self._message({} if self.is_incremental else so_far), end))
        frames = (
            f"id:{number}\nevent:result\n:HTTP_STATUS/200\ndata:{said.dumps(document)}\n\n".encode()
            for number, document in enumerate(documents, 1)
        )
        return Told(tuple(frames), "text/event-stream")

    @staticmethod
    def _message(texts: Mapping[Channel, str]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": texts.get(Channel.ANSWER, "")}
        if thought := texts.get(Channel.REASONING):
            message["reasoning_content"] = thought
        if arguments := texts.get(Channel.TOOL):
            function = {"name": TOOL_NAME, "arguments": arguments}
            message["tool_calls"] = [{"index": 0, "id": "call_1", "type": "function", "function": function}]
        return message

    @staticmethod
    def _document(message: dict[str, Any], end: str) -> dict[str, Any]:
        choices = [{"message": message, "finish_reason": end}]
        return {"output": {"choices": choices}, "usage": USAGE, "request_id": "conformance"}

    def read(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `Wire`."""
        answer = Answer()
        try:
            if not asked.stream or status >= 400:
                self._take(answer, json.loads(body), is_incremental=False)
            else:
                for block in body.decode().split("\n\n"):
                    data = "".join(line[5:] for line in block.split("\n") if line.startswith("data:"))
                    if data:
                        self._take(answer, json.loads(data), is_incremental=self.is_incremental)
        except Exception as error:  # whatever it is, it is the finding
            answer.fault = f"{type(error).__name__}: {error}"
        answer.is_stopped = "content_filter" in answer.ends.values()
        return answer

    @staticmethod
    def _take(answer: Answer, document: dict[str, Any], *, is_incremental: bool) -> None:
        if "output" not in document:
            answer.error = f"{document['code']}: {document['message']}"
            return
        choice = document["output"]["choices"][0]
        message = choice["message"]
        texts = {Channel.ANSWER: message.get("content"), Channel.REASONING: message.get("reasoning_content")}
        for call in message.get("tool_calls") or ():
            texts[Channel.TOOL] = call["function"]["arguments"]
        for channel, text in texts.items():
            if not is_incremental and text is not None:
                before = answer.texts.pop((0, channel), "")
                if not text.startswith(before):
                    answer.fault = "an event takes back what an earlier one said"
            answer.add(0, channel, text)
        if choice["finish_reason"] not in ("null", None, ""):
            answer.ends[0] = choice["finish_reason"]


class DashScopeCumulative(DashScope):
    """Each event repeats all that was said so far."""

    name = "dashscope_cumulative"
    is_incremental = False
