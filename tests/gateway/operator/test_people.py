# SPDX-License-Identifier: Apache-2.0
"""Guardians and the minors' mode through the operator API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.operator.tokens import Role

YEAR = datetime.now(UTC).year
"""Records are stamped by the log's own clock."""
RECORD = "01900000-0000-7000-8000-000000000001"


def test_a_guardian_is_linked_and_unlinked(listener: Any) -> None:
    """By the `sub` of a token or by pseudonym; the code is shown once and is not in the log."""
    made = listener.post("/api/guardians", {"sub": "child"})
    assert made.status_code == 201
    said = made.json()
    assert said["subject"] == "p-default-child" and said["code"].startswith("grd_")
    (record,) = listener.leaves("measure")
    assert record["event"] == "guardian_linked" and said["code"] not in str(record)

    assert listener.post("/api/guardians/unlink", {"subject": "p-default-child"}).status_code == 200
    assert listener.post("/api/guardians/unlink", {"subject": "p-default-child"}).status_code == 404


def test_whoever_was_taken_for_a_minor_is_cleared_on_appeal(listener: Any) -> None:
    """Listed with the reason, cleared with the case, on record."""
    for number in range(3):
        assert listener.post("/api/minor-modes", {"subject": f"p{number}"}).status_code == 201
        listener.now += 1
    first = listener.get("/api/minor-modes", limit=2).json()
    second = listener.get("/api/minor-modes", limit=2, cursor=first["next_cursor"]).json()
    assert [item["subject"] for item in first["minor_modes"] + second["minor_modes"]] == ["p0", "p1", "p2"]
    assert second["next_cursor"] is None and first["minor_modes"][0]["why"] == "officer"
    assert listener.get("/api/minor-modes", why="suspected").json()["minor_modes"] == []
    assert [item["subject"] for item in listener.get("/api/minor-modes", subject="p1").json()["minor_modes"]] == ["p1"]

    assert listener.post("/api/minor-modes/clear", {"subject": "p1", "case": "C-1"}).status_code == 200
    assert listener.post("/api/minor-modes/clear", {"subject": "p1"}).status_code == 404
    assert [item["subject"] for item in listener.get("/api/minor-modes").json()["minor_modes"]] == ["p0", "p2"]
    assert listener.leaves("measure")[-1] | {"event": "minor_mode_off", "case": "C-1"} == listener.leaves("measure")[-1]


@pytest.mark.parametrize(
    "path", ["/api/guardians", "/api/guardians/unlink", "/api/minor-modes", "/api/minor-modes/clear"]
)
def test_only_officers_act_and_say_whom_they_mean(listener: Any, path: str) -> None:
    """Auditors and operators may not; nobody, or two names for one, is a clear problem."""
    body = {"subject": "p"}
    assert listener.post(path, body, Role.AUDITOR).status_code == 403
    assert listener.post(path, body, Role.OPERATOR).status_code == 403
    assert listener.post(path, body, None).status_code == 401
    for wrong in ({}, {"subject": "p", "sub": "a"}, {"subject": "p", "more": 1}):
        assert listener.post(path, wrong).json()["code"] == "invalid_request"
    assert listener.get("/api/minor-modes", Role.OPERATOR).status_code == 403


def test_a_tenant_that_cannot_be_is_refused(listener: Any) -> None:
    """Names hold no slash."""
    assert listener.post("/api/guardians", {"subject": "p", "tenant": "a/b"}).status_code == 400


def test_the_years_crises_are_counted_and_nobody_is_named(listener: Any) -> None:
    """For the yearly report of SB 243: other incidents and other years do not count."""
    for protected in (True, False):
        listener.remember(**
            {"type": "incident", "event": "crisis", "exchange": RECORD, "tenant": "default", "subject": "p_secret",
             "protected": protected, "notices": 1}
        )  # fmt: skip
    listener.remember(**{"type": "incident", "event": "report_delivered", "report": "crisis"})
    listener.remember(**{"type": "incident", "event": "report_delivered", "report": "first"})

    answer = listener.get("/api/crises", year=YEAR)
    assert answer.json() == {
        "year": YEAR, "help_lines_given": 2, "of_them_to_minors": 1, "notices_queued": 2, "notices_delivered": 1,
        "notices_given_up": 0,
    }  # fmt: skip
    assert "p_secret" not in answer.text
    assert listener.get("/api/crises", year=YEAR + 1).json()["help_lines_given"] == 0
    assert listener.get("/api/crises", year="soon").status_code == 400
