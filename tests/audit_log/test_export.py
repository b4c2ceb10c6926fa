# SPDX-License-Identifier: Apache-2.0
"""Exporting: the right records with everything that proves them, whole or not at all."""

import json
import os
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_log import AuditLog, Entry, VerificationError, new_record_id
from audit_log.bundle import verify_bundle
from audit_log.checkpoint import Checkpoint, sign_checkpoint
from audit_log.commands import export_source
from audit_log.cosignature import CosignatureSigner, cosign
from audit_log.draft import DraftRefused
from audit_log.export import ExportRefused, ExportResult, Selection, export_bundle
from audit_log.keys import load_log_key
from audit_log.merkle import leaf_hash
from audit_log.note import Signer, Verifier
from audit_log.proof import verify_proof
from audit_log.record import parse_time_us
from audit_log.trust import TrustPolicy

ORIGIN = "audit.example.com/test"


def made(home: Path, out: Path, selection: Selection = Selection(), **more: object) -> ExportResult:  # noqa: B008
    with export_source(home) as source:
        return export_bundle(source, out, selection, clock=lambda: 1.8e9, generator="test 1", **more)  # type: ignore[arg-type]


def records(bundle: Path) -> list[dict[str, object]]:
    with zipfile.ZipFile(bundle) as pack:
        return [json.loads(line) for line in pack.read("records.jsonl").splitlines()]


def manifest(bundle: Path) -> dict[str, object]:
    with zipfile.ZipFile(bundle) as pack:
        found: dict[str, object] = json.loads(pack.read("MANIFEST.json"))
        return found


def seconds(text: str) -> float:
    return parse_time_us(text) / 1e6


def test_a_whole_log_comes_out_whole(small: Path, tmp_path: Path) -> None:
    """Every leaf verbatim under its index, each with a proof that anybody can check with the log's key alone."""
    result = made(small, tmp_path / "b.zip")

    assert (result.records, result.first, result.last, result.tree_size) == (40, 0, 39, 40)
    assert (result.complete, result.pending) == (True, 0)
    verifier = Verifier.from_vkey((small / "log.vkey").read_text().strip())
    with zipfile.ZipFile(tmp_path / "b.zip") as pack, export_source(small) as source:
        lines = pack.read("records.jsonl").split(b"\n")[:-1]
        assert lines == list(source.store.leaves(0, 40))
        for index, leaf in enumerate(lines):
            assert verify_proof(pack.read(f"proofs/{index}.tlog-proof"), leaf, ORIGIN, [verifier])[0] == index
            assert leaf_hash(leaf).hex().encode() in pack.read("records.csv").split(b"\r\n")[index + 1]
    assert verify_bundle(tmp_path / "b.zip", vkeys=[verifier.vkey]).problems == []


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        (Selection(tenant="t1"), 18),
        (Selection(subject="p1"), 12),
        (Selection(subject="p0", tenant="t1"), 6),
        (Selection(class_="A1"), 8),
        (Selection(type="boot"), 1),
        (Selection(since=seconds("2027-01-15T08:10:00.000000Z"), until=seconds("2027-01-15T08:20:00.000000Z")), 10),
        (Selection(tenant="nobody"), 0),
    ],
)
def test_filters_select(small: Path, tmp_path: Path, selection: Selection, count: int) -> None:
    """And the bundle says that it is a selection, and verifies as one."""
    result = made(small, tmp_path / "b.zip", selection)

    assert (result.records, result.complete) == (count, False)
    assert len(records(tmp_path / "b.zip")) == count
    report = verify_bundle(tmp_path / "b.zip")
    assert (report.problems, report.records, report.complete) == ([], count, False)


def test_a_selection_names_no_pseudonym(small: Path, tmp_path: Path) -> None:
    """Who was asked for is not written into what is handed out."""
    made(small, tmp_path / "b.zip", Selection(subject="p1"))

    with zipfile.ZipFile(tmp_path / "b.zip") as pack:
        assert all(b'"p1"' not in pack.read(name) for name in pack.namelist())


def test_a_log_can_be_handed_over_in_parts(small: Path, tmp_path: Path) -> None:
    """Each complete for its range, together everything."""
    made(small, tmp_path / "1.zip", Selection(to_index=15))
    made(small, tmp_path / "2.zip", Selection(from_index=15))

    reports = [verify_bundle(tmp_path / name) for name in ("1.zip", "2.zip")]
    assert [(r.ok, r.complete, r.first, r.last) for r in reports] == [(True, True, 0, 14), (True, True, 15, 39)]


def test_what_was_done_to_the_log_comes_with_every_bundle(small: Path, tmp_path: Path) -> None:
    """An erased record is authentic, and its body is said to be gone, whatever was selected."""
    made(small, tmp_path / "b.zip", Selection(type="exchange"))

    with zipfile.ZipFile(tmp_path / "b.zip") as pack:
        erasures = json.loads(pack.read("erasures.json"))["records"]
    assert json.loads(erasures[0]["record"])["basis"] == "request"
    assert verify_bundle(tmp_path / "b.zip").erased == 4


