# SPDX-License-Identifier: Apache-2.0
"""What the log asks of the place where it lies, so that another database can take SQLite's place.

A driver shares no code with another driver; the same tests run against each. Every promise of consistency that the
rest of the package leans on is stated here, at the method that gives it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from audit_log.record import IndexRow
from audit_log.sealing import SealedBody


@dataclass(frozen=True, slots=True)
class Meta:
    """What was fixed when the log was created: origin, verifier key, time of creation in seconds since the epoch."""

    origin: str
    vkey: str
    created_at: float


@dataclass(frozen=True, slots=True)
class NewSubjectKey:
    """A wrapped subject key to be stored with the first batch that uses it."""

    id: str
    tenant: str
    subject: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that become durable together. ``key_epoch`` is the epoch that the bodies' keys were read in."""

    leaves: Sequence[bytes]
    rows: Sequence[IndexRow]
    bodies: Sequence[SealedBody] = ()
    new_keys: Sequence[NewSubjectKey] = ()
    key_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What to search for; absent means any. Times in microseconds since the epoch, ``until_us`` excluded."""

    since_us: int | None = None
    until_us: int | None = None
    tenant: str | None = None
    subject: str | None = None
    class_: str | None = None
    action: str | None = None
    type: str | None = None
    incident: bool | None = None


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A search row with its place in the log."""

    index: int
    row: IndexRow


class KeysChangedError(Exception):
    """Subject keys were destroyed since the batch's bodies were sealed: seal them again. Nothing was stored."""


class LogStore(Protocol):
    """One log's leaves and what lies beside them. Methods may block on the disk; none may be called on an event loop.

    ``append``, ``swap_head`` and ``destroy_subject`` take turns across all processes that share the log.
    All raise LogUnavailable where the store cannot do its work now.
    """

    def meta(self) -> Meta: ...

    def append(self, batch: Batch) -> int:
        """Store a batch and give the index of its first leaf.

        All or nothing; durable on return, also against loss of power; indices are contiguous and never given twice.
        Raises KeysChangedError, or LogUnavailable, after which ``find_batch`` tells whether it was stored after all.
        """
        ...

    def find_batch(self, batch: Batch) -> int | None:
        """Index of the first leaf of a batch whose ``append`` failed; None where it was not stored.

        After it returned, whatever it found is as durable as after a good ``append``.
        """
        ...

    def next_index(self) -> int:
        """Number of leaves that are durable; grows only."""
        ...

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        """Leaves [start, end) in order. The iterator ends early where one is missing."""
        ...

    def head(self) -> bytes:
        """The last signed checkpoint: the lock that ``swap_head`` moves."""
        ...

    def swap_head(self, old: bytes, new: bytes, size: int, at: float) -> bool:
        """Compare-and-swap of the head, durable on return; keeps the new checkpoint for ever.

        Gives False, and changes nothing, where ``old`` is not the head.
        """
        ...

    def checkpoints(self) -> Iterator[tuple[int, bytes]]:
        """All checkpoints ever signed, as (size, signed note), by size."""
        ...

    def seen_at(self) -> float:
        """Latest time, in seconds since the epoch, that the log knows to have passed."""
        ...

    def mark_seen(self, at: float) -> None:
        """Note that the head was still the whole log at this time."""
        ...

    def search(self, query: Query, after: int, limit: int) -> list[FoundRow]:
        """Rows with an index above ``after``, by index."""
        ...

    def row(self, record_id: str) -> FoundRow | None: ...

    def related(self, exchange: str) -> list[FoundRow]:
        """The record with this id and all records that name it as their exchange, by index."""
        ...

    def unclosed(self, start: int, end: int) -> list[FoundRow]:
        """The ``open`` records with an index from ``start`` up to ``end`` whose exchange has no ``close`` record."""
        ...

    def subject_key(self, tenant: str, subject: str) -> tuple[str, bytes] | None:
        """Id and wrapped form of the newest key of a subject."""
        ...

    def key_epoch(self) -> int:
        """How often subject keys were destroyed."""
        ...

    def body(self, record_id: str) -> tuple[SealedBody, bytes | None] | None:
        """A stored body with its wrapped subject key, which is None after it was destroyed."""
        ...

    def destroy_subject(self, tenant: str, subject: str) -> list[str]:
        """Delete a subject's keys, bodies and pseudonym, durable on return; the ids of the keys wait as unrecorded."""
        ...

    def unrecorded_erasures(self) -> list[str]:
        """Ids of destroyed keys that no erasure record names yet."""
        ...

    def mark_erasures_recorded(self, key_ids: Sequence[str]) -> None: ...

    def tidy(self) -> None:
        """House-keeping from the side, so that appends need not do it."""
        ...

    def close(self) -> None: ...
