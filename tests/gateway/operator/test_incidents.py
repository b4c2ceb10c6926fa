# SPDX-License-Identifier: Apache-2.0
"""Incidents through the operator API."""

from __future__ import annotations

import io
from typing import Any

import docx
import pytest

from content_filter.filter import Role as Side
from content_filter.incidents import Incident, new_incident_id
from gateway.operator.tokens import Role

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


def test_an_officer_takes_it_from_found_to_closed(listener: Any) -> None:
    """Each step with the version that was seen, durable and on record; nobody overrides what they did not see."""
    path = f"/api/incidents/{opened(listener, 1).id}"
    version = listener.get(path).json()["version"]

    for to in ("confirmed", "contained", "reported"):
        listener.now += 60
        taken = listener.post(f"{path}/steps", {"to": to, "version": version})
        assert taken.status_code == 200 and taken.json()["is_recorded"]
        version = taken.json()["version"]
    late = listener.post(f"{path}/steps", {"to": "closed", "reason": "x", "version": 1})
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert "read it again" in late.json()["detail"]
    assert listener.post(f"{path}/steps", {"to": "closed"}).status_code == 400
    assert listener.post(f"{path}/steps", {"to": "open", "reason": "x"}).status_code == 409
    assert listener.post(f"{path}/steps", {"to": "closed", "reason": "done"}).status_code == 200

    shown = listener.get(path).json()
    assert shown["state"] == "closed" and [step["to"] for step in shown["history"]][-1] == "closed"
    assert {item["clock"]: item["state"] for item in shown["deadlines"]} == {
        "triage": "met", "report": "met", "closing_report": "met",
    }  # fmt: skip
    events = [leaf["event"] for leaf in listener.leaves("incident")]
    assert events == ["confirmed", "contained", "reported", "closed"]


def test_a_step_holds_where_its_record_waits(listener: Any) -> None:
    """The store has it; the record is owed and made later."""
    path = f"/api/incidents/{opened(listener, 0).id}"
    listener.is_log_away = True

    assert listener.post(f"{path}/steps", {"to": "confirmed"}).json()["is_recorded"] is False
    assert listener.get(path).json()["state"] == "confirmed"
    assert len(listener.standing.shelf("owed")) == 1


def test_the_queue_knows_what_is_late(listener: Any) -> None:
    """And so do the numbers that an alert asks for."""
    incident = opened(listener, 1)
    assert listener.get("/api/incidents", overdue="true").json()["incidents"] == []
    listener.now += 25 * 3_600

    (late,) = listener.get("/api/incidents", overdue="true").json()["incidents"]
    assert late["id"] == incident.id and late["is_overdue"]
    assert late["deadlines"][0] == {
        "clock": "triage", "state": "missed", "due_at": "2027-01-16T08:00:01.000Z", "article": None,
    }  # fmt: skip
    assert 'dutybound_incidents_overdue{clock="triage"} 1.0' in listener.get("/metrics", None).text


def test_notes_and_facts_fill_the_report(listener: Any) -> None:
    """As JSON with its gaps, and as a document that an independent reader opens."""
    incident = opened(listener, 1)
    path = f"/api/incidents/{incident.id}"
    assert listener.post(f"{path}/notes", {"text": "called the author"}).status_code == 201
    assert listener.post(f"{path}/notes", {"text": " "}).status_code == 400
    assert listener.put(f"{path}/facts", {"harm": "none", "persons_affected": 3}).json()["facts"]["harm"] == "none"
    assert listener.put(f"{path}/facts", {"mood": "x"}).status_code == 400

    shown = listener.get(path).json()
    assert [note["text"] for note in shown["notes"]] == ["called the author"]
    report = listener.get(f"{path}/report", kind="first", language="en").json()
    assert report["gaps"] and "none" in str(report["sections"])
    document = listener.get(f"{path}/report", kind="notice", language="zh", format="docx")
    assert document.headers["content-disposition"] == f'attachment; filename="{incident.id}-notice-zh.docx"'
    assert docx.Document(io.BytesIO(document.content)).tables
    for wrong in ({"kind": "poem"}, {"language": "fr"}, {"format": "pdf"}):
        assert listener.get(f"{path}/report", **wrong).status_code == 400
    assert listener.get("/api/incidents/inc_0/report").status_code == 404


def test_a_report_waits_in_the_outbox(listener: Any) -> None:
    """202; the list shows where it stands; a way that is not configured is said at once."""
    path = f"/api/incidents/{opened(listener, 1).id}/deliveries"
    made = listener.post(path, {"kind": "first", "via": "webhook"})

    assert made.status_code == 202 and made.json()["state"] == "waiting"
    (listed,) = listener.get("/api/incidents/deliveries").json()["deliveries"]
    assert listed["id"] == made.json()["id"] and listed["sent"].startswith("sha256:")
    assert 'dutybound_reports_undelivered{state="waiting"} 1.0' in listener.get("/metrics", None).text
    answer = listener.post(path, {"kind": "first", "via": "mail"})
    assert answer.status_code == 400 and "delivery.mail_host" in answer.json()["detail"]


def test_people_are_told_and_output_is_taken_down(listener: Any) -> None:
    """Orders that every process follows; ended again only on record."""
    path = f"/api/incidents/{opened(listener, 1).id}"
    told = listener.post(f"{path}/notices", {"zh": "一", "en": "one"})
    assert (told.status_code, told.json()["persons"]) == (202, 1)
    assert set(listener.standing.shelf("notice")) == {"default/p1"}

    assert listener.delete(f"{path}/takedown").status_code == 404
    assert listener.post(f"{path}/takedown").status_code == 201
    assert listener.get(path).json()["is_withheld"]
    assert listener.delete(f"{path}/takedown").status_code == 200
    assert not listener.get(path).json()["is_withheld"]


def test_the_set_for_rectification_says_what_is_missing(listener: Any) -> None:
    """No body is kept of this finding; only officers may read texts."""
    incident = opened(listener, 0)
    listener.post(f"/api/incidents/{incident.id}/steps", {"to": "confirmed"})

    answer = listener.post("/api/incidents/rectification")

    assert (answer.status_code, answer.text) == (200, "")
    counts = [answer.headers[f"dutybound-{name}"] for name in ("rows", "waiting", "missing")]
    assert counts == ["0", "0", "1"]


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.OPERATOR])
def test_only_officers_act(listener: Any, role: Role) -> None:
    """Auditors read; operators see numbers only."""
    path = f"/api/incidents/{opened(listener, 1).id}"
    for act in ("steps", "notes", "deliveries", "notices", "takedown"):
        assert listener.post(f"{path}/{act}", {}, role).status_code == 403
    assert listener.put(f"{path}/facts", {}, role).status_code == 403
    assert listener.delete(f"{path}/takedown", role).status_code == 403
    assert listener.post("/api/incidents/rectification", None, role).status_code == 403
