# SPDX-License-Identifier: Apache-2.0
"""The log in PostgreSQL: the driver for several replicas on several machines.

Sequencing: one coordination row holds the next index. A batch is one transaction: lock the row, COPY the batch, move
the index. Rollbacks and killed clients leave no gap, because the index moves with the records or not at all. Tiles and
the published checkpoint lie in tables too, and the one publisher is whoever holds an advisory lock.

What must hold:
- ``synchronous_commit`` is on for every connection: what was acknowledged is on the server's disk.
- After a failed commit the coordination row is locked again before anybody looks whether the batch is there: the lost
  backend has then ended, so the answer is final.
- The schema is created by ``create_postgres`` alone: a wrong address cannot start a second history.

The calls block; the connections live on an event loop in a thread of their own.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]

from audit_log.errors import LogNotInitialised, LogRefused, LogUnavailable
from audit_log.interfaces import Batch, FoundRow, KeysChangedError, Meta, Query
from audit_log.record import IndexRow
from audit_log.sealing import SealedBody
from audit_log.tiles import TileId

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE meta (version integer NOT NULL, origin text NOT NULL, vkey text NOT NULL, created_at float8 NOT NULL);
CREATE TABLE coordination (
    one integer PRIMARY KEY CHECK (one = 1), next bigint NOT NULL, key_epoch bigint NOT NULL, seen_at float8 NOT NULL,
    minimum bigint NOT NULL
);
CREATE TABLE leaves (idx bigint PRIMARY KEY, leaf bytea NOT NULL);
CREATE TABLE rows (
    idx bigint PRIMARY KEY, id uuid NOT NULL, exchange uuid, type text NOT NULL, t bigint NOT NULL,
    tenant text, subject text, class text, action text, incident boolean NOT NULL
);
CREATE INDEX rows_id ON rows (id);
CREATE INDEX rows_t ON rows (t);
CREATE INDEX rows_exchange ON rows (exchange) WHERE exchange IS NOT NULL;
CREATE INDEX rows_subject ON rows (subject) WHERE subject IS NOT NULL;
CREATE INDEX rows_incident ON rows (idx) WHERE incident;
CREATE INDEX rows_rare ON rows (type, idx) WHERE type NOT IN ('exchange', 'open', 'close');
CREATE TABLE subject_keys (
    n bigint GENERATED ALWAYS AS IDENTITY, key text PRIMARY KEY, tenant text NOT NULL, subject text NOT NULL,
    wrapped bytea NOT NULL
);
CREATE INDEX subject_keys_subject ON subject_keys (subject, tenant);
CREATE TABLE bodies (
    id uuid PRIMARY KEY, key text NOT NULL, wrapped bytea NOT NULL, ciphertext bytea NOT NULL, commitment text NOT NULL
);
CREATE INDEX bodies_key ON bodies (key);
CREATE TABLE erased_keys (n bigint GENERATED ALWAYS AS IDENTITY, key text PRIMARY KEY, recorded boolean NOT NULL);
CREATE TABLE head (origin text PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE checkpoints (size bigint PRIMARY KEY, body bytea NOT NULL, signed_at float8 NOT NULL);
CREATE TABLE tiles (path text PRIMARY KEY, data bytea NOT NULL);
"""
_COLUMNS = ("idx", "id", "exchange", "type", "t", "tenant", "subject", "class", "action", "incident")
_SELECT = ", ".join(_COLUMNS)
_OF_ROWS = ", ".join(f"rows.{name}" for name in _COLUMNS)
_SHOWN = "idx >= (SELECT minimum FROM coordination)"
_FREQUENT = "('exchange', 'open', 'close')"
_LEAVES_AT_ONCE = 1024
_READERS = 4
_TIMEOUT_S = 30.0
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

_LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)

T = TypeVar("T")
Connection = Any
"""An asyncpg connection; the package comes without types."""


