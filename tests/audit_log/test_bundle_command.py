# SPDX-License-Identifier: Apache-2.0
"""The verifier's command line: its exit status is what scripts rely on."""

import json
from pathlib import Path

import pytest

from audit_log.bundle_command import check_bundle
from audit_log.commands import export


def test_status_is_0_1_or_2(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Holds, does not hold, was called in a wrong way."""
    bundle = tmp_path / "b.zip"
    export(small, bundle, generator="test 1")

    assert check_bundle([], bundle) == 0
    assert "compare keys/ with the key" in capsys.readouterr().out
    assert check_bundle([str(tmp_path / "none")], bundle) == 1
    assert "BROKEN" in capsys.readouterr().out
    assert check_bundle(["--json", "--vkey", "x+y+z"], bundle) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    with pytest.raises(SystemExit) as called:
        check_bundle(["--checkpoint", str(tmp_path / "none")], bundle)
    assert called.value.code == 2


def test_own_policy_and_kept_checkpoints_are_used(small: Path, tmp_path: Path) -> None:
    """Instead of the bundle's, and against it."""
    bundle = tmp_path / "b.zip"
    export(small, bundle, generator="test 1")
    (tmp_path / "strict").write_text(f"log {(small / 'log.vkey').read_text().strip()}\nquorum none\n")
    (tmp_path / "other").write_text("quorum none\n")
    kept = str(small / "tiles" / "checkpoint")

    assert check_bundle(["--policy", str(tmp_path / "strict"), "--checkpoint", kept], bundle) == 0
    assert check_bundle(["--policy", str(tmp_path / "strict"), "--checkpoint", str(tmp_path / "other")], bundle) == 1


def test_a_long_list_of_problems_is_cut(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says how many are left out."""
    import zipfile

    bundle = tmp_path / "b.zip"
    export(small, bundle, generator="test 1")
    with zipfile.ZipFile(bundle) as pack, zipfile.ZipFile(tmp_path / "c.zip", "w") as target:
        for name in pack.namelist():
            target.writestr(name, pack.read(name))
        for number in range(150):
            target.writestr(f"x{number}", b"")

    assert check_bundle([], tmp_path / "c.zip") == 1
    assert "and 50 more problems" in capsys.readouterr().out
