# SPDX-License-Identifier: Apache-2.0
"""Checking a bundle that was handed to an auditor: standard library and ``cryptography`` only, no network, no trust.

A bundle is a zip, or the folder it was unpacked to. docs/audit.md says what each file is. What must hold: the check
succeeds only where every file is the one that was handed out, every record is in the log under its index, every
checkpoint continues the ones before it, and every view follows from the records; it names the first index that does
not hold, and reports what it finds instead of raising.

What no bundle can show: that a selection is complete, because what was searched for lies outside the tree; an
unfiltered bundle has every index, and shows it. And whoever gives both bundle and key could have made up both: give
the key that you know.
"""

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import IO

from audit_log.chain import WriterChain
from audit_log.checkpoint import Checkpoint, parse_decimal
from audit_log.cosignature import parse_vkey
from audit_log.errors import VerificationError
from audit_log.merkle import consistency_proof, leaf_hash, verify_consistency, verify_inclusion
from audit_log.note import NoteVerifier, Verifier, open_note
from audit_log.proof import parse_proof
from audit_log.receipt import open_receipt
from audit_log.sample import read_sample
from audit_log.sealing import SealedBody, open_with_data_key
from audit_log.tiles import MAX_LEAF_BYTES, TileTree, parse_path
from audit_log.timestamp import open_timestamp, read_roots
from audit_log.trust import TrustPolicy, parse_policy
from audit_log.view import csv_head, csv_line, record_of

BUNDLE_SCHEMA = "dutybound-bundle/1"
MANIFEST_NOTE_HEADER = "dutybound.bundle/v1"
SUPPORT_FILES = {"erasures.json": "erasure", "holds.json": "hold", "prunes.json": "prune", "key-changes.json": "key"}
"""Records of these types come with every bundle, whatever was selected, each with its own proof."""
SELECTION_FIELDS = {name: name for name in ("tenant", "class", "action", "type", "incident", "case")}
"""Filters that can be checked against the record itself: filter name -> field."""

_MAX_SMALL_FILE_BYTES = 256 << 20
_MAX_PROBLEM_TEXTS = 100
_CHUNK_BYTES = 1 << 16
_PROOFS = "proofs/"
_PROOF_END = ".tlog-proof"
_UNSIGNED = ("MANIFEST.json", "MANIFEST.sig")


@dataclass(slots=True)
class BundleReport:
    """What a check found. ``erased`` records are authentic, but the key of their body was destroyed.

    ``key_given``: the log's key came from outside the bundle. ``witnesses`` cosigned the bundle's checkpoint.
    ``complete``: the bundle has every record from ``first`` to ``last``. ``timestamps``: size of the log, when an
    authority stamped it, and its name; ``authority_given``: whose certificates count came from outside the bundle.
    """

    origin: str = ""
    records: int = 0
    first: int | None = None
    last: int | None = None
    tree_size: int = 0
    checkpoints: int = 0
    bodies: int = 0
    erased: int = 0
    complete: bool = False
    key_given: bool = False
    witnesses: list[str] = field(default_factory=list)
    timestamps: list[tuple[int, str, str]] = field(default_factory=list)
    authority_given: bool = False
    first_bad_index: int | None = None
    problems: list[str] = field(default_factory=list)
    problems_left_out: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems

    def problem(self, text: str, index: int | None = None) -> None:
        """Note a problem, with the index of the record it concerns where there is one."""
        if index is not None and (self.first_bad_index is None or index < self.first_bad_index):
            self.first_bad_index = index
        if len(self.problems) < _MAX_PROBLEM_TEXTS:
            self.problems.append(text)
        else:
            self.problems_left_out += 1

    def as_json(self) -> dict[str, object]:
        """The report as plain data."""
        return {"ok": self.ok, **{name: getattr(self, name) for name in self.__slots__}}


