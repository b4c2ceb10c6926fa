# SPDX-License-Identifier: Apache-2.0
"""The command line: 0 where everything holds, 1 where it does not, 2 where it could not be done, and why."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway import __version__, cli
from gateway.home import Home
from gateway.operator.tokens import TokenStore
from gateway.settings import Settings

RUN = CliRunner()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine that runs the tests is read."""
    for name in list(os.environ):
        if name.upper().startswith("DUTYBOUND_"):
            monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> str:
    """A fresh data folder."""
    return str(Home.create(tmp_path / "home", "audit.example.com/cli")[0].path)


def said(*arguments: str, status: int = 0) -> Result:
    """What a command says."""
    result = RUN.invoke(cli.app, arguments)
    assert result.exit_code == status, (result.output, result.exception)
    return result


def test_the_version_is_the_packages() -> None:
    """Nothing else is printed."""
    assert said("version").stdout.strip() == __version__


def test_init_makes_a_folder_once_and_shows_the_verifier_key(tmp_path: Path) -> None:
    """As its last word; a second time is refused in one line."""
    home = str(tmp_path / "home")
    vkey = said("init", "--home", home, "--origin", "audit.example.com/x").stdout.split()[-1]
    assert vkey.startswith("audit.example.com/x+")
    assert said("keys", "show", "--home", home).stdout.split()[-1] == vkey
    again = said("init", "--home", home, status=2)
    assert again.stderr.startswith("dutybound: ") and again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [("serve",), ("audit", "verify"), ("keys", "show"), ("token", "new", "--role", "auditor"), ("token", "list")],
)
def test_a_folder_that_was_not_initialised_is_refused(command: tuple[str, ...], tmp_path: Path) -> None:
    """And not made."""
    result = said(*command, "--home", str(tmp_path / "wrong"), status=2)
    assert "dutybound init" in result.stderr and not (tmp_path / "wrong").exists()


