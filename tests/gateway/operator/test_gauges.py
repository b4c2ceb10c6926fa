# SPDX-License-Identifier: Apache-2.0
"""Numbers that only the rooms know, asked at the scrape."""

from __future__ import annotations

from typing import Any


def test_metrics_are_open_and_tell_of_every_room(listener: Any) -> None:
    """Prometheus needs no token; log, complaints and incidents are asked at the scrape."""
    listener.file()
    listener.remember()

    answer = listener.get("/metrics", None)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "dutybound_audit_leaves 2.0" in answer.text
    assert "dutybound_audit_refusing 0.0" in answer.text
    assert 'dutybound_complaints_open{state="received"} 1.0' in answer.text
    assert "dutybound_complaints_overdue 0.0" in answer.text
    for source in ("audit_log", "complaints", "incidents"):
        assert f'dutybound_scrape_errors_total{{source="{source}"}} 0.0' in answer.text


def test_no_number_names_a_person(listener: Any) -> None:
    """Subjects, tenants and words never become labels."""
    listener.remember(tenant="canary-tenant", subject="canary-subject")
    listener.file("canary-words")

    assert "canary" not in listener.get("/metrics", None).text
