# SPDX-License-Identifier: Apache-2.0
"""A period is told once, whoever asks."""

from __future__ import annotations

import asyncio

from gateway import reminders
from gateway.reminders import Reminders
from gateway.state import MemoryState, Usage

NOW = 1_000_000.0


def used(seconds: float, since: float = NOW) -> Usage:
    return Usage(seconds, seconds, since)


def test_each_period_is_told_once_over_all_replicas() -> None:
    """Two replicas, one state: the first that asks tells, also of a period that was skipped over."""
    state = MemoryState(lambda: NOW)
    one, two = Reminders(state, "break", 300.0), Reminders(state, "break", 300.0)

    async def walk() -> list[int]:
        return [
            await one.due("p", used(59), 60), await two.due("p", used(60), 60), await one.due("p", used(61), 60),
            await one.due("p", used(61), 60), await one.due("p", used(200), 60), await two.due("p", used(200), 60),
            await one.due("q", used(60), 60), await one.due("p", used(60, NOW + 9), 60),
        ]  # fmt: skip

    assert asyncio.run(walk()) == [0, 1, 0, 0, 3, 0, 1, 1]


def test_kinds_are_kept_apart_and_memory_is_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Whoever falls out is looked up again and not told twice."""
    monkeypatch.setattr(reminders, "MAX_REMEMBERED", 2)
    state = MemoryState(lambda: NOW)
    one, other = Reminders(state, "break", 300.0), Reminders(state, "ai", 300.0)

    async def walk() -> list[int]:
        told = [await one.due(name, used(60), 60) for name in ("a", "b", "c", "a")]
        return [*told, await other.due("a", used(60), 60)]

    assert asyncio.run(walk()) == [1, 1, 1, 0, 1]
    assert len(one._told) == 2
