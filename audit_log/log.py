# SPDX-License-Identifier: Apache-2.0
"""The audit log as its users see it: create, open, append, close.

    AuditLog.create(home, origin)                       # once, by an explicit command
    log = AuditLog.open(home, writer="gw-1")            # one in each process
    index = await log.append(Entry({"id": new_record_id(), "type": "exchange", ...}, subject="p_..."))
    await log.aclose()

What must hold:
- ``append`` returns when the record is durable under its final index, or raises; nothing is half-acknowledged.
- One thread a process writes. A batch is whatever arrived while the last one was being synced: no lingering, and the
  event loop is woken once a batch.
- Every leaf ends in its writer (name and boot id) and its number within it, from 0 without a gap; ``boot`` is number
  0 and ``shutdown`` the last. A number is spent only when its record is stored.
- Opening refuses what could fork or rewrite the log: see ``_check_home``.

A home holds ``audit.db``, ``audit.lock``, ``publisher.lock``, ``log.key``, ``log.vkey``, ``body.key`` and ``tiles/``.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from audit_log import sqlite
from audit_log.checkpoint import Checkpoint, sign_checkpoint
from audit_log.cosignature import CosignatureSigner
from audit_log.errors import AuditError, LogRefused, LogUnavailable, VerificationError
from audit_log.interfaces import Claims, Leadership, LogStore, Meta, Query, Tiles
from audit_log.keys import (
    create_log_key,
    create_master_key,
    load_log_key,
    load_master_key,
    load_mldsa44_key,
    write_once,
)
from audit_log.merkle import EMPTY_ROOT
from audit_log.note import NoteSigner, Signer, check_key_name
from audit_log.publish import Publisher, TileFolder, check_heads, load_edge
from audit_log.receipt import sign_receipt
from audit_log.record import format_time, new_record_id
from audit_log.search import LogReader, Page, ProvenRecord
from audit_log.writer import Entry, Writer

CHECKPOINT_EVERY_S = 1.0
CLOCK_TOLERANCE_S = 5.0
_LAST_CHECKPOINT_WAIT_S = 10.0
_PAGE = 500

Forgetting = Callable[[Sequence[str]], object]
"""Deletes what is kept elsewhere about the records with these ids."""


@dataclass(frozen=True, slots=True)
class LogStatus:
    """How the log is doing, for health checks and metrics. Times in seconds since the epoch.

    ``appended``, ``pending``, ``failed`` and ``over_soft_limit`` count this process's records. ``published_size`` is
    the size of the last checkpoint seen, at ``published_at``; a growing distance to ``next_index`` means that
    publishing fails. ``problem`` says why no record is taken any more.
    """

    writer: str
    appended: int
    pending: int
    failed: int
    over_soft_limit: int
    next_index: int
    published_size: int
    published_at: float
    is_publisher: bool
    problem: str | None


class AuditLog:
    """One process's way into the log. Open it after forking; safe to use from several threads and event loops."""

    @classmethod
    def create(
        cls,
        home: Path,
        origin: str,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
    ) -> str:
        """Create an empty log and its keys in ``home``; gives the log's verifier key (vkey).

        ``origin`` names the log for ever, for example ``audit.example.com/chat/2026h2``. Raises LogRefused where a log
        or its remains are there already.
        """
        home = Path(home)
        try:
            check_key_name(origin)
        except VerificationError as error:
            raise LogRefused(f"the origin cannot name a log: {error}") from None
        if (home / "audit.db").exists():
            raise LogRefused("there is a log in this folder already; a log is never created over another one")
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        signer = create_keys(home, origin, random)
        vkey = signer.verifier.vkey
        head = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), [signer])
        TileFolder(home / "tiles").publish(head)
        sqlite.create(home / "audit.db", home / "audit.lock", Meta(origin, vkey, clock()), head)
        return vkey

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        writer: str,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
        boot: Mapping[str, object] | None = None,
        max_pending: int = 10_000,
        publish: bool = True,
        store: LogStore | None = None,
        folder: Tiles | None = None,
        leadership: Leadership | None = None,
        claims: Claims | None = None,
        master_key: bytes | None = None,
    ) -> "AuditLog":
        """Open an existing log and append this process's ``boot`` record, with the fields ``boot`` added to it.

        ``writer`` names the process (``gw-3``); a boot id is added. ``store``, ``folder``, ``leadership`` and
        ``claims`` say where the log lies, where that is not the home (see `place`); the home has the keys, and
        ``body.key`` where no ``master_key`` is given. Blocks until the boot record is durable. Raises
        LogNotInitialised, LogRefused or LogUnavailable.
        """
        home = Path(home)
        signer_key = load_log_key(home / "log.key")
        if master_key is None:
            master_key = load_master_key(home / "body.key")
        opened = store or sqlite.SqliteStore(home / "audit.db", home / "audit.lock")
        try:
            signer = Signer(opened.meta().origin, signer_key)
            folder = folder or TileFolder(home / "tiles")
            _check_home(opened, folder, signer, clock)
            name = f"{writer}/{new_record_id(random=random)}"
            log = cls(opened, folder, signer, master_key, name, clock, random, max_pending)
            if (quantum_key := load_mldsa44_key(home)) is not None:
                log._also = (CosignatureSigner(signer.name, quantum_key, clock),)
        except BaseException:
            opened.close()
            raise
        try:
            if claims is not None:
                claims.claim(name)
                log._claims = claims
            log.append_blocking(Entry({**(boot or {}), "id": new_record_id(), "type": "boot"}))
            if unrecorded := opened.unrecorded_erasures():
                log._record_erasure(unrecorded, {})
            if publish:
                log._publish_from(leadership or home / "publisher.lock")
        except BaseException:
            log._writer.stop()
            opened.close()
            raise
        return log

    def __init__(
        self,
        store: LogStore,
        folder: Tiles,
        signer: Signer,
        master_key: bytes,
        writer: str,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        max_pending: int,
    ) -> None:
        """Use ``open``; this only puts the parts together."""
        self.writer = writer
        self.origin = signer.name
        self.vkey = signer.verifier.vkey
        self.reader = LogReader(store, folder, signer.verifier, master_key)
        self._store = store
        self._folder = folder
        self._signer = signer
        self._clock = clock
        self._closed = False
        self._problem: str | None = None
        self._also: tuple[NoteSigner, ...] = ()
        self._claims: Claims | None = None
        self.forgetting: Forgetting | None = None
        """Called with the records of a subject that is about to be erased; what it raises stops the erasure."""
        self._publisher: Publisher | None = None
        self._publisher_thread: threading.Thread | None = None
        self._publisher_stop = threading.Event()
        self._published = (0, 0.0)
        self._writer = Writer(store, writer, master_key, clock, random, max_pending)

    async def append(self, entry: Entry) -> int:
        """Append a record; gives its index once it is durable.

        Raises RecordInvalid for a record of a wrong form, LogUnavailable where it cannot be made durable now. A caller
        that stops waiting does not take the record back.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._writer.submit((entry,), future, loop)
        return await future

    async def append_many(self, entries: Sequence[Entry]) -> list[int]:
        """Append several records together, all or none, next to each other; gives their indices."""
        if not entries:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._writer.submit(tuple(entries), future, loop)
        first = await future
        return list(range(first, first + len(entries))) if first >= 0 else [first] * len(entries)

    def append_blocking(self, entry: Entry, timeout_s: float | None = None) -> int:
        """``append`` for threads that run no event loop. Raises TimeoutError, after which the record may yet appear."""
        future: Future[int] = Future()
        self._writer.submit((entry,), future)
        return future.result(timeout_s)

    def search(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        tenant: str | None = None,
        subject: str | None = None,
        class_: str | None = None,
        action: str | None = None,
        type: str | None = None,
        incident: bool | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page:
        """``LogReader.search``; blocks on the disk."""
        return self.reader.search(
            since=since,
            until=until,
            tenant=tenant,
            subject=subject,
            class_=class_,
            action=action,
            type=type,
            incident=incident,
            cursor=cursor,
            limit=limit,
        )

    def get(self, record_id: str) -> ProvenRecord | None:
        """``LogReader.get``; blocks on the disk."""
        return self.reader.get(record_id)

    def tile(self, path: str) -> bytes | None:
        """``LogReader.tile``; blocks on the disk."""
        return self.reader.tile(path)

    def body(self, record_id: str) -> bytes | None:
        """``LogReader.body``; blocks on the disk."""
        return self.reader.body(record_id)

    def erase_subject(self, tenant: str | None, subject: str, fields: Mapping[str, object]) -> list[str]:
        """Make everything kept about a subject unreadable and record that; gives the ids of the destroyed keys.

        Destroys keys, bodies and the pseudonym in the search index, then appends a record of type ``erasure`` with
        ``fields`` (legal basis and who, never the person) and ``keys``; where nothing was kept, ``keys`` is empty. A
        crash in between is made good by the next ``open``, whose record names the keys alone. Whether erasing is
        allowed now (holds, retention) is the caller's to decide. Blocks.
        """
        self._forget_elsewhere(tenant, subject)
        destroyed = self._store.destroy_subject(tenant or "", subject)
        self._record_erasure(destroyed, fields)
        return destroyed

    def _forget_elsewhere(self, tenant: str | None, subject: str) -> None:
        """Hand the ids of a subject's records on before nobody can tell whose they were."""
        after = -1
        while self.forgetting is not None:
            page = self._store.search(Query(tenant=tenant, subject=subject), after, _PAGE)
            if not page:
                return
            self.forgetting([found.row.id for found in page])
            after = page[-1].index

    def counts(self) -> tuple[int, dict[str, int]]:
        """How many records this process stored so far, and how many of each type. Asks memory alone."""
        return self._writer.counts()

    def receipt(self, index: int, record_id: str) -> str:
        """A signed receipt for a record that ``append`` gave this index to. Asks memory alone; some 50 microseconds."""
        return sign_receipt(index, record_id, self._clock(), self._signer)

    def is_alive(self, writer: str) -> bool:
        """Whether the process with this writer's name lives, on whichever machine. Blocks on the server.

        A log on one machine keeps no claims: whoever asks there is told that all live.
        """
        return self._claims is None or self._claims.is_claimed(writer)

    @property
    def store(self) -> LogStore:
        """Where the log lies, for what works on the log as a whole: holds, retention, export."""
        return self._store

    @property
    def folder(self) -> Tiles:
        """The log's tiles."""
        return self._folder

    @property
    def is_publisher(self) -> bool:
        """Whether this process signs the checkpoints now. Asks memory alone."""
        return self._publisher is not None and self._publisher.is_leader

    @property
    def problem(self) -> str | None:
        """Why no record is taken any more; None while all is well. Asks memory alone."""
        return self._problem

    def status(self) -> LogStatus:
        """How the log is doing; blocks on the disk. Raises LogUnavailable where the log cannot be read."""
        published_size, published_at = self._published
        writer = self._writer
        return LogStatus(
            writer=writer.name,
            appended=writer.appended,
            pending=writer.pending,
            failed=writer.failed,
            over_soft_limit=writer.over_soft_limit,
            next_index=self._store.next_index(),
            published_size=published_size,
            published_at=published_at,
            is_publisher=self.is_publisher,
            problem=self._problem,
        )

    def close(self) -> None:
        """Make what is pending durable, append the ``shutdown`` record, publish a last checkpoint. Blocks.

        Raises LogUnavailable where the shutdown record cannot be stored; the log is closed all the same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            done: Future[int] = Future()
            self._writer.submit((Entry({"id": new_record_id(), "type": "shutdown"}),), done, last=True)
            index = done.result()
            self._stop_publishing()
            self._publish_until(index)
        finally:
            self._stop_publishing()
            if self._publisher is not None:
                self._publisher.resign()
            self._writer.stop()
            self._store.close()

    async def aclose(self) -> None:
        """``close`` for event loops."""
        await asyncio.to_thread(self.close)

    def _record_erasure(self, keys: Sequence[str], fields: Mapping[str, object]) -> None:
        self.append_blocking(Entry({**fields, "id": new_record_id(), "type": "erasure", "keys": list(keys)}))
        self._store.mark_erasures_recorded(keys)

    def _publish_from(self, lead: Path | Leadership) -> None:
        self._publisher = Publisher(self._store, self._folder, self._signer, self._clock, lead, self._also)
        self._publisher_thread = threading.Thread(target=self._publish, name="audit-publisher", daemon=True)
        self._publisher_thread.start()

    def _publish(self) -> None:
        while not self._publisher_stop.wait(CHECKPOINT_EVERY_S):
            self._publish_once()

    def _publish_once(self) -> None:
        if self._publisher is None or self._problem is not None:
            return
        try:
            if self._publisher.try_lead():
                while self._publisher.step() is not None:
                    pass
            self._published = (self.reader.checkpoint().size, self._clock())
            self._store.tidy()
        except (LogUnavailable, OSError):
            # The disk may come back. Leaves stay durable and countable meanwhile; status() shows the growing lag.
            return
        except AuditError as error:
            self._refuse(f"no checkpoint can be signed any more: {error}")
        except Exception as error:
            # A thread that dies unseen would let answers out that no checkpoint ever covers.
            self._refuse(f"no checkpoint can be signed any more: {type(error).__name__} in the publisher")

    def _refuse(self, problem: str) -> None:
        self._problem = problem
        self._writer.refuse(problem)

    def _publish_until(self, index: int) -> None:
        """See to it that a checkpoint covers this leaf: signed here, or by the process that publishes."""
        deadline = time.monotonic() + _LAST_CHECKPOINT_WAIT_S
        while self._publisher is not None and self._problem is None and time.monotonic() < deadline:
            self._publish_once()
            if self._published[0] > index:
                return
            time.sleep(0.05)

    def wait_published(self, index: int, timeout_s: float = _LAST_CHECKPOINT_WAIT_S) -> None:
        """Wait until a published checkpoint covers this leaf, whichever process signs it. Blocks.

        Raises LogUnavailable where that does not happen in time.
        """
        deadline = time.monotonic() + timeout_s
        while self.reader.checkpoint().size <= index:
            if time.monotonic() > deadline:
                raise LogUnavailable(f"no checkpoint covers record {index} after {timeout_s:g} s; nobody publishes")
            time.sleep(0.05)

    def _stop_publishing(self) -> None:
        self._publisher_stop.set()
        if self._publisher_thread is not None:
            self._publisher_thread.join()
            self._publisher_thread = None


def create_keys(home: Path, origin: str, random: Callable[[int], bytes] = os.urandom) -> Signer:
    """Make the key files of a new log in ``home``; raises LogRefused where one exists."""
    signer = Signer(origin, create_log_key(home / "log.key", random))
    create_master_key(home / "body.key", random)
    write_once(home / "log.vkey", f"{signer.verifier.vkey}\n".encode(), 0o644)
    return signer


def open_reader(home: Path) -> tuple[LogReader, LogStore]:
    """Read a log without writing a boot record, for the command line. Close the store when done."""
    home = Path(home)
    store = sqlite.SqliteStore(home / "audit.db", home / "audit.lock")
    try:
        signer = Signer(store.meta().origin, load_log_key(home / "log.key"))
        reader = LogReader(store, TileFolder(home / "tiles"), signer.verifier, load_master_key(home / "body.key"))
    except BaseException:
        store.close()
        raise
    return reader, store


def _check_home(store: LogStore, folder: Tiles, signer: Signer, clock: Callable[[], float]) -> None:
    """Refuse to go on with a log that was restored from a backup, forked, damaged, or whose key is another one."""
    if store.meta().vkey != signer.verifier.vkey:
        raise LogRefused("log.key is not the key that this log was created with; restore the log's own key file")
    # Published first: see Publisher._resume.
    published = folder.published()
    checkpoint = check_heads(published, store.head(), signer.verifier)
    size = store.next_index()
    if size < checkpoint.size:
        raise LogRefused(f"the last checkpoint covers {checkpoint.size} leaves, the database has {size}: an old copy")
    load_edge(store, folder, checkpoint)
    if size and next(store.leaves(size - 1, size), None) is None:
        raise LogRefused(f"leaf {size - 1}, the last one, is missing from the database; run audit verify")
    now, seen_at = clock(), store.seen_at()
    if now < seen_at - CLOCK_TOLERANCE_S:
        raise LogRefused(
            f"the clock says {format_time(now)}, but the log was alive at {format_time(seen_at)}; set the clock right"
        )
