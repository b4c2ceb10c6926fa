# SPDX-License-Identifier: Apache-2.0
"""Reading a sealed body over the operator API: asked for, agreed to by another token, read, each a record."""

from __future__ import annotations

import base64

from audit_log import Entry, new_record_id
from gateway.operator.tokens import Role
from tests.gateway.operator.conftest import Listener


def test_two_tokens_open_a_body(listener: Listener) -> None:
    """Alone it is refused; each step is a record of who did it."""
    id_ = new_record_id()
    listener.log.append_blocking(Entry({"id": id_, "type": "exchange", "tenant": "t"}, "p", b"words"))
    asked = listener.post("/api/bodies", {"record": id_, "reason": "case-1"})
    assert asked.status_code == 201
    access = asked.json()["id"]
    alone = listener.post(f"/api/bodies/{access}/read")
    assert (alone.status_code, alone.json()["code"]) == (409, "access_refused")
    assert listener.post(f"/api/bodies/{access}/approve").status_code == 409
    assert listener.post(f"/api/bodies/{access}/approve", role=Role.ADMIN).status_code == 200
    assert listener.post(f"/api/bodies/{access}/read", role=Role.ADMIN).status_code == 409
    listener.now = listener.log.store.row(access).row.t_us / 1e6 + 60  # type: ignore[union-attr]
    body = listener.post(f"/api/bodies/{access}/read").json()["body"]
    assert base64.b64decode(body) == b"words"
    (known,) = listener.get("/api/bodies").json()["accesses"]
    assert (known["reads"], known["reason"], known["record"]) == (1, "case-1", id_)
    events = [one["record"]["event"] for one in listener.get("/api/records", type="access").json()["records"]]
    assert events == ["request", "approve", "read"]


def test_who_may_not_read_bodies_cannot_even_ask(listener: Listener) -> None:
    """Auditors see who read, not what."""
    id_ = listener.remember()
    for role in (Role.AUDITOR, Role.OPERATOR):
        assert listener.post("/api/bodies", {"record": id_, "reason": "case-1"}, role=role).status_code == 403
    assert listener.post("/api/bodies", {"record": id_, "reason": "case-1"}).status_code == 409  # none is kept
    assert listener.post("/api/bodies", {"record": "x", "reason": "case-1"}).status_code == 400
    assert listener.get("/api/bodies").json() == {"accesses": []}
