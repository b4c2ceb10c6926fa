# SPDX-License-Identifier: Apache-2.0
"""Copies of the log's full segments in object storage that cannot delete them for a time (S3 Object Lock).

A segment is 65,536 records. Under ``<prefix><origin>/<number, 8 digits>/`` lie ``records.jsonl.gz`` (the leaves, one a
line), ``records.parquet`` where wanted, and, written last, ``segment.json``: hashes, and the proof that ties all of it
to a signed checkpoint. What must hold: only what a published checkpoint covers is copied; a segment counts from its
``segment.json`` on, so that an interrupted copy goes on; a copy is checked from the object storage alone, with the
log's keys; sealed bodies are never copied, because a locked copy could not be forgotten.
"""

import gzip
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

from audit_log.checkpoint import open_checkpoint
from audit_log.errors import AuditError, VerificationError
from audit_log.export import ExportSource, Prover
from audit_log.holds import holds_in_force
from audit_log.merkle import leaf_hash, verify_inclusion
from audit_log.note import Verifier
from audit_log.parquet import write_parquet
from audit_log.proof import parse_proof
from audit_log.record import format_time
from audit_log.retention import DAY_S
from audit_log.tiles import MAX_LEAF_BYTES, SEGMENT, perfect_root

SEGMENT_BITS = SEGMENT.bit_length() - 1

_SCHEMA = "dutybound-segment/1"
_MARK = "segment.json"
_RECORDS = "records.jsonl.gz"
_VIEW = "records.parquet"
_CHUNK_BYTES = 1 << 20
_MAX_MARK_BYTES = 1 << 20
_MOST_PROBLEMS = 100

Progress = Callable[[int, int], None]


class ArchiveRefused(AuditError):
    """The archive cannot be used as it is; the message says why. What was copied before stays."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What the object storage says of an object. ``sha256``: as it was told when the object was put.

    ``locked_until``: seconds since the epoch, None where it is not locked. ``is_held``: under a legal hold.
    """

    sha256: str
    locked_until: float | None
    is_held: bool


class ObjectStore(Protocol):
    """A bucket. Methods block; they raise LogUnavailable where nobody answers, ArchiveRefused where it refuses."""

    def check(self) -> None:
        """Raise ArchiveRefused where the bucket cannot lock objects."""
        ...

    def put(self, key: str, file: IO[bytes], digest: str, locked_until: float) -> None:
        """Store an object, durable and locked on return; an older one of the same name stays as an older version."""
        ...

    def find(self, key: str) -> StoredObject | None: ...

    def read(self, key: str) -> AbstractContextManager[IO[bytes]]:
        """An object for reading, from its beginning to its end."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of what lies directly under a prefix, up to the next slash, in order."""
        ...

    def hold(self, key: str, is_held: bool) -> None:
        """Place or lift the legal hold of an object."""
        ...


@dataclass(slots=True)
class ArchiveReport:
    """What a look at the archive found. ``segments`` hold; ``missing``: full segments of the log that are not there.

    ``locked_until``: when the first lock ends, seconds since the epoch; None where there is no segment.
    """

    segments: int = 0
    records: int = 0
    first: int | None = None
    missing: list[int] = field(default_factory=list)
    locked_until: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems and not self.missing

    def as_json(self) -> dict[str, object]:
        """The report as plain data."""
        until = None if self.locked_until is None else format_time(self.locked_until)
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {"ok": self.ok, **plain, "locked_until": until}


