# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the codec of every wire: mutated requests and answers, random bytes, random cuts, from a seed.

Usage: python bench/fuzz.py [--seconds 600] [--wire NAME] [--seed N] [--jobs N] [--only NUMBER]

What is run is what a request runs: reader, content filter, label, notices, writer, without a server around them. What
counts as a finding:
- crash: any exception but `BadRequest` and `BadAnswer`;
- leak: a planted term in what the client gets, in a string of it, in the text that the wire's official SDK puts
  together, or in a refusal of the request;
- slow: one case takes more than `SLOW_S` of the processor, which the length of no case excuses;
- memory: a reader that goes on reading an event that never ends, or a process that grows with the cases.
A finding names wire, seed and number; `--wire NAME --seed N --only NUMBER` plays that case again and shows it.

`--seconds` is for each codec; codecs run in parallel processes. The exit status is 1 where something was found.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import random
import re
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from content_filter import ContentFilter, TermSet
from gateway.events import Media
from gateway.exchange import Exchange
from gateway.wires import ROUTES, BadAnswer, BadRequest, Table, Wire
from gateway.wires.form import Part, write_form
from tests.conformance import terms
from tests.conformance.leaks import documents, leaks, strings
from tests.conformance.model import Asked, Can, Channel, Got, Piece, Said
from tests.conformance.model import Wire as Adapter
from tests.conformance.wires.table import WIRES
from tests.gateway.wires.driver import answer, ask, pieces

_ROOT = str(Path(__file__).resolve().parent.parent)
SLOW_S = 5.0
EVENT_BYTES = 1 << 16
"""The limit that the readers get when an event never ends."""
FLOOD_BYTES = 4 << 20
GROWTH_BYTES = 300 << 20
FILTER = ContentFilter(TermSet.of(*((term, "A1a") for term in terms.TERMS)))
_JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 1e308, -0.5, "", "x", "\u0000", "0", "null", "[DONE]", [], {}, [[]], [None],
    {"": {}}, "\\ud800", "é\u0301", "a" * 5_000, "data: x\n\ndata: y", "text", "stop", "content_filter",
)  # fmt: skip
_BYTES = (b"\x00", b"\xff", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\n\n", b"\r\n\r\n", b"data:",
          b"event: x\n", b"\\ud83d", b"\\u0000", b"\xef\xbb\xbf", b"1e999", b"NaN", b"\xf0\x9f")  # fmt: skip


_DEEP = re.compile(r'"@(\d+)-(term|fine)@"')
"""Stands for a text in so many brackets: they are put in where the document is written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not happen. `number` is the case; -1 where it is about all of them."""

    wire: str
    kind: str
    number: int
    detail: str


@dataclass(frozen=True, slots=True)
class Seed:
    """A valid exchange of a wire: its request, and answers of the upstream that hold a term or not.

    `body` and `answers` are documents, which are mutated as such, or bytes.
    """

    path: str
    body: Any
    answers: tuple[Any, ...]
    method: str = "POST"
    query: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    guards: bool = True
    """Whether the wire's answers are looked at; of those that pass as they came no leak can be told."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What is fuzzed under one name: a wire that the conformance suite speaks, or seeds of another."""

    name: str
    adapter: Adapter | None = None
    seeds: tuple[Seed, ...] = ()


@dataclass(slots=True)
class Ran:
    """What became of one codec."""

    wire: str
    cases: int = 0
    bad_requests: int = 0
    bad_answers: int = 0
    answered: int = 0
    findings: list[Finding] = field(default_factory=list)


# ---- what is valid


def _form(*parts: Part) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    body, content_type = write_form(parts)
    return body, ((b"content-type", content_type.encode()),)


def _events(*documents: dict[str, Any]) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(document).encode() for document in documents)


def _items(response: bytes) -> Any:
    return json.loads(response)["output"]


