# SPDX-License-Identifier: Apache-2.0
"""`dutybound audit` as people and programs use it: exit statuses, JSON, questions before what cannot be undone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from audit_log import AuditLog, Entry, new_record_id, verify_bundle
from gateway import audit_command
from gateway.cli import app
from gateway.fingerprints import FingerprintStore, Kept
from gateway.home import Home

runner = CliRunner()
BY = ("--by", "ops")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder whose log has three exchanges with bodies."""
    made, _ = Home.create(tmp_path / "home", "audit.example.com/test")
    log = AuditLog.open(made.audit, writer="gw-0")
    for number in range(3):
        fields = {"id": new_record_id(), "type": "exchange", "tenant": "t"}
        log.append_blocking(Entry(fields, f"p{number}", b"words %d" % number))
    log.close()
    return made.path


def run(home: Path, *arguments: str, status: int = 0) -> Result:
    result = runner.invoke(app, ["audit", *arguments, "--home", str(home)])
    assert result.exit_code == status, result.output
    return result


def said(home: Path, *arguments: str, status: int = 0) -> Any:
    return json.loads(run(home, *arguments, "--json", status=status).stdout)


def records(home: Path) -> list[dict[str, Any]]:
    with Home.open(home).place().reading() as (store, _):
        return [json.loads(leaf) for leaf in store.leaves(0, store.next_index())]


def test_every_command_says_what_it_does_and_speaks_json() -> None:
    """Each has a help text and `--json`; only the body itself is printed as it is."""
    groups = [("audit",), ("audit", "hold"), ("audit", "erase"), ("audit", "body")]
    names = {"init", "verify", "prove", "export", "prune", "census", "witness", "rotate", "reconcile"}
    shown = runner.invoke(app, ["audit", "--help"]).stdout
    assert all(re.search(rf"\b{name}\b", shown) for name in names | {"hold", "erase"})
    for group in groups:
        listing = runner.invoke(app, [*group, "--help"]).stdout
        for name in re.findall(r"^│ ([a-z]+) ", listing, re.MULTILINE):
            if name in ("hold", "erase", "body"):
                continue
            about = runner.invoke(app, [*group, name, "--help"]).stdout
            assert "--json" in about or (group[-1], name) == ("body", "read"), (group, name)


def test_a_log_is_verified_and_a_broken_one_names_the_first_bad_index(home: Path, tmp_path: Path) -> None:
    """Exit status 1 where it does not hold; also with the key as an auditor knows it."""
    vkey = (home / "audit" / "log.vkey").read_text().strip()
    assert said(home, "verify", "--vkey", vkey)["ok"] is True
    assert "holds" in run(home, "verify", "--resume", str(tmp_path / "bookmark")).stdout
    assert not (tmp_path / "bookmark").exists()
    with Home.open(home).place().reading() as (store, _), store._writing() as db:  # type: ignore[attr-defined]
        db.execute("UPDATE leaves SET leaf = replace(leaf, 'exchange', 'exchangf') WHERE idx = 2")
    broken = run(home, "verify", status=1)
    assert "BROKEN" in broken.stdout and "first bad index 2" in broken.stdout


def test_a_record_is_proven_by_its_id_or_by_a_receipt(home: Path) -> None:
    """What is not there is refused."""
    record = records(home)[2]
    assert said(home, "prove", record["id"])["index"] == 2
    log = AuditLog.open(home / "audit", writer="gw-0")
    receipt = log.receipt(2, record["id"])
    log.close()
    assert said(home, "prove", receipt, "--receipt")["index"] == 2
    run(home, "prove", new_record_id(), status=2)
    run(home, "prove", receipt[:-3] + "AAA", "--receipt", status=2)


def test_a_hold_goes_through_two_people_in_two_roles(home: Path) -> None:
    """Placed, agreed, listed, kept, lifted."""
    hold = said(home, "hold", "place", "--reason", "case-1", "--by", "anna", "--role", "legal", "--subject", "p1")
    step = ("--by", "bert", "--role", "officer")
    assert (
        "second person"
        in run(home, "hold", "approve", hold["id"], "--by", "anna", "--role", "officer", status=2).output
    )
    assert said(home, "hold", "approve", hold["id"], *step)["state"] == "placed"
    said(home, "hold", "lift", hold["id"], *step)
    assert said(home, "hold", "keep", hold["id"], "--by", "anna", "--role", "legal")["state"] == "placed"
    assert "case-1" in run(home, "hold", "list").stdout
    assert said(home, "hold", "list")["holds"][0]["protects"] is True


def test_an_erasure_asks_first_and_waits_for_a_hold(home: Path) -> None:
    """Without a terminal nobody can be asked: nothing happens without `--yes`."""
    size = len(records(home))
    assert "--yes" in run(home, "erase", "request", "p0", "--tenant", "t", *BY, status=2).output
    assert len(records(home)) == size
    kept = FingerprintStore(Home.open(home).fingerprints)
    kept.keep([Kept(records(home)[1]["id"], 1.0, payload=b"payload")])
    done = said(home, "erase", "request", "p0", "--tenant", "t", "--yes", *BY)
    assert (done["state"], done["bodies"]) == ("done", 1)
    assert kept.records_of(b"payload") == ()
    kept.close()
    hold = said(home, "hold", "place", "--reason", "case-1", "--by", "a", "--role", "x", "--subject", "p1")["id"]
    assert "hold" in run(home, "erase", "request", "p1", "--tenant", "t", "--yes", *BY).stdout
    said(home, "hold", "lift", hold, "--by", "b", "--role", "y")
    said(home, "hold", "approve", hold, "--by", "a", "--role", "x")
    assert [one["state"] for one in said(home, "erase", "run", "--yes", *BY)["requests"]] == ["done"]
    listing = said(home, "erase", "list")
    assert (listing["open"], [one["late"] for one in listing["requests"]]) == (0, [False, False])
    assert run(home, "erase", "list").stdout.count("done") == 2
    assert said(home, "verify")["ok"] is True


