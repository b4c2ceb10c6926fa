# SPDX-License-Identifier: Apache-2.0
"""`dutybound pause | resume | paused` on a data folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder."""
    return Home.create(tmp_path / "home", "audit.example.com/pause")[0].path


def run(home: Path, *arguments: str) -> Result:
    """The command line."""
    return CliRunner().invoke(app, [*arguments, "--home", str(home)])


def test_pauses_are_placed_listed_and_ended(home: Path) -> None:
    """Exit status 1 while something is paused; each change is a record."""
    first = run(home, "pause", "--model", "gpt-*", "--reason", "drill", "--minutes", "30", "--by", "li")
    assert first.exit_code == 0, first.output
    pause_id = first.output.split()[-1]
    second = run(home, "pause", "--everything", "--reason", "drill", "--json")
    assert json.loads(second.output)["is_recorded"]

    listed = run(home, "paused")
    assert listed.exit_code == 1
    assert f"{pause_id}" in listed.output and "cli:li  model=gpt-*" in listed.output and "everything" in listed.output
    assert len(json.loads(run(home, "paused", "--json").output)["paused"]) == 2

    assert run(home, "resume", pause_id).output == f"resumed {pause_id}\n"
    assert len(json.loads(run(home, "resume", "--all", "--json").output)["resumed"]) == 1
    assert (run(home, "paused").exit_code, run(home, "resume", "--all").exit_code) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pause", "--reason", "x"), "name what to pause"),
        (("pause", "--everything", "--model", "m", "--reason", "x"), "name what to pause"),
        (("pause", "--kind", "unheard", "--reason", "x"), "kind: expected one of"),
        (("pause", "--model", "m", "--reason", " "), "reason: expected"),
        (("resume",), "or --all"),
        (("resume", "pause_0"), "no such pause"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(home: Path, arguments: tuple[str, ...], said: str) -> None:
    """Status 2, with the next step."""
    result = run(home, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("dutybound: ") and said in result.stderr
