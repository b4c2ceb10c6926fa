# SPDX-License-Identifier: Apache-2.0
"""A scripted realtime model over WebSocket: says for each response what a test arranged, also wrongly.

A script is a list of steps for one response. It is taken from `scripts` in order, or from a text of the client's that
is JSON `{"script": [...]}`; without one the answer is `DEFAULT`. Steps:

- `{"say": text, "split": n}` text deltas; `{"speak": text, "split": n, "sound": n}` a transcript with n bytes of sound
  after each piece (`"first": true` puts all sound before it, `"wordless": true` leaves the transcript out);
- `{"call": name, "arguments": json, "split": n}` a function call;
- `{"event": {...}}` that event, with the id of this response in it; `{"raw": text}` that frame; `{"bytes": n}` a binary
  frame; `{"wait": seconds}`; `{"close": code}`; `{"lose": true}` drops the connection; `{"hear": text, "item": id}` a
  transcript of what the person said; `{"end": status}` another status of `response.done`; `{"silent": true}` no end.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

DEFAULT: tuple[Mapping[str, Any], ...] = ({"say": "Hello."},)
SAMPLE = b"\x01\x02"
USAGE = {"total_tokens": 7, "input_tokens": 3, "output_tokens": 4}


@dataclass
class Seen:
    """One session as the model saw it."""

    path: str
    headers: dict[str, str]
    events: list[dict[str, Any]] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    def kinds(self) -> list[str]:
        """The types of the events that came."""
        return [event["type"] for event in self.events]


class RealtimeUpstream:
    """The model. `is_beta` makes it speak the names of the beta."""

    def __init__(self) -> None:
        self.scripts: list[list[Mapping[str, Any]]] = []
        self.sessions: list[Seen] = []
        self.status = 0
        """A status with which handshakes are refused."""
        self.session: dict[str, Any] = {}
        """Members of the session that it tells of."""
        self.port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        self._server = await serve(
            self._session,
            "127.0.0.1",
            0,
            process_request=self._look,
            max_size=2**26,
            compression=None,
            subprotocols=["realtime"],
            select_subprotocol=lambda _, offered: "realtime" if "realtime" in offered else None,
        )  # type: ignore[arg-type]
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Stop."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(self.status, "no\n") if self.status else None

    async def _session(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        seen = Seen(request.path, {name.lower(): value for name, value in request.headers.raw_items()})
        self.sessions.append(seen)
        try:
            await _Talk(self, connection, seen).run()
        except ConnectionClosed:
            pass
        finally:
            seen.closed.set()


class _Talk:
    def __init__(self, upstream: RealtimeUpstream, connection: ServerConnection, seen: Seen) -> None:
        self._upstream = upstream
        self._connection = connection
        self._seen = seen
        self._count = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_beta = "realtime=v1" in seen.headers.get("openai-beta", "")
        self._session = {"id": "sess_1", "object": "realtime.session", "type": "realtime", "model": "m"}
        self._session |= upstream.session

    async def run(self) -> None:
        await self._say({"type": "session.created", "session": self._session})
        async for message in self._connection:
            event = json.loads(message)
            self._seen.events.append(event)
            await self._take(event)

    async def _say(self, event: Mapping[str, Any]) -> None:
        self._count += 1
        await self._connection.send(json.dumps({"event_id": f"event_{self._count}", **event}, ensure_ascii=False))

    async def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "session.update":
            self._session.update(event["session"])
            await self._say({"type": "session.updated", "session": self._session})
        elif kind == "conversation.item.create":
            item = {"id": f"item_u{self._count}", "object": "realtime.item", **event["item"]}
            await self._say({"type": "conversation.item.added", "previous_item_id": None, "item": item})
            texts = [part.get("text") or "" for part in item.get("content") or ()]
            for text in [*texts, str(item.get("output", ""))]:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    self._upstream.scripts.append(json.loads(text)["script"])
        elif kind == "response.create":
            if event.get("response", {}).get("metadata", {}).get("refuse"):
                error = {
                    "type": "invalid_request_error",
                    "code": "no",
                    "message": "no",
                    "event_id": event.get("event_id"),
                }
                await self._say({"type": "error", "error": error})
                return
            await self.respond()
        elif kind == "response.cancel":
            name = event.get("response_id") or next(iter(self._tasks), "")
            if name in self._tasks:
                self._tasks.pop(name).cancel()
                done = {"id": name, "object": "realtime.response", "status": "cancelled", "output": []}
                await self._say({"type": "response.done", "response": done})
        elif kind == "input_audio_buffer.commit":
            await self._say({"type": "input_audio_buffer.committed", "item_id": "item_heard", "previous_item_id": None})
            await self.respond()
        elif kind == "conversation.item.truncate":
            truncated = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
            await self._say({"type": "conversation.item.truncated", **truncated})
        elif kind == "conversation.item.retrieve":
            content = [{"type": "output_audio", "transcript": "what was said", "audio": "AAAA"}]
            item = {"id": event["item_id"], "type": "message", "role": "assistant", "content": content}
            await self._say({"type": "conversation.item.retrieved", "item": item})

    async def respond(self) -> None:
        scripts = self._upstream.scripts
        script = scripts.pop(0) if scripts else list(DEFAULT)
        self._count += 1
        name = f"resp_{id(self)}_{self._count}"
        task = asyncio.create_task(_Response(self, name, script, is_beta=self._is_beta).run())
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled():
            task.exception()


class _Response:
    def __init__(self, talk: _Talk, name: str, script: list[Mapping[str, Any]], *, is_beta: bool) -> None:
        self._talk = talk
        self._name = name
        self._script = script
        self._is_beta = is_beta
        self._items: list[dict[str, Any]] = []
        self._status = "completed"

    async def run(self) -> None:
        connection = self._talk._connection
        response = {"id": self._name, "object": "realtime.response", "status": "in_progress", "output": []}
        await self._say({"type": "response.created", "response": response})
        for step in self._script:
            if "say" in step:
                await self._message(step, "say", "text")
            elif "speak" in step:
                await self._message(step, "speak", "audio")
            elif "call" in step:
                await self._call(step)
            elif "event" in step:
                names = {"response_id": self._name} if "response" not in step["event"] else {}
                await self._say({**names, **step["event"]})
            elif "hear" in step:
                await self._hear(step)
            elif "raw" in step:
                await connection.send(step["raw"])
            elif "bytes" in step:
                await connection.send(b"\x00" * step["bytes"])
            elif "wait" in step:
                await asyncio.sleep(step["wait"])
            elif "close" in step:
                await connection.close(step["close"])
            elif "lose" in step:
                connection.transport.abort()
            elif "end" in step:
                self._status = step["end"]
            elif "silent" in step:
                await asyncio.Event().wait()
        done = {**response, "status": self._status, "output": self._items, "usage": USAGE}
        await self._say({"type": "response.done", "response": done})

    async def _say(self, event: Mapping[str, Any]) -> None:
        await self._talk._say(event)

    async def _hear(self, step: Mapping[str, Any]) -> None:
        stem = "conversation.item.input_audio_transcription."
        at = {"item_id": step.get("item", "item_heard"), "content_index": 0}
        for piece in _pieces(step["hear"], step.get("split", 0)):
            await self._say({"type": f"{stem}delta", **at, "delta": piece, "logprobs": None})
        await self._say({"type": f"{stem}completed", **at, "transcript": step["hear"], "usage": {"type": "tokens"}})

    async def _message(self, step: Mapping[str, Any], member: str, kind: str) -> None:
        index = len(self._items)
        item = {"id": f"item_{self._name}_{index}", "object": "realtime.item", "type": "message", "role": "assistant"}
        at = {"response_id": self._name, "output_index": index}
        begun = {**item, "status": "in_progress", "content": []}
        await self._say({"type": "response.output_item.added", **at, "item": begun})
        await self._say({"type": "conversation.item.added", "previous_item_id": None, "item": begun})
        text = step[member]
        says = "text" if kind == "text" else "transcript"
        at = {**at, "item_id": item["id"], "content_index": 0}
        await self._say({"type": "response.content_part.added", **at, "part": {"type": kind, says: ""}})
        stem = "response." if self._is_beta else "response.output_"
        words = f"{stem}text" if kind == "text" else f"{stem}audio_transcript"
        sound = {"type": f"{stem}audio.delta", **at, "delta": base64.b64encode(SAMPLE * step.get("sound", 8)).decode()}
        pieces = _pieces(text, step.get("split", 0))
        if kind == "audio" and step.get("first"):
            for _ in pieces:
                await self._say(sound)
        for piece in pieces:
            if not step.get("wordless"):
                await self._say({"type": f"{words}.delta", **at, "delta": piece})
            if kind == "audio" and not step.get("first"):
                await self._say(sound)
            if step.get("pace"):
                await asyncio.sleep(step["pace"])
        if step.get("wordless"):
            text = ""
        if kind == "audio":
            await self._say({"type": f"{stem}audio.done", **at})
        await self._say({"type": f"{words}.done", **at, says: text})
        content = {"type": ("" if self._is_beta else "output_") + kind, says: text}
        await self._say({"type": "response.content_part.done", **at, "part": {"type": kind, says: text}})
        whole = {**item, "status": "completed", "content": [content]}
        await self._say({"type": "conversation.item.done", "previous_item_id": None, "item": whole})
        done = {"response_id": self._name, "output_index": index, "item": whole}
        await self._say({"type": "response.output_item.done", **done})
        self._items.append(whole)

    async def _call(self, step: Mapping[str, Any]) -> None:
        index = len(self._items)
        item = {"id": f"item_{self._name}_{index}", "object": "realtime.item", "type": "function_call"}
        item |= {"name": step["call"], "call_id": "call_1"}
        at = {"response_id": self._name, "output_index": index}
        begun = {**item, "status": "in_progress", "arguments": ""}
        await self._say({"type": "response.output_item.added", **at, "item": begun})
        at = {**at, "item_id": item["id"], "call_id": "call_1"}
        stem = "response.function_call_arguments"
        for piece in _pieces(step["arguments"], step.get("split", 0)):
            await self._say({"type": f"{stem}.delta", **at, "delta": piece})
        await self._say({"type": f"{stem}.done", **at, "name": step["call"], "arguments": step["arguments"]})
        whole = {**item, "status": "completed", "arguments": step["arguments"]}
        await self._say(
            {"type": "response.output_item.done", "response_id": self._name, "output_index": index, "item": whole}
        )
        self._items.append(whole)


def _pieces(text: str, split: int) -> list[str]:
    return [text[at : at + split] for at in range(0, len(text), split)] if split else [text]


@contextlib.asynccontextmanager
async def serve_realtime() -> AsyncIterator[RealtimeUpstream]:
    """The model in this loop while the context lasts."""
    upstream = RealtimeUpstream()
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


@contextlib.contextmanager
def realtime_in_thread() -> Iterator[RealtimeUpstream]:
    """The model in a loop of its own while the context lasts."""
    upstream = RealtimeUpstream()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="realtime", daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(upstream.start(), loop).result(10)
    try:
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(upstream.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
