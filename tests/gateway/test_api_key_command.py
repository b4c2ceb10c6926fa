# SPDX-License-Identifier: Apache-2.0
"""`dutybound apikey new | list | revoke` on a data folder."""

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
    return Home.create(tmp_path / "home", "audit.example.com/keys")[0].path


def run(home: Path, *arguments: str) -> Result:
    """The command line."""
    return CliRunner().invoke(app, ["apikey", *arguments, "--home", str(home)])


def test_keys_are_made_listed_and_revoked(home: Path) -> None:
    """The text is shown once and lies nowhere in the folder."""
    made = run(home, "new", "--tenant", "acme", "--rpm", "60", "--tokens-per-day", "1000", "--label", "web")
    assert made.exit_code == 0, made.output
    text = made.output.split()[-1]
    second = json.loads(run(home, "new", "--tenant", "other", "--days", "30", "--json").output)
    assert second["expires_at"].endswith("Z") and second["key"].startswith("dbk_")

    listed = json.loads(run(home, "list", "--json").output)["api_keys"]
    assert [(item["tenant"], item["rpm"], item["tokens_per_day"]) for item in listed] == [
        ("acme", 60, 1000), ("other", 0, 0),
    ]  # fmt: skip
    shown = run(home, "list").output
    assert "acme  60 a minute, 1000 tokens a day  for ever  web" in shown and text not in shown

    assert run(home, "revoke", listed[0]["id"]).output == f"revoked {listed[0]['id']}\n"
    assert len(json.loads(run(home, "list", "--json").output)["api_keys"]) == 1
    for path in home.rglob("*"):
        if path.is_file():
            assert text.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "--tenant", "a/b"), "tenant: expected"),
        (("new", "--tenant", "a", "--rpm", "-1"), "rpm: expected"),
        (("revoke", "key_0"), "no key with this id"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(home: Path, arguments: tuple[str, ...], said: str) -> None:
    """Status 2, with the next step."""
    result = run(home, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("dutybound: ") and said in result.stderr