def create_postgres(dsn: str, schema: str, meta: Meta, head: bytes) -> None:
    """Create the tables of a new, empty log with its first checkpoint, all or nothing, durable on return.

    Raises LogRefused where the schema exists already, LogUnavailable where the server cannot be reached.
    """
    check_schema_name(schema)

    async def create() -> None:
        db = await asyncpg.connect(dsn, server_settings={"synchronous_commit": "on"}, timeout=_TIMEOUT_S)
        try:
            async with db.transaction():
                await db.execute(f'CREATE SCHEMA "{schema}"')
                await db.execute(f'SET LOCAL search_path TO "{schema}"')
                await db.execute(_SCHEMA)
                await db.execute(
                    "INSERT INTO meta VALUES ($1, $2, $3, $4)", SCHEMA_VERSION, meta.origin, meta.vkey, meta.created_at
                )
                await db.execute("INSERT INTO coordination VALUES (1, 0, 0, $1, 0)", meta.created_at)
                await db.execute("INSERT INTO head VALUES ($1, $2)", meta.origin, head)
                await db.execute("INSERT INTO checkpoints VALUES (0, $1, $2)", head, meta.created_at)
                await db.execute("INSERT INTO tiles VALUES ('checkpoint', $1)", head)
        finally:
            await db.close()

    try:
        asyncio.run(create())
    except asyncpg.DuplicateSchemaError:
        raise LogRefused(f"the schema {schema} exists already; a log is never created over another one") from None
    except _FAULTS as error:
        raise LogUnavailable(f"the log cannot be created: {_reason(error)}") from error


def check_schema_name(schema: str) -> None:
    """Raise LogRefused unless ``schema`` is 1 to 60 small letters, digits and underscores."""
    plain = schema.replace("_", "")
    if not (0 < len(schema) <= 60 and plain.isascii() and plain.isalnum() and schema == schema.lower()):
        raise LogRefused("the name of the schema is 1 to 60 small letters, digits and underscores")


