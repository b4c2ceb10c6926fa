# SPDX-License-Identifier: Apache-2.0
"""Legal holds: what must not be deleted, whatever else says that it may or must.

A hold is placed and lifted by two people of two roles. Its whole life is records of type ``hold``, from which the
state is derived, so that nobody can lift a hold without the log showing who did. What must hold:
- A hold protects from its first record on, before the second person agreed, and until a second person agreed to lift.
- A step that is not allowed in the state that the log is in has no effect, whoever managed to record it.
- Leaves name no person: the pseudonym that a hold selects by lies in the search index alone, and stays there because
  erasing what is under a hold is refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from audit_log.errors import AuditError
from audit_log.interfaces import FoundRow, LogStore, Query
from audit_log.log import AuditLog
from audit_log.record import IndexRow, format_time_us, new_record_id, parse_time_us
from audit_log.view import record_of
from audit_log.writer import Entry

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}")
_PAGE = 500


class HoldRefused(AuditError):
    """This step cannot be taken: the message says why. Nothing was recorded."""


class HoldState(StrEnum):
    """Where a hold is in its life; all but ``LIFTED`` protect."""

    PROPOSED = "proposed"
    PLACED = "placed"
    LIFT_PROPOSED = "lift_proposed"
    LIFTED = "lifted"


@dataclass(frozen=True, slots=True)
class Approval:
    """Who takes a step: a name that is no person's (an account of the operator), and the role it acts in."""

    by: str
    role: str

    def __post_init__(self) -> None:
        if not _WORD.fullmatch(self.by) or not _WORD.fullmatch(self.role):
            raise HoldRefused("name and role of who approves are 1 to 100 letters, digits and ._:@/-")


