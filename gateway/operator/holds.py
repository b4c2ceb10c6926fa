# SPDX-License-Identifier: Apache-2.0
"""Legal holds as JSON: placed and lifted by two tokens of two roles, every step a record (docs/audit.md section 5).

Who takes a step is the id of the token and its role, so give every person a token of their own; an officer and an
administrator are the two roles.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from audit_log.holds import Approval, HoldScope, all_holds, propose_hold, step_hold
from gateway.operator.access import HoldKeeper, HouseOf, RecordReader
from gateway.operator.moments import parse_moment
from gateway.operator.tokens import Token

router = APIRouter(prefix="/api/holds", tags=["holds"])

Name = Annotated[str | None, Field(max_length=200)]
Moment = Annotated[str | None, Field(max_length=40, description="RFC 3339 with an offset, or seconds since the epoch")]


class HoldBody(BaseModel):
    """What to hold; without any limit the whole log."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(description="a reference: a case number, an article; 1 to 100 characters")]
    tenant: Name = None
    subject: Annotated[str | None, Field(max_length=500, description="the pseudonym, as records have it")] = None
    exchange: Annotated[str | None, Field(max_length=36)] = None
    since: Moment = None
    until: Moment = None


@router.get("", operation_id="listHolds", summary="All legal holds, lifted ones too")
def list_holds(reader: RecordReader, house: HouseOf) -> dict[str, Any]:
    """In the order they were proposed; `protects` says whether one is in force."""
    return {"holds": [hold.as_json() for hold in all_holds(house.log.store)]}


@router.post("", operation_id="placeHold", summary="Place a hold; it protects at once", status_code=201)
def place_hold(keeper: HoldKeeper, house: HouseOf, body: HoldBody) -> dict[str, Any]:
    """The hold, waiting for a second person in another role."""
    scope = HoldScope(
        tenant=body.tenant,
        subject=body.subject,
        exchange=body.exchange,
        since_us=_us(body.since, "since"),
        until_us=_us(body.until, "until"),
    )
    return propose_hold(house.log, scope, body.reason, who(keeper)).as_json()


@router.post("/{hold_id}/approve", operation_id="approveHold", summary="Agree to placing or lifting it")
def approve(keeper: HoldKeeper, house: HouseOf, hold_id: str) -> dict[str, Any]:
    """By another token, of another role, than the step before."""
    return step_hold(house.log, hold_id, "approve", who(keeper)).as_json()


@router.post("/{hold_id}/lift", operation_id="liftHold", summary="Ask to lift it; it protects until a second agrees")
def lift(keeper: HoldKeeper, house: HouseOf, hold_id: str) -> dict[str, Any]:
    """The hold, waiting for a second person."""
    return step_hold(house.log, hold_id, "lift", who(keeper)).as_json()


@router.post("/{hold_id}/keep", operation_id="keepHold", summary="Decline to lift it")
def keep(keeper: HoldKeeper, house: HouseOf, hold_id: str) -> dict[str, Any]:
    """The hold, placed as before."""
    return step_hold(house.log, hold_id, "keep", who(keeper)).as_json()


def who(token: Token) -> Approval:
    """Who acts, as records name them."""
    return Approval(token.id, token.role.value)


def _us(text: str | None, name: str) -> int | None:
    return None if text is None else round(parse_moment(text, name) * 1_000_000)
