# SPDX-License-Identifier: Apache-2.0
"""What is stated beside a sample: complete, and without anything of a person or a secret."""

from __future__ import annotations

import json
from pathlib import Path

from audit_log import commands
from audit_log.holds import HoldScope
from gateway.audit_statements import statements
from gateway.home import Home
from gateway.settings import Redis, Settings


def test_every_statement_is_there_and_names_nobody(tmp_path: Path) -> None:
    """Numbers with their articles; a hold on one person without the pseudonym; no password."""
    home, _ = Home.create(tmp_path / "home", "audit.example.com/test")
    commands.hold_place(home.place(), HoldScope(subject="pseudonym-7"), reason="case-7", by="a", role="officer")
    settings = Settings(home=home.path, redis=Redis(url="redis://user:hunter2@127.0.0.1/0"))
    found = statements(settings, home.place(), 1_900_000_000.0)

    assert {*found} == {
        "policy.json", "settings.json", "retention.json", "census.json", "holds.json", "erasures.json",
    }  # fmt: skip
    text = json.dumps({name: data for name, (_, data) in found.items()})
    assert "pseudonym-7" not in text and "hunter2" not in text
    assert '"case-7"' in text and '"article"' in text
    assert all(what for what, _ in found.values())