def archive_segments(
    source: ExportSource,
    objects: ObjectStore,
    *,
    prefix: str,
    lock_days: int,
    clock: Callable[[], float],
    parquet: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Copy all full segments that are not there yet, and carry legal holds over to the copies. Blocks.

    Gives ``copied`` and ``there`` (numbers of segments) and ``held``. ``progress`` gets (segments done, in all).
    """
    objects.check()
    note = source.store.head()
    head = open_checkpoint(note, source.signer.name, source.verifiers)
    numbers = range(source.store.minimum() >> SEGMENT_BITS, head.size >> SEGMENT_BITS)
    place = f"{prefix}{head.origin}/"
    copied: list[int] = []
    there: list[int] = []
    prover = Prover(source.folder, head.size, note)
    for done, number in enumerate(numbers):
        base = f"{place}{number:08d}/"
        if objects.find(base + _MARK) is not None:
            there.append(number)
        else:
            if not dry_run:
                _copy(source, objects, base, number, prover, clock() + lock_days * DAY_S, clock(), parquet)
            copied.append(number)
        if progress is not None:
            progress(done + 1, len(numbers))
    held = _carry_holds(source, objects, place, numbers, dry_run)
    return {"dry_run": dry_run, "copied": copied, "there": there, "held": held, "tree_size": head.size}


def verify_archive(
    objects: ObjectStore,
    *,
    prefix: str,
    origin: str,
    verifiers: Sequence[Verifier],
    expected: range,
    progress: Progress | None = None,
) -> ArchiveReport:
    """Read every segment back and check it against its checkpoint, with nothing but the log's keys. Blocks.

    ``expected``: numbers of the segments that the log has. Segments that the log dropped since are checked too.
    """
    report = ArchiveReport()
    place = f"{prefix}{origin}/"
    found = [int(name) for name in objects.folders(place) if name.isascii() and name.isdigit()]
    for done, number in enumerate(found):
        base = f"{place}{number:08d}/"
        try:
            _check_segment(objects, base, number, origin, verifiers, report)
            report.segments += 1
            report.records += SEGMENT
            report.first = number * SEGMENT if report.first is None else report.first
        except VerificationError as error:
            if len(report.problems) < _MOST_PROBLEMS:
                report.problems.append(f"segment {number}: {error}")
        if progress is not None:
            progress(done + 1, len(found))
    report.missing = sorted({*expected} - {*found})
    return report


def restore_segment(
    objects: ObjectStore, *, prefix: str, origin: str, verifiers: Sequence[Verifier], number: int, out: Path
) -> int:
    """Write the records of a checked segment to a new file, one leaf a line; gives the index of the first.

    Raises VerificationError where the copy does not hold, ArchiveRefused where the file is there already.
    """
    base = f"{prefix}{origin}/{number:08d}/"
    if out.exists():
        raise ArchiveRefused(f"{out.name} exists already; choose another name")
    unfinished = out.with_name(f"{out.name}.new")
    try:
        with unfinished.open("wb") as file:
            _check_segment(objects, base, number, origin, verifiers, ArchiveReport(), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return number * SEGMENT


def _copy(
    source: ExportSource,
    objects: ObjectStore,
    base: str,
    number: int,
    prover: Prover,
    until: float,
    now: float,
    parquet: bool,
) -> None:
    first = number * SEGMENT
    files: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        hashes = _pack(source, first, Path(folder) / _RECORDS)
        if parquet:
            write_parquet(Path(folder) / _VIEW, enumerate(_leaves(source, first), first))
        proof = prover.prove(first)
        for name in (_RECORDS, _VIEW) if parquet else (_RECORDS,):
            with (Path(folder) / name).open("rb") as file:
                digest = _digest(file)
                files[name] = {"sha256": digest, "bytes": str(file.tell())}
                there = objects.find(base + name)
                if there is None or there.sha256 != digest or there.locked_until is None:
                    file.seek(0)
                    objects.put(base + name, file, digest, until)
        mark = {
            "schema": _SCHEMA,
            "origin": source.signer.name,
            "first": str(first),
            "records": str(SEGMENT),
            "root": perfect_root(hashes).hex(),
            "proof": proof.decode(),
            "made_at": format_time(now),
            "files": files,
        }
        with tempfile.TemporaryFile() as file:
            file.write((json.dumps(mark, indent=1, ensure_ascii=False) + "\n").encode())
            digest = _digest(file)
            file.seek(0)
            objects.put(base + _MARK, file, digest, until)


def _pack(source: ExportSource, first: int, path: Path) -> list[bytes]:
    """Write the packed records; gives their leaf hashes. Raises VerificationError where one is missing."""
    hashes = []
    with path.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        for leaf in _leaves(source, first):
            hashes.append(leaf_hash(leaf))
            packed.write(leaf + b"\n")
    if len(hashes) != SEGMENT:
        raise VerificationError(f"leaf {first + len(hashes)} is missing from the database; run audit verify")
    return hashes


def _leaves(source: ExportSource, first: int) -> Iterator[bytes]:
    return source.store.leaves(first, first + SEGMENT)


def _carry_holds(source: ExportSource, objects: ObjectStore, place: str, numbers: range, dry_run: bool) -> list[int]:
    """As pruning has it, a hold keeps the segment of its first record and everything behind it."""
    starts = [hold.scope.first_index(source.store) for hold in holds_in_force(source.store)]
    kept_from = min((index for index in starts if index is not None), default=None)
    held = []
    for number in numbers:
        is_held = kept_from is not None and number >= kept_from >> SEGMENT_BITS
        if is_held:
            held.append(number)
        for name in (_RECORDS, _VIEW, _MARK):
            key = f"{place}{number:08d}/{name}"
            there = None if dry_run else objects.find(key)
            if there is not None and there.is_held != is_held:
                objects.hold(key, is_held)
    return held


def _check_segment(
    objects: ObjectStore,
    base: str,
    number: int,
    origin: str,
    verifiers: Sequence[Verifier],
    report: ArchiveReport,
    out: IO[bytes] | None = None,
) -> None:
    mark = _read_mark(objects, base)
    first = number * SEGMENT
    if (mark.get("origin"), mark.get("first")) != (origin, str(first)):
        raise VerificationError("its segment.json is of another log or another segment")
    files = mark.get("files")
    if not isinstance(files, dict) or _RECORDS not in files:
        raise VerificationError("its segment.json names no records")
    for name in (_MARK, *files):
        there = objects.find(base + str(name))
        if there is None or there.locked_until is None:
            raise VerificationError(f"{name} is {'missing' if there is None else 'not locked'}")
        if report.locked_until is None or there.locked_until < report.locked_until:
            report.locked_until = there.locked_until
    with tempfile.TemporaryFile() as file:
        for name, facts in files.items():
            file.seek(0)
            file.truncate()
            with objects.read(base + str(name)) as data:
                shutil.copyfileobj(data, file, _CHUNK_BYTES)
            if not isinstance(facts, dict) or facts.get("sha256") != _digest(file):
                raise VerificationError(f"{name} is not the file that was put there")
            if name == _RECORDS:
                _check_records(file, first, str(mark.get("proof")).encode(), origin, verifiers, out)


def _check_records(
    file: IO[bytes], first: int, proof_file: bytes, origin: str, verifiers: Sequence[Verifier], out: IO[bytes] | None
) -> None:
    file.seek(0)
    hashes = []
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as lines:
            for line in islice(iter(lambda: lines.readline(MAX_LEAF_BYTES + 2), b""), SEGMENT + 1):
                hashes.append(leaf_hash(line.removesuffix(b"\n")))
                if out is not None:
                    out.write(line)
    except (OSError, EOFError, zlib.error):
        raise VerificationError(f"{_RECORDS} cannot be unpacked") from None
    if len(hashes) != SEGMENT:
        raise VerificationError(f"{_RECORDS} does not hold {SEGMENT:,} records")
    proof = parse_proof(proof_file)
    head = open_checkpoint(proof.checkpoint, origin, verifiers)
    if proof.index != first:
        raise VerificationError("its proof is of another record")
    verify_inclusion(hashes[0], first, head.size, proof.path, head.root)
    # The path of the first record leads over all others of the segment before it leaves the segment.
    for height in range(SEGMENT_BITS):
        if proof.path[height] != perfect_root(hashes[1 << height : 2 << height]):
            raise VerificationError(f"a record from {first + (1 << height)} on is not the one in the log")


def _read_mark(objects: ObjectStore, base: str) -> Mapping[str, object]:
    if objects.find(base + _MARK) is None:
        raise VerificationError("it was not copied to its end; run audit archive")
    with objects.read(base + _MARK) as file:
        data = file.read(_MAX_MARK_BYTES)
    try:
        mark = json.loads(data)
    except (ValueError, RecursionError):
        mark = None
    if not isinstance(mark, dict) or mark.get("schema") != _SCHEMA:
        raise VerificationError(f"its segment.json is not of schema {_SCHEMA}")
    return mark


def _digest(file: IO[bytes]) -> str:
    digest = sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
