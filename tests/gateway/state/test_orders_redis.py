# SPDX-License-Identifier: Apache-2.0
"""Orders in Redis: told at once, found by asking, and an error of ours while it is away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.state import StateUnavailable
from gateway.state.orders_redis import RedisOrders


def clock() -> float:
    """A fixed time."""
    return 1_700_000_000.0


def test_who_listens_is_told_at_once(redis_server: Any) -> None:
    """Long before the time at which it would ask by itself."""

    async def scene() -> None:
        one, two = RedisOrders(redis_server.url, clock, 5.0), RedisOrders(redis_server.url, clock, 5.0)
        await two.changed(0.01)  # subscribes
        waiting = asyncio.create_task(two.changed(30.0))
        await asyncio.sleep(0)
        await one.put("pause/told", "x")
        async with asyncio.timeout(10):
            await waiting
        assert (await two.get("pause/told")) is not None
        await one.close()
        await two.close()

    asyncio.run(scene())


def test_a_new_redis_gets_its_scripts_again(redis_server: Any) -> None:
    """A restart forgets them; the call that finds out is the call that mends it."""

    async def scene() -> None:
        orders = RedisOrders(redis_server.url, clock, 5.0)
        await orders.put("pause/1", "x")
        redis_server.client().script_flush()
        assert await orders.put("pause/1", "y") > 1
        redis_server.client().script_flush()
        assert (await orders.changes(0))[1]
        await orders.close()

    asyncio.run(scene())


def test_a_redis_that_is_away_is_an_error_without_its_address() -> None:
    """The message may stand in a log; whoever waits for a change waits as long as it wanted."""

    async def scene() -> None:
        orders = RedisOrders("redis://user:canary@127.0.0.1:1/0", clock, 0.5)
        with pytest.raises(StateUnavailable) as caught:
            await orders.changes(0)
        assert "canary" not in str(caught.value)
        await orders.changed(0.01)
        await orders.close()

    asyncio.run(scene())
