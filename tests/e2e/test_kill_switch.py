# SPDX-License-Identifier: Apache-2.0
"""The kill switch against running gateways: two hundred streams in several processes, stopped by one call."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import CONFIG, RunningGateway, StartGateway, dutybound, start_gateway
from tests.upstreams.scripted import ScriptedUpstream

CHAT = "/v1/chat/completions"
STREAMS = 200
BOUND_S = 10.0
"""Far above what an idle machine takes: the promise is a second, and a test machine may be busy."""

ENDLESS = {"text": "word " * 2_000, "split": 5, "event_delay_s": 0.5}


@dataclass
class Watched:
    """What a client saw of one stream."""

    ended_at: float = 0.0
    lines: list[str] = field(default_factory=list)

    @property
    def finish(self) -> str | None:
        """The reason in the last chunk that has one."""
        reasons = [
            choice["finish_reason"]
            for line in self.lines
            if line.startswith("data: {")
            for choice in json.loads(line[6:]).get("choices", ())
            if choice.get("finish_reason")
        ]
        return reasons[-1] if reasons else None


def body(**more: Any) -> dict[str, Any]:
    """A question whose answer would take minutes."""
    said = [{"role": "user", "content": "hello"}]
    return {"model": "endless", "stream": True, "messages": said, "metadata": {"script": json.dumps(ENDLESS)}, **more}


async def watch(client: httpx.AsyncClient, url: str, seen: Watched, begun: asyncio.Semaphore) -> None:
    """Read a stream to its end."""
    async with client.stream("POST", url + CHAT, json=body()) as answer:
        is_begun = False
        async for line in answer.aiter_lines():
            seen.lines.append(line)
            if not is_begun and '"content":"' in line:
                is_begun = True
                begun.release()
    seen.ended_at = time.monotonic()


async def stop_all(
    urls: list[str], operator_url: str, token: str, what: dict[str, Any], count: int = STREAMS
) -> tuple[float, list[Watched]]:
    """Open the streams, pause, and give how long after the call's return the last one ended."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    seen = [Watched() for _ in range(count)]
    begun = asyncio.Semaphore(0)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        tasks = [
            asyncio.create_task(watch(client, urls[number % len(urls)], one, begun)) for number, one in enumerate(seen)
        ]
        async with asyncio.timeout(60):
            for _ in seen:
                await begun.acquire()
        paused = await client.post(
            operator_url + "/api/switches", json=what, headers={"Authorization": f"Bearer {token}"}
        )
        assert paused.status_code == 201, paused.text
        called_at = time.monotonic()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
    return max(one.ended_at for one in seen) - called_at, seen


def test_two_hundred_streams_over_two_workers_stop(gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """With the wire's own ending, our words, and a record that says `stopped`; new requests are refused with 503."""
    running = gateway(upstream.url, workers=2)

    took_s, seen = asyncio.run(
        stop_all([running.url], running.operator_url, running.token("operator"), {"model": "end*", "reason": "drill"})
    )

    print(f"the last of {STREAMS} streams ended {took_s:.3f} s after the call")
    assert took_s < BOUND_S
    assert {one.finish for one in seen} == {"content_filter"}
    assert all(one.lines[-2:] == ["data: [DONE]", ""] or "data: [DONE]" in one.lines for one in seen)
    assert all(any("the service was paused" in line for line in one.lines) for one in seen)

    refused = httpx.post(running.url + CHAT, json=body(), timeout=20)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "paused"
    assert int(refused.headers["retry-after"]) > 0
    other = httpx.post(running.url + CHAT, json={"model": "m", "messages": body()["messages"]}, timeout=20)
    assert other.status_code == 200

    closes = running.records(type="close", limit="500")
    stopped = [record for record in closes if _leaf(record).get("outcome") == "stopped"]
    assert len(stopped) == STREAMS
    decision = next(item for item in _leaf(stopped[0])["decisions"] if item["duty"] == "switches")
    assert (decision["action"], decision["reason"]) == ("stop", "model")
    (paused,) = [_leaf(record) for record in running.records(type="measure")]
    assert (paused["event"], paused["covers"], paused["scope"]) == ("paused", "model", {"model": "end*"})


def _leaf(record: dict[str, Any]) -> dict[str, Any]:
    leaf: dict[str, Any] = record["record"]
    return leaf


def test_two_gateways_stop_through_redis(tmp_path: Path, upstream: ScriptedUpstream, redis_url: str) -> None:
    """The call goes to one, the streams of both stop."""
    config = CONFIG + f'[redis]\nurl = "{redis_url}"\n'
    started: list[RunningGateway] = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            started.append(start_gateway(tmp_path / name, upstream.url, config=config))
        one, two = started

        took_s, seen = asyncio.run(
            stop_all(
                [one.url, two.url], one.operator_url, one.token("admin"), {"everything": True, "reason": "drill"}, 80
            )
        )

        print(f"the last of {len(seen)} streams ended {took_s:.3f} s after the call")
        assert took_s < BOUND_S
        assert {item.finish for item in seen} == {"content_filter"}
        assert httpx.post(two.url + CHAT, json=body(), timeout=20).status_code == 503

        (pause,) = httpx.get(
            two.operator_url + "/api/switches", headers={"Authorization": f"Bearer {two.token('operator')}"}
        ).json()["switches"]
        assert (
            httpx.delete(
                f"{two.operator_url}/api/switches/{pause['id']}",
                headers={"Authorization": f"Bearer {two.token('admin')}"},
            ).status_code
            == 200
        )
        plain = {"model": "m", "messages": body()["messages"]}
        assert _answers(lambda: httpx.post(one.url + CHAT, json=plain, timeout=20).status_code == 200)
    finally:
        for running in started:
            running.kill()


def _answers(is_so: Any) -> bool:
    deadline = time.monotonic() + 10
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_the_command_line_pauses_and_resumes_a_running_gateway(
    gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Without a token, beside the server; a pause outlives a restart."""
    running = gateway(upstream.url)
    config = ("--home", str(running.home), "--config", str(running.home.parent / "dutybound.toml"))
    plain = {"model": "m", "messages": body()["messages"]}

    def status() -> int:
        return httpx.post(running.url + CHAT, json=plain, timeout=20).status_code

    made = json.loads(dutybound("pause", "--kind", "generative", "--reason", "drill", "--json", *config).stdout)
    assert made["is_recorded"] and made["record"]
    assert _answers(lambda: status() == 503)
    running.stop()
    running = gateway(upstream.url, home=running.home)
    assert status() == 503
    listed = dutybound("paused", *config, check=False)
    assert listed.returncode == 1 and made["id"] in listed.stdout

    dutybound("resume", made["id"], *config)
    assert _answers(lambda: status() == 200)
    events = [_leaf(record)["event"] for record in running.records(type="measure")]
    assert events == ["paused", "resumed"] or events == ["resumed", "paused"]
