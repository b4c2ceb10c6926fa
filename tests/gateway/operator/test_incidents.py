# SPDX-License-Identifier: Apache-2.0
"""Incidents through the operator API."""

from __future__ import annotations

from typing import Any

import pytest

from content_filter.filter import Role as Side
from content_filter.incidents import Incident, new_incident_id

RECORD = "01900000-0000-7000-8000-00000000000"


def opened(listener: Any, number: int) -> Incident:
    """An incident that was found `number` seconds after the first."""
    incident = Incident(
        id=new_incident_id(lambda: listener.now + number),
        opened_at_s=listener.now + number,
        class_code="A1a",
        rule="term:7",
        role=Side.ANSWER,
        record_id=f"{RECORD}{number}",
        tenant="default",
        subject="p1",
        released_chars=12,
        start=12,
        end=15,
        filter_digest="sha256:00",
    )
    listener.incidents.open(incident)
    return incident


def test_an_incident_is_shown_with_its_history(listener: Any) -> None:
    """All that is known, times in RFC 3339, no text."""
    incident = opened(listener, 1)

    document = listener.get(f"/api/incidents/{incident.id}").json()

    assert document["opened_at"] == "2027-01-15T08:00:01.000Z"
    shown = {"class": "A1a", "rule": "term:7", "role": "answer", "state": "open", "record": f"{RECORD}1"}
    assert shown.items() <= document.items()
    assert (document["released_chars"], document["start"], document["end"]) == (12, 12, 15)
    assert [(step["number"], step["from"], step["to"]) for step in document["history"]] == [(1, None, "open")]


def test_incidents_are_listed_oldest_first_in_pages(listener: Any) -> None:
    """Every incident once; by state and by exchange where asked."""
    incidents = [opened(listener, number) for number in range(3)]

    first = listener.get("/api/incidents", limit=2).json()
    second = listener.get("/api/incidents", limit=2, cursor=first["next_cursor"]).json()

    assert [item["id"] for item in first["incidents"] + second["incidents"]] == [item.id for item in incidents]
    assert second["next_cursor"] is None
    assert len(listener.get("/api/incidents", state="open").json()["incidents"]) == 3
    assert listener.get("/api/incidents", state="closed").json()["incidents"] == []
    assert [item["id"] for item in listener.get("/api/incidents", record=f"{RECORD}1").json()["incidents"]] == [
        incidents[1].id
    ]


def test_what_is_unknown_is_refused(listener: Any) -> None:
    """404 for an incident, 400 for a state."""
    assert listener.get("/api/incidents/inc_0").status_code == 404
    assert listener.get("/api/incidents", state="lost").status_code == 400


@pytest.mark.parametrize("count", [0, 2])
def test_open_incidents_are_a_metric(listener: Any, count: int) -> None:
    """An alert can ask for them."""
    for number in range(count):
        opened(listener, number)

    assert f"dutybound_incidents_open {float(count)}" in listener.get("/metrics", None).text
