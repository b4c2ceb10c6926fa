# SPDX-License-Identifier: Apache-2.0
"""`dutybound label` and `dutybound keys new`: labels on files from the command line, without a gateway.

Every function gives plain data for the command line to print. A file is written once and whole, and never over another
one. What cannot get all of its labels is not written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from audit_log import Entry, new_record_id
from gateway import policies
from gateway.copies import copies_in, led_to, payload_in
from gateway.home import Home
from gateway.house import producer
from gateway.label_files import ChainFiles, day_of, elements_of, file_labels, write_chain
from gateway.label_grants import GrantError, find_grant, record_use, writing
from gateway.label_rules import are_met, is_record_id, is_unreadable, judged_file
from gateway.messages import MESSAGES
from gateway.settings import Settings
from labeling import LabelError
from labeling.file import LabeledFile, LabelPlan, label_file
from labeling.inspection import inspect_in_subprocess
from labeling.propagation import propagate_in_subprocess
from labeling.sniff import FileFormat, sniff

MET, BROKEN, UNREAD = 0, 1, 2
"""Exit statuses of `label inspect`."""

SIDECAR = ".c2pa"
"""What is added to a file's name for the manifest beside it."""

_TYPES = {".md": "text/markdown", ".markdown": "text/markdown"}
"""The only types that bytes do not tell; the name does."""


def make_chain(home: Home, organisation: str, valid_days: int, clock: Callable[[], float]) -> dict[str, Any]:
    """A chain of the provider's own for Content Credentials, in the data folder; recorded as a new key.

    Raises `SettingsError` where there is one already.
    """
    keys = home.path / "keys"
    with writing(home, clock) as log:  # opened first: a log that is away leaves no key without its record
        files = write_chain(keys, organisation, valid_days, clock)
        leaf = x509.load_pem_x509_certificates(files.chain.read_bytes())[0]
        fingerprint = leaf.fingerprint(hashes.SHA256()).hex()
        record_id = new_record_id()
        log.append_blocking(
            Entry({"id": record_id, "type": "key", "event": "c2pa_chain", "certificate": f"sha256:{fingerprint}"})
        )
    return {
        "key": str(files.key),
        "chain": str(files.chain),
        "root": str(files.root),
        "expires": day_of(leaf.not_valid_after_utc.timestamp()),
        "certificate": f"sha256:{fingerprint}",
        "record": record_id,
    }


def make_watermark_key(home: Home, clock: Callable[[], float]) -> dict[str, Any]:
    """The key of invisible watermarks for a data folder that has none; recorded as a new key.

    Raises `HomeError` where there is one already.
    """
    with writing(home, clock) as log:
        path = home.make_watermark_key()
        record_id = new_record_id()
        log.append_blocking(Entry({"id": record_id, "type": "key", "event": "watermark_key"}))
    return {"key": str(path), "record": record_id}


