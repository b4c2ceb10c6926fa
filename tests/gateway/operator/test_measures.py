# SPDX-License-Identifier: Apache-2.0
"""Measures against people through the operator API."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.operator.tokens import Role

PATH = "/api/measures"
RECORD = "01900000-0000-7000-8000-000000000001"


def test_a_measure_is_taken_listed_and_lifted(listener: Any) -> None:
    """By pseudonym or by the `sub` of a token; each step a record about the person."""
    made = listener.post(
        PATH, {"sub": "alice", "step": "suspend", "reason": "canary", "expires": "2027-01-16T08:00:00Z",
               "evidence": [RECORD]},
    )  # fmt: skip

    assert made.status_code == 201
    said = made.json()
    assert (said["subject"], said["step"], said["evidence"]) == ("p-default-alice", "suspend", [RECORD])
    (listed,) = listener.get(PATH, subject="p-default-alice").json()["measures"]
    assert listed["id"] == said["id"]
    assert 'dutybound_measures_in_force{step="suspend"} 1.0' in listener.get("/metrics", None).text

    lifted = listener.post(f"{PATH}/{said['id']}/lift", {"reason": "appeal upheld"})
    assert lifted.status_code == 200 and lifted.json()["record"]
    assert listener.get(PATH).json() == {"measures": [], "next_cursor": None}
    placed, ended = listener.leaves("measure")
    assert (placed["event"], ended["event"], placed["step"]) == ("placed", "lifted", "suspend")
    assert "canary" not in str({**placed, "body": None}) and "alice" not in str(placed)
    found = listener.get("/api/records", subject="p-default-alice").json()["records"]
    assert {item["id"] for item in found} >= {placed["id"], ended["id"]}
    assert listener.post(f"{PATH}/{said['id']}/lift", {"reason": "x"}).status_code == 404


def test_measures_are_listed_in_pages_by_step_and_tenant(listener: Any) -> None:
    """Every one once, the oldest first; a person is under one at a time."""
    for number in range(3):
        listener.now += 1
        listener.post(PATH, {"subject": f"p{number}", "step": "warn", "reason": "x"})
    listener.post(PATH, {"subject": "p0", "tenant": "school", "step": "restrict", "reason": "x"})
    listener.post(PATH, {"subject": "p2", "step": "terminate", "reason": "x"})

    first = listener.get(PATH, limit=2).json()
    second = listener.get(PATH, limit=2, cursor=first["next_cursor"]).json()
    assert [item["subject"] for item in first["measures"]] == ["p0", "p1"]
    assert second["next_cursor"] is None and len(second["measures"]) == 2
    assert [item["tenant"] for item in listener.get(PATH, step="restrict").json()["measures"]] == ["school"]
    assert [item["subject"] for item in listener.get(PATH, step="terminate").json()["measures"]] == ["p2"]
    assert len(listener.get(PATH, tenant="default").json()["measures"]) == 3


@pytest.mark.parametrize(
    "body",
    [
        {"step": "warn", "reason": "x"},
        {"subject": "p", "sub": "a", "step": "warn", "reason": "x"},
        {"subject": "p", "step": "smile", "reason": "x"},
        {"subject": "p", "step": "warn", "reason": " "},
        {"subject": "p", "tenant": "a/b", "step": "warn", "reason": "x"},
        {"subject": "p", "step": "warn", "reason": "x", "expires": "2020-01-01T00:00:00Z"},
    ],
)
def test_a_measure_that_cannot_be_is_a_clear_problem(listener: Any, body: dict[str, Any]) -> None:
    """400; nobody is under it."""
    answer = listener.post(PATH, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert listener.get(PATH).json()["measures"] == []


def test_only_officers_take_measures(listener: Any) -> None:
    """Auditors see them, operators do not."""
    body = {"subject": "p", "step": "warn", "reason": "x"}
    assert listener.post(PATH, body, Role.AUDITOR).status_code == 403
    assert listener.post(PATH, body, Role.OPERATOR).status_code == 403
    assert listener.get(PATH, Role.OPERATOR).status_code == 403
    assert listener.get(PATH, Role.AUDITOR).status_code == 200
    assert listener.get(PATH, step="smile").status_code == 400
