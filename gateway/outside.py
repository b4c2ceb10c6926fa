# SPDX-License-Identifier: Apache-2.0
"""What leaves the house from time to time, where it is set: time-stamps of checkpoints, copies of full segments, events
for a SIEM.

It is done by the process that publishes, one after the other, in a thread. What must hold: a failure is logged, shows
as a number and is tried again; a job that fails does not keep the others from their turn; a request never waits for any
of it; what is not set costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog

from audit_log import AuditError, AuditLog
from audit_log.export import ExportSource
from audit_log.keys import read_vkeys
from audit_log.place import Place
from gateway.metrics import Meters, Watched
from gateway.settings import Settings

log = structlog.get_logger("dutybound.outside")

_LOOK_S = 1.0
_HOUR_S = 3_600.0
_RETRY_S = 300.0


class OutsideWork:
    """The jobs of one process; they run while it is the one that publishes."""

    def __init__(
        self,
        audit_log: AuditLog,
        place: Place,
        home: Path,
        settings: Settings,
        clock: Callable[[], float],
        meters: Meters,
    ) -> None:
        """`home` is the data folder. Raises `SettingsError` where a job cannot be done as it is set."""
        self._log = audit_log
        self._place = place
        self._home = home
        self._settings = settings
        self._clock = clock
        self._failed: set[str] = set()
        self._jobs: list[tuple[str, float, Callable[[], object]]] = []
        if settings.timestamps.url:
            self._jobs.append(("timestamp", settings.timestamps.every_h * _HOUR_S, self._stamp))
        if settings.archive.bucket:
            self._jobs.append(("archive", settings.archive.every_h * _HOUR_S, self._archive))
        if settings.siem.file or settings.siem.url:
            self._jobs.append(("siem", settings.siem.every_s, self._feed))
        self._due_at = {name: clock() for name, _, _ in self._jobs}
        meters.watch("outside", self.numbers)

    async def run(self) -> None:
        """Until cancelled; returns at once where nothing is set."""
        while self._jobs:
            await self.round()
            await asyncio.sleep(_LOOK_S)

    async def round(self) -> None:
        """Do what is due now. Raises nothing that another round could mend."""
        if not self._log.is_publisher:
            return
        for name, every_s, job in self._jobs:
            if self._clock() < self._due_at[name]:
                continue
            try:
                await asyncio.to_thread(job)
            except (AuditError, OSError, ValueError) as error:
                self._failed.add(name)
                self._due_at[name] = self._clock() + min(every_s, _RETRY_S)
                reason = str(error) if isinstance(error, AuditError) else type(error).__name__
                log.warning("outside_failed", job=name, reason=reason)
                continue
            self._failed.discard(name)
            self._due_at[name] = self._clock() + every_s

    def numbers(self) -> Mapping[str, Watched]:
        """Which jobs failed the last time."""
        return {"audit_outside_failed": {(name,): float(name in self._failed) for name, _, _ in self._jobs}}

    @contextmanager
    def _source(self) -> Iterator[ExportSource]:
        place = self._place
        with place.reading() as (store, tiles):
            yield ExportSource(store, tiles, place.signer(store), read_vkeys(place.home))

    def _stamp(self) -> None:
        from audit_log.commands import timestamp
        from audit_log.timestamping import REQUEST_TYPE
        from gateway.evidence_command import poster

        chosen = self._settings.timestamps
        roots = (self._settings.base_dir / chosen.roots).read_bytes() if chosen.roots else None
        timestamp(self._place, chosen.url, poster(REQUEST_TYPE), roots=roots, clock=self._clock)

    def _archive(self) -> None:
        from audit_log.archive import archive_segments
        from gateway.evidence_command import bucket_of, lock_days

        chosen = self._settings.archive
        with self._source() as source:
            archive_segments(
                source,
                bucket_of(self._settings),
                prefix=chosen.prefix,
                lock_days=lock_days(self._settings),
                clock=self._clock,
                parquet=chosen.parquet,
            )

    def _feed(self) -> None:
        from gateway.evidence_command import siem_sinks
        from gateway.siem import Feed, FeedError

        settings, failed = self._settings, None
        with self._source() as source:
            for sink in siem_sinks(settings):
                feed = Feed(self._home / "siem", sink, provider=settings.service.provider, batch=settings.siem.batch)
                try:
                    feed.run(source.store, source.store.head(), source.signer.name, source.verifiers)
                except FeedError as error:
                    failed = error
        if failed is not None:
            raise failed
