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
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from audit_log.checkpoint import Checkpoint, open_checkpoint
from audit_log.errors import LogNotInitialised, VerificationError
from audit_log.note import Verifier
from audit_log.tiles import WIDTH, Edge, Fetch, TileId, TileTree, fetch_from

Progress = Callable[[int, int], None]
"""(leaves checked, leaves in all), called now and then."""

_MAX_PROBLEMS = 100
_PROGRESS_EVERY = 8192
_WRITER = b',"writer":"'
_TAIL = re.compile(rb',"writer":"([^"\\\x00-\x1f]+)","wseq":"(0|[1-9][0-9]{0,18})"\}\Z')


@dataclass(slots=True)
class VerifyReport:
    """What a check found. ``pending`` leaves are newer than the last checkpoint; ``open_writers`` wrote no shutdown
    record: they run now, or ended without order."""

    origin: str
    tree_size: int = 0
    published_size: int = 0
    checkpoints: int = 0
    pending: int = 0
    writers: int = 0
    open_writers: int = 0
    bodies: int = 0
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


def verify_home(home: Path, *, vkey: str | None = None, progress: Progress | None = None) -> VerifyReport:
    """Check a log's home, also while it is being written. ``vkey``: the log's key as you know it; else the home's own.

    Never raises for what it finds wrong in the log; raises LogNotInitialised where there is none.
    """
    home = Path(home)
    database = home / "audit.db"
    if not database.is_file():
        raise LogNotInitialised(f"{database.name} is missing; is this the folder of a log?")
    report = VerifyReport(origin="")
    try:
        verifier = Verifier.from_vkey(vkey if vkey is not None else (home / "log.vkey").read_text().strip())
    except (OSError, UnicodeDecodeError):
        report.problem("log.vkey cannot be read; give the log's verifier key")
        return report
    except VerificationError as error:
        report.problem(f"verifier key: {error}")
        return report
    report.origin = verifier.name
    fetch = fetch_from(home / "tiles")
    try:
        # Read before the database's snapshot, so that it can only be older than the snapshot's head.
        published = fetch("checkpoint")
        with closing(_open_read_only(database)) as db:
            db.execute("BEGIN")
            _verify_database(db, fetch, verifier, published, report, progress)
    except sqlite3.Error as error:
        report.problem(f"the database is damaged: {getattr(error, 'sqlite_errorname', type(error).__name__)}")
    except VerificationError as error:
        report.problem(str(error))
    return report


