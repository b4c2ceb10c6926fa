# SPDX-License-Identifier: Apache-2.0
"""A model API that behaves as a test tells it to, over a real socket.

It is a small HTTP/1.1 server that writes its bytes itself, because the point is to be wrong on purpose: to cut an
answer anywhere, to break off, to lie about a length, to say nothing at all. What it saw is kept for the test.

A `Script` says how one request is answered. Where it comes from, first found first: the request's `metadata.script`
(an object or JSON text), its `X-Script` header (JSON), the scripts by model name, the scripts queued with
`POST /_script`, the server's default.

In a test: `async with serve_scripted(Script(text="...")) as upstream: upstream.url, upstream.seen`, or from a test
without a loop `with scripted_in_thread() as upstream`, or as a process of its own:
`python tests/upstreams/scripted.py --port 0`, which prints its port on a line and then answers `POST /_script`,
`GET /_seen` and `POST /_reset` besides.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import socket
import struct
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, Literal, cast

import httptools

COMPLETION_ID = "chatcmpl-scripted0001"
DEFAULT_TEXT = "Hello."
CREATED_S = 1_700_000_000
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@dataclass(frozen=True, slots=True)
class Script:
    """How one request is answered. Everything may be left out: then it is "Hello." in the form that was asked for.

    What is said
    `text`, or `texts` with one text a choice (a single text answers every choice that `n` asks for); `reasoning`,
    `refusal`, `tool_calls` (each `{"id", "name", "arguments"}`) belong to every choice, and the last two take the place
    of the default text. `split` is how many characters a delta holds (0: all of it). `deltas` replaces all of these by
    the exact pieces in the order of the wire: a text for choice 0, or `{"choice", "channel", "text"}` with channel
    content (as without one), reasoning_content, refusal or tool (then `call`, and `id` and `name` where the call
    starts), or `{"choice", "raw": {...}}` for a delta as it stands, each with an optional `delay_s`. `finish` is the
    reason, or one a choice (null: none is sent). `logprobs` adds them to content. `huge` repeats the text until it has
    about that many bytes. `ascii` escapes what is not ASCII. `extra`, `choice_extra`, `message_extra` are merged into
    the documents, the choices, and the messages (or first deltas). `usage` sends usage even unasked; `done` sends
    `[DONE]`.

    Instead of an answer
    `status` with `error` (a message, sent as OpenAI's error object) or `body` (any JSON); `raw_events` (texts sent as
    the `data:` of events); `raw` (text) or `raw_base64` (bytes) as the whole body; `content_type`; `headers`;
    `retry_after_s`; `answers_as` "stream" or "plain" whatever was asked. `garbage`: "http" is no HTTP at all, "json" a
    200 that is not JSON, "sse" events that are not JSON, "chunk" a broken chunk size, "utf8" a text with broken UTF-8.

    How it is written
    `newline` of the events; `comments` puts keep-alive comments between them; `event_fields` adds event, id and retry
    lines; `bom` starts the body with a byte order mark; `cut_tail` leaves out the last empty line. `gzip` compresses.
    `framing` is chunked, length or close (none: chunked for a stream, length for a plain answer); `length_error` is
    added to Content-Length. `writes` cuts the body at these positions, or every so many bytes; `wire_writes` cuts
    everything every so many bytes, head and chunk sizes too; `write_delay_s` waits between writes.

    When
    `delay_s` before the head, `first_delay_s` between head and body, `event_delay_s` before each further event.
    `hang`: "before" the head, after the "head", in the "middle" of the body, before the "end". `break_at` closes after
    so many bytes of the body, `break_in_event` in the middle of that event; `break_how` is "fin" or "rst".
    `close` ends the connection after the answer.
    """

    text: str = DEFAULT_TEXT
    texts: tuple[str, ...] = ()
    split: int = 0
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[Mapping[str, str], ...] = ()
    deltas: tuple[Any, ...] = ()
    finish: str | tuple[str | None, ...] | None = None
    logprobs: bool = False
    huge: int = 0
    ascii: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    choice_extra: Mapping[str, Any] = field(default_factory=dict)
    message_extra: Mapping[str, Any] = field(default_factory=dict)
    usage: bool = False
    done: bool = True

    status: int = 200
    error: str = ""
    body: Any = None
    raw_events: tuple[str, ...] = ()
    raw: str | None = None
    raw_base64: str = ""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: int = 0
    answers_as: Literal["", "stream", "plain"] = ""
    garbage: Literal["", "http", "json", "sse", "chunk", "utf8"] = ""

    newline: str = "\n"
    comments: bool = False
    event_fields: bool = False
    bom: bool = False
    cut_tail: bool = False
    gzip: bool = False
    framing: Literal["", "chunked", "length", "close"] = ""
    length_error: int = 0
    writes: int | tuple[int, ...] = 0
    wire_writes: int = 0
    write_delay_s: float = 0.0

    delay_s: float = 0.0
    first_delay_s: float = 0.0
    event_delay_s: float = 0.0
    hang: Literal["", "before", "head", "middle", "end"] = ""
    break_at: int = -1
    break_in_event: int = -1
    break_how: Literal["fin", "rst"] = "fin"
    close: bool = False

    @property
    def breaks_off(self) -> bool:
        """Whether the connection ends before the answer does."""
        return self.break_at >= 0 or self.break_in_event >= 0

    @classmethod
    def of(cls, wanted: Script | Mapping[str, Any] | str | None) -> Script:
        """A script from JSON, from a mapping, or as it is. Raises `ValueError` where a key is unknown."""
        if isinstance(wanted, Script):
            return wanted
        if isinstance(wanted, str):
            wanted = json.loads(wanted)
        if not isinstance(wanted, Mapping):
            if wanted is None:
                return cls()
            raise ValueError("expected a script to be an object")
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(set(wanted) - known):
            raise ValueError(f"unknown in a script: {', '.join(unknown)}")
        return cls(**{key: _frozen(key, value) for key, value in wanted.items()})


def _frozen(key: str, value: Any) -> Any:
    return tuple(value) if isinstance(value, list) and key != "body" else value


@dataclass(slots=True)
class Seen:
    """One request as it arrived, and what became of its answer. Times are `time.monotonic` seconds."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    arrived_s: float
    sent_bytes: int = 0
    finished_s: float | None = None
    """When the whole answer, or all that the script allows of it, was written."""
    cancelled_s: float | None = None
    """When the client went away before that."""
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def was_cancelled(self) -> bool:
        """Whether the client left before the answer was complete."""
        return self.cancelled_s is not None

    def header(self, name: str) -> str | None:
        """The first header of that name, None where there is none."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    def document(self) -> dict[str, Any]:
        """What `GET /_seen` says about it."""
        try:
            body = json.loads(self.body)
        except ValueError:
            body = None
        return {
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": body,
            "body_base64": base64.b64encode(self.body).decode(),
            "connection": self.connection,
            "arrived_s": self.arrived_s,
            "sent_bytes": self.sent_bytes,
            "finished_s": self.finished_s,
            "cancelled_s": self.cancelled_s,
        }


class ScriptedUpstream:
    """The server. `seen` are the requests for answers, in the order of arrival; `connections` those open now."""

    def __init__(
        self,
        script: Script | Mapping[str, Any] | str | None = None,
        scripts: Mapping[str, Script | Mapping[str, Any]] | None = None,
    ) -> None:
        self.default = Script.of(script)
        self.scripts = {model: Script.of(wanted) for model, wanted in (scripts or {}).items()}
        self.queued: deque[Script] = deque()
        self.seen: list[Seen] = []
        self.connections: set[asyncio.Transport] = set()
        self.connections_made = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it listens, without a trailing /v1."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; 0 is a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port, backlog=1_024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Drop every connection and end."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        for transport in tuple(self.connections):
            transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def reset(self) -> None:
        """Forget what was seen and queued."""
        self.seen.clear()
        self.queued.clear()

    async def requests(self, count: int, timeout_s: float = 5.0) -> list[Seen]:
        """The first `count` requests, waiting until they are there. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            while len(self.seen) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.seen[:count]

    async def ended(self, index: int = 0, timeout_s: float = 5.0) -> Seen:
        """Request number `index` after its answer was complete, broken off or cancelled. Raises `TimeoutError`."""
        seen = (await self.requests(index + 1, timeout_s))[index]
        async with asyncio.timeout(timeout_s):
            await seen.ended.wait()
        return seen

    def _control(self, seen: Seen) -> tuple[int, Any]:
        """Answer what a test asks of the server itself."""
        if seen.path == "/_seen":
            return 200, [entry.document() for entry in self.seen]
        if seen.path == "/_reset":
            self.reset()
            self.scripts.clear()
            self.default = Script()
            return 200, {}
        try:
            wanted = seen.json
            script = Script.of(wanted["script"])
        except (ValueError, KeyError, TypeError) as error:
            return 400, {"error": str(error)}
        if "model" in wanted:
            self.scripts[wanted["model"]] = script
        elif wanted.get("once"):
            self.queued.append(script)
        else:
            self.default = script
        return 200, {}

    def _script_for(self, seen: Seen) -> Script:
        try:
            request = json.loads(seen.body)
        except ValueError:
            request = {}
        if not isinstance(request, dict):
            request = {}
        metadata = request.get("metadata")
        if isinstance(metadata, dict) and metadata.get("script"):
            return Script.of(metadata["script"])
        if (header := seen.header("x-script")) is not None:
            return Script.of(header)
        if isinstance(model := request.get("model"), str) and model in self.scripts:
            return self.scripts[model]
        return self.queued.popleft() if self.queued else self.default


