# SPDX-License-Identifier: Apache-2.0
"""Legal holds over the operator API: two tokens of two roles, and refusals that say why."""

from __future__ import annotations

from gateway.operator.tokens import Role
from tests.gateway.operator.conftest import Listener


def test_a_hold_is_placed_and_lifted_by_two_roles(listener: Listener) -> None:
    """It protects from the first word until the second person agrees to lift it."""
    listener.remember(tenant="t")
    placed = listener.post("/api/holds", {"reason": "case-1", "tenant": "t", "since": "2026-01-01T00:00:00Z"})
    assert placed.status_code == 201
    hold = placed.json()
    assert (hold["state"], hold["protects"], hold["tenant"]) == ("proposed", True, "t")
    alone = listener.post(f"/api/holds/{hold['id']}/approve")
    assert (alone.status_code, alone.json()["code"]) == (409, "hold_refused")
    assert "another one, in another role" in alone.json()["detail"]
    path = f"/api/holds/{hold['id']}"
    assert listener.post(f"{path}/approve", role=Role.ADMIN).json()["state"] == "placed"
    assert listener.post(f"{path}/lift", role=Role.ADMIN).json()["protects"] is True
    assert listener.post(f"{path}/keep").json()["state"] == "placed"
    listener.post(f"{path}/lift")
    assert listener.post(f"{path}/approve", role=Role.ADMIN).json()["state"] == "lifted"
    (known,) = listener.get("/api/holds").json()["holds"]
    assert known["protects"] is False


def test_who_may_not_keep_holds_cannot(listener: Listener) -> None:
    """Auditors read; a reason in free words and a time that is none are refused before anything is recorded."""
    assert listener.post("/api/holds", {"reason": "case-1"}, role=Role.AUDITOR).status_code == 403
    assert listener.get("/api/holds", role=Role.OPERATOR).status_code == 403
    assert listener.post("/api/holds", {"reason": "because I say so"}).status_code == 409
    assert listener.post("/api/holds", {"reason": "case-1", "since": "soon"}).status_code == 400
    assert listener.post("/api/holds", {"reason": "case-1", "everything": True}).status_code == 400
    assert listener.post("/api/holds/none/approve").status_code == 409
    assert listener.get("/api/holds").json() == {"holds": []}
