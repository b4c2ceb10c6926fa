# SPDX-License-Identifier: Apache-2.0
"""The content filter as JSON: what is in force, and putting changed files in force (Interim Measures article 14).

Neither shows a term: terms are known by count and digest, in `/api/filter` as in every record.
"""

from typing import Any

from fastapi import APIRouter

from content_filter.errors import FilterError
from gateway.errors import Problem
from gateway.operator.access import AnyRole, FilterKeeper, HouseOf
from gateway.operator.house import FilterRoom, House
from gateway.operator.problems import ProblemError, not_found

router = APIRouter(prefix="/api/filter", tags=["filter"])


@router.get("", operation_id="getFilter", summary="Which filter is in force: digests, counts, thresholds, rules")
def get_filter(reader: AnyRole, house: HouseOf) -> dict[str, Any]:
    """What judges texts and pictures now."""
    return _room(house).in_force()


@router.post("/reload", operation_id="reloadFilter", summary="Read terms, context terms and weights anew")
async def reload_filter(keeper: FilterKeeper, house: HouseOf) -> dict[str, Any]:
    """Puts changed files in force for all that ask from now on, in every worker process; the change is a record."""
    try:
        activation = await _room(house).reload(keeper.id)
    except (FilterError, OSError) as error:
        # The filter's own messages name file and line, never a term; the system's name the file.
        title = "A file cannot be used; the old filter stays in force"
        problem = Problem(409, "filter_not_reloaded", title, str(error))
        raise ProblemError(problem) from None
    return {"before": activation.before, "after": activation.after, "changed": activation.is_change}


def _room(house: House) -> FilterRoom:
    if house.filters is None:
        raise not_found("filter in this installation")
    return house.filters
