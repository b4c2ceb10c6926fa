# SPDX-License-Identifier: Apache-2.0
"""Reading a sealed body: by whom and why is a record before the body is opened, and where the rule of two is in force,
a second person agreed before it.

The whole course is records of type ``access`` (``request``, ``approve``, ``read``), from which the state is derived.
What must hold: nothing is opened before its ``read`` record is durable; a permission holds for one record and one
reader, and ends after a time; who asked cannot agree to it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from audit_log.errors import AuditError, VerificationError
from audit_log.holds import Approval, rows_of_type
from audit_log.interfaces import LogStore
from audit_log.log import AuditLog
from audit_log.record import format_time_us, new_record_id
from audit_log.view import record_of
from audit_log.writer import Entry

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}")


class AccessRefused(AuditError):
    """This body may not be read now: the message says why."""


@dataclass(frozen=True, slots=True)
class Access:
    """A request to read one body. ``approved_us``: when a second person agreed, in microseconds since the epoch."""

    id: str
    index: int
    record_id: str
    reason: str
    asked: Approval
    asked_us: int
    approved: Approval | None = None
    approved_us: int | None = None
    reads: int = 0

    def as_json(self) -> dict[str, object]:
        """The request as plain data."""
        return {
            "id": self.id,
            "index": self.index,
            "record": self.record_id,
            "reason": self.reason,
            "asked": {"by": self.asked.by, "role": self.asked.role, "at": format_time_us(self.asked_us)},
            "approved": None
            if self.approved is None or self.approved_us is None
            else {"by": self.approved.by, "role": self.approved.role, "at": format_time_us(self.approved_us)},
            "reads": self.reads,
        }


def all_accesses(store: LogStore) -> list[Access]:
    """Every request to read a body, in the order they were made, with what came of it."""
    found: dict[str, Access] = {}
    for row in rows_of_type(store, "access"):
        record = record_of(next(store.leaves(row.index, row.index + 1), b""))
        event = record.get("event")
        try:
            who = Approval(str(record.get("by")), str(record.get("role")))
        except AuditError:
            continue  # an export, or written by hand: gives no permission
        if event == "request":
            access = Access(
                row.row.id, row.index, str(record.get("exchange")), str(record.get("reason")), who, row.row.t_us
            )
            found[access.id] = access
            continue
        access_or_none = found.get(str(record.get("access")))
        if access_or_none is None:
            continue
        if event == "approve" and access_or_none.approved is None and who.by != access_or_none.asked.by:
            found[access_or_none.id] = replace(access_or_none, approved=who, approved_us=row.row.t_us)
        elif event == "read":
            found[access_or_none.id] = replace(access_or_none, reads=access_or_none.reads + 1)
    return list(found.values())


def request_access(log: AuditLog, record_id: str, reason: str, who: Approval) -> Access:
    """Ask to read the body of a record; ``reason`` is a reference, never a text about a person. Blocks."""
    if not _WORD.fullmatch(reason):
        raise AccessRefused("the reason is a reference of 1 to 100 letters, digits and ._:@/-")
    if log.store.body(record_id) is None:
        raise AccessRefused("no body is kept of this record")
    id_ = new_record_id()
    said = {"event": "request", "exchange": record_id, "reason": reason, "by": who.by, "role": who.role}
    log.append_blocking(Entry({"id": id_, "type": "access", **said}))
    return _one(log.store, id_)


def approve_access(log: AuditLog, access_id: str, who: Approval) -> Access:
    """A second person agrees. Blocks. Raises AccessRefused for the one who asked, and where somebody agreed before."""
    access = _one(log.store, access_id)
    if who.by == access.asked.by:
        raise AccessRefused("who asked cannot agree: the second person must be another one")
    if access.approved is not None:
        raise AccessRefused("a second person agreed to this already")
    said = {"event": "approve", "access": access_id, "exchange": access.record_id, "by": who.by, "role": who.role}
    log.append_blocking(Entry({"id": new_record_id(), "type": "access", **said}))
    return _one(log.store, access_id)


def read_body(log: AuditLog, access_id: str, who: Approval, *, now: float, valid_s: float, needs_second: bool) -> bytes:
    """The body, opened for who asked for it, after a record that says so. Blocks.

    ``valid_s``: how long after the agreement (without the rule of two, after the request) it may be read. Raises
    AccessRefused, BodyErased where its key was destroyed meanwhile, VerificationError where it was changed.
    """
    access = _one(log.store, access_id)
    if who.by != access.asked.by:
        raise AccessRefused("only who asked may read it; ask for yourself")
    if needs_second and access.approved_us is None:
        raise AccessRefused("a second person has to agree first")
    since_us = access.approved_us if needs_second and access.approved_us is not None else access.asked_us
    if now - since_us / 1e6 > valid_s:
        raise AccessRefused("this permission has ended; ask again")
    said = {"event": "read", "access": access_id, "exchange": access.record_id, "by": who.by, "role": who.role}
    log.append_blocking(Entry({"id": new_record_id(), "type": "access", **said}))
    row = log.store.row(access.record_id)
    leaf: Mapping[str, object] = {} if row is None else record_of(log.reader.leaf(row.index))
    named = leaf.get("body")
    body = log.reader.body(access.record_id, named if isinstance(named, dict) else {})
    if body is None:
        raise VerificationError("the body is no longer kept")
    return body


def _one(store: LogStore, access_id: str) -> Access:
    for access in all_accesses(store):
        if access.id == access_id:
            return access
    raise AccessRefused("there is no request with this id")
