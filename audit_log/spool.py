# SPDX-License-Identifier: Apache-2.0
"""What a process keeps on its own disk while the database is away, so that a short outage loses nothing.

A batch that the database cannot take now is written to a file beside the keys, synced, and counts as durable: its
records are complete, numbers of their writer and all; only their index is still to come, so ``append`` gives
``SPOOLED`` for it. Files are drained in their order before anything else is stored. What must hold:
- The spool is bounded in bytes and in age; beyond that, the log refuses as if there were no spool.
- A file is deleted only after its batch is found or stored; storing it twice is excluded by looking first.
- A file of a process that died is drained by the next one that starts; a file that is damaged stops it.
- A body whose key was destroyed meanwhile is not brought back: its leaf goes in, its body does not.
"""

import fcntl
import hmac
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from audit_log.errors import LogRefused, LogUnavailable
from audit_log.interfaces import Batch, KeysChangedError, LogStore, NewSubjectKey
from audit_log.note import decode_base64, encode_base64
from audit_log.record import IndexRow
from audit_log.sealing import SealedBody
from audit_log.sqlite import fsync_folder

SPOOLED = -1
"""In place of an index: durable here, and numbered once the database is back."""


class SpoolingStore:
    """A LogStore before another one, with a spool for its absence."""

    def __init__(
        self,
        inner: LogStore,
        folder: Path,
        *,
        max_bytes: int,
        max_age_s: float,
        clock: Callable[[], float],
        retry_s: float = 1.0,
    ) -> None:
        """``folder`` is this process's alone, and is made where it is missing. Drains what dead processes left in its
        neighbours. Raises LogRefused for damaged files."""
        self._inner = inner
        self._turn = threading.Lock()
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._retry_s = retry_s
        self._retry_at = 0.0
        self._spool = _Spool(folder)
        self._known_epoch: int | None = None
        try:
            self._adopt_orphans(folder)
        except BaseException:
            self._spool.close()
            raise

    def __getattr__(self, name: str) -> Any:
        """Everything that is not about appending is the other store's."""
        return getattr(self._inner, name)

    @property
    def spooled_bytes(self) -> int:
        """How much waits on this disk."""
        return self._spool.size

    def append(self, batch: Batch) -> int:
        with self._turn:
            if self._spool.files and (self._clock() < self._retry_at or not self._drain()):
                return self._keep(batch)
            try:
                return self._inner.append(batch)
            except LogUnavailable:
                self._retry_at = self._clock() + self._retry_s
                return self._keep(batch)

    def find_batch(self, batch: Batch) -> int | None:
        if self._spool.holds(batch):
            return SPOOLED
        return self._inner.find_batch(batch)

    def key_epoch(self) -> int:
        try:
            self._known_epoch = self._inner.key_epoch()
        except LogUnavailable:
            if self._known_epoch is None:
                raise
        return self._known_epoch

    def subject_key(self, tenant: str, subject: str) -> tuple[str, bytes] | None:
        """A subject may have several keys: while the database is away, a new one is made."""
        try:
            return self._inner.subject_key(tenant, subject)
        except LogUnavailable:
            return None

    def tidy(self) -> None:
        with self._turn:
            if self._spool.files and self._clock() >= self._retry_at:
                self._drain()
        self._inner.tidy()

    def close(self) -> None:
        with self._turn:
            try:
                if self._spool.files:
                    self._drain()
                if not self._spool.files:
                    self._spool.remove()
            finally:
                self._spool.close()
                self._inner.close()

    def _keep(self, batch: Batch) -> int:
        if self._spool.size >= self._max_bytes or self._clock() - self._spool.oldest_at > self._max_age_s:
            raise LogUnavailable("the database is away and the spool is full; see to the database")
        self._spool.put(batch, self._clock())
        return SPOOLED

    def _drain(self) -> bool:
        """Bring what waits to the database; False where that did not work to the end."""
        try:
            for file in list(self._spool.files):
                _store_once(self._inner, self._spool.read(file))
                self._spool.drop(file)
        except LogUnavailable:
            self._retry_at = self._clock() + self._retry_s
            return False
        return True

    def _adopt_orphans(self, folder: Path) -> None:
        for other in sorted(folder.parent.iterdir()):
            if other == folder or not other.is_dir():
                continue
            try:
                orphan = _Spool(other)
            except BlockingIOError:
                continue  # its process lives
            try:
                for file in list(orphan.files):
                    _store_once(self._inner, orphan.read(file))
                    orphan.drop(file)
                orphan.remove()
            finally:
                orphan.close()


