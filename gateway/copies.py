# SPDX-License-Identifier: Apache-2.0
"""The way back: what is kept of an answer so that a copy of it is recognised when all labels are gone, and the search.

EU AI Act article 50(2) and its code of practice, and California SB 942, want the provider to offer a way to check
whether content is its own. Keeping is done by one thread of its own, after the answer was labelled and beside its way
out: no answer waits for it. Where the store is away or the thread is behind, the fingerprint is dropped and counted;
the record and all labels are there without it.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.decisions import Decision
from gateway.events import Channel, Event, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.fingerprints import FingerprintStore, Kept
from gateway.home import Home
from gateway.settings import Label
from labeling import LabelError
from labeling.file import LabeledFile, LabelPlan
from labeling.fingerprint import Print
from labeling.fingerprint.files import prints_of
from labeling.fingerprint.text import LEAST_WORDS, text_print
from labeling.sniff import FileFormat

log = structlog.get_logger("dutybound.copies")

KEPT: Final = "kept"
DROPPED: Final = "dropped"
NOTHING: Final = "nothing"
"""A work too small or too even for a fingerprint."""
_MOST_WAITING: Final = 2_000
_MOST_WAITING_BYTES: Final = 256 << 20
_BATCH: Final = 64
MOST_TEXT_CHARS: Final = 200_000
"""Of a longer answer the beginning stands for the whole."""

Count = Callable[[str, str], None]
"""Told the kind of work (`text`, `image`, `audio`) and `KEPT`, `DROPPED` or `NOTHING`; from one thread only."""


@dataclass(frozen=True, slots=True)
class _Work:
    record_id: str
    at_s: float
    text: str = ""
    data: bytes = b""
    file_format: FileFormat = FileFormat.TEXT
    payload: bytes = b""

    @property
    def medium(self) -> str:
        """What it is counted as."""
        return self.file_format.medium

    @property
    def size(self) -> int:
        """About how many bytes it keeps while it waits."""
        return len(self.data) + len(self.text)


class Copies:
    """Keeps fingerprints and marks, and finds works again. One for each process, made after any fork."""

    def __init__(
        self, path: Path, clock: Callable[[], float], count: Count, *, of_media: bool = True, of_texts: bool = True
    ) -> None:
        """`path` is the store's file; of pictures and sounds, and of texts, fingerprints are kept where `of_media` and
        `of_texts` say so, marks always. Raises `sqlite3.Error` where the file cannot be used."""
        self.of_texts = of_texts
        self._of_media = of_media
        self._store = FingerprintStore(path)
        self._clock = clock
        self._count = count
        self._waiting: queue.Queue[_Work | None] = queue.Queue()
        self._guard = threading.Lock()
        self._pending = 0
        self._pending_bytes = 0
        self._dropped: list[str] = []
        self._thread = threading.Thread(target=self._run, name="copies", daemon=True)
        self._thread.start()

    def keep_file(self, record_id: str, data: bytes, file_format: FileFormat, payload: bytes = b"") -> None:
        """Keep a labelled file that goes out; `payload` is that of its watermark, empty where it has none."""
        if file_format.medium in ("image", "audio"):
            self._put(_Work(record_id, self._clock(), data=data, file_format=file_format, payload=payload))

    def keep_text(self, record_id: str, text: str) -> None:
        """Keep the text of an answer that went out."""
        self._put(_Work(record_id, self._clock(), text=text))

    def look_up(self, found: Mapping[str, Any], text: str | None = None) -> dict[str, dict[str, Any]]:
        """What is known of something shown: `found` is what an inspection gave, `text` a text to be looked up itself.

        Always of the same shape: for the watermark and the fingerprint a `state` (`found`, `none`, `not-read`,
        `not-asked`; a mark without a record of ours is `unknown`) and the `record` that it leads to or None. It blocks.
        """
        mark = dict(found.get("watermark") or {"state": "not-read"})
        records = self._store.records_of(bytes.fromhex(mark["payload"])) if mark["state"] == "found" else ()
        if mark["state"] == "found" and not records:
            mark["state"] = "unknown"
        prints = [Print(each["kind"], bytes.fromhex(each["signature"])) for each in found.get("prints", ())]
        if text is not None and (of_text := text_print(text)) is not None:
            prints.append(of_text)
        hits = [hit for each in prints if (hit := self._store.find(each)) is not None]
        best = max(hits, key=lambda hit: hit.likeness, default=None)
        return {
            "watermark": {"state": mark["state"], "record": records[0] if records else None},
            "fingerprint": {
                "state": "found" if best is not None else "none" if prints else "not-read",
                "record": None if best is None else best.record_id,
            },
        }

    def forget(self, record_ids: Sequence[str]) -> int:
        """Delete what is kept of these records, as an erasure asks; gives how much there was. It blocks.

        Raises `OSError` where the store is away: an erasure that forgets only in part is tried again.
        """
        return forget_in(self._store, record_ids)

    def forget_before(self, time_s: float) -> int:
        """Delete what went out before a time, in seconds since the epoch; gives how much there was. It blocks."""
        return self._store.forget_before(time_s)

    def settle(self) -> None:
        """Wait until all that was handed in is kept, or dropped."""
        self._waiting.join()

    def close(self) -> None:
        """Keep what waits, then close the store. It blocks."""
        self._waiting.put(None)
        self._thread.join()
        self._store.close()

    def _put(self, work: _Work) -> None:
        with self._guard:
            if self._pending >= _MOST_WAITING or self._pending_bytes + work.size > _MOST_WAITING_BYTES:
                self._dropped.append(work.medium)
                return
            self._pending += 1
            self._pending_bytes += work.size
        self._waiting.put(work)

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch = [self._waiting.get()]
            while len(batch) < _BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            works = [work for work in batch if work is not None]
            is_open = len(works) == len(batch)
            self._keep(works)
            with self._guard:
                self._pending -= len(works)
                self._pending_bytes -= sum(work.size for work in works)
                dropped, self._dropped = self._dropped, []
            for medium in dropped:
                self._count(medium, DROPPED)
            for _ in batch:
                self._waiting.task_done()

    def _keep(self, works: Sequence[_Work]) -> None:
        made = []
        try:
            for work in works:
                prints = _prints(work) if self._of_media or not work.data else ()
                made.append(Kept(work.record_id, work.at_s, prints, work.payload))
            self._store.keep(made)
        except (sqlite3.Error, OSError, MemoryError) as error:
            log.error("fingerprints_dropped", works=len(works), error=type(error).__name__)
            for work in works:
                self._count(work.medium, DROPPED)
            return
        for work, kept in zip(works, made, strict=True):
            self._count(work.medium, KEPT if kept.prints or kept.payload else NOTHING)


def forget_in(store: FingerprintStore, record_ids: Sequence[str]) -> int:
    """What `Copies.forget` does, for a command that has the store alone."""
    try:
        return store.forget(record_ids)
    except sqlite3.Error as error:
        raise OSError(f"fingerprints could not be deleted ({type(error).__name__})") from None


@contextmanager
def copies_in(home: Path, label: Label, clock: Callable[[], float]) -> Iterator[Copies | None]:
    """The store of the data folder `home`, for a command; None where there is no data folder, or nothing is kept.

    Raises `LabelError` where it cannot be used.
    """
    folder = Home(home)
    if not folder.audit.is_dir() or (label.fingerprints == "off" and label.watermark == "off"):
        yield None
        return
    try:
        copies = Copies(folder.fingerprints, clock, lambda medium, outcome: None, of_media=label.fingerprints != "off")
    except sqlite3.Error as error:
        raise LabelError(f"{folder.fingerprints} cannot be used ({type(error).__name__})") from None
    try:
        yield copies
    finally:
        copies.close()


def led_to(copies: Copies | None, found: dict[str, Any], text: str | None = None) -> dict[str, dict[str, Any]]:
    """What `copies` knows of something shown, as :meth:`Copies.look_up` gives it, also where nothing is kept.

    Takes the mark and the fingerprints out of `found`: hashes of a stranger's file are for the search alone.
    """
    shown = {"watermark": found.pop("watermark", None), "prints": found.pop("prints", ())}
    if copies is not None:
        return copies.look_up(shown, text)
    mark = shown["watermark"] or {"state": "not-asked"}
    state = "unknown" if mark["state"] == "found" else mark["state"]
    return {
        "watermark": {"state": state, "record": None},
        "fingerprint": {"state": "not-asked", "record": None},
    }


def payload_in(labelled: LabeledFile, plan: LabelPlan) -> bytes:
    """The payload of the mark that a file got, empty where it got none."""
    is_marked = any(step.name == "watermark" and step.outcome == "done" for step in labelled.steps)
    return plan.mark.payload if is_marked and plan.mark is not None else b""


def _prints(work: _Work) -> tuple[Print, ...]:
    if work.data:
        return prints_of(work.data, work.file_format)
    found = text_print(work.text)
    return () if found is None else (found,)


class KeepText:
    """The duty's part in one answer: it lets everything through and remembers the texts until the answer is whole.

    What a duty stopped, or the upstream broke off, is not kept.
    """

    def __init__(self, exchange: Exchange, copies: Copies) -> None:
        self._exchange = exchange
        self._copies = copies
        self._texts: dict[int, list[str]] = {}
        self._chars = 0

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events as they are."""
        for event in events:
            if type(event) is TextDelta and event.lane.channel is Channel.ANSWER and self._chars < MOST_TEXT_CHARS:
                self._chars += len(event.text)
                self._texts.setdefault(event.lane.choice, []).append(event.text)
        return events if type(events) is list else list(events)

    def flush(self) -> list[Event]:
        """Nothing is held."""
        return []

    def decision(self) -> Decision | None:
        """Nothing for the record; the texts go to be kept."""
        if self._exchange.outcome in (Outcome.OPEN, Outcome.COMPLETED):
            for parts in self._texts.values():
                text = "".join(parts)
                if len(text) >= LEAST_WORDS:
                    self._copies.keep_text(self._exchange.record_id, text)
        return None
