# SPDX-License-Identifier: Apache-2.0
"""Reading a sealed prompt and answer: who and why is a record before it is opened (docs/audit.md section 5).

Where `audit.two_person_reading` is on, another token agrees first. A permission is for one record and one token, and
ends after `audit.reading_hours`.
"""

import base64
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from audit_log.access import all_accesses, approve_access, read_body, request_access
from gateway.operator.access import BodyReader, HouseOf, RecordReader
from gateway.operator.holds import who

router = APIRouter(prefix="/api/bodies", tags=["bodies"])


class AccessBody(BaseModel):
    """Which record's body, and why."""

    model_config = ConfigDict(extra="forbid")

    record: Annotated[str, Field(min_length=36, max_length=36)]
    reason: Annotated[str, Field(description="a reference: a case number, an article; 1 to 100 characters")]


@router.get("", operation_id="listAccesses", summary="Who asked to read which body, and what came of it")
def list_accesses(reader: RecordReader, house: HouseOf) -> dict[str, Any]:
    """In the order they were asked."""
    return {"accesses": [access.as_json() for access in all_accesses(house.log.store)]}


@router.post("", operation_id="requestAccess", summary="Ask to read the body of a record", status_code=201)
def request(reader: BodyReader, house: HouseOf, body: AccessBody) -> dict[str, Any]:
    """The request; `id` is what it is read by."""
    return request_access(house.log, body.record, body.reason, who(reader)).as_json()


@router.post("/{access_id}/approve", operation_id="approveAccess", summary="Agree, as the second person")
def approve(reader: BodyReader, house: HouseOf, access_id: str) -> dict[str, Any]:
    """By another token than the one that asked."""
    return approve_access(house.log, access_id, who(reader)).as_json()


@router.post("/{access_id}/read", operation_id="readBody", summary="The body, after a record that says who read it")
def read(reader: BodyReader, house: HouseOf, access_id: str) -> dict[str, Any]:
    """In base64: what was kept is the gateway's own JSON of prompt and answer, byte for byte."""
    audit = house.settings.audit
    body = read_body(
        house.log,
        access_id,
        who(reader),
        now=house.clock(),
        valid_s=audit.reading_hours * 3_600.0,
        needs_second=audit.two_person_reading,
    )
    return {"access": access_id, "body": base64.b64encode(body).decode()}
