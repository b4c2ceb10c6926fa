# SPDX-License-Identifier: Apache-2.0
"""Every metric of the house, as one table, and the cheap way to count.

Names follow the Prometheus naming rules: prefix `dutybound_`, base units, the unit as suffix, `_total` for counters.
Labels are closed sets of ours: no person, no tenant, no free text. Counting on the request path adds to a slot of
this process's own file (`gateway/metric_slots.py`); text is made only when somebody scrapes. With several workers a
scrape answers with the sum over all of them, whichever process is asked.

What the house can only know by asking a store (the size of the tree, complaints overdue) is asked at scrape time: see
`Meters.watch`. A source that fails is left out of that scrape and counted in `dutybound_scrape_errors_total`.
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway import metric_slots
from gateway.decisions import Action
from gateway.exchange import Exchange, Outcome
from gateway.metric_slots import Key, Slots

PREFIX: Final = "dutybound_"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


class Kind(StrEnum):
    """What a family counts."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    WATCHED = "watched"
    """A gauge that is asked for at scrape time."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without prefix, what it means, its labels and, for a histogram, its upper bounds."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as Prometheus shows it."""
        return PREFIX + self.name

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(self.full_name + suffix for suffix in ("_bucket", "_count", "_sum"))
        return (self.full_name,)


_EXCHANGE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
_ADDED_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_CHARS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

FAMILIES: Final[tuple[Family, ...]] = (
    Family("requests_total", Kind.COUNTER, "Exchanges by how they ended.", ("wire", "outcome")),
    Family(
        "exchange_duration_seconds",
        Kind.HISTOGRAM,
        "From the request's arrival to the end of its answer.",
        ("wire",),
        _EXCHANGE_S,
    ),
    Family(
        "added_duration_seconds",
        Kind.HISTOGRAM,
        "What the duties added to a plain answer beside the model's time.",
        ("wire",),
        _ADDED_S,
    ),
    Family(
        "time_to_first_byte_seconds",
        Kind.HISTOGRAM,
        "From the request's arrival to the answer's first byte.",
        ("wire",),
        _EXCHANGE_S,
    ),
    Family(
        "upstream_duration_seconds",
        Kind.HISTOGRAM,
        "From asking the model API to the end of its answer.",
        ("wire",),
        _EXCHANGE_S,
    ),
    Family(
        "decisions_total",
        Kind.COUNTER,
        "What the duties decided; class is empty where none applies.",
        ("duty", "class", "action"),
    ),
    Family(
        "duty_errors_total",
        Kind.COUNTER,
        "Duties that broke, and the failure rule that was then applied.",
        ("duty", "rule"),
    ),
    Family(
        "stream_holdback_chars", Kind.HISTOGRAM, "Largest number of characters a stream had to hold back.", (), _CHARS
    ),
    Family("streams_open", Kind.GAUGE, "Streamed answers on their way now."),
    Family(
        "labels_applied_total", Kind.COUNTER, "Labels put on answers: kind is explicit or implicit.", ("kind", "media")
    ),
    Family(
        "fingerprints_total",
        Kind.COUNTER,
        "Works that went out, by what became of their fingerprint: kept, nothing to keep, or dropped.",
        ("medium", "outcome"),
    ),
    Family("notices_total", Kind.COUNTER, "Notices given to people.", ("kind",)),
    Family("minors_suspected_total", Kind.COUNTER, "People who were taken for minors by what they wrote."),
    Family("minors_refusals_total", Kind.COUNTER, "Requests refused by the rules for minors.", ("reason",)),
    Family("audit_records_total", Kind.COUNTER, "Records that are durable.", ("type",)),
    Family("audit_failures_total", Kind.COUNTER, "Records that could not be made durable."),
    Family(
        "audit_commit_duration_seconds", Kind.HISTOGRAM, "How long a record waited until it was durable.", (), _COMMIT_S
    ),
    Family("audit_pending_records", Kind.GAUGE, "Records waiting to be made durable now."),
    Family("audit_leaves", Kind.WATCHED, "Leaves of the log that are durable."),
    Family("audit_tree_size", Kind.WATCHED, "Leaves under the latest checkpoint."),
    Family(
        "audit_checkpoint_timestamp_seconds",
        Kind.WATCHED,
        "When the latest checkpoint was published, in seconds since the epoch.",
    ),
    Family("audit_refusing", Kind.WATCHED, "1 where the log takes no records until a person has looked at it."),
    Family("audit_disk_free_bytes", Kind.WATCHED, "Free room on the disk that has the log, or its spool."),
    Family("audit_spooled_bytes", Kind.WATCHED, "Records that wait on this disk because the log's server is away."),
    Family(
        "audit_retention_at_risk",
        Kind.WATCHED,
        "1 where the log may not be kept as long as it must, or is kept longer than it may.",
        ("reason",),
    ),
    Family(
        "audit_outside_failed",
        Kind.WATCHED,
        "1 where a time-stamp, the archive or the feed of a SIEM failed the last time and is tried again.",
        ("kind",),
    ),
    Family("complaints_open", Kind.WATCHED, "Complaints that are not closed.", ("state",)),
    Family("complaints_overdue", Kind.WATCHED, "Open complaints past the day by which they must be answered."),
    Family("complaints_unrecorded", Kind.WATCHED, "Acts on complaints that the audit log does not hold yet."),
    Family("incidents_open", Kind.WATCHED, "Incidents nobody has closed."),
    Family("incidents_overdue", Kind.WATCHED, "Incidents past a clock of the policy.", ("clock",)),
    Family("reports_undelivered", Kind.WATCHED, "Reports that wait for delivery, or were given up.", ("state",)),
    Family("pauses_in_force", Kind.WATCHED, "Pauses that refuse requests now."),
    Family("measures_in_force", Kind.WATCHED, "People under a measure now.", ("step",)),
    Family("records_owed", Kind.WATCHED, "Acts that the audit log does not hold yet."),
    Family("orders_away", Kind.WATCHED, "1 where pauses and measures cannot be learned and requests are refused."),
    Family("operator_requests_total", Kind.COUNTER, "Requests to the operator API by answer.", ("status",)),
    Family("operator_denials_total", Kind.COUNTER, "Operator requests without a good token or role.", ("reason",)),
    Family("scrape_errors_total", Kind.COUNTER, "Scrapes in which a source of numbers failed.", ("source",)),
    Family("series_overflow_total", Kind.COUNTER, "Counts that found no free series; a label is not a closed set."),
    Family("workers", Kind.WATCHED, "Worker processes that count now."),
    Family("build_info", Kind.WATCHED, "Always 1; the version is the label.", ("version",)),
)

