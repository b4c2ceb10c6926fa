# SPDX-License-Identifier: Apache-2.0
"""`kill -9` in the middle of everything: the log verifies, and every answer of which a byte was seen has a record."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import RunningGateway, StartGateway, dutybound
from tests.upstreams.scripted import ScriptedUpstream


async def load(running: RunningGateway, seen: set[str], stop_after_s: float) -> None:
    """Fifty streams and fifty plain requests at a time, over and over, until the gateway is gone."""

    async def one(client: httpx.AsyncClient, stream: bool) -> None:
        script: dict[str, Any] = {"text": "word " * 40, "split": 5, "event_delay_s": 0.005 if stream else 0.0}
        body = {
            "model": "m",
            "stream": stream,
            "messages": [{"role": "user", "content": "x"}],
            "metadata": {"script": script},
        }
        with contextlib.suppress(httpx.TransportError):
            while True:
                async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                    async for data in answer.aiter_raw():
                        if data:
                            seen.add(answer.headers["duty-record"])

    async def strike() -> None:
        await asyncio.sleep(stop_after_s)
        running.process.kill()

    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=running.url, timeout=30, limits=limits) as client:
        tasks = [asyncio.create_task(one(client, number % 2 == 0)) for number in range(100)]
        await strike()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("round_number", range(2))
def test_every_answer_of_which_a_byte_was_seen_has_a_record(
    gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path, round_number: int
) -> None:
    """After a restart the log verifies, and streams that crashed are closed as crashed."""
    running = gateway(upstream.url)
    seen: set[str] = set()
    asyncio.run(load(running, seen, 2.0 + round_number * 0.37))
    assert len(seen) > 20
    running.process.wait(10)
    again = gateway(upstream.url, home=running.home)
    verified = dutybound("audit", "verify", "--home", str(running.home), "--json")
    assert json.loads(verified.stdout)["ok"] is True
    known: dict[str, dict[str, Any]] = {}
    query = {"limit": "1000"}
    while True:
        answer = httpx.get(
            f"{again.operator_url}/api/records", params=query, headers={"Authorization": f"Bearer {again.token()}"}
        ).json()
        known |= {record["id"]: record for record in answer["records"]}
        if not answer["next_cursor"]:
            break
        query["cursor"] = answer["next_cursor"]
    assert seen <= known.keys()
    opened = {record["id"] for record in known.values() if record["type"] == "open"}
    closed = {record["exchange"] for record in known.values() if record["type"] == "close"}
    assert opened <= closed
    assert again.stop() == 0
    assert dutybound("audit", "verify", "--home", str(running.home)).returncode == 0


def test_a_worker_that_is_killed_is_replaced_and_its_streams_are_closed(
    gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Several workers share one log; one dies in the middle of a stream, the others go on."""
    running = gateway(upstream.url, workers=2)
    script = {"text": "word " * 400, "split": 5, "event_delay_s": 0.02}
    body = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": "x"}],
        "metadata": {"script": script},
    }
    with (
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("POST", running.url + "/v1/chat/completions", json=body, timeout=30) as answer,
    ):
        record_id = answer.headers["duty-record"]
        killed = False
        for _ in answer.iter_raw():
            if not killed:
                writer = running.record(record_id)["record"]["writer"]
                for child in _children(running.process.pid):
                    if _is_writer(running, child, writer):
                        os.kill(child, signal.SIGKILL)
                killed = True
    for _ in range(200):
        ends = [item for item in running.record(record_id)["related"] if item["type"] == "close"]
        if ends:
            break
        time.sleep(0.05)
    assert ends[0]["record"]["outcome"] == "crashed"
    assert running.stop() == 0
    assert dutybound("audit", "verify", "--home", str(running.home)).returncode == 0


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_writer(running: RunningGateway, pid: int, writer: str) -> bool:
    """Workers start in order, so the n-th child is `gw-n`."""
    return sorted(_children(running.process.pid)).index(pid) == int(writer.partition("/")[0].removeprefix("gw-"))
