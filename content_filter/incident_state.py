# SPDX-License-Identifier: Apache-2.0
"""Where an incident stands, and one step in its life: what the store, the workflow and the reports share."""

from dataclasses import dataclass
from enum import StrEnum


class IncidentState(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    FALSE_ALARM = "false_alarm"
    CONTAINED = "contained"
    REPORTED = "reported"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Transition:
    """A step in the life of an incident: who moved it, when, between which states. `before` is empty for the first."""

    incident_id: str
    number: int
    at_s: float
    actor: str
    before: str
    after: IncidentState
    reason: str
