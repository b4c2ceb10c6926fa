# SPDX-License-Identifier: Apache-2.0
"""Incidents as JSON: what was found and stopped, without any text (Interim Measures article 14)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from content_filter.incidents import Incident, IncidentState, Transition
from gateway.operator.access import HouseOf, IncidentReader
from gateway.operator.moments import format_moment
from gateway.operator.problems import invalid, not_found

router = APIRouter(prefix="/api/incidents", tags=["incidents"])


@router.get("", operation_id="listIncidents", summary="Incidents, oldest first")
def list_incidents(
    reader: IncidentReader,
    house: HouseOf,
    state: Annotated[str | None, Query(max_length=40, description="only incidents in this state")] = None,
    record: Annotated[str | None, Query(max_length=40, description="only those of this exchange record")] = None,
    cursor: Annotated[str, Query(max_length=60, description="next_cursor of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """A page of incidents; `next_cursor` is null on the last one."""
    if state is not None and state not in set(IncidentState):
        raise invalid("state", f"expected one of {', '.join(IncidentState)}")
    found = house.incidents.list(state=state, record_id=record, after=cursor, limit=limit + 1)
    shown = found[:limit]
    return {
        "incidents": [_as_json(incident) for incident in shown],
        "next_cursor": shown[-1].id if len(found) > limit else None,
    }


@router.get("/{incident_id}", operation_id="getIncident", summary="One incident and its history")
def get_incident(reader: IncidentReader, house: HouseOf, incident_id: str) -> dict[str, Any]:
    """The incident with every step it took."""
    incident = house.incidents.get(incident_id)
    if incident is None:
        raise not_found("incident")
    return _as_json(incident) | {"history": [_step_as_json(step) for step in house.incidents.history(incident_id)]}


def _as_json(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "opened_at": format_moment(incident.opened_at_s),
        "state": incident.state.value,
        "class": incident.class_code,
        "rule": incident.rule,
        "role": incident.role.value,
        "record": incident.record_id,
        "tenant": incident.tenant,
        "subject": incident.subject,
        "released_chars": incident.released_chars,
        "start": incident.start,
        "end": incident.end,
        "filter_digest": incident.filter_digest,
    }


def _step_as_json(step: Transition) -> dict[str, Any]:
    return {
        "number": step.number,
        "at": format_moment(step.at_s),
        "actor": step.actor,
        "from": step.before or None,
        "to": step.after.value,
        "reason": step.reason,
    }
