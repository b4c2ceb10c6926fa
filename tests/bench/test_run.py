# SPDX-License-Identifier: Apache-2.0
"""The benchmark runs from its command line with nothing but Python, and says what it could not have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import run

ROOT = Path(__file__).resolve().parents[2]


def test_the_direct_lane_runs_offline(tmp_path: Path) -> None:
    """Models, load, rounds, table and JSON work together; a lane that is not installed is named with its reason."""
    small = ["--seconds", "0.3", "--events", "5", "--streams", "3", "--connections", "2", "--interval-ms", "5"]
    places = ["--folder", str(tmp_path / "bench"), "--json", str(tmp_path / "out/latest.json")]
    done = subprocess.run(
        [sys.executable, "bench/run.py", "--quick", "--offline", "--lanes", "direct,litellm", *small, *places],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out/latest.json").read_text())
    direct = results["lanes"]["direct"]
    assert direct["plain"]["requests_per_s"] > 0 and direct["plain"]["failed"] == 0
    assert direct["paced"]["events_missing"] == 0 and direct["plain"]["added_p50_ms"] == 0
    assert "litellm: not measured: LiteLLM is not installed yet" in done.stdout and "| direct |" in done.stdout


def test_quick_shortens_only_what_was_not_given() -> None:
    """Flags win over the preset."""
    quick = run.options(["--quick", "--rounds", "2"])
    assert (quick.rounds, quick.seconds, quick.events) == (2, 1.0, 60)
    usual = run.options([])
    assert (usual.rounds, usual.seconds, usual.events) == (3, 3.0, 150)


def test_an_unknown_lane_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake is not a lane left out."""
    with pytest.raises(SystemExit):
        run.options(["--lanes", "direct,ngnix"])
    assert "unknown lanes ngnix" in capsys.readouterr().err
