# SPDX-License-Identifier: Apache-2.0
"""Checks that need context, on prompts and answers (Interim Measures articles 4 and 14).

The exact guard works character by character. A classifier or a guard model reads sentences, so an answer is judged in
windows (`content_filter.windows`) while it streams. Three ways to release, by setting:

- `strict`: a window leaves after its verdict;
- `hold`: text leaves with its verdict; what waits longer than so many characters or so much time is looked at as far as
  it goes, by the checks that need no waiting, and leaves;
- `concurrent`: text leaves at once; a verdict that comes later stops the answer.

In every way a choice ends only after its last verdict, so no answer is complete unjudged. What had left when the answer
was stopped is named in the last event's `duty.retract`, for apps that can take text back. A plain answer is judged
whole before it leaves. A check that breaks breaks its stage: the answer stops.

Verdicts that need no waiting are given on the spot; those of long texts in a bounded number of threads, so that the
event loop goes on. Texts of prompts are remembered by keyed hash, because a conversation repeats its earlier turns.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from content_filter import FilterError, Role
from content_filter import Outcome as Finding
from content_filter import Verdict as Judgement
from content_filter.cached import VerdictMemory
from content_filter.cascade import UNAVAILABLE, Look
from content_filter.windows import CONTEXT_CHARS, MOST_CHARS, SentenceWindows, Window
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.events import Attached, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Outcome, PromptText
from gateway.filtering import CONTENT_FILTER, MOST_DECISIONS
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES

DUTY = "context_check"

_ASSISTANT = frozenset({"assistant", "model"})
"""Roles whose texts in a prompt are earlier answers, and are judged as such."""
_SHORT_CHARS = 100
"""Neighbouring texts of what is no message, no longer than this, are judged together: the tools of a request are
hundreds of them, and each by itself says little."""
_JOINED_CHARS = 800
_TURN_CHARS = 2_000
"""Characters that are looked at before other exchanges get their turn; some 10 ms."""
_NO_MESSAGE = "system"
"""The role of what frames a conversation: instructions, tools, formats."""
_MOST_WAITING = 64
"""Long texts that may wait for a thread; each is a few hundred milliseconds of work."""


class Check(Protocol):
    """What `content_filter.cascade.Cascade` is to those who ask it."""

    name: str

    def look(self, text: str, role: Role) -> Look:
        """What needs no waiting. Safe between threads."""
        ...

    async def finish(self, found: Look, text: str, role: Role) -> Judgement:
        """The verdict on a text that was looked at."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class Release(StrEnum):
    """When text leaves."""

    STRICT = "strict"
    HOLD = "hold"
    CONCURRENT = "concurrent"


class TooLong(FilterError):
    """A prompt has more text than is judged."""


class Aside:
    """Threads for texts that take long. One object a process, made after any fork."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "judging")
        self._limit = threads + _MOST_WAITING
        self._pending = 0
        self._counting = threading.Lock()

    async def look(self, check: Check, text: str, role: Role) -> Look:
        """`check.look` off the event loop. Raises `FilterError` where too many texts wait already."""
        with self._counting:
            if self._pending >= self._limit:
                raise FilterError("too many long texts wait to be judged; raise content_filter.classifier.threads")
            self._pending += 1
        work = self._pool.submit(check.look, text, role)
        work.add_done_callback(self._done)  # also where whoever waited has gone: the thread goes on to its end
        return await asyncio.wrap_future(work)

    async def close(self) -> None:
        """Finish what was begun, drop what waits."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _done(self, _: Future[Look]) -> None:
        with self._counting:
            self._pending -= 1


@dataclass(frozen=True, slots=True)
class Judging:
    """What judges, and how. `hold_chars` and `hold_s` bound how far a `hold` may fall behind."""

    check: Check
    release: Release = Release.STRICT
    hold_chars: int = 200
    hold_s: float = 1.0
    memory: VerdictMemory | None = None
    """What was said of texts of prompts before."""
    aside: Aside | None = None
    """Where texts of more than `long_chars` characters are looked at; None: where they stand."""
    long_chars: int = 1_000
    most_chars: int = 1_000_000
    """Longest prompt that is judged, in characters of texts that are not remembered."""
    trusted_roles: frozenset[str] = frozenset()
    """Roles of messages that only the provider writes: they are not judged."""

    async def look(self, text: str, role: Role) -> Look:
        """What needs no waiting, from a thread where the text is long."""
        if self.aside is None or len(text) <= self.long_chars:
            return self.check.look(text, role)
        return await self.aside.look(self.check, text, role)


