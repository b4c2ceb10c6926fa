# SPDX-License-Identifier: Apache-2.0
"""State in one SQLite file, for one machine: shared by all worker processes, and still there after a restart.

Calls that wait together are one transaction, made in a thread of its own so that the event loop never waits for the
disk. A file lock stands in front of the database, because SQLite's own waiting sleeps in steps of up to 25 ms and
several busy workers would feel them. The journal is a write-ahead log with `synchronous=NORMAL`: a killed process
loses nothing, a power cut at most the last moments, never the file.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from gateway.state.activity import Activity, touched
from gateway.state.gather import Gather, Operation
from gateway.state.interfaces import StateError, StateUnavailable, Usage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS usage (
    key TEXT PRIMARY KEY, last_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL,
    day TEXT NOT NULL, day_ms INTEGER NOT NULL, others TEXT NOT NULL, expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS usage_by_end ON usage (expires_ms);
CREATE TABLE IF NOT EXISTS remembered (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS remembered_by_end ON remembered (expires_ms);
CREATE TABLE IF NOT EXISTS counters (
    key TEXT PRIMARY KEY, amount INTEGER NOT NULL, expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS counters_by_end ON counters (expires_ms);
"""
_VERSION = 1

SWEEP_EVERY_S = 60.0
SWEEP_ROWS = 2_000
"""Expired rows go a piece at a time, so that no caller waits for a large deletion."""

LOCK_RETRY_S = 0.0005


class SqliteState:
    """`State` in the file `path`. `clock` gives seconds since the epoch; `timeout_s` bounds every call."""

    def __init__(self, path: Path, clock: Callable[[], float], timeout_s: float) -> None:
        """Open or create the file, readable by this user alone. Raises `StateError` where it cannot be used."""
        self._clock = clock
        self._timeout_s = timeout_s
        self._sweep_at = 0.0
        self._gather = Gather(self._run, timeout_s)
        try:
            self._lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"{path}: cannot be opened ({error.strerror}); give a writable folder") from None
        try:
            self._db = self._connect(path)
        except BaseException:
            os.close(self._lock_fd)
            raise
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state-sqlite")

    async def touch_usage(
        self, key: str, now: float, day: str, idle_gap_s: float, *, day_started_at: float = 0.0
    ) -> Usage:
        """See `State.touch_usage`."""
        times = (round(now * 1000), day, round(idle_gap_s * 1000), round(day_started_at * 1000))
        return cast(Usage, await self._gather.call((self._touch, key, *times)))

    async def look_at_usage(
        self, key: str, now: float, day: str, idle_gap_s: float, *, day_started_at: float = 0.0
    ) -> Usage:
        """See `State.look_at_usage`."""
        times = (round(now * 1000), day, round(idle_gap_s * 1000), round(day_started_at * 1000))
        return cast(Activity, await self._gather.call((self._after_touch, key, *times))).usage()

    async def remember(self, key: str, value: str, ttl_s: float) -> None:
        """See `State.remember`."""
        await self._gather.call((self._remember, key, value, self._now_ms(), round(ttl_s * 1000)))

    async def recall(self, key: str) -> str | None:
        """See `State.recall`."""
        return cast("str | None", await self._gather.call((self._recall, key, self._now_ms())))

    async def add(self, key: str, amount: int, ttl_s: float) -> int:
        """See `State.add`."""
        return cast(int, await self._gather.call((self._add, key, amount, self._now_ms(), round(ttl_s * 1000))))

    async def close(self) -> None:
        """See `State.close`."""
        await self._gather.close()
        self._thread.shutdown()
        self._db.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)

    def _connect(self, path: Path) -> sqlite3.Connection:
        db: sqlite3.Connection | None = None
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._lock()
            try:
                db = sqlite3.connect(path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False)
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version not in (0, _VERSION):
                    raise StateError(f"{path}: written by a newer version (schema {version}); use that one")
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=NORMAL")
                db.executescript(_SCHEMA)
                db.execute(f"PRAGMA user_version={_VERSION}")
            finally:
                self._unlock()
        except (sqlite3.Error, OSError, StateError) as error:
            if db is not None:
                db.close()
            if isinstance(error, StateError):
                raise
            raise StateError(f"{path}: not usable as state ({error}); move it away and it is made anew") from None
        return db

    async def _run(self, batch: Sequence[Operation]) -> Sequence[Any]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, batch)

    def _transact(self, batch: Sequence[Operation]) -> Sequence[Any]:
        """The batch as one transaction: all of it or, where SQLite fails, nothing of it."""
        self._lock()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                results = [do(*arguments) for do, *arguments in batch]
                self._sweep()
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            return results
        except sqlite3.Error as error:
            raise StateUnavailable(f"the state file failed: {type(error).__name__}") from None
        finally:
            self._unlock()

    def _lock(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StateUnavailable(f"the state file was locked for {self._timeout_s:g} s") from None
                time.sleep(LOCK_RETRY_S)

    def _unlock(self) -> None:
        fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def _after_touch(self, key: str, now_ms: int, day: str, gap_ms: int, day_started_ms: int) -> Activity:
        row = self._db.execute(
            "SELECT last_ms, started_ms, day, day_ms, others FROM usage WHERE key = ? AND expires_ms > ?", (key, now_ms)
        ).fetchone()
        before = None if row is None else Activity(row[0], row[1], row[2], row[3], _parsed(row[4]))
        return touched(before, now_ms, day, gap_ms, day_started_ms)

    def _touch(self, key: str, now_ms: int, day: str, gap_ms: int, day_started_ms: int) -> Usage:
        after = self._after_touch(key, now_ms, day, gap_ms, day_started_ms)
        others = ",".join(f"{name}={total}" for name, total in after.others)
        self._db.execute(
            "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?, ?)", (key, *after[:4], others, after.expires_ms())
        )
        return after.usage()

    def _remember(self, key: str, value: str, now_ms: int, ttl_ms: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO remembered VALUES (?, ?, ?)", (key, value, now_ms + ttl_ms))

    def _recall(self, key: str, now_ms: int) -> str | None:
        row = self._db.execute(
            "SELECT value FROM remembered WHERE key = ? AND expires_ms > ?", (key, now_ms)
        ).fetchone()
        return None if row is None else cast(str, row[0])

    def _add(self, key: str, amount: int, now_ms: int, ttl_ms: int) -> int:
        row = self._db.execute(
            "INSERT INTO counters VALUES (:key, :amount, :ends) ON CONFLICT (key) DO UPDATE SET"
            " amount = CASE WHEN expires_ms > :now THEN amount + :amount ELSE :amount END,"
            " expires_ms = CASE WHEN expires_ms > :now THEN expires_ms ELSE :ends END RETURNING amount",
            {"key": key, "amount": amount, "now": now_ms, "ends": now_ms + ttl_ms},
        ).fetchone()
        return cast(int, row[0])

    def _sweep(self) -> None:
        now = self._clock()
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_EVERY_S
        for table in ("usage", "remembered", "counters"):
            gone = self._db.execute(
                f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table} WHERE expires_ms <= ? LIMIT {SWEEP_ROWS})",
                (round(now * 1000),),
            ).rowcount
            if gone == SWEEP_ROWS:
                self._sweep_at = now  # there is more: go on with the next batch


def _parsed(others: str) -> tuple[tuple[str, int], ...]:
    pairs = (item.rpartition("=") for item in others.split(",")) if others else ()
    return tuple((name, int(total)) for name, _, total in pairs)
