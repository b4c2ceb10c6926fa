# SPDX-License-Identifier: Apache-2.0
"""What an operator or an auditor asks of a log, as plain functions over its place; each gives JSON-able data.

The command line and the operator's API are thin skins over these. A function that writes a record opens the log as a
writer of its own, beside the gateway that runs; it raises what the package raises, always an AuditError. ``at`` is a
`Place`, or the plain folder of a log on one machine.
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
from audit_log.keys import read_vkeys
from audit_log.log import Forgetting
from audit_log.place import Place, place_of
from audit_log.prune import Upto, expire_bodies, overdue, plan_prune, sweep
from audit_log.prune import prune as prune_log
from audit_log.receipt import open_receipt
from audit_log.reconcile import read_bill, reconcile
from audit_log.record import format_time, new_record_id
from audit_log.retention import Retention
from audit_log.rotation import rotate_key, rotate_master_key
from audit_log.search import LogReader
from audit_log.timestamping import KeptStamp, ask_authority, keep_stamp, kept_stamps
from audit_log.trust import TrustPolicy, parse_policy
from audit_log.witness import Post, WitnessAddress, ask_witness, keep_witnessed
from audit_log.writer import Entry

Progress = Callable[[int, int], None]


@contextmanager
def export_source(at: Place | Path) -> Iterator[ExportSource]:
    """A log, opened to export from it."""
    place = place_of(at)
    with place.reading() as (store, tiles):
        has_key = place.read_master_key is not None or (place.home / "body.key").exists()
        master_key = place.master_key() if has_key else None
        stamps = tuple(kept_stamps(place.home))
        yield ExportSource(store, tiles, place.signer(store), read_vkeys(place.home), master_key, stamps)


def prove(at: Place | Path, record_id: str) -> dict[str, object]:
    """A record with its proof: ``index``, ``record`` (the leaf), ``proof`` (a tlog-proof file; None while pending).

    Raises VerificationError where there is no such record.
    """
    with place_of(at).reader() as reader:
        found = reader.get(record_id)
    if found is None:
        raise VerificationError("there is no record with this id in the log")
    return {
        "index": found.index,
        "record": found.leaf.decode(),
        "proof": None if found.proof is None else found.proof.decode(),
    }


def export(
    at: Place | Path,
    out: Path,
    selection: Selection | None = None,
    *,
    generator: str,
    by: str = "",
    bodies: Bodies = "none",
    policy: Path | None = None,
    older: Sequence[Path] = (),
    parquet: bool = False,
    resume: bool = False,
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
        with place_of(at).writing(clock) as log:
            fields = {"event": "export", "by": by or "(unnamed)", "bodies": bodies, "filters": selection.filters()}
            log.append_blocking(Entry({"id": new_record_id(), "type": "access", **fields}))
    latest = place_of(at).home / "witnessed" / "latest"
    witnessed = latest.read_bytes() if trust is not None and trust.quorum is not None and latest.exists() else None
    with export_source(at) as source:
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
            parquet=parquet,
            resume=resume,
            progress=progress,
        )
    return result.as_json()


def redeem(at: Place | Path, receipt: str) -> dict[str, object]:
    """What ``prove`` gives for the record that a client's receipt is for.

    Raises VerificationError where the receipt is not this log's, or the log does not hold what it promised.
    """
    vkeys = read_vkeys(place_of(at).home)
    promised = open_receipt(receipt, vkeys[-1].name, vkeys)
    found = prove(at, promised.record_id)
    if found["index"] != promised.index:
        raise VerificationError("the log holds this record under another index than the receipt promised")
    return found


def census(
    at: Place | Path,
    *,
    census_every_s: float | None = HOUR_S,
    clock: Callable[[], float] = time.time,
    progress: Progress | None = None,
) -> dict[str, object]:
    """The gap report: numbers without a record, writers that were killed, counts that do not agree."""
    with place_of(at).reading() as (store, _):
        return gap_report(store, now=clock(), census_every_s=census_every_s, progress=progress)


def prune(
    at: Place | Path,
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
        place = place_of(at)
        with place.reading() as (store, tiles):
            published = LogReader(store, tiles, place.signer(store).verifier, None).checkpoint().size
            plan = plan_prune(store, retention, clock(), published, upto)
            late = overdue(store, retention, clock())
        return {"dry_run": True, **plan.as_json(), "overdue": late}
    with place_of(at).writing(clock) as log:
        plan = prune_log(log, retention, by=by, clock=clock, upto=upto)
        expired = expire_bodies(log, retention, by=by, now=clock())
        swept = sweep(log.store, log.folder, now=clock(), grace_s=grace_s)
        late = overdue(log.store, retention, clock())
    return {"dry_run": False, **plan.as_json(), "bodies_expired": expired, "deleted": swept, "overdue": late}


def holds(at: Place | Path) -> dict[str, object]:
    """All legal holds, lifted ones too."""
    with place_of(at).reading() as (store, _):
        return {"holds": [hold.as_json() for hold in all_holds(store)]}


def hold_place(
    at: Place | Path,
    scope: HoldScope,
    *,
    reason: str,
    by: str,
    role: str,
    clock: Callable[[], float] = time.time,
) -> dict[str, object]:
    """Place a hold by one person; it protects at once, and waits for ``hold_step`` ``approve`` by a second one."""
    with place_of(at).writing(clock) as log:
        return propose_hold(log, scope, reason, Approval(by, role)).as_json()


def hold_step(
    at: Place | Path, hold_id: str, event: str, *, by: str, role: str, clock: Callable[[], float] = time.time
) -> dict[str, object]:
    """``approve``, ``lift`` or ``keep`` a hold; see `holds`."""
    with place_of(at).writing(clock) as log:
        return step_hold(log, hold_id, event, Approval(by, role)).as_json()


def erase(
    at: Place | Path,
    tenant: str | None,
    subject: str,
    retention: Retention,
    *,
    basis: str,
    by: str,
    clock: Callable[[], float] = time.time,
    forgetting: Forgetting | None = None,
) -> dict[str, object]:
    """Take a request to erase a subject and do what may be done now."""
    with place_of(at).writing(clock) as log:
        log.forgetting = forgetting
        return request_erasure(log, tenant, subject, basis=basis, by=by, retention=retention, now=clock())


def erase_queue(
    at: Place | Path,
    retention: Retention,
    *,
    by: str,
    clock: Callable[[], float] = time.time,
    forgetting: Forgetting | None = None,
) -> dict[str, object]:
    """Look at all open requests to erase again, and do what may be done now."""
    with place_of(at).writing(clock) as log:
        log.forgetting = forgetting
        return {"requests": run_queue(log, by=by, retention=retention, now=clock())}


def erasures(at: Place | Path, *, deadline_days: float, clock: Callable[[], float] = time.time) -> dict[str, object]:
    """What was asked to be erased and what came of it; ``deadline_days`` is the policy's."""
    with place_of(at).reading() as (store, _):
        return erasure_report(store, now=clock(), deadline_days=deadline_days)


