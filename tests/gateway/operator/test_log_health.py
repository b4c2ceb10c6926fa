# SPDX-License-Identifier: Apache-2.0
"""The log's own health over the operator API."""

from __future__ import annotations

from gateway.operator.tokens import Role
from tests.gateway.operator.conftest import Listener


def test_the_census_tells_that_nothing_was_lost(listener: Listener) -> None:
    """Of a log that runs."""
    found = listener.log.store.row(listener.remember())
    assert found is not None
    listener.now = found.row.t_us / 1e6 + 60
    census = listener.get("/api/log/census").json()
    assert (census["ok"], census["lost"], census["records"]) == (True, 0, 2)
    listener.now += 3 * 3_600
    assert len(listener.get("/api/log/census").json()["killed"]) == 1  # nothing was heard of it for three hours
    assert listener.get("/api/log/census", role=Role.OPERATOR).status_code == 403


def test_a_plan_of_a_prune_changes_nothing(listener: Listener) -> None:
    """Without rules nothing may go, and it is said why."""
    listener.remember()
    for upto in ("due", "allowed"):
        plan = listener.get("/api/log/prune", upto=upto).json()
        assert (plan["boundary"], plan["overdue"]) == (0, [])
        assert any("no rule" in blocker["reason"] for blocker in plan["blockers"])
    assert listener.get("/api/log/prune", upto="all").status_code == 400
