# SPDX-License-Identifier: Apache-2.0
"""State in this process's memory: for one worker, for tests, and where nothing need survive a restart.

Bounded, because whoever floods a service with new people must not fill the machine. When a shelf is full of what is
still valid, usage and counters refuse new keys (`StateUnavailable`) instead of dropping old ones: a dropped counter
would loosen a limit without anyone seeing it. Remembered values may be forgotten early by contract, so there the
oldest make room; `forgotten` counts them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

from gateway.state.activity import Activity, touched
from gateway.state.interfaces import StateUnavailable, Usage

CAPACITY = 2_000_000
"""Entries a shelf holds. A person's activity takes about 300 bytes."""

SWEEP_AGAIN_S = 30.0
"""A full shelf is searched for expired entries at most this often: the search walks over all of it."""

T = TypeVar("T")


class _Shelf(Generic[T]):
    """Values with the time each ends. Expired ones go when the shelf has doubled since it was last swept."""

    def __init__(self, capacity: int, expires_ms: Callable[[T], int]) -> None:
        self.values: dict[str, T] = {}
        self._capacity = capacity
        self._expires_ms = expires_ms
        self._sweep_at = min(1_024, capacity)
        self._sweep_not_before_ms = 0

    def get(self, key: str, now_ms: int) -> T | None:
        value = self.values.get(key)
        if value is not None and self._expires_ms(value) <= now_ms:
            del self.values[key]
            return None
        return value

    def has_room(self, now_ms: int) -> bool:
        """Whether a new key fits, after sweeping where it is time to."""
        count = len(self.values)
        if count < self._sweep_at:
            return True
        if count < self._capacity or now_ms >= self._sweep_not_before_ms:
            expires_ms = self._expires_ms
            for key in [key for key, value in self.values.items() if expires_ms(value) <= now_ms]:
                del self.values[key]
            self._sweep_at = min(self._capacity, max(1_024, 2 * len(self.values)))
            self._sweep_not_before_ms = now_ms + int(SWEEP_AGAIN_S * 1000)
        return len(self.values) < self._capacity

    def drop_oldest(self) -> int:
        """Make room for some time: a sixteenth at once, because dropping one by one walks over the gaps each time."""
        oldest = list(islice(self.values, max(1, self._capacity // 16)))
        for key in oldest:
            del self.values[key]
        return len(oldest)


class MemoryState:
    """`State` in memory. `clock` gives seconds since the epoch; `capacity` is entries of each kind."""

    def __init__(self, clock: Callable[[], float], capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._usage: _Shelf[Activity] = _Shelf(capacity, Activity.expires_ms)
        self._remembered: _Shelf[tuple[str, int]] = _Shelf(capacity, _second)
        self._counters: _Shelf[tuple[int, int]] = _Shelf(capacity, _second)
        self._is_closed = False
        self.forgotten = 0
        """How many remembered values made room for others before their time."""

    async def touch_usage(
        self, key: str, now: float, day: str, idle_gap_s: float, *, day_started_at: float = 0.0
    ) -> Usage:
        """See `State.touch_usage`."""
        now_ms = round(now * 1000)
        shelf = self._open(self._usage)
        before = shelf.get(key, now_ms)
        if before is None and not shelf.has_room(now_ms):
            raise StateUnavailable("the memory state is full of people in use: configure redis.url or more room")
        after = touched(before, now_ms, day, round(idle_gap_s * 1000), round(day_started_at * 1000))
        shelf.values[key] = after
        return after.usage()

    async def look_at_usage(
        self, key: str, now: float, day: str, idle_gap_s: float, *, day_started_at: float = 0.0
    ) -> Usage:
        """See `State.look_at_usage`."""
        now_ms = round(now * 1000)
        before = self._open(self._usage).get(key, now_ms)
        return touched(before, now_ms, day, round(idle_gap_s * 1000), round(day_started_at * 1000)).usage()

    async def remember(self, key: str, value: str, ttl_s: float) -> None:
        """See `State.remember`."""
        now_ms = self._now_ms()
        shelf = self._open(self._remembered)
        shelf.values.pop(key, None)  # so that the newest stands last
        if not shelf.has_room(now_ms):
            self.forgotten += shelf.drop_oldest()
        shelf.values[key] = (value, now_ms + round(ttl_s * 1000))

    async def recall(self, key: str) -> str | None:
        """See `State.recall`."""
        found = self._open(self._remembered).get(key, self._now_ms())
        return None if found is None else found[0]

    async def add(self, key: str, amount: int, ttl_s: float) -> int:
        """See `State.add`."""
        now_ms = self._now_ms()
        shelf = self._open(self._counters)
        before = shelf.get(key, now_ms)
        if before is not None:
            after = (before[0] + amount, before[1])
        elif shelf.has_room(now_ms):
            after = (amount, now_ms + round(ttl_s * 1000))
        else:
            raise StateUnavailable("the memory state is full of counters in use: configure redis.url or more room")
        shelf.values[key] = after
        return after[0]

    async def close(self) -> None:
        """See `State.close`. Everything is forgotten."""
        self._is_closed = True
        for values in (self._usage.values, self._remembered.values, self._counters.values):
            values.clear()

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)

    def _open(self, shelf: _Shelf[T]) -> _Shelf[T]:
        if self._is_closed:
            raise StateUnavailable("the state is closed")
        return shelf


def _second(value: tuple[object, int]) -> int:
    return value[1]
