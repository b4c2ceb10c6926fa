# SPDX-License-Identifier: Apache-2.0
"""OpenAI's older completions, read by the `openai` SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai

from tests.conformance.model import Answer, Asked, Can, Channel, Request, Said, Told
from tests.conformance.wires.replay import Replay

HEAD = {"id": "cmpl-conformance", "object": "text_completion", "created": 1_700_000_000, "model": "m"}


class OpenAICompletions:
    """`POST /v1/completions`."""

    name = "openai_completions"
    sdk = "openai"
    can = frozenset({Can.CHOICES, Can.MARKS_STOPS})

    def __init__(self) -> None:
        self._replay = Replay()
        self._client = openai.OpenAI(
            base_url="http://gateway/v1", api_key="x", max_retries=0, http_client=self._replay.client
        )

    def request(self, asked: Asked) -> Request:
        """See `Wire`."""
        body: dict[str, Any] = {"model": "m", "prompt": asked.prompt, "stream": asked.stream, "n": asked.choices}
        return Request("/v1/completions", body, {"Authorization": "Bearer conformance"})

    def tell(self, asked: Asked, said: Said) -> Told:
        """See `Wire`."""

        def choice(number: int, text: str, end: str | None) -> dict[str, Any]:
            return {"index": number, "text": text, "logprobs": None, "finish_reason": end}

        if not asked.stream:
            choices = [choice(number, said.text(number), "stop") for number in said.choices]
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            return Told((said.dumps({**HEAD, "choices": choices, "usage": usage}).encode(),), "application/json")
        parts = [choice(piece.choice, piece.text, None) for piece in said.pieces]
        parts += [choice(number, "", "stop") for number in said.choices]
        frames = [f"data: {said.dumps({**HEAD, 'choices': [part]})}\n\n".encode() for part in parts]
        return Told((*frames, b"data: [DONE]\n\n"), "text/event-stream")

    def read(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `Wire`."""
        self._replay.put(status, headers, body)
        answer = Answer()
        try:
            if asked.stream:
                parts = list(self._client.completions.create(model="m", prompt="x", stream=True))
            else:
                parts = [self._client.completions.create(model="m", prompt="x")]
            for part in parts:
                for choice in part.choices:
                    answer.add(choice.index, Channel.ANSWER, choice.text)
                    if choice.finish_reason:
                        answer.ends[choice.index] = choice.finish_reason
        except openai.APIError as error:
            answer.error = f"{type(error).__name__}: {error}"
        except Exception as error:  # whatever it is, it is the finding
            answer.fault = f"{type(error).__name__}: {error}"
        answer.is_stopped = "content_filter" in answer.ends.values()
        return answer
