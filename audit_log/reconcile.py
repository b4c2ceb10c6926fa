# SPDX-License-Identifier: Apache-2.0
"""Does somebody else's account of the same traffic agree with the log? Completeness from outside (docs/audit.md).

Whoever operates the model behind a gateway bills for each call: time, model, a request id, tokens. A call on the bill
without a record means that an answer was made that the log does not know; a record without a call, that the bill or
the log is wrong. A call and a record belong together by the id that the model's API gave, where both have one, else by
model and tokens within ``tolerance_s``, each record once. What must hold: lines that cannot be read are counted and
named, never left out in silence; only positions in the file and record ids are named, no text of the bill.
"""

import csv
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from audit_log.errors import AuditError
from audit_log.interfaces import LogStore, Query
from audit_log.record import format_time
from audit_log.view import record_of

TIMES = ("time", "timestamp", "created_at", "date")
MODELS = ("model",)
IDS = ("request_id", "id", "x_request_id", "request id")
TOKENS_IN = ("tokens_in", "input_tokens", "prompt_tokens")
TOKENS_OUT = ("tokens_out", "output_tokens", "completion_tokens")
TOKENS = ("tokens", "total_tokens")
"""Names of columns that are understood, in any case."""

_PAGE = 1000


class BillInvalid(AuditError):
    """The bill cannot be read at all: the message says which column is missing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One line of a bill. ``time_s`` in seconds since the epoch; None: cannot be read. Tokens below 0: not stated."""

    line: int
    time_s: float | None
    model: str
    request_id: str
    tokens: int


@dataclass(slots=True)
class _Told:
    """A record that says that the model was called."""

    id: str
    index: int
    time_s: float
    model: str
    request_id: str
    tokens: int
    is_taken: bool = False


def read_bill(lines: Iterable[str]) -> Iterator[Call]:
    """The lines of a CSV file with a head line. Times are RFC 3339 or seconds since the epoch; without an offset, UTC.

    Raises BillInvalid where there is no column of times.
    """
    reader = csv.DictReader(lines)
    try:
        names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    except csv.Error:
        raise BillInvalid("the bill is no CSV file") from None
    columns = [next((names[name] for name in known if name in names), None) for known in _KNOWN]
    if columns[0] is None:
        raise BillInvalid(f"the bill has no column of times; expected one of {', '.join(TIMES)}")
    try:
        for row in reader:
            time_, model, id_, inside, outside, total = (
                "" if name is None else (row.get(name) or "").strip() for name in columns
            )
            counts = [_count(inside), _count(outside)]
            tokens = sum(counts) if min(counts) >= 0 else _count(total)
            yield Call(reader.line_num, _time(time_), model, id_, tokens)
    except csv.Error:
        raise BillInvalid(f"line {reader.line_num} of the bill is no line of a CSV file") from None


_KNOWN = (TIMES, MODELS, IDS, TOKENS_IN, TOKENS_OUT, TOKENS)


def reconcile(
    store: LogStore,
    calls: Iterable[Call],
    *,
    since: float | None = None,
    until: float | None = None,
    tolerance_s: float = 300.0,
    most: int = 1000,
) -> dict[str, object]:
    """Compare a bill with the records of calls from ``since`` up to ``until`` (seconds since the epoch).

    Without them the range is that of the bill. At most ``most`` of each kind are named; the counts are of all. Gives
    ``ok``, ``calls``, ``records``, ``matched``, ``unreadable`` (line numbers), ``only_bill`` (lines), ``only_log``
    (record ids), tokens of both sides, and counts by model. Blocks; holds both sides in memory.
    """
    readable: list[Call] = []
    unreadable: list[int] = []
    for call in calls:
        if call.time_s is None:
            unreadable.append(call.line)
        elif (since is None or call.time_s >= since) and (until is None or call.time_s < until):
            readable.append(call)
    times = [call.time_s for call in readable if call.time_s is not None]
    first = since if since is not None else min(times, default=0.0)
    last = until if until is not None else max(times, default=0.0)
    told = list(_told(store, first - tolerance_s, last + tolerance_s))
    only_bill = _match(readable, told, tolerance_s)
    inside = [one for one in told if first <= one.time_s <= last or one.is_taken]
    only_log = [one for one in inside if not one.is_taken]
    return {
        "ok": not only_bill and not only_log and not unreadable,
        "from": format_time(first) if times else None,
        "to": format_time(last) if times else None,
        "calls": len(readable),
        "records": len(inside),
        "matched": len(readable) - len(only_bill),
        "unreadable": unreadable[:most],
        "unreadable_count": len(unreadable),
        "only_bill": [{"line": call.line, "t": format_time(call.time_s or 0.0)} for call in only_bill[:most]],
        "only_bill_count": len(only_bill),
        "only_log": [
            {"record": one.id, "index": one.index, "t": format_time(one.time_s), "model": one.model}
            for one in only_log[:most]
        ],
        "only_log_count": len(only_log),
        "tokens_bill": sum(max(0, call.tokens) for call in readable),
        "tokens_log": sum(max(0, one.tokens) for one in inside),
        "records_by_model": dict(sorted(Counter(one.model for one in inside).items())),
    }


def _match(calls: list[Call], told: list[_Told], tolerance_s: float) -> list[Call]:
    """Marks the records that a call belongs to; gives the calls that belong to none."""
    by_id = {one.request_id: one for one in told if one.request_id}
    left: list[Call] = []
    for call in calls:
        named = by_id.get(call.request_id) if call.request_id else None
        if named is None or named.is_taken:
            left.append(call)
        else:
            named.is_taken = True
    by_kind: dict[tuple[str, int], list[_Told]] = defaultdict(list)
    for one in told:
        if not one.is_taken:
            by_kind[one.model, one.tokens].append(one)
    begins = {kind: [one.time_s for one in group] for kind, group in by_kind.items()}
    only_bill: list[Call] = []
    for call in sorted(left, key=lambda call: call.time_s or 0.0):
        kind = (call.model, call.tokens)
        group, at = by_kind.get(kind, []), call.time_s or 0.0
        start = bisect_left(begins.get(kind, []), at - tolerance_s)
        for one in group[start:]:
            if one.time_s > at + tolerance_s:
                only_bill.append(call)
                break
            if not one.is_taken:
                one.is_taken = True
                break
        else:
            only_bill.append(call)
    return sorted(only_bill, key=lambda call: call.line)


def _told(store: LogStore, first: float, last: float) -> Iterator[_Told]:
    """The records of calls that the model answered, in the order of their times."""
    found: list[_Told] = []
    for type_ in ("exchange", "close"):
        query = Query(since_us=round(first * 1e6), until_us=round(last * 1e6) + 1, type=type_)
        after = -1
        while rows := store.search(query, after, _PAGE):
            after = rows[-1].index
            for row in rows:
                record = record_of(next(store.leaves(row.index, row.index + 1), b""))
                if record.get("upstream_status") != 200:
                    continue
                tokens = record.get("tokens")
                count = -1
                if isinstance(tokens, dict):
                    parts = [tokens.get("in"), tokens.get("out")]
                    count = sum(part for part in parts if isinstance(part, int) and part >= 0)
                model, id_ = record.get("model"), record.get("upstream_id")
                found.append(
                    _Told(
                        row.row.id,
                        row.index,
                        row.row.t_us / 1e6,
                        model if isinstance(model, str) else "",
                        id_ if isinstance(id_, str) else "",
                        count,
                    )
                )
    found.sort(key=lambda one: (one.time_s, one.index))
    yield from found


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1


def _time(text: str) -> float | None:
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else _moment(text)
    except (ValueError, OverflowError):
        return None


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