def test_bodies_come_sealed_or_opened_when_asked_for(small: Path, tmp_path: Path) -> None:
    """Sealed: the ciphertext that the leaf names. Opened: with the key of that body alone, and never an erased one."""
    for kind in ("sealed", "opened"):
        result = made(small, tmp_path / f"{kind}.zip", bodies=kind)
        assert result.bodies == 6
        assert (verify_bundle(tmp_path / f"{kind}.zip").ok, verify_bundle(tmp_path / f"{kind}.zip").bodies) == (True, 6)
    with zipfile.ZipFile(tmp_path / "sealed.zip") as pack:
        assert b"data_key" not in pack.read("bodies/5.json")


def test_opening_bodies_needs_the_master_key(small: Path, tmp_path: Path) -> None:
    """And says so before anything is written."""
    os.rename(small / "body.key", tmp_path / "away")

    with pytest.raises(ExportRefused):
        made(small, tmp_path / "b.zip", bodies="opened")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["away", "home"]


def test_leaves_that_no_checkpoint_covers_are_left_out_and_counted(small: Path, tmp_path: Path) -> None:
    """They cannot be proven yet."""
    log = AuditLog.open(small, writer="gw", publish=False, clock=lambda: 1.8e9)
    log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    result = made(small, tmp_path / "b.zip")
    log.close()

    assert (result.tree_size, result.pending, result.records) == (40, 2, 40)
    assert manifest(tmp_path / "b.zip")["pending"] == "2"
    assert verify_bundle(tmp_path / "b.zip").ok


