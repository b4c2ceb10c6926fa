# SPDX-License-Identifier: Apache-2.0
"""Grants to leave the explicit label out of a file, and their use (Labeling Measures article 9).

A provider may hand out content without the explicit label where the user asks for it and an agreement has fixed the
user's own duty to label and liability; the log, with the recipient, is kept for six months at least. So a grant is a
record: agreement and expiry stand in the leaf, recipient and reason in its sealed body, and each file that is handed
out under it is a record of its own, before the file is. The hidden label is never waived.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import orjson

from audit_log import AuditLog, Entry, new_record_id
from audit_log.record import format_time, parse_time_us
from gateway.home import Home
from gateway.identity import Identifier
from gateway.label_rules import is_record_id
from gateway.settings import Identity
from labeling import LabelError

GRANTED, WAIVED = "label_grant", "label_waived"
"""What `measure` records of this module say in `event`."""

_DAY_S = 86_400
_MOST_DAYS = 366
_MOST_CHARS = 500
_AGREEMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")
_TENANT = "default"


class GrantError(LabelError):
    """The explicit label may not be left out; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant that holds. `subject` is the recipient's pseudonym; `expires_at` in seconds since the epoch."""

    id: str
    subject: str
    agreement: str
    expires_at: float


def writing(home: Home, clock: Callable[[], float]) -> AbstractContextManager[AuditLog]:
    """The log as a writer of its own, beside a gateway that runs; closing it publishes what was written."""
    return home.place().writing(clock, writer="label")


def new_grant(
    home: Home, *, recipient: str, agreement: str, reason: str, days: int, clock: Callable[[], float]
) -> Grant:
    """Record a grant for `recipient`, for `days` from now; it is durable on return.

    `agreement` is the version of the user agreement that fixes the recipient's duty to label. Raises `GrantError` for
    what a grant cannot say, `AuditError` where the log is away.
    """
    for name, text in (("recipient", recipient), ("reason", reason)):
        if not text.strip() or len(text) > _MOST_CHARS:
            raise GrantError(f"{name}: expected 1 to {_MOST_CHARS} characters")
    if _AGREEMENT.fullmatch(agreement) is None:
        raise GrantError("agreement: expected the version of your user agreement, 1 to 64 of A-Z a-z 0-9 . _ : / -")
    if not 1 <= days <= _MOST_DAYS:
        raise GrantError(f"days: expected 1 to {_MOST_DAYS}; grant anew when it ends")
    expires_at = clock() + days * _DAY_S
    subject = Identifier(Identity(), home.key("pseudonym"), clock, None).pseudonym(_TENANT, recipient)
    fields = {
        "id": new_record_id(),
        "type": "measure",
        "event": GRANTED,
        "tenant": _TENANT,
        "agreement": agreement,
        "expires": format_time(expires_at),
    }
    body = orjson.dumps({"recipient": recipient, "reason": reason})
    with writing(home, clock) as log:
        log.append_blocking(Entry(fields, subject=subject, body=body))
    return Grant(fields["id"], subject, agreement, expires_at)


def find_grant(home: Home, grant_id: str, clock: Callable[[], float]) -> Grant:
    """The grant of that id. Raises `GrantError` where there is none or it has expired."""
    with home.place().reader() as reader:
        found = reader.get(grant_id) if is_record_id(grant_id) else None
    leaf: Mapping[str, object] = {} if found is None else orjson.loads(found.leaf)
    if found is None or leaf.get("type") != "measure" or leaf.get("event") != GRANTED:
        raise GrantError("there is no such grant in the log; make one with `dutybound label grant`")
    expires_at = parse_time_us(leaf.get("expires")) / 1_000_000
    if clock() >= expires_at:
        raise GrantError("the grant has expired; make a new one with `dutybound label grant`")
    return Grant(grant_id, found.row.row.subject or "", str(leaf.get("agreement")), expires_at)


def tells_of_content(leaf: Mapping[str, object]) -> bool:
    """Whether a record is of content that went out, so that a label may name it: an answer, or a file by a grant."""
    return leaf.get("type") in ("exchange", "open") or leaf.get("event") == WAIVED


def record_use(home: Home, grant: Grant, record_id: str, exchange: str | None, clock: Callable[[], float]) -> None:
    """Record, under `record_id`, that a file goes out without its explicit label. Durable on return.

    `exchange` is the record of the answer that the file belongs to, where it has one.
    """
    fields = {
        "id": record_id,
        "type": "measure",
        "event": WAIVED,
        "tenant": _TENANT,
        "grant": grant.id,
        "agreement": grant.agreement,
    }
    with writing(home, clock) as log:
        log.append_blocking(
            Entry(fields if exchange is None else fields | {"exchange": exchange}, subject=grant.subject or None)
        )
