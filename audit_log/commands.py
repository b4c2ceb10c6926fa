# SPDX-License-Identifier: Apache-2.0
"""What an operator or an auditor asks of a log, as plain functions over its home; each gives JSON-able data.

The command line and the operator's API are thin skins over these. A function that writes a record opens the log as a
writer of its own, beside the gateway that runs; it raises what the package raises, always an AuditError.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from audit_log.census import HOUR_S, gap_report
from audit_log.checkpoint import open_checkpoint
from audit_log.erasure import erasure_report, request_erasure, run_queue
from audit_log.errors import LogUnavailable, VerificationError
from audit_log.export import Bodies, ExportSource, Selection, export_bundle
from audit_log.holds import Approval, HoldScope, all_holds, propose_hold, step_hold
from audit_log.keys import load_log_key, load_master_key, read_vkeys
from audit_log.log import AuditLog, open_reader
from audit_log.note import Signer
from audit_log.prune import Upto, expire_bodies, overdue, plan_prune, sweep
from audit_log.prune import prune as prune_log
from audit_log.publish import TileFolder
from audit_log.receipt import open_receipt
from audit_log.record import new_record_id
from audit_log.retention import Retention
from audit_log.rotation import rotate_key
from audit_log.sqlite import SqliteStore
from audit_log.trust import TrustPolicy, parse_policy
from audit_log.witness import Post, WitnessAddress, ask_witness, keep_witnessed
from audit_log.writer import Entry

Progress = Callable[[int, int], None]


@contextmanager
def export_source(home: Path) -> Iterator[ExportSource]:
    """A log's home, opened to export from it."""
    store = SqliteStore(home / "audit.db", home / "audit.lock")
    try:
        signer = Signer(store.meta().origin, load_log_key(home / "log.key"))
        master_key = load_master_key(home / "body.key") if (home / "body.key").exists() else None
        yield ExportSource(store, TileFolder(home / "tiles"), signer, read_vkeys(home), master_key)
    finally:
        store.close()


def prove(home: Path, record_id: str) -> dict[str, object]:
    """A record with its proof: ``index``, ``record`` (the leaf), ``proof`` (a tlog-proof file; None while pending).

    Raises VerificationError where there is no such record.
    """
    reader, store = open_reader(home)
    try:
        found = reader.get(record_id)
    finally:
        store.close()
    if found is None:
        raise VerificationError("there is no record with this id in the log")
    return {
        "index": found.index,
        "record": found.leaf.decode(),
        "proof": None if found.proof is None else found.proof.decode(),
    }