def add(
    file: Path,
    out: Path,
    settings: Settings,
    home: Path,
    *,
    record: str = "",
    without_explicit: bool = False,
    grant: str = "",
    is_shown: bool = False,
    beside: bool = False,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Label `file` into `out`; where its format holds no manifest, that goes beside it.

    `record` is the record that the labels name; without one a new id is made. `without_explicit` needs a `grant`.
    `is_shown` says that the file shows its explicit label already. `beside` leaves the file byte for byte, as a signed
    one must be, and puts the label into a manifest beside it. Raises `LabelError` and writes nothing.
    """
    if without_explicit and not grant:
        raise GrantError(
            "the explicit label may be left out only at a user's request and by agreement (Labeling Measures article "
            "9): record that with `dutybound label grant` and name it with --grant"
        )
    if grant and not without_explicit:
        raise GrantError("--grant is for --no-explicit; leave it out, or ask for both")
    if record and not is_record_id(record):
        raise LabelError("--record: expected the id of a record, such as 0198b1c2-0000-7000-8000-000000000000")
    for path in (out, _sidecar_of(out)):
        if path.exists():
            raise LabelError(f"{path} is there already; nothing is written over another file")
    folder = Home.open(home, settings.audit) if without_explicit else None
    granted = find_grant(folder, grant, clock) if folder is not None else None
    labels = file_labels(settings, policies.load(settings.policy.use), producer(settings), home / "keys")
    data = file.read_bytes()
    declared = _TYPES.get(file.suffix.lower())
    record_id = record or new_record_id()
    plan = labels.plan(record_id, explicit="waived" if without_explicit or is_shown else "required")
    file_format = sniff(data, declared)
    plan = _for_sound(plan, file_format)
    labelled = label_file(data, replace(plan, beside=beside), declared_mime=declared)
    if folder is not None and granted is not None:
        record_use(folder, granted, new_record_id() if record else record_id, record or None, clock)
    if labelled.sidecar is not None:
        _write_new(_sidecar_of(out), labelled.sidecar)
    _write_new(out, labelled.data)
    with copies_in(home, settings.label, clock) as copies:
        if copies is not None:
            copies.keep_file(record_id, labelled.data, file_format, payload_in(labelled, plan))
    return {
        "out": str(out),
        "sidecar": str(_sidecar_of(out)) if labelled.sidecar is not None else None,
        "mime": labelled.mime,
        "record": record_id,
        "grant": grant or None,
        "label": labelled.label.as_dict(),
        "steps": _steps(labelled, is_shown=is_shown),
    }


def propagate(
    file: Path,
    out: Path,
    settings: Settings,
    home: Path,
    *,
    number: str = "",
    is_declared: bool = False,
    is_suspected: bool = False,
) -> dict[str, Any]:
    """Check an upload of somebody else's, and pass it on into `out` with this service named in its label (article 6).

    `number` is this service's number for the content; without one a new id is made. Nothing is written where nothing
    says that the content is generated. Raises `LabelError`.
    """
    for path in (out, _sidecar_of(out)):
        if path.exists():
            raise LabelError(f"{path} is there already; nothing is written over another file")
    labels = file_labels(settings, policies.load(settings.policy.use), producer(settings), home / "keys")
    plan = labels.propagation(number or new_record_id(), is_declared=is_declared, is_suspected=is_suspected)
    made = propagate_in_subprocess(file.read_bytes(), plan, declared_mime=_TYPES.get(file.suffix.lower()))
    if made.label is not None:
        if made.sidecar is not None:
            _write_new(_sidecar_of(out), made.sidecar)
        _write_new(out, made.data)
    return {
        "out": str(out) if made.label is not None else None,
        "mime": made.mime,
        "origin": made.origin.word,
        "basis": list(made.origin.basis),
        "prompt": dict(MESSAGES[f"origin_{made.origin.value}"]) if made.origin.value else None,
        "label": made.label.as_dict() if made.label is not None else None,
    }


def _for_sound(plan: LabelPlan, file_format: FileFormat) -> LabelPlan:
    """Where the provider's interface labels sounds, they get no audible label."""
    if file_format.medium == "audio" and plan.audio is None and plan.explicit == "required":
        return replace(plan, explicit="where-possible")
    return plan


def _steps(labelled: LabeledFile, *, is_shown: bool) -> list[dict[str, Any]]:
    steps = [
        {"step": step.name, "outcome": step.outcome, "detail": step.detail, "ms": round(step.ms, 1)}
        for step in labelled.steps
    ]
    for step in steps:
        if is_shown and step["outcome"] == "waived":
            step |= {"outcome": "kept", "detail": "the file shows its label already, as you said; nobody checked it"}
    return steps


def inspect(
    file: Path, settings: Settings, home: Path, clock: Callable[[], float] = time.time
) -> tuple[dict[str, Any], int]:
    """What labels `file` carries and which rules it meets, and the exit status. A child process reads the file.

    A manifest beside it, named like it with `.c2pa` behind, is read too. Raises `LabelError` where the child failed.
    """
    data = file.read_bytes()
    beside = _sidecar_of(file)
    found = inspect_in_subprocess(
        data,
        declared_mime=_TYPES.get(file.suffix.lower()),
        sidecar=beside.read_bytes() if beside.is_file() else None,
        trust_anchors_pem=ChainFiles.of(home / "keys").root_pem(),
        watermark_key=Home(home).watermark_key() if settings.label.watermark != "off" else b"",
        watermark_method=settings.label.watermark_method,
        with_prints=True,
    )
    with copies_in(home, settings.label, clock) as copies:
        led = led_to(copies, found)
    found, rules = judged_file(found, data, elements_of(policies.load(settings.policy.use)))
    document = {**found, "rules": [rule.as_dict() for rule in rules], **led}
    if is_unreadable(found):
        return document, UNREAD
    return document, MET if are_met(rules) else BROKEN


def said(document: Mapping[str, Any]) -> Iterator[str]:
    """An inspection as lines for people."""
    yield f"{document['format']}, {document['bytes']} bytes: {document['verdict']}"
    for label in document["labels"]:
        yield f"hidden label in {label['place']}: {'conforms' if label['is_conforming'] else 'breaks rules'}"
        yield from (f"  {key} {value}" for key, value in label["values"].items() if value)
        yield from (f"  {finding['clause']}: {finding['message']}" for finding in label["findings"])
    yield from (f"{finding['clause'] or 'note'}: {finding['message']}" for finding in document["findings"])
    if document["manifest"] and document["manifest"]["state"] != "none":
        manifest = document["manifest"]
        yield f"manifest: {manifest['state']}, signed by {manifest['signer'] or 'nobody named'}"
    if document["watermark"]["state"] in ("found", "unknown"):
        yield f"watermark of this data folder's key, record {document['watermark']['record'] or 'not known here'}"
    if document["fingerprint"]["record"]:
        yield f"fingerprint hit: likely our output, record {document['fingerprint']['record']}"
    for rule in document["rules"]:
        yield f"{_MARKS[rule['met']]} {rule['clause']}: {rule['asks']}"


_MARKS = {True: "met   ", False: "BROKEN", None: "open  "}


def _sidecar_of(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR)


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that was not there; one that could not be written whole is taken away again."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
