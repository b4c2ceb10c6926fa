# SPDX-License-Identifier: Apache-2.0
"""Bundles for auditors: records with their proofs, in a zip that anyone can check offline (docs/audit.md).

What must hold: a bundle is written whole or not at all, under its name only when it is finished; memory stays small
(about a kilobyte a record for the zip's own directory); all proofs lead to one checkpoint, the latest when the export
began, so leaves newer than it are left out and counted; one that was interrupted goes on where it stopped (`draft`).
Reading bodies is worth a record of type ``access``: the caller writes it, before.
"""

import heapq
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import IO, Literal

from audit_log.bundle import BUNDLE_SCHEMA, MANIFEST_NOTE_HEADER, SUPPORT_FILES
from audit_log.bundle_readme import README_EN, README_ZH
from audit_log.checkpoint import open_checkpoint
from audit_log.draft import Draft, DraftState
from audit_log.errors import AuditError, VerificationError
from audit_log.interfaces import FoundRow, LogStore, Query, Tiles
from audit_log.merkle import consistency_proof, inclusion_proof
from audit_log.note import Signer, Verifier, sign_note
from audit_log.parquet import write_parquet
from audit_log.proof import TlogProof
from audit_log.record import format_time, format_time_us
from audit_log.sample import Sample
from audit_log.sealing import data_key_of, unwrap_subject_key
from audit_log.tiles import TileTree
from audit_log.timestamping import KeptStamp
from audit_log.trust import TrustPolicy
from audit_log.verifier_file import verifier_source
from audit_log.view import csv_head, csv_line, record_of

Bodies = Literal["none", "sealed", "opened"]

_PAGE = 500
_SEGMENT_BITS = 16
_MOST_CHECKPOINTS = 100
_COPY_BYTES = 1 << 20
_KEEP_EVERY = 10_000
_CASE_TYPES = ("case", "complaint")


class ExportRefused(AuditError):
    """The bundle cannot be made as it was asked for; nothing was written."""


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A log to export from. ``verifiers`` are all keys that it had, the newest last; ``timestamps`` by size."""

    store: LogStore
    folder: Tiles
    signer: Signer
    verifiers: tuple[Verifier, ...]
    master_key: bytes | None = None
    timestamps: tuple[KeptStamp, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """What to export. Absent means any; times in seconds since the epoch, ``until`` excluded.

    ``from_index`` and ``to_index`` (excluded) cut a part out of the log without making it a selection, so that a long
    log can be handed over in several bundles, each complete for its range.
    """

    since: float | None = None
    until: float | None = None
    tenant: str | None = None
    subject: str | None = None
    class_: str | None = None
    action: str | None = None
    type: str | None = None
    from_index: int | None = None
    to_index: int | None = None
    incident: str | None = None
    case: str | None = None
    sample: Sample | None = None

    def query(self) -> Query:
        """What is asked of the search index; ``matches`` asks the rest of the record itself."""
        return Query(
            since_us=None if self.since is None else round(self.since * 1_000_000),
            until_us=None if self.until is None else round(self.until * 1_000_000),
            tenant=self.tenant,
            subject=self.subject,
            class_=self.class_,
            action=self.action,
            type=self.type,
            incident=None if self.incident is None else True,
        )

    def queries(self) -> list[Query]:
        """The same; a case is told in records of two types."""
        query = self.query()
        if self.case is None or self.type is not None:
            return [query]
        return [replace(query, type=type_) for type_ in _CASE_TYPES]

    def matches(self, leaf: bytes) -> bool:
        """Whether a record that the search index named is of the incident and the case that were asked for."""
        if self.incident is None and self.case is None:
            return True
        record = record_of(leaf)
        return all(
            wanted is None or record.get(name) == wanted
            for name, wanted in (("incident", self.incident), ("case", self.case))
        )

    def filters(self) -> dict[str, object]:
        """What the manifest says about it. The pseudonym that was asked for is not written down."""
        query = self.query()
        said = {
            "since": None if query.since_us is None else format_time_us(query.since_us),
            "until": None if query.until_us is None else format_time_us(query.until_us),
            "tenant": self.tenant,
            "subject": None if self.subject is None else "(one subject)",
            "class": self.class_,
            "action": self.action,
            "type": self.type,
            "incident": self.incident,
            "case": self.case,
            "sample": None if self.sample is None else self.sample.as_json(),
        }
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written: path, SHA-256 of the zip, number of records, tree size, records too new for a checkpoint."""

    path: Path
    sha256: str
    records: int
    first: int | None
    last: int | None
    tree_size: int
    pending: int
    bodies: int
    complete: bool

    def as_json(self) -> dict[str, object]:
        """The result as plain data."""
        return {name: str(self.path) if name == "path" else getattr(self, name) for name in self.__slots__}