def export(
    home: Path,
    out: Path,
    selection: Selection | None = None,
    *,
    generator: str,
    by: str = "",
    bodies: Bodies = "none",
    policy: Path | None = None,
    older: Sequence[Path] = (),
    clock: Callable[[], float] = time.time,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Write a bundle; ``bodies`` other than none is recorded first as an ``access`` by ``by``.

    With a ``policy`` that asks for witnesses, the bundle is made of the latest checkpoint that they cosigned.
    """
    selection = selection or Selection()
    trust: TrustPolicy | None = parse_policy(policy.read_bytes()) if policy is not None else None
    kept = [path.read_bytes() for path in older]
    if bodies != "none":
        with writing(home, clock) as log:
            fields = {"event": "export", "by": by or "(unnamed)", "bodies": bodies, "filters": selection.filters()}
            log.append_blocking(Entry({"id": new_record_id(), "type": "access", **fields}))
    latest = home / "witnessed" / "latest"
    witnessed = latest.read_bytes() if trust is not None and trust.quorum is not None and latest.exists() else None
    with export_source(home) as source:
        result = export_bundle(
            source,
            out,
            selection,
            clock=clock,
            generator=generator,
            policy=trust,
            older=kept,
            bodies=bodies,
            witnessed=witnessed,
            progress=progress,
        )
    return result.as_json()


def redeem(home: Path, receipt: str) -> dict[str, object]:
    """What ``prove`` gives for the record that a client's receipt is for.

    Raises VerificationError where the receipt is not this log's, or the log does not hold what it promised.
    """
    promised = open_receipt(receipt, read_vkeys(home)[-1].name, read_vkeys(home))
    found = prove(home, promised.record_id)
    if found["index"] != promised.index:
        raise VerificationError("the log holds this record under another index than the receipt promised")
    return found


def census(
    home: Path,
    *,
    census_every_s: float | None = HOUR_S,
    clock: Callable[[], float] = time.time,
    progress: Progress | None = None,
) -> dict[str, object]:
    """The gap report: numbers without a record, writers that were killed, counts that do not agree."""
    _, store = open_reader(home)
    try:
        return gap_report(store, now=clock(), census_every_s=census_every_s, progress=progress)
    finally:
        store.close()


@contextmanager
def writing(home: Path, clock: Callable[[], float] = time.time) -> Iterator[AuditLog]:
    """The log, opened as a writer of its own; closing it publishes a checkpoint that covers what was written."""
    log = AuditLog.open(home, writer=f"desk-{os.getpid()}", clock=clock)
    try:
        yield log
    finally:
        log.close()


def prune(
    home: Path,
    retention: Retention,
    *,
    by: str,
    upto: Upto = "due",
    dry_run: bool = False,
    grace_s: float = 0.0,
    clock: Callable[[], float] = time.time,
) -> dict[str, object]:
    """Drop what the retention rules say may or must go, and delete what was hidden at least ``grace_s`` ago.

    A dry run tells what would happen and what is overdue, and changes nothing.
    """
    if dry_run:
        reader, store = open_reader(home)
        try:
            plan = plan_prune(store, retention, clock(), reader.checkpoint().size, upto)
            late = overdue(store, retention, clock())
        finally:
            store.close()
        return {"dry_run": True, **plan.as_json(), "overdue": late}
    with writing(home, clock) as log:
        plan = prune_log(log, retention, by=by, clock=clock, upto=upto)
        expired = expire_bodies(log, retention, by=by, now=clock())
        swept = sweep(log.store, log.folder, now=clock(), grace_s=grace_s)
        late = overdue(log.store, retention, clock())
    return {"dry_run": False, **plan.as_json(), "bodies_expired": expired, "deleted": swept, "overdue": late}


def holds(home: Path) -> dict[str, object]:
    """All legal holds, lifted ones too."""
    _, store = open_reader(home)
    try:
        return {"holds": [hold.as_json() for hold in all_holds(store)]}
    finally:
        store.close()


def hold_place(
    home: Path,
    scope: HoldScope,
    *,
    reason: str,
    by: str,
    role: str,
    clock: Callable[[], float] = time.time,
) -> dict[str, object]:
    """Place a hold by one person; it protects at once, and waits for ``hold_step`` ``approve`` by a second one."""
    with writing(home, clock) as log:
        return propose_hold(log, scope, reason, Approval(by, role)).as_json()


def hold_step(
    home: Path, hold_id: str, event: str, *, by: str, role: str, clock: Callable[[], float] = time.time
) -> dict[str, object]:
    """``approve``, ``lift`` or ``keep`` a hold; see `holds`."""
    with writing(home, clock) as log:
        return step_hold(log, hold_id, event, Approval(by, role)).as_json()


def erase(
    home: Path,
    tenant: str | None,
    subject: str,
    retention: Retention,
    *,
    basis: str,
    by: str,
    clock: Callable[[], float] = time.time,
) -> dict[str, object]:
    """Take a request to erase a subject and do what may be done now."""
    with writing(home, clock) as log:
        return request_erasure(log, tenant, subject, basis=basis, by=by, retention=retention, now=clock())


def erase_queue(
    home: Path, retention: Retention, *, by: str, clock: Callable[[], float] = time.time
) -> dict[str, object]:
    """Look at all open requests to erase again, and do what may be done now."""
    with writing(home, clock) as log:
        return {"requests": run_queue(log, by=by, retention=retention, now=clock())}


def erasures(home: Path, *, deadline_days: float, clock: Callable[[], float] = time.time) -> dict[str, object]:
    """What was asked to be erased and what came of it; ``deadline_days`` is the policy's."""
    _, store = open_reader(home)
    try:
        return erasure_report(store, now=clock(), deadline_days=deadline_days)
    finally:
        store.close()


def rotate(home: Path, *, by: str, clock: Callable[[], float] = time.time) -> dict[str, str]:
    """Let a new key sign the log; all its processes must be stopped."""
    return rotate_key(home, by=by, clock=clock)


def witness(home: Path, witnesses: Sequence[WitnessAddress], post: Post) -> dict[str, object]:
    """Ask witnesses to cosign the published checkpoint, and keep it with their cosignatures.

    A witness that does not answer is named under ``failed`` and harms nobody; one that saw another history raises
    LogRefused.
    """
    failed: dict[str, str] = {}
    with export_source(home) as source:
        published = source.folder.published()
        if published is None:
            raise VerificationError("the published checkpoint file is missing; restore the tiles folder")
        note = published
        for one in witnesses:
            try:
                cosigned = ask_witness(published, source.folder, source.verifiers, one, post)
            except (LogUnavailable, VerificationError) as error:
                failed[one.url] = str(error)
                continue
            note += cosigned[len(published) :]
    size = open_checkpoint(note, source.verifiers[-1].name, source.verifiers).size
    if len(failed) < len(witnesses):
        keep_witnessed(home, note)
    return {"size": size, "asked": len(witnesses), "failed": failed, "checkpoint": note.decode()}
