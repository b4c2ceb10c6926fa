# SPDX-License-Identifier: Apache-2.0
"""Orders: what people decided and every process has to follow at once, such as a pause or a measure against a user.

Few, small, and read at every request, so each process keeps a copy of all of them (`gateway/standing.py`) and asks a
store only what has changed. The store numbers the changes: `changes(after)` gives everything that changed behind a
number, withdrawn orders among them. What must hold: a change is kept when `put` returns, and is seen by the next
`changes` of every process; two that change one order at once do not both succeed where they name the number they saw.

A store that cannot answer raises `StateUnavailable`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

KEPT_S = 3_600.0
"""How long a withdrawn or expired order is still told of. Whoever has not asked for longer starts anew."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `value` is None once it is withdrawn; `number` is that of its last change.

    `expires_at` is in seconds since the epoch, 0 for never. An expired order stays in the store for a while: who reads
    it looks at the clock.
    """

    key: str
    value: str | None
    number: int
    expires_at: float = 0.0

    def is_in_force(self, now: float) -> bool:
        """Whether it holds at `now`, seconds since the epoch."""
        return self.value is not None and not 0 < self.expires_at <= now


class Orders(Protocol):
    """Orders that all processes and replicas of one service share."""

    async def changes(self, after: int) -> tuple[int, tuple[Order, ...]]:
        """The number of the last change, and the orders that changed behind `after`, in the order of their numbers.

        Where the last number is below `after` the store was emptied meanwhile; then all orders are given.
        """
        ...

    async def get(self, key: str) -> Order | None:
        """The order under `key`, withdrawn or not; None where nobody knows of one any more."""
        ...

    async def put(self, key: str, value: str | None, expires_at: float = 0.0, *, if_number: int | None = None) -> int:
        """Place an order, or withdraw it with None; gives the number of the change.

        With `if_number`, only where the order still has that number (0: where there is none); else nothing is done
        and 0 is given.
        """
        ...

    async def changed(self, timeout_s: float) -> None:
        """Return once another process may have changed something, at the latest after `timeout_s`."""
        ...

    async def close(self) -> None:
        """Give the store back."""
        ...


class MemoryOrders:
    """Orders in this process: for one worker, and for tests. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._orders: dict[str, tuple[Order, float]] = {}
        self._number = 0
        self._something = asyncio.Event()

    async def changes(self, after: int) -> tuple[int, tuple[Order, ...]]:
        """See `Orders.changes`."""
        since = after if after <= self._number else 0
        found = (order for order, _ in self._orders.values() if order.number > since)
        return self._number, tuple(sorted(found, key=lambda order: order.number))

    async def get(self, key: str) -> Order | None:
        """See `Orders.get`."""
        held = self._orders.get(key)
        return None if held is None else held[0]

    async def put(self, key: str, value: str | None, expires_at: float = 0.0, *, if_number: int | None = None) -> int:
        """See `Orders.put`."""
        held = self._orders.get(key)
        if if_number is not None and if_number != (0 if held is None else held[0].number):
            return 0
        now = self._clock()
        self._orders = {
            name: (order, told_until)
            for name, (order, told_until) in self._orders.items()
            if not 0 < told_until <= now
        }  # fmt: skip
        self._number += 1
        order = Order(key, value, self._number, expires_at)
        self._orders[key] = (order, told_until(value, expires_at, now))
        self._something.set()
        return self._number

    async def changed(self, timeout_s: float) -> None:
        """See `Orders.changed`."""
        self._something.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._something.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """See `Orders.close`. Everything is forgotten."""
        self._orders.clear()


def told_until(value: str | None, expires_at: float, now: float) -> float:
    """Until when an order is told of, in seconds since the epoch; 0 for ever."""
    if value is None:
        return now + KEPT_S
    return expires_at + KEPT_S if expires_at else 0.0