@contextlib.asynccontextmanager
async def serve_scripted(
    script: Script | Mapping[str, Any] | str | None = None,
    scripts: Mapping[str, Script | Mapping[str, Any]] | None = None,
    *,
    port: int = 0,
) -> AsyncIterator[ScriptedUpstream]:
    """The server in this loop while the context lasts."""
    upstream = ScriptedUpstream(script, scripts)
    await upstream.start(port)
    try:
        yield upstream
    finally:
        await upstream.stop()


@contextlib.contextmanager
def scripted_in_thread(
    script: Script | Mapping[str, Any] | str | None = None,
    scripts: Mapping[str, Script | Mapping[str, Any]] | None = None,
    *,
    port: int = 0,
) -> Iterator[ScriptedUpstream]:
    """The server in a thread of its own, for tests without a loop, which may use `url`, `seen` and the scripts."""
    started = threading.Event()
    holder: dict[str, Any] = {}

    async def run() -> None:
        holder["stop"] = asyncio.Event()
        holder["loop"] = asyncio.get_running_loop()
        try:
            async with serve_scripted(script, scripts, port=port) as upstream:
                holder["upstream"] = upstream
                started.set()
                await holder["stop"].wait()
        finally:
            started.set()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="scripted-upstream", daemon=True)
    thread.start()
    started.wait(10)
    if "upstream" not in holder:
        raise RuntimeError("the scripted upstream did not start")
    try:
        yield holder["upstream"]
    finally:
        holder["loop"].call_soon_threadsafe(holder["stop"].set)
        thread.join(10)


