# SPDX-License-Identifier: Apache-2.0
"""The incident desk: what officers do about illegal content that was found (Interim Measures article 14).

The store (`content_filter.incidents`) keeps incidents and their steps; here the clocks come from the policy, each step
is a record, reports are drafted from what is known and put into the outbox, people who were concerned are told with
their next answer, stored output is taken down, and findings become a set to improve the model with. The operator API
and the command line are skins over this.

Which clock of the law runs is the operator's to say (`incidents.operator_kind`); a step that is recorded late is owed,
never lost (`gateway/own_records.py`).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

import orjson

from content_filter.document import MEDIA_TYPE
from content_filter.errors import FilterInvalid, FilterNotFound
from content_filter.incident_report import Draft, Facts, Provider, ReportKind, draft
from content_filter.incident_workflow import Clock, ClockState, Deadline, deadlines
from content_filter.incidents import Incident, IncidentState, IncidentStore, Transition
from gateway.delivery import Courier, Delivery, DeliveryError, Outbox, Via, new_delivery_id
from gateway.incident_notices import MOST_CHARS, IncidentNotice, IncidentNotices
from gateway.own_records import OwnRecords
from gateway.settings import Settings
from gateway.withheld import Withheld

_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_SETTLED: Final = frozenset({IncidentState.CLOSED, IncidentState.FALSE_ALARM})
MANY: Final = 10_000
"""Unsettled incidents are looked through up to this number."""

_LATE: Final = (ClockState.MISSED,)
_REPORT_HOURS: Final = {
    "ordinary": "incident.cac_hours",
    "critical": "incident.cii_hours",
    "state_organ": "incident.state_organ_hours",
}


class PolicyValues(Protocol):
    """What the clocks read of the policy."""

    def number(self, key: str) -> int | float:
        """The number under `key`."""
        ...

    def entry(self, key: str) -> Any:
        """The entry under `key`, with the `article` it names; empty for a setting."""
        ...


def clocks(policy: PolicyValues, operator_kind: str) -> tuple[Clock, ...]:
    """The clocks that run for an incident: triage, report to the authority, closing report."""
    report_key = _REPORT_HOURS[operator_kind]
    over = frozenset({IncidentState.CLOSED})
    return (
        Clock(
            "triage",
            IncidentState.OPEN,
            frozenset({IncidentState.CONFIRMED}),
            policy.number("incident.triage_hours") * _HOUR_S,
            policy.entry("incident.triage_hours").article,
        ),
        Clock(
            "report",
            IncidentState.CONFIRMED,
            over | {IncidentState.REPORTED},
            policy.number(report_key) * _HOUR_S,
            policy.entry(report_key).article,
        ),
        Clock(
            "closing_report",
            IncidentState.REPORTED,
            over,
            policy.number("incident.closing_report_days") * _DAY_S,
            policy.entry("incident.closing_report_days").article,
        ),
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """An incident with what the desk knows of it. `version` is the number of its last step."""

    incident: Incident
    history: tuple[Transition, ...]
    deadlines: tuple[Deadline, ...]
    is_withheld: bool

    @property
    def version(self) -> int:
        """What a step names, so that nobody overrides what they did not see."""
        return self.history[-1].number if self.history else 0

    @property
    def is_overdue(self) -> bool:
        """Whether a clock has run out."""
        return any(item.state in _LATE for item in self.deadlines)


class IncidentDesk:
    """The desk. Methods that are not `async` block on the disk."""

    def __init__(
        self,
        store: IncidentStore,
        outbox: Outbox,
        courier: Courier,
        records: OwnRecords,
        notices: IncidentNotices,
        withheld: Withheld,
        policy: PolicyValues,
        settings: Settings,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self.store = store
        self.outbox = outbox
        self.withheld = withheld
        self._courier = courier
        self._records = records
        self._notices = notices
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._clocks = clocks(policy, settings.incidents.operator_kind)

    def get(self, incident_id: str) -> Shown:
        """One incident. Raises `FilterNotFound`."""
        incident = self.store.get(incident_id)
        if incident is None:
            raise FilterNotFound("no incident has this id")
        return self._shown(incident, self.store.history(incident_id))

    def list(
        self, *, state: str | None = None, record: str | None = None, after: str = "", limit: int
    ) -> Sequence[Shown]:
        """Incidents, the oldest first."""
        found = self.store.list(state=state, record_id=record, after=after, limit=limit)
        return [self._shown(incident, self.store.history(incident.id)) for incident in found]

    def overdue(self) -> Sequence[Shown]:
        """Unsettled incidents of which a clock has run out, the one that is latest first."""
        now = self._clock()
        late = []
        for incident_id, history in self.store.unsettled(MANY).items():
            due = [item.due_at_s or 0.0 for item in deadlines(history, self._clocks, now) if item.state in _LATE]
            if due:
                late.append((min(due), incident_id))
        return [self.get(incident_id) for _, incident_id in sorted(late)]

    def overdue_clocks(self) -> dict[str, int]:
        """How many incidents are past each clock."""
        now = self._clock()
        counts = {clock.name: 0 for clock in self._clocks}
        for history in self.store.unsettled(MANY).values():
            for item in deadlines(history, self._clocks, now):
                if item.state in _LATE:
                    counts[item.clock.name] += 1
        return counts

    async def step(
        self, incident_id: str, to: str, actor: str, reason: str = "", version: int | None = None
    ) -> tuple[Transition, str]:
        """Take a step and record it; gives it and the record's id, empty while it is owed. Raises `FilterError`s."""
        taken = await self.store.move_async(
            incident_id, to, at_s=self._clock(), actor=actor, reason=reason, version=version
        )
        incident = await self.store.get_async(incident_id)
        assert incident is not None
        return taken, await self._tell(
            incident, taken.after.value, actor, sealed={"reason": reason} if reason else None
        )

    def state_facts(self, incident_id: str, stated: Mapping[str, Any], actor: str) -> dict[str, Any]:
        """Keep facts for the reports, beside those stated before; None takes one back. Gives all. Raises
        `FilterError`s."""
        unknown = set(stated) - set(FACTS)
        if unknown:
            raise FilterInvalid(f"facts are: {', '.join(FACTS)}")
        held = {**self.store.facts(incident_id), **stated}
        kept = {name: value for name, value in held.items() if value is not None}
        _facts(kept)
        self.store.set_facts(incident_id, kept, at_s=self._clock(), actor=actor)
        return kept

    def draft(self, incident_id: str, kind: str, language: str) -> Draft:
        """The draft of a report: filled from the incident, its steps, the facts stated, and the settings. Raises
        `FilterError`s."""
        shown = self.get(incident_id)
        stated = self.store.facts(incident_id)
        service = self._settings.service
        measures = [*stated.get("measures", ()), *self._measures(shown, language)]
        facts = _facts({"model": shown.incident.model or service.model, **stated, "measures": measures})
        provider = Provider(
            name=service.provider,
            service=service.name,
            registration=service.filing_number or service.licence_number,
            contact=service.contact,
        )
        zone = ZoneInfo(self._settings.identity.default_tz)
        return draft(kind, language, shown.incident, shown.history, provider, facts, zone)

    async def deliver(self, incident_id: str, kind: str, language: str, via: str, actor: str) -> Delivery:
        """Put a report into the outbox. Raises `FilterError`s, and `DeliveryError` for a way that is not configured."""
        try:
            way = Via(via)
        except ValueError:
            raise DeliveryError(f"via: expected one of {', '.join(Via)}") from None
        if way not in self._courier.ways:
            section = "delivery.webhook_url" if way is Via.WEBHOOK else "delivery.mail_host"
            raise DeliveryError(f"via: {way} is not configured; set {section}")
        made = await asyncio.to_thread(self.draft, incident_id, kind, language)
        delivery_id = new_delivery_id(self._entropy)
        name = f"{incident_id}-{kind}-{language}.docx"
        payload = {
            "delivery": delivery_id,
            "incident": incident_id,
            "kind": kind,
            "language": language,
            "report": made.as_json(),
            "document": {"name": name, "media_type": MEDIA_TYPE, "base64": base64.b64encode(made.as_docx()).decode()},
        }
        now = self._clock()
        delivery = Delivery(
            delivery_id, incident_id, kind, language, way, actor, now, orjson.dumps(payload), next_at=now
        )
        await asyncio.to_thread(self.outbox.put, delivery)
        self._courier.wake()
        return delivery

    async def notify(
        self, incident_id: str, zh: str, en: str, actor: str, subjects: Sequence[str] = ()
    ) -> tuple[Sequence[str], str]:
        """Tell the people concerned with their next answer: those named, or the incident's own; gives their pseudonyms
        and the record's id. Raises `FilterError`s and `StateUnavailable`."""
        for text in (zh, en):
            if not text.strip() or len(text) > MOST_CHARS:
                raise FilterInvalid(f"a notice has 1 to {MOST_CHARS} characters in each language")
        incident = self.get(incident_id).incident
        people = list(dict.fromkeys(subjects or ([incident.subject] if incident.subject else [])))
        if not people:
            raise FilterInvalid("nobody to tell: the incident concerns nobody with a name; give subjects")
        for subject in people:
            await self._notices.place(incident.tenant, subject, IncidentNotice(incident_id, zh, en))
        return people, await self._tell(incident, "notice_placed", actor, persons=len(people))

    async def take_down(self, incident_id: str, actor: str) -> str:
        """Withhold the stored output of the incident's exchange; gives the record's id."""
        incident = self.get(incident_id).incident
        return await self.withheld.take_down(incident.record_id, incident_id, actor, self._records)

    async def release(self, incident_id: str, actor: str) -> str | None:
        """End a takedown; gives the record's id, None where there was none."""
        incident = self.get(incident_id).incident
        return await self.withheld.release(incident.record_id, incident_id, actor, self._records)

    def for_rectification(self) -> Iterator[Incident]:
        """Incidents whose finding somebody has judged, oldest first."""
        for state in IncidentState:
            if state is not IncidentState.OPEN:
                yield from self.store.list(state=state, limit=MANY)

    def _shown(self, incident: Incident, history: tuple[Transition, ...]) -> Shown:
        found = deadlines(history, self._clocks, self._clock())
        return Shown(incident, history, found, self.withheld.is_withheld(incident.record_id))

    def _measures(self, shown: Shown, language: str) -> Sequence[str]:
        """What the house itself did, for the report: the answer was stopped, stored output was taken down."""
        done = [_STOPPED[language]] if language in _STOPPED else []
        return [*done, _TAKEN_DOWN[language]] if shown.is_withheld and done else done

    async def _tell(self, incident: Incident, event: str, actor: str, **more: object) -> str:
        return await self._records.tell(
            {
                "type": "incident",
                "event": event,
                "incident": incident.id,
                "exchange": incident.record_id,
                "tenant": incident.tenant,
                "class": incident.class_code,
                "actor": actor,
                **more,
            }
        )


