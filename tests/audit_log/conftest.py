# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of the audit log: a fresh home, a clock that is set by hand, and the public test vectors."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audit_log import AuditLog, Entry, IndexRow, new_record_id, parse_time_us
from audit_log.interfaces import Batch
from audit_log.sqlite import SqliteStore

ORIGIN = "audit.example.com/test"


class Clock:
    """A clock that stands where a test puts it. Seconds since the epoch."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a log that was created a while ago."""
    AuditLog.create(tmp_path / "home", ORIGIN, clock=Clock(1_750_000_000.0))
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(home / "audit.db", home / "audit.lock")
    yield opened
    opened.close()


@pytest.fixture
def make_entry() -> Callable[..., Entry]:
    """Makes a record of type exchange with further fields."""

    def make(subject: str | None = None, body: bytes | None = None, **fields: object) -> Entry:
        return Entry({"id": new_record_id(), "type": "exchange", **fields}, subject, body)

    return make


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Folder of the public test vectors."""
    folder = Path(os.environ.get("DUTYBOUND_VECTORS", Path(__file__).parents[3] / "shared" / "vectors"))
    if not folder.is_dir():
        pytest.skip("PUBLIC TEST VECTORS ARE ABSENT: set DUTYBOUND_VECTORS to their folder, or these checks do not run")
    return folder


@pytest.fixture
def small(home: Path) -> Path:
    """A home with 40 leaves: five checkpoints, bodies of three subjects, one of them erased, in two tenants."""
    log = AuditLog.open(home, writer="gw", publish=False, clock=Clock(1_800_000_000.0))
    log._publish_from(home / "publisher.lock")
    log._stop_publishing()
    for number in range(37):
        fields = {"tenant": f"t{number % 2}", "class": "A1" if number % 5 == 0 else None, "model": "=SUM(A1)"}
        t = f"2027-01-15T08:{number:02}:00.000000Z"
        body = f"text {number}".encode() if number % 4 == 0 else None
        log.append_blocking(
            Entry({"id": new_record_id(), "type": "exchange", "t": t, **fields}, f"p{number % 3}", body)
        )
        if number % 10 == 5:
            log._publish_once()
    log.erase_subject("t0", "p0", {"basis": "request"})
    log.close()
    return home


LONG_SEGMENTS = 2
LONG_TAIL = 300


@pytest.fixture(scope="session")
def built_long_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole segments and a tail: the first from 2026, the second from 2027, the tail from 2028.

    Most leaves are put into the store by hand, under a writer of their own, and nothing is synced: that is quick.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        return _build_long_home(tmp_path_factory.mktemp("long") / "home")


def _build_long_home(home: Path) -> Path:
    clock = Clock(1_767_000_000.0)
    AuditLog.create(home, ORIGIN, clock=clock)
    log = AuditLog.open(home, writer="gw", publish=False, clock=clock)
    log._publish_from(home / "publisher.lock")
    log._stop_publishing()
    number = 0

    def fill(count: int, year: int) -> None:
        nonlocal number
        t = f"{year}-02-03T04:05:06.000000Z"
        for start in range(0, count, 4096):
            leaves, rows = [], []
            for _ in range(min(4096, count - start)):
                id_, type_ = new_record_id(), "exchange" if number else "boot"
                leaf = f'{{"id":"{id_}","t":"{t}","type":"{type_}","v":"1","writer":"by-hand/1","wseq":"{number}"}}'
                leaves.append(leaf.encode())
                rows.append(IndexRow(id_, None, type_, parse_time_us(t), "t", None, None, None, False))
                number += 1
            log.store.append(Batch(leaves, rows))

    def body(year: int, text: bytes) -> None:
        t = f"{year}-02-01T00:00:00.000000Z"
        log.append_blocking(Entry({"id": new_record_id(), "type": "exchange", "t": t, "tenant": "t"}, "p", text))

    body(2026, b"old")
    fill(65_534, 2026)
    log._publish_once()
    fill(65_536, 2027)
    body(2028, b"new")
    fill(LONG_TAIL - 2, 2028)
    clock.now = 1_830_000_000.0  # the end of 2027
    log.close()
    return home


@pytest.fixture
def long_home(built_long_home: Path, tmp_path: Path) -> Path:
    """A copy of the long log that a test may change."""
    shutil.copytree(built_long_home, tmp_path / "long")
    return tmp_path / "long"


@pytest.fixture
def schema() -> str:
    """A schema that no other test uses."""
    return f"t_{new_record_id().replace('-', '')}"
