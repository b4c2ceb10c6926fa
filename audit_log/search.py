# SPDX-License-Identifier: Apache-2.0
"""Finding records, and handing one out with its proof.

Rows of the search index only point at leaves: whoever doubts a row checks the leaf and its proof. Order is that of
the log, so a cursor stays valid while the log grows. Methods block on the disk: call them in a thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from audit_log.checkpoint import Checkpoint, open_checkpoint
from audit_log.errors import AuditError, BodyErased, VerificationError
from audit_log.interfaces import FoundRow, LogStore, Query, Tiles
from audit_log.merkle import inclusion_proof
from audit_log.note import Verifier
from audit_log.proof import TlogProof
from audit_log.sealing import open_body, unwrap_subject_key
from audit_log.tiles import TileTree, parse_path

MAX_LIMIT = 1000


class BadQuery(AuditError):
    """A search was asked for in a form that cannot be answered; the message says which part."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows by index, and the cursor of the next page; None where there are no more."""

    rows: tuple[FoundRow, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class ProvenRecord:
    """A leaf with its place, its proof, and what else belongs to the same exchange.

    ``proof`` is a c2sp.org/tlog-proof@v1 file; None for about a second until a checkpoint covers the leaf.
    """

    index: int
    row: FoundRow
    leaf: bytes
    proof: bytes | None
    related: tuple[FoundRow, ...]


class LogReader:
    """Reads a log that somebody else may be writing."""

    def __init__(self, store: LogStore, folder: Tiles, verifier: Verifier, master_key: bytes | None) -> None:
        self._store = store
        self._folder = folder
        self._verifier = verifier
        self._master_key = master_key

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
        """One page of records. Times in seconds since the epoch, ``until`` excluded.

        Raises BadQuery, or LogUnavailable where the log cannot be read.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise BadQuery(f"limit is {limit}; expected 1 to {MAX_LIMIT}")
        after = -1
        if cursor is not None:
            if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
                raise BadQuery("cursor is not one that a search gave; start without a cursor")
            after = int(cursor)
        query = Query(
            since_us=None if since is None else round(since * 1_000_000),
            until_us=None if until is None else round(until * 1_000_000),
            tenant=tenant,
            subject=subject,
            class_=class_,
            action=action,
            type=type,
            incident=incident,
        )
        rows = self._store.search(query, after, limit + 1)
        more = len(rows) > limit
        return Page(tuple(rows[:limit]), str(rows[limit - 1].index) if more else None)

    def get(self, record_id: str) -> ProvenRecord | None:
        """A record by its id, None where there is none.

        Raises LogUnavailable, or VerificationError where the log is damaged.
        """
        found = self._store.row(record_id)
        if found is None:
            return None
        index = found.index
        leaf = self.leaf(index)
        related = self._store.related(found.row.exchange or found.row.id)
        others = tuple(row for row in related if row.index != index)
        return ProvenRecord(index, found, leaf, self.prove(index), others)

    def unclosed(self, start: int, end: int) -> tuple[FoundRow, ...]:
        """Streams that began at an index from ``start`` up to ``end`` and have no record of their end."""
        return tuple(self._store.unclosed(start, end))

    def size(self) -> int:
        """Number of durable leaves."""
        return self._store.next_index()

    def leaf(self, index: int) -> bytes:
        """The leaf with this index; raises VerificationError where it is missing."""
        leaf = next(self._store.leaves(index, index + 1), None)
        if leaf is None:
            raise VerificationError(f"leaf {index} is missing from the database; run audit verify")
        return leaf

    def prove(self, index: int) -> bytes | None:
        """The tlog-proof of a leaf against the latest checkpoint; None while that does not cover it yet.

        Raises VerificationError where the log is damaged.
        """
        note = self.checkpoint_note()
        checkpoint = open_checkpoint(note, self._verifier.name, [self._verifier])
        if index >= checkpoint.size:
            return None
        tree = TileTree(self._folder.fetch, checkpoint.size)
        return TlogProof(index, tuple(inclusion_proof(index, checkpoint.size, tree.perfect)), note).encode()

    def checkpoint_note(self) -> bytes:
        """The latest published checkpoint, as it is served. Raises VerificationError where it is missing."""
        note = self._folder.published()
        if note is None:
            raise VerificationError("the published checkpoint file is missing; restore the tiles folder")
        return note

    def checkpoint(self) -> Checkpoint:
        """The latest published checkpoint, checked and read."""
        return open_checkpoint(self.checkpoint_note(), self._verifier.name, [self._verifier])

    def tile(self, path: str) -> bytes | None:
        """Content of ``checkpoint`` or ``tile/...`` as C2SP serves them; None where it does not exist or was pruned.

        Raises VerificationError for a path of another form.
        """
        if path == "checkpoint":
            return self.checkpoint_note()
        tile = parse_path(path)
        return None if tile.end_index <= self._store.minimum() else self._folder.fetch(tile.path)

    def body(self, record_id: str, leaf_body: dict[str, object] | None = None) -> bytes | None:
        """The opened body of a record, None where none was kept. With ``leaf_body``, check it against its leaf.

        Reading a body is itself worth a record of type ``access``: the caller writes it, before. Raises BodyErased
        after its key was destroyed, VerificationError where it was changed.
        """
        found = self._store.body(record_id)
        if found is None:
            return None
        sealed, wrapped = found
        if wrapped is None or self._master_key is None:
            raise BodyErased("the key of this body was destroyed or is not here: its content cannot be read")
        return open_body(sealed, unwrap_subject_key(sealed.key_id, wrapped, self._master_key), leaf_body)


def rows_as_json(rows: Sequence[FoundRow]) -> list[dict[str, object]]:
    """Rows as plain data, for an API or a table."""
    return [
        {
            "index": found.index,
            "id": found.row.id,
            "exchange": found.row.exchange,
            "type": found.row.type,
            "t_us": found.row.t_us,
            "tenant": found.row.tenant,
            "subject": found.row.subject,
            "class": found.row.class_,
            "action": found.row.action,
            "incident": found.row.incident,
        }
        for found in rows
    ]