class BundleFiles:
    """The files of a bundle, in a zip or in a folder."""

    def __init__(self, path: Path) -> None:
        """Raises VerificationError where there is no bundle, or one that is built to mislead."""
        self._root = path
        self._tile_names: frozenset[str] | None = None
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            self.names = [file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()]
            return
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, ValueError, zipfile.BadZipFile):
            raise VerificationError("there is neither a folder nor a readable zip at this place") from None
        self.names = [name for name in self._zip.namelist() if not name.endswith("/")]
        if len(set(self.names)) != len(self.names):
            raise VerificationError("the zip holds two files of the same name")
        if any(item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for item in self._zip.infolist()):
            raise VerificationError("the zip is packed in a way that no bundle is")

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file for reading; raises VerificationError where it is missing or cannot be read to its end."""
        try:
            with self._zip.open(name) if self._zip is not None else (self._root / name).open("rb") as file:
                yield file
        except (KeyError, FileNotFoundError):
            raise VerificationError(f"{name} is missing") from None
        except (OSError, EOFError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error) as error:
            raise VerificationError(f"{name} cannot be read: {type(error).__name__}") from None

    def read(self, name: str) -> bytes:
        """A small file whole; raises VerificationError."""
        with self.open(name) as file:
            data = file.read(_MAX_SMALL_FILE_BYTES + 1)
        if len(data) > _MAX_SMALL_FILE_BYTES:
            raise VerificationError(f"{name} is larger than any such file")
        return data

    def fetch_tile(self, path: str) -> bytes | None:
        """A tile by its path below the log's prefix, None where the bundle does not have it."""
        parse_path(path)
        name = f"tiles/{path}"
        return self.read(name) if name in self._tiles() else None

    def _tiles(self) -> frozenset[str]:
        if self._tile_names is None:
            self._tile_names = frozenset(name for name in self.names if name.startswith("tiles/"))
        return self._tile_names

    def close(self) -> None:
        if self._zip is not None:
            self._zip.close()