def test_a_body_is_read_by_two(home: Path) -> None:
    """Every step is a record; the words are printed to the one who asked alone."""
    record_id = records(home)[1]["id"]
    access = said(home, "body", "ask", record_id, "--reason", "case-1", "--by", "anna", "--role", "officer")["id"]
    run(home, "body", "read", access, "--by", "anna", "--role", "officer", status=2)
    run(home, "body", "approve", access, "--by", "bert", "--role", "officer")
    assert run(home, "body", "read", access, "--by", "anna", "--role", "officer").stdout == "words 0\n"
    assert [one["event"] for one in records(home) if one["type"] == "access"] == ["request", "approve", "read"]


def test_keys_are_changed_and_a_bundle_verifies_with_the_first(home: Path, tmp_path: Path) -> None:
    """The signing key, the master key; bodies are handed out as they were sealed."""
    first = (home / "audit" / "log.vkey").read_text().strip()
    run(home, "rotate", *BY, status=2)
    changed = said(home, "rotate", "--yes", *BY)
    assert changed["old"] == first
    assert said(home, "rotate", "--master", "--yes", *BY)["keys"] == 3
    run(home, "rotate", "--master", "--new-master", "nowhere", "--yes", *BY, status=2)
    out = tmp_path / "b.zip"
    made = said(home, "export", "-o", str(out), "--bodies", "opened", "--by", "auditor-1")
    report = verify_bundle(out, vkeys=[first])
    assert (report.problems, made["bodies"], report.complete) == ([], 3, True)
    part = said(home, "export", "-o", str(tmp_path / "p.zip"), "--from", "1", "--to", "3", "--type", "exchange")
    assert (part["records"], part["first"]) == (2, 1)
    run(home, "export", "-o", str(out), status=2)


def test_a_prune_is_shown_before_it_is_done(home: Path) -> None:
    """Nothing is past its maximum: it is said what keeps it; a retention below the law's is refused."""
    plan = said(home, "prune", "--dry-run")
    assert (plan["dry_run"], plan["boundary"]) == (True, 0)
    assert "has no maximum" in run(home, "prune", "--dry-run").stdout
    run(home, "prune", status=2)
    assert said(home, "prune", "--yes", *BY)["dry_run"] is False
    config = home / "dutybound.toml"
    config.write_text(config.read_text().replace("[audit]", "[audit]\nkeep_days = 10"))
    assert "audit.keep_days" in run(home, "prune", "--dry-run", status=2).output


def test_the_census_and_a_bill_tell_by_their_exit_status(home: Path, tmp_path: Path) -> None:
    """0 where all agrees."""
    assert json.loads(run(home, "census").stdout)["lost"] == 0
    bill = tmp_path / "bill.csv"
    bill.write_text("time,model\n2026-01-01T00:00:00Z,m\n")
    assert "line 2" in run(home, "reconcile", str(bill), status=1).stdout
    bill.write_text("model\nm\n")
    assert "column" in run(home, "reconcile", str(bill), status=2).output


def test_witnesses_are_asked_and_the_silent_ones_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 1 where one did not cosign; a log's key is no witness's."""

    def nobody(url: str, body: bytes) -> tuple[int, bytes]:
        raise OSError("ConnectError")

    monkeypatch.setattr(audit_command, "_post", nobody)
    log_key = (home / "audit" / "log.vkey").read_text().strip()
    assert "log's" in run(home, "witness", "--url", "http://w", "--key", log_key, status=2).output
    run(home, "witness", "--url", "http://w", "--key", WITNESS, "--url", "http://x", status=2)
    found = said(home, "witness", "--url", "http://w", "--key", WITNESS, status=1)
    assert list(found["failed"]) == ["http://w"]


def test_a_log_is_made_once(home: Path) -> None:
    """By an explicit command, never over another."""
    assert "already" in run(home, "init", status=2).output


def test_progress_is_for_terminals_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a pipe gets none of it."""
    silent = audit_command.Progress("checked")
    silent(1, 2)
    silent.end()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown = audit_command.Progress("checked")
    shown(500_000, 10_000_000)
    shown(500_001, 10_000_000)
    shown.end()
    assert capsys.readouterr().err == "\rchecked 500,000 of 10,000,000 records, 5 %\n"


def _witness_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from audit_log.cosignature import CosignatureSigner

    return CosignatureSigner(
        "w.example/one", Ed25519PrivateKey.from_private_bytes(bytes(32)), lambda: 0.0
    ).verifier.vkey


WITNESS = _witness_key()


def test_an_export_takes_a_case_a_view_for_data_tools_and_goes_on(home: Path, tmp_path: Path) -> None:
    """A call that was cut short before is finished by the same one; another one is refused."""
    pytest.importorskip("pyarrow")
    done = said(home, "export", "-o", str(tmp_path / "b.zip"), "--case", "c1", "--parquet", "--resume")
    assert (done["records"], done["complete"]) == (0, False)
    assert verify_bundle(tmp_path / "b.zip").ok
    (tmp_path / "c.zip.unfinished").mkdir()
    assert "--resume" in run(home, "export", "-o", str(tmp_path / "c.zip"), status=2).output
    assert said(home, "export", "-o", str(tmp_path / "c.zip"), "--resume")["complete"] is True
