# SPDX-License-Identifier: Apache-2.0
"""What the operator listener needs of the house: the rooms it reads, and the one way to write a record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from audit_log.retention import Retention

if TYPE_CHECKING:  # so that making a token does not load every room
    from audit_log import AuditLog
    from complaints import ComplaintDesk
    from content_filter import Activation
    from content_filter.incidents import IncidentStore
    from gateway.guardians import Guardians
    from gateway.incident_desk import IncidentDesk
    from gateway.label_files import FileLabels
    from gateway.measures import Measures
    from gateway.metrics import Meters
    from gateway.minor_mode import MinorModes
    from gateway.operator.tokens import TokenStore
    from gateway.own_records import OwnRecords
    from gateway.policies import Policy
    from gateway.settings import Settings
    from gateway.standing import Standing
    from gateway.switches import Switches


KEEP_ALL: Final = Retention(())
"""No rules: nothing is ever dropped."""


def no_pseudonym(tenant: str, subject: str) -> str:
    """For a house without signed identities: every subject is already what the records call it."""
    return subject


@dataclass(frozen=True, slots=True)
class FilterRoom:
    """The content filter of this process: what is in force, and `reload(by)`, which reads its files anew."""

    in_force: Callable[[], dict[str, Any]]
    reload: Callable[[str], Awaitable[Activation]]


@dataclass(frozen=True, slots=True)
class House:
    """The rooms behind the operator listener.

    `record(fields)` appends a record with these fields, adding its `id` (and time), and gives that id once it is
    durable; it raises `audit_log.AuditError` where it cannot be. `pseudonym(tenant, subject)` turns the `sub` of a
    token into the name that records can be found by.
    """

    settings: Settings
    policy: Policy
    log: AuditLog
    desk: ComplaintDesk
    incidents: IncidentStore
    tokens: TokenStore
    meters: Meters
    record: Callable[[Mapping[str, object]], Awaitable[str]]
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]
    standing: Standing
    switches: Switches
    own_records: OwnRecords
    measures: Measures
    incident_desk: IncidentDesk
    guardians: Guardians
    minor_modes: MinorModes
    pseudonym: Callable[[str, str], str] = no_pseudonym
    filters: FilterRoom | None = None
    files: FileLabels | None = None
    """What files of this service get as labels."""
    retention: Retention = KEEP_ALL
    """How long the log keeps what."""
    erasure_deadline_days: float = 0.0
    """By when a request to erase is answered, in calendar days."""
