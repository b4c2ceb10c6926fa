# SPDX-License-Identifier: Apache-2.0
"""The one thread of a process that writes to the log: grouping, numbering, sealing, acknowledging.

A batch is whatever arrived while the last one was being synced: grouping costs no waiting. What must hold:
- A caller hears of success only after its record is durable, and of failure for every record that may not be.
- Numbers within a writer have no gap: a number is spent when its record is stored, and after a failure whose outcome
  is unknown the store is asked before the next number is given.
- A record of a wrong form fails alone, its neighbours in the batch do not.
- The event loop is woken once a batch, not once a record.
"""

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from audit_log.errors import AuditError, LogUnavailable, RecordInvalid
from audit_log.interfaces import Batch, KeysChangedError, LogStore, NewSubjectKey
from audit_log.keyring import Keyring
from audit_log.record import (
    SOFT_LEAF_BYTES,
    IndexRow,
    format_time_us,
    index_row,
    leaf_head,
    leaf_tail,
    parse_time_us,
)
from audit_log.sealing import SealedBody, seal_body

_MAX_BATCH_RECORDS = 1024
_MAX_BATCH_BYTES = 8 << 20

Index = asyncio.Future[int] | Future[int]


class Entry(NamedTuple):
    """A record to append.

    ``fields`` are the leaf's, without ``v``, ``writer`` and ``wseq``, which the log writes, and with or without ``t``;
    what the record can be found by is taken from them (``id type t exchange tenant class action incident``).
    ``subject`` is the pseudonym of the person concerned: it goes into the search index only, never into the leaf.
    ``body`` is kept encrypted, under a key that can be destroyed; its ``body`` field is added to the leaf.
    """

    fields: Mapping[str, object]
    subject: str | None = None
    body: bytes | None = None


@dataclass(slots=True)
class _Job:
    """Entries of one call, and who waits for them. ``heads`` is empty where a body has to be sealed first."""

    entries: Sequence[Entry]
    heads: list[bytes]
    rows: list[IndexRow]
    future: Index
    loop: asyncio.AbstractEventLoop | None


_LINGER_S = 0.004


