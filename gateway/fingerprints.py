# SPDX-License-Identifier: Apache-2.0
"""The store of fingerprints and marks: from what is left of a labelled work back to its record.

One SQLite file beside the log, never in the tree: what stands here can be deleted. It holds hashes only, of texts,
pictures and sounds that this service gave out, and record ids; no text, no file, no subject. It answers one question,
whether something that is shown to it is like something it knows, and has no way to list what it knows.

A mark's payload is a keyed hash of the record's id, so that part can be made again from the log and the key.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from labeling.fingerprint import Kind, Print

_MOST_CANDIDATES: Final = 24
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS prints (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, signature BLOB NOT NULL, record BLOB NOT NULL, at_s INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS prints_by_record ON prints (record);
CREATE INDEX IF NOT EXISTS prints_by_time ON prints (at_s);
CREATE TABLE IF NOT EXISTS bands (
    band INTEGER NOT NULL, print INTEGER NOT NULL, PRIMARY KEY (band, print)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
    payload BLOB NOT NULL, record BLOB NOT NULL, at_s INTEGER NOT NULL, PRIMARY KEY (payload, record)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS marks_by_record ON marks (record);
CREATE INDEX IF NOT EXISTS marks_by_time ON marks (at_s);
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one work: its record, when it was given out (seconds since the epoch), and by what it is found
    again."""

    record_id: str
    at_s: float
    prints: tuple[Print, ...] = ()
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Hit:
    """A work that is like the one that was shown; `likeness` from 0 to 1."""

    record_id: str
    kind: Kind
    likeness: float


class FingerprintStore:
    """The store; safe to share between threads, and between processes of one machine.

    Raises `sqlite3.Error` where the file is away or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=10.0, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        # A crash of the machine may lose the last seconds; it never breaks the file.
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def keep(self, works: Sequence[Kept]) -> None:
        """Keep some works, all or none. The same work twice is kept once."""
        with self._lock, self._writing() as connection:
            for work in works:
                record = UUID(work.record_id).bytes
                at_s = int(work.at_s)
                if work.payload:
                    row = (work.payload, record, at_s)
                    connection.execute("INSERT OR IGNORE INTO marks (payload, record, at_s) VALUES (?, ?, ?)", row)
                for each in work.prints:
                    known = connection.execute(
                        "SELECT 1 FROM prints WHERE record = ? AND kind = ? AND signature = ?",
                        (record, each.kind, each.signature),
                    ).fetchone()
                    if known is None:
                        made = connection.execute(
                            "INSERT INTO prints (kind, signature, record, at_s) VALUES (?, ?, ?, ?)",
                            (each.kind, each.signature, record, at_s),
                        )
                        connection.executemany(
                            "INSERT OR IGNORE INTO bands (band, print) VALUES (?, ?)",
                            [(band, made.lastrowid) for band in each.bands()],
                        )

    def find(self, shown: Print) -> Hit | None:
        """The likest work of that kind, None where none is like enough."""
        bands = shown.bands()
        places = ", ".join("?" * len(bands))
        with self._lock:
            rows = self._connection.execute(
                f"SELECT kind, signature, record FROM prints JOIN (SELECT print, count(*) AS shared FROM bands "
                f"WHERE band IN ({places}) GROUP BY print ORDER BY shared DESC, print DESC LIMIT {_MOST_CANDIDATES}) "
                "ON id = print",
                bands,
            ).fetchall()
        found = [(shown.likeness(known), record) for kind, signature, record in rows
                 if shown.is_like(known := Print(kind, signature))]  # fmt: skip
        if not found:
            return None
        likeness, record = max(found)
        return Hit(str(UUID(bytes=record)), shown.kind, likeness)

    def records_of(self, payload: bytes) -> tuple[str, ...]:
        """The records whose mark has this payload: one, or in rare accidents more."""
        with self._lock:
            rows = self._connection.execute("SELECT record FROM marks WHERE payload = ?", (payload,)).fetchall()
        return tuple(str(UUID(bytes=record)) for (record,) in rows)

    def forget(self, record_ids: Iterable[str]) -> int:
        """Delete everything about these records, as an erasure asks; gives how many rows were there."""
        return sum(self._delete("record = ?", UUID(record_id).bytes) for record_id in record_ids)

    def forget_before(self, time_s: float) -> int:
        """Delete what was given out before a time in seconds since the epoch; gives how many rows were there."""
        return self._delete("at_s < ?", int(time_s))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _delete(self, which: str, value: bytes | int) -> int:
        with self._lock, self._writing() as connection:
            rows = connection.execute(f"SELECT id, kind, signature FROM prints WHERE {which}", (value,)).fetchall()
            # No index leads from a print to its bands: they follow from its signature.
            bands = [(band, number) for number, kind, signature in rows for band in Print(kind, signature).bands()]
            connection.executemany("DELETE FROM bands WHERE band = ? AND print = ?", bands)
            connection.execute(f"DELETE FROM prints WHERE {which}", (value,))
            return len(rows) + connection.execute(f"DELETE FROM marks WHERE {which}", (value,)).rowcount

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
