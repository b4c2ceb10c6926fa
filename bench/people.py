# SPDX-License-Identifier: Apache-2.0
"""What the duties about people cost: CPU a request with memory state, round trips with Redis, memory of many people.

`python -m bench.people` prints the figures; with `--redis URL` also those of Redis, with `--people N` another number of
people in memory. The duties are those of the pipeline that ask about people (crisis, minors with guardians, companion)
for a minor with a guardian in a companion service: the case in which most is done.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from gateway.companion import Companion
from gateway.crisis import Crisis
from gateway.exchange import AgeBand, Exchange, Person, Prompt, PromptText
from gateway.guardians import Guardians
from gateway.minor_mode import MinorModes
from gateway.minors import MinorsDuty
from gateway.own_records import OwnRecords
from gateway.policies import load
from gateway.protection import Protection
from gateway.standing import Standing
from gateway.state import MemoryOrders, MemoryState, State

NOON = 1_772_337_600.0
"""2026-03-01 12:00 in Shanghai."""
TEXT = "Could you explain how a rainbow comes about, and why the colours are always in the same order? " * 4


class Stages:
    """The stages over `state`, and how often they asked it."""

    def __init__(self, state: State) -> None:
        self.now = NOON
        clock = lambda: self.now  # noqa: E731
        policy = load(["cn"])
        standing = Standing(MemoryOrders(clock), clock, poll_s=3_600.0, stale_after_s=1e12)
        records = OwnRecords(self._record, standing)
        self.guardians = Guardians(standing, records, b"k" * 32, bytes, may_exempt=True)
        modes = MinorModes(standing, records, 86_400.0)
        duty = MinorsDuty(policy, state, clock, False, 300.0, self.guardians)
        nobody: Any = None
        self.duties = (
            Crisis(policy, state, nobody, nobody, records, clock, bytes, is_on=True),
            Protection(
                policy, state, duty, self.guardians, modes, asks_consent=True, suspects=True,
                strict_classes=frozenset({"A1f"}), appeal_url="/duty/complaints", counted=lambda: None,
            ),
            Companion(policy, state, clock, 300.0, is_companion=True),
        )  # fmt: skip
        self.standing = standing

    async def _record(self, fields: Mapping[str, object]) -> str:
        return "r"

    async def consent(self, person: Person) -> None:
        """A guardian agrees to the use."""
        link = await self.guardians.vouched(person.tenant, person.subject)
        await self.guardians.consent(link, True)

    async def ask(self, person: Person) -> None:
        """One request."""
        prompt = Prompt("m", False, [PromptText("messages.0.content", "user", TEXT)], {})
        exchange = Exchange("r", self.now, "w", "/", person=person, prompt=prompt, model="m")
        for duty in self.duties:
            await duty(exchange)


async def cpu_us(state: State, rounds: int, person: Person) -> float:
    """Microseconds of CPU a request."""
    stages = Stages(state)
    if person.age_band.is_minor:
        await stages.consent(person)
    for _ in range(200):
        await stages.ask(person)
    began = time.process_time()
    for number in range(rounds):
        stages.now = NOON + number / 1_000
        await stages.ask(person)
    spent = time.process_time() - began
    await stages.standing.close()
    return spent / rounds * 1e6


async def round_trips(url: str, requests: int, person: Person) -> float:
    """Batches sent to Redis a request."""
    from gateway.state.redis import RedisState

    state = RedisState(url, 5.0)
    batches = 0
    send = state._send

    async def counted(commands: Any) -> list[Any]:
        nonlocal batches
        batches += 1
        return await send(commands)

    state._send = counted  # type: ignore[method-assign]
    stages = Stages(cast(State, state))
    await stages.consent(person)
    await stages.ask(person)  # the first of a day asks once more: was the person greeted today
    before = batches
    for _ in range(requests):
        stages.now += 0.1
        await stages.ask(person)
    await stages.standing.close()
    await state.close()
    return (batches - before) / requests


async def memory_mb(people: int) -> float:
    """Megabytes that so many people in use take."""
    tracemalloc.start()
    state = MemoryState(lambda: NOON, capacity=people)
    for number in range(people):
        key = f"{number:032d}"
        await state.touch_usage(key, NOON, "2026-03-01", 300.0, day_started_at=NOON - 43_200)
        await state.touch_usage(key, NOON + 60, "2026-03-01", 300.0, day_started_at=NOON - 43_200)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / 1e6


async def measure(people: int, redis_url: str, rounds: int) -> list[str]:
    """The figures for people."""
    child = Person(subject="p" * 32, age_band=AgeBand.FROM_8, is_signed=True)
    adult = replace(child, age_band=AgeBand.ADULT, is_verified=True)
    lines = [
        f"minor with a guardian, companion service: {await cpu_us(MemoryState(lambda: NOON), rounds, child):.1f} us",
        f"adult, companion service: {await cpu_us(MemoryState(lambda: NOON), rounds, adult):.1f} us",
        f"memory of {people} people in use: {await memory_mb(people):.0f} MB",
    ]
    if redis_url:
        lines.append(f"round trips a request with Redis: {await round_trips(redis_url, 200, child):.2f}")
    return lines


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="What the duties about people cost.")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--redis", default="")
    parser.add_argument("--rounds", type=int, default=5_000)
    chosen = parser.parse_args()
    for line in asyncio.run(measure(chosen.people, chosen.redis, chosen.rounds)):
        print(line)


if __name__ == "__main__":
    main()
