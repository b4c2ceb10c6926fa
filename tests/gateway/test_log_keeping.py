# SPDX-License-Identifier: Apache-2.0
"""What the log needs from time to time is done when it is due, by the one whose turn it is, and shows when it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from audit_log import AuditLog, Entry, LogUnavailable, new_record_id
from audit_log.census import gap_report
from audit_log.commands import erase
from audit_log.record import TYPES, format_time
from audit_log.retention import DAY_S, Retention, RetentionRule
from gateway import log_keeping
from gateway.log_keeping import LogKeeping
from gateway.metrics import Meters
from gateway.settings import Audit

NOW = 1_800_000_000.0
Make = Callable[..., LogKeeping]


class Clock:
    """Stands where a test puts it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[AuditLog]:
    """A log whose own process publishes when it is told to."""
    AuditLog.create(tmp_path / "audit", "audit.example.com/test", clock=lambda: 1.7e9)
    opened = AuditLog.open(tmp_path / "audit", writer="gw-0", publish=False, clock=clock)
    opened._publish_from(tmp_path / "audit" / "publisher.lock")
    opened._stop_publishing()
    opened._publish_once()
    yield opened
    opened.close()


@pytest.fixture
def make(log: AuditLog, clock: Clock, tmp_path: Path) -> Make:
    def keeping(counted: Mapping[str, int] | None = None, **settings: Any) -> LogKeeping:
        rule = RetentionRule("all", TYPES, 30, settings.pop("maximum", None), "clause-1", 0, settings.pop("body", None))
        audit = Audit(**settings)
        return LogKeeping(log, audit, Retention((rule,)), clock, Meters(version="0"), tmp_path, counted or {})

    return keeping


def records(log: AuditLog, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(leaf) for leaf in log.store.leaves(0, log.store.next_index())]
    return [record for record in found if record["type"] == kind]


def exchange(log: AuditLog, *, age_days: float = 0.0, body: bytes | None = None) -> str:
    id_ = new_record_id()
    t = format_time(NOW - age_days * DAY_S)
    log.append_blocking(Entry({"id": id_, "type": "exchange", "t": t, "tenant": "t"}, "p", body))
    return id_


def test_each_process_counts_itself_every_hour(log: AuditLog, make: Make, clock: Clock) -> None:
    """With what it counted by other means; the gap report finds the two in agreement, and a loss where they are not."""
    counted = {"exchange": 1}
    keeping = make(counted, census_every_s=3600)
    exchange(log)
    asyncio.run(keeping.round())
    assert records(log, "census") == []
    clock.now += 3601
    asyncio.run(keeping.round())
    asyncio.run(keeping.round())
    (census,) = records(log, "census")
    assert census["counted"] == {"exchange": "1"} and census["stored"] == {"boot": "1", "exchange": "1"}
    assert gap_report(log.store, now=clock.now)["ok"] is True
    counted["exchange"] = 2
    clock.now += 3601
    asyncio.run(keeping.round())
    assert gap_report(log.store, now=clock.now)["ok"] is False


def test_bodies_past_their_maximum_go_and_open_erasures_are_looked_at_again(
    log: AuditLog, make: Make, tmp_path: Path, clock: Clock
) -> None:
    """By the process that publishes, at its first round."""
    old, young = exchange(log, age_days=40, body=b"old"), exchange(log, body=b"young")
    rules = Retention((RetentionRule("all", TYPES, 30, None, "clause-1", 30),))
    waiting = erase(tmp_path / "audit", "t", "p", rules, basis="PIPL-47", by="desk", clock=clock)
    assert waiting["state"] == "waiting"
    exchange(log, age_days=40, body=b"older")
    asyncio.run(make(body=35).round())
    assert (log.body(old), log.body(young)) == (None, None)
    assert [record.get("event") for record in records(log, "erasure")][-2:] == ["expire", "done"]


def test_a_process_that_does_not_publish_deletes_nothing(
    log: AuditLog, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done once is done by one."""
    assert log._publisher is not None
    monkeypatch.setattr(log._publisher, "is_leader", False)
    old = exchange(log, age_days=40, body=b"old")
    asyncio.run(make(body=35).round())
    assert log.body(old) == b"old"


def test_what_fails_shows_as_a_number_and_is_tried_again(
    log: AuditLog, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round raises nothing; the next good one clears it."""
    keeping = make()

    def away(*given: object, **named: object) -> None:
        raise LogUnavailable("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(log_keeping, "run_queue", away)
        asyncio.run(keeping.round())
    assert risks(keeping)["failed"] == 1
    asyncio.run(keeping.round())  # the next round, not the next hour
    assert risks(keeping)["failed"] == 0


def risks(keeping: LogKeeping) -> dict[str, float]:
    found = keeping.numbers()["audit_retention_at_risk"]
    assert isinstance(found, Mapping)
    return {reason: value for (reason,), value in found.items()}


def test_a_disk_that_will_not_hold_the_minimum_is_seen_ahead(
    log: AuditLog, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the pace so far; a log on a server has another disk; a log of the first day tells nothing yet."""
    monkeypatch.setattr(log_keeping, "_free_bytes", lambda folder: 100 << 20)
    monkeypatch.setattr(log_keeping, "_used_bytes", lambda folder: 50 << 20)
    assert risks(make(disk_free_min_mb=0))["disk"] == 0
    assert risks(make(disk_free_min_mb=200))["disk"] == 1
    clock.now = NOW + 10 * DAY_S
    assert risks(make(disk_free_min_mb=0))["disk"] == 0  # 5 MiB a day for 20 days more: just fits
    monkeypatch.setattr(log_keeping, "_used_bytes", lambda folder: 51 << 20)
    assert risks(make(disk_free_min_mb=0))["disk"] == 1
    assert risks(make(disk_free_min_mb=0, url="postgresql://x/y"))["disk"] == 0


def test_a_clock_that_stepped_back_and_records_past_their_maximum_are_seen(
    log: AuditLog, make: Make, clock: Clock
) -> None:
    """Whole segments only can go: what is overdue says so."""
    keeping = make(maximum=60)
    exchange(log, age_days=70)
    asyncio.run(keeping.round())
    assert risks(keeping) == {"disk": 0, "clock": 0, "overdue": 1, "failed": 0}
    clock.now = NOW - 60
    assert risks(keeping)["clock"] == 1


def test_the_numbers_are_asked_at_a_scrape(make: Make, log: AuditLog, clock: Clock, tmp_path: Path) -> None:
    """Real files of a real disk."""
    meters = Meters(version="0")
    rules = Retention((RetentionRule("all", TYPES, 30, None, "clause-1"),))
    LogKeeping(log, Audit(disk_free_min_mb=0), rules, clock, meters, tmp_path, {})
    clock.now += 2 * DAY_S
    text = meters.scrape().decode()
    assert 'dutybound_audit_retention_at_risk{reason="disk"} 0.0' in text
    assert "dutybound_audit_disk_free_bytes " in text and "dutybound_audit_spooled_bytes 0.0" in text
