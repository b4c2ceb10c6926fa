# SPDX-License-Identifier: Apache-2.0
"""The complaint desk in this house: its numbers come from the policy, its facts go to the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import structlog

from audit_log import AuditError
from complaints import Authority, ChinaCalendar, ComplaintDesk, ComplaintError, DeskPolicy
from gateway.policies import Policy
from gateway.public.house import Record

log = structlog.get_logger("dutybound.complaints")


def desk_policy(policy: Policy, tz: str) -> DeskPolicy:
    """What the desk promises under `policy`; days end in the zone `tz`. Raises `PolicyError` for a missing number."""
    return DeskPolicy(
        answer_working_days=int(policy.number("complaints.close_working_days")),
        triage_h=policy.number("complaints.triage_hours"),
        acknowledge_h=policy.number("complaints.acknowledge_hours"),
        appeal_working_days=int(policy.number("complaints.appeal_working_days")),
        appeals_max=int(policy.number("complaints.appeals_max")),
        tz=ZoneInfo(tz),
        calendar=ChinaCalendar(),
        authorities=(
            Authority(
                name_zh=policy.text("complaints.authority.name_zh"),
                name_en=policy.text("complaints.authority.name_en"),
                url=policy.text("complaints.authority.url"),
                phone=policy.text("complaints.authority.phone"),
            ),
        ),
    )


async def tell(desk: ComplaintDesk, record: Record, facts: Iterable[dict[str, object]]) -> str:
    """Append a move's facts to the audit log, in order; gives the id of the last record, empty where it failed.

    A move is on disk before its facts are told. Where the log fails the facts wait in `desk.unrecorded()`, so nothing
    is raised here: refusing would take from the complainant the receipt of a complaint that exists.
    """
    record_id = ""
    try:
        for fact in facts:
            record_id = await record(fact)
            await asyncio.to_thread(desk.mark_recorded, fact, record_id)
    except (AuditError, ComplaintError) as error:
        log.error("complaint_not_recorded", error=type(error).__name__)  # it waits; the error names no case
        return ""
    return record_id
