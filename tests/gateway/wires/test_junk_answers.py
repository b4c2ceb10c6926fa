# SPDX-License-Identifier: Apache-2.0
"""Whatever an upstream sends, nothing but `BadAnswer` is raised and no forbidden word leaves.

Seeded documents of the right words in the wrong places, through the wires that are codecs of their own over HTTP.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.wires import Table
from gateway.wires.dashscope import TEXT_PATH
from gateway.wires.form import Part, write_form
from gateway.wires.interfaces import BadAnswer, BadRequest
from tests.gateway.wires.driver import TERM, answer, ask

KEYS = [
    "output", "choices", "message", "content", "text", "tool_calls", "function", "name", "arguments", "response",
    "done", "usage", "thinking", "logprobs", "data", "url", "words", "segments", "delta", "body", "error", "note",
    "results",
]  # fmt: skip
NAMES = ["finish_reason", "type", "index", "b64_json", "id", "done_reason"]
"""Members whose strings name things: what stands there is no text by design."""


class Junk:
    """Makes documents."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def any(self, depth: int = 0, key: str = "") -> Any:
        """Any JSON at all."""
        choose = self.random.choice
        if key in NAMES:
            return choose(["stop", None, 0, 1, "transcript.text.delta", "transcript.text.done", "aGk="])
        kind = self.random.random()
        if depth > 4 or kind < 0.35:
            return choose([None, True, 1, 1.5, "x", TERM, "好", "null", 10**30])
        if kind < 0.55:
            return [self.any(depth + 1) for _ in range(self.random.randint(0, 3))]
        keys = [choose(KEYS + NAMES) for _ in range(self.random.randint(0, 4))]
        return {key: self.any(depth + 1, key) for key in keys}

    def ollama_chat(self) -> Any:
        """Nearly a line of chat."""
        calls = self.random.choice([None, [{"function": {"name": "f", "arguments": self.any()}}]])
        message = {"role": "assistant", "content": "好", "tool_calls": calls, "x": self.any()}
        return {"model": "m", "message": message, "y": self.any(), "done": self.random.random() < 0.4}

    def ollama_generate(self) -> Any:
        """Nearly a line of generate."""
        return {"model": "m", "response": "好", "x": self.any(), "done": self.random.random() < 0.4}

    def dashscope(self) -> Any:
        """Nearly an event."""
        message = {"role": "assistant", "content": "好", "x": self.any()}
        choice = {"message": message, "finish_reason": self.random.choice(["null", "stop"]), "y": self.any()}
        return {"output": {"choices": [choice], "z": self.any()}, "request_id": "r", "w": self.any()}

    def transcript(self) -> Any:
        """Nearly an event or a document."""
        kind = self.random.choice(["transcript.text.delta", "transcript.text.done"])
        return {"type": kind, "text": "好", "delta": "好", "x": self.any()}

    def data(self) -> Any:
        """Nearly a list of pictures, a description of a video, a line of a file."""
        return {"data": [{"x": self.any()}], "y": self.any()}


def form(**fields: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    parts = [Part("file", b"x", "a"), Part("model", b"m")]
    body, content_type = write_form([*parts, *(Part(name, value.encode()) for name, value in fields.items())])
    return body, [(b"content-type", content_type.encode())]


MESSAGES = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
ASKED = orjson.dumps({"model": "m", "input": {"prompt": "x"}, "parameters": {"incremental_output": True}})
SSE = [(b"x-dashscope-sse", b"enable")]
CASES: dict[str, tuple[str, str, bytes, list[tuple[bytes, bytes]], str, Callable[[Junk], Any]]] = {
    "ollama chat": ("POST", "/api/chat", orjson.dumps(MESSAGES), [], "{}\n", Junk.ollama_chat),
    "ollama chat, plain": (
        "POST", "/api/chat", orjson.dumps({**MESSAGES, "stream": False}), [], "{}", Junk.ollama_chat
    ),
    "ollama generate": ("POST", "/api/generate", b'{"model":"m","prompt":"x"}', [], "{}\n", Junk.ollama_generate),
    "dashscope": ("POST", TEXT_PATH, ASKED, SSE, "data:{}\n\n", Junk.dashscope),
    "dashscope, plain": ("POST", TEXT_PATH, ASKED, [], "{}", Junk.dashscope),
    "dashscope task": ("GET", "/api/v1/tasks/t", b"", [], "{}", Junk.dashscope),
    "images": ("POST", "/v1/images/generations", b'{"prompt":"x"}', [], "{}", Junk.data),
    "transcript": ("POST", "/v1/audio/transcriptions", *form(), "{}", Junk.transcript),
    "transcript stream": (
        "POST", "/v1/audio/transcriptions", *form(stream="true"), "data: {}\n\n", Junk.transcript
    ),
    "file": ("GET", "/v1/files/f/content", b"", [], "{}\n", Junk.data),
    "video": ("GET", "/v1/videos/v", b"", [], "{}", Junk.data),
}  # fmt: skip


def says_term(value: Any) -> bool:
    """Whether the term stands in a string or a key, without JSON's escapes."""
    if isinstance(value, dict):
        return any(says_term(key) or says_term(item) for key, item in value.items())
    return any(map(says_term, value)) if isinstance(value, list) else isinstance(value, str) and TERM in value


@pytest.mark.parametrize("name", CASES)
def test_no_answer_breaks_a_codec_or_leaks(name: str) -> None:
    """Nearly right documents and any JSON at all, one or several."""
    method, path, request, headers, frame, make = CASES[name]
    wire = Table().find(method, path)
    assert wire is not None
    junk = Junk(7)
    answered = 0
    for _ in range(250):
        exchange = ask(wire, path, request, headers=headers)
        count = junk.random.randint(1, 3) if frame != "{}" else 1
        told = [make(junk) if junk.random.random() < 0.8 else junk.any() for _ in range(count)]
        try:
            sent = answer(wire, exchange, [frame.replace("{}", json.dumps(item)).encode() for item in told]).body
        except BadAnswer:
            continue
        answered += 1
        for line in sent.decode().splitlines():
            line = line.removeprefix("data:").strip()
            assert not says_term(json.loads(line) if line.startswith("{") else line), told
    assert answered > 0 or name == "dashscope task"


@pytest.mark.parametrize("name", CASES)
def test_no_request_breaks_a_codec(name: str) -> None:
    """Any JSON at all is a request or a bad request."""
    method, path, _, headers, _, _ = CASES[name]
    wire = Table().find(method, path)
    assert wire is not None
    junk = Junk(8)
    read = getattr(wire, "read_request_with_headers", None)
    for _ in range(150):
        body = json.dumps(junk.any()).encode()
        try:
            prompt = wire.read_request(path, "", body) if read is None else read(path, "", body, headers)
        except BadRequest as error:
            assert TERM not in error.message + error.param
        else:
            assert isinstance(prompt.texts, list)
