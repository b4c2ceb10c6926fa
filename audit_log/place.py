# SPDX-License-Identifier: Apache-2.0
"""Where a log lies, and how it is opened there: one folder, or one folder of keys and a PostgreSQL server.

Everything that works on a log as a whole (the gateway, the command line, exports) asks a ``Place`` for it, so that it
works on both stores. ``asyncpg`` is loaded only where a server is named. What must hold:
- The folder has the keys in both cases; the server never sees an unwrapped key.
- Opening never creates a log: ``create`` does, once, by an explicit command.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audit_log.errors import LogNotInitialised, LogRefused
from audit_log.interfaces import Leadership, LogStore, Tiles
from audit_log.keys import load_log_key, load_master_key, read_vkeys
from audit_log.log import AuditLog
from audit_log.note import Signer
from audit_log.publish import FileLock, TileFolder
from audit_log.search import LogReader
from audit_log.sqlite import SqliteStore
from audit_log.verify import Progress, VerifyReport, verify_home

DEFAULT_SCHEMA = "dutybound_audit"


@dataclass(frozen=True, slots=True)
class Place:
    """A log's home, and the address of the server that has its leaves and tiles; no ``url``: the home has them too.

    ``read_master_key`` gives the key of sealed bodies where it is not the home's ``body.key``: 32 bytes, from an
    environment variable or a key service; it raises an AuditError. ``spool_max_bytes`` above 0: how much may wait on
    this disk, for at most ``spool_max_age_s`` seconds, while the server is away.
    """

    home: Path
    url: str = ""
    schema: str = DEFAULT_SCHEMA
    read_master_key: Callable[[], bytes] | None = None
    spool_max_bytes: int = 0
    spool_max_age_s: float = 300.0

    @property
    def is_shared(self) -> bool:
        """Whether several machines may write this log."""
        return bool(self.url)

    @property
    def spool(self) -> Path:
        """Where records wait while the server is away: one folder a process."""
        return self.home / "spool"

    def create(
        self,
        origin: str,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
    ) -> str:
        """Create an empty log with its keys; gives its verifier key (vkey).

        A home whose own log is still empty hands its keys and its name on to the server's log. Raises LogRefused where
        a log is there already, LogUnavailable where the server cannot be reached.
        """
        if not self.is_shared:
            return AuditLog.create(self.home, origin, clock=clock, random=random)
        from audit_log.shared import create_shared_log

        if (self.home / "audit.db").exists():
            return self._hand_over(clock)
        return create_shared_log(self.home, self.url, self.schema, origin=origin, clock=clock, random=random)

    def _hand_over(self, clock: Callable[[], float]) -> str:
        from audit_log.shared import create_shared_log

        store = SqliteStore(self.home / "audit.db", self.home / "audit.lock")
        try:
            size, origin = store.next_index(), store.meta().origin
        finally:
            store.close()
        if size:
            raise LogRefused(
                f"this folder has a log of {size} records of its own; a log on a server begins in a new data folder"
            )
        vkey = create_shared_log(self.home, self.url, self.schema, origin=origin, clock=clock, with_own_keys=True)
        for name in ("audit.db", "audit.db-wal", "audit.db-shm", "audit.lock"):
            (self.home / name).unlink(missing_ok=True)
        (self.home / "tiles" / "checkpoint").unlink(missing_ok=True)
        return vkey

    def open_log(
        self,
        *,
        writer: str,
        clock: Callable[[], float] = time.time,
        boot: Mapping[str, object] | None = None,
        max_pending: int = 10_000,
        publish: bool = True,
    ) -> AuditLog:
        """``AuditLog.open`` at this place. Blocks until the boot record is durable."""
        if (self.home / "body.key.next").exists():
            raise LogRefused("a change of the master key was cut short; finish it with audit rotate --master")
        if not self.is_shared:
            return AuditLog.open(
                self.home,
                writer=writer,
                clock=clock,
                boot=boot,
                max_pending=max_pending,
                publish=publish,
                master_key=self.master_key(),
            )
        from audit_log.shared import open_shared_log

        return open_shared_log(
            self.home,
            self.url,
            self.schema,
            writer=writer,
            clock=clock,
            boot=boot,
            max_pending=max_pending,
            publish=publish,
            spool_max_bytes=self.spool_max_bytes,
            spool_max_age_s=self.spool_max_age_s,
            master_key=self.master_key(),
        )

    @contextmanager
    def writing(self, clock: Callable[[], float] = time.time, *, writer: str = "desk") -> Iterator[AuditLog]:
        """The log, opened as a writer of its own beside a gateway that runs; closing it publishes what was written."""
        log = self.open_log(writer=f"{writer}-{os.getpid()}", clock=clock)
        try:
            yield log
        finally:
            log.close()

    @contextmanager
    def reading(self) -> Iterator[tuple[LogStore, Tiles]]:
        """Leaves and tiles, to be read; no record is written."""
        store, tiles = self.open_store()
        try:
            yield store, tiles
        finally:
            store.close()

    @contextmanager
    def reader(self) -> Iterator[LogReader]:
        """The log, to be searched; no record is written."""
        with self.reading() as (store, tiles):
            yield LogReader(store, tiles, self.signer(store).verifier, self.master_key())

    def open_store(self) -> tuple[LogStore, Tiles]:
        """Leaves and tiles; the caller closes the store."""
        if not self.is_shared:
            store = SqliteStore(self.home / "audit.db", self.home / "audit.lock")
            return store, TileFolder(self.home / "tiles")
        from audit_log.postgres import PostgresStore, PostgresTiles

        shared = PostgresStore(self.url, self.schema)
        return shared, PostgresTiles(shared)

    def leadership(self, store: LogStore) -> Leadership:
        """The right to publish, of which there is one; ``store`` is one that this place opened."""
        if not self.is_shared:
            return FileLock(self.home / "publisher.lock")
        from audit_log.postgres import PostgresStore

        assert isinstance(store, PostgresStore)
        return store

    def signer(self, store: LogStore) -> Signer:
        """The key that signs this log now."""
        return Signer(store.meta().origin, load_log_key(self.home / "log.key"))

    def master_key(self) -> bytes:
        """The key of sealed bodies. Raises LogNotInitialised or LogRefused."""
        if self.read_master_key is None:
            return load_master_key(self.home / "body.key")
        return self.read_master_key()

    def verify(
        self, *, vkeys: tuple[str, ...] = (), progress: Progress | None = None, resume: Path | None = None
    ) -> VerifyReport:
        """Check the whole log; ``vkeys``: its keys as you know them, without any the home's own.

        ``resume``: a file that keeps how far it came, see `verify`. Raises LogNotInitialised, LogUnavailable.
        """
        known = list(vkeys) or None
        if not self.is_shared:
            return verify_home(self.home, vkey=known, progress=progress, resume=resume)
        from audit_log.shared import verify_shared_log

        if not (self.home / "log.vkey").exists() and known is None:
            raise LogNotInitialised("log.vkey is missing; give the log's verifier key")
        keys = known or [verifier.vkey for verifier in read_vkeys(self.home)]
        return verify_shared_log(self.url, self.schema, vkey=keys, progress=progress, resume=resume)


def place_of(at: Place | Path) -> Place:
    """A place as it is, or the one that a plain folder is."""
    return at if isinstance(at, Place) else Place(Path(at))
