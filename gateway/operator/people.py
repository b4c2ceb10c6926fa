# SPDX-License-Identifier: Apache-2.0
"""Guardians and the minors' mode as JSON: what an officer decides (Anthropomorphic Measures art 14).

An officer links a minor and hands the code that comes back to the guardian whom the provider has verified; nobody can
read it again. Whoever was taken for a minor wrongly appeals as a complaint; an officer who finds an adult clears them,
and names the case. Everything here is a record about the person.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.crisis import DUTY
from gateway.guardians import GuardianError
from gateway.minor_mode import Entry, Why
from gateway.operator.access import HouseOf, MeasureOfficer, MeasureReader
from gateway.operator.house import House
from gateway.operator.moments import format_moment
from gateway.operator.problems import invalid, not_found

router = APIRouter(prefix="/api", tags=["people"])

LIMIT_MAX: Final = 1_000
_SENT: Final = {"report_delivered": "notices_delivered", "report_given_up": "notices_given_up"}


class PersonBody(BaseModel):
    """Who it is about."""

    model_config = ConfigDict(extra="forbid")

    subject: Annotated[str, Field(max_length=64, description="the pseudonym, as records have it")] = ""
    sub: Annotated[str, Field(max_length=256, description="or the `sub` of the person's token")] = ""
    tenant: Annotated[str, Field(min_length=1, max_length=64)] = "default"

    @model_validator(mode="after")
    def _names_one(self) -> "PersonBody":
        if bool(self.subject) == bool(self.sub):
            raise ValueError("expected either subject or sub")
        return self

    def name(self, house: House) -> str:
        """The pseudonym."""
        return self.subject or house.pseudonym(self.tenant, self.sub)


class ClearBody(PersonBody):
    """Who leaves the mode, and why."""

    case: Annotated[str, Field(max_length=64, description="receipt of the complaint in which they appealed")] = ""
    is_adult: Annotated[bool, Field(description="they proved to be an adult and are not suspected again")] = True


@router.post("/guardians", operation_id="linkGuardian", summary="Link a minor to a guardian", status_code=201)
async def link(officer: MeasureOfficer, house: HouseOf, body: PersonBody) -> dict[str, Any]:
    """The code for the guardian, who was verified before; it takes the place of an earlier one."""
    subject = body.name(house)
    linking = asyncio.ensure_future(house.guardians.link(body.tenant, subject, officer.id))
    try:
        code = await asyncio.shield(linking)
    except GuardianError as error:
        raise invalid("subject", str(error)) from None
    return {"tenant": body.tenant, "subject": subject, "code": code}


@router.post("/guardians/unlink", operation_id="unlinkGuardian", summary="End a guardian's link")
async def unlink(officer: MeasureOfficer, house: HouseOf, body: PersonBody) -> dict[str, Any]:
    """With its consent and all that was set."""
    subject = body.name(house)
    if not await asyncio.shield(asyncio.ensure_future(house.guardians.unlink(body.tenant, subject, officer.id))):
        raise not_found("guardian's link")
    return {"tenant": body.tenant, "subject": subject}


@router.get("/minor-modes", operation_id="listMinorModes", summary="Who is in the minors' mode by an entry")
def list_modes(
    reader: MeasureReader,
    house: HouseOf,
    tenant: Annotated[str | None, Query(max_length=64)] = None,
    subject: Annotated[str | None, Query(max_length=64, description="the pseudonym")] = None,
    why: Annotated[str | None, Query(max_length=20, description="device, guardian, suspected or officer")] = None,
    cursor: Annotated[str, Query(max_length=130, description="next_cursor of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """A page, longest first; `next_cursor` is null on the last one. Signed minors need no entry and are not listed."""
    found = [
        entry
        for entry in house.minor_modes.entries()
        if tenant in (None, entry.tenant) and subject in (None, entry.subject) and why in (None, entry.why.value)
    ]
    names = [entry.name for entry in found]
    begin = names.index(cursor) + 1 if cursor in names else 0
    page = found[begin : begin + limit]
    return {
        "minor_modes": [as_json(entry) for entry in page],
        "next_cursor": page[-1].name if begin + limit < len(found) else None,
    }


@router.post("/minor-modes", operation_id="enterMinorMode", summary="Put somebody into the mode", status_code=201)
async def enter(officer: MeasureOfficer, house: HouseOf, body: PersonBody) -> dict[str, Any]:
    """It holds when this is answered."""
    entering = house.minor_modes.enter(body.tenant, body.name(house), Why.OFFICER, officer.id)
    return as_json(await asyncio.shield(asyncio.ensure_future(entering)))


@router.post("/minor-modes/clear", operation_id="clearMinorMode", summary="Take somebody out of the minors' mode")
async def clear(officer: MeasureOfficer, house: HouseOf, body: ClearBody) -> dict[str, Any]:
    """Recorded, then done."""
    subject = body.name(house)
    leaving = house.minor_modes.leave(body.tenant, subject, officer.id, case=body.case, is_adult=body.is_adult)
    if not await asyncio.shield(asyncio.ensure_future(leaving)):
        raise not_found("person in the minors' mode")
    return {"tenant": body.tenant, "subject": subject}


@router.get("/crises", operation_id="countCrises", summary="The year's crises: how many people were given help lines")
def crises(
    reader: MeasureReader, house: HouseOf, year: Annotated[int, Query(ge=1970, le=9998, description="in UTC")]
) -> dict[str, Any]:
    """Counted in the log, for the yearly report of SB 243; nobody is named. Records that are gone are not counted."""
    since, until = (datetime(each, 1, 1, tzinfo=UTC).timestamp() for each in (year, year + 1))
    counts = dict.fromkeys(("help_lines_given", "of_them_to_minors", "notices_queued", "notices_delivered",
                            "notices_given_up"), 0)  # fmt: skip
    cursor: str | None = None
    while True:
        page = house.log.reader.search(since=since, until=until, type="incident", cursor=cursor, limit=LIMIT_MAX)
        for row in page.rows:
            leaf = orjson.loads(house.log.reader.leaf(row.index))
            event = leaf.get("event")
            if event == DUTY:
                counts["help_lines_given"] += 1
                counts["of_them_to_minors"] += bool(leaf.get("protected"))
                counts["notices_queued"] += int(leaf.get("notices", 0))
            elif leaf.get("report") == DUTY and event in _SENT:
                counts[_SENT[event]] += 1
        cursor = page.cursor
        if cursor is None:
            return {"year": year, **counts}


def as_json(entry: Entry) -> dict[str, Any]:
    """An entry as the API shows it."""
    return {
        "tenant": entry.tenant,
        "subject": entry.subject,
        "why": entry.why.value,
        "since": format_moment(entry.since),
        "evidence": [entry.evidence] if entry.evidence else [],
    }
