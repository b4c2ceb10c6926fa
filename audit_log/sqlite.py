# SPDX-License-Identifier: Apache-2.0
"""The log in one SQLite file: the driver for one machine, with one or several worker processes.

Sequencing: one coordination row holds the next index; a batch is one transaction in WAL mode with
``synchronous=FULL``, so it is on the disk when it returns. A blocking file lock stands in front of every transaction,
because SQLite's own way of waiting is a poll that starves some of the waiting processes.

What must hold:
- Nothing is ever written, and no WAL checkpoint is ever run, without that lock. SQLite up to 3.51.2 can lose committed
  transactions when a checkpoint overlaps a write on another connection (the "WAL-reset bug"); here they cannot overlap.
- After a failed write the connection is thrown away and the WAL is folded into the database before the next write:
  a later good fsync must not stand on frames that an earlier fsync failed to bring to the disk.
- The file is created by ``create`` alone. Opening never creates one: a wrong path cannot start a second history.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from audit_log.errors import LogNotInitialised, LogRefused, LogUnavailable
from audit_log.interfaces import Batch, FoundRow, KeysChangedError, Meta, Query
from audit_log.record import IndexRow
from audit_log.sealing import SealedBody

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE meta (origin TEXT NOT NULL, vkey TEXT NOT NULL, created_at REAL NOT NULL);
CREATE TABLE coordination (
    one INTEGER PRIMARY KEY CHECK (one = 1), next INTEGER NOT NULL, key_epoch INTEGER NOT NULL, seen_at REAL NOT NULL,
    minimum INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE leaves (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL);
CREATE TABLE rows (
    idx INTEGER PRIMARY KEY, id BLOB NOT NULL, exchange BLOB, type TEXT NOT NULL, t INTEGER NOT NULL,
    tenant TEXT, subject TEXT, class TEXT, action TEXT, incident INTEGER NOT NULL
);
CREATE INDEX rows_id ON rows (id);
CREATE INDEX rows_t ON rows (t);
CREATE INDEX rows_exchange ON rows (exchange) WHERE exchange IS NOT NULL;
CREATE INDEX rows_subject ON rows (subject) WHERE subject IS NOT NULL;
CREATE INDEX rows_incident ON rows (idx) WHERE incident = 1;
CREATE INDEX rows_rare ON rows (type, idx) WHERE type NOT IN ('exchange', 'open', 'close');
CREATE TABLE subject_keys (key TEXT PRIMARY KEY, tenant TEXT NOT NULL, subject TEXT NOT NULL, wrapped BLOB NOT NULL);
CREATE INDEX subject_keys_subject ON subject_keys (subject, tenant);
CREATE TABLE bodies (
    id BLOB PRIMARY KEY, key TEXT NOT NULL, wrapped BLOB NOT NULL, ciphertext BLOB NOT NULL, commitment TEXT NOT NULL
);
CREATE INDEX bodies_key ON bodies (key);
CREATE TABLE erased_keys (key TEXT PRIMARY KEY, recorded INTEGER NOT NULL);
CREATE TABLE head (origin TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, body BLOB NOT NULL, signed_at REAL NOT NULL);
"""
_FROM_VERSION_1 = (
    "ALTER TABLE coordination ADD COLUMN minimum INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX rows_rare ON rows (type, idx) WHERE type NOT IN ('exchange', 'open', 'close')",
    "PRAGMA user_version=2",
)
_FREQUENT = ("exchange", "open", "close")
_COLUMNS = "idx, id, exchange, type, t, tenant, subject, class, action, incident"
_OF_ROWS = ", ".join(f"rows.{name}" for name in _COLUMNS.split(", "))
_SHOWN = "idx >= (SELECT minimum FROM coordination)"
_COLUMN_COUNT = 10
# One statement for many rows: every step of a statement hands the interpreter lock to the other threads and back.
_CHUNKS = (256, 128, 64, 32, 16, 8, 4, 2, 1)
_BUSY_TIMEOUT_S = 10.0
_TIDY_WAL_BYTES = 4 << 20
_LEAVES_AT_ONCE = 256