def export_bundle(
    source: ExportSource,
    out: Path,
    selection: Selection = Selection(),
    *,
    clock: Callable[[], float],
    generator: str,
    policy: TrustPolicy | None = None,
    older: Sequence[bytes] = (),
    bodies: Bodies = "none",
    witnessed: bytes | None = None,
    parquet: bool = False,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ExportResult:
    """Write a bundle to ``out``, which must not exist. Blocks.

    ``generator`` names the program and its version. ``policy`` is the trust policy to hand out, without one the log's
    keys and no witnesses. ``older``: checkpoints that the auditor kept; the bundle gets what is needed to show that it
    continues them. ``witnessed``: a recent checkpoint with its witnesses' cosignatures (`witness`), which the bundle
    is then made of. ``parquet``: with a view for data tools too. ``resume``: keep what was done when it is cut short,
    in a folder beside ``out``, and go on from what an earlier call with the same arguments kept; its checkpoint then
    stays the bundle's. ``progress`` gets (indices looked at, indices in all). Raises ExportRefused, DraftRefused,
    VerificationError where the log is damaged, LogUnavailable.
    """
    out = Path(out)
    if out.exists():
        raise ExportRefused(f"{out.name} exists already; choose another name")
    if bodies == "opened" and source.master_key is None:
        raise ExportRefused("bodies cannot be opened without the master key")
    if selection.sample is not None and len(selection.filters()) > 1:
        raise ExportRefused("a sample is drawn from all records of its range; give no other filter with it")
    asked = _asked(selection, generator, policy, older, bodies, parquet)
    is_done = False
    draft: Draft | None = None
    try:
        folder = out.with_name(f"{out.name}.unfinished")
        draft = Draft.resume(folder, asked) if resume else None
        if draft is None:
            draft = Draft.begin(folder, DraftState(asked, (witnessed or source.store.head()).decode(), clock()))
        unfinished = folder / "bundle.zip"
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as pack:
            writer = _BundleWriter(source, pack, selection, policy, older, bodies, draft, resume, parquet)
            writer.write(generator, progress)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        digest = sha256()
        with unfinished.open("rb") as file:
            while chunk := file.read(_COPY_BYTES):
                digest.update(chunk)
        unfinished.rename(out)
        is_done = True
    except OSError as error:
        raise ExportRefused(f"the bundle cannot be written: {error.strerror}; see to the disk") from error
    finally:
        if draft is not None and (is_done or not resume):
            draft.discard()
        elif draft is not None:
            draft.close()
    return ExportResult(
        path=out,
        sha256=digest.hexdigest(),
        records=draft.state.records,
        first=draft.state.first,
        last=draft.state.last,
        tree_size=writer.head.size,
        pending=writer.pending,
        bodies=writer.bodies,
        complete=writer.complete,
    )


class _BundleWriter:
    def __init__(
        self,
        source: ExportSource,
        pack: zipfile.ZipFile,
        selection: Selection,
        policy: TrustPolicy | None,
        older: Sequence[bytes],
        bodies: Bodies,
        draft: Draft,
        is_kept: bool,
        parquet: bool,
    ) -> None:
        self._source = source
        self._pack = pack
        self._selection = selection
        self._policy = policy or TrustPolicy(source.verifiers)
        self._older = older
        self._kind = bodies
        self._draft = draft
        self._is_kept = is_kept
        self._parquet = parquet
        self._now = draft.state.made_at
        self._files: dict[str, dict[str, str]] = {}
        self._proofs_digest = sha256()
        self._note = draft.state.head.encode()
        origin = source.signer.name
        self.head = open_checkpoint(self._note, origin, source.verifiers)
        self._prover = Prover(source.folder, self.head.size, self._note)
        self.complete = not selection.filters()
        self.bodies = 0
        self.pending = max(0, source.store.next_index() - self.head.size)

    def write(self, generator: str, progress: Callable[[int, int], None] | None) -> None:
        counts: dict[str, str] = {}
        self._find_records(progress)
        self._write_records()
        for name, type_ in SUPPORT_FILES.items():
            found = list(self._support(type_))
            counts[type_] = str(len(found))
            self._add(name, (json.dumps({"records": found}, ensure_ascii=False, indent=1) + "\n").encode())
        self._write_checkpoints()
        self._add("policy.txt", self._policy.encode())
        for verifier in self._source.verifiers:
            self._add(f"keys/{verifier.key_id.hex()}.vkey", f"{verifier.vkey}\n".encode())
        self._add("verify.py", verifier_source())
        self._add("record.schema.json", Path(__file__).with_name("record.schema.json").read_bytes())
        self._add("README.en.md", README_EN.encode())
        self._add("README.zh.md", README_ZH.encode())
        manifest = {
            "schema": BUNDLE_SCHEMA,
            "generator": generator,
            "made_at": format_time(self._now),
            "origin": self.head.origin,
            "tree_size": str(self.head.size),
            "pending": str(self.pending),
            "minimum": str(self._source.store.minimum()),
            "filters": self._selection.filters(),
            "complete": self.complete,
            "range": {"first": _text(self._draft.state.first), "last": _text(self._draft.state.last)},
            "bodies": self._kind,
            "counts": {"record": str(self._draft.state.records), **counts},
            "proofs_sha256": self._proofs_digest.hexdigest(),
            "files": self._files,
        }
        data = (json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
        self._put("MANIFEST.json", data)
        text = f"{MANIFEST_NOTE_HEADER}\n{sha256(data).hexdigest()}\n"
        self._put("MANIFEST.sig", sign_note(text, [self._source.signer]))

    def _find_records(self, progress: Callable[[int, int], None] | None) -> None:
        draft = self._draft
        for index, leaf in self._selected(progress):
            draft.add(index, leaf, self._prover.prove(index))
            if self._is_kept and draft.state.records % _KEEP_EVERY == 0:
                draft.keep(index + 1)
        if self._is_kept:
            draft.keep(self._end())
        draft.flush()

    def _write_records(self) -> None:
        draft = self._draft
        table_file = draft.folder / "records.csv"
        with table_file.open("wb") as table:
            table.write(csv_head())
            for index, leaf, proof in draft.items():
                table.write(csv_line(index, leaf))
                self._proofs_digest.update(proof)
                self._put(f"proofs/{index}.tlog-proof", proof)
                if self._kind != "none":
                    self._write_body(index, leaf)
        with draft.records() as lines:
            self._add_stream("records.jsonl", lines)
        with table_file.open("rb") as table:
            self._add_stream("records.csv", table)
        if self._parquet:
            view = draft.folder / "records.parquet"
            write_parquet(view, ((index, leaf) for index, leaf, _ in draft.items()))
            with view.open("rb") as rows:
                self._add_stream("records.parquet", rows)

    def _end(self) -> int:
        to_index = self._selection.to_index
        return self.head.size if to_index is None else min(self.head.size, to_index)

    def _selected(self, progress: Callable[[int, int], None] | None) -> Iterator[tuple[int, bytes]]:
        store = self._source.store
        begin, end = max(self._selection.from_index or 0, store.minimum()), self._end()
        start = max(begin, self._draft.state.after)
        if self.complete:
            found = start
            for index, leaf in zip(range(start, end), store.leaves(start, end), strict=False):
                found = index + 1
                yield index, leaf
                if progress is not None and index % _PAGE == 0:
                    progress(index - begin, end - begin)
            if found < end:
                raise VerificationError(f"leaf {found} is missing; run audit verify")
            return
        if self._selection.sample is not None:
            yield from self._sampled(self._selection.sample, start, progress)
            return
        queries = self._selection.queries()
        pages = [_leaves_of_pages(store, _pages(store, query, start - 1, end)) for query in queries]
        for seen, (index, leaf) in enumerate(heapq.merge(*pages)):
            if self._selection.matches(leaf):
                yield index, leaf
            if progress is not None and seen % _PAGE == 0:
                progress(index + 1 - begin, end - begin)

    def _sampled(
        self, sample: Sample, start: int, progress: Callable[[int, int], None] | None
    ) -> Iterator[tuple[int, bytes]]:
        store = self._source.store
        if sample.end > self.head.size or sample.begin < store.minimum():
            raise ExportRefused(
                f"a sample is drawn from records {store.minimum()} to {self.head.size} (excluded) of this checkpoint"
            )
        indices = sample.indices(self.head.root)
        for done, index in enumerate(indices):
            leaf = next(store.leaves(index, index + 1), None) if index >= start else b""
            if leaf is None:
                raise VerificationError(f"leaf {index} is missing from the database; run audit verify")
            if index >= start:
                yield index, leaf
            if progress is not None:
                progress(done + 1, len(indices))

    def _write_body(self, index: int, leaf: bytes) -> None:
        record_id = record_of(leaf).get("id")
        found = self._source.store.body(record_id) if isinstance(record_id, str) else None
        if found is None:
            return
        sealed, wrapped = found
        facts: dict[str, object] = {"index": str(index), "id": record_id}
        if self._kind == "opened":
            if wrapped is None or self._source.master_key is None:
                return
            key = unwrap_subject_key(sealed.key_id, wrapped, self._source.master_key)
            facts["data_key"] = data_key_of(sealed, key).hex()
        self._add(f"bodies/{index}.json", (json.dumps(facts) + "\n").encode())
        self._add(f"bodies/{index}.sealed", sealed.ciphertext)
        self.bodies += 1

    def _support(self, type_: str) -> Iterator[dict[str, str]]:
        store = self._source.store
        for rows in _pages(store, Query(type=type_), -1, self.head.size):
            for index, leaf in _leaves_of(store, rows):
                prover = self._prover if type_ != "key" else self._prover_of_change(index, leaf)
                yield {"index": str(index), "record": leaf.decode(), "proof": prover.prove(index).decode()}

    def _prover_of_change(self, index: int, leaf: bytes) -> "Prover":
        """Proves a change of keys under a checkpoint that the old key signed too, so that trust can go on from it."""
        old = record_of(leaf).get("old")
        known = [verifier for verifier in self._source.verifiers if verifier.vkey == old]
        for size, note in self._source.store.checkpoints() if known else ():
            if size > index:
                try:
                    open_checkpoint(note, self.head.origin, known)
                except VerificationError:
                    break  # the first one that covers it is the one that both signed, or none is
                return Prover(self._source.folder, size, note)
        return self._prover

    def _write_checkpoints(self) -> None:
        """The latest checkpoint, some that lie evenly before it, those the auditor kept, and the tiles between them."""
        source, size = self._source, self.head.size
        tiles: dict[str, bytes] = {}

        def fetch(path: str) -> bytes | None:
            data = source.folder.fetch(path)
            if data is not None:
                tiles[path] = data
            return data

        tree = TileTree(fetch, size)
        kept = [open_checkpoint(note, self.head.origin, source.verifiers).size for note in self._older]
        if any(other > size for other in kept):
            raise ExportRefused("a checkpoint that the auditor kept is newer than the log: an old copy was restored")
        for other in (0, *kept):
            self._cover(tree, other)
        for other, note in _spread(source.store, size, kept):
            self._cover(tree, other)
            self._add(f"checkpoints/{other}.txt", note)
        self._add(f"checkpoints/{size}.txt", self._note)
        for stamp in self._stamps():
            self._cover(tree, stamp.size)
            self._add(f"timestamps/{stamp.size}.txt", stamp.note)
            self._add(f"timestamps/{stamp.size}.tsr", stamp.response)
        for path, data in tiles.items():
            self._add(f"tiles/{path}", data, zipfile.ZIP_STORED)

    def _stamps(self) -> list[KeptStamp]:
        """The latest time-stamp, and at most 100 more that lie evenly before it."""
        size, minimum = self.head.size, self._source.store.minimum()
        found = [stamp for stamp in self._source.timestamps if minimum <= stamp.size <= size]
        step = max(1, -(-len(found) // _MOST_CHECKPOINTS))
        return found[::-1][::step]

    def _cover(self, tree: TileTree, size: int) -> None:
        """Read the tiles that show that the tree continues the one of this size."""
        if 0 < size < self.head.size and size >= self._source.store.minimum():
            consistency_proof(size, self.head.size, tree.perfect)

    def _add(self, name: str, data: bytes, kind: int = zipfile.ZIP_DEFLATED) -> None:
        self._files[name] = {"sha256": sha256(data).hexdigest(), "bytes": str(len(data))}
        self._put(name, data, kind)

    def _add_stream(self, name: str, file: IO[bytes]) -> None:
        digest, size = sha256(), 0
        file.seek(0)
        with self._pack.open(self._info(name, zipfile.ZIP_DEFLATED), "w", force_zip64=True) as target:
            while chunk := file.read(_COPY_BYTES):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
        self._files[name] = {"sha256": digest.hexdigest(), "bytes": str(size)}

    def _put(self, name: str, data: bytes, kind: int = zipfile.ZIP_DEFLATED) -> None:
        self._pack.writestr(self._info(name, kind), data)

    def _info(self, name: str, kind: int) -> zipfile.ZipInfo:
        at = datetime.fromtimestamp(self._now, UTC)
        info = zipfile.ZipInfo(name, (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second // 2 * 2))
        info.compress_type = kind
        info.external_attr = 0o644 << 16
        return info


@dataclass(slots=True)
class Prover:
    """Makes many proofs of one tree; keeps the hashes of the neighbourhood, so that each costs a few hashes."""

    folder: Tiles
    size: int
    note: bytes
    _segment: int = -1
    _tree: TileTree | None = None
    _kept: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def prove(self, index: int) -> bytes:
        """The tlog-proof of a leaf; raises VerificationError where tiles are missing."""
        if index >> _SEGMENT_BITS != self._segment:
            self._segment = index >> _SEGMENT_BITS
            self._tree = TileTree(self.folder.fetch, self.size)
            self._kept.clear()
        return TlogProof(index, tuple(inclusion_proof(index, self.size, self._perfect)), self.note).encode()

    def _perfect(self, level: int, index: int) -> bytes:
        hash_ = self._kept.get((level, index))
        if hash_ is None:
            assert self._tree is not None
            hash_ = self._kept[level, index] = self._tree.perfect(level, index)
        return hash_


def _pages(store: LogStore, query: Query, after: int, end: int) -> Iterator[list[FoundRow]]:
    while rows := [row for row in store.search(query, after, _PAGE) if row.index < end]:
        yield rows
        after = rows[-1].index


def _leaves_of_pages(store: LogStore, pages: Iterator[list[FoundRow]]) -> Iterator[tuple[int, bytes]]:
    for rows in pages:
        yield from _leaves_of(store, rows)


def _leaves_of(store: LogStore, rows: Sequence[FoundRow]) -> Iterator[tuple[int, bytes]]:
    """Leaves of rows; rows that lie next to each other are read at once."""
    for _, run in groupby(enumerate(rows), lambda item: item[1].index - item[0]):
        indices = [row.index for _, row in run]
        leaves = list(store.leaves(indices[0], indices[-1] + 1))
        if len(leaves) != len(indices):
            raise VerificationError(f"leaf {indices[len(leaves)]} is missing from the database; run audit verify")
        yield from zip(indices, leaves, strict=True)


def _spread(store: LogStore, size: int, kept: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Checkpoints older than ``size``: those of the sizes in ``kept``, and at most 100 that lie evenly."""
    minimum = store.minimum()
    total = sum(1 for other, _ in store.checkpoints() if minimum <= other < size)
    step = max(1, -(-total // _MOST_CHECKPOINTS))
    at = 0
    for other, note in store.checkpoints():
        if minimum <= other < size:
            if at % step == 0 or other in kept:
                yield other, note
            at += 1


def _asked(
    selection: Selection,
    generator: str,
    policy: TrustPolicy | None,
    older: Sequence[bytes],
    bodies: Bodies,
    parquet: bool,
) -> str:
    """A digest of all that makes one export another than the next."""
    handed = [None if policy is None else policy.encode().hex(), *(note.hex() for note in older)]
    return sha256(json.dumps([asdict(selection), generator, handed, bodies, parquet]).encode()).hexdigest()


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