def test_serve_takes_its_flags_over_everything(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives the server's exit status."""
    served: list[Settings] = []

    def serve(settings: Settings, folder: Home) -> int:
        served.append(settings)
        return 3

    monkeypatch.setattr("gateway.serving.serve", serve)
    monkeypatch.setenv("DUTYBOUND_SERVER__PORT", "1")
    monkeypatch.setenv("DUTYBOUND_SERVER__HOST", "10.0.0.1")
    said("serve", "--home", home, "--upstream", "http://127.0.0.1:9", "--port", "0", "--workers", "2", status=3)
    server = served[0].server
    assert (served[0].upstream.url, server.port, server.host, server.workers) == (
        "http://127.0.0.1:9",
        0,
        "10.0.0.1",
        2,
    )
    assert server.operator_port == 9090


def test_serve_refuses_settings_with_which_the_duties_cannot_be_done(home: str, tmp_path: Path) -> None:
    """Each with its key, before a socket is opened."""
    config = tmp_path / "c.toml"
    config.write_text('[content_filter]\nterms = ["missing.tsv"]\n[service]\nprovider_code = "1"\n')
    result = said("serve", "--home", home, "--config", str(config), status=2)
    assert "content_filter.terms" in result.stderr and "service" in result.stderr


def test_config_check_prints_the_tree_and_what_to_mend(home: str, tmp_path: Path) -> None:
    """Status 1 only for errors; findings go to standard error, so that the tree can be read by a program."""
    fine = said("config", "check", "--home", home)
    assert json.loads(fine.stdout)["upstream"]["url"] == "sample" and "warning: identity.jwt" in fine.stderr
    config = tmp_path / "c.toml"
    config.write_text('[content_filter]\nterms = ["missing.tsv"]\n[redis]\nurl = "redis://:hunter2@r/0"\n')
    broken = said("config", "check", "--home", home, "--config", str(config), "--json", status=1)
    document = json.loads(broken.stdout)
    assert {item["key"] for item in document["findings"] if item["level"] == "error"} == {"content_filter.terms"}
    assert "hunter2" not in broken.output


def test_a_configuration_that_cannot_be_read_is_status_2(home: str, tmp_path: Path) -> None:
    """Unknown keys, a file that is not there."""
    config = tmp_path / "c.toml"
    config.write_text("[sever]\nport = 1\n")
    assert "sever: unknown key" in said("config", "check", "--home", home, "--config", str(config), status=2).stderr
    missing = str(tmp_path / "missing.toml")
    assert "no configuration file" in said("config", "show", "--home", home, "--config", missing, status=2).stderr


def test_the_schema_describes_the_file() -> None:
    """What stands in it, and nothing of ours."""
    schema = json.loads(said("config", "schema").stdout)
    assert set(schema["properties"]) == set(Settings.model_fields) - {"base_dir", "home"}
    assert schema["additionalProperties"] is False


def test_a_token_is_printed_once_as_the_last_word(home: str) -> None:
    """Later only its name is known; revoked it opens nothing."""
    text = said("token", "new", "--role", "auditor", "--label", "eva", "--home", home).stdout.split()[-1]
    tokens = TokenStore(Home.open(Path(home)).tokens)
    found = tokens.find(text) if hasattr(tokens, "find") else tokens.list()[0]
    assert found is not None
    listed = json.loads(said("token", "list", "--json", "--home", home).stdout)["tokens"]
    assert [(row["role"], row["label"], row["expires"]) for row in listed] == [("auditor", "eva", None)]
    assert text not in json.dumps(listed)
    said("token", "revoke", listed[0]["id"], "--home", home)
    assert listed[0]["id"] not in said("token", "list", "--home", home).stdout
    assert "dutybound: " in said("token", "revoke", "nothing", "--home", home, status=2).stderr


def test_a_token_may_end_by_itself(home: str) -> None:
    """Days from now; a role that is none is refused."""
    said("token", "new", "--role", "admin", "--days", "2", "--home", home)
    (row,) = json.loads(said("token", "list", "--json", "--home", home).stdout)["tokens"]
    assert abs(row["expires"] - time.time() - 2 * 86_400) < 60
    said("token", "new", "--role", "king", "--home", home, status=2)


def test_verify_holds_for_a_whole_log_and_not_for_a_changed_one(home: str) -> None:
    """Status 0 only where everything holds, and it says what does not."""
    from audit_log import AuditLog, Entry, new_record_id

    log = AuditLog.open(Path(home) / "audit", writer="gw-0")
    log.append_blocking(Entry({"id": new_record_id(), "type": "notice"}), 10)
    log.close()
    assert said("audit", "verify", "--home", home).stdout.strip().endswith("holds")
    assert json.loads(said("audit", "verify", "--json", "--home", home).stdout)["ok"] is True
    database = sqlite3.connect(Path(home) / "audit" / "audit.db")
    with database:
        database.execute("UPDATE leaves SET leaf = replace(leaf, 'notice', 'access') WHERE idx = 1")
    database.close()
    broken = said("audit", "verify", "--home", home, status=1)
    assert "BROKEN" in broken.stdout and len(broken.stdout.splitlines()) > 1


def test_what_an_operator_can_mend_is_one_line_and_never_a_stack(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full, a key that cannot be read."""

    def broken(*_: object, **__: object) -> Any:
        raise PermissionError(13, "Permission denied", "/home/log.key")

    monkeypatch.setattr("audit_log.place.verify_home", broken)
    result = said("audit", "verify", "--home", home, status=2)
    assert result.stderr.startswith("dutybound: ") and "Traceback" not in result.output


def test_a_reader_that_closes_its_pipe_early_is_no_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dutybound config schema | head -1`."""

    def broken() -> None:
        raise BrokenPipeError

    monkeypatch.setattr(cli, "app", broken)
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1


def test_help_names_every_command() -> None:
    """Without a command, too."""
    text = said("--help").stdout
    for command in ("init", "serve", "config", "audit", "keys", "token", "version"):
        assert command in text