@dataclass(frozen=True, slots=True)
class HoldScope:
    """Which records a hold protects; absent means any, nothing given: the whole log. Times in microseconds."""

    tenant: str | None = None
    subject: str | None = None
    exchange: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    def covers(self, row: IndexRow) -> bool:
        """Whether a record is under the hold."""
        return (
            (self.tenant is None or row.tenant == self.tenant)
            and (self.subject is None or row.subject == self.subject)
            and (self.exchange is None or self.exchange in (row.id, row.exchange))
            and (self.since_us is None or row.t_us >= self.since_us)
            and (self.until_us is None or row.t_us < self.until_us)
        )

    def first_index(self, store: LogStore) -> int | None:
        """The first record in the log that is under the hold."""
        if self.exchange is not None:
            return next((found.index for found in store.related(self.exchange) if self.covers(found.row)), None)
        found = store.search(Query(self.since_us, self.until_us, self.tenant, self.subject), -1, 1)
        return found[0].index if found else None


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold as the log tells it. ``index`` is that of its first record; ``approvals`` those of its present step."""

    id: str
    index: int
    scope: HoldScope
    reason: str
    state: HoldState
    since: str
    approvals: tuple[Approval, ...]

    @property
    def protects(self) -> bool:
        return self.state is not HoldState.LIFTED

    def as_json(self) -> dict[str, object]:
        """The hold as plain data."""
        scope = self.scope
        return {
            "id": self.id,
            "index": self.index,
            "state": self.state.value,
            "protects": self.protects,
            "reason": self.reason,
            "since": self.since,
            "approvals": [{"by": approval.by, "role": approval.role} for approval in self.approvals],
            "tenant": scope.tenant,
            "subject": scope.subject,
            "exchange": scope.exchange,
            "from": None if scope.since_us is None else format_time_us(scope.since_us),
            "to": None if scope.until_us is None else format_time_us(scope.until_us),
        }


_STEPS = {
    ("approve", HoldState.PROPOSED): HoldState.PLACED,
    ("lift", HoldState.PROPOSED): HoldState.LIFT_PROPOSED,
    ("lift", HoldState.PLACED): HoldState.LIFT_PROPOSED,
    ("approve", HoldState.LIFT_PROPOSED): HoldState.LIFTED,
    ("keep", HoldState.LIFT_PROPOSED): HoldState.PLACED,
}
"""(what is done, state before) -> state after. ``keep`` declines a lift; a hold that never had a second person's
agreement becomes placed by it, because declining to lift is agreeing to hold."""


def all_holds(store: LogStore) -> list[Hold]:
    """All holds of the log, lifted ones too, in the order they were proposed."""
    holds: dict[str, Hold] = {}
    for found in rows_of_type(store, "hold"):
        leaf = next(store.leaves(found.index, found.index + 1), b"")
        _apply(holds, found, record_of(leaf))
    return list(holds.values())


def holds_in_force(store: LogStore) -> list[Hold]:
    """The holds that protect now."""
    return [hold for hold in all_holds(store) if hold.protects]


def propose_hold(log: AuditLog, scope: HoldScope, reason: str, approval: Approval) -> Hold:
    """Place a hold by one person; it protects at once, and waits for a second person. Blocks.

    ``reason`` is a reference (a case number, an article), never a text about a person.
    """
    if not _WORD.fullmatch(reason):
        raise HoldRefused("the reason of a hold is a reference of 1 to 100 letters, digits and ._:@/-")
    id_ = new_record_id()
    fields = {"id": id_, "type": "hold", "event": "propose", "reason": reason, **_who(approval), **_scope_fields(scope)}
    log.append_blocking(Entry(fields, subject=scope.subject))
    return _one_hold(log.store, id_)


def step_hold(log: AuditLog, hold_id: str, event: str, approval: Approval) -> Hold:
    """Take a further step with a hold: ``approve``, ``lift`` or ``keep``. Blocks.

    Raises HoldRefused where the state does not allow it, or the same person or role took the step before.
    """
    hold = _one_hold(log.store, hold_id)
    _after(hold, event, approval)
    scope = _scope_fields(hold.scope)
    fields = {"id": new_record_id(), "type": "hold", "event": event, "hold": hold_id, **_who(approval), **scope}
    log.append_blocking(Entry(fields, subject=hold.scope.subject))
    return _one_hold(log.store, hold_id)


def rows_of_type(store: LogStore, type_: str) -> Iterable[FoundRow]:
    """All rows of a rare type, by index."""
    after = -1
    while rows := store.search(Query(type=type_), after, _PAGE):
        yield from rows
        after = rows[-1].index


def _one_hold(store: LogStore, hold_id: str) -> Hold:
    for hold in all_holds(store):
        if hold.id == hold_id:
            return hold
    raise HoldRefused("there is no hold with this id")


def _apply(holds: dict[str, Hold], found: FoundRow, record: dict[str, object]) -> None:
    try:
        approval = Approval(_text_of(record, "by") or "", _text_of(record, "role") or "")
        event = record.get("event")
        if event == "propose":
            scope = _read_scope(record, found.row.subject)
            holds[found.row.id] = Hold(
                found.row.id,
                found.index,
                scope,
                str(record.get("reason")),
                HoldState.PROPOSED,
                format_time_us(found.row.t_us),
                (approval,),
            )
        elif (hold := holds.get(str(record.get("hold")))) is not None:
            state = _after(hold, str(event), approval)
            approvals = (approval,) if state is HoldState.LIFT_PROPOSED else (*hold.approvals, approval)
            holds[hold.id] = replace(hold, state=state, approvals=approvals)
    except HoldRefused:
        return  # recorded all the same, by a race or by hand: without effect


def _after(hold: Hold, event: str, approval: Approval) -> HoldState:
    state = _STEPS.get((event, hold.state))
    if state is None:
        raise HoldRefused(f"a hold that is {hold.state.value} cannot be changed by {event}")
    if event != "lift" and any(approval.by == one.by or approval.role == one.role for one in hold.approvals[-1:]):
        raise HoldRefused("the second person must be another one, in another role")
    return state


def _who(approval: Approval) -> dict[str, str]:
    return {"by": approval.by, "role": approval.role}


def _scope_fields(scope: HoldScope) -> dict[str, object]:
    said = {
        "tenant": scope.tenant,
        "exchange": scope.exchange,
        "from": None if scope.since_us is None else format_time_us(scope.since_us),
        "to": None if scope.until_us is None else format_time_us(scope.until_us),
        "one_subject": True if scope.subject is not None else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _read_scope(record: dict[str, object], subject: str | None) -> HoldScope:
    if record.get("one_subject") and subject is None:
        # The pseudonym was deleted all the same: hold the whole tenant rather than nothing.
        subject = None
    return HoldScope(
        tenant=_text_of(record, "tenant"),
        subject=subject,
        exchange=_text_of(record, "exchange"),
        since_us=parse_time_us(record["from"]) if "from" in record else None,
        until_us=parse_time_us(record["to"]) if "to" in record else None,
    )


def _text_of(record: dict[str, object], name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) else None
