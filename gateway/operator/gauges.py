# SPDX-License-Identifier: Apache-2.0
"""The numbers that only the rooms know, asked at each scrape: the log, the complaints, the incidents,
the orders."""

from collections.abc import Mapping
from typing import Final

from complaints import State
from content_filter.incidents import IncidentState
from gateway.delivery import State as Delivery
from gateway.measures import Step
from gateway.metrics import Watched
from gateway.operator.house import House
from gateway.own_records import SHELF as OWED

_FINISHED: Final = frozenset({State.CLOSED, State.WITHDRAWN})
_SETTLED: Final = frozenset({IncidentState.CLOSED, IncidentState.FALSE_ALARM})
_MANY: Final = 10_000
"""Incidents are counted up to this number a state; beyond it the number has long said what it has to say."""


def watch_house(house: House) -> None:
    """Have the house's meters ask its rooms at each scrape."""
    started_at = house.clock()
    house.meters.watch("audit_log", lambda: _of_log(house, started_at))
    house.meters.watch("complaints", lambda: _of_complaints(house))
    house.meters.watch("incidents", lambda: _of_incidents(house))
    house.meters.watch("orders", lambda: _of_orders(house))


def _of_log(house: House, started_at: float) -> Mapping[str, Watched]:
    status = house.log.status()
    return {
        "audit_leaves": status.next_index,
        "audit_tree_size": house.log.reader.checkpoint().size,
        # Before the first checkpoint of this process its age is that of the process: a publisher that never gets
        # going must not look like one that has nothing to do.
        "audit_checkpoint_timestamp_seconds": status.published_at or started_at,
        "audit_refusing": 0 if status.problem is None else 1,
    }


def _of_complaints(house: House) -> Mapping[str, Watched]:
    counts = house.desk.counts()
    by_state: dict[tuple[str, ...], float] = {
        (state.key,): float(count) for state, count in counts.by_state.items() if state not in _FINISHED
    }
    return {
        "complaints_open": by_state,
        "complaints_overdue": counts.overdue,
        "complaints_unrecorded": counts.unrecorded,
    }


def _of_incidents(house: House) -> Mapping[str, Watched]:
    unsettled = (state for state in IncidentState if state not in _SETTLED)
    reports = house.incident_desk.outbox.counts()
    overdue: dict[tuple[str, ...], float] = {
        (clock,): float(count) for clock, count in house.incident_desk.overdue_clocks().items()
    }
    undelivered: dict[tuple[str, ...], float] = {
        (state.value,): float(count) for state, count in reports.items() if state is not Delivery.DELIVERED
    }
    return {
        "incidents_open": sum(len(house.incidents.list(state=state, limit=_MANY)) for state in unsettled),
        "incidents_overdue": overdue,
        "reports_undelivered": undelivered,
    }


def _of_orders(house: House) -> Mapping[str, Watched]:
    steps: dict[tuple[str, ...], float] = {(step.value,): 0.0 for step in Step}
    for measure in house.measures.in_force():
        steps[(measure.step.value,)] += 1.0
    return {
        "pauses_in_force": len(house.switches.in_force()),
        "measures_in_force": steps,
        "records_owed": len(house.standing.shelf(OWED)),
        "orders_away": 1 if house.standing.is_away else 0,
    }