class PostgresStore:
    """LogStore in one schema of a database. Thread-safe; open one in each process, after forking."""

    def __init__(self, dsn: str, schema: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Open a log that ``create_postgres`` made. Raises LogNotInitialised, LogRefused or LogUnavailable."""
        check_schema_name(schema)
        self._dsn = dsn
        self._schema = schema
        self._timeout_s = timeout_s
        self._closed = False
        self._writer: Connection = None
        self._leader: Connection = None
        self._claimer: Connection = None
        self._claimed = ""
        self._idle: list[Connection] = []
        self._loop = asyncio.new_event_loop()
        self._write_turn = asyncio.Lock()
        self._read_turns = asyncio.Semaphore(_READERS)
        self._thread = threading.Thread(target=self._loop.run_forever, name="audit-postgres", daemon=True)
        self._thread.start()
        try:
            self._meta = self._read(_read_meta)
        except BaseException:
            self.close()
            raise

    def meta(self) -> Meta:
        return self._meta

    def replace_vkey(self, old: str, new: str) -> bool:
        done = self._execute("UPDATE meta SET vkey = $1 WHERE vkey = $2", new, old) == "UPDATE 1"
        if done:
            self._meta = Meta(self._meta.origin, new, self._meta.created_at)
        return done

    def append(self, batch: Batch) -> int:
        async def store(db: Connection) -> int:
            first, epoch = await _locked(db, "next, key_epoch")
            if batch.key_epoch is not None and batch.key_epoch != epoch:
                raise KeysChangedError
            await db.copy_records_to_table("leaves", records=list(enumerate(batch.leaves, first)))
            rows = [
                (index, UUID(row.id), None if row.exchange is None else UUID(row.exchange), *row[2:])
                for index, row in enumerate(batch.rows, first)
            ]
            await db.copy_records_to_table("rows", records=rows)
            if batch.new_keys:
                keys = [(key.id, key.tenant, key.subject, key.wrapped) for key in batch.new_keys]
                columns = ["key", "tenant", "subject", "wrapped"]
                await db.copy_records_to_table("subject_keys", records=keys, columns=columns)
            if batch.bodies:
                bodies = [(UUID(b.record_id), b.key_id, b.wrapped_key, b.ciphertext, b.commit) for b in batch.bodies]
                await db.copy_records_to_table("bodies", records=bodies)
            await db.execute("UPDATE coordination SET next = $1", first + len(batch.leaves))
            return int(first)

        return self._write(store)

    def find_batch(self, batch: Batch) -> int | None:
        async def find(db: Connection) -> int | None:
            await _locked(db, "next")
            found = await db.fetchval(
                "SELECT idx FROM rows JOIN leaves USING (idx) WHERE id = $1 AND leaf = $2",
                UUID(batch.rows[0].id),
                batch.leaves[0],
            )
            return None if found is None else int(found)

        return self._write(find)

    def next_index(self) -> int:
        return int(self._one("next"))

    def minimum(self) -> int:
        return int(self._one("minimum"))

    def raise_minimum(self, minimum: int) -> None:
        self._execute("UPDATE coordination SET minimum = greatest(minimum, least(next, $1))", minimum)

    def sweep(self, limit: int) -> int:
        async def delete(db: Connection) -> int:
            top = await db.fetchval(
                "SELECT max(idx) FROM (SELECT idx FROM leaves WHERE idx < (SELECT minimum FROM coordination)"
                " ORDER BY idx LIMIT $1) AS hidden",
                limit,
            )
            if top is None:
                await _locked(db, "next")
                unused = await db.execute(
                    "DELETE FROM subject_keys WHERE NOT EXISTS (SELECT 1 FROM bodies WHERE bodies.key ="
                    " subject_keys.key)"
                )
                if unused != "DELETE 0":
                    await db.execute("UPDATE coordination SET key_epoch = key_epoch + 1")
                return 0
            await db.execute("DELETE FROM bodies USING rows WHERE bodies.id = rows.id AND idx <= $1", top)
            await db.execute("DELETE FROM rows WHERE idx <= $1", top)
            return _count(await db.execute("DELETE FROM leaves WHERE idx <= $1", top))

        return self._write(delete)

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        start = max(start, self.minimum()) if start < end else start
        while start < end:
            stop = min(end, start + _LEAVES_AT_ONCE)
            found = self._fetch("SELECT idx, leaf FROM leaves WHERE idx >= $1 AND idx < $2 ORDER BY idx", start, stop)
            for index, leaf in found:
                if index != start:
                    return
                yield leaf
                start += 1
            if start != stop:
                return

    def head(self) -> bytes:
        found = self._fetch("SELECT body FROM head WHERE origin = $1", self._meta.origin)
        if not found:
            raise LogRefused("the log's lock row is missing: the database was changed from outside; keep a copy")
        return bytes(found[0][0])

    def swap_head(self, old: bytes, new: bytes, size: int, at: float) -> bool:
        async def swap(db: Connection) -> bool:
            done = await db.execute(
                "UPDATE head SET body = $1 WHERE origin = $2 AND body = $3", new, self._meta.origin, old
            )
            if done != "UPDATE 1":
                return False
            await db.execute("INSERT INTO checkpoints VALUES ($1, $2, $3)", size, new, at)
            await db.execute("UPDATE coordination SET seen_at = greatest(seen_at, $1)", at)
            return True

        return self._write(swap)

    def checkpoints(self) -> Iterator[tuple[int, bytes]]:
        size = -1
        while found := self._fetch("SELECT size, body FROM checkpoints WHERE size > $1 ORDER BY size LIMIT 1000", size):
            yield from ((int(one), bytes(body)) for one, body in found)
            size = found[-1][0]

    def seen_at(self) -> float:
        return float(self._one("seen_at"))

    def mark_seen(self, at: float) -> None:
        self._execute("UPDATE coordination SET seen_at = greatest(seen_at, $1)", at)

    def search(self, query: Query, after: int, limit: int) -> list[FoundRow]:
        tests, values = ["idx > $1", _SHOWN], [after]
        for test, value in (
            ("t >=", query.since_us),
            ("t <", query.until_us),
            ("tenant =", query.tenant),
            ("subject =", query.subject),
            ("class =", query.class_),
            ("action =", query.action),
            ("type =", query.type),
            ("incident =", query.incident),
        ):
            if value is not None:
                values.append(value)  # type: ignore[arg-type]
                tests.append(f"{test} ${len(values)}")
        if query.type is not None and query.type not in ("exchange", "open", "close"):
            tests.append(f"type NOT IN {_FREQUENT}")
        sql = f"SELECT {_SELECT} FROM rows WHERE {' AND '.join(tests)} ORDER BY idx LIMIT {int(limit)}"
        return [_found(row) for row in self._fetch(sql, *values)]

    def row(self, record_id: str) -> FoundRow | None:
        id_ = _uuid(record_id)
        sql = f"SELECT {_SELECT} FROM rows WHERE id = $1 AND {_SHOWN} ORDER BY idx LIMIT 1"
        found = [] if id_ is None else self._fetch(sql, id_)
        return _found(found[0]) if found else None

    def related(self, exchange: str) -> list[FoundRow]:
        id_ = _uuid(exchange)
        sql = f"SELECT {_SELECT} FROM rows WHERE (id = $1 OR exchange = $1) AND {_SHOWN} ORDER BY idx"
        return [] if id_ is None else [_found(row) for row in self._fetch(sql, id_)]

    def unclosed(self, start: int, end: int) -> list[FoundRow]:
        sql = (
            f"SELECT {_SELECT} FROM rows WHERE idx >= $1 AND idx < $2 AND {_SHOWN} AND type = 'open' AND NOT EXISTS"
            " (SELECT 1 FROM rows AS later WHERE later.exchange = rows.id AND later.type = 'close') ORDER BY idx"
        )
        return [_found(row) for row in self._fetch(sql, start, end)]

    def subject_key(self, tenant: str, subject: str) -> tuple[str, bytes] | None:
        sql = "SELECT key, wrapped FROM subject_keys WHERE subject = $1 AND tenant = $2 ORDER BY n DESC LIMIT 1"
        found = self._fetch(sql, subject, tenant)
        return (found[0][0], bytes(found[0][1])) if found else None

    def key_exists(self, key_id: str) -> bool:
        return bool(self._fetch("SELECT 1 FROM subject_keys WHERE key = $1", key_id))

    def wrapped_keys(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        sql = f"SELECT key, wrapped FROM subject_keys WHERE key > $1 ORDER BY key LIMIT {int(limit)}"
        return [(row[0], bytes(row[1])) for row in self._fetch(sql, after)]

    def replace_wrapped(self, keys: Sequence[tuple[str, bytes]]) -> None:
        async def replace(db: Connection) -> None:
            await db.executemany("UPDATE subject_keys SET wrapped = $2 WHERE key = $1", list(keys))

        self._write(replace)

    def key_epoch(self) -> int:
        return int(self._one("key_epoch"))

    def body(self, record_id: str) -> tuple[SealedBody, bytes | None] | None:
        id_ = _uuid(record_id)
        sql = (
            "SELECT bodies.key, bodies.wrapped, ciphertext, commitment, subject_keys.wrapped"
            " FROM bodies LEFT JOIN subject_keys USING (key) WHERE id = $1"
        )
        found = [] if id_ is None else self._fetch(sql, id_)
        if not found:
            return None
        key, wrapped, ciphertext, commit, subject_key = found[0]
        return SealedBody(record_id, key, wrapped, ciphertext, commit), subject_key

    def destroy_subject(self, tenant: str, subject: str) -> list[str]:
        async def destroy(db: Connection) -> list[str]:
            await _locked(db, "next")
            which = "WHERE subject = $1 AND tenant = $2"
            keys = [
                row[0] for row in await db.fetch(f"SELECT key FROM subject_keys {which} ORDER BY n", subject, tenant)
            ]
            await db.executemany("INSERT INTO erased_keys (key, recorded) VALUES ($1, false)", [(key,) for key in keys])
            await db.execute("DELETE FROM bodies WHERE key = ANY($1)", keys)
            await db.execute(f"DELETE FROM subject_keys {which}", subject, tenant)
            await db.execute(
                "UPDATE rows SET subject = NULL WHERE subject = $1 AND coalesce(tenant, '') = $2", subject, tenant
            )
            await db.execute("UPDATE coordination SET key_epoch = key_epoch + 1")
            return keys

        keys = self._write(destroy)
        self.tidy()
        return keys

    def subject_bodies(self, tenant: str, subject: str) -> list[FoundRow]:
        sql = (
            f"SELECT {_OF_ROWS} FROM subject_keys JOIN bodies USING (key) JOIN rows ON rows.id = bodies.id"
            " WHERE subject_keys.subject = $1 AND subject_keys.tenant = $2 ORDER BY idx"
        )
        return [_found(row) for row in self._fetch(sql, subject, tenant)]

    def bodies_before(self, type: str, t_us: int, after: int, limit: int) -> list[FoundRow]:
        sql = (
            f"SELECT {_OF_ROWS} FROM rows WHERE idx > $1 AND {_SHOWN} AND type = $2 AND t < $3"
            f" AND EXISTS (SELECT 1 FROM bodies WHERE bodies.id = rows.id) ORDER BY idx LIMIT {int(limit)}"
        )
        return [_found(row) for row in self._fetch(sql, after, type, t_us)]

    def drop_bodies(self, record_ids: Sequence[str]) -> int:
        ids = [id_ for one in record_ids if (id_ := _uuid(one)) is not None]
        return _count(self._execute("DELETE FROM bodies WHERE id = ANY($1)", ids))

    def unrecorded_erasures(self) -> list[str]:
        return [row[0] for row in self._fetch("SELECT key FROM erased_keys WHERE NOT recorded ORDER BY n")]

    def mark_erasures_recorded(self, key_ids: Sequence[str]) -> None:
        self._execute("UPDATE erased_keys SET recorded = true WHERE key = ANY($1)", list(key_ids))

    def tidy(self) -> None:
        """Claim anew what an outage ended. The server's autovacuum does the rest: freed pages keep old bytes until it
        reuses them, and the server's own backups and disk must be kept accordingly."""
        if self._claimed and (self._claimer is None or self._claimer.is_closed()):
            self.claim(self._claimed)

    def fetch_tile(self, path: str) -> bytes | None:
        """A tile or the published checkpoint by its path; None where there is none."""
        found = self._fetch("SELECT data FROM tiles WHERE path = $1", path)
        return bytes(found[0][0]) if found else None

    def put_tile(self, path: str, data: bytes) -> bytes:
        """Store a tile that is not there yet; gives the one that is there now."""
        self._execute("INSERT INTO tiles VALUES ($1, $2) ON CONFLICT DO NOTHING", path, data)
        return self.fetch_tile(path) or b""

    def replace_tile(self, path: str, data: bytes) -> None:
        sql = "INSERT INTO tiles VALUES ($1, $2) ON CONFLICT (path) DO UPDATE SET data = excluded.data"
        self._execute(sql, path, data)

    def delete_tiles(self, paths: Sequence[str], partials_of: Sequence[str]) -> tuple[int, int]:
        """Delete tiles, and the partial forms of tiles; gives how many and how many bytes the full ones had."""

        async def delete(db: Connection) -> tuple[int, int]:
            sizes = await db.fetch("DELETE FROM tiles WHERE path = ANY($1) RETURNING length(data)", list(paths))
            await db.execute("DELETE FROM tiles WHERE left(path, strpos(path, '.p/') - 1) = ANY($1)", list(partials_of))
            return len(sizes), sum(row[0] for row in sizes)

        return self._write(delete)

    def try_lead(self) -> bool:
        """Become the one publisher of this log among all replicas, as long as this connection lives."""

        async def lead() -> bool:
            if self._leader is not None:
                try:
                    await self._leader.fetchval("SELECT 1")
                    return True
                except _FAULTS:
                    # Another replica may lead by now: say so once, so that the publisher reads the log anew.
                    await _discard(self._leader)
                    self._leader = None
                    return False
            db = await self._connect()
            if not await db.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", self._schema):
                await db.close()
                return False
            self._leader = db
            return True

        return self._wait(lead())

    def resign(self) -> None:
        """Let another replica publish."""

        async def leave() -> None:
            if self._leader is not None:
                await _discard(self._leader)
                self._leader = None

        if not self._closed:
            self._wait(leave())

    def claim(self, writer: str) -> None:
        """Hold a lock in the writer's name while this process lives; ``tidy`` takes it again after an outage."""
        self._claimed = writer

        async def take() -> None:
            if self._claimer is not None:
                await _discard(self._claimer)
                self._claimer = None
            db = await self._connect()
            try:
                await db.execute("SELECT pg_advisory_lock(hashtextextended($1, 1))", f"{self._schema} {writer}")
            except BaseException:
                await _discard(db)
                raise
            self._claimer = db

        self._wait(take())

    def is_claimed(self, writer: str) -> bool:
        # Outside of a transaction this lock ends with the statement.
        free = self._fetch("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 1))", f"{self._schema} {writer}")
        return not free[0][0]

    def close(self) -> None:
        if self._closed:
            return

        async def end() -> None:
            for db in (self._writer, self._leader, self._claimer, *self._idle):
                if db is not None:
                    await _discard(db)

        try:
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(self._timeout_s)
        except (FutureTimeoutError, *_FAULTS):
            pass  # the server ends what it no longer hears of
        finally:
            self._closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _one(self, column: str) -> Any:
        found = self._fetch(f"SELECT {column} FROM coordination")
        if not found:
            raise LogRefused("a row that every log has is missing: the database was changed from outside; keep a copy")
        return found[0][0]

    def _fetch(self, sql: str, *values: object) -> list[Any]:
        async def fetch(db: Connection) -> list[Any]:
            return list(await db.fetch(sql, *values))

        return self._read(fetch)

    def _execute(self, sql: str, *values: object) -> str:
        async def execute(db: Connection) -> str:
            return str(await db.execute(sql, *values))

        return self._write(execute)

    def _read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run ``work`` on a connection that nobody else reads with; an idle one that has died is replaced once."""

        async def run() -> T:
            async with self._read_turns:
                while True:
                    reused = bool(self._idle)
                    db = self._idle.pop() if reused else await self._connect()
                    try:
                        found = await work(db)
                    except BaseException as error:
                        await _discard(db)
                        if reused and isinstance(
                            error, (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)
                        ):
                            continue
                        raise
                    self._idle.append(db)
                    return found

        return self._wait(run())

    def _write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction that is durable when this returns, or rolled back."""

        async def run() -> T:
            async with self._write_turn:
                if self._writer is None:
                    self._writer = await self._connect()
                try:
                    async with self._writer.transaction():
                        return await work(self._writer)
                except KeysChangedError:
                    raise
                except BaseException:
                    db, self._writer = self._writer, None
                    await _discard(db)
                    raise

        return self._wait(run())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise LogUnavailable("the log is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(2 * self._timeout_s)
        except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError):
            raise LogNotInitialised(f"there is no log in schema {self._schema} of this database") from None
        except _FAULTS as error:
            future.cancel()
            raise LogUnavailable(f"the database cannot do its work now: {_reason(error)}") from error

    async def _connect(self) -> Connection:
        settings = {"search_path": self._schema, "synchronous_commit": "on", "application_name": "dutybound-audit"}
        return await asyncpg.connect(
            self._dsn, timeout=self._timeout_s, command_timeout=self._timeout_s, server_settings=settings
        )


class PostgresTiles:
    """The log's tiles in a table, with the methods of ``TileFolder``."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def fetch(self, path: str) -> bytes | None:
        return self._store.fetch_tile(path)

    def published(self) -> bytes | None:
        return self._store.fetch_tile("checkpoint")

    def publish(self, checkpoint: bytes) -> None:
        self._store.replace_tile("checkpoint", checkpoint)

    def put(self, tile: TileId, data: bytes) -> None:
        if self._store.put_tile(tile.path, data) != data:
            raise LogRefused(
                f"{tile.path} differs from what the leaves give: leaves or tiles were changed; run audit verify"
            )

    def drop_partials(self, tile: TileId) -> None:
        self._store.delete_tiles([], [tile.full.path])

    def prune(self, minimum: int) -> tuple[int, int]:
        files = size = 0
        for level in (None, 0, 1):
            paths = [TileId(level, number).path for number in range(minimum >> (8 * ((level or 0) + 1)))]
            for start in range(0, len(paths), 1000):
                done = self._store.delete_tiles(paths[start : start + 1000], paths[start : start + 1000])
                files, size = files + done[0], size + done[1]
        return files, size


async def _read_meta(db: Connection) -> Meta:
    found = await db.fetchrow("SELECT version, origin, vkey, created_at FROM meta")
    if found is None:
        raise LogRefused("a row that every log has is missing: the database was changed from outside; keep a copy")
    if found[0] != SCHEMA_VERSION:
        raise LogRefused(f"the database has schema {found[0]}; this program reads schema {SCHEMA_VERSION}")
    return Meta(*found[1:])


async def _locked(db: Connection, columns: str) -> Any:
    """Take this log's turn: the coordination row, locked until the transaction ends."""
    found = await db.fetchrow(f"SELECT {columns} FROM coordination FOR UPDATE")
    if found is None:
        raise LogRefused("a row that every log has is missing: the database was changed from outside; keep a copy")
    return found


async def _discard(db: Connection) -> None:
    try:
        await db.close(timeout=1.0)
    except _FAULTS:
        db.terminate()


def _found(row: Any) -> FoundRow:
    index, id_, exchange, *rest = row
    return FoundRow(int(index), IndexRow(str(id_), None if exchange is None else str(exchange), *rest))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _count(status: str) -> int:
    """How many rows a command's status line speaks of."""
    return int(status.rsplit(" ", 1)[-1])


def _reason(error: BaseException) -> str:
    # The server's class of error only: its message may name values.
    return f"{type(error).__name__} {getattr(error, 'sqlstate', '') or ''}".strip()
