# SPDX-License-Identifier: Apache-2.0
"""Takedowns: followed everywhere, recorded, and ended only on record."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from audit_log import LogUnavailable
from gateway.own_records import OwnRecords
from gateway.standing import Standing
from gateway.state import MemoryOrders
from gateway.withheld import Withheld

NOW = 1_700_000_000.0


def test_a_takedown_holds_everywhere_until_it_is_ended_on_record() -> None:
    """At once without the log; given again only with it."""

    async def scene() -> None:
        orders = MemoryOrders(lambda: NOW)
        here, there = (Standing(orders, lambda: NOW, poll_s=60.0, stale_after_s=1e9) for _ in range(2))
        kept: list[dict[str, Any]] = []
        is_away = True

        async def record(fields: Any) -> str:
            if is_away:
                raise LogUnavailable("the disk is away")
            kept.append(dict(fields))
            return "rec"

        records = OwnRecords(record, here)
        withheld, other = Withheld(here), Withheld(there)
        assert await withheld.take_down("r1", "inc_1", "t", records) == ""
        await there.refresh()
        assert withheld.is_withheld("r1") and other.is_withheld("r1") and not other.is_withheld("r2")
        assert other.all() == [{"record": "r1", "incident": "inc_1", "actor": "t", "at": NOW}]
        with pytest.raises(LogUnavailable):
            await withheld.release("r1", "inc_1", "t", records)
        assert withheld.is_withheld("r1")
        is_away = False
        assert await withheld.release("r1", "inc_1", "t", records) == "rec"
        assert await withheld.release("r1", "inc_1", "t", records) is None
        assert not withheld.is_withheld("r1")
        assert kept == [{"type": "measure", "event": "released", "exchange": "r1", "incident": "inc_1", "actor": "t"}]
        await here.close()
        await there.close()

    asyncio.run(scene())
