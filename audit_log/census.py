# SPDX-License-Identifier: Apache-2.0
"""Completeness: what a Merkle tree alone cannot show, that nothing was lost before it reached the log.

Each writer numbers its records, begins with ``boot``, ends with ``shutdown``, and counts itself in a ``census`` record
every hour, together with what its process counted by other means. ``gap_report`` reads all of it back. What must hold:
a number that is missing, a writer that ended without a word, an hour without a census and a count that does not agree
each show up under their own name; a writer that still runs does not count as lost.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from audit_log.chain import writer_of
from audit_log.errors import RecordInvalid
from audit_log.interfaces import LogStore
from audit_log.log import AuditLog
from audit_log.prune import prune_record
from audit_log.record import format_time_us, new_record_id, parse_time_us
from audit_log.view import record_of
from audit_log.writer import Entry

HOUR_S = 3600.0
_MOST_GAPS = 100


def take_census(log: AuditLog, counted: Mapping[str, int] | None = None) -> int:
    """Append the census of this process's writer; gives its index. Blocks.

    ``counted`` is what the process counted of its records by other means since it began, by type (its metrics, say):
    where it is more than the log holds, records were lost on the way.
    """
    stored, by_type = log.counts()
    fields: dict[str, object] = {
        "id": new_record_id(),
        "type": "census",
        "before": str(stored),
        "stored": {type_: str(count) for type_, count in sorted(by_type.items())},
    }
    if counted is not None:
        fields["counted"] = {type_: str(count) for type_, count in sorted(counted.items())}
    return log.append_blocking(Entry(fields))


@dataclass(slots=True)
class WriterReport:
    """What the log tells of one writer. ``lost`` are numbers that no record has; ``complaints`` say what else is wrong.

    ``first`` is above 0 where the beginning was pruned. Times as in records.
    """

    name: str
    first: int
    records: int = 0
    booted: bool = False
    ended: bool = False
    first_t: str = ""
    last_t: str = ""
    censuses: int = 0
    lost: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """The report as plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


class _Writer:
    """Follows one writer through the log."""

    def __init__(self, report: WriterReport, next_number: int) -> None:
        self.report = report
        self.next = next_number
        self.counts: Counter[str] = Counter()
        self.whole = report.first == 0
        self.census_us = 0

    def add(self, number: int, record: Mapping[str, object], t_us: int, census_every_s: float | None) -> None:
        report, type_ = self.report, str(record.get("type"))
        if number > self.next:
            self._lose(self.next, number - 1)
        elif number < self.next:
            report.complaints.append(f"number {number} appears again")
        self.next = max(self.next, number + 1)
        if type_ == "boot":
            report.booted = True
        if type_ == "shutdown":
            report.ended = True
        t = format_time_us(t_us)
        report.first_t = report.first_t or t
        if census_every_s is not None:
            since = self.census_us or parse_time_us(report.first_t)
            if t_us - since > census_every_s * 1_000_000 * 1.5 and type_ != "shutdown":
                report.complaints.append(f"no census from {format_time_us(since)} to {t}")
                self.census_us = t_us
        report.last_t = t
        if type_ == "census":
            self._compare(record)
            report.censuses += 1
            self.census_us = t_us
        self.counts[type_] += 1
        report.records += 1

    def _lose(self, first: int, last: int) -> None:
        if len(self.report.lost) < _MOST_GAPS:
            self.report.lost.append(str(first) if first == last else f"{first}-{last}")

    def _compare(self, record: Mapping[str, object]) -> None:
        """A census states what was stored before a number; records that were under way then come after it."""
        stored, counted = _counts(record.get("stored")), _counts(record.get("counted"))
        if not self.whole:
            return
        for type_ in sorted(stored.keys() | counted.keys()):
            if stored[type_] > self.counts[type_]:
                self.report.complaints.append(
                    f"census {record.get('wseq')}: {stored[type_]} records of type {type_} were stored,"
                    f" {self.counts[type_]} are in the log"
                )
            elif counted[type_] > self.counts[type_]:
                self.report.complaints.append(
                    f"census {record.get('wseq')}: the process counted {counted[type_]} records of type {type_},"
                    f" {self.counts[type_]} are in the log"
                )


def gap_report(
    store: LogStore,
    *,
    now: float,
    census_every_s: float | None = HOUR_S,
    silent_s: float = 2 * HOUR_S,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, object]:
    """Read the whole log back and tell what is missing; blocks.

    ``census_every_s``: how often each writer shall count itself, None where nobody asks for it. A writer without a
    shutdown record whose last record is older than ``silent_s`` counts as killed. Gives ``ok``, ``writers`` (one
    report each), ``killed`` (names), ``lost`` (how many gaps), ``unclosed`` (streams without an end).
    """
    minimum, size = store.minimum(), store.next_index()
    known = prune_record(store, minimum).get("next") if minimum else None
    starts = {name: int(number) for name, number in known.items()} if isinstance(known, dict) else {}
    writers: dict[str, _Writer] = {}
    index = minimum
    for index, leaf in enumerate(store.leaves(minimum, size), minimum):
        found = writer_of(leaf)
        if found is None:
            continue  # audit verify names it
        name, number = found[0].decode("ascii", "replace"), found[1]
        record = record_of(leaf)
        writer = writers.get(name)
        if writer is None:
            first = starts.get(name, 0)
            writer = writers[name] = _Writer(WriterReport(name, first), first)
        try:
            t_us = parse_time_us(record.get("t"))
        except RecordInvalid:
            writer.report.complaints.append(f"number {number} has no time")
            t_us = parse_time_us(writer.report.last_t) if writer.report.last_t else 0
        writer.add(number, record, t_us, census_every_s)
        if progress is not None and index % 8192 == 0:
            progress(index - minimum, size - minimum)
    killed = []
    for name, writer in writers.items():
        report = writer.report
        if report.first == 0 and not report.booted:
            report.complaints.append("there is no boot record")
        if not report.ended and now - parse_time_us(report.last_t) / 1e6 > silent_s:
            killed.append(name)
    unclosed = len(store.unclosed(minimum, size))
    reports = [writer.report for writer in writers.values()]
    lost = sum(len(report.lost) for report in reports)
    return {
        "ok": not killed and not lost and not any(report.complaints for report in reports),
        "records": index + 1 - minimum if size > minimum else 0,
        "minimum": minimum,
        "writers": [report.as_json() for report in reports],
        "killed": killed,
        "lost": lost,
        "unclosed": unclosed,
    }


def _counts(value: object) -> Counter[str]:
    if not isinstance(value, dict):
        return Counter()
    return Counter({type_: int(count) for type_, count in value.items() if str(count).isdigit()})
