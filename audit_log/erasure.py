# SPDX-License-Identifier: Apache-2.0
"""Requests to be forgotten: decided by precedence, queued while something stronger stands against them, then done.

Precedence: legal hold, then the minimum that the law asks for, then the request, then the maximum. Where a request has
to wait, what may be erased now is erased now, and the rest must only be stored and protected meanwhile (PIPL article
47); ``pending_requests`` says whose. What must hold:
- A request is a record of type ``erasure`` with event ``request``; it is open until a record with event ``done`` names
  it. Neither names a person: the pseudonym lies in the search index alone and goes with the erasure.
- Nothing under a hold is erased, and nothing before its minimum.
- Destroying keys changes no leaf: what was erased stays provable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from audit_log.errors import AuditError
from audit_log.holds import Hold, holds_in_force, rows_of_type
from audit_log.interfaces import FoundRow, LogStore, Query
from audit_log.log import AuditLog
from audit_log.record import format_time, format_time_us, new_record_id
from audit_log.retention import DAY_S, Retention
from audit_log.view import record_of
from audit_log.writer import Entry

Standing = Literal["hold", "minimum", "none"]
"""What stands against erasing everything now."""


class ErasureRefused(AuditError):
    """The request cannot be taken as it was made; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """An open request. ``subject`` is None where the pseudonym was deleted by an erasure since."""

    id: str
    index: int
    tenant: str | None
    subject: str | None
    basis: str
    t_us: int


@dataclass(frozen=True, slots=True)
class ErasureDecision:
    """What may be done with a request now. ``erasable`` are ids of records whose body may go although the rest stays.

    ``until``: when the last minimum ends; None where a hold stands against it, or nothing does. ``because``: ids of
    holds or clauses.
    """

    standing: Standing
    because: tuple[str, ...]
    until: str | None
    erasable: tuple[str, ...]
    kept: int


def request_erasure(
    log: AuditLog, tenant: str | None, subject: str, *, basis: str, by: str, retention: Retention, now: float
) -> dict[str, object]:
    """Take a request and do what may be done at once. Blocks. Gives the outcome of ``run_request``."""
    if not subject:
        raise ErasureRefused("an erasure concerns one subject")
    id_ = new_record_id()
    fields: dict[str, object] = {"id": id_, "type": "erasure", "event": "request", "basis": basis, "by": by, "keys": []}
    if tenant is not None:
        fields["tenant"] = tenant
    log.append_blocking(Entry(fields, subject=subject))
    request = next(one for one in pending_requests(log.store) if one.id == id_)
    return run_request(log, request, by=by, retention=retention, now=now, announce=True)


def run_queue(log: AuditLog, *, by: str, retention: Retention, now: float) -> list[dict[str, object]]:
    """Look at all open requests again and do what may be done now. Blocks."""
    return [
        run_request(log, request, by=by, retention=retention, now=now, announce=False)
        for request in pending_requests(log.store)
    ]


def run_request(
    log: AuditLog, request: ErasureRequest, *, by: str, retention: Retention, now: float, announce: bool
) -> dict[str, object]:
    """Erase what may be erased for a request; ``announce`` records that the rest waits.

    Gives ``request``, ``state`` (done or waiting), ``standing``, ``because``, ``until``, ``bodies`` (deleted now),
    ``kept`` (bodies that wait), ``keys`` (destroyed).
    """
    store = log.store
    if request.subject is None:
        decision = ErasureDecision("none", (), None, (), 0)
        bodies, keys = 0, _finish(log, request, by)
    else:
        decision = decide(store, request.tenant, request.subject, retention, now)
        if decision.standing == "none":
            bodies = len(store.subject_bodies(request.tenant or "", request.subject))
            keys = log.erase_subject(
                request.tenant,
                request.subject,
                {"event": "done", "request": request.id, "basis": request.basis, "by": by},
            )
        else:
            keys = []
            if announce or decision.erasable:
                said = {"event": "wait", "request": request.id, "standing": decision.standing, "keys": []}
                facts = {"because": list(decision.because), "until": decision.until, "kept": decision.kept}
                count = {"bodies": len(decision.erasable)}
                log.append_blocking(
                    Entry({"id": new_record_id(), "type": "erasure", **said, **facts, **count, "by": by})
                )
            bodies = store.drop_bodies(decision.erasable) if decision.erasable else 0
    return {
        "request": request.id,
        "state": "done" if decision.standing == "none" else "waiting",
        "standing": decision.standing,
        "because": list(decision.because),
        "until": decision.until,
        "bodies": bodies,
        "kept": decision.kept,
        "keys": keys,
    }


