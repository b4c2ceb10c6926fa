# SPDX-License-Identifier: Apache-2.0
"""What the commands about orders share: one line for what an operator can mend, and records beside a gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from audit_log import verify_home
from content_filter.errors import FilterNotFound
from gateway.command_options import BackOffice, account, refusing
from gateway.home import Home
from gateway.own_records import OwnRecords
from gateway.standing import Standing


def test_what_an_operator_can_mend_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A fault of ours is not hidden."""

    @refusing
    def wrong() -> None:
        raise FilterNotFound("no incident has this id")

    @refusing
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(typer.Exit) as caught:
        wrong()
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err == "dutybound: no incident has this id\n"
    with pytest.raises(ZeroDivisionError):
        broken()


def test_who_acts_is_named_as_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was given, or the name of the account."""
    monkeypatch.setattr("getpass.getuser", lambda: "li")
    assert (account(""), account(" na ")) == ("cli:li", "cli:na")


def test_the_back_office_keeps_orders_and_records(tmp_path: Path) -> None:
    """In the data folder, where a gateway finds them; the log holds."""
    home = Home.create(tmp_path / "home", "audit.example.com/office")[0]
    office = BackOffice(home.path, None)

    async def act(standing: Standing, records: OwnRecords) -> str:
        await standing.place("pause", "1", "x")
        return await records.tell({"type": "measure", "event": "paused", "sealed": {"reason": "x"}})

    assert office.with_orders(act)

    async def look(standing: Standing, records: OwnRecords) -> set[str]:
        return set(standing.shelf("pause"))

    assert BackOffice(home.path, None).with_orders(look) == {"1"}
    assert verify_home(home.audit).ok
    assert office.policy().id == "cn" and len(office.pseudonym("default", "alice")) == 32
