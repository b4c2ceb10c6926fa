# SPDX-License-Identifier: Apache-2.0
"""The complaint desk in this house."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.policies import PolicyError, load
from gateway.public import desk_policy, tell


def test_the_desk_runs_by_the_numbers_of_the_policy() -> None:
    """No number of the desk is the gateway's own."""
    policy = load(["cn"])
    desk = desk_policy(policy, "Asia/Shanghai")

    assert desk.answer_working_days == policy.number("complaints.close_working_days") == 15
    assert desk.triage_h == policy.number("complaints.triage_hours") == 24
    assert desk.acknowledge_h == policy.number("complaints.acknowledge_hours")
    assert desk.appeal_working_days == policy.number("complaints.appeal_working_days")
    assert desk.appeals_max == policy.number("complaints.appeals_max")
    assert desk.authorities[0].phone == policy.text("complaints.authority.phone")


def test_a_policy_without_the_numbers_gives_no_desk(tmp_path: Path) -> None:
    """A missing number stops the start, not a complaint."""
    head = '[policy]\nid = "xx"\nversion = "2026-01-01"\ntitle = "T"\ntitle_zh = "题"\n'
    entry = '[a.b]\nvalue = true\nunit = "flag"\nkind = "setting"\nconfidence = "OWN"\ntitle = "T"\ntitle_zh = "题"\n'
    (tmp_path / "xx.toml").write_text(head + entry, encoding="utf-8")

    with pytest.raises(PolicyError, match=r"complaints\.close_working_days"):
        desk_policy(load(["xx"], tmp_path), "Asia/Shanghai")


def test_what_could_not_be_told_waits_in_order(site: Any) -> None:
    """The first failure stops the telling, so that the log never gets a later fact before an earlier one."""
    filed = site.house.desk.file("other", "words")
    site.is_log_broken = True
    assert asyncio.run(tell(site.house.desk, site.house.record, filed.facts)) == ""
    site.is_log_broken = False
    waiting = site.house.desk.unrecorded()
    assert [fact["seq"] for fact in waiting] == [1, 2]

    assert asyncio.run(tell(site.house.desk, site.house.record, waiting)) == "0198b1c2-0000-7000-8000-000000000002"
    assert site.house.desk.unrecorded() == ()
    assert [fact["seq"] for fact in site.records] == [1, 2]
