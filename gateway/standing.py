# SPDX-License-Identifier: Apache-2.0
"""Standing orders: this process's copy of the shared orders (`gateway/state/orders.py`), kept current behind its back.

A request looks into dictionaries of this process: it asks no store and waits for nobody. A task follows the store: it
is told of a change, or asks every `poll_s` seconds. What must hold: an order that another process placed is followed
here after `poll_s` seconds at most; once nothing could be learned for `stale_after_s` seconds nobody may go by the copy
(`require_current`), so that a pause that this process could not hear of is not passed over.

A store that was emptied (a Redis that keeps nothing was restarted) gets back what is still in force here: orders are
lifted by people, not by a lost memory.

A key is `shelf/name`; each shelf is a dictionary of orders by name, which never holds withdrawn ones and may hold ones
that have expired.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from gateway.state.interfaces import StateError, StateUnavailable
from gateway.state.orders import KEPT_S, Order, Orders

log = structlog.get_logger("dutybound.orders")

_ATTEMPTS = 20
"""How often a change is tried again where others were faster."""


class Standing:
    """The copy. `clock` gives seconds since the epoch, `monotonic` seconds that never jump."""

    def __init__(
        self,
        orders: Orders,
        clock: Callable[[], float],
        *,
        poll_s: float,
        stale_after_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock: Callable[[], float] = clock
        self._orders = orders
        self._poll_s = poll_s
        self._stale_after_s = stale_after_s
        self._monotonic = monotonic
        self._good_until = float("-inf")
        self._number = 0
        self._shelves: dict[str, dict[str, Order]] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._was_away = False

    def shelf(self, name: str) -> dict[str, Order]:
        """The orders of one kind; the same dictionary for good. Not to be changed."""
        return self._shelves.setdefault(name, {})

    def watch(self, shelf: str, tell: Callable[[], None]) -> None:
        """Call `tell` after each change of a shelf."""
        self._watchers.setdefault(shelf, []).append(tell)

    @property
    def is_current(self) -> bool:
        """Whether the copy may be gone by."""
        return self._monotonic() < self._good_until

    @property
    def is_away(self) -> bool:
        """Whether the store was asked and nothing could be learned for too long."""
        return self._task is not None and not self.is_current

    async def require_current(self) -> None:
        """Ask once more where the copy is stale. Raises `StateUnavailable` where it stays so."""
        if not self.is_current:
            await self.refresh()

    def start(self) -> None:
        """Follow the store from now on. To be called within the event loop; calling it again does nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow(), name="standing-orders")

    async def close(self) -> None:
        """End following, and give the store back."""
        for task in (self._task, self._asking):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, StateError):
                    await task
        await self._orders.close()

    async def refresh(self) -> None:
        """Learn what has changed. Those who ask at once ask together. Raises `StateUnavailable`."""
        self.start()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._learn())
        await asyncio.shield(self._asking)

    async def place(self, shelf: str, name: str, value: str, expires_at: float = 0.0) -> None:
        """Place an order; it holds in this process when this returns. Raises `StateUnavailable`."""
        await self._orders.put(f"{shelf}/{name}", value, expires_at)
        await self._learn()

    async def withdraw(self, shelf: str, name: str) -> bool:
        """Withdraw an order; whether there was one, and nobody else was faster. Raises `StateUnavailable`."""
        return await self.take(shelf, name) is not None

    async def take(self, shelf: str, name: str) -> str | None:
        """Withdraw an order and give its value, to one taker only; None for everybody else. Raises
        `StateUnavailable`."""
        key = f"{shelf}/{name}"
        held = await self._orders.get(key)
        if held is None or held.value is None:
            await self._learn()
            return None
        is_taken = await self._orders.put(key, None, if_number=held.number)
        await self._learn()
        return held.value if is_taken and held.is_in_force(self.clock()) else None

    async def change(
        self, shelf: str, name: str, change: Callable[[str | None], tuple[str | None, float] | None]
    ) -> str | None:
        """Change an order atomically: `change` makes of what is in force the new value and its expiry.

        None from `change` leaves it as it is. It may be called several times. Gives the value that is then in force.
        Raises `StateUnavailable`, also where others are faster again and again.
        """
        key = f"{shelf}/{name}"
        for _ in range(_ATTEMPTS):
            held = await self._orders.get(key)
            before = held.value if held is not None and held.is_in_force(self.clock()) else None
            wanted = change(before)
            if wanted is None:
                return before
            value, expires_at = wanted
            if await self._orders.put(key, value, expires_at, if_number=0 if held is None else held.number):
                await self._learn()
                return value
        raise StateUnavailable("an order changes too often; try again")

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(StateUnavailable):  # `_learn` says so
                await self._learn()
            await self._orders.changed(self._poll_s)

    async def _learn(self) -> None:
        began_at = self._monotonic()
        # Whoever was away for so long that withdrawals may have been forgotten starts anew.
        is_anew = began_at > self._good_until - self._stale_after_s + KEPT_S / 2
        asked = self._number
        try:
            number, orders = await self._orders.changes(0 if is_anew else asked)
        except StateUnavailable as error:
            if not self._was_away:
                self._was_away = True
                log.error("orders_away", reason=str(error))
            raise
        if self._was_away:
            self._was_away = False
            log.info("orders_back")
        self._good_until = max(self._good_until, began_at + self._stale_after_s)
        is_emptied = number < asked
        if self._number != asked and (is_emptied or number < self._number):
            return  # another look was faster, and saw as much
        lost = self._take_over(orders, is_whole=is_anew or is_emptied)
        self._number = number
        if is_emptied and lost:
            log.warning("orders_put_back", count=len(lost))
            for order in lost:
                await self._orders.put(order.key, order.value, order.expires_at, if_number=0)
            await self._learn()

    def _take_over(self, orders: tuple[Order, ...], *, is_whole: bool) -> list[Order]:
        """Keep what was learned, and tell who watches; gives what was in force here and the store knows nothing of."""
        touched: set[str] = set()
        lost: list[Order] = []
        if is_whole:
            known = {order.key for order in orders}
            now = self.clock()
            for name, shelf in self._shelves.items():
                for short, order in list(shelf.items()):
                    if order.key not in known:
                        del shelf[short]
                        touched.add(name)
                        if order.is_in_force(now):
                            lost.append(order)
        for order in orders:
            name, _, short = order.key.partition("/")
            shelf = self.shelf(name)
            if order.value is None:
                if shelf.pop(short, None) is not None:
                    touched.add(name)
            elif shelf.get(short) != order:
                shelf[short] = order
                touched.add(name)
        for name in touched:
            for tell in self._watchers.get(name, ()):
                tell()
        return lost
