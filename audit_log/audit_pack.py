# SPDX-License-Identifier: Apache-2.0
"""What an audit needs in one file: a sample that the auditor seeded, and the evidence that goes with it, signed.

A zip with ``EVIDENCE.json`` (what each file is, with its hash), ``EVIDENCE.sig`` (a signed note of the log's key over
it), ``sample.zip`` (a bundle, see `export`), statements as JSON, and documents of the operator. What must hold: it is
written whole or not at all; each file in it is named and hashed, and nothing else is in it.
"""

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from audit_log.bundle import BundleReport, verify_bundle
from audit_log.checkpoint import open_checkpoint
from audit_log.errors import VerificationError
from audit_log.export import ExportRefused, ExportSource, Selection, export_bundle
from audit_log.note import Verifier, open_note, sign_note
from audit_log.record import format_time
from audit_log.sample import Sample

PACK_SCHEMA = "dutybound-pack/1"
PACK_NOTE_HEADER = "dutybound.pack/v1"

_NAME = re.compile(r"[^\x00-\x1f/\\:]{1,200}")
_CHUNK_BYTES = 1 << 20
_UNSIGNED = ("EVIDENCE.json", "EVIDENCE.sig")


def write_pack(
    source: ExportSource,
    out: Path,
    sample: Sample,
    *,
    statements: Mapping[str, tuple[str, object]],
    documents: Sequence[Path],
    generator: str,
    clock: Callable[[], float],
    checkpoint: bytes | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, object]:
    """Write an audit pack to ``out``, which must not exist; gives what was written. Blocks.

    ``statements``: file name -> (what it is, JSON-able data). ``checkpoint``: the one that the auditor kept and drew
    from; without it the latest. Raises ExportRefused, VerificationError, LogUnavailable.
    """
    if out.exists():
        raise ExportRefused(f"{out.name} exists already; choose another name")
    names = [document.name for document in documents]
    if len({*names}) != len(names) or not all(_NAME.fullmatch(name) for name in names):
        raise ExportRefused("two documents have the same name, or one has a name that no file should have")
    note = checkpoint or source.store.head()
    head = open_checkpoint(note, source.signer.name, source.verifiers)
    unfinished = out.with_name(f"{out.name}.new")
    try:
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            bundle = Path(folder) / "sample.zip"
            made = export_bundle(
                source,
                bundle,
                Selection(sample=sample),
                clock=clock,
                generator=generator,
                witnessed=note,
                progress=progress,
            )
            files: dict[str, dict[str, str]] = {}
            with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as pack:
                _add(pack, files, "sample.zip", bundle, "the sampled records with their proofs; run its verify.py")
                for name, (what, data) in statements.items():
                    path = Path(folder) / name
                    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
                    _add(pack, files, name, path, what)
                for document in documents:
                    _add(pack, files, f"documents/{document.name}", document, "a document of the operator")
                evidence = {
                    "schema": PACK_SCHEMA,
                    "generator": generator,
                    "made_at": format_time(clock()),
                    "origin": head.origin,
                    "tree_size": str(head.size),
                    "root": head.root.hex(),
                    "sample": sample.as_json(),
                    "files": files,
                }
                data = (json.dumps(evidence, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
                pack.writestr("EVIDENCE.json", data)
                text = f"{PACK_NOTE_HEADER}\n{sha256(data).hexdigest()}\n"
                pack.writestr("EVIDENCE.sig", sign_note(text, [source.signer]))
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.rename(out)
    except OSError as error:
        raise ExportRefused(f"the pack cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return {"path": str(out), "records": made.records, "tree_size": head.size, "files": sorted(files)}


def verify_pack(path: Path, vkeys: Sequence[str]) -> tuple[BundleReport, list[str]]:
    """Check an audit pack with the log's keys as the auditor knows them: the report on its sample, and what is wrong
    with the pack itself. Raises VerificationError where it is no pack that this log's key signed."""
    verifiers = [Verifier.from_vkey(vkey) for vkey in vkeys]
    try:
        with zipfile.ZipFile(path) as pack, tempfile.TemporaryDirectory() as folder:
            problems = _check_files(pack, verifiers)
            pack.extract("sample.zip", folder)
            return verify_bundle(Path(folder) / "sample.zip", vkeys=vkeys), problems
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise VerificationError(f"this is no readable audit pack: {type(error).__name__}") from None


def _check_files(pack: zipfile.ZipFile, verifiers: Sequence[Verifier]) -> list[str]:
    data = pack.read("EVIDENCE.json")
    note = open_note(pack.read("EVIDENCE.sig"), verifiers)
    if note.text != f"{PACK_NOTE_HEADER}\n{sha256(data).hexdigest()}\n":
        raise VerificationError("EVIDENCE.json is not the one that was signed")
    evidence = json.loads(data)
    files = evidence.get("files") if isinstance(evidence, dict) else None
    if not isinstance(files, dict) or evidence.get("schema") != PACK_SCHEMA:
        raise VerificationError(f"EVIDENCE.json is not of schema {PACK_SCHEMA}")
    names = pack.namelist()
    problems = [f"{name} does not belong to the pack" for name in names if name not in files and name not in _UNSIGNED]
    if len({*names}) != len(names):
        problems.append("the pack holds two files of the same name")
    for name, facts in files.items():
        if name not in names:
            problems.append(f"{name} is missing")
        elif not isinstance(facts, dict) or facts.get("sha256") != _hash(pack, name):
            problems.append(f"{name} is not the file that was handed out")
    stated = json.loads(_member(pack, "sample.zip", "MANIFEST.json")).get("filters", {}).get("sample")
    if stated != evidence.get("sample"):
        problems.append("sample.zip is of another sample than EVIDENCE.json states")
    return problems


def _member(pack: zipfile.ZipFile, name: str, inner: str) -> bytes:
    with pack.open(name) as file, zipfile.ZipFile(file) as bundle:
        return bundle.read(inner)


def _hash(pack: zipfile.ZipFile, name: str) -> str:
    digest = sha256()
    with pack.open(name) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _add(pack: zipfile.ZipFile, files: dict[str, dict[str, str]], name: str, path: Path, what: str) -> None:
    pack.write(path, name)
    files[name] = {"sha256": _hash_file(path), "bytes": str(path.stat().st_size), "what": what}


def _hash_file(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
