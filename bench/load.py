# SPDX-License-Identifier: Apache-2.0
"""The load: requests as fast as they are answered over so many connections, and paced streams read to their end.

A lean asyncio protocol on httptools, in a process and on a core of its own. Plain requests use it only where `wrk` is
missing, because wrk costs a third of it. Prints one line of JSON:
`{"requests", "seconds", "p50_ms", "p99_ms", "failed", "bytes"}` for plain, and for paced streams
`{"events", "expected", "seconds", "delay_p50_ms", "delay_p99_ms", "gap_p50_ms", "gap_p99_ms", "first_p50_ms",
"failed"}`
where delay is from the model's write to the reader's read, gap between two events of a stream, first from the request
to the first event.

    python bench/load.py plain --port 8080 --requests FILE --connections 64 --seconds 3
    python bench/load.py paced --port 8080 --requests FILE --connections 50 --events 150 --timeout-s 30
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import httptools

from bench import workload

_SENT_AT = re.compile(rb" at (\d+)\.")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by nearest rank; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def rendered(request: workload.Request, port: int) -> bytes:
    """The request as HTTP/1.1."""
    head = (
        f"POST {workload.PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer bench\r\nDuty-Subject: {request.token}\r\nContent-Length: {len(request.body)}\r\n\r\n"
    )
    return head.encode() + request.body


class _Client(ABC, asyncio.Protocol):
    """One connection that knows when a response begins, goes on and ends."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failed = 0
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, only shaped like one.
        self._transport = cast(asyncio.Transport, transport)
        self.begin()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            # Counted as a failure when the connection is lost, like any other that ends too early.
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.failed += 1
            self.ended.set_result(None)

    @abstractmethod
    def begin(self) -> None:
        """Send the first request."""

    def end(self) -> None:
        """The work of this connection is done."""
        if not self.ended.done():
            self.ended.set_result(None)
        self._transport.abort()


class _PlainClient(_Client):
    """Sends the next request when the last is answered, until told to stop."""

    def __init__(self, requests: Sequence[bytes], first: int, until_s: float) -> None:
        super().__init__()
        self._requests = requests
        self._at = first
        self._until_s = until_s
        self.latencies_s: list[float] = []
        self.bytes = 0

    def begin(self) -> None:
        self._at = (self._at + 1) % len(self._requests)
        self._sent_s = time.perf_counter()
        self._transport.write(self._requests[self._at])

    def on_body(self, data: bytes) -> None:
        self.bytes += len(data)

    def on_message_complete(self) -> None:
        now_s = time.perf_counter()
        self.latencies_s.append(now_s - self._sent_s)
        self.failed += self._parser.get_status_code() >= 400
        if now_s < self._until_s:
            self.begin()
        else:
            self.end()


async def plain(port: int, requests: Sequence[workload.Request], connections: int, seconds: float) -> dict[str, Any]:
    """Requests as fast as they are answered."""
    loop = asyncio.get_running_loop()
    lines = [rendered(request, port) for request in requests]
    started_s = time.perf_counter()
    clients = [_PlainClient(lines, at * 7, started_s + seconds) for at in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.wait([client.ended for client in clients], timeout=seconds + 30)
    latencies_s = [latency_s for client in clients for latency_s in client.latencies_s]
    return {
        "requests": len(latencies_s),
        "seconds": time.perf_counter() - started_s,
        "p50_ms": percentile(latencies_s, 0.50) * 1e3,
        "p99_ms": percentile(latencies_s, 0.99) * 1e3,
        "failed": sum(client.failed for client in clients),
        "bytes": sum(client.bytes for client in clients),
    }


class _PacedClient(_Client):
    """Reads one stream and notes when each event arrives."""

    def __init__(self, request: bytes) -> None:
        super().__init__()
        self._request = request
        self._tail = b""
        self.arrivals: list[tuple[int, int]] = []
        """When each event was sent and when it arrived, nanoseconds."""

    def begin(self) -> None:
        self.begun_ns = time.monotonic_ns()
        self._transport.write(self._request)

    def on_body(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        self._tail += data
        read = 0
        for found in _SENT_AT.finditer(self._tail):
            self.arrivals.append((int(found[1]), now_ns))
            read = found.end()
        self._tail = self._tail[read:]

    def on_message_complete(self) -> None:
        self.failed += self._parser.get_status_code() >= 400
        self.end()


async def paced(
    port: int, requests: Sequence[workload.Request], connections: int, events: int, timeout_s: float
) -> dict[str, Any]:
    """So many streams at once, begun one after the other within 20 ms so that they do not beat in step."""
    loop = asyncio.get_running_loop()
    clients = [_PacedClient(rendered(requests[at % len(requests)], port)) for at in range(connections)]
    started_s = time.perf_counter()
    for at, client in enumerate(clients):
        await asyncio.sleep(max(0.0, started_s + 0.02 * at / connections - time.perf_counter()))
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.wait([client.ended for client in clients], timeout=timeout_s)
    delays_ns: list[float] = []
    gaps_ns: list[float] = []
    for client in clients:
        arrivals_ns = [arrived_ns for _, arrived_ns in client.arrivals]
        delays_ns += [arrived_ns - sent_ns for sent_ns, arrived_ns in client.arrivals]
        gaps_ns += [later - earlier for earlier, later in pairwise(arrivals_ns)]
    firsts_ns = [client.arrivals[0][1] - client.begun_ns for client in clients if client.arrivals]
    return {
        "events": len(delays_ns),
        "expected": connections * events,
        "seconds": time.perf_counter() - started_s,
        "delay_p50_ms": percentile(delays_ns, 0.50) / 1e6,
        "delay_p99_ms": percentile(delays_ns, 0.99) / 1e6,
        "gap_p50_ms": percentile(gaps_ns, 0.50) / 1e6,
        "gap_p99_ms": percentile(gaps_ns, 0.99) / 1e6,
        "first_p50_ms": percentile(firsts_ns, 0.50) / 1e6,
        "failed": sum(client.failed + (not client.ended.done()) for client in clients),
    }


async def _main(options: argparse.Namespace) -> None:
    requests = workload.read(options.requests)
    if options.kind == "plain":
        result = await plain(options.port, requests, options.connections, options.seconds)
    else:
        result = await paced(options.port, requests, options.connections, options.events, options.timeout_s)
    print(json.dumps(result))


if __name__ == "__main__":
    import uvloop

    arguments = argparse.ArgumentParser(description="The benchmark's load; prints one line of JSON.")
    arguments.add_argument("kind", choices=("plain", "paced"))
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--requests", type=Path, required=True)
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--seconds", type=float, default=3.0)
    arguments.add_argument("--events", type=int, default=150)
    arguments.add_argument("--timeout-s", type=float, default=30.0)
    uvloop.run(_main(arguments.parse_args()))