BY_NAME: Final[Mapping[str, Family]] = {family.name: family for family in FAMILIES}

LAYOUT: Final = hashlib.sha256(
    repr([metric_slots.SLOTS, *((f.name, f.kind.value, f.labels, f.buckets) for f in FAMILIES)]).encode()
).hexdigest()[:12]
"""Names the shape of the numbers, so that two versions on one folder never read each other's slots."""

_LABELLED: Final = (Outcome.COMPLETED, Outcome.STOPPED, Outcome.REFUSED)
"""Outcomes whose answers are ours, so that the seven-key object stands in them."""

Watched = Mapping[tuple[str, ...], float] | float
"""What a source answers for a family: one number, or one for each tuple of label values."""


class Counter:
    """A count that only grows. `inc` costs a lookup and an addition."""

    __slots__ = ("_labels", "_name", "_slots", "_values", "known")

    def __init__(self, slots: Slots, family: Family) -> None:
        self._slots = slots
        self._values = slots.values
        self._name = family.name
        self._labels = len(family.labels)
        self.known: dict[tuple[str, ...], int] = {}
        """The slots of the series counted so far, by label values."""

    def inc(self, *labels: str, by: float = 1.0) -> None:
        """Add `by` to the series with these label values, given in the order of the table."""
        slot = self.known.get(labels)
        if slot is None:
            slot = self._bind(labels)
        self._values[slot] += by

    def _bind(self, labels: tuple[str, ...], *, is_gauge: bool = False) -> int:
        if len(labels) != self._labels:
            raise TypeError(f"{PREFIX}{self._name}: expected {self._labels} label values, got {len(labels)}")
        slot = self._slots.slot((self._name, "", *labels), is_gauge=is_gauge)
        if slot != metric_slots.OVERFLOW:
            self.known[labels] = slot
        return slot


class Gauge(Counter):
    """A number of this worker that goes up and down; a scrape shows the sum over the live workers."""

    __slots__ = ()

    def __init__(self, slots: Slots, family: Family) -> None:
        super().__init__(slots, family)
        if not family.labels:
            self._bind((), is_gauge=True)

    def dec(self, *labels: str, by: float = 1.0) -> None:
        """Take `by` away."""
        self.inc(*labels, by=-by)

    def set(self, value: float, *labels: str) -> None:
        """Say what the number is now."""
        slot = self.known.get(labels)
        self._values[self._bind(labels) if slot is None else slot] = value

    def _bind(self, labels: tuple[str, ...], *, is_gauge: bool = True) -> int:
        return super()._bind(labels, is_gauge=is_gauge)


