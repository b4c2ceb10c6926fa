# SPDX-License-Identifier: Apache-2.0
"""Standing orders: a copy that follows its store, is not gone by once it is stale, and gives back what was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.standing import Standing
from gateway.state import MemoryOrders, StateUnavailable
from gateway.state.orders import KEPT_S

NOW = 1_700_000_000.0


class Rooms:
    """One store and copies of it; `away` makes the store fail."""

    def __init__(self) -> None:
        self.now = NOW
        self.away = False
        self.orders = MemoryOrders(lambda: self.now)
        changes, put = self.orders.changes, self.orders.put

        async def failing_changes(after: int) -> Any:
            if self.away:
                raise StateUnavailable("the store is away")
            return await changes(after)

        async def failing_put(*arguments: Any, **named: Any) -> int:
            if self.away:
                raise StateUnavailable("the store is away")
            return await put(*arguments, **named)

        self.orders.changes = failing_changes  # type: ignore[method-assign]
        self.orders.put = failing_put  # type: ignore[method-assign]

    def copy(self, poll_s: float = 60.0) -> Standing:
        """A copy of the store."""
        return Standing(self.orders, lambda: self.now, poll_s=poll_s, stale_after_s=10.0, monotonic=lambda: self.now)


def run(scene: Callable[[Rooms], Awaitable[None]]) -> None:
    """A scene in a loop of its own."""
    asyncio.run(scene(Rooms()))  # type: ignore[arg-type]


def test_an_order_holds_here_at_once_and_elsewhere_after_a_look() -> None:
    """Its shelf is the same dictionary for good, and those who watch it are told."""

    async def scene(rooms: Rooms) -> None:
        here, there = rooms.copy(), rooms.copy()
        told: list[int] = []
        shelf = there.shelf("pause")
        there.watch("pause", lambda: told.append(len(shelf)))
        await here.place("pause", "1", "x", NOW + 5)
        await here.place("other", "1", "y")
        assert here.shelf("pause")["1"].value == "x"
        assert shelf == {} and told == []
        await there.refresh()
        assert shelf["1"].is_in_force(NOW) and not shelf["1"].is_in_force(NOW + 5)
        assert told == [1]
        assert await here.withdraw("pause", "1") and not await here.withdraw("pause", "1")
        await there.refresh()
        assert shelf == {} and told == [1, 0]
        assert there.shelf("other")["1"].value == "y"
        await here.close()
        await there.close()

    run(scene)


def test_the_store_is_followed_behind_its_back() -> None:
    """Nobody has to ask."""

    async def scene(rooms: Rooms) -> None:
        here, there = rooms.copy(), rooms.copy(poll_s=0.01)
        there.start()
        await here.place("pause", "1", "x")
        async with asyncio.timeout(10):
            while "1" not in there.shelf("pause"):
                await asyncio.sleep(0.005)
        await here.close()
        await there.close()

    run(scene)


def test_a_stale_copy_is_not_gone_by() -> None:
    """What is known counts for so long; then everybody is told that nothing is known, until the store answers."""

    async def scene(rooms: Rooms) -> None:
        copy = rooms.copy()
        assert not copy.is_current and not copy.is_away
        await copy.require_current()
        assert copy.is_current
        rooms.away = True
        rooms.now += 9.0
        await copy.require_current()
        rooms.now += 2.0
        with pytest.raises(StateUnavailable):
            await copy.require_current()
        assert copy.is_away
        rooms.away = False
        await copy.require_current()
        assert not copy.is_away
        await copy.close()

    run(scene)


def test_those_who_ask_at_once_ask_together() -> None:
    """A store that comes back is not run over."""

    async def scene(rooms: Rooms) -> None:
        copy = rooms.copy()
        copy.start = lambda: None  # type: ignore[method-assign]
        asked = 0
        changes = rooms.orders.changes

        async def counted(after: int) -> Any:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0)
            return await changes(after)

        rooms.orders.changes = counted  # type: ignore[method-assign]
        await asyncio.gather(*(copy.refresh() for _ in range(50)))
        assert asked == 1
        await copy.close()

    run(scene)


def test_only_one_taker_gets_an_order() -> None:
    """And nobody gets one that has expired."""

    async def scene(rooms: Rooms) -> None:
        here, there = rooms.copy(), rooms.copy()
        await here.place("notice", "p", "x")
        assert sorted(map(str, await asyncio.gather(here.take("notice", "p"), there.take("notice", "p")))) == [
            "None",
            "x",
        ]
        await here.place("notice", "q", "y", NOW + 1)
        rooms.now += 2
        assert await here.take("notice", "q") is None
        await here.close()
        await there.close()

    run(scene)


def test_a_change_is_atomic_over_all_copies() -> None:
    """Fifty that count at once count to fifty; a change that wants nothing changes nothing."""

    async def scene(rooms: Rooms) -> None:
        copies = [rooms.copy() for _ in range(5)]

        def count(before: str | None) -> tuple[str, float]:
            return str(int(before or "0") + 1), 0.0

        await asyncio.gather(*(copy.change("n", "p", count) for copy in copies for _ in range(10)))
        assert await copies[0].change("n", "p", lambda before: None) == "50"
        for copy in copies:
            await copy.close()

    run(scene)


def test_what_a_restarted_store_forgot_is_put_back() -> None:
    """A lost memory lifts no pause; what had expired stays gone."""

    async def scene(rooms: Rooms) -> None:
        copy = rooms.copy()
        for name in "abc":
            await copy.place("pause", name, name)
        await copy.place("pause", "over", "x", NOW + 1)
        rooms.now += 2
        rooms.orders._orders.clear()
        rooms.orders._number = 0
        await copy.refresh()
        assert set(copy.shelf("pause")) == {"a", "b", "c"}
        other = rooms.copy()
        await other.refresh()
        assert {name: order.value for name, order in other.shelf("pause").items()} == {"a": "a", "b": "b", "c": "c"}
        await copy.close()
        await other.close()

    run(scene)


def test_who_was_away_for_long_starts_anew() -> None:
    """A withdrawal that the store does not tell of any more is not missed."""

    async def scene(rooms: Rooms) -> None:
        here, there = rooms.copy(), rooms.copy()
        await here.place("pause", "1", "x")
        await there.refresh()
        await here.withdraw("pause", "1")
        rooms.now += KEPT_S + 1
        await here.place("pause", "2", "y")
        await there.refresh()
        assert set(there.shelf("pause")) == {"2"}
        await here.close()
        await there.close()

    run(scene)
