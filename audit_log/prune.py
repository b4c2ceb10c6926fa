# SPDX-License-Identifier: Apache-2.0
"""Dropping the beginning of a log without harm to what remains, and bodies past their own maximum.

What must hold:
- Only whole segments of 65,536 leaves are dropped, from the beginning, and only where every record in them is past
  its minimum and none is under a hold. A type of record that no rule knows is kept for ever.
- A ``prune`` record, covered by a published checkpoint, comes before anything is hidden; hiding comes before deleting.
- Signed checkpoints, and the upper tiles, stay for ever: proofs of later leaves, and consistency, verify as before.
"""

import base64
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from audit_log.chain import WriterChain
from audit_log.erasure import pending_requests
from audit_log.errors import VerificationError
from audit_log.holds import holds_in_force, rows_of_type
from audit_log.interfaces import LogStore, Query, Tiles
from audit_log.log import AuditLog
from audit_log.merkle import fold
from audit_log.record import TYPES, format_time, format_time_us, new_record_id
from audit_log.retention import DAY_S, Retention
from audit_log.tiles import SEGMENT, TileTree, edge_peaks
from audit_log.view import record_of
from audit_log.writer import Entry

_SWEEP_AT_ONCE = 4096
_WRITERS_BYTES = 30_000

Upto = Literal["due", "allowed"]
"""``due``: only what is past its maximum. ``allowed``: everything that is past its minimum."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why pruning stops: the first leaf that has to stay. ``until`` None: not known."""

    reason: str
    index: int
    until: str | None

    def as_json(self) -> dict[str, object]:
        return {"reason": self.reason, "index": self.index, "until": self.until}


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would do: drop leaves [minimum, boundary); what stops it there, nearest first."""

    minimum: int
    boundary: int
    records: Mapping[str, int]
    newest: str | None
    blockers: tuple[Blocker, ...]

    def as_json(self) -> dict[str, object]:
        """The plan as plain data."""
        return {
            "minimum": self.minimum,
            "boundary": self.boundary,
            "segments": (self.boundary - self.minimum) // SEGMENT,
            "records": dict(self.records),
            "newest": self.newest,
            "blockers": [blocker.as_json() for blocker in self.blockers],
        }


def plan_prune(store: LogStore, retention: Retention, now: float, published_size: int, upto: Upto) -> PrunePlan:
    """Find out what may be dropped; changes nothing. ``now`` in seconds since the epoch. Blocks, and reads the rows
    that would go."""
    minimum = store.minimum()
    blockers = sorted(_blockers(store, retention, now, published_size, upto), key=lambda blocker: blocker.index)
    boundary = max(minimum, blockers[0].index // SEGMENT * SEGMENT)
    records: Counter[str] = Counter()
    newest = 0
    after = minimum - 1
    while after < boundary - 1:
        rows = [found for found in store.search(Query(), after, 2000) if found.index < boundary]
        if not rows:
            raise VerificationError(f"row {after + 1} is missing from the search index; run audit verify")
        records.update(found.row.type for found in rows)
        newest = max(newest, *(found.row.t_us for found in rows))
        after = rows[-1].index
    return PrunePlan(minimum, boundary, records, format_time_us(newest) if records else None, tuple(blockers))


def prune(
    log: AuditLog,
    retention: Retention,
    *,
    by: str,
    clock: Callable[[], float],
    upto: Upto = "due",
    dry_run: bool = False,
) -> PrunePlan:
    """Hide the leaves that the plan names, after a ``prune`` record that a published checkpoint covers. Blocks.

    ``sweep`` deletes what is hidden. Nothing is recorded where there is nothing to drop.
    """
    store = log.store
    head = log.reader.checkpoint()
    plan = plan_prune(store, retention, clock(), head.size, upto)
    if dry_run or plan.boundary == plan.minimum:
        return plan
    writers, left_out = _writers_at(store, plan.minimum, plan.boundary)
    tree = TileTree(log.folder.fetch, head.size)
    index = log.append_blocking(
        Entry(
            {
                "id": new_record_id(),
                "type": "prune",
                "by": by,
                "upto": upto,
                "from": str(plan.minimum),
                "minimum": str(plan.boundary),
                "root": base64.b64encode(fold(edge_peaks(tree.edge_at(plan.boundary)))).decode(),
                "newest": plan.newest,
                "records": {type_: str(count) for type_, count in plan.records.items()},
                "clauses": sorted({rule.clause for rule in retention.rules if rule.types & plan.records.keys()}),
                "next": writers,
                "left_out": left_out,
            }
        )
    )
    log.wait_published(index)
    # A crash before this line leaves a log that lost nothing, with a record of a prune that the next one repeats.
    store.raise_minimum(plan.boundary)
    return plan


def sweep(store: LogStore, folder: Tiles, *, now: float, grace_s: float) -> dict[str, int]:
    """Delete what was hidden at least ``grace_s`` ago; gives ``leaves``, ``files`` and ``bytes``. Blocks; may be
    repeated and interrupted at any time."""
    minimum = store.minimum()
    last = None
    for found in rows_of_type(store, "prune"):
        last = found
    if minimum == 0 or last is None or last.row.t_us / 1e6 + grace_s > now:
        return {"leaves": 0, "files": 0, "bytes": 0}
    leaves = 0
    while deleted := store.sweep(_SWEEP_AT_ONCE):
        leaves += deleted
    files, size = folder.prune(minimum)
    return {"leaves": leaves, "files": files, "bytes": size}


def overdue(store: LogStore, retention: Retention, now: float) -> list[dict[str, object]]:
    """Records that are past their maximum and still there, one line a rule: ``rule``, ``clause``, ``index`` and ``t``
    of the oldest, ``days_over``."""
    found = []
    for rule in retention.rules:
        if rule.maximum_days is None:
            continue
        limit_us = round((now - rule.maximum_days * DAY_S) * 1_000_000)
        oldest = [rows[0] for type_ in sorted(rule.types) if (rows := store.search(_older(type_, limit_us), -1, 1))]
        if oldest:
            first = min(oldest, key=lambda one: one.index)
            days = (limit_us - first.row.t_us) // (DAY_S * 1_000_000)
            place: dict[str, object] = {"index": first.index, "t": format_time_us(first.row.t_us), "days_over": days}
            found.append({"rule": rule.name, "clause": rule.clause, **place})
    return found


def expire_bodies(log: AuditLog, retention: Retention, *, by: str, now: float) -> dict[str, int]:
    """Delete bodies past their own maximum, hold excepted; gives how many, by rule. Blocks.

    The record comes before the deletion, so that a crash in between leaves more than it says, and is repeated.
    """
    store, holds = log.store, holds_in_force(log.store)
    dropped: dict[str, int] = {}
    for rule in retention.rules:
        if rule.body_maximum_days is None:
            continue
        before_us = round((now - rule.body_maximum_days * DAY_S) * 1_000_000)
        recorded = False
        for type_ in sorted(rule.types):
            after = -1
            while rows := store.bodies_before(type_, before_us, after, 500):
                after = rows[-1].index
                free = [one.row.id for one in rows if not any(hold.scope.covers(one.row) for hold in holds)]
                if free and not recorded:
                    said = {"event": "expire", "by": by, "rule": rule.name, "clause": rule.clause, "keys": []}
                    before = format_time_us(before_us)
                    entry = {"id": new_record_id(), "type": "erasure", **said, "before": before}
                    log.append_blocking(Entry(entry))
                    recorded = True
                if free:
                    dropped[rule.name] = dropped.get(rule.name, 0) + store.drop_bodies(free)
    return dropped


def prune_record(store: LogStore, minimum: int) -> dict[str, object]:
    """The latest record that made this index the minimum; empty where there is none."""
    made: dict[str, object] = {}
    for found in rows_of_type(store, "prune"):
        record = record_of(next(store.leaves(found.index, found.index + 1), b""))
        if record.get("minimum") == str(minimum):
            made = record
    return made


def _blockers(store: LogStore, retention: Retention, now: float, published_size: int, upto: Upto) -> list[Blocker]:
    blockers = [Blocker("no checkpoint covers more", published_size, None)]
    for hold in holds_in_force(store):
        # The hold's own first record stays too: the state of holds is derived from records.
        first = hold.scope.first_index(store)
        blockers.append(Blocker(f"hold {hold.id}", min(hold.index, hold.index if first is None else first), None))
    for rule in retention.rules:
        days = rule.minimum_days if upto == "allowed" else rule.maximum_days
        if days is None:
            days_text, cutoff_us = "has no maximum", None
        else:
            days_text, cutoff_us = f"{days} days", round((now - days * DAY_S) * 1_000_000)
        for type_ in sorted(rule.types):
            young = store.search(Query(since_us=cutoff_us, type=type_), -1, 1)
            if young:
                until = None if days is None else format_time(young[0].row.t_us / 1e6 + days * DAY_S)
                blockers.append(Blocker(f"rule {rule.name}: {days_text} ({rule.clause})", young[0].index, until))
    known = frozenset(type_ for rule in retention.rules for type_ in rule.types)
    for type_ in sorted(TYPES - known):
        if rows := store.search(Query(type=type_), -1, 1):
            blockers.append(Blocker(f"no rule for records of type {type_}", rows[0].index, None))
    blockers.extend(_open_requests(store))
    return blockers


def _open_requests(store: LogStore) -> list[Blocker]:
    return [
        Blocker(f"erasure request {request.id} is open", request.index, None) for request in pending_requests(store)
    ]


def _older(type_: str, limit_us: int) -> Query:
    return Query(until_us=limit_us, type=type_)


def _writers_at(store: LogStore, start: int, boundary: int) -> tuple[dict[str, int], int]:
    """The next number at the boundary of each writer that did not end, as many as fit, and how many do not."""
    before = prune_record(store, start) if start else {}
    writers = before.get("next")
    known = {name: int(number) for name, number in writers.items()} if isinstance(writers, dict) else {}
    chain = WriterChain(_refuse_breach, known, partial=start != 0 and before.get("left_out") != 0)
    count = start
    for leaf in store.leaves(start, boundary):
        chain.add(count, leaf)
        count += 1
    if count != boundary:
        raise VerificationError(f"leaf {count} is missing from the database; run audit verify")
    alive = [(name.decode(), number) for name, number in chain.next.items() if name not in chain.ended]
    fitting: dict[str, int] = {}
    size = 0
    for name, number in reversed(alive):
        size += len(name) + 24
        if size > _WRITERS_BYTES:
            break
        fitting[name] = number
    return fitting, len(alive) - len(fitting)


def _refuse_breach(text: str, index: int) -> None:
    raise VerificationError(f"{text}; a log that does not verify is not pruned")
