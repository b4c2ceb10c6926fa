# SPDX-License-Identifier: Apache-2.0
"""A log that several machines share: leaves and tiles in PostgreSQL, the keys in each machine's home.

    create_shared_log(home, dsn, schema, origin)                 # once, by an explicit command
    log = open_shared_log(home, dsn, schema, writer="gw-1")      # one in each process, on any machine

What must hold is what holds for a log on one machine; the drivers differ, the tests are the same.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from audit_log.checkpoint import Checkpoint, sign_checkpoint
from audit_log.errors import LogRefused, LogUnavailable, VerificationError
from audit_log.interfaces import LogStore, Meta
from audit_log.keys import load_log_key
from audit_log.log import AuditLog, create_keys
from audit_log.merkle import EMPTY_ROOT
from audit_log.note import Signer, Verifier, check_key_name
from audit_log.place import DEFAULT_SCHEMA
from audit_log.postgres import PostgresStore, PostgresTiles, check_schema_name, create_postgres
from audit_log.record import new_record_id
from audit_log.spool import SpoolingStore
from audit_log.verify import Progress, VerifyReport, verify_rows

_PAGE = 4096


def create_shared_log(
    home: Path,
    dsn: str,
    schema: str = DEFAULT_SCHEMA,
    *,
    origin: str,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
    with_own_keys: bool = False,
) -> str:
    """Create an empty log in a database and its keys in ``home``; gives its verifier key (vkey).

    The keys are then brought to the homes of the other machines. ``with_own_keys``: the home has its keys already.
    Raises LogRefused or LogUnavailable.
    """
    home = Path(home)
    try:
        check_key_name(origin)
    except VerificationError as error:
        raise LogRefused(f"the origin cannot name a log: {error}") from None
    check_schema_name(schema)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = Signer(origin, load_log_key(home / "log.key")) if with_own_keys else create_keys(home, origin, random)
    head = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), [signer])
    try:
        create_postgres(dsn, schema, Meta(origin, signer.verifier.vkey, clock()), head)
    except BaseException:
        if not with_own_keys:
            for name in ("log.key", "log.vkey", "body.key"):
                (home / name).unlink(missing_ok=True)
            with suppress(OSError):
                home.rmdir()
        raise
    return signer.verifier.vkey


def open_shared_log(
    home: Path,
    dsn: str,
    schema: str = DEFAULT_SCHEMA,
    *,
    writer: str,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
    boot: Mapping[str, object] | None = None,
    max_pending: int = 10_000,
    publish: bool = True,
    spool_max_bytes: int = 0,
    spool_max_age_s: float = 300.0,
    timeout_s: float = 30.0,
    master_key: bytes | None = None,
) -> AuditLog:
    """``AuditLog.open`` for a shared log.

    With ``spool_max_bytes`` above 0, records are kept in ``home`` for up to ``spool_max_age_s`` while the database is
    away; their index is then ``spool.SPOOLED``.
    """
    home = Path(home)
    postgres = PostgresStore(dsn, schema, timeout_s=timeout_s)
    store: LogStore = postgres
    try:
        if spool_max_bytes:
            folder = home / "spool" / new_record_id(random=random)
            store = SpoolingStore(postgres, folder, max_bytes=spool_max_bytes, max_age_s=spool_max_age_s, clock=clock)
        return AuditLog.open(
            home,
            writer=writer,
            clock=clock,
            random=random,
            boot=boot,
            max_pending=max_pending,
            publish=publish,
            store=store,
            folder=PostgresTiles(postgres),
            leadership=postgres,
            claims=postgres,
            master_key=master_key,
        )
    except BaseException:
        store.close()
        raise


def verify_shared_log(
    dsn: str,
    schema: str = DEFAULT_SCHEMA,
    *,
    vkey: str | Sequence[str],
    progress: Progress | None = None,
    resume: Path | None = None,
) -> VerifyReport:
    """``verify_home`` for a shared log. ``vkey``: the log's key as you know it, or all keys that it had.

    Never raises for what it finds wrong in the log; raises LogUnavailable where the database cannot be read.
    """
    check_schema_name(schema)
    report = VerifyReport(origin="")
    try:
        verifiers = [Verifier.from_vkey(key) for key in ([vkey] if isinstance(vkey, str) else vkey)]
    except VerificationError as error:
        report.problem(f"verifier key: {error}")
        return report
    report.origin = verifiers[-1].name
    try:
        rows = _PostgresRows(dsn, schema)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"the database cannot be read: {type(error).__name__}") from error
    try:
        verify_rows(rows, rows.fetch_tile, verifiers, rows.fetch_tile("checkpoint"), report, progress, resume)
    except VerificationError as error:
        report.problem(str(error))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"the database cannot be read: {type(error).__name__}") from error
    finally:
        rows.close()
    return report


class _PostgresRows:
    """``LogRows`` of one snapshot; tiles and checkpoint come from the same one."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            settings = {"search_path": schema, "default_transaction_isolation": "repeatable read"}
            self._db = self._loop.run_until_complete(asyncpg.connect(dsn, server_settings=settings))
            self._fetch("BEGIN READ ONLY")
        except BaseException:
            self._loop.close()
            raise

    def close(self) -> None:
        self._loop.run_until_complete(self._db.close())
        self._loop.close()

    def _fetch(self, sql: str, *values: object) -> list[Any]:
        return list(self._loop.run_until_complete(self._db.fetch(sql, *values)))

    def fetch_tile(self, path: str) -> bytes | None:
        found = self._fetch("SELECT data FROM tiles WHERE path = $1", path)
        return bytes(found[0][0]) if found else None

    def coordination(self) -> tuple[int, int] | None:
        found = self._fetch("SELECT next, minimum FROM coordination")
        return (int(found[0][0]), int(found[0][1])) if found else None

    def checkpoints(self) -> Iterable[tuple[int, bytes]]:
        return [(row[0], bytes(row[1])) for row in self._fetch("SELECT size, body FROM checkpoints ORDER BY size")]

    def heads(self) -> list[bytes]:
        return [bytes(row[0]) for row in self._fetch("SELECT body FROM head")]

    def prunes(self) -> Iterable[bytes]:
        sql = "SELECT leaf FROM rows JOIN leaves USING (idx) WHERE type = 'prune' ORDER BY idx DESC"
        return [bytes(row[0]) for row in self._fetch(sql)]

    def leaves(self, start: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        sql = (
            "SELECT leaves.idx, leaf, id FROM leaves LEFT JOIN rows USING (idx) WHERE leaves.idx >= $1"
            f" ORDER BY leaves.idx LIMIT {_PAGE}"
        )
        while found := self._fetch(sql, start):
            for index, leaf, id_ in found:
                yield int(index), bytes(leaf), None if id_ is None else id_.bytes
            start = found[-1][0] + 1

    def bodies(self) -> Iterator[tuple[bytes, str, bytes, str, int | None, bytes | None]]:
        sql = (
            "SELECT bodies.id, bodies.key, ciphertext, commitment, rows.idx, leaf FROM bodies"
            " LEFT JOIN rows ON rows.id = bodies.id LEFT JOIN leaves ON leaves.idx = rows.idx"
        )
        where: str = ""
        after: list[object] = []
        while found := self._fetch(f"{sql} {where} ORDER BY bodies.id LIMIT 500", *after):
            for id_, key, ciphertext, commitment, index, leaf in found:
                yield id_.bytes, key, bytes(ciphertext), commitment, index, None if leaf is None else bytes(leaf)
            where, after = "WHERE bodies.id > $1", [found[-1][0]]
