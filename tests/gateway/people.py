# SPDX-License-Identifier: Apache-2.0
"""People under test: standing orders, counters and records in memory, on a clock that moves only when told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from audit_log import LogUnavailable
from gateway.exchange import Exchange, Person, Prompt, PromptText
from gateway.guardians import Guardians
from gateway.minor_mode import MinorModes
from gateway.own_records import OwnRecords
from gateway.standing import Standing
from gateway.state import MemoryOrders, MemoryState

NOW = 1_789_997_600.0
"""2026-09-21 21:33 in Shanghai."""
KEY = b"k" * 32

T = TypeVar("T")


class Desk:
    """What guardians and the minors' mode stand on. `records` is the log; `is_log_away` makes it fail."""

    def __init__(self, *, may_exempt: bool = True) -> None:
        self.now = NOW
        self.records: list[dict[str, Any]] = []
        self.is_log_away = False
        self.orders = MemoryOrders(self.clock)
        self.state = MemoryState(self.clock)
        self._seed = 0
        self.may_exempt = may_exempt
        self.standing, self.guardians, self.modes = self.replica()

    def replica(self) -> tuple[Standing, Guardians, MinorModes]:
        """Another process over the same orders."""
        standing = Standing(self.orders, self.clock, poll_s=0.05, stale_after_s=10.0, monotonic=self.clock)
        records = OwnRecords(self.record, standing)
        guardians = Guardians(standing, records, KEY, self.entropy, may_exempt=self.may_exempt)
        return standing, guardians, MinorModes(standing, records, 86_400.0)

    def clock(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def entropy(self, count: int) -> bytes:
        """Different each time, the same in each run."""
        self._seed += 1
        return self._seed.to_bytes(count, "big")

    async def record(self, fields: Mapping[str, object]) -> str:
        """Keep a record."""
        if self.is_log_away:
            raise LogUnavailable("the disk is away")
        self.records.append(dict(fields))
        return f"r{len(self.records)}"

    def events(self) -> list[str]:
        """What the log was told, in order."""
        return [record["event"] for record in self.records]

    def run(self, *steps: Coroutine[Any, Any, T]) -> T:
        """The last step's result; nothing is left running."""

        async def walk() -> T:
            results = [await step for step in steps]
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.standing._task = None
            return results[-1]

        return asyncio.run(walk())


def exchange(person: Person, *texts: str, model: str = "m", system: str = "", generative: bool = True) -> Exchange:
    """An exchange in which `person` said `texts`, one turn each."""
    said = [PromptText("system", "system", system)] if system else []
    said += [PromptText(f"messages.{number}.content", "user", text) for number, text in enumerate(texts)]
    prompt = Prompt(model, False, said, {})
    return Exchange("r", NOW, "w", "/", person=person, prompt=prompt, model=model, is_generative=generative)