def _other_seeds() -> dict[str, tuple[Seed, ...]]:
    said = terms.around(terms.ENGLISH)
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", "body": chat}
    reply = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    batched = {"id": "b", "custom_id": "c", "response": {"status_code": 200, "body": {"choices": [reply]}}}
    spoken, form_type = _form(
        Part("file", b"RIFF", "a.wav"), Part("model", b"m"), Part("stream", b"true"), Part("prompt", b"hi")
    )
    deltas = [{"type": "transcript.text.delta", "delta": piece} for piece in ("ok ", terms.ENGLISH[:4], said[7:])]
    deltas.append({"type": "transcript.text.done", "text": said})
    transcript = b"".join(b"data: %s\n\n" % json.dumps(delta).encode() for delta in deltas)
    uploaded, upload_type = _form(Part("purpose", b"batch"), Part("file", json.dumps(line).encode(), "b.jsonl"))
    picture = {"created": 1, "data": [{"b64_json": "aGk=", "revised_prompt": said}]}
    stored = WIRES["openai_responses"]().tell(Asked(stream=False), Said.of(said))
    items = {"object": "list", "data": _items(stored.body)}
    drawn = {"id": "ig", "type": "image_generation_call", "status": "completed", "result": "aGk="}
    drawing = {"id": "resp_1", "object": "response", "status": "completed", "output": [drawn], "model": "m"}
    drawn_events = _events(
        {"type": "response.created", "response": {**drawing, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**drawn, "result": None}},
        {"type": "response.image_generation_call.partial_image", "partial_image_b64": "aGk=", "item_id": "ig"},
        {"type": "response.output_item.done", "output_index": 0, "item": {**drawn, "revised_prompt": said}},
        {"type": "response.completed", "response": drawing},
    )
    shown = {"b64_json": "aGk=", "size": "auto"}
    painted = _events(
        {"type": "image_generation.partial_image", "partial_image_index": 0, **shown, "caption": said[:7]},
        {"type": "image_generation.partial_image", "partial_image_index": 1, **shown, "caption": said[7:]},
        {"type": "image_generation.completed", **shown, "usage": {"input_tokens": 1, "output_tokens": 1}},
    )
    heard = _events(
        {"type": "speech.audio.delta", "audio": "aGk=", "note": said[:7]},
        {"type": "speech.audio.delta", "audio": "aGk=", "note": said[7:]},
        {"type": "speech.audio.done", "usage": {"input_tokens": 1, "output_tokens": 1}},
    )
    aloud = {**chat, "modalities": ["text", "audio"], "audio": {"voice": "v", "format": "pcm16"}}
    sound = {"id": "a", "data": "aGk=", "transcript": said, "expires_at": 1}
    answered = {"index": 0, "message": {"role": "assistant", "content": None, "audio": sound}, "finish_reason": "stop"}
    pieces_ = [
        {"audio": {"id": "a"}},
        {"audio": {"transcript": said[:7]}},
        {"audio": {"data": "aGk="}},
        {"audio": {"transcript": said[7:]}},
        {"audio": {"expires_at": 1}},
    ]
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": piece, "finish_reason": None}]} for piece in pieces_]
    chunks.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    models = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "x"}]}
    passed = partial(Seed, guards=False)
    task = {"output": {"task_id": "t", "task_status": "FAILED", "message": said}, "request_id": "r"}
    return {
        "openai_transcripts": (
            Seed("/v1/audio/transcriptions", spoken, (transcript, {"text": said}), headers=form_type),
        ),
        "openai_images": (
            Seed("/v1/images/generations", {"model": "m", "prompt": "hi", "n": 1}, (picture,)),
            Seed("/v1/images/generations", {"model": "m", "prompt": "hi", "stream": True}, (painted,)),
            Seed("/v1/images/edits", _form(Part("prompt", b"hi"), Part("image", b"P", "i.png"))[0], (picture,),
                 headers=_form(Part("prompt", b"hi"))[1]),
        ),
        "openai_speech": (
            Seed("/v1/audio/speech", {"model": "m", "input": "hi", "voice": "v"}, (b"RIFF0000", {"error": said})),
            *(Seed("/v1/audio/speech", {"model": "m", "input": "hi", "stream_format": "sse", "response_format": kind},
                   (heard,)) for kind in ("pcm", "wav")),
        ),
        "openai_chat_aloud": (
            Seed("/v1/chat/completions", aloud, ({"id": "c", "choices": [answered]},)),
            Seed("/v1/chat/completions", {**aloud, "stream": True}, (_events(*chunks) + b"data: [DONE]\n\n",)),
        ),
        "openai_responses_drawing": (
            Seed("/v1/responses", {"model": "m", "input": "hi", "stream": True}, (drawn_events,)),
            Seed("/v1/responses", {"model": "m", "input": "hi"}, ({**drawing, "output": [{**drawn, "x": said}]},)),
        ),
        "openai_conversations": (
            passed("/v1/conversations", {"items": [{"role": "user", "content": "hi"}]}, ({"id": "conv_1"},)),
            Seed("/v1/conversations/conv_1/items", {"items": [{"role": "user", "content": "hi"}]}, (items,)),
            Seed("/v1/conversations/conv_1/items", b"", (items,), "GET"),
            Seed("/v1/conversations/conv_1/items/msg_1", b"", (items["data"][0],), "GET"),
            Seed("/v1/responses/compact", {"model": "m", "input": "hi"}, (
                {"id": "resp_1", "object": "response.compaction", "output": items["data"]},
            )),
        ),
        "openai_videos": (
            Seed("/v1/videos", {"model": "m", "prompt": "hi"}, ({"id": "v", "status": "failed", "prompt": said},)),
            passed("/v1/videos/v/content", b"", (b"film",), "GET"),
            Seed("/v1/videos/v", b"", ({"id": "v", "status": "failed", "error": {"message": said}},), "GET"),
        ),
        "openai_files": (
            passed("/v1/files", uploaded, ({"id": "f", "object": "file"},), headers=upload_type),
            Seed("/v1/files/f/content", b"", (batched, (json.dumps(batched) + "\n").encode() * 3), "GET"),
            passed("/v1/files", b"", ({"data": []},), "GET"),
            passed("/v1/batches", {"input_file_id": "f", "endpoint": "/v1/chat/completions"}, ({"id": "b"},)),
        ),
        "openai_embeddings": (passed("/v1/embeddings", {"model": "m", "input": ["hi", "you"]}, ({"data": []},)),),
        "openai_moderations": (passed("/v1/moderations", {"input": "hi"}, ({"results": [{"flagged": False}]},)),),
        "models": (
            passed("/v1/models", b"", (models,), "GET"),
            passed("/v1beta/models", b"", ({"models": []},), "GET"),
            passed("/api/tags", b"", ({"models": []},), "GET"),
            passed("/api/embed", {"model": "m", "input": ["hi"]}, ({"embeddings": [[0.5]]},)),
        ),
        "openai_responses_stored": (
            Seed("/v1/responses/resp_1", b"", (json.loads(stored.body),), "GET"),
            Seed("/v1/responses/resp_1/input_items", b"", ({"object": "list", "data": _items(stored.body)},), "GET"),
            passed("/v1/responses/resp_1", b"", ({"id": "resp_1", "object": "response.deleted"},), "DELETE"),
            Seed("/v1/responses/input_tokens", {"model": "m", "input": "hi"}, ({"input_tokens": 3},)),
        ),
        "dashscope_tasks": (
            Seed("/api/v1/services/aigc/text2image/image-synthesis", {"model": "m", "input": {"prompt": "x"}}, (task,)),
            Seed("/api/v1/tasks/t", b"", (task,), "GET"),
        ),
        "openai_realtime": (passed("/v1/realtime", b"", ({},), "GET"),),  # asked for without an upgrade
        "counts": (
            passed("/v1/messages/count_tokens", chat, ({"input_tokens": 3},)),
            passed("/v1beta/models/m:countTokens", {"contents": [{"parts": [{"text": "x"}]}]}, ({"totalTokens": 3},)),
        ),
    }  # fmt: skip


