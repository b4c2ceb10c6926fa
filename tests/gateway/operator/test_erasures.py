# SPDX-License-Identifier: Apache-2.0
"""Requests to be forgotten over the operator API: done, or waiting for what stands against them."""

from __future__ import annotations

from audit_log import Entry, new_record_id
from gateway.operator.tokens import Role
from tests.gateway.operator.conftest import Listener


def keep(listener: Listener, subject: str) -> str:
    id_ = new_record_id()
    listener.log.append_blocking(Entry({"id": id_, "type": "exchange", "tenant": "default"}, subject, b"words"))
    return id_


def test_a_person_is_forgotten_by_the_name_they_sign_in_with(listener: Listener) -> None:
    """The pseudonym is made from the `sub`; one that records know is taken as it is."""
    one, two = keep(listener, "p-default-ann"), keep(listener, "p-other")
    done = listener.post("/api/erasures", {"subject": "ann"})
    assert (done.status_code, done.json()["state"], done.json()["bodies"]) == (201, "done", 1)
    assert listener.post("/api/erasures", {"subject": "p-other", "basis": "case-7"}).json()["bodies"] == 1
    assert (listener.log.body(one), listener.log.body(two)) == (None, None)
    report = listener.get("/api/erasures").json()
    assert [request["state"] for request in report["requests"]] == ["done", "done"]
    assert listener.get(f"/api/records/{one}").json()["record"]["body"]["key"]


def test_a_hold_stands_against_it_and_the_queue_is_run_again(listener: Listener) -> None:
    """The words stay until the hold is lifted."""
    id_ = keep(listener, "p-default-ann")
    hold = listener.post("/api/holds", {"reason": "case-1", "subject": "p-default-ann"}).json()["id"]
    waiting = listener.post("/api/erasures", {"subject": "ann"}).json()
    assert (waiting["state"], waiting["because"]) == ("waiting", [hold])
    assert listener.log.body(id_) == b"words"
    listener.post(f"/api/holds/{hold}/lift", role=Role.ADMIN)
    listener.post(f"/api/holds/{hold}/approve")
    assert [one["state"] for one in listener.post("/api/erasures/run").json()["requests"]] == ["done"]
    assert listener.log.body(id_) is None


def test_a_request_needs_the_right_role_and_a_reference(listener: Listener) -> None:
    """Free words are no legal basis."""
    assert listener.post("/api/erasures", {"subject": "ann"}, role=Role.AUDITOR).status_code == 403
    assert listener.post("/api/erasures", {"subject": ""}).status_code == 400
    assert listener.post("/api/erasures", {"subject": "ann", "basis": "she asked"}).status_code == 400
    assert listener.get("/api/erasures").json()["requests"] == []
