# SPDX-License-Identifier: Apache-2.0
"""Liveness and readiness."""

from __future__ import annotations

from typing import Any

import pytest


def test_livez_looks_at_nothing_but_the_process(site: Any) -> None:
    """A failing dependency restarts nobody."""
    site.checks["audit_log"] = False
    response = site.client.get("/livez")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(("is_ok", "status", "word"), [(True, 200, "ok"), (False, 503, "failed")])
def test_readyz_says_by_status_whether_requests_may_come(site: Any, is_ok: bool, status: int, word: str) -> None:
    """Machines read the status; `verbose` names the checks for people."""
    site.checks["audit_log"] = is_ok

    assert site.client.get("/readyz").status_code == status
    assert "checks" not in site.client.get("/readyz").json()
    verbose = site.client.get("/readyz?verbose")
    assert verbose.status_code == status
    assert verbose.json()["checks"] == {"settings": "ok", "audit_log": word}
    assert verbose.headers["cache-control"] == "no-store"
