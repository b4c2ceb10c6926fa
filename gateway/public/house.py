# SPDX-License-Identifier: Apache-2.0
"""What the public pages are given to work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from complaints import ComplaintDesk
from gateway.copies import Copies
from gateway.disclosure import Disclosure
from gateway.media_store import MediaStore
from gateway.policies import Policy
from gateway.settings import Settings

Record = Callable[[dict[str, object]], Awaitable[str]]
"""Appends facts (with a `type`) to the audit log; gives the record's id once it is durable, or raises `AuditError`."""


FindRecord = Callable[[str], Awaitable[float | None]]
"""When the record of that id was made, in seconds since the epoch, if it is one of content that went out; else None."""


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

    @property
    def public_url(self) -> str:
        """Where people reach the service, without a trailing slash; empty where the settings do not say."""
        return self.settings.server.public_url.rstrip("/")