def test_a_bundle_is_never_written_over_something(small: Path, tmp_path: Path) -> None:
    """Nor left half-written."""
    (tmp_path / "b.zip").write_bytes(b"mine")

    with pytest.raises(ExportRefused):
        made(small, tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == b"mine"
    with pytest.raises(ExportRefused):
        made(small, tmp_path / "no" / "b.zip")


def test_a_damaged_log_gives_no_bundle(small: Path, tmp_path: Path) -> None:
    """A leaf that is missing stops the export, and nothing is left behind."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(small / "audit.db")) as db:
        db.execute("DELETE FROM leaves WHERE idx = 20")
        db.commit()

    for selection in (Selection(), Selection(tenant="t1")):
        with pytest.raises(VerificationError, match="missing"):
            made(small, tmp_path / "b.zip", selection)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_checkpoint_that_the_auditor_kept_is_continued(small: Path, tmp_path: Path) -> None:
    """Also of a size that the log would not have put in; one that is forged or newer is refused."""
    signer = Signer(ORIGIN, load_log_key(small / "log.key"))
    with export_source(small) as source:
        kept = [note for size, note in source.store.checkpoints() if size not in (0, 40)]
    made(small, tmp_path / "b.zip", older=kept)

    assert verify_bundle(tmp_path / "b.zip", older=kept).ok
    forked = sign_checkpoint(Checkpoint(ORIGIN, 17, b"x" * 32), [signer])
    assert not verify_bundle(tmp_path / "b.zip", older=[forked]).ok
    newer = sign_checkpoint(Checkpoint(ORIGIN, 41, b"x" * 32), [signer])
    assert not verify_bundle(tmp_path / "b.zip", older=[newer]).ok
    with pytest.raises(ExportRefused):
        made(small, tmp_path / "c.zip", older=[newer])


def test_checkpoints_that_lie_evenly_come_along(home: Path, tmp_path: Path) -> None:
    """Not all of a log that was published a thousand times."""
    with export_source(home) as source:
        head = source.store.head()
        for size in range(1, 350):
            note = sign_checkpoint(Checkpoint(ORIGIN, size, b"x" * 32), [source.signer])
            assert source.store.swap_head(head, note, size, 1.8e9)
            head = note
        from audit_log.export import _spread

        chosen = [size for size, _ in _spread(source.store, 349, [123])]
    assert 80 < len(chosen) <= 101
    assert {0, 123} <= {*chosen}


def test_a_policy_with_witnesses_is_handed_out_and_enforced(small: Path, tmp_path: Path) -> None:
    """A quorum that the checkpoint does not meet breaks the bundle, and a cosigned checkpoint meets it."""
    witness = CosignatureSigner("w.example", Ed25519PrivateKey.generate(), lambda: 1.8e9)
    verifier = Verifier.from_vkey((small / "log.vkey").read_text().strip())
    policy = TrustPolicy((verifier,), {"w": witness.verifier}, {}, "w")
    made(small, tmp_path / "b.zip", policy=policy)
    assert any("quorum" in problem for problem in verify_bundle(tmp_path / "b.zip").problems)

    with export_source(small) as source:
        head = source.store.head()
        cosigned = cosign(head, witness)
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(small / "audit.db")) as db:
            db.execute("UPDATE head SET body = ?", (cosigned,))
            db.execute("UPDATE checkpoints SET body = ? WHERE size = 40", (cosigned,))
            db.commit()
    made(small, tmp_path / "c.zip", policy=policy)
    report = verify_bundle(tmp_path / "c.zip")
    assert (report.problems, report.witnesses) == ([], ["w"])


def test_progress_is_told(small: Path, tmp_path: Path) -> None:
    """For a selection as for a whole log."""
    for selection in (Selection(), Selection(type="exchange")):
        seen: list[tuple[int, int]] = []
        made(small, tmp_path / f"{len(selection.filters())}.zip", selection, progress=lambda *at: seen.append(at))  # noqa: B023
        assert seen and seen[-1][1] == 40


def test_an_interrupted_export_goes_on_where_it_stopped(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds no record twice, loses none, and keeps its checkpoint while the log goes on."""
    monkeypatch.setattr("audit_log.export._KEEP_EVERY", 5)
    from audit_log.export import Prover

    proven: list[int] = []
    prove = Prover.prove

    def failing(self: Prover, index: int) -> bytes:
        proven.append(index)
        if proven.count(23) == 1 and proven[0] == 0:
            raise RuntimeError
        return prove(self, index)

    monkeypatch.setattr(Prover, "prove", failing)
    with pytest.raises(RuntimeError):
        made(small, tmp_path / "b.zip", resume=True)
    assert not (tmp_path / "b.zip").exists() and (tmp_path / "b.zip.unfinished").exists()
    with pytest.raises(DraftRefused, match="--resume"):
        made(small, tmp_path / "b.zip")
    with pytest.raises(DraftRefused, match="another"):
        made(small, tmp_path / "b.zip", Selection(tenant="t1"), resume=True)
    log = AuditLog.open(small, writer="gw", publish=False, clock=lambda: 1.8e9)
    log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    log._publish_from(small / "publisher.lock")
    log.close()

    proven.clear()
    result = made(small, tmp_path / "b.zip", resume=True)
    assert proven[0] == 20
    assert (result.records, result.first, result.last, result.tree_size) == (40, 0, 39, 40)
    assert verify_bundle(tmp_path / "b.zip").problems == []
    assert not (tmp_path / "b.zip.unfinished").exists()


def test_an_interrupted_selection_goes_on_too(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same call made twice gives the same records as one that was never interrupted."""
    monkeypatch.setattr("audit_log.export._KEEP_EVERY", 2)
    matches = Selection.matches
    left = [9]

    def failing(self: Selection, leaf: bytes) -> bool:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError
        return matches(self, leaf)

    monkeypatch.setattr(Selection, "matches", failing)
    with pytest.raises(RuntimeError):
        made(small, tmp_path / "b.zip", Selection(tenant="t1"), resume=True)
    made(small, tmp_path / "b.zip", Selection(tenant="t1"), resume=True)
    made(small, tmp_path / "c.zip", Selection(tenant="t1"))
    assert records(tmp_path / "b.zip") == records(tmp_path / "c.zip")
    assert verify_bundle(tmp_path / "b.zip").ok


def test_an_incident_or_a_case_selects(home: Path, tmp_path: Path) -> None:
    """In the order of the log, over both types that tell of a case; a record that does not belong breaks the bundle."""
    log = AuditLog.open(home, writer="gw", publish=False, clock=lambda: 1.8e9)
    log._publish_from(home / "publisher.lock")
    for number in range(12):
        about = {"type": ("complaint", "case", "exchange")[number % 3], "case": f"c{number % 2}"}
        log.append_blocking(Entry({"id": new_record_id(), **about}))
        log.append_blocking(Entry({"id": new_record_id(), "type": "incident", "incident": f"i{number % 4}"}))
    log.close()

    made(home, tmp_path / "c.zip", Selection(case="c1"))
    assert [record["type"] for record in records(tmp_path / "c.zip")] == ["case", "complaint", "case", "complaint"]
    made(home, tmp_path / "t.zip", Selection(case="c1", type="case"))
    assert len(records(tmp_path / "t.zip")) == 2
    made(home, tmp_path / "i.zip", Selection(incident="i3"))
    assert [record["incident"] for record in records(tmp_path / "i.zip")] == ["i3"] * 3
    for name in ("c.zip", "t.zip", "i.zip"):
        assert verify_bundle(tmp_path / name).problems == []
    assert manifest(tmp_path / "c.zip")["filters"] == {"case": "c1"}


def test_the_view_for_data_tools_comes_when_asked_for(small: Path, tmp_path: Path) -> None:
    """With a row for each record; and the JSON Schema that records follow always comes."""
    parquet = pytest.importorskip("pyarrow.parquet")
    made(small, tmp_path / "b.zip", Selection(tenant="t1"), parquet=True)

    assert verify_bundle(tmp_path / "b.zip").problems == []
    with zipfile.ZipFile(tmp_path / "b.zip") as pack:
        assert json.loads(pack.read("record.schema.json"))["$id"] == "urn:dutybound:record:1"
        pack.extract("records.parquet", tmp_path)
    rows = parquet.read_table(tmp_path / "records.parquet").to_pylist()
    assert [json.loads(row["leaf"]) for row in rows] == records(tmp_path / "b.zip")