# ---- the connection

_Step = tuple[float, bytes | None]
"""Wait so many seconds, then write; None waits for ever."""


class _Connection(asyncio.Protocol):
    """One client connection: parses requests, writes answers one at a time, notices when the client leaves."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._writable = asyncio.Event()
        self._writable.set()
        self._current: Seen | None = None
        self._waiting: deque[Seen] = deque()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, only shaped like one.
        self._transport = cast(asyncio.Transport, transport)
        self._upstream.connections_made += 1
        self._number = self._upstream.connections_made
        self._upstream.connections.add(self._transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.connections.discard(self._transport)
        self._writable.set()
        if self._current is not None and self._current.finished_s is None:
            self._current.cancelled_s = time.monotonic()
            self._current.ended.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if any(name == "expect" for name, _ in self._headers):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        body = b"".join(self._body)
        self._waiting.append(Seen(method, self._url.decode(), self._headers, body, self._number, time.monotonic()))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer_waiting())
            self._upstream._tasks.add(self._task)
            self._task.add_done_callback(self._upstream._tasks.discard)

    async def _answer_waiting(self) -> None:
        while self._waiting:
            seen = self._waiting.popleft()
            if seen.path.startswith("/_"):
                status, document = self._upstream._control(seen)
                self._transport.write(_plain_response(status, json.dumps(document).encode()))
                continue
            self._current = seen
            self._upstream.seen.append(seen)
            self._upstream._arrived.set()
            try:
                script = self._upstream._script_for(seen)
                steps = _steps(script, seen)
            except (ValueError, KeyError, TypeError) as error:
                problem = json.dumps({"error": {"message": f"broken script: {error!r}"}}).encode()
                self._transport.write(_plain_response(500, problem))
            else:
                await self._play(script, steps, seen)
            seen.finished_s = time.monotonic()
            seen.ended.set()
            self._current = None
        self._task = None

    async def _play(self, script: Script, steps: list[_Step], seen: Seen) -> None:
        if script.delay_s:
            await asyncio.sleep(script.delay_s)
        if script.hang == "before":
            await asyncio.Event().wait()
        first = True
        for delay_s, data in steps:
            wait_s = delay_s if delay_s or first else script.write_delay_s
            first = False
            if data is None:
                await asyncio.Event().wait()
                continue
            # Even without a pause the write below should be a packet of its own, and the loop must see a client leave.
            await asyncio.sleep(wait_s)
            await self._writable.wait()
            self._transport.write(data)
            seen.sent_bytes += len(data)
        if script.breaks_off:
            if script.break_how == "rst":
                linger = struct.pack("ii", 1, 0)
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._transport.abort()
            else:
                self._transport.close()
        elif script.close or script.framing == "close" or script.garbage in ("http", "chunk") or script.length_error:
            self._transport.close()


def _plain_response(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


# ---- from a script to bytes


def _steps(script: Script, seen: Seen) -> list[_Step]:
    """Everything to write in answer to `seen`, in order, with the waits."""
    if script.garbage == "http":
        return [(0.0, b"\x00\x01\x02 this is no HTTP\r\n\r\n")]
    is_stream, content_type, body = _body(script, seen)
    if script.gzip:
        body = _gzipped(body)
    framing = script.framing or ("chunked" if is_stream else "length")
    length = max(0, sum(len(data) for _, data in body) + script.length_error)
    head = [f"HTTP/1.1 {script.status} Scripted", f"Content-Type: {content_type}"]
    frame = {
        "chunked": "Transfer-Encoding: chunked",
        "length": f"Content-Length: {length}",
        "close": "Connection: close",
    }
    head.append(frame[framing])
    if script.gzip:
        head.append("Content-Encoding: gzip")
    if script.retry_after_s:
        head.append(f"Retry-After: {script.retry_after_s}")
    head.extend(f"{name}: {value}" for name, value in script.headers.items())
    steps: list[_Step] = [(0.0, ("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))]
    if script.hang == "head":
        return [*steps, (0.0, None)]
    body = _cut(_broken_off(script, body), script.writes)
    if body and script.first_delay_s:
        body[0] = (script.first_delay_s, body[0][1])
    if script.hang == "middle":
        body = _first(body, sum(len(data) for _, data in body) // 2)
    elif script.hang == "end" and framing == "length":
        body = _first(body, length - 1)
    framed = [(delay_s, _chunk(data) if framing == "chunked" else data) for delay_s, data in body if data]
    if framing == "chunked":
        if script.garbage == "chunk":
            framed.append((0.0, b"zz\r\n"))
        elif not (script.hang or script.breaks_off):
            framed.append((0.0, b"0\r\n\r\n"))
    steps = list(_cut([(0.0, steps[0][1] or b""), *framed], script.wire_writes))
    return [*steps, (0.0, None)] if script.hang else steps


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _gzipped(body: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """The body compressed piece by piece, so that a stream stays one."""
    packer = zlib.compressobj(wbits=31)
    packed = [(delay_s, packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)) for delay_s, data in body]
    return [*packed, (0.0, packer.flush())]


def _broken_off(script: Script, body: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    if 0 <= script.break_in_event < len(body):
        before = sum(len(data) for _, data in body[: script.break_in_event])
        return _first(body, before + len(body[script.break_in_event][1]) // 2)
    return _first(body, script.break_at) if script.break_at >= 0 else body


def _first(body: list[tuple[float, bytes]], size: int) -> list[tuple[float, bytes]]:
    """The first `size` bytes of the body, in the same pieces."""
    kept: list[tuple[float, bytes]] = []
    for delay_s, data in body:
        if size > 0:
            kept.append((delay_s, data[:size]))
        size -= len(data)
    return kept


def _cut(pieces: list[tuple[float, bytes]], cuts: int | tuple[int, ...]) -> list[tuple[float, bytes]]:
    """The same bytes in other pieces: cut at the given positions, or every so many bytes of the whole."""
    if not cuts:
        return pieces
    whole = sum(len(data) for _, data in pieces)
    wanted = set(range(cuts, whole, cuts)) if isinstance(cuts, int) else {at for at in cuts if 0 < at < whole}
    # With cuts every so many bytes the pieces are exactly those: what was one write before does not matter.
    start = 0
    delays: dict[int, float] = {}
    for delay_s, data in pieces:
        delays[start] = max(delay_s, delays.get(start, 0.0))
        start += len(data)
    joined = b"".join(data for _, data in pieces)
    edges = sorted(wanted | {at for at, delay_s in delays.items() if delay_s and at < whole} | {0, whole})
    return [(delays.get(low, 0.0), joined[low:high]) for low, high in pairwise(edges)]


def _body(script: Script, seen: Seen) -> tuple[bool, str, list[tuple[float, bytes]]]:
    """Whether it is a stream, its content type, and the body in pieces with the wait before each."""
    try:
        request = json.loads(seen.body or b"{}")
    except ValueError:
        request = {}
    request = request if isinstance(request, dict) else {}
    is_stream = request.get("stream") is True if not script.answers_as else script.answers_as == "stream"
    as_json, as_events = script.content_type or "application/json", script.content_type or "text/event-stream"
    document: Any = None
    if script.raw_base64 or script.raw is not None:
        data = base64.b64decode(script.raw_base64) if script.raw_base64 else (script.raw or "").encode()
        return is_stream, as_events if is_stream else as_json, [(0.0, data)]
    if script.error:
        kind = "server_error" if script.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if script.status == 429 else kind
        document = {"error": {"message": script.error, "type": kind, "param": None, "code": None}}
    elif script.body is not None:
        document = script.body
    elif seen.method == "GET" and seen.path == "/v1/models":
        model = {"id": "scripted", "object": "model", "created": CREATED_S, "owned_by": "tests"}
        document = {"object": "list", "data": [model]}
    if document is not None:
        return False, as_json, [(0.0, json.dumps(document, ensure_ascii=script.ascii).encode())]
    if script.garbage == "json":
        return False, as_json, [(0.0, b'{"id": "chatcmpl-1", "choices": [oops')]
    deltas = _deltas(script, request)
    if not is_stream:
        data = json.dumps(_completion(script, deltas, request), ensure_ascii=script.ascii).encode()
        return False, as_json, [(0.0, _spoilt(script, data))]
    events: list[tuple[float, bytes]] = []
    for number, (delay_s, payload) in enumerate(_payloads(script, deltas, request)):
        wait_s = delay_s or (script.event_delay_s if number else 0.0)
        events.append((wait_s, _spoilt(script, _event(script, number, payload))))
    if script.bom:
        events[0] = (events[0][0], b"\xef\xbb\xbf" + events[0][1])
    if script.cut_tail:
        events[-1] = (events[-1][0], events[-1][1].rstrip(b"\r\n"))
    return True, as_events, events


def _spoilt(script: Script, data: bytes) -> bytes:
    """The data with a byte that is no UTF-8 at the start of the content, where the script wants that."""
    return data.replace(b'"content": "', b'"content": "\xff') if script.garbage == "utf8" else data


def _event(script: Script, number: int, payload: str) -> bytes:
    lines = [": keep-alive", ""] if script.comments else []
    if script.event_fields:
        lines += ["event: message", f"id: {number}", "retry: 1000"]
    lines += [*(f"data: {line}" for line in payload.split("\n")), "", ""]
    return script.newline.join(lines).encode()


def _deltas(script: Script, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pieces of the answer in the order of the wire, in their long form."""
    if script.deltas:
        given = [
            {"choice": 0, "channel": "content", **({"text": p} if isinstance(p, str) else p)} for p in script.deltas
        ]
        if not {piece["channel"] for piece in given} <= {"content", "reasoning_content", "refusal", "tool"}:
            raise ValueError("a delta's channel is content, reasoning_content, refusal or tool")
        return given
    texts = script.texts or (script.text,) * int(request.get("n") or 1)
    lanes: list[list[dict[str, Any]]] = []
    for choice, text in enumerate(texts):
        if script.huge:
            text = (text * (script.huge // max(1, len(text.encode())) + 1))[: script.huge]
        lane: list[dict[str, Any]] = []
        says_text = not (script.refusal or script.tool_calls) or text != DEFAULT_TEXT
        said = {"reasoning_content": script.reasoning, "content": text if says_text else "", "refusal": script.refusal}
        for channel, whole in said.items():
            lane += [{"choice": choice, "channel": channel, "text": piece} for piece in _pieces(whole, script.split)]
        for number, call in enumerate(script.tool_calls):
            own = {"choice": choice, "channel": "tool", "call": number}
            pieces = _pieces(call.get("arguments", ""), script.split) or [""]
            lane.append(
                {**own, "id": call.get("id", f"call_{choice}{number}"), "name": call["name"], "text": pieces[0]}
            )
            lane += [{**own, "text": piece} for piece in pieces[1:]]
        lanes.append(lane)
    longest = max(map(len, lanes))
    return [lane[at] for at in range(longest) for lane in lanes if at < len(lane)]


def _pieces(text: str, split: int) -> list[str]:
    if not text:
        return []
    return [text[at : at + split] for at in range(0, len(text), split)] if split > 0 else [text]


def _finish(script: Script, choice: int, deltas: list[dict[str, Any]]) -> str | None:
    if isinstance(script.finish, str):
        return script.finish
    if script.finish is not None:
        return script.finish[choice]
    return "tool_calls" if any(d["choice"] == choice and d.get("channel") == "tool" for d in deltas) else "stop"


def _logprobs(script: Script, channel: str, pieces: list[str]) -> Any:
    if not script.logprobs or channel not in ("content", "refusal"):
        return None
    entries = []
    for piece in pieces:
        own = {"token": piece, "logprob": -0.25, "bytes": list(piece.encode())}
        entries.append({**own, "top_logprobs": [own, {"token": "other", "logprob": -2.5, "bytes": list(b"other")}]})
    return {"content": None, "refusal": None, channel: entries}


def _choices(deltas: list[dict[str, Any]]) -> list[int]:
    return sorted({piece["choice"] for piece in deltas}) or [0]


def _completion(script: Script, deltas: list[dict[str, Any]], request: Mapping[str, Any]) -> dict[str, Any]:
    """The plain answer that the pieces add up to."""
    choices = []
    for choice in _choices(deltas):
        own = [piece for piece in deltas if piece["choice"] == choice and "raw" not in piece]
        said = {
            channel: [piece["text"] for piece in own if piece["channel"] == channel]
            for channel in ("content", "refusal", "reasoning_content")
        }
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(said["content"]) if said["content"] else None,
            "refusal": "".join(said["refusal"]) if said["refusal"] else None,
        }
        if said["reasoning_content"]:
            message["reasoning_content"] = "".join(said["reasoning_content"])
        calls: dict[int, dict[str, Any]] = {}
        for piece in own:
            if piece["channel"] == "tool":
                empty = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
                call = calls.setdefault(piece.get("call", 0), empty)
                call["id"] += piece.get("id", "")
                call["function"]["name"] += piece.get("name", "")
                call["function"]["arguments"] += piece.get("text", "")
        if calls:
            message["tool_calls"] = [calls[number] for number in sorted(calls)]
        for piece in deltas:
            if piece["choice"] == choice and "raw" in piece:
                message.update(piece["raw"])
        choices.append(
            {
                "index": choice,
                "message": {**message, **script.message_extra},
                "logprobs": _logprobs(script, "content", said["content"]),
                "finish_reason": _finish(script, choice, deltas),
                **script.choice_extra,
            }
        )
    model = request.get("model", "scripted")
    head = {"id": COMPLETION_ID, "object": "chat.completion", "created": CREATED_S, "model": model}
    return {**head, "choices": choices, "usage": USAGE, **script.extra}


def _payloads(script: Script, deltas: list[dict[str, Any]], request: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    """What stands in each event of the streamed answer, and the wait before it."""
    if script.garbage == "sse":
        yield 0.0, "{this is no JSON"
        return
    if script.raw_events:
        yield from ((0.0, payload) for payload in script.raw_events)
        return
    model = request.get("model", "scripted")
    head = {
        "id": COMPLETION_ID,
        "object": "chat.completion.chunk",
        "created": CREATED_S,
        "model": model,
        **script.extra,
    }
    options = request.get("stream_options")
    wants_usage = script.usage or (isinstance(options, dict) and options.get("include_usage") is True)

    def chunk(choice: int, delta: dict[str, Any], logprobs: Any = None, finish: str | None = None) -> str:
        entry = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish, **script.choice_extra}
        document = {**head, "choices": [entry], **({"usage": None} if wants_usage else {})}
        return json.dumps(document, ensure_ascii=script.ascii)

    for choice in _choices(deltas):
        yield 0.0, chunk(choice, {"role": "assistant", "content": "", **script.message_extra})
    for piece in deltas:
        delay_s = piece.get("delay_s", 0.0)
        if "raw" in piece:
            yield delay_s, chunk(piece["choice"], piece["raw"])
            continue
        channel, text = piece["channel"], piece.get("text", "")
        if channel == "tool":
            call: dict[str, Any] = {"index": piece.get("call", 0), "function": {"arguments": text}}
            if "name" in piece:
                call["function"] = {"name": piece["name"], "arguments": text}
                call.update(id=piece.get("id", "call_0"), type="function")
            yield delay_s, chunk(piece["choice"], {"tool_calls": [call]})
        else:
            yield delay_s, chunk(piece["choice"], {channel: text}, _logprobs(script, channel, [text]))
    for choice in _choices(deltas):
        finish = _finish(script, choice, deltas)
        if finish is not None:
            yield 0.0, chunk(choice, {}, finish=finish)
    if wants_usage:
        yield 0.0, json.dumps({**head, "choices": [], "usage": USAGE})
    if script.done:
        yield 0.0, "[DONE]"


# ---- as a process


async def _main(port: int, script: str | None) -> None:
    async with serve_scripted(script, port=port) as upstream:
        print(upstream.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A model API that behaves as its script says.")
    arguments.add_argument("--port", type=int, default=0, help="0: a free port, printed on the first line")
    arguments.add_argument("--script", default=None, help="the default script, JSON")
    options = arguments.parse_args()
    try:
        asyncio.run(_main(options.port, options.script))
    except KeyboardInterrupt:
        sys.exit(130)