FACTS: Final = tuple(field.name for field in fields(Facts))
_LISTS: Final = ("record_ids", "measures")
_STOPPED: Final = {
    "zh": "系统已即时停止生成和传输该内容",
    "en": "The answer was stopped and nothing more of it was sent",
}
_TAKEN_DOWN: Final = {"zh": "已下架该次生成的存储内容", "en": "What was stored of the answer was taken down"}


def _facts(stated: Mapping[str, Any]) -> Facts:
    """Raises `FilterInvalid` for a fact of the wrong type."""
    for name, value in stated.items():
        if name in _LISTS:
            is_right = isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
        elif name == "persons_affected":
            is_right = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        else:
            is_right = isinstance(value, str)
        if not is_right:
            raise FilterInvalid(f"{name}: expected a text, a list of texts, or for persons_affected a whole number")
    return Facts(**stated)


def as_json(shown: Shown, moment: Callable[[float], str]) -> dict[str, Any]:
    """An incident as the API and the command line show it; `moment` writes a time."""
    incident = shown.incident
    return {
        "id": incident.id,
        "opened_at": moment(incident.opened_at_s),
        "state": incident.state.value,
        "version": shown.version,
        "class": incident.class_code,
        "rule": incident.rule,
        "role": incident.role.value,
        "record": incident.record_id,
        "body_record": incident.body_record or None,
        "tenant": incident.tenant,
        "subject": incident.subject,
        "model": incident.model or None,
        "released_chars": incident.released_chars,
        "released": orjson.loads(incident.released),
        "start": incident.start,
        "end": incident.end,
        "filter_digest": incident.filter_digest,
        "is_withheld": shown.is_withheld,
        "is_overdue": shown.is_overdue,
        "deadlines": [
            {
                "clock": item.clock.name,
                "state": item.state.value,
                "due_at": None if item.due_at_s is None else moment(item.due_at_s),
                "article": item.clock.article or None,
            }
            for item in shown.deadlines
        ],
    }


def step_as_json(step: Transition, moment: Callable[[float], str]) -> dict[str, Any]:
    """A step as the API and the command line show it."""
    return {
        "number": step.number,
        "at": moment(step.at_s),
        "actor": step.actor,
        "from": step.before or None,
        "to": step.after.value,
        "reason": step.reason,
    }


def delivery_as_json(delivery: Delivery, moment: Callable[[float], str]) -> dict[str, Any]:
    """A delivery as the API and the command line show it, without what is sent."""
    return {
        "id": delivery.id,
        "incident": delivery.incident,
        "kind": delivery.kind,
        "language": delivery.language,
        "via": delivery.via.value,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "created_at": moment(delivery.created_at),
        "next_at": moment(delivery.next_at) if delivery.state.value == "waiting" else None,
        "ended_at": moment(delivery.ended_at) if delivery.ended_at else None,
        "problem": delivery.problem or None,
        "proof": delivery.proof or None,
        "sent": delivery.digest,
    }


KINDS: Final = tuple(kind.value for kind in ReportKind)
