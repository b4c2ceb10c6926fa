# SPDX-License-Identifier: Apache-2.0
"""What leaves the house leaves when it is due, from the process that publishes, and shows when it does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audit_log import AuditLog, Entry, new_record_id
from audit_log.timestamping import kept_stamps
from gateway import evidence_command
from gateway.home import Home
from gateway.metrics import Meters
from gateway.outside import OutsideWork
from gateway.settings import Archive, Settings, Siem, Timestamps
from tests.audit_log.authority import make_authority
from tests.audit_log.bucket import MemoryBucket

NOW = 1_800_000_000.0
Make = Callable[..., OutsideWork]


class Clock:
    """Stands where a test puts it."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made, _ = Home.create(tmp_path / "home", "audit.example.com/test")
    return made


@pytest.fixture
def log(home: Home) -> Iterator[AuditLog]:
    """A log whose own process publishes, with one exchange."""
    opened = AuditLog.open(home.audit, writer="gw-0", publish=False)
    opened._publish_from(home.audit / "publisher.lock")
    opened._stop_publishing()
    opened.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    opened._publish_once()
    yield opened
    opened.close()


@pytest.fixture
def make(log: AuditLog, home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(AuditLog, "is_publisher", property(lambda self: True))
    meters = Meters()

    def made(**sections: object) -> OutsideWork:
        settings = Settings(home=home.path, base_dir=home.path, **sections)  # type: ignore[arg-type]
        return OutsideWork(log, home.place(), home.path, settings, clock, meters)

    yield made
    meters.close()


def rounds(work: OutsideWork) -> dict[str, float]:
    """One round; gives which jobs failed."""
    asyncio.run(work.round())
    failed = work.numbers()["audit_outside_failed"]
    assert isinstance(failed, dict)
    return {name: value for (name,), value in failed.items()}


def test_nothing_is_done_where_nothing_is_set(make: Make, home: Home) -> None:
    """It ends at once, and makes no folder."""
    work = make()
    asyncio.run(asyncio.wait_for(work.run(), 1))
    assert rounds(work) == {}
    assert not (home.path / "siem").exists() and [*kept_stamps(home.audit)] == []


def test_each_job_is_done_when_it_is_due(
    make: Make, home: Home, clock: Clock, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed every few seconds, stamps and copies once a day."""
    authority, bucket, posts = make_authority(), MemoryBucket(), []

    def post(url: str, body: bytes) -> tuple[int, bytes]:
        posts.append(url)
        return authority.post(url, body)

    monkeypatch.setattr(evidence_command, "poster", lambda *more: post)
    monkeypatch.setattr(evidence_command, "bucket_of", lambda settings: bucket)
    events = home.path / "events.jsonl"
    work = make(
        timestamps=Timestamps(url="https://tsa.example"),
        archive=Archive(bucket="b"),
        siem=Siem(file=str(events), every_s=5.0),
    )
    assert rounds(work) == {"timestamp": 0.0, "archive": 0.0, "siem": 0.0}
    assert [stamp.size for stamp in kept_stamps(home.audit)] == [2]
    assert [json.loads(line)["unmapped"]["index"] for line in events.read_bytes().splitlines()] == [0, 1]
    log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    log._publish_once()
    rounds(work)
    assert len(events.read_bytes().splitlines()) == 2
    clock.now += 5.0
    rounds(work)
    assert (len(events.read_bytes().splitlines()), len(posts)) == (3, 1)
    clock.now += 86_400.0
    rounds(work)
    assert [stamp.size for stamp in kept_stamps(home.audit)] == [2, 3]


def test_a_job_that_fails_shows_and_is_tried_again(make: Make, home: Home, clock: Clock) -> None:
    """The others have their turn, and it is not tried at every look."""
    away = home.path / "no" / "events.jsonl"
    work = make(timestamps=Timestamps(url="http://127.0.0.1:9/"), siem=Siem(file=str(away), every_s=5.0))
    assert rounds(work) == {"timestamp": 1.0, "siem": 1.0}
    away.parent.mkdir()
    assert rounds(work)["siem"] == 1.0
    clock.now += 5.0
    assert rounds(work) == {"timestamp": 1.0, "siem": 0.0}
    assert len(away.read_bytes().splitlines()) == 2


def test_who_does_not_publish_does_nothing(make: Make, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that several processes do not each send the same."""
    monkeypatch.setattr(AuditLog, "is_publisher", property(lambda self: False))
    events = home.path / "events.jsonl"
    rounds(make(siem=Siem(file=str(events))))
    assert not events.exists()
