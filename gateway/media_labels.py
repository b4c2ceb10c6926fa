# SPDX-License-Identifier: Apache-2.0
"""The labelling duty on pictures and sounds (Labeling Measures articles 4 and 5, GB 45438-2025 clauses 5.2, 5.3, 6.1).

A medium inside a plain answer gets its visible or audible label, its hidden label with the record's id as `ProduceID`,
and a signed manifest where the provider has a chain; all of it is read back before the answer goes on. What must hold:

- a medium that cannot get its labels does not leave: it stays unlabelled, so that the wire refuses it in its own words
  (`gateway.wires.media`), and the record says why; a fault on our side breaks the stage, which stops the answer;
- drawing and encoding take time, so they are done in a bounded number of threads, never on the event loop;
- only what the model made is labelled as such: a file of which nobody says that it is a picture or a sound, such as a
  user's own upload on its way back, is left as it is, unlabelled and therefore refused.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import structlog

from gateway.decisions import Action, Decision, Verdict
from gateway.events import Event, Media
from gateway.exchange import Exchange
from gateway.label_files import FileLabels
from gateway.metrics import Meters
from labeling.errors import DamagedFile, LabelError, RefusedFile, UnsupportedFormat
from labeling.file import LabeledFile, label_file
from labeling.sniff import sniff

log = structlog.get_logger("dutybound.media")

DUTY: Final = "label_media"
LINK: Final = "link"
"""Why a medium that is only an address does not leave: nobody here has seen what is behind it."""

_MEDIA: Final = frozenset({"image", "audio"})
_RAW: Final = frozenset({"audio/pcm", "audio/l16"})
"""Samples without a header: bytes that look like a format's beginning would be one by accident."""

_REASONS: Final = ((DamagedFile, "damaged_file"), (RefusedFile, "refused_file"), (UnsupportedFormat, "unsupported"))


class TooBusy(LabelError):
    """More files wait for their labels than this process takes; the client may try again."""


class MediaLabels:
    """Labels media of answers in threads: one object a process, made after any fork."""

    def __init__(self, files: FileLabels, threads: int, max_bytes: int, max_waiting: int = 64) -> None:
        """`max_bytes` bounds one file, `max_waiting` the files that wait for one of the `threads`."""
        self._files = files
        self._max_bytes = max_bytes
        self._limit = threads + max_waiting
        self._pending = 0
        self._counting = threading.Lock()
        self._pool = ThreadPoolExecutor(threads, "labels")

    async def label(self, data: bytes, mime: str, record_id: str) -> LabeledFile:
        """The file with all its labels, read back. `mime` is what the wire says of it, empty where it says nothing.

        Raises `DamagedFile`, `RefusedFile` or `UnsupportedFormat` for a file that cannot have them, any other
        `LabelError` where the fault is ours.
        """
        with self._counting:
            if self._pending >= self._limit:
                raise TooBusy("too many files wait for their labels; raise label.file_threads, or try again later")
            self._pending += 1
        work = self._pool.submit(self._work, data, mime, record_id)
        work.add_done_callback(self._done)  # also where whoever waited has gone: the thread goes on to its end
        return await asyncio.wrap_future(work)

    async def close(self) -> None:
        """Finish what was begun, drop what waits."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _done(self, _: Future[LabeledFile]) -> None:
        with self._counting:
            self._pending -= 1

    def _work(self, data: bytes, mime: str, record_id: str) -> LabeledFile:
        said = mime.partition(";")[0].strip().lower()
        kind = said.partition("/")[0]
        if said in _RAW or (kind and kind not in _MEDIA):
            raise UnsupportedFormat("only pictures and sounds of known formats are labelled in answers")
        file_format = sniff(data)
        if file_format.medium != kind and (kind or file_format.medium not in _MEDIA):
            raise UnsupportedFormat("the file is another medium than the answer says; it is not labelled as either")
        return label_file(data, self._files.plan_for_answer(record_id, file_format, self._max_bytes))


class LabelMedia:
    """The duty on one plain answer: all of its media, once it is whole."""

    def __init__(self, exchange: Exchange, media: MediaLabels, meters: Meters) -> None:
        self._exchange = exchange
        self._media = media
        self._meters = meters
        self._decided: set[Decision] = set()

    async def label(self, events: Sequence[Event]) -> Sequence[Event]:
        """`events` with labelled media in place of bare ones; what cannot be labelled stays bare."""
        bare = [event for event in events if isinstance(event, Media) and not event.is_labelled]
        if not bare:
            return events
        async with asyncio.TaskGroup() as group:
            tasks = {id(event): group.create_task(self._one(event)) for event in bare}
        return [tasks[id(event)].result() if id(event) in tasks else event for event in events]

    async def _one(self, event: Media) -> Media:
        if not event.data:
            return self._refused(event, LINK)
        try:
            labelled = await self._media.label(event.data, event.mime, self._exchange.record_id)
        except (DamagedFile, RefusedFile, UnsupportedFormat) as error:
            reason = next(word for kind, word in _REASONS if isinstance(error, kind))
            # The library's messages hold nothing of the file; they tell the operator what to change.
            log.warning("medium_not_labelled", record=self._exchange.record_id, reason=reason, text=str(error))
            return self._refused(event, reason)
        medium = labelled.mime.partition("/")[0]
        is_explicit = any(step.name == "explicit" and step.outcome == "done" for step in labelled.steps)
        self._meters.labels_applied.inc("implicit", medium)
        if is_explicit:
            self._decide(Decision(DUTY, Verdict.PASS, Action.LABEL, reason=medium))
        else:
            self._decide(Decision(DUTY, Verdict.PASS, Action.SKIP, reason="interface_label"))
        return replace(event, data=labelled.data, mime=labelled.mime, is_labelled=True)

    def _refused(self, event: Media, reason: str) -> Media:
        self._decide(Decision(DUTY, Verdict.BLOCK, Action.STOP, reason=reason, role="answer"))
        return event

    def _decide(self, decision: Decision) -> None:
        """Each once: ten pictures of one answer are one fact."""
        if decision not in self._decided:
            self._decided.add(decision)
            self._exchange.decide(decision)
