# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of the audit log: a fresh home, a clock that is set by hand, and the public test vectors."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audit_log import AuditLog, Entry, new_record_id
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
