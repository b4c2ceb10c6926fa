# SPDX-License-Identifier: Apache-2.0
"""Incidents as JSON: the queue with its clocks, the steps, and what is said about them (Interim Measures article 14).

A step names the `version` that the officer saw; where somebody was faster the answer is 409. It is durable in the store
before its record is made; `is_recorded` false means that the record waits and is made later. Texts of prompts and
answers appear nowhere but in the set for rectification, which is read under the rules of sealed bodies.
"""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, Final, TypeVar

import orjson
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from content_filter.document import MEDIA_TYPE
from content_filter.incidents import IncidentState
from content_filter.rectification import rectification_rows
from gateway.incident_desk import KINDS, as_json, delivery_as_json, step_as_json
from gateway.kept_texts import JudgedTexts
from gateway.operator.access import HouseOf, IncidentOfficer, IncidentReader
from gateway.operator.holds import who
from gateway.operator.moments import format_moment
from gateway.operator.problems import invalid, not_found

router = APIRouter(prefix="/api/incidents", tags=["incidents"])

_LANGUAGES: Final = ("zh", "en")
T = TypeVar("T")

Language = Annotated[str, Query(max_length=2, description="zh or en")]


class StepBody(BaseModel):
    """The state to go to."""

    model_config = ConfigDict(extra="forbid")

    to: Annotated[str, Field(max_length=40, description="confirmed, false_alarm, contained, reported, closed or open")]
    reason: Annotated[str, Field(max_length=4_000, description="needed where a step ends or takes back something")] = ""
    version: Annotated[int | None, Field(ge=1, description="the version you saw; another one is a conflict")] = None


class NoteBody(BaseModel):
    """A note for the file."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(description="1 to 4,000 characters")]


class DeliveryBody(BaseModel):
    """Which report goes out, and how."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(max_length=20, description="first, closing or notice")]
    language: Annotated[str, Field(max_length=2, description="zh or en")] = "zh"
    via: Annotated[str, Field(max_length=20, description="webhook or mail")]


class PeopleBody(BaseModel):
    """What people read with their next answer."""

    model_config = ConfigDict(extra="forbid")

    zh: Annotated[str, Field(description="1 to 4,000 characters")]
    en: Annotated[str, Field(description="1 to 4,000 characters")]
    subjects: Annotated[
        list[str], Field(max_length=10_000, description="pseudonyms; empty: the person that the incident concerns")
    ] = []


