# SPDX-License-Identifier: Apache-2.0
"""The sample model: a small OpenAI-compatible API that answers without any model, so that everything runs offline.

It is an ASGI application of its own. `dutybound serve --upstream sample` starts it on a free loopback port and talks to
it over a socket, exactly as to a real API. Its wire is OpenAI's chat completions, streamed and plain, with `n`, `stop`,
`max_tokens`, `logprobs`, `reasoning_effort`, `response_format`, `tools` and `stream_options`.

What must hold: the same request gives the same answer; an answer says what the sample is, in Chinese where the prompt
holds Chinese and in English otherwise; nothing of a prompt is repeated but counts; wrong input gets an error in
OpenAI's format that names the field and never its value.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import orjson
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.sample_answer import answer, chunks, completion
from gateway.sample_request import MODEL_ID, SampleError, read

__all__ = ["MAX_BODY_BYTES", "MODEL_ID", "create_sample_app", "serve_sample"]

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Larger than the gateway's own default limit, so that the gateway's is the one that people meet."""
MODEL_CREATED_S: Final = 1_767_225_600
"""When the sample model was made, 2026-01-01 in seconds since the epoch."""

_MODEL: Final = {"id": MODEL_ID, "object": "model", "created": MODEL_CREATED_S, "owned_by": "dutybound"}


def create_sample_app(*, clock: Callable[[], float] = time.time, pace_s: float = 0.0) -> ASGIApp:
    """The sample model as an ASGI application.

    `clock` gives seconds since the epoch for `created`; `pace_s` is the pause after each event of a stream.
    """
    return _Sample(clock, pace_s)


class _Sample:
    def __init__(self, clock: Callable[[], float], pace_s: float) -> None:
        self._clock = clock
        self._pace_s = pace_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            await self._route(scope, receive, send)
        except SampleError as error:
            await _send_json(send, error.status, error.document)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        wanted = "POST" if path == "/v1/chat/completions" else "GET"
        if path not in ("/v1/chat/completions", "/v1/models") and not path.startswith("/v1/models/"):
            raise SampleError("The sample model has no such path.", code="unknown_url", status=404)
        if method != wanted:
            raise SampleError(f"Expected {wanted} on this path.", code="method_not_supported", status=405)
        if path == "/v1/models":
            await _send_json(send, 200, {"object": "list", "data": [_MODEL]})
        elif path == f"/v1/models/{MODEL_ID}":
            await _send_json(send, 200, _MODEL)
        elif wanted == "GET":
            raise SampleError(f"The only model here is {MODEL_ID}.", "model", code="model_not_found", status=404)
        else:
            await self._complete(await _body(receive), receive, send)

    async def _complete(self, body: bytes, receive: Receive, send: Send) -> None:
        ask = read(body)
        completion_id = "chatcmpl-" + hashlib.sha256(body).hexdigest()[:29]
        answers = tuple(answer(ask, index, completion_id) for index in range(ask.choices))
        head = {
            "id": completion_id,
            "created": int(self._clock()),
            "model": MODEL_ID,
            "system_fingerprint": "fp_sample",
        }
        if ask.streams:
            await self._stream(chunks(ask, answers, head), receive, send)
        else:
            await _send_json(send, 200, completion(ask, answers, head))

    async def _stream(self, documents: Iterator[dict[str, Any]], receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.ensure_future(receive())
        try:
            for document in documents:
                event = b"data: " + orjson.dumps(document) + b"\n\n"
                await send({"type": "http.response.body", "body": event, "more_body": True})
                # Without a pause the event loop still has to learn of a client that left.
                await asyncio.sleep(self._pace_s)
                if gone.done():
                    return
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        finally:
            gone.cancel()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SampleError("The request ended before its body was complete.", code="incomplete_body")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise SampleError(f"Expected at most {MAX_BODY_BYTES} bytes.", code="request_too_large", status=413)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _send_json(send: Send, status: int, document: object) -> None:
    body = orjson.dumps(document)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# ---- serving


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's process: it leaves signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process that runs the sample, not to the sample."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then tell who waits."""
        await super().startup(sockets)
        self.listens.set()


@contextlib.asynccontextmanager
async def serve_sample(*, port: int = 0, pace_s: float = 0.0) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """The sample model on loopback while the context lasts; gives the server and its port (`port` 0: a free one).

    Raises `OSError` where the port cannot be had.
    """
    listener = socket.create_server(("127.0.0.1", port), backlog=1_024)
    config = uvicorn.Config(
        create_sample_app(pace_s=pace_s),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="dutybound-sample")
    try:
        ready = asyncio.create_task(server.listens.wait())
        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await task
            raise OSError("the sample model ended before it could listen")
        yield server, listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait((task,))
        listener.close()
