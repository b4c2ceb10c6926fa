# SPDX-License-Identifier: Apache-2.0
"""Orders in one SQLite file: shared by the workers of one machine and by the command line, and there after a restart.

A pause that a power cut lifts would be worse than none, so a change is on the disk before `put` returns (write-ahead
log, `synchronous=FULL`). The file is asked in a thread of its own; nobody is told of a change, so those who follow it
ask again after the time that they chose.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from gateway.state.interfaces import StateError, StateUnavailable
from gateway.state.orders import Order, told_until

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    key TEXT PRIMARY KEY, value TEXT, number INTEGER NOT NULL, expires_at REAL NOT NULL, told_until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS orders_by_number ON orders (number);
CREATE TABLE IF NOT EXISTS last (number INTEGER NOT NULL);
"""
_VERSION = 1
_SELECT = "SELECT key, value, number, expires_at FROM orders"

T = TypeVar("T")


class SqliteOrders:
    """`Orders` in the file `path`. `clock` gives seconds since the epoch; `timeout_s` bounds the wait for a lock."""

    def __init__(self, path: Path, clock: Callable[[], float], timeout_s: float) -> None:
        """Open or create the file, readable by this user alone. Raises `StateError` where it cannot be used."""
        self._clock = clock
        self._is_closed = False
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"{path}: cannot be opened ({error}); give a writable folder") from None
        try:
            self._prepare(path)
        except (sqlite3.Error, StateError) as error:
            self._db.close()
            if isinstance(error, StateError):
                raise
            raise StateError(f"{path}: not usable for orders ({error}); restore it from a backup") from None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="orders-sqlite")

    def _prepare(self, path: Path) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise StateError(f"{path}: written by a newer version (schema {version}); use that one")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._db.execute(statement)
            if self._db.execute("SELECT count(*) FROM last").fetchone()[0] == 0:
                self._db.execute("INSERT INTO last VALUES (0)")
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    async def changes(self, after: int) -> tuple[int, tuple[Order, ...]]:
        """See `Orders.changes`."""
        return await self._call(lambda: self._changes(after))

    async def get(self, key: str) -> Order | None:
        """See `Orders.get`."""
        return await self._call(lambda: self._get(key))

    async def put(self, key: str, value: str | None, expires_at: float = 0.0, *, if_number: int | None = None) -> int:
        """See `Orders.put`."""
        return await self._call(lambda: self._put(key, value, expires_at, if_number))

    async def changed(self, timeout_s: float) -> None:
        """See `Orders.changed`: a file tells nobody, so this is the wait alone."""
        await asyncio.sleep(timeout_s)

    async def close(self) -> None:
        """See `Orders.close`."""
        self._is_closed = True
        self._thread.shutdown()
        self._db.close()

    async def _call(self, act: Callable[[], T]) -> T:
        if self._is_closed:
            raise StateUnavailable("the orders are closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, act)
        except sqlite3.Error as error:
            raise StateUnavailable(f"the file of orders failed: {type(error).__name__}") from None

    def _changes(self, after: int) -> tuple[int, tuple[Order, ...]]:
        (number,) = self._db.execute("SELECT number FROM last").fetchone()
        if number == after:
            return number, ()
        # One statement sees one state of the file: a change between the two is given now and once more the next time.
        rows = self._db.execute(f"{_SELECT} WHERE number > ? ORDER BY number", (after if after < number else 0,))
        return number, tuple(Order(*row) for row in rows)

    def _get(self, key: str) -> Order | None:
        row = self._db.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone()
        return None if row is None else Order(*row)

    def _put(self, key: str, value: str | None, expires_at: float, if_number: int | None) -> int:
        now = self._clock()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            held = self._get(key)
            if if_number is not None and if_number != (0 if held is None else held.number):
                self._db.execute("ROLLBACK")
                return 0
            self._db.execute("DELETE FROM orders WHERE told_until > 0 AND told_until <= ?", (now,))
            self._db.execute("UPDATE last SET number = number + 1")
            (number,) = self._db.execute("SELECT number FROM last").fetchone()
            self._db.execute(
                "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?)",
                (key, value, number, expires_at, told_until(value, expires_at, now)),
            )
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return int(number)
