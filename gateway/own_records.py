# SPDX-License-Identifier: Apache-2.0
"""Records of acts: a pause, a measure against a person, a step of an incident, a report that was delivered.

What tightens is done first and recorded at once behind it: a kill switch must work while the log is away. A record that
the log could not take then is owed: it waits among the standing orders, beside what it tells of, and is appended later.
What loosens is recorded first, and is not done where it cannot be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog

from audit_log import AuditError, Entry, new_record_id
from gateway.standing import Standing

SHELF = "owed"
_BESIDE = frozenset({"subject", "sealed"})
_CLAIM_S = 60.0
"""For how long a process has an owed record to itself while it appends it."""

log = structlog.get_logger("dutybound.records")

Record = Callable[[Mapping[str, object]], Awaitable[str]]
"""Appends a record with these fields and gives its id once it is durable. Raises `AuditError`."""


def entry_of(fields: Mapping[str, object]) -> tuple[str, Entry]:
    """A record of our own, with its new id.

    A `subject` among the fields goes to the index beside the tree, a mapping `sealed` into the sealed body; neither
    into the leaf. What is None is left out.
    """
    record_id = new_record_id()
    subject, sealed = fields.get("subject"), fields.get("sealed")
    leaf = {key: value for key, value in fields.items() if key not in _BESIDE and value is not None}
    name = subject if isinstance(subject, str) and subject else None
    body = orjson.dumps(sealed) if isinstance(sealed, Mapping) else None
    return record_id, Entry({**leaf, "id": record_id}, subject=name, body=body)


class OwnRecords:
    """Tells the log of acts. `record` appends; `standing` keeps what is owed."""

    def __init__(self, record: Record, standing: Standing) -> None:
        self.record: Record = record
        self._standing = standing
        self._owed = standing.shelf(SHELF)

    async def tell(self, fields: Mapping[str, object]) -> str:
        """Record an act that was done; gives the record's id, or nothing where the record is owed.

        Raises `StateUnavailable` where neither the log nor the store of orders takes it.
        """
        try:
            return await self.record(fields)
        except AuditError as error:
            log.error("record_owed", event_type=fields.get("type"), reason=str(error))
        name = new_record_id()
        await self._standing.place(SHELF, name, orjson.dumps({"fields": dict(fields), "claimed_until": 0.0}).decode())
        return ""

    async def settle(self) -> int:
        """Append what is owed; gives how much there was. Raises `AuditError` and `StateUnavailable`."""
        done = 0
        for name in list(self._owed):
            if await self._claim(name):
                held: Any = orjson.loads(self._owed[name].value or "")
                await self.record(held["fields"])
                await self._standing.withdraw(SHELF, name)
                done += 1
        return done

    async def _claim(self, name: str) -> bool:
        """Whether this process, alone, may append it now."""
        now = self._standing.clock()
        is_mine = False

        def claim(before: str | None) -> tuple[str, float] | None:
            nonlocal is_mine
            held: Any = orjson.loads(before) if before else None
            is_mine = held is not None and held["claimed_until"] <= now
            return (orjson.dumps({**held, "claimed_until": now + _CLAIM_S}).decode(), 0.0) if is_mine else None

        await self._standing.change(SHELF, name, claim)
        return is_mine
