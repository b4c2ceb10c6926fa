# SPDX-License-Identifier: Apache-2.0
"""The load counts what happened: answers, failures, and every event of every stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bench import load, paced, workload
from tests.upstreams.scripted import serve_scripted

PLAIN = [workload.Request("token", b'{"model": "m", "messages": []}')]
STREAM = [workload.Request("token", b'{"model": "m", "stream": true}')]


def against_paced(go: Any, events: int = 4, interval_s: float = 0.003) -> dict[str, Any]:
    """What `go(port)` measures before the paced model."""

    async def run() -> dict[str, Any]:
        server = await paced.serve(0, events, interval_s)
        try:
            result: dict[str, Any] = await go(server.sockets[0].getsockname()[1])
            return result
        finally:
            server.close()

    return asyncio.run(run())


def test_plain_requests_are_answered_and_counted() -> None:
    """Every connection keeps asking until the time is over."""
    result = against_paced(lambda port: load.plain(port, PLAIN, 3, 0.05))
    assert result["requests"] >= 3 and result["failed"] == 0
    assert result["bytes"] == result["requests"] * len(workload.completion())
    assert 0 < result["p50_ms"] <= result["p99_ms"]


def test_errors_and_broken_connections_are_failures() -> None:
    """A lane that refuses or breaks off does not look fast."""

    async def run(script: dict[str, Any]) -> dict[str, Any]:
        async with serve_scripted(script) as upstream:
            return await load.plain(upstream.port, PLAIN, 2, 0.02)

    refused = asyncio.run(run({"status": 500, "error": "no"}))
    assert refused["failed"] == refused["requests"] > 0
    assert asyncio.run(run({"break_at": 5}))["failed"] == 2
    assert asyncio.run(run({"garbage": "http"}))["failed"] == 2


def test_every_event_of_every_stream_is_timed() -> None:
    """Delay is from write to read, gap is the model's beat, first is from the request."""
    result = against_paced(lambda port: load.paced(port, STREAM, 5, 4, 5.0))
    assert (result["events"], result["expected"], result["failed"]) == (20, 20, 0)
    assert 0 < result["delay_p50_ms"] <= result["delay_p99_ms"]
    assert result["gap_p99_ms"] > 0 and result["first_p50_ms"] >= 3


def test_events_are_found_however_the_bytes_are_cut() -> None:
    """A gateway may split and join as it likes."""
    texts = [paced.sent_at(1_000 + at) for at in range(5)]

    async def run(script: dict[str, Any]) -> dict[str, Any]:
        async with serve_scripted(script) as upstream:
            return await load.paced(upstream.port, STREAM, 1, 5, 5.0)

    assert asyncio.run(run({"deltas": texts, "writes": 3}))["events"] == 5
    assert asyncio.run(run({"text": "".join(texts)}))["events"] == 5
    broken = asyncio.run(run({"deltas": texts, "break_in_event": 3}))
    assert (broken["events"], broken["failed"]) == (2, 1)


def test_a_stream_that_never_ends_is_a_failure() -> None:
    """The run goes on after its limit."""

    async def run() -> dict[str, Any]:
        async with serve_scripted({"text": paced.sent_at(1), "hang": "end"}) as upstream:
            return await load.paced(upstream.port, STREAM, 1, 1, 0.2)

    assert asyncio.run(run())["failed"] == 1


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 1), (0.5, 3), (0.99, 4), (1.0, 4)])
def test_percentiles_are_values_that_occurred(share: float, wanted: float) -> None:
    """Nearest rank, never between."""
    assert load.percentile([4, 1, 3, 2], share) == wanted
    assert load.percentile([], share) == 0
