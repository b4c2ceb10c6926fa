# SPDX-License-Identifier: Apache-2.0
"""What operators and auditors ask of a log, as plain functions over its home."""

import json
from pathlib import Path

import pytest

from audit_log import VerificationError, verify_home
from audit_log.bundle import verify_bundle
from audit_log.commands import (
    erase,
    erase_queue,
    erasures,
    export,
    export_source,
    hold_place,
    hold_step,
    holds,
    prove,
    prune,
)
from audit_log.holds import HoldScope
from audit_log.note import Verifier
from audit_log.proof import verify_proof
from audit_log.record import TYPES
from audit_log.retention import Retention, RetentionRule


def test_a_record_is_proven(small: Path) -> None:
    """With what anybody needs to check it; an id that is not there is an error."""
    with export_source(small) as source:
        leaf = next(source.store.leaves(7, 8))
    found = prove(small, json.loads(leaf)["id"])

    verifier = Verifier.from_vkey((small / "log.vkey").read_text().strip())
    assert (found["index"], found["record"]) == (7, leaf.decode())
    assert verify_proof(str(found["proof"]).encode(), leaf, verifier.name, [verifier])[0] == 7
    with pytest.raises(VerificationError):
        prove(small, "00000000-0000-7000-8000-000000000000")


def test_an_export_of_bodies_is_recorded_before_it_is_made(small: Path, tmp_path: Path) -> None:
    """The access record is in the bundle itself."""
    (tmp_path / "kept").write_bytes((small / "tiles" / "checkpoint").read_bytes())
    result = export(
        small,
        tmp_path / "b.zip",
        generator="test 1",
        bodies="opened",
        by="auditor-7",
        older=[tmp_path / "kept"],
        clock=lambda: 1.8e9,
    )

    assert json.loads(json.dumps(result))["bodies"] == 6
    with export_source(small) as source:
        records = [json.loads(leaf) for leaf in source.store.leaves(40, 43)]
    assert [record["type"] for record in records] == ["boot", "access", "shutdown"]
    assert (records[1]["by"], records[1]["bodies"]) == ("auditor-7", "opened")
    assert verify_bundle(tmp_path / "b.zip", older=[(tmp_path / "kept").read_bytes()]).ok
    assert verify_home(small).ok


def test_a_policy_file_is_handed_out(small: Path, tmp_path: Path) -> None:
    """The one that was given."""
    (tmp_path / "policy").write_text(f"log {(small / 'log.vkey').read_text().strip()}\nquorum none\n")
    export(small, tmp_path / "b.zip", generator="test 1", policy=tmp_path / "policy")

    assert verify_bundle(tmp_path / "b.zip").ok


RULES = Retention((RetentionRule("all", TYPES, 0, 0, "house-1"),))


def test_a_hold_goes_its_way_by_command(small: Path) -> None:
    """Placed, agreed, seen, lifted; each call is a writer of its own beside the gateway."""
    clock = lambda: 1.8e9  # noqa: E731
    placed = hold_place(small, HoldScope(subject="p1"), reason="case-1", by="anna", role="legal", clock=clock)
    assert placed["state"] == "proposed"
    hold_id = str(placed["id"])
    assert hold_step(small, hold_id, "approve", by="bert", role="officer", clock=clock)["state"] == "placed"
    refused = erase(small, "t1", "p1", RULES, basis="pipl-47", by="desk", clock=clock)
    assert (refused["state"], refused["because"]) == ("waiting", [hold_id])
    hold_step(small, hold_id, "lift", by="bert", role="officer", clock=clock)
    hold_step(small, hold_id, "approve", by="anna", role="legal", clock=clock)
    assert json.loads(json.dumps(holds(small)))["holds"][0]["protects"] is False

    assert [one["state"] for one in erase_queue(small, RULES, by="ops", clock=clock)["requests"]] == ["done"]  # type: ignore[attr-defined]
    report = erasures(small, deadline_days=15, clock=clock)
    assert (report["open"], len(report["requests"])) == (0, 1)  # type: ignore[arg-type]
    assert verify_home(small).problems == []


def test_a_prune_goes_its_way_by_command(long_home: Path) -> None:
    """A dry run first; then hidden, deleted, bodies expired, and the log holds."""
    clock = lambda: 1.9e9  # noqa: E731
    plan = prune(long_home, RULES, by="ops", dry_run=True, clock=clock)
    assert (plan["boundary"], plan["segments"], plan["dry_run"]) == (131_072, 2, True)
    assert [one["days_over"] for one in plan["overdue"]] == [1539]  # type: ignore[attr-defined]
    rules = Retention((RetentionRule("all", TYPES, 0, 0, "house-1", 0, 0),))
    done = json.loads(json.dumps(prune(long_home, rules, by="ops", clock=clock)))

    assert (done["deleted"]["leaves"], done["bodies_expired"]) == (131_072, {"all": 1})
    report = verify_home(long_home)
    assert (report.problems, report.minimum, report.bodies) == ([], 131_072, 0)