class Histogram:
    """How values spread. Slots hold each bucket by itself and the sum; cumulation is the scraper's work."""

    __slots__ = ("_bounds", "_known", "_labels", "_name", "_slots", "_values")

    def __init__(self, slots: Slots, family: Family) -> None:
        self._slots = slots
        self._values = slots.values
        self._name = family.name
        self._labels = len(family.labels)
        self._bounds = family.buckets
        self._known: dict[tuple[str, ...], tuple[int, ...]] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count `value`, in the unit of the name. Negative values (a clock set back) count as zero."""
        slots = self._known.get(labels)
        if slots is None:
            slots = self._bind(labels)
            if slots is None:
                self._values[metric_slots.OVERFLOW] += 1.0
                return
        if value < 0.0:
            value = 0.0
        values = self._values
        values[slots[bisect_left(self._bounds, value)]] += 1.0
        values[slots[-1]] += value

    def _bind(self, labels: tuple[str, ...]) -> tuple[int, ...] | None:
        if len(labels) != self._labels:
            raise TypeError(f"{PREFIX}{self._name}: expected {self._labels} label values, got {len(labels)}")
        parts = [str(number) for number in range(len(self._bounds) + 1)] + ["sum"]
        slots = tuple(self._slots.slot((self._name, part, *labels)) for part in parts)
        if metric_slots.OVERFLOW in slots:
            return None
        self._known[labels] = slots
        return slots


class Meters:
    """What the house counts with, one object a process, one attribute a metric.

    `directory` is shared by the workers of one server; None keeps the numbers in this process. To be made in the
    worker, after any fork. Raises `OSError` where the directory cannot be used.
    """

    def __init__(self, directory: Path | None = None, *, version: str = "") -> None:
        self._directory = directory
        self._slots = slots = Slots(directory, layout=LAYOUT)
        self._sources: list[tuple[str, Callable[[], Mapping[str, Watched]]]] = []
        self._version = version
        self._scrape_lock = threading.Lock()

        def counter(name: str) -> Counter:
            return Counter(slots, BY_NAME[name])

        def histogram(name: str) -> Histogram:
            return Histogram(slots, BY_NAME[name])

        self.requests = counter("requests_total")
        self.exchange_duration = histogram("exchange_duration_seconds")
        self.added_duration = histogram("added_duration_seconds")
        self.time_to_first_byte = histogram("time_to_first_byte_seconds")
        self.upstream_duration = histogram("upstream_duration_seconds")
        self.decisions = counter("decisions_total")
        self.duty_errors = counter("duty_errors_total")
        self.stream_holdback = histogram("stream_holdback_chars")
        self.streams_open = Gauge(slots, BY_NAME["streams_open"])
        self.labels_applied = counter("labels_applied_total")
        self.fingerprints = counter("fingerprints_total")
        self.notices = counter("notices_total")
        self.minors_suspected = counter("minors_suspected_total")
        self.minors_refusals = counter("minors_refusals_total")
        self.audit_records = counter("audit_records_total")
        self.audit_failures = counter("audit_failures_total")
        self.audit_commit_duration = histogram("audit_commit_duration_seconds")
        self.audit_pending = Gauge(slots, BY_NAME["audit_pending_records"])
        self.operator_requests = counter("operator_requests_total")
        self.operator_denials = counter("operator_denials_total")
        self.scrape_errors = counter("scrape_errors_total")
        self.audit_failures.inc(by=0.0)  # an alert on the rate needs the series before its first failure
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Collector(self))

    def count_exchange(self, exchange: Exchange, ended_at: float) -> None:
        """Count an exchange that has ended at `ended_at` (seconds since the epoch), its decisions and its labels."""
        wire = exchange.wire
        started_at = exchange.started_at
        outcome = exchange.outcome
        self.requests.inc(wire, outcome._value_)  # `value` and the hash of a member are Python functions: slower
        self.exchange_duration.observe(ended_at - started_at, wire)
        if exchange.first_byte_at:
            self.time_to_first_byte.observe(exchange.first_byte_at - started_at, wire)
        values, known = self._slots.values, self.decisions.known
        for decision in exchange.decisions:
            action = decision.action
            series = decision.duty, decision.class_, action._value_
            slot = known.get(series)
            if slot is not None:  # `inc` by hand: this is the loop that every exchange walks
                values[slot] += 1.0
            else:
                self.decisions.inc(*series)
            if action is Action.LABEL:
                self.labels_applied.inc("explicit", decision.reason)
            elif action is Action.REFUSE and decision.duty == "minors":
                self.minors_refusals.inc(decision.reason)
        if exchange.label is not None and outcome in _LABELLED:
            self.labels_applied.inc("implicit", "text")
        for notice in exchange.notices:
            self.notices.inc(notice.get("kind", ""))

    def watch(self, source: str, ask: Callable[[], Mapping[str, Watched]]) -> None:
        """Ask `ask` at each scrape for watched gauges, by name without prefix. It may block, as `scrape` does."""
        self._sources.append((source, ask))
        self.scrape_errors.inc(source, by=0.0)  # an alert on the rate needs the series before its first failure

    def scrape(self) -> bytes:
        """The text exposition of everything, `CONTENT_TYPE`. Blocks: call it in a thread."""
        with self._scrape_lock:
            return generate_latest(self.registry)

    def close(self) -> None:
        """Let go of this worker's file. Nothing may be counted afterwards."""
        self._slots.close()

    def asked(self) -> dict[str, dict[tuple[str, ...], float]]:
        """What the sources answer now, with failures counted and left out."""
        answers: dict[str, dict[tuple[str, ...], float]] = {}
        for source, ask in self._sources:
            try:
                found = {name: _as_series(said) for name, said in ask().items()}
            except Exception:  # a broken store must not hide the other numbers; it shows as its own counter
                self.scrape_errors.inc(source)
                continue
            for name, series in found.items():
                answers.setdefault(name, {}).update(series)
        return answers

    def summed(self) -> tuple[dict[Key, float], int]:
        """The numbers of all workers, summed, and how many of them live."""
        if self._directory is None:
            readings = [self._slots.reading()]
        else:
            readings = list(metric_slots.read_all(self._directory, layout=LAYOUT))
        sums: dict[Key, float] = {}
        for reading in readings:
            for part in (reading.totals, reading.gauges):
                for key, value in part.items():
                    sums[key] = sums.get(key, 0.0) + value
        return sums, sum(reading.is_alive for reading in readings)

    @property
    def version(self) -> str:
        """The version shown in `dutybound_build_info`."""
        return self._version


