# SPDX-License-Identifier: Apache-2.0
"""Complaints as JSON: the queue, a case, and an officer's acts (Interim Measures article 15).

An act is durable in the complaint store before its facts go to the audit log, and the answer tells whether they got
there: `is_recorded` false means that they wait in the store and are appended later (`complaints.desk` says in which
order). The act itself is done either way; repeating it would be a conflict.

The officer of an act is the id of the token, so give every person a token of their own: an appeal has to be decided
by another token than the decision it is about.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from audit_log.errors import AuditError
from complaints import Move, case_to_dict
from gateway.operator.access import ComplaintOfficer, ComplaintReader, HouseOf
from gateway.operator.house import House
from gateway.operator.problems import invalid
from gateway.operator.tokens import Permission

router = APIRouter(prefix="/api/complaints", tags=["complaints"])
_log = structlog.get_logger(__name__)

_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no"})

Version = Annotated[int | None, Field(ge=1, description="the version you saw; another one is a conflict")]


class ActBody(BaseModel):
    """What an act may carry."""

    model_config = ConfigDict(extra="forbid")

    version: Version = None


class ReasonedBody(ActBody):
    """An act that needs a reason for the file."""

    reason: Annotated[str, Field(description="for the file; 1 to 10,000 characters")]


class AnswerBody(ActBody):
    """The desk's decision and the words the complainant reads."""

    decision: Annotated[str, Field(description="upheld, partly_upheld, rejected or referred")]
    text: Annotated[str, Field(description="1 to 10,000 characters")]


@router.get("", operation_id="listComplaints", summary="The queue, oldest first")
def list_complaints(
    reader: ComplaintReader,
    house: HouseOf,
    state: Annotated[str | None, Query(max_length=40)] = None,
    category: Annotated[str | None, Query(max_length=60)] = None,
    tenant: Annotated[str | None, Query(max_length=100)] = None,
    overdue: Annotated[str | None, Query(max_length=5, description="true or false")] = None,
    cursor: Annotated[str | None, Query(max_length=100, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """A page of cases without their words; `next_cursor` is null on the last one."""
    if overdue is not None and overdue.lower() not in _TRUE | _FALSE:
        raise invalid("overdue", "expected true or false")
    page = house.desk.list(
        state=state,
        overdue=None if overdue is None else overdue.lower() in _TRUE,
        category=category,
        tenant=tenant,
        cursor=cursor,
        limit=limit,
    )
    now = house.desk.now()
    return {"complaints": [case_to_dict(case, now) for case in page.cases], "next_cursor": page.next_cursor}


@router.get("/{reference}", operation_id="getComplaint", summary="One case, by receipt or id, with all its words")
def get_complaint(reader: ComplaintReader, house: HouseOf, reference: str) -> dict[str, Any]:
    """The case; `permitted` lists what the asking token may do now."""
    officer = reader.id if reader.may(Permission.ANSWER_COMPLAINTS) else None
    return house.desk.get(reference, officer).to_dict(house.desk.now())


@router.post("/{reference}/acknowledge", operation_id="acknowledgeComplaint", summary="Confirm that it is dealt with")
async def acknowledge(
    officer: ComplaintOfficer, house: HouseOf, reference: str, body: ActBody | None = None
) -> dict[str, Any]:
    """received -> acknowledged."""
    return await _act(house, lambda: house.desk.acknowledge(reference, officer.id, _version(body)))


@router.post("/{reference}/take", operation_id="takeComplaint", summary="Begin the review and hold the case")
async def take(
    officer: ComplaintOfficer, house: HouseOf, reference: str, body: ActBody | None = None
) -> dict[str, Any]:
    """acknowledged or appealed -> in_review."""
    return await _act(house, lambda: house.desk.take(reference, officer.id, _version(body)))


@router.post("/{reference}/release", operation_id="releaseComplaint", summary="Put a held case back into the queue")
async def release(officer: ComplaintOfficer, house: HouseOf, reference: str, body: ReasonedBody) -> dict[str, Any]:
    """in_review -> acknowledged."""
    return await _act(house, lambda: house.desk.release(reference, officer.id, body.reason, body.version))


@router.post("/{reference}/answer", operation_id="answerComplaint", summary="Decide, and tell the complainant why")
async def answer(officer: ComplaintOfficer, house: HouseOf, reference: str, body: AnswerBody) -> dict[str, Any]:
    """in_review -> answered; a case that nobody holds is acknowledged and taken on the way."""
    return await _act(house, lambda: house.desk.answer(reference, officer.id, body.decision, body.text, body.version))


@router.post("/{reference}/close", operation_id="closeComplaint", summary="File away a case past its appeal")
async def close(
    officer: ComplaintOfficer, house: HouseOf, reference: str, body: ActBody | None = None
) -> dict[str, Any]:
    """answered -> closed."""
    return await _act(house, lambda: house.desk.close(reference, officer.id, _version(body)))


@router.post("/{reference}/reopen", operation_id="reopenComplaint", summary="Take up a finished case again")
async def reopen(officer: ComplaintOfficer, house: HouseOf, reference: str, body: ReasonedBody) -> dict[str, Any]:
    """closed or withdrawn -> acknowledged."""
    return await _act(house, lambda: house.desk.reopen(reference, officer.id, body.reason, body.version))


def _version(body: ActBody | None) -> int | None:
    return None if body is None else body.version


async def _act(house: House, act: Callable[[], Move]) -> dict[str, Any]:
    # Shielded: once the store holds the act, its facts go to the log even where the client has gone.
    return await asyncio.shield(asyncio.ensure_future(_act_and_record(house, act)))


async def _act_and_record(house: House, act: Callable[[], Move]) -> dict[str, Any]:
    move = await asyncio.to_thread(act)
    records: list[str] = []
    for fact in move.facts:
        try:
            record_id = await house.record(fact)
        except AuditError as error:
            house.meters.audit_failures.inc()
            _log.error("complaint facts wait for the audit log", case=move.case.id, error=error)
            break
        records.append(record_id)
        await asyncio.to_thread(house.desk.mark_recorded, fact, record_id)
    return case_to_dict(move.case, house.desk.now()) | {
        "records": records,
        "is_recorded": len(records) == len(move.facts),
    }
