# SPDX-License-Identifier: Apache-2.0
"""Tells people of an incident that concerned them, with their next answer (Model AI Law article 33, PIPL article 57).

A notice is a standing order under the person's pseudonym, so it finds them in whichever process they ask next. What
must hold: it stands in `notices` of an answer that is then completed, and only then counts as told, with a record; an
answer that breaks off tells nobody, so the next one carries it again. Two answers at the same time may both carry it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.decisions import Action, Decision, Verdict
from gateway.exchange import Exchange, Outcome
from gateway.language import language_of_prompt
from gateway.own_records import OwnRecords
from gateway.standing import Standing

DUTY = "incident_notices"
SHELF = "notice"
KIND = "incident"
MOST_CHARS = 4_000
KEPT_S = 400 * 86_400
"""A person who does not come back within this time is not told in-band any more."""

_TOLD = (Outcome.COMPLETED, Outcome.STOPPED)


@dataclass(frozen=True, slots=True)
class IncidentNotice:
    """What a person is told of one incident, in both languages."""

    incident: str
    zh: str
    en: str


class IncidentNotices:
    """The notices that wait for people. The stage `incident notices` of the pipeline."""

    def __init__(self, standing: Standing, records: OwnRecords) -> None:
        self._standing = standing
        self._records = records
        self._shelf = standing.shelf(SHELF)

    async def place(self, tenant: str, subject: str, notice: IncidentNotice) -> None:
        """Tell a person with their next answer. A second notice of one incident takes the place of the first."""

        def add(before: str | None) -> tuple[str, float]:
            others = [item for item in _read(before) if item.incident != notice.incident]
            return _written([*others, notice]), self._standing.clock() + KEPT_S

        await self._standing.change(SHELF, f"{tenant}/{subject}", add)

    async def __call__(self, exchange: Exchange) -> None:
        """Put what waits for the person into the answer's notices."""
        if not self._shelf or not exchange.is_generative or not exchange.person.subject:
            return
        for notice in self.waiting(exchange):
            exchange.notices.append(notice)
            exchange.decide(Decision(DUTY, Verdict.PASS, Action.NOTIFY, reason=KIND, rule=notice["incident"]))

    async def ended(self, exchange: Exchange) -> None:
        """Count as told what stood in an answer that left. Raises `StateUnavailable`."""
        if not self._shelf or exchange.outcome not in _TOLD:
            return
        told = {str(item["incident"]) for item in exchange.notices if item.get("kind") == KIND}
        if not told:
            return
        person = exchange.person
        taken: list[str] = []

        def strike_out(before: str | None) -> tuple[str | None, float] | None:
            waiting = _read(before)
            left = [item for item in waiting if item.incident not in told]
            taken[:] = [item.incident for item in waiting if item.incident in told]
            if not taken:
                return None
            return (_written(left), self._standing.clock() + KEPT_S) if left else (None, 0.0)

        await self._standing.change(SHELF, f"{person.tenant}/{person.subject}", strike_out)
        for incident in taken:
            await self._records.tell(
                {
                    "type": "notice",
                    "event": "incident_told",
                    "incident": incident,
                    "exchange": exchange.record_id,
                    "tenant": person.tenant,
                    "subject": person.subject,
                }
            )

    def waiting(self, exchange: Exchange) -> list[dict[str, str]]:
        """What waits for the person, as an answer would tell it; it stays due."""
        if not self._shelf or not exchange.person.subject:
            return []
        is_zh = language_of_prompt(exchange) == "zh"
        return [
            {"kind": KIND, "incident": item.incident, "text": item.zh if is_zh else item.en}
            for item in self._waiting(exchange)
        ]

    def _waiting(self, exchange: Exchange) -> list[IncidentNotice]:
        person = exchange.person
        order = self._shelf.get(f"{person.tenant}/{person.subject}")
        return _read(order.value) if order is not None and order.is_in_force(self._standing.clock()) else []


def _read(text: str | None) -> list[IncidentNotice]:
    kept: list[Any] = orjson.loads(text) if text else []
    return [IncidentNotice(item["incident"], item["zh"], item["en"]) for item in kept]


def _written(notices: Sequence[IncidentNotice]) -> str:
    return orjson.dumps([{"incident": item.incident, "zh": item.zh, "en": item.en} for item in notices]).decode()
