# SPDX-License-Identifier: Apache-2.0
"""Orders: one contract for the three stores; Redis is a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.state import MemoryOrders, Order, Orders, SqliteOrders, StateError, StateUnavailable, open_orders
from gateway.state.orders import KEPT_S
from gateway.state.orders_redis import RedisOrders

NOW = 1_700_000_000.0


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], tuple[Orders, Clock]]]:
    """Makes a store with a clock; each one made in a test sees what the others keep, memory apart."""
    clock = Clock()
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        server.client().flushall()

    def make() -> tuple[Orders, Clock]:
        if request.param == "memory":
            return MemoryOrders(clock), clock
        if request.param == "sqlite":
            return SqliteOrders(tmp_path / "orders.db", clock, 5.0), clock
        return RedisOrders(server.url, clock, 5.0), clock

    yield make


def run(store: Callable[[], tuple[Orders, Clock]], scene: Callable[[Orders, Clock], Awaitable[Any]]) -> Any:
    """What `scene` gives, in a loop of its own."""

    async def whole() -> Any:
        orders, clock = store()
        try:
            return await scene(orders, clock)
        finally:
            await orders.close()

    return asyncio.run(whole())


def test_changes_are_numbered_and_told_once(store: Any) -> None:
    """Everything behind a number, in the order of the changes, the last state of each."""

    async def scene(orders: Orders, clock: Clock) -> None:
        assert await orders.changes(0) == (0, ())
        assert await orders.put("a/1", "one") == 1
        assert await orders.put("a/2", "two", NOW + 60) == 2
        assert await orders.put("a/1", "uno") == 3
        number, found = await orders.changes(0)
        assert (number, [(item.key, item.value, item.number, item.expires_at) for item in found]) == (
            3,
            [("a/2", "two", 2, NOW + 60), ("a/1", "uno", 3, 0.0)],
        )
        assert await orders.changes(3) == (3, ())
        assert [item.key for item in (await orders.changes(2))[1]] == ["a/1"]

    run(store, scene)


def test_a_withdrawn_order_is_still_told_of(store: Any) -> None:
    """Or others would follow it for ever."""

    async def scene(orders: Orders, clock: Clock) -> None:
        await orders.put("a/1", "one")
        await orders.put("a/1", None)
        assert (await orders.changes(1))[1] == (Order("a/1", None, 2),)
        held = await orders.get("a/1")
        assert held is not None and not held.is_in_force(NOW)

    run(store, scene)


def test_what_is_long_over_is_forgotten(store: Any) -> None:
    """Withdrawn and expired orders go after a while; others never."""

    async def scene(orders: Orders, clock: Clock) -> None:
        await orders.put("a/kept", "for ever")
        await orders.put("a/withdrawn", "x")
        await orders.put("a/withdrawn", None)
        await orders.put("a/expired", "x", NOW + 10)
        clock.now += KEPT_S + 11
        await orders.put("a/new", "x")
        assert {item.key for item in (await orders.changes(0))[1]} == {"a/kept", "a/new"}
        assert await orders.get("a/withdrawn") is None

    run(store, scene)


def test_of_two_who_saw_the_same_only_one_succeeds(store: Any) -> None:
    """A change may name the number that it saw; 0 means that there was none."""

    async def scene(orders: Orders, clock: Clock) -> None:
        assert await orders.put("a/1", "one", if_number=0) == 1
        assert await orders.put("a/1", "other", if_number=0) == 0
        assert await orders.put("a/1", "two", if_number=1) == 2
        assert await orders.put("a/1", None, if_number=1) == 0
        held = await orders.get("a/1")
        assert held is not None and held.value == "two"

    run(store, scene)


def test_a_store_that_was_emptied_shows_it_by_its_number(store: Any) -> None:
    """Whoever asks behind a number that does not exist gets everything."""

    async def scene(orders: Orders, clock: Clock) -> None:
        await orders.put("a/1", "one")
        number, found = await orders.changes(99)
        assert number == 1 and [item.key for item in found] == ["a/1"]

    run(store, scene)


def test_a_closed_store_says_so(store: Any) -> None:
    """Whoever still asks gets an error of ours, except from memory, where all is forgotten."""

    async def scene(orders: Orders, clock: Clock) -> None:
        await orders.put("a/1", "one")
        await orders.close()
        if isinstance(orders, MemoryOrders):
            assert await orders.get("a/1") is None
        else:
            with pytest.raises(StateUnavailable):
                await orders.changes(0)

    run(store, scene)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    acts=st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.text(max_size=5), st.none() | st.integers(0, 6)), max_size=12
    ),
    look_at=st.integers(0, 12),
)
def test_who_follows_the_changes_knows_what_the_store_knows(acts: list[Any], look_at: int, tmp_path: Path) -> None:
    """A copy that is brought up to date at any moment and once more at the end is the store, for all three alike."""

    async def scene() -> None:
        clock = Clock()
        memory = MemoryOrders(clock)
        path = tmp_path / "orders.db"
        path.unlink(missing_ok=True)
        for beside in (f"{path}-wal", f"{path}-shm"):
            Path(beside).unlink(missing_ok=True)
        file = SqliteOrders(path, clock, 5.0)
        copy: dict[str, str | None] = {}
        seen = 0

        async def look() -> None:
            nonlocal seen
            seen, found = await file.changes(seen)
            copy.update({item.key: item.value for item in found})

        for at, (key, value, if_number) in enumerate(acts):
            if at == look_at:
                await look()
            assert await memory.put(key, value, if_number=if_number) == await file.put(key, value, if_number=if_number)
        await look()
        assert await memory.changes(0) == await file.changes(0)
        assert copy == {item.key: item.value for item in (await memory.changes(0))[1]}
        await file.close()

    asyncio.run(scene())


def test_the_store_is_chosen_by_the_settings(tmp_path: Path) -> None:
    """Redis where there is one, else the file, else memory."""
    assert isinstance(open_orders("", None, 1.0), MemoryOrders)
    file = open_orders("", tmp_path / "orders.db", 1.0)
    assert isinstance(file, SqliteOrders)
    asyncio.run(file.close())
    with pytest.raises(StateError, match=r"redis\.url"):
        open_orders("ftp://x", None, 1.0)
