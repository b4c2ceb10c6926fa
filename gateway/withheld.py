# SPDX-License-Identifier: Apache-2.0
"""What was taken down: stored output of an incident that nobody is given any more (Interim Measures article 14).

A takedown is a standing order under the id of the exchange's record, so every process and replica follows it. Whatever
keeps output (files behind links, exports of bodies) asks `is_withheld` with that id before it hands anything out. The
record stays in the log and stays provable: what is withheld is the content.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.own_records import OwnRecords
from gateway.standing import Standing

SHELF = "withheld"


class Withheld:
    """The takedowns in force."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._shelf = standing.shelf(SHELF)

    def is_withheld(self, record_id: str) -> bool:
        """Whether output of this exchange was taken down, as far as this process knows."""
        return record_id in self._shelf

    def all(self) -> list[dict[str, object]]:
        """Every takedown: `record`, `incident`, `actor`, `at` in seconds since the epoch."""
        return [orjson.loads(order.value or "{}") for order in self._shelf.values()]

    async def take_down(self, record_id: str, incident: str, actor: str, records: OwnRecords) -> str:
        """Withhold the output of an exchange, at once and everywhere; gives the record's id, or nothing while it is
        owed. Raises `StateUnavailable`."""
        kept = {"record": record_id, "incident": incident, "actor": actor, "at": self._standing.clock()}
        await self._standing.place(SHELF, record_id, orjson.dumps(kept).decode())
        return await records.tell(_record("taken_down", record_id, incident, actor))

    async def release(self, record_id: str, incident: str, actor: str, records: OwnRecords) -> str | None:
        """Record that a takedown ends, then end it; gives the record's id, None where there is none. Raises
        `AuditError` and `StateUnavailable`."""
        await self._standing.refresh()
        if record_id not in self._shelf:
            return None
        made = await records.record(_record("released", record_id, incident, actor))
        await self._standing.withdraw(SHELF, record_id)
        return made


def _record(event: str, record_id: str, incident: str, actor: str) -> Mapping[str, object]:
    return {"type": "measure", "event": event, "exchange": record_id, "incident": incident, "actor": actor}
