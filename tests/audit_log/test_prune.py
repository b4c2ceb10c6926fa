# SPDX-License-Identifier: Apache-2.0
"""Pruning: nothing too early, nothing under a hold, and everything that remains proves as before."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_log import AuditLog, Entry, LogUnavailable, VerificationError, new_record_id, verify_home, verify_tiles
from audit_log.bundle import verify_bundle
from audit_log.checkpoint import open_checkpoint
from audit_log.commands import export, export_source, prove
from audit_log.erasure import request_erasure
from audit_log.export import Selection
from audit_log.holds import Approval, HoldScope, propose_hold, step_hold
from audit_log.keys import read_vkeys
from audit_log.merkle import consistency_proof, verify_consistency
from audit_log.proof import verify_proof
from audit_log.prune import expire_bodies, overdue, plan_prune, prune, prune_record, sweep
from audit_log.publish import TileFolder
from audit_log.record import TYPES, parse_time_us
from audit_log.retention import Retention, RetentionRule
from audit_log.tiles import TileTree, fetch_from

SEGMENT = 65_536
NOW = parse_time_us("2028-03-01T00:00:00.000000Z") / 1e6
DUTY = frozenset({"hold", "prune", "erasure", "key", "access"})


def rules(days: int, maximum: int | None = None) -> Retention:
    types = TYPES - DUTY
    return Retention(
        (
            RetentionRule("records", types, days, maximum, "csl-23", 0, 400),
            RetentionRule("duties", DUTY, 1, None if maximum is None else 1, "house-1"),
        )
    )


@pytest.fixture
def log(long_home: Path) -> Iterator[AuditLog]:
    opened = AuditLog.open(long_home, writer="desk", clock=lambda: NOW)
    yield opened
    opened.close()


def pruned(home: Path, retention: Retention, **more: object) -> AuditLog:
    log = AuditLog.open(home, writer="desk", clock=lambda: NOW)
    prune(log, retention, by="ops", clock=lambda: NOW, upto="allowed", **more)  # type: ignore[arg-type]
    return log


def test_what_remains_proves_as_before(long_home: Path) -> None:
    """After hiding and after deleting: leaves, proofs, consistency, checkpoints, tiles, bundles; and it goes on."""
    verifier = read_vkeys(long_home)[0]
    with export_source(long_home) as source:
        notes = {size: note for size, note in source.store.checkpoints() if size > SEGMENT}
    log = pruned(long_home, rules(500))
    assert log.store.minimum() == SEGMENT
    hidden = next(log.store.leaves(0, 1), None)
    assert hidden is None and log.tile("tile/0/000") is None and log.tile("tile/entries/000") is None
    assert log.tile("tile/1/000") is None and log.tile("tile/1/001") is not None and log.tile("tile/0/256") is not None
    done = sweep(log.store, log.folder, now=NOW, grace_s=0.0)
    assert (done["leaves"], done["files"]) == (SEGMENT, 513)
    assert sweep(log.store, log.folder, now=NOW, grace_s=0.0) == {"leaves": 0, "files": 0, "bytes": 0}
    log.close()

    report = verify_home(long_home)
    assert (report.problems, report.minimum, report.first_bad_index) == ([], SEGMENT, None)
    with export_source(long_home) as source:
        tree = TileTree(source.folder.fetch, open_checkpoint(source.store.head(), verifier.name, [verifier]).size)
        head = open_checkpoint(source.store.head(), verifier.name, [verifier])
        for size, note in notes.items():
            old = open_checkpoint(note, verifier.name, [verifier])
            verify_consistency(size, head.size, consistency_proof(size, head.size, tree.perfect), old.root, head.root)
        for index in (SEGMENT, SEGMENT + 1, 2 * SEGMENT - 1, 2 * SEGMENT, head.size - 1):
            leaf = next(source.store.leaves(index, index + 1))
            proof = prove(long_home, json.loads(leaf)["id"])["proof"]
            assert verify_proof(str(proof).encode(), leaf, verifier.name, [verifier])[0] == index
        minimum = source.store.minimum()
    assert verify_tiles(fetch_from(long_home / "tiles"), verifier, older=notes.values(), minimum=minimum).ok
    assert not verify_tiles(fetch_from(long_home / "tiles"), verifier).ok
    export(long_home, long_home / "b.zip", Selection(from_index=2 * SEGMENT - 50), generator="t", older=[])
    bundle = verify_bundle(long_home / "b.zip")
    assert (bundle.problems, bundle.first, bundle.complete) == ([], 2 * SEGMENT - 50, True)


def test_a_second_prune_goes_on_from_the_first(long_home: Path) -> None:
    """Writers that wrote before both are followed across."""
    log = pruned(long_home, rules(500))
    log.close()
    log = AuditLog.open(long_home, writer="desk", clock=lambda: NOW + 700 * 86_400)
    plan = prune(log, rules(500), by="ops", clock=lambda: NOW + 700 * 86_400, upto="allowed")
    sweep(log.store, log.folder, now=NOW + 700 * 86_400, grace_s=0)
    writers = prune_record(log.store, 2 * SEGMENT)["next"]
    log.close()

    assert (plan.minimum, plan.boundary) == (SEGMENT, 2 * SEGMENT)
    assert isinstance(writers, dict) and [name.split("/")[0] for name in writers] == ["by-hand", "gw"]
    assert verify_home(long_home).problems == []


def test_a_lost_record_is_seen_behind_a_prune(long_home: Path) -> None:
    """Missing leaves need a prune record that says so."""
    log = pruned(long_home, rules(500))
    log.store.raise_minimum(2 * SEGMENT)
    log.close()

    assert any("no prune record" in problem for problem in verify_home(long_home).problems)


def test_a_dry_run_tells_and_changes_nothing(log: AuditLog) -> None:
    """What would go, and what stops it."""
    size = log.store.next_index()
    plan = prune(log, rules(500), by="ops", clock=lambda: NOW, upto="allowed", dry_run=True)

    assert (log.store.next_index(), log.store.minimum()) == (size, 0)
    shown = json.loads(json.dumps(plan.as_json()))
    assert (shown["segments"], shown["records"]) == (1, {"boot": 2, "exchange": SEGMENT - 2})
    assert shown["blockers"][0]["reason"] == "rule records: 500 days (csl-23)"
    assert shown["blockers"][0]["until"] is not None
    assert shown["newest"] == "2026-02-03T04:05:06.000000Z"


def test_nothing_goes_before_its_minimum(log: AuditLog) -> None:
    """Nor what no rule knows, nor, where only what is due goes, what has no maximum."""
    size = log.reader.checkpoint().size
    only = Retention((RetentionRule("records", frozenset({"exchange"}), 1, 1, "csl-23"),))

    assert plan_prune(log.store, rules(2000), NOW, size, "allowed").boundary == 0
    assert plan_prune(log.store, only, NOW, size, "allowed").blockers[0].reason == "no rule for records of type boot"
    assert plan_prune(log.store, rules(1), NOW, size, "due").boundary == 0
    assert plan_prune(log.store, rules(1, 500), NOW, size, "due").boundary == SEGMENT
    assert plan_prune(log.store, rules(1), NOW, size, "allowed").boundary == 2 * SEGMENT
    assert plan_prune(log.store, rules(1), NOW, SEGMENT + 5, "allowed").boundary == SEGMENT


def test_a_hold_keeps_its_whole_segment_until_it_is_lifted(log: AuditLog) -> None:
    """By subject, by time, and the hold's own records."""
    size = log.reader.checkpoint().size
    second = parse_time_us("2027-01-01T00:00:00.000000Z")
    hold = propose_hold(log, HoldScope(subject="p"), "case-1", Approval("a", "legal"))
    assert plan_prune(log.store, rules(1), NOW, size, "allowed").boundary == 0
    step_hold(log, hold.id, "lift", Approval("a", "legal"))
    assert plan_prune(log.store, rules(1), NOW, size, "allowed").boundary == 0
    step_hold(log, hold.id, "approve", Approval("b", "officer"))
    assert plan_prune(log.store, rules(1), NOW, size, "allowed").boundary == 2 * SEGMENT
    propose_hold(
        log, HoldScope(since_us=second, until_us=second + 86_400_000_000 * 60), "case-2", Approval("a", "legal")
    )
    assert plan_prune(log.store, rules(1), NOW, size, "allowed").boundary == SEGMENT


