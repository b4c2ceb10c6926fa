# SPDX-License-Identifier: Apache-2.0
"""The suite's model API: says what a ticket was arranged to get, alone too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.conformance.upstream import JUDGE_S, TicketUpstream, serve_tickets
from tests.upstreams.scripted import Script

CHAT = "/v1/chat/completions"


def asking(words: str) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": words}]}


def test_a_ticket_decides_what_is_said() -> None:
    """Wherever in the request it stands; a request without one is told so, and what was seen can be forgotten."""

    async def run() -> TicketUpstream:
        async with serve_tickets() as upstream, httpx.AsyncClient(base_url=upstream.url) as client:
            upstream.tickets["ticket-0123456789ab"] = Script(text="arranged")
            answer = await client.post(CHAT, json=asking("hello ticket-0123456789ab there"))
            assert answer.json()["choices"][0]["message"]["content"] == "arranged"
            answer = await client.post(CHAT, json=asking("hello"))
            assert "no ticket" in answer.json()["choices"][0]["message"]["content"]
            assert list(upstream.by_ticket) == ["ticket-0123456789ab"]
            upstream.forget()
            return upstream

    upstream = asyncio.run(run())
    assert not (upstream.seen or upstream.tickets or upstream.by_ticket)


def test_the_judge_takes_its_time() -> None:
    """Long enough for a waiting client to need keeping awake."""

    async def run() -> float:
        async with serve_tickets() as upstream, httpx.AsyncClient() as client:
            begun_s = time.monotonic()
            answer = await client.post(f"{upstream.url}/judge", json={"text": "x", "role": "answer"})
            assert answer.json() == {"verdict": "pass"}
            return time.monotonic() - begun_s

    assert asyncio.run(run()) >= JUDGE_S


def test_it_starts_alone_and_is_told_over_http() -> None:
    """As the README shows."""
    command = [sys.executable, "-m", "tests.conformance.upstream", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            told = {"ticket": "ticket-0123456789ab", "script": {"text": "hello", "split": 2}}
            assert httpx.post(f"{url}/_ticket", json=told).status_code == 200
            assert httpx.post(f"{url}/_ticket", json={"ticket": "x"}).status_code == 400
            answer = httpx.post(f"{url}{CHAT}", json=asking("ticket-0123456789ab"))
            assert answer.json()["choices"][0]["message"]["content"] == "hello"
        finally:
            process.terminate()
