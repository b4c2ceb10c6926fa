# SPDX-License-Identifier: Apache-2.0
"""The labelling duty on pictures and sounds (Labeling Measures articles 4 and 5, GB 45438-2025 clauses 5.2, 5.3, 6.1).

A medium inside an answer gets its visible or audible label, its hidden label with the record's id as `ProduceID`, and a
signed manifest where the provider has a chain; all of it is read back before the answer goes on. Bare samples have no
metadata: they get the audible label before the first of them, and only on wires whose envelope carries the hidden one.
What must hold:

- a medium that cannot get its labels does not leave: it stays unlabelled, so that the wire refuses it in its own words
  (`gateway.wires.media`), and the record says why; a fault on our side breaks the stage, which stops the answer;
- drawing and encoding take time, so they are done in a bounded number of threads, never on the event loop;
- only what the model made is labelled as such: a file of which nobody says that it is a picture or a sound, such as a
  user's own upload on its way back, is left as it is, unlabelled and therefore refused.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from gateway.copies import Copies, payload_in
from gateway.data_urls import DataUrlScanner, Held, TooLong
from gateway.decisions import Action, Decision, Verdict
from gateway.events import Attached, End, Event, Finish, Lane, Media, TextDelta
from gateway.exchange import Exchange
from gateway.label_files import FileLabels
from gateway.media_links import LinkedMedia, LinkRefused, data_url, is_data_url, name_of, read_data_url
from gateway.media_store import MediumWithheld
from gateway.metrics import Meters
from gateway.upstream import UpstreamFailure
from gateway.wires.interfaces import BadAnswer
from gateway.wires.media import UNLABELLED
from labeling.errors import DamagedFile, LabelError, RefusedFile, UnsupportedFormat
from labeling.explicit.audio import label_samples
from labeling.file import LabeledFile, label_file
from labeling.sniff import sniff

if TYPE_CHECKING:
    from gateway.films import Films
    from gateway.text_manifests import SignTexts

log = structlog.get_logger("dutybound.media")

DUTY: Final = "label_media"
WITHHELD: Final = "withheld"
"""Why a file that was taken down is not given again."""
LINK: Final = "link"
"""Why a medium that is only an address does not leave: nobody here has seen what is behind it."""

_MEDIA: Final = frozenset({"image", "audio", "video"})
_RAW: Final = frozenset({"audio/pcm", "audio/l16"})
"""Samples without a header: bytes that look like a format's beginning would be one by accident."""

_SAMPLES: Final = re.compile(r"audio/(?:pcm|l16;codec=pcm);rate=(\d{4,6})")
"""How a wire names bare samples (16 bits, little-endian, one channel) whose envelope carries the hidden label."""
_RATES: Final = range(8_000, 48_001)
_MOST_RATES: Final = 8
"""Models use a few rates; labels for those are kept."""

_URL_SAFE: Final = str.maketrans("-_", "+/")

_REASONS: Final = ((DamagedFile, "damaged_file"), (RefusedFile, "refused_file"), (UnsupportedFormat, "unsupported"))


FILM_TASKS: Final = "openai_video_tasks"
"""The wire on which clients ask whether a film is done."""


def is_film(data: bytes) -> bool:
    """Whether the bytes are those of a film of a known format."""
    return _medium_of(data) == "video"


def _is_medium(data: bytes) -> bool:
    return _medium_of(data) in _MEDIA


def _medium_of(data: bytes) -> str:
    try:
        return sniff(data).medium
    except LabelError:
        return ""


class TooBusy(LabelError):
    """More files wait for their labels than this process takes; the client may try again."""