def verify_tiles(
    fetch: Fetch, verifier: Verifier, *, older: Iterable[bytes] = (), progress: Progress | None = None
) -> VerifyReport:
    """Check the static files of a tiled log, from its ``checkpoint`` down; ``older`` checkpoints must be consistent.

    Leaves may be anything: the rules of our records are not applied.
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
        replay = _Replay(fetch, head.size, heads, report)
        tree = TileTree(fetch, head.size)
        for number in range((head.size + WIDTH - 1) // WIDTH):
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
        self, fetch: Fetch, published_size: int, heads: Mapping[int, Checkpoint], report: VerifyReport
    ) -> None:
        self._fetch = fetch
        self._published_size = published_size
        self._heads = heads
        self._report = report
        self._edge = Edge()
        self._good_size = 0
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


class _Chain:
    """Numbers of each writer without a gap, its boot record first, nothing after its shutdown record."""

    def __init__(self, report: VerifyReport) -> None:
        self._report = report
        self.next: dict[bytes, int] = {}
        self.ended: set[bytes] = set()

    def add(self, index: int, leaf: bytes) -> None:
        match = _TAIL.match(leaf, leaf.rfind(_WRITER))
        if match is None:
            self._report.problem(f"leaf {index} does not end in a writer and its number", index)
            return
        writer, digits = match.groups()
        number, expected = int(digits), self.next.get(writer, 0)
        if number != expected:
            name = writer.decode("ascii", "replace")
            self._report.problem(f"leaf {index}: writer {name} has number {number}; expected {expected}", index)
        if number == 0 and _type(leaf) != "boot":
            self._report.problem(f"leaf {index}: a writer's first record is not its boot record", index)
        if writer in self.ended:
            self._report.problem(f"leaf {index}: its writer ended before it", index)
        if b'"type":"shutdown"' in leaf and _type(leaf) == "shutdown":
            self.ended.add(writer)
        self.next[writer] = number + 1


def _verify_database(
    db: sqlite3.Connection,
    fetch: Fetch,
    verifier: Verifier,
    published: bytes | None,
    report: VerifyReport,
    progress: Progress | None,
) -> None:
    # Columns are cast: whoever tampers with a database may also change the types of its values.
    found = db.execute("SELECT CAST(next AS INTEGER) FROM coordination").fetchone()
    if found is None:
        raise VerificationError("the coordination row is missing from the database")
    expected = found[0]
    heads = _stored_heads(db, verifier, report)
    last = max(heads, default=0)
    report.published_size = last
    _verify_published(published, verifier, heads, last, report)
    replay = _Replay(fetch, last, heads, report)
    chain = _Chain(report)
    index = 0
    for index, leaf, id_ in db.execute(
        "SELECT leaves.idx, CAST(leaf AS BLOB), CAST(id AS BLOB) FROM leaves LEFT JOIN rows USING (idx)"
        " ORDER BY leaves.idx"
    ):
        if index != replay.size:
            report.problem(f"leaf {replay.size} is missing from the database", replay.size)
            break
        replay.add(leaf)
        chain.add(index, leaf)
        if id_ is None or _uuid_text(id_) not in leaf:
            report.problem(f"leaf {index} has no row of its own in the search index", index)
        if progress is not None and index % _PROGRESS_EVERY == 0:
            progress(index, expected)
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
    _verify_bodies(db, report)
    if progress is not None:
        progress(replay.size, expected)


def _stored_heads(db: sqlite3.Connection, verifier: Verifier, report: VerifyReport) -> dict[int, Checkpoint]:
    heads: dict[int, Checkpoint] = {}
    latest = b""
    for size, body in db.execute("SELECT size, CAST(body AS BLOB) FROM checkpoints ORDER BY size"):
        report.checkpoints += 1
        latest = body
        try:
            head = open_checkpoint(body, verifier.name, [verifier])
            if head.size != size:
                raise VerificationError(f"it states size {head.size}")
        except VerificationError as error:
            report.problem(f"checkpoint of size {size}: {error}")
        else:
            heads[size] = head
    found = db.execute("SELECT CAST(body AS BLOB) FROM head").fetchall()
    if [body for (body,) in found] != [latest]:
        report.problem("the lock row does not hold the latest checkpoint")
    return heads


def _verify_published(
    published: bytes | None, verifier: Verifier, heads: dict[int, Checkpoint], last: int, report: VerifyReport
) -> None:
    try:
        if published is None:
            raise VerificationError("the file is missing")
        shown = open_checkpoint(published, verifier.name, [verifier])
        if shown.size > last:
            raise VerificationError(f"it covers {shown.size} leaves; the latest in the database only {last}")
        _add_head(heads, shown, report)
    except VerificationError as error:
        report.problem(f"published checkpoint: {error}")


def _add_head(heads: dict[int, Checkpoint], head: Checkpoint, report: VerifyReport) -> None:
    known = heads.setdefault(head.size, head)
    if known.root != head.root:
        report.problem(f"two checkpoints of size {head.size} with different roots: the log was forked")


def _verify_bodies(db: sqlite3.Connection, report: VerifyReport) -> None:
    for id_, key, ciphertext, commitment, index, leaf in db.execute(
        "SELECT CAST(bodies.id AS BLOB), key, CAST(ciphertext AS BLOB), commitment, idx, CAST(leaf AS BLOB) FROM bodies"
        " LEFT JOIN rows ON rows.id = bodies.id LEFT JOIN leaves USING (idx)"
    ):
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


def _type(leaf: bytes) -> object:
    return _field(leaf, "type")


def _field(leaf: bytes, name: str) -> object:
    try:
        record = json.loads(leaf)
    except (ValueError, RecursionError):
        return None
    return record.get(name) if isinstance(record, dict) else None


def _uuid_text(raw: bytes) -> bytes:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()