def codecs() -> dict[str, Codec]:
    """Everything that is fuzzed, by name."""
    found = {name: Codec(name, adapter=make()) for name, make in WIRES.items()}
    return found | {name: Codec(name, seeds=seeds) for name, seeds in _other_seeds().items()}


# ---- what is wrong with it


def mutated(chance: random.Random, document: Any) -> Any:
    """The document with some of its members replaced, removed, renamed, repeated or wrapped.

    Texts are never moved to another known member: what is text stays text, whatever stands around it.
    """
    tree = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        places = list(_places(tree))
        if not places:
            break
        parent, key = chance.choice(places)
        how = chance.randrange(7)
        if how == 0:
            parent[key] = copy.deepcopy(chance.choice(_JUNK))
        elif how == 1:
            del parent[key]
        elif how == 2:
            parent[key] = [parent[key]]
        elif how == 3:
            parent[key] = {"x_new": parent[key]}
        elif how == 4 and isinstance(parent, dict):
            parent[f"x_{key}"] = parent.pop(key)
        elif how == 5 and isinstance(parent, list):
            parent.insert(chance.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
        elif how == 6:
            is_term = isinstance(parent[key], str) and terms.holds_term(parent[key])
            parent[key] = f"@{chance.choice((40, 400, 4_000))}-{'term' if is_term else 'fine'}@"
    return tree


def _nested(mark: re.Match[str]) -> str:
    depth, text = int(mark[1]), terms.ENGLISH if mark[2] == "term" else "fine"
    return "[" * depth + f'"{text}"' + "]" * depth


def written(chance: random.Random, document: Any) -> bytes:
    """The document as JSON, in one of two spellings."""
    text = json.dumps(document, ensure_ascii=chance.random() < 0.5, separators=(",", ":"))
    text = _DEEP.sub(_nested, text)
    return text.encode("utf-8", "replace")


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    pairs = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in pairs:
        yield tree, key
        yield from _places(value)


def scratched(chance: random.Random, data: bytes) -> bytes:
    """The bytes with some changed, removed, put in or cut off."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(out) + 1)
        how = chance.randrange(5)
        if how == 0 and at < len(out):
            out[at] = chance.randrange(256)
        elif how == 1:
            del out[at : at + chance.randint(1, 8)]
        elif how == 2:
            out[at:at] = chance.choice(_BYTES)
        elif how == 3:
            del out[at:]
        else:
            out[at:at] = chance.randbytes(chance.randint(1, 12))
    return bytes(out)


def _said(chance: random.Random, adapter: Adapter, asked: Asked) -> Said:
    """What a model says: a planted term somewhere, cut somewhere, perhaps with other channels and choices."""
    word = chance.choice((*terms.TERMS, *terms.DISGUISES.values(), "harmless"))
    text = terms.around(word)
    channels = [Channel.ANSWER]
    channels += [Channel.REASONING] * adapter.can.issuperset({Can.REASONING})
    channels += [Channel.TOOL] * (asked.with_tool and adapter.can.issuperset({Can.TOOL}))
    channel = chance.choice(channels)
    choice = chance.randrange(asked.choices)
    if channel is Channel.TOOL or (asked.as_json and channel is Channel.ANSWER):
        text = json.dumps({"q": text}, ensure_ascii=chance.random() < 0.5)
    planted = Said.of(text, chance.choice((0, 1, 2, 3, 7)), channel=channel, choice=choice).pieces
    before = (Piece("fine, ", Channel.ANSWER, chance.randrange(asked.choices)),) * chance.randrange(2)
    if channel is Channel.TOOL and chance.random() < 0.5:
        before = ()
    return Said((*before, *planted), chance.random() < 0.3)


def _asked(chance: random.Random, adapter: Adapter) -> Asked:
    can = adapter.can

    def maybe(need: Can) -> bool:
        return need in can and chance.random() < 0.2

    return Asked(
        "hello",
        chance.random() < 0.75,
        system="be kind" if maybe(Can.SYSTEM) else "",
        earlier=("hi", "hello") if maybe(Can.TURNS) else None,
        parts=("more",) if maybe(Can.PARTS) else (),
        tool_result="42" if maybe(Can.TOOL_RESULT) else "",
        choices=2 if maybe(Can.CHOICES) else 1,
        as_json=maybe(Can.JSON),
        with_tool=maybe(Can.TOOL),
    )


# ---- one case


class Case:
    """One case of a codec, the same whenever it is played with the same seed."""

    def __init__(self, codec: Codec, seed: int, number: int) -> None:
        self.codec = codec
        self.number = number
        self.chance = random.Random(f"{seed}:{codec.name}:{number}")
        self.request = b""
        self.answer = b""
        self.got = b""

    def play(self, table: Table, ran: Ran) -> str | None:
        """Run it; what leaked, or None. Raises what a codec raises that it must not."""
        return self._adapter(table, ran) if self.codec.adapter is not None else self._seed(table, ran)

    def _adapter(self, table: Table, ran: Ran) -> str | None:
        adapter, chance = self.codec.adapter, self.chance
        assert adapter is not None
        asked = _asked(chance, adapter)
        made = adapter.request(asked)
        path, _, query = made.path.partition("?")
        headers = tuple((name.lower().encode(), value.encode()) for name, value in made.headers.items())
        wire = table.find("POST", path)
        assert wire is not None
        exchange = self._exchange(ran, wire, path, query, headers, made.body, 0.25)
        if exchange is None or isinstance(exchange, str):
            return exchange
        is_stream = exchange.prompt is not None and exchange.prompt.stream
        asked = replace(asked, stream=is_stream)
        told = adapter.tell(asked, _said(chance, adapter, asked))
        is_valid = chance.random() < 0.3
        self.answer = told.body if is_valid else self._spoilt(told.frames)
        got = self._answer(ran, wire, exchange)
        if got is None:
            return None
        if is_valid or chance.random() < 0.3:
            read = adapter.read(asked, 200, {"content-type": told.content_type}, got)
            if is_valid:
                return _first(leaks(Got(asked, 200, {}, [(0.0, got)], 0.0, False, read, None)))
            for (choice, channel), text in read.texts.items():
                # Calls whose numbers were mutated are other calls; their arguments are no one text.
                if channel is not Channel.TOOL and terms.holds_term(text):
                    return f"the SDK's {channel.value} of choice {choice}"
        return _in_strings(got)

    def _seed(self, table: Table, ran: Ran) -> str | None:
        chance = self.chance
        seed = chance.choice(self.codec.seeds)
        wire = table.find(seed.method, seed.path)
        assert wire is not None, seed.path
        exchange = self._exchange(ran, wire, seed.path, seed.query, seed.headers, seed.body, 0.4)
        if exchange is None or isinstance(exchange, str):
            return exchange
        given = chance.choice(seed.answers)
        if isinstance(given, bytes):
            self.answer = given if chance.random() < 0.3 else self._spoilt((given,))
        else:
            document = given if chance.random() < 0.2 else mutated(chance, given)
            self.answer = written(chance, document)
            if chance.random() < 0.2:
                self.answer = scratched(chance, self.answer)
        got = self._answer(ran, wire, exchange)
        return _in_strings(got) if got is not None and seed.guards else None

    def _exchange(
        self,
        ran: Ran,
        wire: Wire,
        path: str,
        query: str,
        headers: tuple[tuple[bytes, bytes], ...],
        body: Any,
        share: float,
    ) -> Exchange | str | None:
        """The exchange of a request, mutated in a `share` of cases; None where it was refused, what leaked."""
        chance = self.chance
        if chance.random() < share:
            # What a refusal may not repeat is planted in what is refused.
            if isinstance(body, bytes):
                self.request = scratched(chance, body)
            else:
                planted = json.loads(json.dumps(body).replace('"hello"', json.dumps(f"hello {terms.ENGLISH}")))
                self.request = written(chance, mutated(chance, planted))
                if chance.random() < 0.3:
                    self.request = scratched(chance, self.request)
        else:
            self.request = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        try:
            exchange = ask(wire, path, self.request, query, headers=headers)
        except BadRequest as error:
            ran.bad_requests += 1
            said = wire.error(error.status, error.code, error.message, error.param).decode("utf-8", "replace")
            return "the refusal of a request" if terms.holds_term(said) else None
        assert exchange.prompt is not None
        wire.call(path, query, exchange.prompt)
        return exchange

    def _spoilt(self, frames: Sequence[bytes]) -> bytes:
        chance = self.chance
        how = chance.randrange(8)
        if how == 0:
            return chance.randbytes(chance.randint(0, 3_000))
        if how <= 2:
            return scratched(chance, b"".join(frames))
        kept = list(frames)
        if how == 3:
            first, second = (chance.randrange(len(kept)) for _ in range(2))
            kept[first], kept[second] = kept[second], kept[first]
        elif how == 4:
            kept.insert(chance.randrange(len(kept) + 1), chance.choice(kept))
        elif how == 5 and len(kept) > 1:
            del kept[chance.randrange(len(kept))]
        else:
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(len(kept))
                kept[at] = _with_mutated_json(chance, kept[at])
        return b"".join(kept)

    def _answer(self, ran: Ran, wire: Wire, exchange: Exchange) -> bytes | None:
        cuts = [self.chance.randrange(1 << 16) for _ in range(self.chance.choice((0, 1, 3, 12, 60)))]
        try:
            reads = pieces(self.answer, cuts)
            self.got = answer(wire, exchange, reads, current=FILTER, is_labelled=_is_no_text).body
        except BadAnswer:
            ran.bad_answers += 1
            return None
        ran.answered += 1
        return self.got


def _is_no_text(medium: Media) -> bool:
    """Whether the duty that labels media could take it for one: it labels no texts."""
    return not terms.holds_term(medium.data.decode("utf-8", "replace"))


def _with_mutated_json(chance: random.Random, frame: bytes) -> bytes:
    """An event, a line or a document whose JSON is mutated, with what stands around it."""
    start, end = frame.find(b"{"), frame.rfind(b"}") + 1
    try:
        made = written(chance, mutated(chance, json.loads(frame[start:end])))
    except (ValueError, RecursionError):  # it was mutated before: no JSON any more, or too deep for this program
        return scratched(chance, frame)
    return frame[:start] + made + frame[end:]


def _first(found: Sequence[str]) -> str | None:
    return found[0] if found else None


def _in_strings(got: bytes) -> str | None:
    """Whether a single string of what the client got holds a term."""
    for document in documents(got.decode("utf-8", "replace")):
        for path, value in strings(document):
            if terms.holds_term(value):
                return path
    return None


# ---- many cases


def flood(wire: Wire, exchange: Exchange) -> str | None:
    """Feed an event that never ends; why that is wrong where the reader goes on with it."""
    assert exchange.prompt is not None
    for begin in (b'data: {"a":"', b'{"a":"', b'[{"a":"', b"event: ", b": "):
        reader = wire.reader(exchange.prompt, EVENT_BYTES)
        fed = 0
        try:
            reader.feed(begin)
            while fed < FLOOD_BYTES:
                reader.feed(b"x" * 16_384)
                fed += 16_384
        except BadAnswer:
            continue
        if begin != b": ":  # comments may go on for ever: nothing of them is kept
            return f"an event of {fed >> 20} MiB that begins with {begin!r} is still being read"
    return None


def fuzz(codec: Codec, seconds: float, seed: int, only: int | None = None) -> Ran:
    """Play cases of one codec for so long."""
    ran, table = Ran(codec.name), Table()
    ends_s = time.monotonic() + seconds
    number = 0 if only is None else only
    grown_from = 0
    while time.monotonic() < ends_s and len(ran.findings) < 20:
        case = Case(codec, seed, number)
        begun_s = time.process_time()
        try:
            leaked = case.play(table, ran)
        except Exception as error:  # that is what is looked for
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _ROOT in frame.filename]
            places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[:-4:-1])
            detail = f"{type(error).__name__}: {str(error)[:200]} at {places}"
            ran.findings.append(Finding(codec.name, "crash", number, detail))
        else:
            if leaked is not None:
                ran.findings.append(Finding(codec.name, "leak", number, leaked))
        took_s = time.process_time() - begun_s
        if took_s > SLOW_S:
            ran.findings.append(Finding(codec.name, "slow", number, f"{took_s:.1f} s"))
        ran.cases += 1
        if only is not None:
            print(f"request: {case.request!r}\nanswer: {case.answer!r}\ngot: {case.got!r}")
            return ran
        number += 1
        if number == 200:
            grown_from = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if codec.adapter is not None:
        made = codec.adapter.request(Asked())
        path, _, query = made.path.partition("?")
        headers = tuple((name.lower().encode(), value.encode()) for name, value in made.headers.items())
        wire = table.find("POST", path)
        assert wire is not None
        body = json.dumps(made.body).encode()
        if (why := flood(wire, ask(wire, path, body, query, headers=headers))) is not None:
            ran.findings.append(Finding(codec.name, "memory", -1, why))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown_from) << 10 if grown_from else 0
    if grown > GROWTH_BYTES:
        ran.findings.append(Finding(codec.name, "memory", -1, f"the process grew by {grown >> 20} MiB"))
    return ran


def unfuzzed() -> set[str]:
    """Wires of the gateway that no codec here reaches."""
    reached = set()
    for codec in codecs().values():
        if codec.adapter is not None:
            reached.add(Table().find("POST", codec.adapter.request(Asked()).path.partition("?")[0]))
        reached |= {Table().find(seed.method, seed.path) for seed in codec.seeds}
    names = {wire.name for wire in reached if wire is not None}
    return {route.wire.name for route in ROUTES} - names


def _named(name: str, seconds: float, seed: int) -> Ran:
    warnings.simplefilter("ignore")  # the official SDKs warn about what they read and cannot write again
    return fuzz(codecs()[name], seconds, seed)


def main() -> int:
    """Fuzz, print a line a codec, and every finding."""
    parser = argparse.ArgumentParser(description="Fuzz the codec of every wire.")
    parser.add_argument("--seconds", type=float, default=600.0, help="for each codec")
    parser.add_argument("--wire", action="append", default=[], help="only this codec; may be repeated")
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="codecs at a time")
    parser.add_argument("--only", type=int, default=None, help="play one case again and show it")
    options = parser.parse_args()
    known = codecs()
    if unknown := set(options.wire) - set(known):
        parser.error(f"unknown {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    names = options.wire or list(known)
    results: list[Ran] = []

    def heard(ran: Ran) -> None:
        results.append(ran)
        counts = f"{ran.answered} answered, {ran.bad_answers} bad answers, {ran.bad_requests} bad requests"
        print(f"{ran.wire}: {ran.cases} cases, {counts}, {len(ran.findings)} findings", flush=True)
        for found in ran.findings:
            print(f"  {found.kind} in case {found.number}: {found.detail}", flush=True)

    if options.only is not None:
        heard(fuzz(known[names[0]], 60, options.seed, options.only))
    else:
        run: Callable[[str], Ran] = partial(_named, seconds=options.seconds, seed=options.seed)
        with multiprocessing.get_context("spawn").Pool(
            max(1, min(options.jobs, len(names))), maxtasksperchild=1
        ) as pool:
            for ran in pool.imap(run, names):
                heard(ran)
    return int(any(ran.findings for ran in results))


if __name__ == "__main__":
    sys.exit(main())
