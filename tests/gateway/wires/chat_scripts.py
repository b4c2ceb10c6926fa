# SPDX-License-Identifier: Apache-2.0
"""Scripts of chat answers for property tests: the same answer as a stream of chunks and as one completion."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

LaneName = tuple[int, str]
"""Choice and field: `content`, `reasoning_content`, `refusal`, `name:0`, `arguments:0`, `vendor_note`, `parts:1`."""

MEMBERS = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
FIELDS = ("content", "reasoning_content", "refusal", "arguments:0", "arguments:1", "vendor_note", "parts:0", "parts:1")
ALPHABET = 'ab 甲乙é😀\\"\n'


@dataclass(frozen=True)
class Delta:
    """One text of one lane; `logprobs` go along with it."""

    lane: LaneName
    text: str
    has_logprobs: bool = False


@dataclass(frozen=True)
class Script:
    """An answer: its deltas in order, each in a chunk of its own or together with the one before it."""

    deltas: tuple[Delta, ...]
    joined: frozenset[int] = frozenset()
    """Positions of deltas that stand in the same chunk as the one before."""
    finish: str = "stop"
    has_usage: bool = False
    escapes: bool = False
    role_first: bool = True

    @property
    def choices(self) -> list[int]:
        """The choices that say something."""
        return sorted({delta.lane[0] for delta in self.deltas})

    @property
    def lanes(self) -> dict[LaneName, str]:
        """What each lane says."""
        said: dict[LaneName, str] = {}
        for delta in self.deltas:
            said[delta.lane] = said.get(delta.lane, "") + delta.text
        return said

    def chunks(self) -> list[dict[str, Any]]:
        """The documents of the stream."""
        out: list[dict[str, Any]] = []
        if self.role_first:
            out += (chunk({"index": choice, "delta": {"role": "assistant", "content": ""}}) for choice in self.choices)
        named: set[LaneName] = set()
        for position, delta in enumerate(self.deltas):
            choice, lane = delta.lane
            part = delta_of(lane, delta.text)
            if lane.startswith("arguments") and delta.lane not in named:
                named.add(delta.lane)
                call = part["tool_calls"][0]
                call |= {"id": f"call_{lane[-1]}", "type": "function"}
                call["function"] = {"name": "look", **call["function"]}
            made = {"index": choice, "delta": part, "finish_reason": None}
            if delta.has_logprobs:
                made["logprobs"] = logprobs(delta.text)
            if position in self.joined and not delta.has_logprobs:
                last = out[-1]["choices"]
                same = next((item for item in last if item["index"] == choice), None)
                if same is None:
                    last.append(made)
                    continue
                if not same["delta"].keys() & part.keys() and "logprobs" not in same:
                    same["delta"] |= part
                    continue
            out.append(chunk(made))
        out += (chunk({"index": choice, "delta": {}, "finish_reason": self.finish}) for choice in self.choices)
        if self.has_usage:
            out.append({**MEMBERS, "choices": [], "usage": USAGE})
        return out

    def raws(self) -> list[bytes]:
        """The documents of the stream as bytes."""
        return [self._bytes(document) for document in self.chunks()]

    def body(self) -> bytes:
        """The stream."""
        return b"".join(b"data: " + raw + b"\n\n" for raw in [*self.raws(), b"[DONE]"])

    def completion(self) -> bytes:
        """The same answer as one document."""
        choices = []
        for choice in self.choices:
            message: dict[str, Any] = {"role": "assistant", "content": None}
            for (owner, lane), text in self.lanes.items():
                if owner == choice:
                    merge(message, delta_of(lane, text))
            for call in message.get("tool_calls", ()):
                call |= {"id": f"call_{call['index']}", "type": "function"}
                call["function"] = {"name": "look", **call["function"]}
            made: dict[str, Any] = {"index": choice, "message": message, "finish_reason": self.finish}
            tokens = [delta for delta in self.deltas if delta.has_logprobs and delta.lane[0] == choice]
            if tokens:
                made["logprobs"] = {"content": [logprobs(delta.text)["content"][0] for delta in tokens]}
            choices.append(made)
        tree: dict[str, Any] = {**MEMBERS, "object": "chat.completion", "choices": choices}
        return self._bytes(tree)

    def _bytes(self, document: dict[str, Any]) -> bytes:
        return json.dumps(document, ensure_ascii=self.escapes).encode()


@dataclass
class Heard:
    """What a client has after an answer."""

    lanes: dict[LaneName, str] = field(default_factory=dict)
    finish: dict[int, str] = field(default_factory=dict)
    documents: list[dict[str, Any]] = field(default_factory=list)
    is_done: bool = False


def chunk(choice: dict[str, Any]) -> dict[str, Any]:
    """A chunk with one choice."""
    return {**MEMBERS, "choices": [choice]}


def delta_of(lane: str, text: str) -> dict[str, Any]:
    """A delta that says `text` in `lane`."""
    name, _, number = lane.partition(":")
    if name == "arguments":
        return {"tool_calls": [{"index": int(number), "function": {"arguments": text}}]}
    if name == "parts":
        return {"vendor_parts": [{"index": int(number), "words": text}]}
    return {name: text}


def logprobs(text: str) -> dict[str, Any]:
    """What an upstream tells about one token."""
    return {"content": [{"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}], "refusal": None}


def merge(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """What every client does with deltas: join the texts, tell list elements apart by their index."""
    for key, value in delta.items():
        if isinstance(value, list):
            items = message.setdefault(key, [])
            for element in value:
                known = next((item for item in items if item["index"] == element["index"]), None)
                if known is None:
                    items.append(json.loads(json.dumps(element)))
                else:
                    merge(known, {name: item for name, item in element.items() if name != "index"})
        elif isinstance(value, dict):
            merge(message.setdefault(key, {}), value)
        elif isinstance(value, str) and isinstance(message.get(key), str) and key not in ("role", "id", "type"):
            message[key] += value
        elif value is not None or key not in message:
            message[key] = value


def lanes_of(choice: int, message: dict[str, Any]) -> dict[LaneName, str]:
    """The texts of one message, by lane; empty ones left out."""
    said = {
        (choice, key): value for key, value in message.items() if isinstance(value, str) and key not in ("role", "id")
    }
    for call in message.get("tool_calls", ()):
        function = call.get("function", {})
        said[choice, f"name:{call.get('index', 0)}"] = function.get("name") or ""
        said[choice, f"arguments:{call.get('index', 0)}"] = function.get("arguments") or ""
    for part in message.get("vendor_parts", ()):
        said[choice, f"parts:{part['index']}"] = part["words"]
    return {lane: text for lane, text in said.items() if text}


def heard_stream(body: bytes) -> Heard:
    """What a client joins together from a stream."""
    heard = Heard()
    messages: dict[int, dict[str, Any]] = {}
    for event in body.split(b"\n\n")[:-1]:
        data = event.removeprefix(b"data: ")
        assert not heard.is_done, "something follows [DONE]"
        if data == b"[DONE]":
            heard.is_done = True
            continue
        document = json.loads(data)
        heard.documents.append(document)
        for choice in document.get("choices", ()):
            merge(messages.setdefault(choice["index"], {}), choice["delta"])
            if choice.get("finish_reason"):
                assert choice["index"] not in heard.finish, "a choice ended twice"
                heard.finish[choice["index"]] = choice["finish_reason"]
    for index, message in messages.items():
        heard.lanes |= lanes_of(index, message)
    return heard


def heard_plain(body: bytes) -> Heard:
    """What a client reads in one completion."""
    document = json.loads(body)
    heard = Heard(documents=[document], is_done=True)
    for choice in document["choices"]:
        heard.lanes |= lanes_of(choice["index"], choice["message"])
        heard.finish[choice["index"]] = choice["finish_reason"]
    return heard


def split(text: str, cuts: Sequence[int]) -> list[str]:
    """`text` in pieces that are not empty."""
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@st.composite
def scripts(
    draw: st.DrawFn, alphabet: str = ALPHABET, fields: Sequence[str] = FIELDS, choices: int = 2, planted: str = ""
) -> Script:
    """Deltas of several lanes, interleaved in any way. `planted` words stand somewhere in every script."""
    names = draw(
        st.lists(st.tuples(st.integers(0, choices - 1), st.sampled_from(fields)), min_size=1, max_size=4, unique=True)
    )
    queues: list[list[Delta]] = []
    for number, lane in enumerate(names):
        text = draw(st.text(alphabet, min_size=1, max_size=12))
        if planted and number == 0:
            at = draw(st.integers(0, len(text)))
            text = text[:at] + planted + text[at:]
        pieces = split(text, draw(st.lists(st.integers(0, 30), max_size=5)))
        told = lane[1] == "content" and draw(st.booleans())
        queues.append([Delta(lane, piece, told) for piece in pieces])
    deltas: list[Delta] = []
    while queues:
        queue = queues[draw(st.integers(0, len(queues) - 1))]
        deltas.append(queue.pop(0))
        queues = [left for left in queues if left]
    return Script(
        tuple(deltas),
        joined=frozenset(draw(st.sets(st.integers(1, len(deltas)), max_size=4))),
        finish=draw(st.sampled_from(["stop", "length", "tool_calls"])),
        has_usage=draw(st.booleans()),
        escapes=draw(st.booleans()),
        role_first=draw(st.booleans()),
    )