def verify_bundle(
    path: Path,
    *,
    vkeys: Sequence[str] = (),
    policy: bytes | None = None,
    older: Sequence[bytes] = (),
    receipts: Sequence[str] = (),
    tsa_roots: bytes | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BundleReport:
    """Check a bundle.

    ``vkeys``: the log's verifier keys as you know them; without them the bundle's own are taken, which shows damage
    but not a forger. ``policy``: your own trust policy instead of the bundle's. ``older``: checkpoints of this log
    that you kept; the bundle's must continue them. ``receipts``: those of clients, whose records the bundle must hold.
    ``tsa_roots``: certificates in PEM form of time-stamping authorities that you trust; without them a time-stamp shows
    that somebody signed it.
    ``progress`` gets (records checked, records in all).
    """
    report = BundleReport()
    try:
        files = BundleFiles(path)
    except VerificationError as error:
        report.problem(str(error))
        return report
    try:
        _BundleCheck(files, report, vkeys, policy, older, receipts, tsa_roots, progress).run()
    except VerificationError as error:
        report.problem(str(error))
    finally:
        files.close()
    return report


class _BundleCheck:
    def __init__(
        self,
        files: BundleFiles,
        report: BundleReport,
        vkeys: Sequence[str],
        policy: bytes | None,
        older: Sequence[bytes],
        receipts: Sequence[str],
        tsa_roots: bytes | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._files = files
        self._report = report
        self._given = vkeys
        self._own_policy = policy
        self._older = older
        self._receipts = receipts
        self._tsa_roots = tsa_roots
        self._progress = progress
        self._head_note = b""
        self._head = Checkpoint("", 0, b"")
        self._erased: set[str] = set()

    def run(self) -> None:
        """1 manifest and keys, 2 hashes, 3 checkpoints, 4 what was done to the log, 5 records, 6 bodies."""
        names = self._files.names
        manifest = _json_object(self._files.read("MANIFEST.json"), "MANIFEST.json")
        if manifest.get("schema") != BUNDLE_SCHEMA:
            raise VerificationError(f"MANIFEST.json is not of schema {BUNDLE_SCHEMA}; use the verifier it came with")
        self._report.origin = _text(manifest, "origin")
        policy = self._read_policy(names)
        self._check_signature(policy.logs)
        self._check_files(manifest, names)
        self._check_checkpoints(manifest, names, policy)
        self._check_support(manifest)
        promised = self._open_receipts(policy.logs)
        indices = _proof_indices(names)
        self._check_records(manifest, indices, promised)
        self._check_bodies(names, indices)

    def _read_policy(self, names: Iterable[str]) -> TrustPolicy:
        report, origin = self._report, self._report.origin
        keys = [
            parse_vkey(_one_line(self._files.read(name), name))
            for name in sorted(names)
            if name.startswith("keys/") and name.endswith(".vkey")
        ]
        own = parse_policy(self._files.read("policy.txt"))
        if {log.vkey for log in own.logs} != {key.vkey for key in keys}:
            report.problem("policy.txt and keys/ do not name the same keys of the log")
        if any(log.name != origin for log in own.logs) or not own.logs:
            report.problem("policy.txt names no key of this log, or keys of another one")
        policy = own if self._own_policy is None else parse_policy(self._own_policy)
        outside = [parse_vkey(vkey) for vkey in self._given] if self._given else []
        if not outside and self._own_policy is not None:
            outside = list(policy.logs)
        if not outside:
            return policy
        report.key_given = True
        known = {log.vkey for log in own.logs}
        trusted = {key.vkey: key for key in outside if isinstance(key, Verifier) and key.vkey in known}
        if not trusted:
            raise VerificationError("the key you gave is not a key of this bundle: it is of another log, or forged")
        self._follow_rotations(trusted, own.logs)
        for log in own.logs:
            if log.vkey not in trusted:
                report.problem(f"key {log.key_id.hex()} of the bundle is not reached from the key you gave")
        return TrustPolicy(tuple(trusted.values()), policy.witnesses, policy.groups, policy.quorum)

    def _follow_rotations(self, trusted: dict[str, Verifier], logs: Iterable[Verifier]) -> None:
        """Trust a further key where a record in the log names it, under a checkpoint that a trusted key signed."""
        changes = _support_records(self._files.read("key-changes.json"), "key-changes.json")
        by_vkey = {log.vkey: log for log in logs}
        grown = True
        while grown:
            grown = False
            for _index, leaf, proof in changes:
                record = record_of(leaf)
                for vkey in (record.get("old"), record.get("new")):
                    if not isinstance(vkey, str) or vkey in trusted or vkey not in by_vkey:
                        continue
                    try:
                        _check_proof(proof, leaf, self._report.origin, list(trusted.values()))
                    except VerificationError:
                        continue
                    trusted[vkey] = by_vkey[vkey]
                    grown = True

    def _check_signature(self, logs: Sequence[Verifier]) -> None:
        digest = sha256(self._files.read("MANIFEST.json")).hexdigest()
        note = open_note(self._files.read("MANIFEST.sig"), logs)
        if note.unknown_signatures or note.text != f"{MANIFEST_NOTE_HEADER}\n{digest}\n":
            raise VerificationError("MANIFEST.json is not the one that was signed")

    def _check_files(self, manifest: Mapping[str, object], names: Sequence[str]) -> None:
        listed = manifest.get("files")
        if not isinstance(listed, dict):
            raise VerificationError("MANIFEST.json lists no files")
        for name, facts in sorted(listed.items()):
            if not isinstance(facts, dict):
                raise VerificationError("MANIFEST.json does not say what a file is")
            try:
                digest, size = self._digest(name)
            except VerificationError as error:
                self._report.problem(str(error))
                continue
            if (facts.get("sha256"), facts.get("bytes")) != (digest, str(size)):
                self._report.problem(f"{name} is not the file that was handed out")
        for name in names:
            if name not in listed and name not in _UNSIGNED and not _is_proof(name):
                self._report.problem(f"{name} does not belong to the bundle; move it away")

    def _digest(self, name: str) -> tuple[str, int]:
        digest, size = sha256(), 0
        with self._files.open(name) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size

    def _check_checkpoints(self, manifest: Mapping[str, object], names: Iterable[str], policy: TrustPolicy) -> None:
        report = self._report
        size = report.tree_size = parse_decimal(_text(manifest, "tree_size"))
        self._head_note = self._files.read(f"checkpoints/{size}.txt")
        self._head, cosigned = policy.open(self._head_note, report.origin)
        report.witnesses = list(cosigned)
        if self._head.size != size:
            raise VerificationError(f"checkpoints/{size}.txt states size {self._head.size}")
        unwitnessed = TrustPolicy(policy.logs)
        tree = TileTree(self._files.fetch_tile, size)
        for name in sorted(names):
            if name.startswith("checkpoints/"):
                report.checkpoints += 1
                try:
                    head, _ = unwitnessed.open(self._files.read(name), report.origin)
                    if name != f"checkpoints/{head.size}.txt":
                        raise VerificationError(f"it states size {head.size}")
                    self._check_continues(tree, head)
                except VerificationError as error:
                    report.problem(f"{name}: {error}")
        for kept in self._older:
            try:
                self._check_continues(tree, unwitnessed.open(kept, report.origin)[0])
            except VerificationError as error:
                report.problem(f"a checkpoint that you kept: {error}")
        self._check_timestamps(names, tree, unwitnessed)

    def _check_timestamps(self, names: Iterable[str], tree: TileTree, policy: TrustPolicy) -> None:
        report = self._report
        roots = [] if self._tsa_roots is None else read_roots(self._tsa_roots)
        report.authority_given = bool(roots)
        for name in sorted(names):
            if not name.startswith("timestamps/") or not name.endswith(".tsr"):
                continue
            stamped_name = f"{name.removesuffix('.tsr')}.txt"
            try:
                stamped = self._files.read(stamped_name)
                head, _ = policy.open(stamped, report.origin)
                self._check_continues(tree, head)
                stamp = open_timestamp(self._files.read(name), stamped, roots)
            except VerificationError as error:
                report.problem(f"{name}: {error}")
                continue
            at = datetime.fromtimestamp(stamp.at, UTC).isoformat()
            report.timestamps.append((head.size, at, stamp.by))
        report.timestamps.sort()

    def _check_continues(self, tree: TileTree, head: Checkpoint) -> None:
        """Check that the bundle's checkpoint continues another one."""
        if head.size == 0:
            return
        if head.size > self._head.size:
            raise VerificationError(f"it covers {head.size} records, the bundle's own only {self._head.size}")
        try:
            proof = consistency_proof(head.size, self._head.size, tree.perfect)
        except VerificationError as error:
            raise VerificationError(
                f"the bundle lacks the tiles for size {head.size} ({error}); ask for a bundle for this checkpoint"
            ) from None
        verify_consistency(head.size, self._head.size, proof, head.root, self._head.root)

    def _check_support(self, manifest: Mapping[str, object]) -> None:
        counts = manifest.get("counts")
        minima = {"0"}
        for name, type_ in SUPPORT_FILES.items():
            records = _support_records(self._files.read(name), name)
            if not isinstance(counts, dict) or counts.get(type_) != str(len(records)):
                self._report.problem(f"{name} does not hold as many records as MANIFEST.json says")
            for index, leaf, proof in records:
                try:
                    if type_ == "key":
                        _check_proof(proof, leaf, self._report.origin, self._log_keys())
                        if parse_proof(proof).index != index:
                            raise VerificationError("its proof is of another index")
                    else:
                        self._check_in_log(index, leaf, proof)
                    record = record_of(leaf)
                    if record.get("type") != type_:
                        raise VerificationError(f"it is not of type {type_}")
                except VerificationError as error:
                    self._report.problem(f"{name}: record {index}: {error}", index)
                    continue
                if type_ == "prune":
                    minima.add(str(record.get("minimum")))
                keys = record.get("keys")
                if type_ == "erasure" and isinstance(keys, list):
                    self._erased.update(key for key in keys if isinstance(key, str))

        if manifest.get("minimum") not in minima:
            self._report.problem("the log begins behind its first record, and no prune record says so")

    def _log_keys(self) -> list[Verifier]:
        return list(parse_policy(self._files.read("policy.txt")).logs)

    def _check_in_log(self, index: int, leaf: bytes, data: bytes) -> None:
        proof = parse_proof(data)
        if proof.encode() != data or proof.extra is not None:
            raise VerificationError("its proof is not spelled as it was handed out")
        if proof.checkpoint != self._head_note:
            raise VerificationError("its proof is not of the bundle's checkpoint")
        if proof.index != index:
            raise VerificationError(f"its proof is of index {proof.index}")
        verify_inclusion(leaf_hash(leaf), index, self._head.size, proof.path, self._head.root)

    def _open_receipts(self, logs: Sequence[Verifier]) -> dict[int, set[str]]:
        promised: dict[int, set[str]] = {}
        for text in self._receipts:
            try:
                receipt = open_receipt(text, self._report.origin, logs)
            except VerificationError as error:
                self._report.problem(f"a receipt: {error}")
                continue
            promised.setdefault(receipt.index, set()).add(receipt.record_id)
        return promised

    def _check_records(
        self, manifest: Mapping[str, object], indices: Sequence[int], promised: dict[int, set[str]]
    ) -> None:
        report = self._report
        report.complete = bool(manifest.get("complete"))
        chain = WriterChain(report.problem, partial=not indices or indices[0] != 0) if report.complete else None
        filters = manifest.get("filters")
        if not isinstance(filters, dict):
            raise VerificationError("MANIFEST.json does not say what was selected")
        if "sample" in filters and [*indices] != read_sample(filters["sample"]).indices(self._head.root):
            report.problem("the records are not those that the seed draws from this checkpoint")
        expected: int | None = None
        digest = sha256()
        with self._files.open("records.jsonl") as records, self._files.open("records.csv") as table:
            head = csv_head()
            if table.read(len(head)) != head:
                report.problem("records.csv does not begin with its head line")
            lines = iter(lambda: records.readline(MAX_LEAF_BYTES + 2), b"")
            for index, line in zip_longest(indices, lines):
                if index is None or line is None:
                    missing = "record" if line is None else "proof"
                    report.problem(f"a {missing} is missing: records.jsonl and proofs/ do not agree", index)
                    break
                leaf = line.removesuffix(b"\n")
                row = csv_line(index, leaf)
                if table.read(len(row)) != row:
                    report.problem(f"records.csv does not show record {index} as it is", index)
                    table.seek(0, 2)
                try:
                    proof = self._files.read(f"{_PROOFS}{index}{_PROOF_END}")
                    digest.update(proof)
                    self._check_in_log(index, leaf, proof)
                    _check_selected(leaf, filters)
                except VerificationError as error:
                    report.problem(f"record {index}: {error}", index)
                if chain is not None:
                    if expected is not None and index != expected:
                        report.problem(f"record {expected} is missing from a bundle that says it has all", expected)
                    expected = index + 1
                    chain.add(index, leaf)
                self._count(index, leaf)
                if promised.pop(index, {record_id := record_of(leaf).get("id")}) != {record_id}:
                    report.problem(f"record {index} is not the one that a receipt was given for", index)
                if self._progress is not None and report.records % 1000 == 0:
                    self._progress(report.records, len(indices))
            if table.read(1):
                report.problem("records.csv has more lines than there are records")
        for index in sorted(promised):
            report.problem(f"a receipt was given for record {index}, which the bundle does not hold", index)
        self._check_counts(manifest, digest.hexdigest())

    def _count(self, index: int, leaf: bytes) -> None:
        report = self._report
        report.records += 1
        report.first = index if report.first is None else report.first
        report.last = index
        body = record_of(leaf).get("body")
        if isinstance(body, dict) and body.get("key") in self._erased:
            report.erased += 1

    def _check_counts(self, manifest: Mapping[str, object], digest: str) -> None:
        report, counts = self._report, manifest.get("counts")
        if not isinstance(counts, dict) or counts.get("record") != str(report.records):
            report.problem(f"the bundle has {report.records} records; MANIFEST.json says another number")
        if manifest.get("proofs_sha256") != digest:
            report.problem("proofs/ does not hold the proofs that were handed out")
        stated = manifest.get("range")
        found = {"first": _number(report.first), "last": _number(report.last)}
        if stated != found:
            report.problem("the first or the last record is not the one that MANIFEST.json names")
        if report.complete and manifest.get("filters"):
            report.problem("MANIFEST.json says both that the bundle is a selection and that it has all records")

    def _check_bodies(self, names: Iterable[str], indices: Sequence[int]) -> None:
        wanted = {name.removesuffix(".json") for name in names if name.startswith("bodies/") and name.endswith(".json")}
        if not wanted:
            return
        with self._files.open("records.jsonl") as records:
            for index, line in zip(indices, iter(lambda: records.readline(MAX_LEAF_BYTES + 2), b""), strict=False):
                if f"bodies/{index}" in wanted:
                    self._report.bodies += 1
                    try:
                        bundled_body(self._files, index, line.removesuffix(b"\n"))
                    except VerificationError as error:
                        self._report.problem(f"body of record {index}: {error}", index)
        if self._report.bodies != len(wanted):
            self._report.problem("bodies/ holds a body of a record that the bundle has not")


def bundled_body(files: BundleFiles, index: int, leaf: bytes) -> bytes | None:
    """The text of a record's body that came with the bundle, checked against its leaf; None where it came sealed.

    Raises VerificationError where it is not the one that the leaf names.
    """
    facts = _json_object(files.read(f"bodies/{index}.json"), f"bodies/{index}.json")
    record = record_of(leaf)
    body, record_id = record.get("body"), record.get("id")
    if not isinstance(body, dict) or not isinstance(record_id, str):
        raise VerificationError("the record has no body")
    ciphertext = files.read(f"bodies/{index}.sealed")
    sealed = SealedBody(record_id, str(body.get("key")), b"", ciphertext, str(body.get("commit")))
    if sealed.leaf_fields() != body:
        raise VerificationError("the sealed body is not the one that its leaf names")
    data_key = facts.get("data_key")
    if data_key is None:
        return None
    try:
        key = bytes.fromhex(str(data_key))
    except ValueError:
        raise VerificationError("the data key is not hexadecimal") from None
    return open_with_data_key(sealed, key)


def _check_proof(data: bytes, leaf: bytes, origin: str, verifiers: Sequence[NoteVerifier]) -> None:
    proof = parse_proof(data)
    head, _ = TrustPolicy(tuple(key for key in verifiers if isinstance(key, Verifier))).open(proof.checkpoint, origin)
    verify_inclusion(leaf_hash(leaf), proof.index, head.size, proof.path, head.root)


def _check_selected(leaf: bytes, filters: Mapping[str, object]) -> None:
    record = record_of(leaf)
    for name, field_name in SELECTION_FIELDS.items():
        if name in filters and record.get(field_name) != filters[name]:
            raise VerificationError(f"it does not match the filter {name} that MANIFEST.json states")
    # Times of one fixed form are in order as text.
    t = str(record.get("t"))
    if t < str(filters.get("since", "")) or ("until" in filters and t >= str(filters["until"])):
        raise VerificationError("it lies outside the time that MANIFEST.json states")


def _support_records(data: bytes, name: str) -> list[tuple[int, bytes, bytes]]:
    records = _json_object(data, name).get("records")
    if not isinstance(records, list):
        raise VerificationError(f"{name} lists no records")
    found = []
    for item in records:
        parts = [item.get(part) for part in ("index", "record", "proof")] if isinstance(item, dict) else []
        if len(parts) != 3 or not all(isinstance(part, str) for part in parts):
            raise VerificationError(f"{name} holds something that is no record with its proof")
        index, record, proof = (str(part) for part in parts)
        try:
            found.append((parse_decimal(index), record.encode(), proof.encode()))
        except UnicodeEncodeError:
            raise VerificationError(f"{name} is not valid Unicode") from None
    return found


def _json_object(data: bytes, name: str) -> dict[str, object]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise VerificationError(f"{name} is not valid JSON") from None
    if not isinstance(found, dict):
        raise VerificationError(f"{name} is not a JSON object")
    return found


def _text(manifest: Mapping[str, object], name: str) -> str:
    value = manifest.get(name)
    if not isinstance(value, str):
        raise VerificationError(f"MANIFEST.json has no {name}")
    return value


def _one_line(data: bytes, name: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise VerificationError(f"{name} is not valid UTF-8") from None
    return text.removesuffix("\n")


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _is_proof(name: str) -> bool:
    digits = name[len(_PROOFS) : -len(_PROOF_END)]
    return name == f"{_PROOFS}{digits}{_PROOF_END}" and digits.isascii() and digits.isdigit() and len(digits) < 19


def _proof_indices(names: Iterable[str]) -> list[int]:
    indices = sorted(int(name[len(_PROOFS) : -len(_PROOF_END)]) for name in names if _is_proof(name))
    if len(set(indices)) != len(indices):
        raise VerificationError("proofs/ holds two proofs of the same index")
    return indices
