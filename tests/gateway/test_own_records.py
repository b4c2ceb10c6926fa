# SPDX-License-Identifier: Apache-2.0
"""Records of acts: appended at once, or owed and appended once, whoever is first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from audit_log import LogUnavailable
from gateway.own_records import SHELF, OwnRecords, entry_of
from gateway.standing import Standing
from gateway.state import MemoryOrders, StateUnavailable

NOW = 1_700_000_000.0


class Log:
    """A log that may be away."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.is_away = False

    async def record(self, fields: Mapping[str, object]) -> str:
        """Keep it."""
        await asyncio.sleep(0)
        if self.is_away:
            raise LogUnavailable("the disk is away")
        self.kept.append(dict(fields))
        return f"r{len(self.kept)}"


def test_the_person_and_the_words_stay_out_of_the_leaf() -> None:
    """The subject goes to the index, the reason into the sealed body; what is not known is left out."""
    record_id, entry = entry_of(
        {"type": "measure", "event": "placed", "subject": "p1", "sealed": {"reason": "x"}, "until": None}
    )

    assert entry.fields == {"type": "measure", "event": "placed", "id": record_id}
    assert entry.subject == "p1"
    assert entry.body is not None and orjson.loads(entry.body) == {"reason": "x"}
    assert entry_of({"type": "measure"})[1].body is None


def test_what_the_log_does_not_take_is_appended_once_later() -> None:
    """By one of several processes, and not again."""

    async def scene() -> None:
        now = [NOW]
        orders, log = MemoryOrders(lambda: now[0]), Log()
        standings = [
            Standing(orders, lambda: now[0], poll_s=60.0, stale_after_s=1e9, monotonic=lambda: now[0]) for _ in range(3)
        ]
        records = [OwnRecords(log.record, standing) for standing in standings]
        assert await records[0].tell({"type": "measure", "event": "a"}) == "r1"

        log.is_away = True
        assert await records[0].tell({"type": "measure", "event": "b", "sealed": {"reason": "x"}}) == ""
        for standing in standings:
            await standing.refresh()
        assert len(standings[1].shelf(SHELF)) == 1
        with pytest.raises(LogUnavailable):
            await records[1].settle()

        log.is_away = False
        assert await records[2].settle() == 0  # another one has claimed it
        now[0] += 61
        assert sum(await asyncio.gather(*(one.settle() for one in records))) == 1
        assert [kept["event"] for kept in log.kept] == ["a", "b"]
        assert log.kept[1]["sealed"] == {"reason": "x"}
        assert await records[0].settle() == 0
        for standing in standings:
            await standing.close()

    asyncio.run(scene())


def test_where_nobody_takes_it_the_caller_hears_so() -> None:
    """An act of which nothing would be left is an error."""

    async def scene() -> None:
        log = Log()
        log.is_away = True
        standing = Standing(MemoryOrders(lambda: NOW), lambda: NOW, poll_s=60.0, stale_after_s=60.0)

        async def refuse(*arguments: Any, **named: Any) -> int:
            raise StateUnavailable("the store is away")

        standing._orders.put = refuse  # type: ignore[method-assign]
        with pytest.raises(StateUnavailable):
            await OwnRecords(log.record, standing).tell({"type": "measure"})
        await standing.close()

    asyncio.run(scene())