class Writer:
    """Takes entries from any thread or event loop, and gives them to the store in batches."""

    def __init__(
        self,
        store: LogStore,
        name: str,
        master_key: bytes,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        max_pending: int,
    ) -> None:
        """``name`` is this writer's for ever: it must hold a boot id. The thread runs until ``stop``."""
        self.name = name
        self.appended = 0
        self.failed = 0
        self.over_soft_limit = 0
        self.pending = 0
        self._by_type: Counter[str] = Counter()
        self._store = store
        self._keyring = Keyring(store, master_key, random)
        self._clock = clock
        self._random = random
        self._max_pending = max_pending
        self._before_number, self._behind_number = leaf_tail(name)
        self._in_doubt: Batch | None = None
        self._lock = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._idle = True
        self._work = threading.Event()
        self._stopping = False
        self._refusal: str | None = None
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        entries: Sequence[Entry],
        future: Index,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        last: bool = False,
    ) -> None:
        """Queue entries that shall be stored together; ``future`` gets the index of the first of them.

        After one with ``last`` nothing more is taken. Raises RecordInvalid or LogUnavailable at once where it can.
        """
        heads: list[bytes] = []
        rows: list[IndexRow] = []
        sealing = False
        for entry in entries:
            fields = entry.fields
            t = fields.get("t")
            t_us = round(self._clock() * 1_000_000) if t is None else parse_time_us(t)
            rows.append(index_row(fields, t_us, entry.subject))
            if entry.body is not None:
                sealing = True
            elif not sealing:
                heads.append(leaf_head(fields, format_time_us(t_us)))
        job = _Job(entries, [] if sealing else heads, rows, future, loop)
        with self._lock:
            if self._refusal is not None:
                raise LogUnavailable(self._refusal)
            if self.pending + len(entries) > self._max_pending and not last:
                raise LogUnavailable(f"{self.pending} records wait for the disk already; try again later")
            if last:
                self._refusal = "the log is closed"
            self.pending += len(entries)
            self._jobs.append(job)
            idle, self._idle = self._idle, False
        if idle:
            self._work.set()

    def refuse(self, reason: str) -> None:
        """Take nothing more; what is queued is still written."""
        with self._lock:
            self._refusal = self._refusal or reason

    def stop(self) -> None:
        """Write what is queued and end the thread."""
        self.refuse("the log is closed")
        with self._lock:
            self._stopping = True
        self._work.set()
        self._thread.join()

    def _run(self) -> None:
        while (jobs := self._take()) is not None:
            self._commit(jobs)
            if len(jobs) > 1 and not self._stopping:
                # Under load a commit of a few records costs as much of the one core as a commit of many, and the
                # interpreter lock changes hands for each. A record that comes alone never waits here.
                time.sleep(_LINGER_S)
            # After the waiters were told. A failure here shows itself at the next append.
            with suppress(LogUnavailable):
                self._store.tidy()

    def _take(self) -> list[_Job] | None:
        """What arrived since the last call; waits where nothing did. None: stop."""
        while True:
            with self._lock:
                if self._jobs:
                    return self._pop()
                if self._stopping:
                    return None
                self._idle = True
                self._work.clear()
            self._work.wait()

    def _pop(self) -> list[_Job]:
        jobs: list[_Job] = []
        records = size = 0
        while self._jobs and records < _MAX_BATCH_RECORDS and size < _MAX_BATCH_BYTES:
            job = self._jobs.popleft()
            records += len(job.entries)
            size += sum(map(len, job.heads))
            if not job.heads:
                size += sum(len(entry.body or b"") for entry in job.entries)
            jobs.append(job)
        return jobs

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            self._settle_doubt()
            first, batch, invalid = self._store_jobs(jobs)
        except AuditError as error:
            self._finish(jobs, [error] * len(jobs))
            return
        except Exception as error:
            # Nothing may leave a caller waiting for ever: whatever broke here, its record is not acknowledged.
            failure = LogUnavailable(f"the record could not be written: {type(error).__name__}")
            failure.__cause__ = error
            self._finish(jobs, [failure] * len(jobs))
            return
        self._count(batch)
        self.over_soft_limit += sum(len(leaf) > SOFT_LEAF_BYTES for leaf in batch.leaves)
        results: list[int | AuditError] = []
        for position, job in enumerate(jobs):
            if position in invalid:
                results.append(invalid[position])
            else:
                results.append(first)
                if first >= 0:  # below 0 no index is known yet, for any of them
                    first += len(job.entries)
        self._finish(jobs, results)

    def _count(self, batch: Batch) -> None:
        with self._lock:
            self.appended += len(batch.leaves)
            self._by_type.update([row.type for row in batch.rows])

    def counts(self) -> tuple[int, dict[str, int]]:
        """How many records this writer stored so far, and how many of each type."""
        with self._lock:
            return self.appended, dict(self._by_type)

    def _store_jobs(self, jobs: list[_Job]) -> tuple[int, Batch, dict[int, AuditError]]:
        """Store a batch; gives its first index, the batch, and the errors of jobs that could not be part of it."""
        while True:
            batch, invalid = self._assemble(jobs)
            if not batch.leaves:
                return 0, batch, invalid
            try:
                return self._store.append(batch), batch, invalid
            except KeysChangedError:
                self._keyring.forget()
            except BaseException:
                # It may be stored all the same; and keys made for it may not be.
                self._keyring.forget()
                self._in_doubt = batch
                raise

    def _settle_doubt(self) -> None:
        """After a failed append: find out whether it was stored, so that no number is used twice or left out."""
        if self._in_doubt is not None:
            if self._store.find_batch(self._in_doubt) is not None:
                self._count(self._in_doubt)
            self._in_doubt = None

    def _assemble(self, jobs: list[_Job]) -> tuple[Batch, dict[int, AuditError]]:
        leaves: list[bytes] = []
        rows: list[IndexRow] = []
        bodies: list[SealedBody] = []
        new_keys: list[NewSubjectKey] = []
        invalid: dict[int, AuditError] = {}
        number = self.appended
        before, behind = self._before_number, self._behind_number
        for position, job in enumerate(jobs):
            heads = job.heads
            if not heads:
                try:
                    heads, sealed = self._seal(job, new_keys)
                except RecordInvalid as error:
                    invalid[position] = error
                    continue
                bodies.extend(sealed)
            for head in heads:
                leaves.append(head + before + b"%d" % number + behind)
                number += 1
            rows.extend(job.rows)
        return Batch(leaves, rows, bodies, new_keys, self._keyring.epoch if bodies else None), invalid

    def _seal(self, job: _Job, new_keys: list[NewSubjectKey]) -> tuple[list[bytes], list[SealedBody]]:
        heads: list[bytes] = []
        bodies: list[SealedBody] = []
        for entry, row in zip(job.entries, job.rows, strict=True):
            fields = entry.fields
            if entry.body is not None:
                if "body" in fields:
                    raise RecordInvalid("the field body is written by the log where a body is given; leave it out")
                body = seal_body(entry.body, row.id, self._keyring.key_for(row, new_keys), self._random)
                fields = {**fields, "body": body.leaf_fields()}
                bodies.append(body)
            heads.append(leaf_head(fields, format_time_us(row.t_us)))
        return heads, bodies

    def _finish(self, jobs: list[_Job], results: Sequence[int | AuditError]) -> None:
        done: dict[asyncio.AbstractEventLoop, list[tuple[Index, int | AuditError]]] = {}
        records = 0
        for job, result in zip(jobs, results, strict=True):
            records += len(job.entries)
            if isinstance(result, AuditError):
                self.failed += len(job.entries)
            if job.loop is None:
                _settle(job.future, result)
            else:
                done.setdefault(job.loop, []).append((job.future, result))
        with self._lock:
            self.pending -= records
        for loop, settled in done.items():
            try:
                loop.call_soon_threadsafe(_settle_all, settled)
            except RuntimeError:
                continue  # the loop is closed: nobody waits there any more


def _settle_all(settled: list[tuple[Index, int | AuditError]]) -> None:
    for future, result in settled:
        _settle(future, result)


def _settle(future: Index, result: int | AuditError) -> None:
    if future.done():
        return  # whoever waited gave up; the record stands all the same
    if isinstance(result, AuditError):
        future.set_exception(result)
    else:
        future.set_result(result)