def create(
    path: Path, lock_path: Path, meta: Meta, head: bytes, *, connection: type[sqlite3.Connection] = sqlite3.Connection
) -> None:
    """Create the database of a new, empty log with its first checkpoint, durable on return."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished, isolation_level=None, factory=connection)) as db:
        db.execute("PRAGMA synchronous=FULL")
        db.executescript("BEGIN;" + _SCHEMA)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("INSERT INTO meta VALUES (?, ?, ?)", (meta.origin, meta.vkey, meta.created_at))
        db.execute("INSERT INTO coordination VALUES (1, 0, 0, ?, 0)", (meta.created_at,))
        db.execute("INSERT INTO head VALUES (?, ?)", (meta.origin, head))
        db.execute("INSERT INTO checkpoints VALUES (0, ?, ?)", (head, meta.created_at))
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode=WAL")
    lock_path.touch(mode=0o600)
    os.chmod(unfinished, 0o600)
    # The name appears last: a crash before this line leaves no log, one after it leaves a whole one.
    unfinished.rename(path)
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make names created, renamed or removed in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class SqliteStore:
    """LogStore in one file. Thread-safe; open one in each process, after forking."""

    def __init__(
        self, path: Path, lock_path: Path, *, connection: type[sqlite3.Connection] = sqlite3.Connection
    ) -> None:
        """Open a log that ``create`` made. Raises LogNotInitialised, LogRefused or LogUnavailable."""
        if not path.is_file():
            raise LogNotInitialised(f"{path.name} is missing; is this the right folder, and was the log created?")
        self._path = path
        self._factory = connection
        self._write_mutex = threading.Lock()
        self._read_mutex = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._idle_readers: list[sqlite3.Connection] = []
        self._must_fold = False
        self._fold_wanted = False
        try:
            self._lock_fd = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise LogNotInitialised(f"{lock_path.name} is missing; restore the whole folder of the log") from None
        except OSError as error:
            raise LogUnavailable(f"{lock_path.name} cannot be opened: {error.strerror}") from None
        try:
            if self._version() == 1:
                with self._writing() as db:
                    if db.execute("PRAGMA user_version").fetchone()[0] == 1:
                        for statement in _FROM_VERSION_1:
                            db.execute(statement)
            with self._reading() as db:
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version != SCHEMA_VERSION:
                    raise LogRefused(f"{path.name} has schema {version}; this program reads schema {SCHEMA_VERSION}")
                self._meta = Meta(*_one(db, "SELECT origin, vkey, created_at FROM meta"))
        except BaseException:
            self.close()
            raise

    def _version(self) -> int:
        with self._reading() as db:
            return int(db.execute("PRAGMA user_version").fetchone()[0])

    def meta(self) -> Meta:
        return self._meta

    def replace_vkey(self, old: str, new: str) -> bool:
        with self._writing() as db:
            done = db.execute("UPDATE meta SET vkey = ? WHERE vkey = ?", (new, old)).rowcount == 1
        if done:
            self._meta = Meta(self._meta.origin, new, self._meta.created_at)
        return done

    def append(self, batch: Batch) -> int:
        with self._writing() as db:
            first, epoch = _one(db, "SELECT next, key_epoch FROM coordination")
            if batch.key_epoch is not None and batch.key_epoch != epoch:
                raise KeysChangedError
            _insert(db, "leaves", 2, list(chain.from_iterable(enumerate(batch.leaves, first))))
            _insert(db, "rows", _COLUMN_COUNT, _row_values(batch.rows, first))
            if batch.new_keys:
                keys = [(key.id, key.tenant, key.subject, key.wrapped) for key in batch.new_keys]
                _insert(db, "subject_keys", 4, list(chain.from_iterable(keys)))
            if batch.bodies:
                bodies = [
                    (_uuid_bytes(body.record_id), body.key_id, body.wrapped_key, body.ciphertext, body.commit)
                    for body in batch.bodies
                ]
                _insert(db, "bodies", 5, list(chain.from_iterable(bodies)))
            db.execute("UPDATE coordination SET next = ?", (first + len(batch.leaves),))
            return int(first)

    def find_batch(self, batch: Batch) -> int | None:
        # Taking the turn folds the WAL first, so that what is found is on the disk.
        with self._writing() as db:
            found = db.execute(
                "SELECT idx FROM rows JOIN leaves USING (idx) WHERE id = ? AND leaf = ?",
                (_uuid_bytes(batch.rows[0].id), batch.leaves[0]),
            ).fetchone()
            return None if found is None else int(found[0])

    def next_index(self) -> int:
        with self._reading() as db:
            return int(_one(db, "SELECT next FROM coordination")[0])

    def minimum(self) -> int:
        with self._reading() as db:
            return int(_one(db, "SELECT minimum FROM coordination")[0])

    def raise_minimum(self, minimum: int) -> None:
        with self._writing() as db:
            db.execute("UPDATE coordination SET minimum = max(minimum, min(next, ?))", (minimum,))

    def sweep(self, limit: int) -> int:
        with self._writing() as db:
            # Freed pages are overwritten: what was pruned shall not be readable in the file.
            db.execute("PRAGMA secure_delete=ON")
            top = db.execute(
                "SELECT max(idx) FROM (SELECT idx FROM leaves WHERE idx < (SELECT minimum FROM coordination)"
                " ORDER BY idx LIMIT ?)",
                (limit,),
            ).fetchone()[0]
            if top is None:
                unused = "subject_keys WHERE NOT EXISTS (SELECT 1 FROM bodies WHERE bodies.key = subject_keys.key)"
                if db.execute(f"SELECT 1 FROM {unused} LIMIT 1").fetchone():
                    db.execute(f"DELETE FROM {unused}")
                    db.execute("UPDATE coordination SET key_epoch = key_epoch + 1")
                deleted = 0
            else:
                db.execute("DELETE FROM bodies WHERE id IN (SELECT id FROM rows WHERE idx <= ?)", (top,))
                db.execute("DELETE FROM rows WHERE idx <= ?", (top,))
                deleted = db.execute("DELETE FROM leaves WHERE idx <= ?", (top,)).rowcount
        self._fold_wanted = True
        self.tidy()
        return deleted

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        start = max(start, self.minimum()) if start < end else start
        while start < end:
            stop = min(end, start + _LEAVES_AT_ONCE)
            with self._reading() as db:
                found = db.execute(
                    "SELECT idx, leaf FROM leaves WHERE idx >= ? AND idx < ? ORDER BY idx", (start, stop)
                ).fetchall()
            for index, leaf in found:
                if index != start:
                    return
                yield leaf
                start += 1
            if start != stop:
                return

    def head(self) -> bytes:
        with self._reading() as db:
            found = db.execute("SELECT body FROM head WHERE origin = ?", (self._meta.origin,)).fetchone()
        if found is None:
            raise LogRefused("the log's lock row is missing: the database was changed from outside; keep a copy")
        return bytes(found[0])

    def swap_head(self, old: bytes, new: bytes, size: int, at: float) -> bool:
        with self._writing() as db:
            swapped = db.execute(
                "UPDATE head SET body = ? WHERE origin = ? AND body = ?", (new, self._meta.origin, old)
            )
            if swapped.rowcount != 1:
                return False
            db.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", (size, new, at))
            db.execute("UPDATE coordination SET seen_at = max(seen_at, ?)", (at,))
            return True

    def checkpoints(self) -> Iterator[tuple[int, bytes]]:
        size = -1
        while True:
            with self._reading() as db:
                found = db.execute(
                    "SELECT size, body FROM checkpoints WHERE size > ? ORDER BY size LIMIT 1000", (size,)
                ).fetchall()
            if not found:
                return
            yield from found
            size = found[-1][0]

    def seen_at(self) -> float:
        with self._reading() as db:
            return float(_one(db, "SELECT seen_at FROM coordination")[0])

    def mark_seen(self, at: float) -> None:
        with self._writing() as db:
            db.execute("UPDATE coordination SET seen_at = max(seen_at, ?)", (at,))

    def search(self, query: Query, after: int, limit: int) -> list[FoundRow]:
        tests, values = ["idx > ?", _SHOWN], [after]
        for test, value in (
            ("t >= ?", query.since_us),
            ("t < ?", query.until_us),
            ("tenant = ?", query.tenant),
            ("subject = ?", query.subject),
            ("class = ?", query.class_),
            ("action = ?", query.action),
            ("type = ?", query.type),
            ("incident = ?", query.incident),
        ):
            if value is not None:
                tests.append(test)
                values.append(value)  # type: ignore[arg-type]
        if query.type is not None and query.type not in _FREQUENT:
            # Said in words, so that SQLite sees that the index of the rare types holds all that is asked for.
            tests.append(f"type NOT IN {_FREQUENT}")
        sql = f"SELECT {_COLUMNS} FROM rows WHERE {' AND '.join(tests)} ORDER BY idx LIMIT ?"
        with self._reading() as db:
            return [_found(row) for row in db.execute(sql, (*values, limit)).fetchall()]

    def row(self, record_id: str) -> FoundRow | None:
        with self._reading() as db:
            found = db.execute(
                f"SELECT {_COLUMNS} FROM rows WHERE id = ? AND {_SHOWN} ORDER BY idx LIMIT 1", (_uuid_bytes(record_id),)
            ).fetchone()
        return None if found is None else _found(found)

    def related(self, exchange: str) -> list[FoundRow]:
        key = _uuid_bytes(exchange)
        sql = f"SELECT {_COLUMNS} FROM rows WHERE (id = ? OR exchange = ?) AND {_SHOWN} ORDER BY idx"
        with self._reading() as db:
            return [_found(row) for row in db.execute(sql, (key, key)).fetchall()]

    def unclosed(self, start: int, end: int) -> list[FoundRow]:
        sql = (
            f"SELECT {_COLUMNS} FROM rows WHERE idx >= ? AND idx < ? AND {_SHOWN} AND type = 'open' AND NOT EXISTS"
            " (SELECT 1 FROM rows AS later WHERE later.exchange = rows.id AND later.type = 'close') ORDER BY idx"
        )
        with self._reading() as db:
            return [_found(row) for row in db.execute(sql, (start, end)).fetchall()]

    def subject_key(self, tenant: str, subject: str) -> tuple[str, bytes] | None:
        with self._reading() as db:
            found = db.execute(
                "SELECT key, wrapped FROM subject_keys WHERE subject = ? AND tenant = ? ORDER BY rowid DESC LIMIT 1",
                (subject, tenant),
            ).fetchone()
        return None if found is None else (found[0], bytes(found[1]))

    def key_exists(self, key_id: str) -> bool:
        with self._reading() as db:
            return db.execute("SELECT 1 FROM subject_keys WHERE key = ?", (key_id,)).fetchone() is not None

    def wrapped_keys(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        sql = "SELECT key, wrapped FROM subject_keys WHERE key > ? ORDER BY key LIMIT ?"
        with self._reading() as db:
            return [(key, bytes(wrapped)) for key, wrapped in db.execute(sql, (after, limit)).fetchall()]

    def replace_wrapped(self, keys: Sequence[tuple[str, bytes]]) -> None:
        with self._writing() as db:
            db.execute("PRAGMA secure_delete=ON")
            db.executemany("UPDATE subject_keys SET wrapped = ? WHERE key = ?", [(new, key) for key, new in keys])
        self._fold_wanted = True
        self.tidy()

    def key_epoch(self) -> int:
        with self._reading() as db:
            return int(_one(db, "SELECT key_epoch FROM coordination")[0])

    def body(self, record_id: str) -> tuple[SealedBody, bytes | None] | None:
        with self._reading() as db:
            found = db.execute(
                "SELECT bodies.key, bodies.wrapped, ciphertext, commitment, subject_keys.wrapped"
                " FROM bodies LEFT JOIN subject_keys USING (key) WHERE id = ?",
                (_uuid_bytes(record_id),),
            ).fetchone()
        if found is None:
            return None
        key, wrapped, ciphertext, commit, subject_key = found
        return SealedBody(record_id, key, wrapped, ciphertext, commit), subject_key

    def destroy_subject(self, tenant: str, subject: str) -> list[str]:
        with self._writing() as db:
            # Freed pages are overwritten, so that the key does not live on in the free space of the file.
            db.execute("PRAGMA secure_delete=ON")
            found = db.execute(
                "SELECT key FROM subject_keys WHERE subject = ? AND tenant = ? ORDER BY rowid", (subject, tenant)
            ).fetchall()
            db.executemany("INSERT INTO erased_keys VALUES (?, 0)", found)
            db.executemany("DELETE FROM bodies WHERE key = ?", found)
            db.execute("DELETE FROM subject_keys WHERE subject = ? AND tenant = ?", (subject, tenant))
            # A record without a tenant is filed under the empty tenant when its key is made.
            db.execute("UPDATE rows SET subject = NULL WHERE subject = ? AND ifnull(tenant, '') = ?", (subject, tenant))
            db.execute("UPDATE coordination SET key_epoch = key_epoch + 1")
        # The WAL still holds the old pages; where a reader keeps it busy, tidy() tries again.
        self._fold_wanted = True
        self.tidy()
        return [key for (key,) in found]

    def subject_bodies(self, tenant: str, subject: str) -> list[FoundRow]:
        sql = (
            f"SELECT {_OF_ROWS} FROM subject_keys JOIN bodies USING (key) JOIN rows ON rows.id = bodies.id"
            " WHERE subject_keys.subject = ? AND subject_keys.tenant = ? ORDER BY idx"
        )
        with self._reading() as db:
            return [_found(row) for row in db.execute(sql, (subject, tenant)).fetchall()]

    def bodies_before(self, type: str, t_us: int, after: int, limit: int) -> list[FoundRow]:
        sql = (
            f"SELECT {_OF_ROWS} FROM rows WHERE idx > ? AND {_SHOWN} AND type = ? AND t < ?"
            " AND EXISTS (SELECT 1 FROM bodies WHERE bodies.id = rows.id) ORDER BY idx LIMIT ?"
        )
        with self._reading() as db:
            return [_found(row) for row in db.execute(sql, (after, type, t_us, limit)).fetchall()]

    def drop_bodies(self, record_ids: Sequence[str]) -> int:
        with self._writing() as db:
            db.execute("PRAGMA secure_delete=ON")
            dropped = db.executemany("DELETE FROM bodies WHERE id = ?", [(_uuid_bytes(id_),) for id_ in record_ids])
            count = dropped.rowcount
        self._fold_wanted = True
        self.tidy()
        return count

    def unrecorded_erasures(self) -> list[str]:
        with self._reading() as db:
            return [key for (key,) in db.execute("SELECT key FROM erased_keys WHERE recorded = 0 ORDER BY rowid")]

    def mark_erasures_recorded(self, key_ids: Sequence[str]) -> None:
        with self._writing() as db:
            db.executemany("UPDATE erased_keys SET recorded = 1 WHERE key = ?", [(key,) for key in key_ids])

    def tidy(self) -> None:
        """Copy the WAL into the database once it has grown, so that it stays small."""
        try:
            grown = self._path.with_name(self._path.name + "-wal").stat().st_size >= _TIDY_WAL_BYTES
        except FileNotFoundError:
            return
        if grown or self._fold_wanted:
            with self._turn() as db:
                folded = _fold(db)
                self._fold_wanted = self._fold_wanted and not folded

    def close(self) -> None:
        with self._write_mutex, self._read_mutex:
            while self._idle_readers:
                self._idle_readers.pop().close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
                self._lock_fd = -1

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        """The one connection that writes, while this process has its turn."""
        with self._write_mutex:
            if self._lock_fd < 0:
                raise LogUnavailable("the log is closed")
            try:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
                try:
                    if self._writer is None:
                        self._writer = self._connect()
                    if self._must_fold and not _fold(self._writer):
                        raise sqlite3.OperationalError("the WAL is in use by a reader")
                    self._must_fold = False
                    yield self._writer
                except (sqlite3.Error, OSError):
                    self._must_fold = True
                    if self._writer is not None:
                        self._writer.close()
                        self._writer = None
                    raise
                finally:
                    fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
            except (sqlite3.Error, OSError) as error:
                raise LogUnavailable(f"the log cannot be written: {_reason(error)}; see to the disk") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed and durable at the end, or rolled back by whatever was raised."""
        with self._turn() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else reads with, so that a long search holds up neither appends nor publishing."""
        with self._read_mutex:
            if self._lock_fd < 0:
                raise LogUnavailable("the log is closed")
            db = self._idle_readers.pop() if self._idle_readers else None
        try:
            if db is None:
                db = self._connect()
                db.execute("PRAGMA query_only=ON")
            yield db
        except sqlite3.Error as error:
            if db is not None:
                db.close()
                db = None
            raise LogUnavailable(f"the log cannot be read: {_reason(error)}; see to the disk") from error
        finally:
            with self._read_mutex:
                if db is not None and self._lock_fd >= 0:
                    self._idle_readers.append(db)
                    db = None
            if db is not None:
                db.close()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self._path.absolute().as_uri() + "?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_TIMEOUT_S,
            cached_statements=256,
            factory=self._factory,
        )
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA wal_autocheckpoint=0")
        return db


def _one(db: sqlite3.Connection, sql: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = db.execute(sql).fetchone()
    if found is None:
        raise LogRefused("a row that every log has is missing: the database was changed from outside; keep a copy")
    return found


def _fold(db: sqlite3.Connection) -> bool:
    """Copy the WAL into the database and empty it. False: a reader of old pages kept it from finishing."""
    db.execute("PRAGMA busy_timeout=0")  # never wait for a reader while the others wait for their turn
    try:
        busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        db.execute(f"PRAGMA busy_timeout={int(_BUSY_TIMEOUT_S * 1000)}")
    return not busy


def _insert(db: sqlite3.Connection, table: str, columns: int, values: list[object]) -> None:
    """Insert the rows whose values stand one after the other in ``values``."""
    start = 0
    for size in _CHUNKS:
        while len(values) - start >= size * columns:
            db.execute(_insert_sql(table, columns, size), values[start : start + size * columns])
            start += size * columns


@cache
def _insert_sql(table: str, columns: int, rows: int) -> str:
    one = f"({','.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {','.join([one] * rows)}"


def _row_values(rows: Sequence[IndexRow], first: int) -> list[object]:
    values: list[object] = []
    for index, row in enumerate(rows, first):
        exchange = row.exchange
        values += (
            index,
            bytes.fromhex(row.id.replace("-", "")),
            None if exchange is None else bytes.fromhex(exchange.replace("-", "")),
            row.type,
            row.t_us,
            row.tenant,
            row.subject,
            row.class_,
            row.action,
            row.incident,
        )
    return values


def _found(row: tuple[object, ...]) -> FoundRow:
    index, id_, exchange, type_, t_us, tenant, subject, class_, action, incident = row
    return FoundRow(
        int(index),  # type: ignore[call-overload]
        IndexRow(
            _uuid_text(id_),  # type: ignore[arg-type]
            None if exchange is None else _uuid_text(exchange),  # type: ignore[arg-type]
            str(type_),
            int(t_us),  # type: ignore[call-overload]
            tenant,  # type: ignore[arg-type]
            subject,  # type: ignore[arg-type]
            class_,  # type: ignore[arg-type]
            action,  # type: ignore[arg-type]
            bool(incident),
        ),
    )


def _uuid_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return b""


def _uuid_text(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _reason(error: Exception) -> str:
    # SQLite's own words only: they name no value of a row.
    return getattr(error, "sqlite_errorname", None) or type(error).__name__