def decide(store: LogStore, tenant: str | None, subject: str, retention: Retention, now: float) -> ErasureDecision:
    """Weigh a request against holds and minima; changes nothing."""
    bodies = store.subject_bodies(tenant or "", subject)
    holds = [hold for hold in holds_in_force(store) if _concerns(store, hold, tenant, subject)]
    if holds:
        return ErasureDecision("hold", tuple(hold.id for hold in holds), None, (), len(bodies))
    waiting: list[tuple[float, str]] = []
    erasable: list[str] = []
    for found in bodies:
        rule = retention.rule_for(found.row.type)
        free_at = found.row.t_us / 1e6 + (rule.body_minimum_days * DAY_S if rule is not None else 0)
        if rule is not None and free_at > now:
            waiting.append((free_at, rule.clause))
        else:
            erasable.append(found.row.id)
    if not waiting:
        return ErasureDecision("none", (), None, (), 0)
    until = max(free_at for free_at, _ in waiting)
    clauses = tuple(sorted({clause for _, clause in waiting}))
    return ErasureDecision("minimum", clauses, format_time(until), tuple(erasable), len(waiting))


def pending_requests(store: LogStore) -> list[ErasureRequest]:
    """Open requests, the oldest first."""
    pending: dict[str, ErasureRequest] = {}
    for found, record in _erasures(store):
        if record.get("event") == "request":
            row = found.row
            basis = str(record.get("basis"))
            pending[row.id] = ErasureRequest(row.id, found.index, row.tenant, row.subject, basis, row.t_us)
        elif record.get("event") == "done":
            pending.pop(str(record.get("request")), None)
    return list(pending.values())


def erasure_report(store: LogStore, *, now: float, deadline_days: float) -> dict[str, object]:
    """All that was asked for and done: for each request its course, how many days it took or has been open, and
    whether that is longer than ``deadline_days``; and what was erased without a request."""
    requests: dict[str, dict[str, object]] = {}
    other: list[dict[str, object]] = []
    for found, record in _erasures(store):
        event = record.get("event")
        t = format_time_us(found.row.t_us)
        if event == "request":
            days = (now - found.row.t_us / 1e6) / DAY_S
            requests[found.row.id] = {
                "request": found.row.id,
                "index": found.index,
                "requested": t,
                "basis": record.get("basis"),
                "state": "waiting",
                "days": round(days, 1),
                "late": days > deadline_days,
            }
            continue
        said = requests.get(str(record.get("request")))
        if said is None:
            keys = record.get("keys")
            count = len(keys) if isinstance(keys, list) else 0
            other.append({"index": found.index, "t": t, "event": event, "keys": count, "clause": record.get("clause")})
        elif event == "wait":
            said.update(standing=record.get("standing"), because=record.get("because"), until=record.get("until"))
        elif event == "done":
            days = (found.row.t_us - _t_us(store, said)) / (DAY_S * 1e6)
            said.update(state="done", done=t, record=found.index, days=round(days, 1), late=days > deadline_days)
    open_ = [one for one in requests.values() if one["state"] == "waiting"]
    return {
        "requests": list(requests.values()),
        "open": len(open_),
        "late": sum(bool(r["late"]) for r in requests.values()),
        "other": other,
    }


def _finish(log: AuditLog, request: ErasureRequest, by: str) -> list[str]:
    said: dict[str, object] = {"event": "done", "request": request.id, "basis": request.basis, "by": by, "keys": []}
    log.append_blocking(Entry({"id": new_record_id(), "type": "erasure", **said}))
    return []


def _concerns(store: LogStore, hold: Hold, tenant: str | None, subject: str) -> bool:
    """Whether a hold protects anything of this subject."""
    scope = hold.scope
    if scope.subject is not None and scope.subject != subject:
        return False
    if scope.tenant is not None and scope.tenant != (tenant or ""):
        return False
    if scope.exchange is not None:
        return any(one.row.subject == subject and scope.covers(one.row) for one in store.related(scope.exchange))
    if scope.subject is not None:
        return True  # also what is still to come
    return bool(store.search(Query(scope.since_us, scope.until_us, tenant, subject), -1, 1))


def _erasures(store: LogStore) -> Sequence[tuple[FoundRow, dict[str, object]]]:
    return [
        (found, record_of(next(store.leaves(found.index, found.index + 1), b"")))
        for found in rows_of_type(store, "erasure")
    ]


def _t_us(store: LogStore, said: dict[str, object]) -> int:
    found = store.row(str(said["request"]))
    return 0 if found is None else found.row.t_us
