# SPDX-License-Identifier: Apache-2.0
"""Checking a whole log without trusting whoever keeps it: standard library and ``cryptography`` only.

``verify_home`` replays every leaf of a log's home: it derives the tree again, compares each tile and entry bundle,
checks every checkpoint ever signed against the tree of its size (so all of them are consistent with each other), and
the rules of the record chain: each writer's numbers run from 0 without a gap, beginning with its boot record.
``verify_tiles`` does the same for the static files alone, of any C2SP tiled log.

What it cannot see is said in docs/record.md: leaves newer than the last checkpoint are covered by nothing yet, and
whoever holds the signing key could have signed another history that nobody outside has seen.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from audit_log.bookmark import Bookmark, BookmarkFile
from audit_log.chain import WriterChain
from audit_log.checkpoint import Checkpoint, open_checkpoint
from audit_log.errors import LogNotInitialised, VerificationError
from audit_log.note import Verifier
from audit_log.tiles import SEGMENT, WIDTH, Edge, Fetch, TileId, TileTree, fetch_from
from audit_log.view import record_of

Progress = Callable[[int, int], None]
"""(leaves checked, leaves in all), called now and then."""

_MAX_PROBLEMS = 100
_PROGRESS_EVERY = 8192


@dataclass(slots=True)
class VerifyReport:
    """What a check found. ``pending`` leaves are newer than the last checkpoint; ``open_writers`` wrote no shutdown
    record: they run now, or ended without order. ``minimum``: leaves below it were pruned, as a record in the log says;
    checkpoints of smaller sizes are checked for their signature only."""

    origin: str
    tree_size: int = 0
    published_size: int = 0
    checkpoints: int = 0
    pending: int = 0
    writers: int = 0
    open_writers: int = 0
    bodies: int = 0
    minimum: int = 0
    first_bad_index: int | None = None
    problems: list[str] = field(default_factory=list)
    problems_left_out: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems

    def problem(self, text: str, index: int | None = None) -> None:
        """Note a problem, with the index of the leaf it concerns where there is one."""
        if index is not None and (self.first_bad_index is None or index < self.first_bad_index):
            self.first_bad_index = index
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(text)
        else:
            self.problems_left_out += 1

    def to_json(self) -> str:
        """The report as a JSON object."""
        names = [name for name in self.__slots__ if name != "problems"]
        found: dict[str, object] = {"ok": self.ok, **{name: getattr(self, name) for name in names}}
        return json.dumps({**found, "problems": self.problems}, ensure_ascii=False)


def verify_home(
    home: Path,
    *,
    vkey: str | Sequence[str] | None = None,
    progress: Progress | None = None,
    resume: Path | None = None,
) -> VerifyReport:
    """Check a log's home, also while it is being written.

    ``vkey``: the log's key as you know it, or all keys that it had; else the home's own. ``resume``: a file that keeps
    how far the check came; where there is one of this log, the check goes on from there. It is gone at the end.

    Never raises for what it finds wrong in the log; raises LogNotInitialised where there is none.
    """
    home = Path(home)
    database = home / "audit.db"
    if not database.is_file():
        raise LogNotInitialised(f"{database.name} is missing; is this the folder of a log?")
    report = VerifyReport(origin="")
    try:
        verifiers = [Verifier.from_vkey(key) for key in _keys_of(home, vkey)]
        if len({verifier.name for verifier in verifiers}) != 1:
            raise VerificationError("keys of different logs, or none")
    except (OSError, UnicodeDecodeError):
        report.problem("log.vkey cannot be read; give the log's verifier key")
        return report
    except VerificationError as error:
        report.problem(f"verifier key: {error}")
        return report
    report.origin = verifiers[-1].name
    fetch = fetch_from(home / "tiles")
    try:
        # Read before the database's snapshot, so that it can only be older than the snapshot's head.
        published = fetch("checkpoint")
        with closing(_open_read_only(database)) as db:
            db.execute("BEGIN")
            verify_rows(_SqliteRows(db), fetch, verifiers, published, report, progress, resume)
    except sqlite3.Error as error:
        report.problem(f"the database is damaged: {getattr(error, 'sqlite_errorname', type(error).__name__)}")
    except VerificationError as error:
        report.problem(str(error))
    return report


def verify_tiles(
    fetch: Fetch,
    verifier: Verifier,
    *,
    older: Iterable[bytes] = (),
    minimum: int = 0,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check the static files of a tiled log, from its ``checkpoint`` down; ``older`` checkpoints must be consistent.

    Leaves may be anything: the rules of our records are not applied. ``minimum``: the log's minimum index, a multiple
    of 65,536, where it was pruned.
    """
    report = VerifyReport(origin=verifier.name)
    try:
        note = fetch("checkpoint")
        if note is None:
            raise VerificationError("checkpoint is missing")
        head = open_checkpoint(note, verifier.name, [verifier])
        heads = {head.size: head}
        for other in older:
            _add_head(heads, open_checkpoint(other, verifier.name, [verifier]), report)
        if max(heads) > head.size:
            raise VerificationError(f"an older checkpoint covers {max(heads)} leaves, the latest only {head.size}")
        report.tree_size = report.published_size = head.size
        report.checkpoints = len(heads)
        report.minimum = minimum
        replay = _Replay(fetch, head.size, heads, report, _edge_at(fetch, head.size, minimum))
        tree = TileTree(fetch, head.size)
        for number in range(minimum // WIDTH, (head.size + WIDTH - 1) // WIDTH):
            for leaf in tree.entries(number):
                replay.add(leaf)
            if progress is not None:
                progress(replay.size, head.size)
    except VerificationError as error:
        report.problem(str(error))
    return report


class _Replay:
    """Derives the tree from its leaves and compares all that was published about it on the way."""

    def __init__(
        self,
        fetch: Fetch,
        published_size: int,
        heads: Mapping[int, Checkpoint],
        report: VerifyReport,
        edge: Edge | None = None,
    ) -> None:
        self._fetch = fetch
        self._published_size = published_size
        self._heads = heads
        self._report = report
        self._edge = edge or Edge()
        self._good_size = self._edge.size
        self._check_head()

    @property
    def size(self) -> int:
        return self._edge.size

    def add(self, leaf: bytes) -> None:
        edge = self._edge
        full = edge.add(leaf)
        size = edge.size
        if full and size <= self._published_size:
            for tile, data in full:
                self._compare(tile, data)
        if size == self._published_size:
            for tile, data in edge.partials():
                self._compare(tile, data)
        if size in self._heads:
            self._check_head()

    def bookmark(self, chain: WriterChain) -> Bookmark:
        """Where the replay stands, at the end of a segment."""
        report = self._report
        return Bookmark(
            self._edge.size,
            self._edge.levels,
            chain.next,
            frozenset(chain.ended),
            chain.is_partial,
            report.first_bad_index,
            tuple(report.problems),
            report.problems_left_out,
        )

    def _check_head(self) -> None:
        head = self._heads.get(self._edge.size)
        if head is None:
            return
        if self._edge.root() == head.root:
            self._good_size = head.size
        elif self._report.first_bad_index is None:
            self._report.problem(
                f"leaves do not lead to the root of the checkpoint of size {head.size}; a leaf from index"
                f" {self._good_size} to {head.size - 1} was changed",
                self._good_size,
            )
        else:
            self._report.problem(f"leaves do not lead to the root of the checkpoint of size {head.size}")

    def _compare(self, tile: TileId, data: bytes) -> None:
        stored = self._fetch(tile.path)
        if stored is None and tile.width < WIDTH:
            # The full tile took its place; it begins with the same bytes.
            stored = self._fetch(tile.full.path)
            if stored is not None and len(stored) >= len(data):
                stored = stored[: len(data)]
        if stored == data:
            return
        index = None
        if stored is None:
            self._report.problem(f"{tile.path} is missing")
        elif tile.level == 0:
            same = next((i for i in range(tile.width) if stored[32 * i : 32 * i + 32] != data[32 * i : 32 * i + 32]), 0)
            index = tile.number * WIDTH + same
            self._report.problem(f"leaf {index} is not the one in {tile.path}", index)
        else:
            self._report.problem(f"{tile.path} differs from what the leaves give")


class LogRows(Protocol):
    """A log's database as a verifier reads it, all at one point in time. It trusts nothing that it reads."""

    def coordination(self) -> tuple[int, int] | None:
        """Number of acknowledged leaves, and the minimum index."""
        ...

    def checkpoints(self) -> Iterable[tuple[int, bytes]]:
        """(size, signed note), by size."""
        ...

    def heads(self) -> list[bytes]:
        """The lock row: one signed note."""
        ...

    def prunes(self) -> Iterable[bytes]:
        """Leaves of type prune, the latest first."""
        ...

    def leaves(self, start: int) -> Iterable[tuple[int, bytes, bytes | None]]:
        """(index, leaf, id in the search row), by index from ``start`` on."""
        ...

    def bodies(self) -> Iterable[tuple[bytes, str, bytes, str, int | None, bytes | None]]:
        """(record id, key id, ciphertext, commitment, index, leaf)."""
        ...


class _SqliteRows:
    # Columns are cast: whoever tampers with a database may also change the types of its values.

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def coordination(self) -> tuple[int, int] | None:
        found: tuple[int, int] | None = self._db.execute(
            "SELECT CAST(next AS INTEGER), CAST(minimum AS INTEGER) FROM coordination"
        ).fetchone()
        return found

    def checkpoints(self) -> Iterable[tuple[int, bytes]]:
        return self._db.execute("SELECT size, CAST(body AS BLOB) FROM checkpoints ORDER BY size")

    def heads(self) -> list[bytes]:
        return [body for (body,) in self._db.execute("SELECT CAST(body AS BLOB) FROM head")]

    def prunes(self) -> Iterable[bytes]:
        sql = "SELECT CAST(leaf AS BLOB) FROM rows JOIN leaves USING (idx) WHERE type = 'prune' ORDER BY idx DESC"
        return (leaf for (leaf,) in self._db.execute(sql))

    def leaves(self, start: int) -> Iterable[tuple[int, bytes, bytes | None]]:
        return self._db.execute(
            "SELECT leaves.idx, CAST(leaf AS BLOB), CAST(id AS BLOB) FROM leaves LEFT JOIN rows USING (idx)"
            " WHERE leaves.idx >= ? ORDER BY leaves.idx",
            (start,),
        )

    def bodies(self) -> Iterable[tuple[bytes, str, bytes, str, int | None, bytes | None]]:
        return self._db.execute(
            "SELECT CAST(bodies.id AS BLOB), key, CAST(ciphertext AS BLOB), commitment, idx, CAST(leaf AS BLOB)"
            " FROM bodies LEFT JOIN rows ON rows.id = bodies.id LEFT JOIN leaves USING (idx)"
        )


def verify_rows(
    rows: LogRows,
    fetch: Fetch,
    verifiers: Sequence[Verifier],
    published: bytes | None,
    report: VerifyReport,
    progress: Progress | None,
    resume: Path | None = None,
) -> None:
    """Check a log's database against its tiles; ``published`` is the checkpoint file, read before the rows."""
    found = rows.coordination()
    if found is None:
        raise VerificationError("the coordination row is missing from the database")
    expected, report.minimum = found
    heads = _stored_heads(rows, verifiers, report)
    last = max(heads, default=0)
    report.published_size = last
    _verify_published(published, verifiers, heads, last, report)
    bookmarks = None if resume is None else BookmarkFile(resume, verifiers, report.minimum)
    reached = None if bookmarks is None else _reached(bookmarks, fetch, last, report)
    if reached is None:
        replay = _Replay(fetch, last, heads, report, _edge_at(fetch, last, report.minimum))
        chain = _chain_after(rows, report)
    else:
        edge = Edge.resume([list(row) for row in reached.levels], [], reached.size)
        replay = _Replay(fetch, last, heads, report, edge)
        chain = WriterChain(report.problem, partial=reached.is_partial)
        chain.next.update(reached.next)
        chain.ended.update(reached.ended)
    for index, leaf, id_ in rows.leaves(replay.size):
        if index != replay.size:
            report.problem(f"leaf {replay.size} is missing from the database", replay.size)
            break
        replay.add(leaf)
        chain.add(index, leaf)
        if id_ is None or _uuid_text(id_) not in leaf:
            report.problem(f"leaf {index} has no row of its own in the search index", index)
        if progress is not None and index % _PROGRESS_EVERY == 0:
            progress(index, expected)
        if bookmarks is not None and replay.size % SEGMENT == 0:
            bookmarks.write(replay.bookmark(chain))
    report.tree_size = replay.size
    report.pending = max(0, replay.size - last)
    report.writers, report.open_writers = len(chain.next), len(chain.next) - len(chain.ended)
    if replay.size != expected:
        report.problem(
            f"the database holds {replay.size} leaves without a gap; {expected} were acknowledged",
            min(replay.size, expected),
        )
    if replay.size < last:
        report.problem(f"the last checkpoint covers {last} leaves; the database holds {replay.size}", replay.size)
    _verify_bodies(rows, report)
    if progress is not None:
        progress(replay.size, expected)
    if bookmarks is not None:
        bookmarks.clear()


def _reached(bookmarks: BookmarkFile, fetch: Fetch, last: int, report: VerifyReport) -> Bookmark | None:
    """The bookmark, where the tree that it states is the one that the tiles lead to; its report goes on."""
    reached = bookmarks.read()
    if reached is None or not report.minimum < reached.size <= last or reached.size % SEGMENT:
        return None
    at = _edge_at(fetch, last, reached.size)
    if at is None or Edge.resume([list(row) for row in reached.levels], [], reached.size).root() != at.root():
        return None
    report.first_bad_index = reached.first_bad_index
    report.problems.extend(reached.problems)
    report.problems_left_out = reached.problems_left_out
    return reached


def _edge_at(fetch: Fetch, size: int, minimum: int) -> Edge | None:
    """Where a replay of a pruned log begins: the upper tiles keep what the pruned leaves add up to."""
    if minimum == 0:
        return None
    if minimum % SEGMENT or not 0 < minimum <= size:
        raise VerificationError(f"the minimum index {minimum} is none that a log of {size} leaves can have")
    return Edge.resume(TileTree(fetch, size).edge_at(minimum), [], minimum)


def _chain_after(rows: LogRows, report: VerifyReport) -> WriterChain:
    """The chain of writers, continued behind a prune as the prune's own record in the log says."""
    if report.minimum == 0:
        return WriterChain(report.problem)
    record: dict[str, object] = {}
    for leaf in rows.prunes():
        record = record_of(leaf)
        if record.get("minimum") == str(report.minimum):
            break
    else:
        report.problem(f"leaves below {report.minimum} are missing, and no prune record says so", report.minimum)
    writers = record.get("next")
    start = {name: int(number) for name, number in writers.items()} if isinstance(writers, dict) else {}
    return WriterChain(report.problem, start, partial=record.get("left_out") != 0)


def _stored_heads(rows: LogRows, verifiers: Sequence[Verifier], report: VerifyReport) -> dict[int, Checkpoint]:
    heads: dict[int, Checkpoint] = {}
    latest = b""
    for size, body in rows.checkpoints():
        report.checkpoints += 1
        latest = body
        try:
            head = open_checkpoint(body, verifiers[-1].name, verifiers)
            if head.size != size:
                raise VerificationError(f"it states size {head.size}")
        except VerificationError as error:
            report.problem(f"checkpoint of size {size}: {error}")
        else:
            heads[size] = head
    if rows.heads() != [latest]:
        report.problem("the lock row does not hold the latest checkpoint")
    return heads


def _verify_published(
    published: bytes | None,
    verifiers: Sequence[Verifier],
    heads: dict[int, Checkpoint],
    last: int,
    report: VerifyReport,
) -> None:
    try:
        if published is None:
            raise VerificationError("the file is missing")
        shown = open_checkpoint(published, verifiers[-1].name, verifiers)
        if shown.size > last:
            raise VerificationError(f"it covers {shown.size} leaves; the latest in the database only {last}")
        _add_head(heads, shown, report)
    except VerificationError as error:
        report.problem(f"published checkpoint: {error}")


def _keys_of(home: Path, vkey: str | Sequence[str] | None) -> list[str]:
    if vkey is not None:
        return [vkey] if isinstance(vkey, str) else list(vkey)
    retired = home / "retired.vkeys"
    return [*(retired.read_text().split() if retired.exists() else ()), *(home / "log.vkey").read_text().split()]


def _add_head(heads: dict[int, Checkpoint], head: Checkpoint, report: VerifyReport) -> None:
    known = heads.setdefault(head.size, head)
    if known.root != head.root:
        report.problem(f"two checkpoints of size {head.size} with different roots: the log was forked")


def _verify_bodies(rows: LogRows, report: VerifyReport) -> None:
    for id_, key, ciphertext, commitment, index, leaf in rows.bodies():
        report.bodies += 1
        if leaf is None:
            report.problem(f"the body of record {_uuid_text(id_).decode()} belongs to no leaf")
        elif _field(leaf, "body") != {
            "sha256": sha256(ciphertext).hexdigest(),
            "bytes": str(len(ciphertext)),
            "key": key,
            "commit": commitment,
        }:
            report.problem(f"the body of leaf {index} is not the one that the leaf names", index)


def _open_read_only(database: Path) -> sqlite3.Connection:
    uri = database.absolute().as_uri()
    try:
        db = sqlite3.connect(uri + "?mode=ro", uri=True, isolation_level=None)
        db.execute("SELECT 1 FROM coordination").fetchone()
    except sqlite3.OperationalError:
        # A copy on a read-only medium: SQLite cannot make its shared-memory file there, nor need it.
        if database.with_name(database.name + "-wal").exists():
            raise
        db = sqlite3.connect(uri + "?mode=ro&immutable=1", uri=True, isolation_level=None)
    return db


def _field(leaf: bytes, name: str) -> object:
    try:
        record = json.loads(leaf)
    except (ValueError, RecursionError):
        return None
    return record.get(name) if isinstance(record, dict) else None


def _uuid_text(raw: bytes) -> bytes:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()
