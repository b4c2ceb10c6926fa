# SPDX-License-Identifier: Apache-2.0
"""What is special about memory: it is bounded, and full never means loosened."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from gateway.state import MemoryState, StateUnavailable

DAY = "2026-03-01"


class Clock:
    def __init__(self) -> None:
        self.now = 1_772_330_400.0

    def __call__(self) -> float:
        return self.now


def test_a_flood_of_people_is_refused_and_nobody_is_forgotten() -> None:
    """At capacity a new person gets `StateUnavailable`; those who are counted stay counted."""
    clock = Clock()

    async def story() -> float:
        state = MemoryState(clock, capacity=10)
        for number in range(10):
            await state.touch_usage(f"p{number}", clock.now, DAY, 300)
        for number in range(50):
            with pytest.raises(StateUnavailable, match="full"):
                await state.touch_usage(f"flood{number}", clock.now, DAY, 300)
        return (await state.touch_usage("p0", clock.now + 60, DAY, 300)).day_seconds

    assert asyncio.run(story()) == 60.0


def test_what_has_expired_makes_room() -> None:
    """A full memory is not full for ever."""
    clock = Clock()

    async def story() -> tuple[float, int]:
        state = MemoryState(clock, capacity=10)
        for number in range(10):
            await state.touch_usage(f"p{number}", clock.now, DAY, 300)
            await state.add(f"c{number}", 1, 60)
        with pytest.raises(StateUnavailable):
            await state.add("new", 1, 60)
        clock.now += 73 * 3600
        return (await state.touch_usage("new", clock.now, DAY, 300)).day_seconds, await state.add("new", 3, 60)

    assert asyncio.run(story()) == (0.0, 3)


def test_remembered_values_make_room_oldest_first_and_are_counted() -> None:
    """Forgetting is the safe side there, and it is visible."""
    clock = Clock()

    async def story() -> tuple[list[str | None], int]:
        state = MemoryState(clock, capacity=32)
        for number in range(32):
            await state.remember(f"k{number}", "v", 1000)
        await state.remember("k0", "again", 1000)  # now the newest
        await state.remember("new", "v", 1000)
        return [await state.recall(key) for key in ("k0", "k1", "k2", "k3", "new")], state.forgotten

    assert asyncio.run(story()) == (["again", None, None, "v", "v"], 2)


def test_the_memory_grows_and_shrinks_with_what_is_valid() -> None:
    """Expired people go as new ones come, long before the capacity."""
    clock = Clock()

    async def story() -> int:
        state = MemoryState(clock)
        for number in range(20_000):
            clock.now += 60.0  # 72 hours are 4,320 people
            await state.touch_usage(f"p{number}", clock.now, DAY, 300)
        return len(state._usage.values)

    assert asyncio.run(story()) < 10_000


def test_a_million_people_fit() -> None:
    """One person in use takes less than 500 bytes, so a million take less than 500 MB."""
    clock = Clock()
    people = 20_000

    async def story() -> MemoryState:
        state = MemoryState(clock)
        for number in range(people):
            key = f"{number:032x}"
            await state.touch_usage(key, clock.now, DAY, 300)
            await state.touch_usage(key, clock.now + 60 + number / 1000, DAY, 300)
        return state

    tracemalloc.start()
    try:
        state = asyncio.run(story())
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert people == len(state._usage.values)
    assert used / people < 500