@router.get("", operation_id="listIncidents", summary="Incidents, oldest first, with their clocks")
def list_incidents(
    reader: IncidentReader,
    house: HouseOf,
    state: Annotated[str | None, Query(max_length=40, description="only incidents in this state")] = None,
    record: Annotated[str | None, Query(max_length=40, description="only those of this exchange record")] = None,
    overdue: Annotated[bool, Query(description="only those of which a clock has run out, the latest first")] = False,
    cursor: Annotated[str, Query(max_length=60, description="next_cursor of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """A page of incidents; `next_cursor` is null on the last one, and always for overdue ones."""
    if state is not None and state not in set(IncidentState):
        raise invalid("state", f"expected one of {', '.join(IncidentState)}")
    desk = house.incident_desk
    if overdue:
        late = [item for item in desk.overdue() if state in (None, item.incident.state)]
        return {"incidents": [as_json(item, format_moment) for item in late[:limit]], "next_cursor": None}
    found = desk.list(state=state, record=record, after=cursor, limit=limit + 1)
    shown = found[:limit]
    return {
        "incidents": [as_json(item, format_moment) for item in shown],
        "next_cursor": shown[-1].incident.id if len(found) > limit else None,
    }


@router.get("/deliveries", operation_id="listDeliveries", summary="Reports on their way and delivered, newest first")
def list_deliveries(
    reader: IncidentReader,
    house: HouseOf,
    incident: Annotated[str | None, Query(max_length=60)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """State, attempts and proof of each."""
    found = house.incident_desk.outbox.list(incident=incident, limit=limit)
    return {"deliveries": [delivery_as_json(item, format_moment) for item in found]}


@router.post(
    "/rectification", operation_id="exportRectification", summary="The set to improve the model with, as JSONL"
)
def rectification(officer: IncidentOfficer, house: HouseOf) -> Response:
    """Judged findings with the text of their answer, in the form that `dutybound filter train` reads.

    Texts are read under the rules of sealed bodies: each is asked for and, where two people have to agree, left out
    until another token has agreed. `Dutybound-Rows` says how many there are, `Dutybound-Waiting` how many wait for
    agreement, `Dutybound-Missing` of how many no body is kept.
    """
    audit = house.settings.audit
    texts = JudgedTexts(house.log, who(officer), audit.reading_hours, audit.two_person_reading, house.clock)
    rows = "".join(rectification_rows(house.incident_desk.for_rectification(), texts.text_of, texts.language_of))
    headers = {
        "Dutybound-Rows": str(rows.count("\n")),
        "Dutybound-Waiting": str(texts.waiting),
        "Dutybound-Missing": str(texts.missing),
    }
    return Response(rows, media_type="application/jsonl", headers=headers)


@router.get("/{incident_id}", operation_id="getIncident", summary="One incident with history, notes and facts")
def get_incident(reader: IncidentReader, house: HouseOf, incident_id: str) -> dict[str, Any]:
    """The incident with every step it took, the notes for its file, and the facts that reports are filled from."""
    desk = house.incident_desk
    shown = desk.get(incident_id)
    notes = [
        {"number": note.number, "at": format_moment(note.at_s), "actor": note.actor, "text": note.text}
        for note in desk.store.notes(incident_id)
    ]
    return as_json(shown, format_moment) | {
        "history": [step_as_json(step, format_moment) for step in shown.history],
        "notes": notes,
        "facts": desk.store.facts(incident_id),
    }


@router.post("/{incident_id}/steps", operation_id="moveIncident", summary="Take a step")
async def step(officer: IncidentOfficer, house: HouseOf, incident_id: str, body: StepBody) -> dict[str, Any]:
    """open -> confirmed or false_alarm, confirmed -> contained, contained -> reported, reported -> closed."""
    desk = house.incident_desk
    taken, record = await _whole(desk.step(incident_id, body.to, officer.id, body.reason, body.version))
    return step_as_json(taken, format_moment) | {"version": taken.number} | _recorded(record)


@router.post("/{incident_id}/notes", operation_id="noteIncident", summary="Add a note for the file", status_code=201)
def note(officer: IncidentOfficer, house: HouseOf, incident_id: str, body: NoteBody) -> dict[str, Any]:
    """The note; nobody outside reads it."""
    made = house.incident_desk.store.add_note(incident_id, body.text, at_s=house.clock(), actor=officer.id)
    return {"number": made.number, "at": format_moment(made.at_s), "actor": made.actor}


@router.put("/{incident_id}/facts", operation_id="stateFacts", summary="State facts for the reports")
def facts(officer: IncidentOfficer, house: HouseOf, incident_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Beside those stated before; null takes one back. Gives all that are stated."""
    return {"facts": house.incident_desk.state_facts(incident_id, body, officer.id)}


@router.get("/{incident_id}/report", operation_id="draftReport", summary="Draft of a report, JSON or DOCX")
def report(
    reader: IncidentReader,
    house: HouseOf,
    incident_id: str,
    kind: Annotated[str, Query(max_length=20, description="first, closing or notice")] = "first",
    language: Language = "zh",
    form: Annotated[str, Query(alias="format", max_length=4, description="json or docx")] = "json",
) -> Response:
    """Filled from what is known; `gaps` names what somebody must complete."""
    if kind not in KINDS:
        raise invalid("kind", f"expected one of {', '.join(KINDS)}")
    if language not in _LANGUAGES:
        raise invalid("language", "expected zh or en")
    if form not in ("json", "docx"):
        raise invalid("format", "expected json or docx")
    made = house.incident_desk.draft(incident_id, kind, language)
    if form == "json":
        return Response(orjson.dumps(made.as_json()), media_type="application/json")
    name = f"{incident_id}-{kind}-{language}.docx"
    return Response(
        made.as_docx(), media_type=MEDIA_TYPE, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


@router.post("/{incident_id}/deliveries", operation_id="deliverReport", summary="Send a report", status_code=202)
async def deliver(officer: IncidentOfficer, house: HouseOf, incident_id: str, body: DeliveryBody) -> dict[str, Any]:
    """Kept before anything is sent, tried until it arrives, proved by a record."""
    made = await house.incident_desk.deliver(incident_id, body.kind, body.language, body.via, officer.id)
    return delivery_as_json(made, format_moment)


@router.post(
    "/{incident_id}/notices", operation_id="notifyPeople", summary="Tell the people concerned", status_code=202
)
async def notify(officer: IncidentOfficer, house: HouseOf, incident_id: str, body: PeopleBody) -> dict[str, Any]:
    """With their next answer, in `notices`; that they were told is a record each."""
    people, record = await _whole(
        house.incident_desk.notify(incident_id, body.zh, body.en, officer.id, body.subjects)
    )  # fmt: skip
    return {"persons": len(people)} | _recorded(record)


@router.post("/{incident_id}/takedown", operation_id="takeDown", summary="Withhold the stored output", status_code=201)
async def take_down(officer: IncidentOfficer, house: HouseOf, incident_id: str) -> dict[str, Any]:
    """At once and in every process; the record stays."""
    return _recorded(await _whole(house.incident_desk.take_down(incident_id, officer.id)))


@router.delete("/{incident_id}/takedown", operation_id="endTakedown", summary="Give the stored output again")
async def release(officer: IncidentOfficer, house: HouseOf, incident_id: str) -> dict[str, Any]:
    """Recorded first."""
    record = await _whole(house.incident_desk.release(incident_id, officer.id))
    if record is None:
        raise not_found("takedown")
    return _recorded(record)


async def _whole(act: Coroutine[Any, Any, T]) -> T:
    """Done to its end even where the client has gone: an act and its record belong together."""
    return await asyncio.shield(asyncio.ensure_future(act))


def _recorded(record: str) -> dict[str, Any]:
    return {"record": record or None, "is_recorded": bool(record)}
