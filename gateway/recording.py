# SPDX-License-Identifier: Apache-2.0
"""What the audit log remembers of an exchange (`docs/record.md` describes it field by field).

A leaf holds no personal data: the subject's pseudonym goes to the search index beside the tree, prompt and answer into
a sealed body where the settings keep them, and only fixed words, numbers and digests into the leaf.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from audit_log import AuditLog, Entry, new_record_id
from content_filter import CLASSES, Incident, IncidentStore, Role, new_incident_id
from gateway.decisions import Action, Decision, Verdict
from gateway.exchange import Exchange, Outcome
from gateway.metrics import Meters
from gateway.policies import Policy

_STRENGTH = {
    Action.SKIP: 0,
    Action.ALLOW: 1,
    Action.NOTIFY: 2,
    Action.LABEL: 3,
    Action.MODIFY: 4,
    Action.REFUSE: 5,
    Action.STOP: 6,
}
_RANDOM_DIGITS = 8
"""The last hexadecimal digits of a record id; they are random (RFC 9562, section 5.7)."""
_FULL_BP = 10_000
MOST_LANES = 64
"""A record has a size; an answer with more lanes than this says how much left in all."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}")
"""A client names the model, and the model's API its call; what is not shaped like a name is not recorded."""


class Recorder:
    """Writes the records of exchanges. Every method returns when its record is durable, or raises `LogUnavailable`."""

    def __init__(
        self,
        log: AuditLog,
        incidents: IncidentStore,
        policy: Policy,
        bodies: str,
        clock: Callable[[], float],
        meters: Meters,
        sample_bp: int = 0,
    ) -> None:
        """`sample_bp`: of what is not blocked, how many in 10,000 bodies `sampled` keeps."""
        self.counted: Counter[str] = Counter()
        """How many records were acknowledged to this process, by type: what the log's own count is held against."""
        self._sample_bp = sample_bp
        self._log = log
        self._meters = meters
        self._incidents = incidents
        self._bodies = bodies
        self._clock = clock
        self._policy = {"id": policy.id, "version": policy.version, "digest": policy.digest}

    @property
    def keeps_bodies(self) -> bool:
        """Whether an answer may have to be kept."""
        return self._bodies != "none"

    async def opened(self, exchange: Exchange) -> None:
        """The opening record of a stream; its id is the exchange's."""
        fields = self._head(exchange, "open")
        exchange.log_index = await self.append(Entry(fields, subject=exchange.person.subject or None))

    def receipt(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        """The header that promises the client, signed, that its record is in the log under an index.

        For a plain answer that is its record, for a stream its opening record. None where the log's server is away and
        the record waits on this disk: it has no index yet.
        """
        if exchange.log_index < 0:
            return []
        return [(b"duty-receipt", self._log.receipt(exchange.log_index, exchange.record_id).encode())]

    async def closed(self, exchange: Exchange, *, was_opened: bool) -> None:
        """The record that says how an exchange ended: a plain answer's only one, a stream's second."""
        fields = self._head(exchange, "close" if was_opened else "exchange")
        if was_opened:
            fields["id"] = exchange.closing_id
            fields["exchange"] = exchange.record_id
        strongest = max(exchange.decisions, key=_strength, default=None)
        fields["verdict"] = (strongest.verdict if strongest else Verdict.PASS).value
        fields["action"] = (strongest.action if strongest else Action.ALLOW).value
        if strongest is not None and strongest.class_:
            fields["class"] = strongest.class_
        fields["decisions"] = [decision.as_record() for decision in exchange.decisions]
        fields["outcome"] = exchange.outcome.value
        fields["status"] = exchange.status
        if exchange.upstream_status:
            fields["upstream_status"] = exchange.upstream_status
            if exchange.upstream_id:
                fields["upstream_id"] = _shaped(exchange.upstream_id)
        fields["released_chars"] = exchange.released_chars
        if exchange.outcome is Outcome.STOPPED and exchange.delivered:
            fields["released"] = _released(exchange)
        if exchange.input_tokens >= 0:
            fields["tokens"] = {"in": exchange.input_tokens, "out": exchange.output_tokens}
        ended_at = self._clock()
        fields["ms"] = {
            "first_byte": round(1_000 * (exchange.first_byte_at - exchange.started_at))
            if exchange.first_byte_at
            else -1,
            "total": round(1_000 * (ended_at - exchange.started_at)),
        }
        subject = exchange.person.subject or None
        entries = []
        if exchange.outcome is Outcome.STOPPED:
            incident = await self._open_incident(exchange, ended_at)
            if incident is not None:
                exchange.incident = fields["incident"] = incident.id
                entries.append(Entry(_incident_fields(exchange, incident), subject=subject))
        entry = Entry(fields, subject=subject, body=self._body(exchange))
        index = await self.append(entry, *entries)
        if not was_opened:
            exchange.log_index = index

    async def append(self, *entries: Entry) -> int:
        """Append records together, all or none; gives the index of the first when they are durable."""
        meters = self._meters
        began_at = self._clock()
        meters.audit_pending.inc()
        try:
            if len(entries) == 1:
                index = await self._log.append(entries[0])
            else:
                index = (await self._log.append_many(entries))[0]
        finally:
            meters.audit_pending.dec()
        meters.audit_commit_duration.observe(self._clock() - began_at)
        for entry in entries:
            kind = str(entry.fields["type"])
            self.counted[kind] += 1
            meters.audit_records.inc(kind)
        return index

    def _head(self, exchange: Exchange, kind: str) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "id": exchange.record_id,
            "type": kind,
            "tenant": exchange.person.tenant,
            "wire": exchange.wire,
            "policy": self._policy,
        }
        if exchange.model:
            fields["model"] = _shaped(exchange.model)
        if exchange.filter_digest:
            fields["filter"] = exchange.filter_digest
        if exchange.notice_version:
            fields["notice"] = exchange.notice_version
        if exchange.prompt is not None and exchange.prompt.stream:
            fields["stream"] = True
        return fields

    def _body(self, exchange: Exchange) -> bytes | None:
        if self._bodies == "none" or exchange.prompt is None:
            return None
        if self._bodies != "all" and not (
            any(decision.action in (Action.REFUSE, Action.STOP, Action.MODIFY) for decision in exchange.decisions)
            or (self._bodies == "sampled" and is_sampled(exchange.record_id, self._sample_bp))
        ):
            return None
        answer = b"".join(exchange.kept).decode("utf-8", "replace")
        return orjson.dumps({"prompt": exchange.prompt.body, "answer": answer})

    async def _open_incident(self, exchange: Exchange, now: float) -> Incident | None:
        """An incident for the decision that stopped the answer; one that cannot be opened is recorded as broken."""
        stop = next(
            (item for item in exchange.decisions if item.action is Action.STOP and item.class_ in CLASSES), None
        )
        if stop is None:
            return None
        incident = Incident(
            id=new_incident_id(self._clock),
            opened_at_s=now,
            class_code=stop.class_,
            rule=stop.rule,
            role=Role.ANSWER,
            record_id=exchange.record_id,
            tenant=exchange.person.tenant,
            subject=exchange.person.subject,
            released_chars=exchange.released_chars,
            start=stop.start,
            end=stop.end,
            filter_digest=exchange.filter_digest,
            model=_shaped(exchange.model) if exchange.model else "",
            body_record=exchange.closing_id or exchange.record_id if self._body(exchange) is not None else "",
            released=orjson.dumps(_released(exchange)).decode(),
        )
        await self._incidents.open_async(incident)
        return incident


def _shaped(name: str) -> str:
    return name if _NAME.fullmatch(name) else "(unprintable)"


def is_sampled(record_id: str, sample_bp: int) -> bool:
    """Whether the sample has this record: by its id's random bits, so that anybody can check which should be there."""
    return int.from_bytes(bytes.fromhex(record_id[-_RANDOM_DIGITS:])) % _FULL_BP < sample_bp


def _released(exchange: Exchange) -> list[dict[str, int | str]]:
    """How much of each lane of a stream had left."""
    return [
        {"choice": lane.choice, "channel": lane.channel.value, "item": lane.item, "chars": chars}
        for lane, chars in exchange.delivered.items()
    ][:MOST_LANES]


def _strength(decision: Decision) -> int:
    return _STRENGTH[decision.action]


def _incident_fields(exchange: Exchange, incident: Incident) -> dict[str, Any]:
    return {
        "id": new_record_id(),
        "type": "incident",
        "incident": incident.id,
        "exchange": exchange.record_id,
        "tenant": incident.tenant,
        "class": incident.class_code,
        "rule": incident.rule,
        "event": "opened",
        "released_chars": incident.released_chars,
    }
