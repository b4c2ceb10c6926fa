# SPDX-License-Identifier: Apache-2.0
"""What is special about Redis: it may be away, new, slow or full, and each is said plainly."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.state import StateError, StateUnavailable
from gateway.state.redis import PREFIX, RedisState

NOW = 1_772_330_400.0
DAY = "2026-03-01"


def test_a_restarted_redis_gets_its_scripts_again(redis_server: Any) -> None:
    """Only the calls that were not done are sent again, so nothing is counted twice."""

    async def story() -> list[int]:
        state = RedisState(redis_server.url, 5.0)
        with redis_server.client() as client:
            client.flushall()
            seen = [await state.add("n", 1, 100)]
            client.script_flush()
            seen += await asyncio.gather(*(state.add("n", 1, 100) for _ in range(3)))
            client.script_flush()
            assert (await state.touch_usage("a", NOW, DAY, 300)).day_seconds == 0.0
        await state.close()
        return seen

    assert asyncio.run(story()) == [1, 2, 3, 4]


def test_a_connection_that_was_closed_while_idle_is_replaced(redis_server: Any) -> None:
    """Nobody is refused because the connection rested."""

    async def story() -> list[int]:
        state = RedisState(redis_server.url, 5.0)
        with redis_server.client() as client:
            client.flushall()
            seen = [await state.add("n", 1, 100)]
            client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.01)  # the loop must see the end of the connection
            seen.append(await state.add("n", 1, 100))
        await state.close()
        return seen

    assert asyncio.run(story()) == [1, 2]


def test_calls_that_wait_together_are_one_pipeline(redis_server: Any) -> None:
    """Fifty people at once cost one connection and far fewer reads than fifty."""

    async def story() -> int:
        state = RedisState(redis_server.url, 5.0)
        with redis_server.client() as client:
            await state.recall("warm")
            before = client.info("stats")
            await asyncio.gather(*(state.add(f"n{i}", 1, 100) for i in range(50)))
            after = client.info("stats")
        await state.close()
        assert before["total_connections_received"] == after["total_connections_received"]
        return int(after["total_reads_processed"]) - int(before["total_reads_processed"])

    assert asyncio.run(story()) < 10


def test_every_key_has_our_prefix_and_an_end(redis_server: Any) -> None:
    """A Redis that others use too is not cluttered, and nothing about a person stays for ever."""

    async def story() -> None:
        state = RedisState(redis_server.url, 5.0)
        await state.touch_usage("a", NOW, DAY, 300)
        await state.remember("a", "v", 100)
        await state.add("a", 1, 100)
        await state.close()

    with redis_server.client() as client:
        client.flushall()
        asyncio.run(story())
        ends = {key.decode(): client.pttl(key) / 1000 for key in client.scan_iter()}

    assert {f"{PREFIX}u:a", f"{PREFIX}v:a", f"{PREFIX}n:a"} == set(ends)
    assert 72 * 3600 - 60 < ends[f"{PREFIX}u:a"] <= 72 * 3600
    assert all(0 < ends[f"{PREFIX}{kind}:a"] <= 100 for kind in "vn")


def test_a_redis_that_is_away_is_said_without_its_address() -> None:
    """The message may reach a log: it names neither host nor password."""

    async def story(url: str) -> str:
        state = RedisState(url, 0.5)
        try:
            with pytest.raises(StateUnavailable) as caught:
                await state.touch_usage("a", NOW, DAY, 300)
            return str(caught.value)
        finally:
            await state.close()

    message = asyncio.run(story("redis://user:hush-hush@127.0.0.1:1/0"))
    assert "redis" in message
    assert not {"hush", "127.0.0.1", "user"} & set(message.replace(":", " ").split())
    assert "hush" not in message


def test_a_redis_that_does_not_answer_is_given_up_in_time() -> None:
    """A slow Redis costs a request its time limit, once."""

    async def story() -> float:
        with tempfile.TemporaryDirectory() as folder:
            silent = await asyncio.start_unix_server(_swallow, Path(folder) / "silent.sock")
            state = RedisState(f"unix://{folder}/silent.sock", 0.05)
            begun = time.monotonic()
            with pytest.raises(StateUnavailable):
                await state.add("n", 1, 100)
            passed = time.monotonic() - begun
            await state.close()
            silent.close()
            await silent.wait_closed()
        return passed

    assert asyncio.run(story()) < 1.0


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass
    writer.close()


def test_a_full_redis_fails_the_call_and_serves_what_it_can(redis_server: Any) -> None:
    """Out of memory is an error of the calls that write; one that reads in the same batch has its answer."""

    async def story() -> list[Any]:
        state = RedisState(redis_server.url, 5.0)
        await state.remember("k", "v", 100)
        with redis_server.client() as client:
            client.config_set("maxmemory", 1)
            try:
                return list(await asyncio.gather(state.recall("k"), state.add("n", 1, 100), return_exceptions=True))
            finally:
                client.config_set("maxmemory", 0)
                await state.close()

    value, error = asyncio.run(story())

    assert value == "v"
    assert isinstance(error, StateUnavailable)
    assert str(error).startswith("redis refused: ")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:6379", "redis://127.0.0.1:port"])
def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    """At start, and without repeating what may hold a password."""
    with pytest.raises(StateError, match=r"redis\.url: expected") as caught:
        RedisState(url, 1.0)

    assert "127.0.0.1" not in str(caught.value)