def rotate(at: Place | Path, *, by: str, clock: Callable[[], float] = time.time) -> dict[str, str]:
    """Let a new key sign the log; all its processes must be stopped."""
    return rotate_key(place_of(at), by=by, clock=clock)


def rotate_master(
    at: Place | Path,
    *,
    by: str,
    read_new: Callable[[], bytes] | None = None,
    clock: Callable[[], float] = time.time,
) -> dict[str, object]:
    """Wrap all subject keys anew; all processes must be stopped. See `rotation`."""
    return rotate_master_key(place_of(at), by=by, read_new=read_new, clock=clock)


def reconciliation(
    at: Place | Path,
    bill: Path,
    *,
    since: float | None = None,
    until: float | None = None,
    tolerance_s: float = 300.0,
    most: int = 1000,
) -> dict[str, object]:
    """Compare the log with an upstream's bill, a CSV file; see `reconcile`."""
    with place_of(at).reading() as (store, _), bill.open(encoding="utf-8-sig", newline="") as lines:
        return reconcile(store, read_bill(lines), since=since, until=until, tolerance_s=tolerance_s, most=most)


def witness(at: Place | Path, witnesses: Sequence[WitnessAddress], post: Post) -> dict[str, object]:
    """Ask witnesses to cosign the published checkpoint, and keep it with their cosignatures.

    A witness that does not answer is named under ``failed`` and harms nobody; one that saw another history raises
    LogRefused.
    """
    failed: dict[str, str] = {}
    with export_source(at) as source:
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
        keep_witnessed(place_of(at).home, note)
    return {"size": size, "asked": len(witnesses), "failed": failed, "checkpoint": note.decode()}


def timestamp(
    at: Place | Path,
    url: str,
    post: Post,
    *,
    roots: bytes | None = None,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> dict[str, object]:
    """Let an authority stamp the published checkpoint (RFC 3161), and keep the token in the log's home.

    ``roots``: PEM certificates that the authority's has to lead to. ``skew_s``: by how many seconds its clock is ahead
    of ours. Raises LogUnavailable where it cannot be reached, VerificationError where its answer does not hold.
    """
    place = place_of(at)
    with place.reading() as (store, tiles):
        note, vkeys = tiles.published(), read_vkeys(place.home)
        if note is None:
            raise VerificationError("the published checkpoint file is missing; restore the tiles folder")
        size = open_checkpoint(note, place.signer(store).name, vkeys).size
    asked_at = clock()
    response, stamp = ask_authority(note, url, post, roots=roots, random=random)
    keep_stamp(place.home, KeptStamp(size, note, response))
    return {
        "size": size,
        "at": format_time(stamp.at),
        "by": stamp.by,
        "is_trusted": stamp.is_trusted,
        "skew_s": round(stamp.at - asked_at, 3),
    }