class PromptJudge:
    """Judges what people and tools say to the model, each text whole, before the model is called."""

    def __init__(self, current: Callable[[], Judging | None]) -> None:
        """`current` gives what judges now; it is pinned for the whole exchange."""
        self._current = current

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` on a hit, and what the check raises where it breaks."""
        exchange.judging = judging = self._current()
        if judging is None or exchange.prompt is None:
            return
        asked: list[tuple[_Passage, Look]] = []
        chars, since_turn = 0, 0
        for passage in _passages(exchange.prompt.texts, judging.trusted_roles):
            text, role = passage.text, passage.judged_as
            if judging.memory is not None and (known := judging.memory.get(text, role)) is not None:
                self._take(exchange, passage, judging, known)
                continue
            chars += len(text)
            if chars > judging.most_chars:
                raise _too_long(exchange)
            since_turn += len(text)
            if since_turn > _TURN_CHARS:
                await asyncio.sleep(0)
                since_turn = 0
            look = await judging.look(text, role)
            if look.asks:
                asked.append((passage, look))
            else:
                self._said(exchange, passage, judging, look.said)
        if asked:
            check = judging.check
            found = await asyncio.gather(*(check.finish(look, item.text, item.judged_as) for item, look in asked))
            for (passage, _), judgement in zip(asked, found, strict=True):
                self._said(exchange, passage, judging, judgement)

    def _said(self, exchange: Exchange, passage: _Passage, judging: Judging, judgement: Judgement) -> None:
        if judging.memory is not None and not judgement.rule.startswith(UNAVAILABLE):
            judging.memory.put(passage.text, passage.judged_as, judgement)
        self._take(exchange, passage, judging, judgement)

    def _take(self, exchange: Exchange, passage: _Passage, judging: Judging, judgement: Judgement) -> None:
        """Keep what was found for the record. Raises `Refusal` where it blocks."""
        if judgement.verdict is Finding.PASS:
            return
        is_block = judgement.verdict is Finding.BLOCK
        if not is_block and len(exchange.decisions) >= MOST_DECISIONS:
            return  # the record has a size
        where, start, end = passage.place(judgement.start, judgement.end)
        decision = Decision(
            DUTY,
            Verdict(judgement.verdict.value),
            Action.REFUSE if is_block else Action.ALLOW,
            reason=judging.check.name,
            class_=judgement.class_code,
            rule=judgement.rule,
            score_bp=judgement.score_bp,
            role="prompt",
            channel=where,
            start=start,
            end=end,
        )
        if is_block:
            message = MESSAGES["prompt_refused"][language_of_prompt(exchange)]
            raise Refusal(decision, status=400, code="content_filter", message=message, in_band=True)
        exchange.decide(decision)


@dataclass(slots=True)
class _Passage:
    """What is judged together: one text of a prompt, or short neighbours, each on a line of its own."""

    texts: list[PromptText]
    text: str

    @property
    def judged_as(self) -> Role:
        return Role.ANSWER if self.texts[0].role in _ASSISTANT else Role.PROMPT

    def place(self, start: int, end: int) -> tuple[str, int, int]:
        """Which text a place of the passage lies in, and where in it."""
        for item in self.texts:
            size = len(item.text)
            if start < size or item is self.texts[-1]:
                return item.where, min(start, size), min(end, size)
            start, end = start - size - 1, end - size - 1
        raise AssertionError("a passage has a text")


def _passages(texts: Sequence[PromptText], trusted: frozenset[str]) -> Iterator[_Passage]:
    """The texts of a prompt as they are judged, in order."""
    joined: _Passage | None = None
    for item in texts:
        size = len(item.text)
        if item.role in trusted or not item.text.strip():
            continue
        if size > _SHORT_CHARS or item.role != _NO_MESSAGE:
            if joined is not None:
                yield joined
                joined = None
            yield _Passage([item], item.text)
        elif joined is not None and len(joined.text) + size < _JOINED_CHARS:
            joined.texts.append(item)
            joined.text += "\n" + item.text
        else:
            if joined is not None:
                yield joined
            joined = _Passage([item], item.text)
    if joined is not None:
        yield joined


def _too_long(exchange: Exchange) -> Refusal:
    decision = Decision(DUTY, Verdict.ERROR, Action.REFUSE, reason="too_long", role="prompt")
    message = MESSAGES["prompt_too_long"][language_of_prompt(exchange)]
    return Refusal(decision, status=413, code="prompt_too_long", message=message)


class _WholeText:
    """The one window of a text that is judged whole."""

    __slots__ = ("_parts", "_start")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._start = 0

    @property
    def pending(self) -> int:
        """Characters that are in no window yet."""
        return sum(map(len, self._parts))

    def feed(self, text: str) -> list[Window]:
        """Nothing: the text may go on."""
        self._parts.append(text)
        return []

    def close(self) -> list[Window]:
        """All that came since the last close."""
        text = "".join(self._parts)
        self._parts.clear()
        start, self._start = self._start, self._start + len(text)
        return [Window(start, self._start, text)] if text else []


class _JudgedLane:
    """One lane: what waits to leave, and up to where it was judged."""

    __slots__ = ("cleared", "glanced", "judged", "lane", "released", "tail", "total", "verdicts", "waiting", "windows")

    def __init__(self, lane: Lane, windows: SentenceWindows | _WholeText) -> None:
        self.lane = lane
        self.windows = windows
        self.verdicts: dict[int, int] = {}
        """Ends of windows that passed out of turn, by their start."""
        self.waiting: deque[tuple[TextDelta | Attached, int, float]] = deque()
        """Events with the offset at which each begins and the time at which it came."""
        self.total = 0
        self.released = 0
        self.judged = 0
        self.glanced = 0
        """Up to where the text was looked at before its window was complete."""
        self.cleared = 0
        """Up to where such a look found nothing to ask about."""
        self.tail = ""
        """The last characters: a window that is not complete, and some context before it."""

    @property
    def is_settled(self) -> bool:
        return self.judged == self.total and not self.waiting

    def settle(self, window: Window) -> None:
        """The window may leave; what passed out of turn before may follow it."""
        self.verdicts[window.start] = window.end
        while (end := self.verdicts.pop(self.judged, None)) is not None:
            self.judged = end


_TAIL_CHARS = MOST_CHARS + CONTEXT_CHARS


class AnswerJudge:
    """Judges one answer. `feed` gives what may leave now; what verdicts release later goes through `emit`."""

    def __init__(self, exchange: Exchange, judging: Judging, clock: Callable[[], float]) -> None:
        self._exchange = exchange
        self._judging = judging
        self._clock = clock
        self._is_stream = exchange.prompt is not None and exchange.prompt.stream
        self._lanes: dict[Lane, _JudgedLane] = {}
        self._behind: deque[Event] = deque()
        """What must not overtake the texts that are being judged."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: dict[int, None] = {}
        self._sent_ends: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._broken: Exception | None = None
        self._has_stopped = False
        self.emit: Callable[[list[Event]], Awaitable[None]] | None = None
        """Called with what a verdict releases; set by whoever drives a stream."""

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """What of `events`, and of what waits, may leave now. Raises what a check raised."""
        self._raise_broken()
        if self._exchange.outcome is Outcome.STOPPED and not any(isinstance(event, End) for event in events):
            return []
        if self._exchange.outcome is Outcome.STOPPED:
            return [] if self._has_stopped else self._before_stop(events)
        for event in events:
            if isinstance(event, TextDelta):
                self._take(event)
            elif isinstance(event, Attached):
                lane = self._lane(event.lane)
                lane.waiting.append((event, lane.total, self._clock()))
            else:
                if isinstance(event, Finish):
                    self._close_lanes(event.choice)
                elif isinstance(event, End):
                    self._close_lanes(None)
                self._behind.append(event)
        return self._released()

    def flush(self) -> list[Event]:
        """What was judged, where the upstream broke off; what was not stays here."""
        self._stop_waiting()
        out: list[Event] = []
        if self._exchange.outcome is not Outcome.STOPPED:
            for lane in self._lanes.values():
                self._let_out(lane, lane.judged, out)
        return out

    def decision(self) -> Decision | None:
        """Said once for the whole answer, unless it was stopped."""
        if self._exchange.outcome is Outcome.STOPPED:
            return None
        return Decision(DUTY, Verdict.PASS, Action.ALLOW, reason=self._judging.release.value)

    async def settled(self) -> None:
        """Wait for every verdict. Raises what a check raised."""
        while self._tasks and self._exchange.outcome is not Outcome.STOPPED:
            await asyncio.wait(set(self._tasks), return_when=asyncio.FIRST_COMPLETED)
            self._raise_broken()
        self._raise_broken()

    def cancel(self) -> None:
        """Judge no more."""
        self._stop_waiting()
        for task in self._tasks:
            task.cancel()

    def _take(self, event: TextDelta) -> None:
        lane = self._lane(event.lane)
        self._open.setdefault(event.lane.choice)
        lane.waiting.append((event, lane.total, self._clock()))
        lane.total += len(event.text)
        if self._is_stream:
            lane.tail = (lane.tail + event.text)[-_TAIL_CHARS:]
        for window in lane.windows.feed(event.text):
            self._ask(lane, window)

    def _lane(self, key: Lane) -> _JudgedLane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _JudgedLane(key, SentenceWindows() if self._is_stream else _WholeText())
        return lane

    def _close_lanes(self, choice: int | None) -> None:
        for lane in self._lanes.values():
            if choice is None or lane.lane.choice == choice:
                for window in lane.windows.close():
                    self._ask(lane, window)

    def _ask(self, lane: _JudgedLane, window: Window) -> None:
        """Judge a window: on the spot where that needs no waiting, else beside the stream."""
        if self._exchange.outcome is Outcome.STOPPED:
            return
        judging = self._judging
        look: Look | None = None
        if not window.text.strip():
            lane.settle(window)
            return
        if judging.aside is None or len(window.text) <= judging.long_chars:
            look = judging.check.look(window.text, Role.ANSWER)
            if not look.asks:
                self._found(lane, window, look.said)
                lane.settle(window)
                return
        task = asyncio.create_task(self._judge(lane, window, look))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _judge(self, lane: _JudgedLane, window: Window, look: Look | None) -> None:
        judging = self._judging
        try:
            look = look or await judging.look(window.text, Role.ANSWER)
            self._found(lane, window, await judging.check.finish(look, window.text, Role.ANSWER))
        except Exception as error:  # kept for whoever drives the answer: the rule of the pipeline decides
            self._broken = self._broken or error
        else:
            lane.settle(window)
        if self.emit is not None:
            await self.emit(self._released() if self._broken is None else [])

    def _found(self, lane: _JudgedLane, window: Window, judgement: Judgement) -> None:
        """Keep what was found for the record, and stop the answer where it blocks."""
        exchange = self._exchange
        if judgement.verdict is Finding.PASS or exchange.outcome is Outcome.STOPPED:
            return
        is_block = judgement.verdict is Finding.BLOCK
        if not is_block and len(exchange.decisions) >= MOST_DECISIONS:
            return  # the record has a size; the strongest decision of an answer is its last
        first = window.end - len(window.text)  # a window's text begins with what stood before it
        start, end = max(window.start, first + judgement.start), min(window.end, first + judgement.end)
        if start >= end:
            start, end = window.start, window.end
        exchange.decide(
            Decision(
                DUTY,
                Verdict(judgement.verdict.value),
                Action.STOP if is_block else Action.ALLOW,
                reason=self._judging.check.name,
                class_=judgement.class_code,
                rule=judgement.rule,
                score_bp=judgement.score_bp,
                role="answer",
                choice=max(lane.lane.choice, 0),
                channel=lane.lane.channel.value,
                start=start,
                end=end,
            )
        )
        if is_block:
            exchange.outcome = Outcome.STOPPED
            self._has_stopped = True

    def _glance(self, lane: _JudgedLane) -> bool:
        """Look at a window that is not complete, because its text is due; whether all of it may leave.

        Only a block counts: the rest is said when the sentence ends. A text that has to be asked about waits on.
        """
        pending = lane.windows.pending
        lane.glanced = lane.total
        text = lane.tail[-(pending + CONTEXT_CHARS) :]
        if not pending or not text.strip():
            return True
        look = self._judging.check.look(text, Role.ANSWER)
        if look.said.verdict is Finding.BLOCK:
            self._found(lane, Window(lane.total - pending, lane.total, text), look.said)
        return not look.asks and look.said.verdict is not Finding.BLOCK

    def _before_stop(self, events: Sequence[Event]) -> list[Event]:
        """The end of an answer that a guard before this duty has stopped. What stood before the match leaves where a
        look at it finds nothing; what would have to be asked about stays here."""
        self._stop_waiting()
        for event in events:
            if isinstance(event, TextDelta | Attached):
                lane = self._lane(event.lane)
                lane.waiting.append((event, lane.total, 0.0))
                lane.total += len(event.text) if isinstance(event, TextDelta) else 0
        out: list[Event] = []
        for lane in self._lanes.values():
            waiting = "".join(
                event.text[max(0, lane.released - begin) :]
                for event, begin, _ in lane.waiting if isinstance(event, TextDelta)
            )  # fmt: skip
            look = self._judging.check.look(waiting, Role.ANSWER) if waiting.strip() else None
            is_fine = look is None or (not look.asks and look.said.verdict is not Finding.BLOCK)
            self._let_out(lane, lane.total if is_fine else lane.judged, out)
        return [*out, *(event for event in events if isinstance(event, Finish | End))]

    def _released(self) -> list[Event]:
        """What may leave now, texts first in each lane's order, then what stood behind them."""
        out: list[Event] = []
        if self._exchange.outcome is Outcome.STOPPED:
            self._stop_waiting()
            choices = [choice for choice in self._open if choice >= 0 and choice not in self._sent_ends] or [0]
            out += (Finish(choice, CONTENT_FILTER) for choice in choices)
            out.append(End())
            return out
        if not self._is_stream and any(lane.judged < lane.total for lane in self._lanes.values()):
            return []  # of a plain answer nothing was shown yet, so nothing is shown of one that may still be stopped
        now = self._clock()
        limits = [self._limit(lane, now) for lane in self._lanes.values()]
        if self._was_stopped():  # by a look at what was due
            return self._released()
        for lane, limit in zip(self._lanes.values(), limits, strict=True):
            self._let_out(lane, limit, out)
        while self._behind and self._may_pass(self._behind[0]):
            event = self._behind.popleft()
            if isinstance(event, Finish):
                self._sent_ends.add(event.choice)
            out.append(event)
        self._watch(now)
        return out

    def _was_stopped(self) -> bool:
        return self._exchange.outcome is Outcome.STOPPED

    def _limit(self, lane: _JudgedLane, now: float) -> int:
        """Up to which character a lane may leave now."""
        release = self._judging.release
        if release is Release.STRICT:
            return lane.judged
        if release is Release.CONCURRENT:
            return lane.total
        known = max(lane.judged, lane.cleared)
        limit = max(known, lane.total - self._judging.hold_chars)
        for event, begin, came_at in lane.waiting:
            if now - came_at < self._judging.hold_s:
                break
            limit = max(limit, begin + (len(event.text) if isinstance(event, TextDelta) else 0))
        complete = lane.total - lane.windows.pending
        # The first words leave at once, later ones when they are due; both are looked at as far as they go.
        is_due = lane.waiting and self._is_stream and (limit > max(complete, lane.glanced) or not lane.glanced)
        if is_due and self._glance(lane) and lane.judged == complete:
            lane.cleared = limit = lane.total
        return limit

    def _let_out(self, lane: _JudgedLane, limit: int, out: list[Event]) -> None:
        while lane.waiting:
            event, begin, came_at = lane.waiting[0]
            if isinstance(event, Attached):
                if begin > limit:
                    return
            else:
                end = begin + len(event.text)
                if end > limit:
                    if limit > lane.released:
                        head, rest = event.text[: limit - begin], event.text[limit - begin :]
                        out.append(TextDelta(event.lane, head, event.carrier))
                        lane.waiting[0] = (TextDelta(event.lane, rest, event.carrier), limit, came_at)
                        lane.released = limit
                    return
                lane.released = end
            out.append(event)
            lane.waiting.popleft()

    def _may_pass(self, event: Event) -> bool:
        """Whether what stood behind texts may follow them: an ending waits for the last verdict of what it ends."""
        if isinstance(event, Finish):
            return all(lane.is_settled for lane in self._lanes.values() if lane.lane.choice == event.choice)
        if isinstance(event, End):
            return all(lane.is_settled for lane in self._lanes.values())
        return True

    def _watch(self, now: float) -> None:
        """In `hold`, wake when the oldest waiting text has waited long enough."""
        if self._judging.release is not Release.HOLD or self._timer is not None or self.emit is None:
            return
        oldest = min((lane.waiting[0][2] for lane in self._lanes.values() if lane.waiting), default=None)
        if oldest is not None:
            delay = max(0.0, oldest + self._judging.hold_s - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self.emit is not None:
            task = asyncio.ensure_future(self._emit_due())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _emit_due(self) -> None:
        if self.emit is None or self._exchange.outcome is Outcome.STOPPED:
            return
        events: list[Event] = []
        try:
            events = self._released()
        except Exception as error:  # kept for whoever drives the answer: the rule of the pipeline decides
            self._broken = self._broken or error
        await self.emit(events)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken
