# SPDX-License-Identifier: Apache-2.0
"""A realtime session for tests: fakes on both sides of the real walk, with everything that was said in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.exchange import Person
from gateway.minors import NOT_PROTECTED as ADMITTED
from gateway.minors import Admission
from gateway.realtime import run_session
from gateway.realtime_sound import PCM16, OpeningSounds
from gateway.upstream import UpstreamFailure
from gateway.wires.realtime import PATH
from labeling.explicit.audio import AudioLabel
from tests.gateway.rooms import Rooms

LABEL = "本内容由AI生成"
FORBIDDEN = "禁词"
"""A word of the rooms' filter."""


SOUNDS = OpeningSounds(AudioLabel(unit_s=0.04))
OPENING, OPENING_S = asyncio.run(SOUNDS.opening(PCM16))
"""The label as sessions hear it."""


class Socket:
    """The model's side: `says` comes from it, `heard` went to it."""

    def __init__(self, timeline: list[str]) -> None:
        self.says: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.heard: list[dict[str, Any]] = []
        self.is_closed = False
        self._timeline = timeline

    async def receive(self) -> str | None:
        """As `UpstreamSocket.receive`."""
        message = await self.says.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def send(self, text: str) -> None:
        """As `UpstreamSocket.send`."""
        if self.is_closed:
            raise UpstreamFailure("upstream_incomplete", 502)
        event = json.loads(text)
        self.heard.append(event)
        self._timeline.append(f"model hears {event['type']}")

    async def close(self) -> None:
        """As `UpstreamSocket.close`."""
        self.is_closed = True
        self._timeline.append("model closed")


class Talk:
    """One session. Inside `run`, a test says what each side does with `client`, `model` and `settle`."""

    def __init__(
        self,
        *,
        query: str = "model=m",
        headers: Iterable[tuple[bytes, bytes]] = (),
        subprotocols: Sequence[str] = (),
        person: Person | None = None,
        failure: Exception | None = None,
        is_audible: bool = True,
        extensions: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.rooms = rooms = Rooms(**options)
        self.timeline = rooms.timeline
        self.socket = Socket(self.timeline)
        self.sent: list[Mapping[str, Any]] = []
        self.refuses: Exception | None = None
        """What the minors' duty raises when time is counted."""
        self.admission: Admission = ADMITTED
        self._from_client: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._failure = failure
        house: Any = rooms.house
        house.opening_sounds = SOUNDS if is_audible else OpeningSounds(None)
        house.upstream.socket = self._socket
        house.minors.admit = self._admit
        self.asked: list[tuple[Any, ...]] = []
        self.scope = {
            "type": "websocket",
            "path": PATH,
            "query_string": query.encode(),
            "headers": [(b"host", b"gateway"), *headers],
            "subprotocols": list(subprotocols),
            "extensions": {"websocket.http.response": {}} if extensions is None else extensions,
        }
        self._person = person

    async def _socket(self, *asked: Any) -> Socket:
        self.asked.append(asked)
        if self._failure is not None:
            raise self._failure
        return self.socket

    async def _admit(self, person: Person) -> Admission:
        if self.refuses is not None:
            raise self.refuses
        return self.admission

    def run(self, act: Callable[[Talk], Awaitable[None]] | None = None, *, leave: bool = True) -> Talk:
        """Walk the session while `act` plays both sides; then the client leaves, unless it stays on purpose."""

        async def whole() -> None:
            self._from_client.put_nowait({"type": "websocket.connect"})
            walking = asyncio.ensure_future(
                run_session(self.rooms.runner, self.scope, self._from_client.get, self._send)  # type: ignore[arg-type]
            )
            await self.settle()
            if act is not None:
                await act(self)
            if leave:
                self.leave()
            await asyncio.wait_for(walking, 10)
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert left == [], left

        asyncio.run(whole())
        return self

    async def _send(self, message: Mapping[str, Any]) -> None:
        await asyncio.sleep(0)
        self.sent.append(message)
        if message["type"] == "websocket.send":
            self.timeline.append(f"client hears {json.loads(message['text'])['type']}")
        else:
            self.timeline.append(message["type"])

    def client(self, *events: Mapping[str, Any] | str) -> None:
        """The client sends events, or frames as they are."""
        for event in events:
            text = event if isinstance(event, str) else json.dumps(event)
            self._from_client.put_nowait({"type": "websocket.receive", "text": text})

    def client_bytes(self, data: bytes) -> None:
        """The client sends a binary frame."""
        self._from_client.put_nowait({"type": "websocket.receive", "bytes": data})

    def leave(self, code: int = 1000) -> None:
        """The client closes."""
        self._from_client.put_nowait({"type": "websocket.disconnect", "code": code})

    def model(self, *events: Mapping[str, Any] | str | Exception | None) -> None:
        """The model sends events, or frames as they are, or is gone."""
        for event in events:
            self.socket.says.put_nowait(json.dumps(event) if isinstance(event, Mapping) else event)

    async def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(200):
            await asyncio.sleep(0)

    # What came of it.

    @property
    def heard(self) -> list[dict[str, Any]]:
        """The events that the client got."""
        return [json.loads(item["text"]) for item in self.sent if item["type"] == "websocket.send"]

    def kinds(self) -> list[str]:
        """Their types."""
        return [event["type"] for event in self.heard]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type that the client got."""
        return [event for event in self.heard if event["type"] == kind]

    def text(self, kind: str = "response.output_text.delta") -> str:
        """What the deltas of one type say together."""
        return "".join(event["delta"] for event in self.of(kind))

    def errors(self) -> list[str]:
        """The codes of the errors that the client got."""
        return [event["error"]["code"] for event in self.of("error")]

    @property
    def closed(self) -> int:
        """With which code the client's side was closed; 0 where it was not."""
        return next((int(item["code"]) for item in self.sent if item["type"] == "websocket.close"), 0)

    @property
    def status(self) -> int:
        """With which status the handshake was refused; 0 where it was not."""
        return next((int(i["status"]) for i in self.sent if i["type"] == "websocket.http.response.start"), 0)

    def outcomes(self) -> list[str]:
        """How the exchanges ended, in the order of their last records."""
        return [record["outcome"] for record in self.rooms.log.records() if "outcome" in record]

    def asked_for(self) -> list[str]:
        """The types of the events that the model got."""
        return [event["type"] for event in self.socket.heard]

    def everything(self) -> str:
        """All that the client got, as one text."""
        return "".join(str(item.get("text", item.get("body", ""))) for item in self.sent)


def item(text: str, role: str = "user") -> dict[str, Any]:
    """A client's message."""
    content = [{"type": "input_text", "text": text}]
    return {"type": "conversation.item.create", "item": {"type": "message", "role": role, "content": content}}


def created(name: str = "resp_1", **members: Any) -> dict[str, Any]:
    """The first event of a response."""
    response = {"id": name, "object": "realtime.response", "status": "in_progress", "output": [], **members}
    return {"type": "response.created", "event_id": "event_c", "response": response}


def done(name: str = "resp_1", *output: Mapping[str, Any], status: str = "completed") -> dict[str, Any]:
    """The last one."""
    usage = {"total_tokens": 7, "input_tokens": 3, "output_tokens": 4}
    response = {"id": name, "object": "realtime.response", "status": status, "output": list(output), "usage": usage}
    return {"type": "response.done", "event_id": "event_d", "response": response}


def at(name: str = "resp_1", index: int = 0) -> dict[str, Any]:
    """The addresses of events about the first content of an item."""
    return {"response_id": name, "item_id": f"item_{name}_{index}", "output_index": index, "content_index": 0}


def message(name: str, text: str, member: str = "text", index: int = 0) -> dict[str, Any]:
    """An item that says `text`."""
    content = {"type": "output_text" if member == "text" else "output_audio", member: text}
    head = {"id": f"item_{name}_{index}", "type": "message", "role": "assistant", "status": "completed"}
    return {**head, "content": [content]}


def opening(name: str = "resp_1", kind: str = "text", index: int = 0) -> list[dict[str, Any]]:
    """What comes before the first delta."""
    begun = {
        "id": f"item_{name}_{index}",
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    part = {"type": kind, "text" if kind == "text" else "transcript": ""}
    return [
        {"type": "response.output_item.added", "response_id": name, "output_index": index, "item": begun},
        {"type": "response.content_part.added", **at(name, index), "part": part},
    ]


def pieces(text: str, split: int, kind: str = "response.output_text", name: str = "resp_1") -> list[dict[str, Any]]:
    """Deltas."""
    cut = [text[start : start + split] for start in range(0, len(text), split)]
    return [
        {"type": f"{kind}.delta", "event_id": f"event_{n}", **at(name), "delta": piece} for n, piece in enumerate(cut)
    ]


def saying(text: str, split: int = 2, name: str = "resp_1") -> list[dict[str, Any]]:
    """A whole response that says `text`."""
    whole = message(name, text)
    return [
        created(name),
        *opening(name),
        *pieces(text, split, name=name),
        {"type": "response.output_text.done", **at(name), "text": text},
        {"type": "response.content_part.done", **at(name), "part": {"type": "text", "text": text}},
        {"type": "response.output_item.done", "response_id": name, "output_index": 0, "item": whole},
        done(name, whole),
    ]


SOUND = "AQIDBA=="


def sound(name: str = "resp_1", data: str = SOUND) -> dict[str, Any]:
    """A piece of sound."""
    return {"type": "response.output_audio.delta", **at(name), "delta": data}


def speaking(text: str, *, first: bool = False, name: str = "resp_1") -> list[dict[str, Any]]:
    """A whole response that speaks `text`, a piece of sound for each two characters, before or after its words."""
    kind = "response.output_audio_transcript"
    words = pieces(text, 2, kind, name)
    order = [(sound(name), word) if first else (word, sound(name)) for word in words]
    whole = message(name, text, "transcript")
    return [
        created(name),
        *opening(name, "audio"),
        *(event for pair in order for event in pair),
        {"type": "response.output_audio.done", **at(name)},
        {"type": f"{kind}.done", **at(name), "transcript": text},
        {"type": "response.content_part.done", **at(name), "part": {"type": "audio", "transcript": text}},
        {"type": "response.output_item.done", "response_id": name, "output_index": 0, "item": whole},
        done(name, whole),
    ]