class MediaLabels:
    """Labels media of answers in threads: one object a process, made after any fork."""

    def __init__(
        self, files: FileLabels, threads: int, max_bytes: int, max_waiting: int = 64, copies: Copies | None = None
    ) -> None:
        """`max_bytes` bounds one file, `max_waiting` the files that wait for one of the `threads`; `copies` remembers
        what each of them looks and sounds like."""
        self._files = files
        self._copies = copies
        self.max_bytes = max_bytes
        self._limit = threads + max_waiting
        self._pending = 0
        self._counting = threading.Lock()
        self._before: dict[int, bytes] = {}
        """The audible label by sample rate."""
        self._pool = ThreadPoolExecutor(threads, "labels")
        self._films = ThreadPoolExecutor(1, "films")

    async def label(
        self,
        data: bytes,
        mime: str,
        record_id: str,
        *,
        in_text: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> LabeledFile:
        """The file with all its labels, read back. `mime` is what the wire says of it, empty where it says nothing.

        `in_text` says that it stands inside a text with a visible label of its own: where the file cannot show one, as
        a picture of a few pixels, the text's is the one that people see. `progress` is told from another thread how
        much of a film is done. Films have a thread of their own, so that pictures do not wait for them.

        Raises `DamagedFile`, `RefusedFile` or `UnsupportedFormat` for a file that cannot have them, any other
        `LabelError` where the fault is ours.
        """
        with self._counting:
            if self._pending >= self._limit:
                raise TooBusy("too many files wait for their labels; raise label.file_threads, or try again later")
            self._pending += 1
        pool = self._films if mime.startswith("video/") or is_film(data) else self._pool
        work = pool.submit(self._work, data, mime, record_id, in_text, progress)
        work.add_done_callback(self._done)  # also where whoever waited has gone: the thread goes on to its end
        return await asyncio.wrap_future(work)

    async def before_samples(self, rate_hz: int) -> bytes:
        """The audible label as bare samples; nothing where the provider's own interface labels sounds."""
        audio = self._files.audio
        if audio is None:
            return b""
        made = self._before.get(rate_hz)
        if made is None:
            made = await asyncio.get_running_loop().run_in_executor(self._pool, label_samples, audio, rate_hz)
            if len(self._before) < _MOST_RATES:
                self._before[rate_hz] = made
        return made

    async def close(self) -> None:
        """Finish what was begun, drop what waits."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._films.shutdown, cancel_futures=True)

    def _done(self, _: Future[LabeledFile]) -> None:
        with self._counting:
            self._pending -= 1

    def _work(
        self,
        data: bytes,
        mime: str,
        record_id: str,
        in_text: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> LabeledFile:
        said = mime.partition(";")[0].strip().lower()
        kind = said.partition("/")[0]
        if said in _RAW:
            raise UnsupportedFormat("samples without a header have no place for a label; ask for WAV")
        file_format = sniff(data, said)
        # A document counts as one where the wire names its very type: a user's own upload on its way back has none.
        is_document = file_format.medium == "document" and said == file_format.mime
        if not is_document and (kind or file_format.medium) not in _MEDIA:
            raise UnsupportedFormat("only pictures, sounds, films and documents of known formats are labelled here")
        if not is_document and kind not in ("", file_format.medium):
            raise UnsupportedFormat("the file is another medium than the answer says; it is not labelled as either")
        plan = self._files.plan_for_answer(record_id, file_format, self.max_bytes)
        if in_text:
            plan = replace(plan, explicit="where-possible")
        labelled = label_file(data, plan, declared_mime=said, progress=progress)
        if self._copies is not None:
            self._copies.keep_file(record_id, labelled.data, file_format, payload_in(labelled, plan))
        return labelled


class LabelMedia:
    """The duty on one answer: all media of a plain one, and of a stream what comes together.

    A wire may say the same file twice (an event, and the snapshot that ends the stream): it is labelled once. Bare
    samples of one choice are one sound, however many pieces they come in: the audible label stands before the first.
    """

    def __init__(
        self,
        exchange: Exchange,
        media: MediaLabels,
        meters: Meters,
        links: LinkedMedia | None = None,
        films: Films | None = None,
        manifests: SignTexts | None = None,
    ) -> None:
        """Without `links` no medium that is only an address leaves; without `films` a film is labelled each time;
        without `manifests` no text gets one."""
        self._exchange = exchange
        self._media = media
        self._meters = meters
        self._links = links
        self._films = films
        self._manifests = manifests
        self._scanners: dict[Lane, DataUrlScanner] = {}
        self._shown: set[Lane] = set()
        """Texts that held the payload of a data address."""
        self._decided: set[Decision] = set()
        self._made: dict[bytes, LabeledFile] = {}
        """Labelled files, by the digest of what came."""
        self._seen = 0
        """How many events of a batch `concerns` has looked at."""
        self._sounding: set[int] = set()
        """Choices whose samples have begun."""

    async def label(self, events: Sequence[Event]) -> Sequence[Event]:
        """`events` with labelled media in place of bare ones; what cannot be labelled stays bare."""
        if self._films is not None and self._exchange.wire == FILM_TASKS:
            await self._films.poll(self._exchange, events)
        bare = [event for event in events if isinstance(event, Media) and not event.is_labelled]
        if not bare:
            return events
        failures: tuple[BaseException, ...] = ()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {id(event): group.create_task(self._one(event)) for event in bare}
        except* UpstreamFailure as failed:
            failures = failed.exceptions
        if failures:
            raise failures[0]
        return [tasks[id(event)].result() if id(event) in tasks else event for event in events]

    async def _one(self, event: Media) -> Media:
        if not event.data:
            return await self._linked(event)
        samples = _SAMPLES.fullmatch(event.mime.replace(" ", "").lower())
        if samples is not None and int(samples[1]) in _RATES:
            return await self._samples(event, int(samples[1]))
        digest = hashlib.sha256(event.data).digest()
        known = self._made.get(digest)
        if known is not None:
            return replace(event, data=known.data, mime=known.mime, is_labelled=True)
        try:
            if self._films is not None and is_film(event.data):
                return await self._film(self._films, event)
            labelled = await self._media.label(event.data, event.mime, self._exchange.record_id)
        except MediumWithheld:
            return self._refused(event, WITHHELD)
        except (DamagedFile, RefusedFile, UnsupportedFormat) as error:
            reason = next(word for kind, word in _REASONS if isinstance(error, kind))
            # The library's messages hold nothing of the file; they tell the operator what to change.
            log.warning("medium_not_labelled", record=self._exchange.record_id, reason=reason, text=str(error))
            return self._refused(event, reason)
        self._made[digest] = labelled
        medium = labelled.mime.partition("/")[0]
        is_explicit = any(step.name == "explicit" and step.outcome == "done" for step in labelled.steps)
        self._meters.labels_applied.inc("implicit", medium)
        if is_explicit:
            self._decide(Decision(DUTY, Verdict.PASS, Action.LABEL, reason=medium))
        else:
            self._decide(Decision(DUTY, Verdict.PASS, Action.SKIP, reason="interface_label"))
        return replace(event, data=labelled.data, mime=labelled.mime, is_labelled=True)

    async def _film(self, films: Films, event: Media) -> Media:
        exchange = self._exchange
        made = await films.labelled(event.data, event.mime, exchange.path, exchange.record_id)
        self._meters.labels_applied.inc("implicit", "video")
        self._decide(Decision(DUTY, Verdict.PASS, Action.LABEL, reason="video"))
        return replace(event, data=made.data, mime=made.mime, is_labelled=True)

    # Links.

    async def _linked(self, event: Media) -> Media:
        """A medium that is an address: the file itself (`data:`), or something to fetch."""
        if is_data_url(event.link):
            try:
                mime, data = read_data_url(event.link)
            except LinkRefused as refused:
                return self._refused(event, refused.reason)
            made = await self._one(replace(event, data=data, mime=event.mime or mime, link=""))
            return replace(made, link=data_url(made.mime, made.data)) if made.is_labelled else event
        if not event.link or self._links is None:
            return self._refused(event, LINK)
        try:
            data = await self._links.fetch(event.link, self._exchange.headers)
        except LinkRefused as refused:
            log.warning("link_refused", record=self._exchange.record_id, reason=refused.reason)
            return self._refused(event, refused.reason)
        name = name_of(self._exchange.path, event.link, data)
        try:
            token = await self._links.kept(name)
        except MediumWithheld:
            return self._refused(event, WITHHELD)
        if token is None:
            made = await self._one(replace(event, data=data, link=""))
            if not made.is_labelled:
                return event
            token = await self._links.keep(made.data, made.mime, name, self._exchange.record_id)
        else:
            self._decide(Decision(DUTY, Verdict.PASS, Action.LABEL, reason="kept"))
        return replace(event, link=self._links.address(token, self._exchange.headers), is_labelled=True)

    # Data addresses inside texts.

    def concerns(self, events: Sequence[Event]) -> bool:
        """Whether a text of `events` holds, or goes on with, the payload of a data address, or is to be signed."""
        for position, event in enumerate(events):
            if isinstance(event, TextDelta):
                if not self._scanner(event.lane).is_plain(event.text):
                    self._seen = position
                    return True
            elif self._shown and isinstance(event, Finish | End | Attached):
                self._seen = position
                return True
        self._seen = len(events)
        return self._manifests is not None

    async def label_texts(self, events: Sequence[Event]) -> list[Event]:
        """`events` with the payloads labelled, each where it ends; those before the first one were looked at."""
        out: list[Event] = list(events[: self._seen])
        try:
            for event in events[self._seen :]:
                for piece, lane, carrier in self._pieces(event):
                    text = await self._labelled_text(piece) if isinstance(piece, Held) else piece
                    if text:
                        out.append(TextDelta(lane, text, carrier))
                if not isinstance(event, TextDelta) and not self._is_telling(event):
                    out.append(event)
        except TooLong:
            self._decide(Decision(DUTY, Verdict.BLOCK, Action.STOP, reason="too_large", role="answer"))
            raise BadAnswer(UNLABELLED) from None
        # Last, because a manifest binds every character before it.
        return out if self._manifests is None else await self._manifests.sign(out)

    def cut_texts(self, events: Sequence[Event]) -> list[Event]:
        """`events` without the payloads of data addresses."""
        if not self.concerns(events):
            return list(events)
        out: list[Event] = list(events[: self._seen])
        for event in events[self._seen :]:
            try:
                pieces = [(piece, lane, carrier) for piece, lane, carrier in self._pieces(event)]
            except TooLong:
                continue
            out += (TextDelta(lane, piece, carrier) for piece, lane, carrier in pieces if isinstance(piece, str))
            if not isinstance(event, TextDelta) and not self._is_telling(event):
                out.append(event)
        return out

    def _pieces(self, event: Event) -> Iterator[tuple[str | Held, Lane, object]]:
        """What leaves of `event`, and what leaves because of it."""
        if isinstance(event, TextDelta):
            scanner = self._scanner(event.lane)
            for piece in scanner.feed(event.text):
                if isinstance(piece, Held):
                    self._shown.add(event.lane)
                yield piece, event.lane, event.carrier
            if scanner.is_open:
                self._shown.add(event.lane)
        elif isinstance(event, Finish | End):
            for lane, scanner in self._scanners.items():
                if isinstance(event, End) or lane.choice == event.choice:
                    for piece in scanner.close():
                        yield piece, lane, None

    def _is_telling(self, event: Event) -> bool:
        """Whether `event` tells something of a text that held a payload: its tokens would spell the bare one."""
        return isinstance(event, Attached) and event.lane in self._shown

    def _scanner(self, lane: Lane) -> DataUrlScanner:
        scanner = self._scanners.get(lane)
        if scanner is None:
            scanner = self._scanners[lane] = DataUrlScanner(self._media.max_bytes // 3 * 4)
        return scanner

    async def _labelled_text(self, held: Held) -> str:
        """The payload with its labels; nothing where it cannot have them.

        A picture too small for legible words gets its hidden label: the words stand in the text around it. What is
        neither called a medium nor one by its bytes, such as a font or a text, is the text that it was.
        """
        is_called_medium = held.mime.partition("/")[0] in _MEDIA
        try:
            _, data = read_data_url(f"data:;base64,{held.payload.replace(chr(92), '').translate(_URL_SAFE)}")
        except LinkRefused:
            data = b""
        if not is_called_medium and not _is_medium(data):
            return held.payload
        mime = held.mime if is_called_medium else ""
        try:
            labelled = await self._media.label(data, mime, self._exchange.record_id, in_text=True)
        except (DamagedFile, RefusedFile, UnsupportedFormat):
            self._decide(Decision(DUTY, Verdict.BLOCK, Action.MODIFY, reason="data_url", role="answer"))
            return ""
        self._meters.labels_applied.inc("implicit", labelled.mime.partition("/")[0])
        self._decide(Decision(DUTY, Verdict.PASS, Action.LABEL, reason="data_url"))
        return base64.b64encode(labelled.data).decode("ascii")

    async def _samples(self, event: Media, rate_hz: int) -> Media:
        if event.choice in self._sounding:
            return replace(event, is_labelled=True)
        self._sounding.add(event.choice)
        before = await self._media.before_samples(rate_hz)
        self._meters.labels_applied.inc("implicit", "audio")
        self._decide(
            Decision(DUTY, Verdict.PASS, Action.LABEL, reason="audio")
            if before
            else Decision(DUTY, Verdict.PASS, Action.SKIP, reason="interface_label")
        )
        return replace(event, data=before + event.data, is_labelled=True)

    def _refused(self, event: Media, reason: str) -> Media:
        self._decide(Decision(DUTY, Verdict.BLOCK, Action.STOP, reason=reason, role="answer"))
        return event

    def _decide(self, decision: Decision) -> None:
        """Each once: ten pictures of one answer are one fact."""
        if decision not in self._decided:
            self._decided.add(decision)
            self._exchange.decide(decision)
