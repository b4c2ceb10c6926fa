# SPDX-License-Identifier: Apache-2.0
"""The set for improving a model holds what people have judged, and nothing else."""

import json
from dataclasses import replace

from content_filter.incident_state import IncidentState
from content_filter.incidents import Incident
from content_filter.rectification import rectification_rows
from content_filter.roles import Role

INCIDENT = Incident("inc_0", 1.0, "A1d", "term:1", Role.ANSWER, "rec_1", "t", "s1", 0, 0, 1, "ab")


def _rows(texts: dict[str, str | None], *incidents: Incident) -> list[dict[str, str]]:
    lines = rectification_rows(incidents, lambda incident: texts[incident.id], lambda text: "zh")
    return [json.loads(line) for line in lines]


def test_confirmed_findings_are_harmful_and_false_alarms_harmless() -> None:
    """An open incident is nobody's judgement yet."""
    incidents = [replace(INCIDENT, id=f"inc_{state}", state=state) for state in IncidentState]
    rows = _rows({incident.id: f"text {incident.id}" for incident in incidents}, *incidents)

    assert {row["id"]: (row["label"], row["category"]) for row in rows} == {
        "inc_confirmed": ("harmful", "A1d"), "inc_contained": ("harmful", "A1d"), "inc_reported": ("harmful", "A1d"),
        "inc_closed": ("harmful", "A1d"), "inc_false_alarm": ("benign", "none"),
    }  # fmt: skip
    assert {row["role"] for row in rows} == {"response"}


def test_a_text_stands_once_and_what_was_deleted_not_at_all() -> None:
    """Two incidents on one text are one row."""
    confirmed = replace(INCIDENT, state=IncidentState.CONFIRMED, role=Role.PROMPT)
    rows = _rows(
        {"inc_a": "same", "inc_b": "same", "inc_c": None},
        *(replace(confirmed, id=id_) for id_ in ("inc_a", "inc_b", "inc_c")),
    )

    assert [(row["id"], row["role"]) for row in rows] == [("inc_a", "prompt")]
