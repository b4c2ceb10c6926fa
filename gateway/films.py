# SPDX-License-Identifier: Apache-2.0
"""Films take longer to label than a client waits: labelled once, kept for a time, begun while the client still polls.

Labeling Measures article 4(4). The wire of OpenAI videos has three steps: begin, ask whether it is done, download. When
the model's server says that a film is done, labelling it begins, and whoever asks is told `in_progress` until the
labelled film is there, in a list of films as well. Whoever downloads it sooner waits. What must hold:

- the labelled film is given only to whom the model's server gives the film: it is fetched with the client's own key at
  each download, and what is kept is found by the digest of what came;
- one film is labelled once, by one process, however many ask for it;
- a job that fails ends the waiting: the download then says why, in the wire's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import structlog

from gateway.events import End, Event
from gateway.exchange import Exchange
from gateway.media_labels import MediaLabels
from gateway.media_links import name_of
from gateway.media_store import MediaStore, MediaStoreError, MediumWithheld, StoredMedium
from gateway.upstream import Upstream, UpstreamFailure
from gateway.wires.frames import Frame
from gateway.wires.interfaces import Call
from labeling.errors import LabelError

log = structlog.get_logger("dutybound.films")

_DONE: Final = "completed"
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MOST_FROM_LISTS: Final = 2
"""A list may name many films that nobody waits for; it begins to label them few at a time."""
_FROM_PERCENT: Final = 90
"""A film that only wants its labels is shown as this far at least."""


class Films:
    """Labels films, and keeps them; one object a process, made after any fork."""

    def __init__(
        self, media: MediaLabels, store: MediaStore, upstream: Upstream, max_bytes: int, timeout_s: float
    ) -> None:
        """`max_bytes` bounds one film; no job lasts longer than `timeout_s`."""
        self._media = media
        self._store = store
        self._upstream = upstream
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._at_work: dict[bytes, asyncio.Task[StoredMedium]] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._shares: dict[str, float] = {}
        """How much of a job is done, by the path that asks for it."""

    async def labelled(self, data: bytes, mime: str, path: str, record_id: str) -> StoredMedium:
        """The labelled film, from what is kept where it was labelled before. Raises as `MediaLabels.label`, and
        `MediumWithheld`.

        Whoever asks while it is being labelled waits for the same work; who leaves does not end it for others.
        """
        name = await asyncio.to_thread(name_of, path, "", data)
        found = await self._kept(name)
        if found is not None:
            return found
        work = self._at_work.get(name)
        if work is None:
            work = self._at_work[name] = asyncio.create_task(self._label(name, data, mime, path, record_id))
            work.add_done_callback(lambda done: self._forget(name, done))
        return await asyncio.shield(work)

    async def poll(self, exchange: Exchange, events: Sequence[Event]) -> None:
        """Change what the model's server says of a film that is done and not labelled yet: it is still in progress."""
        for event in events:
            if isinstance(event, End) and isinstance(event.carrier, Frame):
                tree = event.carrier.tree
                listed = tree.get("data")
                if tree.get("object") == "video":
                    await self._hold(exchange, tree, exchange.path)
                elif isinstance(listed, list):
                    for film in listed:
                        name = film.get("id") if isinstance(film, dict) else None
                        if isinstance(name, str) and _ID.fullmatch(name):
                            await self._hold(exchange, film, f"{exchange.path}/{name}", most_jobs=_MOST_FROM_LISTS)

    async def close(self) -> None:
        """End the jobs; what they did not finish begins anew when it is asked for."""
        tasks = [*self._jobs.values(), *self._at_work.values()]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    async def _hold(self, exchange: Exchange, tree: dict[str, Any], path: str, most_jobs: int = sys.maxsize) -> None:
        """Say that a film is in progress until it is labelled; begin that, unless so many jobs are under way."""
        if tree.get("status") != _DONE:
            return
        ready = b"film\0" + path.encode()
        token = await asyncio.to_thread(self._store.token_of, ready)
        if await asyncio.to_thread(self._store.get, token) is not None:
            return
        may_begin = path not in self._jobs and len(self._jobs) < most_jobs
        if may_begin and await asyncio.to_thread(self._store.claim, ready, self._timeout_s):
            job = asyncio.create_task(self._job(path, ready, exchange.record_id, list(exchange.headers)))
            self._jobs[path] = job
            job.add_done_callback(lambda _: (self._jobs.pop(path, None), self._shares.pop(path, None)))
        share = self._shares.get(path, 0.0)
        tree["status"] = "in_progress"
        tree["progress"] = _FROM_PERCENT + int((99 - _FROM_PERCENT) * share)
        if "completed_at" in tree:
            tree["completed_at"] = None

    async def _job(self, path: str, ready: bytes, record_id: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Fetch a film, label it, and say that it is there; also where it failed, so that nobody waits for ever."""
        try:
            content = f"{path}/content"
            async with asyncio.timeout(self._timeout_s):
                async with self._upstream.open(Call("GET", f"{content}?variant=video", b""), headers) as answer:
                    if answer.status != 200:
                        raise UpstreamFailure("upstream_invalid", 502)
                    data = await answer.body(self._max_bytes)
                    mime = answer.content_type
                await self.labelled(data, mime if mime.startswith("video/") else "", content, record_id)
        except asyncio.CancelledError:
            self._store.release(ready)  # whoever asks after the next start begins anew
            raise
        except (LabelError, UpstreamFailure, MediumWithheld, OSError, TimeoutError) as error:
            log.warning("film_not_labelled", record=record_id, reason=type(error).__name__, text=str(error))
        with contextlib.suppress(MediaStoreError, OSError):
            await asyncio.to_thread(self._store.put, b"", "text/plain", ready)
        await asyncio.to_thread(self._store.release, ready)

    async def _label(self, name: bytes, data: bytes, mime: str, path: str, record_id: str) -> StoredMedium:
        task = path.removesuffix("/content")

        def told(share: float) -> None:
            if task in self._jobs:
                self._shares[task] = share

        made = await self._media.label(data, mime, record_id, progress=told)
        try:
            await asyncio.to_thread(self._store.put, made.data, made.mime, name, record_id)
        except (MediaStoreError, OSError) as error:
            log.warning("film_not_kept", record=record_id, reason=type(error).__name__)
        return StoredMedium(made.data, made.mime, 0.0)

    async def _kept(self, name: bytes) -> StoredMedium | None:
        token = await asyncio.to_thread(self._store.token_of, name)
        return await asyncio.to_thread(self._store.get, token)

    def _forget(self, name: bytes, work: asyncio.Task[StoredMedium]) -> None:
        self._at_work.pop(name, None)
        if not work.cancelled():
            work.exception()  # whoever still waits gets it; where nobody does, it was logged
