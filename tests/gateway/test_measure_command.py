# SPDX-License-Identifier: Apache-2.0
"""`dutybound measure` on a data folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.command_options import BackOffice
from gateway.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder."""
    return Home.create(tmp_path / "home", "audit.example.com/measure")[0].path


def run(home: Path, *arguments: str) -> Result:
    """The command line."""
    return CliRunner().invoke(app, ["measure", *arguments, "--home", str(home)])


def test_a_measure_is_placed_listed_and_lifted(home: Path) -> None:
    """By the `sub` of a token, under the pseudonym that records have."""
    placed = run(home, "place", "suspend", "--sub", "alice", "--reason", "drill", "--hours", "2")
    assert placed.exit_code == 0, placed.output
    measure_id = placed.output.split()[-1]
    subject = BackOffice(home, None).pseudonym("default", "alice")

    assert f"{measure_id}  suspend   default/{subject}" in run(home, "list").output
    (listed,) = json.loads(run(home, "list", "--subject", subject, "--json").output)["measures"]
    assert listed["expires_at"] and listed["actor"].startswith("cli:")
    assert json.loads(run(home, "list", "--tenant", "school", "--json").output)["measures"] == []

    assert run(home, "lift", measure_id, "--reason", "appeal").output == f"lifted {measure_id}\n"
    again = run(home, "lift", measure_id, "--reason", "appeal")
    assert again.exit_code == 2 and "no such measure" in again.stderr
    made = json.loads(run(home, "place", "warn", "--subject", "p1", "--reason", "x", "--json").output)
    assert made["is_recorded"] and made["expires_at"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("place", "warn", "--reason", "x"), "name the person"),
        (("place", "smile", "--subject", "p", "--reason", "x"), "step: expected one of"),
        (("place", "warn", "--subject", "p", "--reason", " "), "reason: expected"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(home: Path, arguments: tuple[str, ...], said: str) -> None:
    """Status 2, with the next step."""
    result = run(home, *arguments)
    assert result.exit_code == 2 and said in result.stderr
