# SPDX-License-Identifier: Apache-2.0
"""The model behind the paced lanes: a lean server whose streams send an event every so many milliseconds.

Each event's content says when it was sent (`CLOCK_MONOTONIC` in nanoseconds, one clock for all processes of a machine),
so that the reader knows what the way cost. Events keep their own beat: a late one does not move the next. Requests
without `"stream": true` get the plain answer at once, for machines without nginx.

    python bench/paced.py --port 0 --events 150 --interval-ms 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import httptools

from bench import workload

_CHUNK = (
    '{"id":"chatcmpl-paced","object":"chat.completion.chunk","created":1767225600,"model":"bench",'
    '"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}'
)
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def sent_at(now_ns: int) -> str:
    """The content of an event that was sent at `now_ns`."""
    return f" at {now_ns}."


def event(data: str) -> bytes:
    """One event in one HTTP chunk."""
    body = f"data: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(body), body)


class Paced(asyncio.Protocol):
    """One connection: answers each request with a paced stream or the plain answer."""

    def __init__(self, events: int, interval_s: float, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._events = events
        self._interval_s = interval_s
        self._clock_ns = clock_ns
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._body: list[bytes] = []
        plain = workload.completion()
        self._plain = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(plain) + plain
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are no asyncio.Transport, only shaped like one.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below do the rest."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Start a new request."""
        self._body.clear()

    def on_body(self, data: bytes) -> None:
        """Gather the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Answer."""
        if json.loads(b"".join(self._body)).get("stream") is not True:
            self._transport.write(self._plain)
            return
        delta = '{"role":"assistant","content":""}'
        self._transport.write(_HEAD + event(_CHUNK % (delta, "null")))
        self._send(1, self._loop.time() + self._interval_s)

    def _send(self, number: int, due_s: float) -> None:
        if self._transport.is_closing():
            return
        if number <= self._events:
            self._loop.call_at(due_s, self._send_event, number, due_s)
            return
        self._transport.write(event(_CHUNK % ("{}", '"stop"')) + event("[DONE]") + b"0\r\n\r\n")

    def _send_event(self, number: int, due_s: float) -> None:
        if not self._transport.is_closing():
            content = json.dumps({"content": sent_at(self._clock_ns())})
            self._transport.write(event(_CHUNK % (content, "null")))
        self._send(number + 1, due_s + self._interval_s)


async def serve(port: int, events: int, interval_s: float) -> asyncio.Server:
    """The server on loopback; the caller closes it."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Paced(events, interval_s), "127.0.0.1", port, backlog=1_024)


async def _main(port: int, events: int, interval_s: float) -> None:
    server = await serve(port, events, interval_s)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    arguments = argparse.ArgumentParser(description="A model that streams an event every so many milliseconds.")
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--events", type=int, default=150)
    arguments.add_argument("--interval-ms", type=float, default=20.0)
    options = arguments.parse_args()
    uvloop.run(_main(options.port, options.events, options.interval_ms / 1e3))
