# SPDX-License-Identifier: Apache-2.0
"""What the public pages are given to work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from complaints import ComplaintDesk
from gateway.copies import Copies
from gateway.disclosure import Disclosure
from gateway.gates import Agreement
from gateway.guardians import Guardians
from gateway.identity import Identifier
from gateway.incident_notices import IncidentNotices
from gateway.measures import Measures
from gateway.media_store import MediaStore
from gateway.minor_mode import MinorModes
from gateway.minors import MinorsDuty
from gateway.policies import Policy
from gateway.settings import Settings
from gateway.standing import Standing
from gateway.switches import Switches

Record = Callable[[dict[str, object]], Awaitable[str]]
"""Appends facts (with a `type`) to the audit log; gives the record's id once it is durable, or raises `AuditError`."""


FindRecord = Callable[[str], Awaitable[float | None]]
"""When the record of that id was made, in seconds since the epoch, if it is one of content that went out; else None."""


@dataclass(frozen=True, slots=True)
class People:
    """What the addresses for apps ask about the person who sends them."""

    identifier: Identifier
    agreement: Agreement
    minors: MinorsDuty
    guardians: Guardians
    minor_modes: MinorModes
    standing: Standing
    switches: Switches
    measures: Measures
    incident_notices: IncidentNotices


@dataclass(frozen=True, slots=True)
class House:
    """The parts of the gateway that the public pages show and use.

    `clock` gives seconds since the epoch. `checks` says by name what must work before requests are taken.
    """

    settings: Settings
    policy: Policy
    disclosure: Disclosure
    desk: ComplaintDesk
    record: Record
    clock: Callable[[], float]
    checks: Callable[[], Mapping[str, bool]]
    find_record: FindRecord
    media_store: MediaStore | None = None
    """Labelled files that are served by address, None where there are none."""
    c2pa_root_pem: str = ""
    """The root of the provider's own signing chain, empty where there is none."""
    copies: Copies | None = None
    """What finds works again by their marks and fingerprints, None where nothing is kept."""
    watermark_key: bytes = field(default=b"", repr=False)
    """Empty where no marks are made."""
    people: People | None = None
    """What is asked about whoever sends a request; None where only pages are served."""

    @property
    def public_url(self) -> str:
        """Where people reach the service, without a trailing slash; empty where the settings do not say."""
        return self.settings.server.public_url.rstrip("/")
