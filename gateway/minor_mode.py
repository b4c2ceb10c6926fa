# SPDX-License-Identifier: Apache-2.0
"""Who is in the minors' mode though no signed age says so, and how they come out of it.

The minors' mode guide: the mode is left only after a guardian was verified. The Anthropomorphic Measures article 14:
minors are recognised, and whoever is taken for one wrongly has a way to appeal.

What must hold: a person of unknown age whose device or token once said `minor mode` stays in it when the sign is gone,
in every process, until a guardian or an officer ends it; whoever is proved to be an adult is not held by it; a signed
minor needs no entry. The entry of one person costs others nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import orjson

from gateway.exchange import AgeBand, Person
from gateway.own_records import OwnRecords
from gateway.standing import Standing
from gateway.state.orders import Order

SHELF = "minor_mode"
CLEARED_SHELF = "not_a_minor"


class Why(StrEnum):
    """Why somebody is in the mode."""

    DEVICE = "device"
    """A device or a token said so once."""
    GUARDIAN = "guardian"
    """A guardian put the person into it."""
    SUSPECTED = "suspected"
    """What the person wrote says so; there is an appeal."""
    OFFICER = "officer"
    """Somebody of the provider's decided it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One person in the mode, since `since` (seconds since the epoch); `evidence` is the record that showed it."""

    tenant: str
    subject: str
    why: Why
    since: float
    evidence: str = ""

    @property
    def name(self) -> str:
        """Under which name its order stands."""
        return f"{self.tenant}/{self.subject}"


def entry_of(order: Order) -> Entry:
    """The entry that an order keeps. Raises `ValueError` where it is none."""
    kept: Any = orjson.loads(order.value or "")
    try:
        return Entry(**(kept | {"why": Why(kept["why"])}))
    except (TypeError, KeyError):
        raise ValueError("an order of the shelf is no entry of the minors' mode") from None


class MinorModes:
    """The people in the mode."""

    def __init__(self, standing: Standing, records: OwnRecords, cleared_s: float) -> None:
        """`cleared_s` is how long whoever was cleared is not suspected again."""
        self._standing = standing
        self._records = records
        self._cleared_s = cleared_s
        self._shelf = standing.shelf(SHELF)
        self._cleared = standing.shelf(CLEARED_SHELF)

    def of(self, person: Person) -> Entry | None:
        """The entry that holds this person; None for whoever is not in the mode or is proved to be an adult."""
        order = self._shelf.get(f"{person.tenant}/{person.subject}") if self._shelf and person.subject else None
        if order is None or order.value is None:
            return None
        entry = entry_of(order)
        if person.is_signed and person.age_band is AgeBand.ADULT and (person.is_verified or entry.why is Why.DEVICE):
            return None
        return entry

    def resolved(self, person: Person) -> Person:
        """The person as the duties see them: in the mode where an entry holds them."""
        if person.in_minor_mode or self.of(person) is None:
            return person
        return replace(person, in_minor_mode=True)

    def is_cleared(self, person: Person) -> bool:
        """Whether somebody looked and found an adult."""
        order = self._cleared.get(f"{person.tenant}/{person.subject}") if self._cleared else None
        return order is not None and order.is_in_force(self._standing.clock())

    async def keep(self, person: Person) -> None:
        """Keep a person of unknown age in the mode that their request claimed. Raises `StateUnavailable`."""
        if not person.in_minor_mode or not person.subject or person.age_band is not AgeBand.UNKNOWN:
            return
        if f"{person.tenant}/{person.subject}" not in self._shelf:
            await self.enter(person.tenant, person.subject, Why.DEVICE, "device")

    async def enter(self, tenant: str, subject: str, why: Why, actor: str, evidence: str = "") -> Entry:
        """Put a person into the mode; it holds at once, its record may be owed. Raises `StateUnavailable`."""
        entry = Entry(tenant, subject, why, self._standing.clock(), evidence)
        await self._standing.place(SHELF, entry.name, orjson.dumps(asdict(entry)).decode())
        await self._records.tell(self._facts(entry, "minor_mode_on", actor))
        return entry

    async def leave(self, tenant: str, subject: str, actor: str, *, case: str = "", is_adult: bool = False) -> bool:
        """End the mode for a person; recorded first. Whether they were in it.

        With `is_adult` they are not suspected again for the policy's time. `case` is the receipt of their appeal.
        Raises `AuditError`, with the mode in force, and `StateUnavailable`.
        """
        await self._standing.refresh()
        order = self._shelf.get(f"{tenant}/{subject}")
        if order is None or order.value is None:
            return False
        entry = entry_of(order)
        await self._records.record(self._facts(entry, "minor_mode_off", actor) | {"case": case or None})
        if is_adult:
            now = self._standing.clock()
            await self._standing.place(CLEARED_SHELF, entry.name, str(int(now)), now + self._cleared_s)
        await self._standing.withdraw(SHELF, entry.name)
        return True

    def entries(self) -> list[Entry]:
        """Everybody in the mode by an entry, longest first."""
        found = [entry_of(order) for order in self._shelf.values()]
        return sorted(found, key=lambda entry: (entry.since, entry.name))

    @staticmethod
    def _facts(entry: Entry, event: str, actor: str) -> dict[str, object]:
        return {
            "type": "measure",
            "event": event,
            "tenant": entry.tenant,
            "subject": entry.subject,
            "why": entry.why.value,
            "evidence": [entry.evidence] if entry.evidence else None,
            "actor": actor,
        }
