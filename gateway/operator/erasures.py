# SPDX-License-Identifier: Apache-2.0
"""Requests to be forgotten as JSON: taken, their state, and what came of them (PIPL article 47; docs/audit.md 5).

Precedence: legal hold, then the legal minimum, then the request, then the maximum. The gateway looks at open requests
again every hour.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from audit_log.erasure import erasure_report, request_erasure, run_queue
from gateway.operator.access import Eraser, HouseOf, RecordReader

router = APIRouter(prefix="/api/erasures", tags=["erasures"])


class ErasureBody(BaseModel):
    """Whose data, and on which basis."""

    model_config = ConfigDict(extra="forbid")

    subject: Annotated[str, Field(min_length=1, max_length=500, description="the pseudonym, or the `sub` of a token")]
    tenant: Annotated[str, Field(min_length=1, max_length=200)] = "default"
    basis: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}$", description="a reference, such as PIPL-47")
    ] = "PIPL-47"


@router.get("", operation_id="listErasures", summary="What was asked to be erased, and what came of it")
def list_erasures(reader: RecordReader, house: HouseOf) -> dict[str, Any]:
    """Each request with its state, what stands against it, and whether it is late."""
    return erasure_report(house.log.store, now=house.clock(), deadline_days=house.erasure_deadline_days)


@router.post("", operation_id="requestErasure", summary="Take a request, and do what may be done now", status_code=201)
def request(eraser: Eraser, house: HouseOf, body: ErasureBody) -> dict[str, Any]:
    """`state` is done or waiting; `because` names the holds or clauses that stand against it."""
    name = body.subject
    if not house.log.reader.search(tenant=body.tenant, subject=name, limit=1).rows:
        name = house.pseudonym(body.tenant, body.subject)
    return request_erasure(
        house.log, body.tenant, name, basis=body.basis, by=eraser.id, retention=house.retention, now=house.clock()
    )


@router.post("/run", operation_id="runErasures", summary="Look at all open requests again now")
def run(eraser: Eraser, house: HouseOf) -> dict[str, Any]:
    """What came of each."""
    done = run_queue(house.log, by=eraser.id, retention=house.retention, now=house.clock())
    return {"requests": done}
