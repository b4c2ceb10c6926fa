# SPDX-License-Identifier: Apache-2.0
"""The pack for an audit: what the seed draws, with the evidence, signed; whatever was changed is found."""

import json
import zipfile
from pathlib import Path

import pytest

from audit_log import VerificationError
from audit_log.audit_pack import verify_pack, write_pack
from audit_log.bundle import verify_bundle
from audit_log.commands import export_source
from audit_log.export import ExportRefused, Selection, export_bundle
from audit_log.sample import Sample

STATEMENTS = {"policy.json": ("numbers in force", {"a": "中"})}
SAMPLE = Sample("dice 4 2 6", 7, 0, 40)


def made(home: Path, out: Path, **more: object) -> dict[str, object]:
    with export_source(home) as source:
        options = {"statements": STATEMENTS, "documents": (), "generator": "test 1", "clock": lambda: 1.8e9, **more}
        return write_pack(source, out, SAMPLE, **options)  # type: ignore[arg-type]


def vkey(home: Path) -> list[str]:
    return [(home / "log.vkey").read_text().strip()]


def rewritten(pack: Path, out: Path, change: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(pack) as old, zipfile.ZipFile(out, "w") as new:
        for name in {**dict.fromkeys(old.namelist()), **dict.fromkeys(change)}:
            new.writestr(name, change[name] if name in change else old.read(name))
    return out


def test_a_pack_holds_what_the_seed_drew_and_verifies(small: Path, tmp_path: Path) -> None:
    """Also from a checkpoint that the auditor kept before giving the seed."""
    (tmp_path / "model card.pdf").write_bytes(b"%PDF")
    told = made(small, tmp_path / "p.zip", documents=[tmp_path / "model card.pdf"])
    assert (told["records"], told["files"]) == (7, ["documents/model card.pdf", "policy.json", "sample.zip"])
    report, problems = verify_pack(tmp_path / "p.zip", vkey(small))
    assert (report.problems, report.records, problems) == ([], 7, [])
    with export_source(small) as source:
        size, note = next((size, note) for size, note in source.store.checkpoints() if 0 < size < 40)
        write_pack(
            source,
            tmp_path / "old.zip",
            Sample("x", 3, 0, size),
            statements={},
            documents=(),
            generator="test 1",
            clock=lambda: 1.8e9,
            checkpoint=note,
        )
    report, problems = verify_pack(tmp_path / "old.zip", vkey(small))
    assert (report.problems, report.tree_size, problems) == ([], size, [])


def test_whatever_was_changed_is_found(small: Path, tmp_path: Path) -> None:
    """A statement, a file that was added or taken, the evidence itself, another log's key."""
    made(small, tmp_path / "p.zip")
    for number, change in enumerate(({"policy.json": b"{}"}, {"more.txt": b""}, {"sample.zip": b""})):
        changed = rewritten(tmp_path / "p.zip", tmp_path / f"{number}.zip", change)
        try:
            assert verify_pack(changed, vkey(small))[1] != []
        except VerificationError:
            assert "sample.zip" in change
    with zipfile.ZipFile(tmp_path / "p.zip") as pack:
        evidence = json.loads(pack.read("EVIDENCE.json"))
    evidence["sample"]["seed"] = "another"
    forged = rewritten(tmp_path / "p.zip", tmp_path / "f.zip", {"EVIDENCE.json": json.dumps(evidence).encode()})
    with pytest.raises(VerificationError, match="signed"):
        verify_pack(forged, vkey(small))
    (tmp_path / "junk.zip").write_bytes(b"junk")
    with pytest.raises(VerificationError):
        verify_pack(tmp_path / "junk.zip", vkey(small))
    with pytest.raises(VerificationError):
        verify_pack(tmp_path / "p.zip", ["example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"])


def test_records_that_the_seed_did_not_draw_break_the_bundle(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator who leaves an awkward record out is found by the verifier that came with it."""
    drawn = Sample.indices
    with monkeypatch.context() as patch, export_source(small) as source:
        patch.setattr(Sample, "indices", lambda self, root: drawn(self, root)[1:])
        export_bundle(source, tmp_path / "b.zip", Selection(sample=SAMPLE), clock=lambda: 1.8e9, generator="t")
    assert any("seed" in problem for problem in verify_bundle(tmp_path / "b.zip").problems)


def test_what_cannot_be_drawn_is_refused_and_nothing_is_left(small: Path, tmp_path: Path) -> None:
    """Beyond the checkpoint, with another filter, over a file, with two documents of one name."""
    with export_source(small) as source:
        for selection in (Selection(sample=Sample("a", 1, 0, 41)), Selection(sample=SAMPLE, tenant="t1")):
            with pytest.raises(ExportRefused):
                export_bundle(source, tmp_path / "b.zip", selection, clock=lambda: 1.8e9, generator="t")
    with pytest.raises(ExportRefused, match="same name"):
        made(small, tmp_path / "p.zip", documents=[tmp_path / "a" / "d", tmp_path / "b" / "d"])
    with pytest.raises(ExportRefused, match="written"):
        made(small, tmp_path / "p.zip", documents=[tmp_path / "absent"])
    (tmp_path / "p.zip").write_bytes(b"mine")
    with pytest.raises(ExportRefused, match="exists"):
        made(small, tmp_path / "p.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "p.zip"]
