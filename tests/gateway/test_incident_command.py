# SPDX-License-Identifier: Apache-2.0
"""`dutybound incident` on a data folder."""

from __future__ import annotations

import json
import time
from pathlib import Path

import docx
import pytest
from typer.testing import CliRunner, Result

from audit_log import AuditLog, Entry, new_record_id
from content_filter import Incident, IncidentStore, Role
from gateway.cli import app
from gateway.home import Home
from tests.gateway.rooms import chunks

INCIDENT = "inc_1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder in which something was found yesterday, with the answer in a sealed body."""
    made = Home.create(tmp_path / "home", "audit.example.com/incident")[0]
    (made.path / "dutybound.toml").write_text(
        '[audit]\nbodies = "blocked"\ntwo_person_reading = false\n'
        '[delivery]\nwebhook_url = "https://authority.example/in"\nwebhook_secret_env = "HOOK_SECRET"\n'
    )
    record_id = new_record_id()
    log = AuditLog.open(made.audit, writer="gw-test")
    body = json.dumps({"prompt": {"model": "m"}, "answer": b"".join(chunks("wrong words", ends=False)).decode()})
    fields = {"id": record_id, "type": "close", "wire": "openai_chat", "stream": True}
    log.append_blocking(Entry(fields, subject="p1", body=body.encode()), 30)
    log.close()
    store = IncidentStore(made.incidents)
    store.open(
        Incident(
            INCIDENT, time.time() - 25 * 3_600, "A1a", "term:7", Role.ANSWER, record_id, "default", "p1", 3, 3, 5,
            "sha256:00", body_record=record_id,
        )
    )  # fmt: skip
    store.close()
    return made.path


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The webhook's secret."""
    monkeypatch.setenv("HOOK_SECRET", "s")


def run(home: Path, *arguments: str) -> Result:
    """The command line."""
    return CliRunner().invoke(app, ["incident", *arguments, "--home", str(home)])


def test_an_officer_handles_it_from_the_command_line(home: Path, tmp_path: Path) -> None:
    """The queue, a step, a note, facts, the report, people, the takedown, and what is left of it all."""
    late = run(home, "list", "--overdue")
    assert late.exit_code == 1 and "OVERDUE" in late.output and INCIDENT in late.output

    assert run(home, "move", INCIDENT, "confirmed", "--by", "li").output == f"{INCIDENT}: open -> confirmed\n"
    assert run(home, "note", INCIDENT, "called the author").output == "note 1 added\n"
    assert json.loads(run(home, "facts", INCIDENT, '{"harm": "none"}').output) == {"harm": "none"}
    sent = run(home, "send", INCIDENT, "--via", "webhook")
    assert run(home, "notify", INCIDENT, "--zh", "一", "--en", "one").output.startswith("1 will be told")
    assert run(home, "takedown", INCIDENT).output == "taken down\n"

    out = tmp_path / "report.docx"
    said = run(home, "report", INCIDENT, "-o", str(out), "--language", "en")
    assert said.exit_code == 0 and "to be completed: " in said.output
    assert docx.Document(str(out)).tables
    assert run(home, "report", INCIDENT, "-o", str(out)).exit_code == 2
    assert json.loads(run(home, "report", INCIDENT).output)["kind"] == "first"

    shown = json.loads(run(home, "show", INCIDENT).output)
    assert (shown["state"], shown["is_withheld"], shown["facts"]) == ("confirmed", True, {"harm": "none"})
    assert shown["deliveries"][0]["id"] == sent.output.split()[-1]
    assert shown["notes"][0]["text"] == "called the author" and shown["history"][1]["actor"] == "cli:li"
    assert run(home, "takedown", INCIDENT, "--end").output == "given again\n"
    assert run(home, "list", "--overdue").exit_code == 0


def test_the_set_for_rectification_holds_the_text(home: Path, tmp_path: Path) -> None:
    """As `dutybound filter train` reads it; only what was judged."""
    empty = tmp_path / "none.jsonl"
    assert run(home, "rectification", "-o", str(empty)).output.startswith("wrote 0 rows")
    run(home, "move", INCIDENT, "confirmed")
    out = tmp_path / "set.jsonl"

    said = run(home, "rectification", "-o", str(out))

    assert said.exit_code == 0, said.output
    (row,) = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {"text": "wrong words", "role": "response", "label": "harmful", "category": "A1a"}.items() <= row.items()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "inc_9"), "no incident has this id"),
        (("move", INCIDENT, "closed"), "cannot become"),
        (("move", INCIDENT, "confirmed", "--version", "7"), "read it again"),
        (("facts", INCIDENT, "[]"), "one JSON object"),
        (("send", INCIDENT, "--via", "mail"), "delivery.mail_host"),
        (("takedown", INCIDENT, "--end"), "nothing of this incident is withheld"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(home: Path, arguments: tuple[str, ...], said: str) -> None:
    """Status 2, with the next step."""
    result = run(home, *arguments)
    assert result.exit_code == 2 and said in result.stderr
