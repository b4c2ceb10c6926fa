# SPDX-License-Identifier: Apache-2.0
"""What the log needs from time to time: the hourly census, retention, the queue of erasures, and a look at what puts
the legal minimum at risk (Cybersecurity Law article 23(3), Model AI Law article 37).

Every process counts itself; what is done once is done by the one that publishes. What must hold: nothing goes that the
rules do not name, a failure is shown as a number and tried again, and a request never waits for any of this.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from audit_log import AuditError, AuditLog
from audit_log.census import take_census
from audit_log.erasure import run_queue
from audit_log.interfaces import Query
from audit_log.prune import expire_bodies, overdue, prune, sweep
from audit_log.retention import DAY_S, Retention
from gateway.metrics import Meters, Watched
from gateway.recovery import close_abandoned
from gateway.settings import Audit

log = structlog.get_logger("dutybound.log_keeping")

REASONS = ("disk", "clock", "overdue", "failed")
"""Why retention may be at risk: no room for the minimum, a clock that stepped back, records past their maximum that are
still there, or keeping that failed."""

_ROUND_S = 60.0
_CLOCK_TOLERANCE_S = 5.0
_BY = "gateway"


class LogKeeping:
    """One process's part in keeping the log."""

    def __init__(
        self,
        audit_log: AuditLog,
        settings: Audit,
        retention: Retention,
        clock: Callable[[], float],
        meters: Meters,
        home: Path,
        counted: Mapping[str, int],
    ) -> None:
        """`home` is the data folder, with the log in it or its spool; `counted` what this process counted of its
        records by other means than the log's, by type, as it stands at any time."""
        self._log = audit_log
        self._settings = settings
        self._retention = retention
        self._clock = clock
        self._home = home
        self._folder = home / "audit"
        self._due_at = clock() + settings.census_every_s
        self._has_kept = False
        self._has_failed = False
        self._is_overdue = False
        self._counted = counted
        meters.watch("log_keeping", self.numbers)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(_ROUND_S)

    async def round(self) -> None:
        """Do what is due now. Raises nothing that another round could mend."""
        is_due = self._clock() >= self._due_at
        if not is_due and self._has_kept:
            return
        try:
            if is_due:
                self._due_at = self._clock() + self._settings.census_every_s
                await asyncio.to_thread(take_census, self._log, dict(self._counted))
                if self._settings.url:
                    await close_abandoned(self._log, self._home)
            # A process that restarts often is due all the same, as soon as it publishes.
            if is_due or self._log.is_publisher:
                await asyncio.to_thread(self._keep)
                self._has_failed = False
        except (AuditError, OSError) as error:
            self._has_failed, self._has_kept = True, False
            log.warning("log_keeping_failed", reason=str(error) if isinstance(error, AuditError) else error.strerror)

    def _keep(self) -> None:
        now, store = self._clock(), self._log.store
        if self._log.is_publisher:
            if any(rule.maximum_days is not None for rule in self._retention.rules):
                prune(self._log, self._retention, by=_BY, clock=self._clock)
            expire_bodies(self._log, self._retention, by=_BY, now=now)
            sweep(store, self._log.folder, now=now, grace_s=self._settings.delete_after_days * DAY_S)
            run_queue(self._log, by=_BY, retention=self._retention, now=now)
            self._has_kept = True
        self._is_overdue = bool(overdue(store, self._retention, now))

    def numbers(self) -> Mapping[str, Watched]:
        """Gauges, asked at each scrape; blocks on the disk."""
        free = _free_bytes(self._folder)
        store = self._log.store
        at_risk = {
            "disk": free < self._settings.disk_free_min_mb << 20 or free < self._needed_bytes(),
            "clock": self._clock() < store.seen_at() - _CLOCK_TOLERANCE_S,
            "overdue": self._is_overdue,
            "failed": self._has_failed,
        }
        return {
            "audit_disk_free_bytes": free,
            "audit_spooled_bytes": float(getattr(store, "spooled_bytes", 0)),
            "audit_retention_at_risk": {(reason,): float(at_risk[reason]) for reason in REASONS},
        }

    def _needed_bytes(self) -> float:
        """What the log will still grow, at the pace of its life so far, until its oldest record is past its minimum.

        0 for a log on a server, whose disk is not this one, and in the first day, which tells nothing yet.
        """
        if self._settings.url:
            return 0.0
        first = self._log.store.search(Query(), -1, 1)
        age_days = (self._clock() - first[0].row.t_us / 1e6) / DAY_S if first else 0.0
        if age_days < 1:
            return 0.0
        minimum_days = max(rule.minimum_days for rule in self._retention.rules)
        return _used_bytes(self._folder) / age_days * max(0.0, minimum_days - age_days)


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _used_bytes(folder: Path) -> int:
    """The database and its WAL; tiles are a few per cent beside them and many files."""
    return sum(file.stat().st_size for file in folder.glob("audit.db*"))