def test_an_open_erasure_request_is_not_pruned(log: AuditLog) -> None:
    """What was asked for is answered first."""
    hold = propose_hold(log, HoldScope(subject="q"), "case-1", Approval("a", "legal"))
    request_erasure(log, "t", "q", basis="pipl-47", by="desk", retention=rules(1), now=NOW)

    plan = plan_prune(log.store, rules(1), NOW + 10**9, log.store.next_index(), "allowed")
    assert [blocker.reason.split(" ")[0] for blocker in plan.blockers] == ["hold", "erasure", "no"]
    assert plan.blockers[0].reason == f"hold {hold.id}"


def test_nothing_is_hidden_before_its_record_is_published(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no checkpoint covers the record, the prune stops, and can be done again."""

    def never(index: int, timeout_s: float = 0) -> None:
        raise LogUnavailable("nobody publishes")

    monkeypatch.setattr(log, "wait_published", never)
    with pytest.raises(LogUnavailable):
        prune(log, rules(500), by="ops", clock=lambda: NOW, upto="allowed")
    assert log.store.minimum() == 0
    monkeypatch.undo()
    prune(log, rules(500), by="ops", clock=lambda: NOW, upto="allowed")
    assert log.store.minimum() == SEGMENT


def test_what_is_hidden_is_deleted_after_the_grace_period(log: AuditLog) -> None:
    """Not before."""
    prune(log, rules(500), by="ops", clock=lambda: NOW, upto="allowed")

    assert sweep(log.store, log.folder, now=NOW + 60, grace_s=3600)["leaves"] == 0
    assert sweep(log.store, log.folder, now=NOW + 3601, grace_s=3600)["leaves"] == SEGMENT


def test_pruned_bodies_and_keys_are_gone_from_the_file(long_home: Path) -> None:
    """A key that no body is left of goes too, and whoever writes next makes a new one."""
    log = pruned(long_home, rules(500))
    log.store.drop_bodies([log.search(subject="p", since=NOW - 40 * 86_400).rows[0].row.id])
    epoch = log.store.key_epoch()
    sweep(log.store, log.folder, now=NOW, grace_s=0)
    assert log.store.subject_key("t", "p") is None
    assert log.store.key_epoch() == epoch + 1
    log.append_blocking(Entry({"id": (id_ := new_record_id()), "type": "exchange", "tenant": "t"}, "p", b"fresh"))
    assert log.body(id_) == b"fresh"
    log.close()


def test_a_damaged_log_is_not_pruned(long_home: Path) -> None:
    """What cannot be verified any more must not be removed from sight."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(long_home / "audit.db")) as db:
        db.execute("DELETE FROM leaves WHERE idx = 77")
        db.commit()
    with pytest.raises(VerificationError):
        pruned(long_home, rules(500))


def test_records_past_their_maximum_are_reported(log: AuditLog) -> None:
    """With the oldest, and by how much; those without a maximum never are."""
    found = overdue(log.store, rules(1, 500), NOW)

    assert [(one["rule"], one["index"]) for one in found] == [("records", 0)]
    assert overdue(log.store, rules(1), NOW) == []


def test_bodies_past_their_maximum_go_unless_held(log: AuditLog) -> None:
    """Under a record that says by which clause; the leaf stays."""
    hold = propose_hold(log, HoldScope(subject="p"), "case-1", Approval("a", "legal"))
    assert expire_bodies(log, rules(1), by="ops", now=NOW) == {}
    step_hold(log, hold.id, "lift", Approval("a", "legal"))
    step_hold(log, hold.id, "approve", Approval("b", "officer"))
    assert expire_bodies(log, rules(1), by="ops", now=NOW) == {"records": 1}
    assert expire_bodies(log, rules(1), by="ops", now=NOW) == {}

    assert [one.index for one in log.store.subject_bodies("t", "p")] == [2 * SEGMENT]


def test_tiles_that_later_proofs_need_are_never_pruned(tmp_path: Path) -> None:
    """Level 2 and up stay, whatever the minimum."""
    for path in ("tile/2/000", "tile/0/000", "tile/1/000", "tile/1/001", "tile/entries/255", "tile/0/256.p/3"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    assert TileFolder(tmp_path).prune(SEGMENT) == (3, 3)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["tile/0/256.p/3", "tile/1/001", "tile/2/000"]
