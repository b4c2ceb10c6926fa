# SPDX-License-Identifier: Apache-2.0
"""What the sample model answers: fixed words in the prompt's language, in every form that OpenAI's wire has.

What must hold: the same request gives the same answer, streamed or plain; nothing of a prompt is repeated but counts;
a schema that was asked for is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

import orjson

from gateway.sample_request import ANY_OBJECT, Ask, fitted, tokens

_OTHER_TOKENS = tuple(f" option{number}" for number in range(1, 20))
_TEXTS: Final = {
    "zh": {
        "answer": "您好！我是网关自带的示例模型，只会用固定的文字回答，让您不联网也能试用整套流程。"
        "您这次发来 {messages} 条消息，共 {characters} 个字、{images} 张图片。换成真实的模型，只需修改上游地址。",
        "after_tool": "谢谢，工具的结果已经收到，共 {characters} 个字。我是网关自带的示例模型，只会用固定的文字回答。",
        "variant": "（第 {number} 种回答）",
        "reasoning": "先看提示的语言，再数一数字数，然后用固定的文字回答。",
    },
    "en": {
        "answer": "Hello! I am the gateway's built-in sample model. I answer with fixed words, so that you can try "
        "everything without a network. You sent {messages} messages with {characters} characters and {images} images. "
        "To use a real model, change the upstream address.",
        "after_tool": "Thank you, the tool's result of {characters} characters has arrived. "
        "I am the gateway's built-in sample model and answer with fixed words.",
        "variant": " (answer number {number})",
        "reasoning": "First see which language the prompt is in, then count its characters, then use fixed words.",
    },
}


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of a choice; the arguments are JSON text, cut into tokens."""

    id: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished answer, cut into tokens."""

    index: int
    reasoning: tuple[str, ...]
    content: tuple[str, ...]
    calls: tuple[Call, ...]
    finish_reason: str

    @property
    def tokens(self) -> int:
        """How many tokens the choice cost."""
        return len(self.reasoning) + len(self.content) + sum(len(call.arguments) for call in self.calls)


def answer(ask: Ask, index: int, completion_id: str) -> Choice:
    """Choice number `index` of the answer to `ask`."""
    texts = _TEXTS[ask.language]
    budget = _Budget(ask.max_tokens)
    reasoning = budget.take(texts["reasoning"]) if ask.reasons else ()
    if ask.called:
        calls = tuple(
            Call(
                f"call_{completion_id[-18:]}{index:03}{at:03}",
                tool.name,
                budget.take(fitted(tool.parameters, "tools")),
            )
            for at, tool in enumerate(ask.called)
        )
        return Choice(index, reasoning, (), calls, "length" if budget.is_spent else "tool_calls")
    text = texts["after_tool" if ask.follows_tool else "answer"].format(**ask.counts)
    if index:
        text += texts["variant"].format(number=index + 1)
    if ask.schema is ANY_OBJECT:
        text = orjson.dumps({"answer": text, "language": ask.language}).decode()
    elif ask.schema is not None:
        text = fitted(ask.schema, "response_format.json_schema.schema")
    cut = min((at for stop in ask.stops if (at := text.find(stop)) >= 0), default=len(text))
    content = budget.take(text[:cut])
    return Choice(index, reasoning, content, (), "length" if budget.is_spent else "stop")


class _Budget:
    """How many tokens a choice may still cost; `is_spent` once something had to be cut."""

    def __init__(self, most: int | None) -> None:
        self._left = most
        self.is_spent = False

    def take(self, text: str) -> tuple[str, ...]:
        pieces = tokens(text)
        if self._left is None:
            return pieces
        taken = pieces[: self._left]
        self._left -= len(taken)
        self.is_spent = self.is_spent or len(taken) < len(pieces)
        return taken


def completion(ask: Ask, answers: tuple[Choice, ...], head: Mapping[str, Any]) -> dict[str, Any]:
    """The plain answer: one `chat.completion` object."""
    choices = []
    for choice in answers:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if choice.calls else "".join(choice.content),
            "refusal": None,
            "annotations": [],
        }
        if choice.reasoning:
            message["reasoning_content"] = "".join(choice.reasoning)
        if choice.calls:
            message["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": "".join(c.arguments)}}
                for c in choice.calls
            ]
        choices.append(
            {
                "index": choice.index,
                "message": message,
                "logprobs": _probabilities(choice.content, 0, ask.top_logprobs),
                "finish_reason": choice.finish_reason,
            }
        )
    return {**head, "object": "chat.completion", "choices": choices, "usage": _usage(ask, answers)}


def chunks(ask: Ask, answers: tuple[Choice, ...], head: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same answer as a stream of `chat.completion.chunk` objects, the choices taking turns."""
    frame: dict[str, Any] = {**head, "object": "chat.completion.chunk"}
    if ask.includes_usage:
        frame["usage"] = None
    for turn in zip_longest(*(_deltas(choice, ask.top_logprobs) for choice in answers)):
        for choice in turn:
            if choice is not None:
                yield {**frame, "choices": [choice]}
    if ask.includes_usage:
        yield {**frame, "choices": [], "usage": _usage(ask, answers)}


def _deltas(choice: Choice, top: int | None) -> Iterator[dict[str, Any]]:
    def entry(delta: dict[str, Any], logprobs: object = None, finish_reason: str | None = None) -> dict[str, Any]:
        return {"index": choice.index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}

    yield entry({"role": "assistant", "content": None if choice.calls else "", "refusal": None})
    for piece in choice.reasoning:
        yield entry({"reasoning_content": piece})
    for at, piece in enumerate(choice.content):
        yield entry({"content": piece}, _probabilities((piece,), at, top))
    for number, call in enumerate(choice.calls):
        function = {"name": call.name, "arguments": ""}
        yield entry({"tool_calls": [{"index": number, "id": call.id, "type": "function", "function": function}]})
        for piece in call.arguments:
            yield entry({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield entry({}, finish_reason=choice.finish_reason)


def _probabilities(pieces: tuple[str, ...], first: int, top: int | None) -> dict[str, Any] | None:
    """The `logprobs` of tokens, made up from their place: the sample is never in doubt."""
    if top is None:
        return None
    content = []
    for at, piece in enumerate(pieces, first):
        probability = -(at % 7 + 1) / 64
        others = [_token(piece, probability), *(_token(other, -4.0 - n / 8) for n, other in enumerate(_OTHER_TOKENS))]
        content.append({**_token(piece, probability), "top_logprobs": others[:top]})
    return {"content": content, "refusal": None}


def _token(text: str, probability: float) -> dict[str, Any]:
    return {"token": text, "logprob": probability, "bytes": list(text.encode())}


def _usage(ask: Ask, answers: tuple[Choice, ...]) -> dict[str, Any]:
    spent = sum(choice.tokens for choice in answers)
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": spent,
        "total_tokens": ask.prompt_tokens + spent,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(len(choice.reasoning) for choice in answers),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
