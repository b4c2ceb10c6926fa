# SPDX-License-Identifier: Apache-2.0
"""Measures against people as JSON: who is warned, restricted, suspended or no longer served (Interim Measures art 14).

A measure holds when its answer is sent, in every process soon after; it is in force even where its record has to wait
for the log (`is_recorded` false). Lifting is recorded first.
"""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.measures import MOST_EVIDENCE, MOST_REASON_CHARS, Measure, Step, new_measure_id
from gateway.operator.access import HouseOf, MeasureOfficer, MeasureReader
from gateway.operator.moments import format_moment, parse_moment
from gateway.operator.problems import invalid, not_found

router = APIRouter(prefix="/api/measures", tags=["measures"])


class MeasureBody(BaseModel):
    """Against whom, and what."""

    model_config = ConfigDict(extra="forbid")

    subject: Annotated[str, Field(max_length=64, description="the pseudonym, as records have it")] = ""
    sub: Annotated[str, Field(max_length=256, description="or the `sub` of the person's token")] = ""
    tenant: Annotated[str, Field(min_length=1, max_length=64)] = "default"
    step: Annotated[str, Field(max_length=20, description="warn, restrict, suspend or terminate")]
    reason: Annotated[str, Field(min_length=1, max_length=MOST_REASON_CHARS, description="for the file")]
    expires: Annotated[str, Field(max_length=40, description="RFC 3339; empty: until somebody lifts it")] = ""
    evidence: Annotated[list[str], Field(max_length=MOST_EVIDENCE, description="ids of exchange records")] = []

    @model_validator(mode="after")
    def _names_one(self) -> "MeasureBody":
        if bool(self.subject) == bool(self.sub):
            raise ValueError("expected either subject or sub")
        return self


class LiftBody(BaseModel):
    """Why it ends."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=MOST_REASON_CHARS, description="for the file")]


@router.get("", operation_id="listMeasures", summary="Measures in force, oldest first")
def list_measures(
    reader: MeasureReader,
    house: HouseOf,
    tenant: Annotated[str | None, Query(max_length=64)] = None,
    subject: Annotated[str | None, Query(max_length=64, description="the pseudonym")] = None,
    step: Annotated[str | None, Query(max_length=20)] = None,
    cursor: Annotated[str, Query(max_length=60, description="next_cursor of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """A page; `next_cursor` is null on the last one. What was in force once is in the log."""
    if step is not None and step not in set(Step):
        raise invalid("step", f"expected one of {', '.join(Step)}")
    found = [
        measure
        for measure in house.measures.in_force()
        if tenant in (None, measure.tenant) and subject in (None, measure.subject) and step in (None, measure.step)
    ]
    ids = [measure.id for measure in found]
    begin = ids.index(cursor) + 1 if cursor in ids else 0
    page = found[begin : begin + limit]
    return {
        "measures": [as_json(measure) for measure in page],
        "next_cursor": page[-1].id if begin + limit < len(found) else None,
    }


@router.post("", operation_id="takeMeasure", summary="Warn, restrict, suspend or end", status_code=201)
async def take(officer: MeasureOfficer, house: HouseOf, body: MeasureBody) -> dict[str, Any]:
    """In place of what is in force against this person."""
    measure = Measure(
        id=new_measure_id(house.entropy),
        tenant=body.tenant,
        subject=body.subject or house.pseudonym(body.tenant, body.sub),
        step=_step(body.step),
        reason=body.reason,
        actor=officer.id,
        placed_at=house.clock(),
        expires_at=parse_moment(body.expires, "expires") if body.expires else 0.0,
        evidence=tuple(body.evidence),
    )
    record = await asyncio.shield(asyncio.ensure_future(house.measures.place(measure)))
    return as_json(measure) | {"record": record or None, "is_recorded": bool(record)}


@router.post("/{measure_id}/lift", operation_id="liftMeasure", summary="End a measure before its time")
async def lift(officer: MeasureOfficer, house: HouseOf, measure_id: str, body: LiftBody) -> dict[str, Any]:
    """Recorded, then lifted; what counted towards it is forgotten."""
    await house.standing.refresh()
    measure = house.measures.find(measure_id)
    if measure is None:
        raise not_found("measure in force")
    record = await asyncio.shield(asyncio.ensure_future(house.measures.lift(measure, officer.id, body.reason)))
    return as_json(measure) | {"record": record}


def _step(name: str) -> Step:
    if name not in set(Step):
        raise invalid("step", f"expected one of {', '.join(Step)}")
    return Step(name)


def as_json(measure: Measure) -> dict[str, Any]:
    """A measure as the API and the command line show it."""
    times = {
        "placed_at": format_moment(measure.placed_at),
        "expires_at": format_moment(measure.expires_at) if measure.expires_at else None,
    }
    return asdict(measure) | times | {"step": measure.step.value, "evidence": list(measure.evidence)}
