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
from audit_log.tiles import TileId


@dataclass(frozen=True, slots=True)
class Meta:
    """Origin, verifier key of the key that signs, time of creation in seconds since the epoch."""

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


class Tiles(Protocol):
    """Where the log's static files lie: ``checkpoint`` and ``tile/...``."""

    def fetch(self, path: str) -> bytes | None:
        """Content of a file, None where there is none; raises LogUnavailable where it cannot be read now."""
        ...

    def published(self) -> bytes | None: ...

    def publish(self, checkpoint: bytes) -> None:
        """Replace the published checkpoint, durable on return."""
        ...

    def put(self, tile: TileId, data: bytes) -> None:
        """Write a tile or bundle, durable on return; raises LogRefused where other bytes have its name."""
        ...

    def drop_partials(self, tile: TileId) -> None:
        """Delete the partial forms of a full tile that is there and published."""
        ...

    def prune(self, minimum: int) -> tuple[int, int]:
        """Delete what ends at or below this index on levels 0 and 1 and of the bundles; gives files and bytes."""
        ...


class Leadership(Protocol):
    """Who of all processes that share a log publishes it."""

    def try_lead(self) -> bool:
        """Become the one; True where this process is it already, False while another one is."""
        ...

    def resign(self) -> None: ...


class Claims(Protocol):
    """Which writers live, on whichever machine: what a claim is for ends with the process that made it."""

    def claim(self, writer: str) -> None:
        """Say that this process is the writer, for as long as it lives."""
        ...

    def is_claimed(self, writer: str) -> bool: ...


class LogStore(Protocol):
    """One log's leaves and what lies beside them. Methods may block on the disk; none may be called on an event loop.

    ``append``, ``swap_head`` and ``destroy_subject`` take turns across all processes that share the log.
    All raise LogUnavailable where the store cannot do its work now.
    """

    def meta(self) -> Meta: ...

    def replace_vkey(self, old: str, new: str) -> bool:
        """Another key signs from now on, durable on return; False where ``old`` is not the one that signed so far."""
        ...

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

    def minimum(self) -> int:
        """Index of the first leaf that was not pruned, a multiple of 65,536; 0 for a whole log.

        What lies below it is hidden from ``leaves``, ``search``, ``row``, ``related`` and ``unclosed``.
        """
        ...

    def raise_minimum(self, minimum: int) -> None:
        """Hide all leaves below this index, durable on return; it never falls."""
        ...

    def sweep(self, limit: int) -> int:
        """Delete up to ``limit`` hidden leaves with their rows and bodies; gives how many there were.

        The last call, which gives 0, deletes subject keys that no body is left of.
        """
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

    def key_exists(self, key_id: str) -> bool:
        """Whether a subject key with this id is stored."""
        ...

    def wrapped_keys(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        """(id, wrapped form) of subject keys with an id above ``after``, by id."""
        ...

    def replace_wrapped(self, keys: Sequence[tuple[str, bytes]]) -> None:
        """Give subject keys another wrapped form, all or none, durable on return; one that is gone stays gone."""
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

    def subject_bodies(self, tenant: str, subject: str) -> list[FoundRow]:
        """Rows of the records whose bodies are kept under a subject's keys, by index."""
        ...

    def bodies_before(self, type: str, t_us: int, after: int, limit: int) -> list[FoundRow]:
        """Rows of one type older than this time, with an index above ``after``, whose body is kept, by index."""
        ...

    def drop_bodies(self, record_ids: Sequence[str]) -> int:
        """Delete bodies with their wrapped keys, durable on return; gives how many there were."""
        ...

    def unrecorded_erasures(self) -> list[str]:
        """Ids of destroyed keys that no erasure record names yet."""
        ...

    def mark_erasures_recorded(self, key_ids: Sequence[str]) -> None: ...

    def tidy(self) -> None:
        """House-keeping from the side, so that appends need not do it."""
        ...

    def close(self) -> None: ...