class _Spool:
    """One process's folder of batch files, locked while the process lives."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock_fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock_fd)
            raise
        for unfinished in folder.glob("*.new"):
            unfinished.unlink()
        self.files = sorted(path.name for path in folder.glob("*.batch"))
        self._next = int(self.files[-1].removesuffix(".batch")) + 1 if self.files else 0
        self.size = sum((folder / name).stat().st_size for name in self.files)
        self.oldest_at = (folder / self.files[0]).stat().st_mtime if self.files else float("inf")
        self._first_ids: set[str] = set()

    def put(self, batch: Batch, now: float) -> None:
        """Write a batch, durable on return; raises LogUnavailable."""
        name = f"{self._next:012d}.batch"
        data = _encode(batch)
        try:
            fd = os.open(self._folder / f"{name}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            (self._folder / f"{name}.new").rename(self._folder / name)
            fsync_folder(self._folder)
        except OSError as error:
            raise LogUnavailable(f"the spool cannot be written: {error.strerror}; see to the disk") from error
        if not self.files:
            self.oldest_at = now
        self._next += 1
        self.files.append(name)
        self.size += len(data)
        self._first_ids.add(batch.rows[0].id)

    def holds(self, batch: Batch) -> bool:
        return batch.rows[0].id in self._first_ids

    def read(self, name: str) -> Batch:
        try:
            return _decode((self._folder / name).read_bytes())
        except OSError as error:
            raise LogUnavailable(f"the spool cannot be read: {error.strerror}; see to the disk") from error

    def drop(self, name: str) -> None:
        path = self._folder / name
        self.size -= path.stat().st_size
        path.unlink()
        fsync_folder(self._folder)
        self.files.remove(name)
        if not self.files:
            self.oldest_at = float("inf")
            self._first_ids.clear()

    def remove(self) -> None:
        """Delete the folder, which is empty by now."""
        (self._folder / "lock").unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()

    def close(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def _store_once(store: LogStore, batch: Batch) -> None:
    """Store a batch that may be stored already."""
    if store.find_batch(batch) is not None:
        return
    while True:
        try:
            store.append(batch)
            return
        except KeysChangedError:
            # Keys were destroyed meanwhile. A body stays out unless its key is new in this batch or still there.
            epoch = store.key_epoch()
            new = {key.id for key in batch.new_keys}
            bodies = [body for body in batch.bodies if body.key_id in new or store.key_exists(body.key_id)]
            batch = Batch(batch.leaves, batch.rows, bodies, batch.new_keys, epoch)


def _encode(batch: Batch) -> bytes:
    data = orjson.dumps(
        {
            "leaves": [encode_base64(leaf) for leaf in batch.leaves],
            "rows": [list(row) for row in batch.rows],
            "bodies": [
                [
                    body.record_id,
                    body.key_id,
                    encode_base64(body.wrapped_key),
                    encode_base64(body.ciphertext),
                    body.commit,
                ]
                for body in batch.bodies
            ],
            "new_keys": [[key.id, key.tenant, key.subject, encode_base64(key.wrapped)] for key in batch.new_keys],
            "key_epoch": batch.key_epoch,
        }
    )
    return sha256(data).digest() + data


def _decode(data: bytes) -> Batch:
    if not hmac.compare_digest(sha256(data[32:]).digest(), data[:32]):
        raise LogRefused("a file of the spool is damaged: records that were acknowledged are in it; keep a copy")
    found = orjson.loads(data[32:])
    return Batch(
        [decode_base64(leaf) for leaf in found["leaves"]],
        [IndexRow(*row) for row in found["rows"]],
        [SealedBody(b[0], b[1], decode_base64(b[2]), decode_base64(b[3]), b[4]) for b in found["bodies"]],
        [NewSubjectKey(k[0], k[1], k[2], decode_base64(k[3])) for k in found["new_keys"]],
        found["key_epoch"],
    )
