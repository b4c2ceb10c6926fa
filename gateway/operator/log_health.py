# SPDX-License-Identifier: Apache-2.0
"""The log's own health as JSON: what was lost before it reached it, and what a prune would drop.

Both read much of the log: ask them by hand or once a day. Pruning itself is the gateway's, by the retention settings,
or the command line's.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from audit_log.census import gap_report
from audit_log.prune import Upto, overdue, plan_prune
from gateway.operator.access import HouseOf, RecordReader

router = APIRouter(prefix="/api/log", tags=["log"])


@router.get("/census", operation_id="getCensus", summary="Gaps, writers that ended without a word, counts that differ")
def census(reader: RecordReader, house: HouseOf) -> dict[str, Any]:
    """`ok` is false where anything is missing."""
    every_s = house.settings.audit.census_every_s
    return gap_report(house.log.store, now=house.clock(), census_every_s=every_s)


@router.get("/prune", operation_id="planPrune", summary="What a prune would drop now; changes nothing")
def prune_plan(
    reader: RecordReader,
    house: HouseOf,
    upto: Annotated[Upto, Query(description="due: past its maximum; allowed: past its minimum")] = "due",
) -> dict[str, Any]:
    """The range, the records in it by type, what keeps the rest, and what is overdue."""
    size = house.log.reader.checkpoint().size
    plan = plan_prune(house.log.store, house.retention, house.clock(), size, upto)
    return {**plan.as_json(), "overdue": overdue(house.log.store, house.retention, house.clock())}