class _Collector(Collector):
    """Turns the summed slots into families, in the table's order."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def collect(self) -> Iterable[Metric]:
        """The families as prometheus-client wants them; no `_created` samples."""
        watched = self._meters.asked()
        sums, workers = self._meters.summed()
        watched["workers"] = {(): float(workers)}
        watched["build_info"] = {(self._meters.version,): 1.0}
        overflow = sums.pop(("", "overflow"), 0.0)
        sums[("series_overflow_total", "")] = overflow
        series: dict[str, dict[tuple[str, ...], dict[str, float]]] = {}
        for (name, part, *labels), value in sums.items():
            series.setdefault(name, {}).setdefault(tuple(labels), {})[part] = value
        for family in FAMILIES:
            if family.kind is Kind.WATCHED:
                yield _plain(family, watched.get(family.name, {}))
            elif family.kind is Kind.HISTOGRAM:
                yield _histogram(family, series.get(family.name, {}))
            else:
                yield _plain(family, {labels: parts[""] for labels, parts in series.get(family.name, {}).items()})


def _as_series(said: Watched) -> dict[tuple[str, ...], float]:
    return {(): float(said)} if isinstance(said, int | float) else dict(said)


def _plain(family: Family, series: Mapping[tuple[str, ...], float]) -> Metric:
    make = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = make(family.full_name, family.help, labels=family.labels)
    for labels, value in sorted(series.items()):
        metric.add_metric(labels, value)
    return metric


def _histogram(family: Family, series: Mapping[tuple[str, ...], Mapping[str, float]]) -> Metric:
    metric = HistogramMetricFamily(family.full_name, family.help, labels=family.labels)
    for labels, parts in sorted(series.items()):
        metric.add_metric(labels, list(_cumulated(family.buckets, parts)), parts.get("sum", 0.0))
    return metric


def _cumulated(bounds: tuple[float, ...], parts: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    total = 0.0
    for number, bound in enumerate((*bounds, float("inf"))):
        total += parts.get(str(number), 0.0)
        yield "+Inf" if bound == float("inf") else repr(float(bound)), total
