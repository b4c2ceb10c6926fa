# SPDX-License-Identifier: Apache-2.0
"""Checks that need context, on prompts and answers (Interim Measures articles 4 and 14).

The exact guard works character by character. A classifier or a guard model reads sentences, so an answer is judged in
windows (`content_filter.windows`) while it streams. Three ways to release, by setting:

- `strict`: a window leaves after its verdict;
- `hold`: text leaves with its verdict; what waits longer than so many characters or so much time is looked at as far as
  it goes, by the checks that need no waiting, and leaves;
- `concurrent`: text leaves at once; a verdict that comes later stops the answer.

In every way a choice ends only after its last verdict, so no answer is complete unjudged. Texts of one choice keep the
order of their blocks: what comes behind an ending leaves behind it, what comes whole (`gateway.wires.whole`) leaves
with its ending and behind the texts before it, a tool's name before its arguments. What had left when the answer was
stopped is named in the last event's `duty.retract`, for apps that can take text back. A plain answer is judged whole
before it leaves. A check that breaks breaks its stage: the answer stops.

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
from operator import itemgetter
from typing import NamedTuple, Protocol

from content_filter import FilterError, Role
from content_filter import Outcome as Finding
from content_filter import Verdict as Judgement
from content_filter.cached import VerdictMemory
from content_filter.cascade import UNAVAILABLE, Look
from content_filter.windows import CONTEXT_CHARS, MOST_CHARS, SentenceWindows, Window
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.events import Attached, Channel, End, Event, Finish, Lane, TextDelta
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
        is_block = _blocks(exchange, judgement)
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


def _blocks(exchange: Exchange, judgement: Judgement) -> bool:
    """Whether a judgement refuses or stops: of a minor's exchange also what would only be noted of some classes."""
    return judgement.verdict is Finding.BLOCK or (
        judgement.verdict is not Finding.PASS and judgement.class_code in exchange.strict_classes
    )


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


class _Waiting(NamedTuple):
    """An event of a lane that has not left."""

    event: TextDelta | Attached
    begin: int
    """The offset in its lane at which it begins."""
    came_at: float
    place: int
    """Its place among all events of the answer."""


class _Behind(NamedTuple):
    """What must not overtake the texts before it: an ending, what is no text, or a structure with its ending."""

    events: tuple[Event, ...]
    place: int
    ended: int | None
    """The choice that ends; None for what ends none."""
    marks: tuple[tuple[_JudgedLane, int], ...]
    """Up to where each of the lanes that end has to be judged before."""

    @property
    def is_whole(self) -> bool:
        """Whether it leaves whole or not at all."""
        return self.ended is not None and self.ended < _WHOLE_BELOW

    def stops(self, lane: Lane, place: int) -> bool:
        """Whether what came at `place` in `lane` has to leave behind it."""
        if self.place > place:
            return False
        return self.ended is None or self.ended == lane.choice or (self.is_whole and lane.choice >= 0)


class _JudgedLane:
    """One lane: what waits to leave, and up to where it was judged."""

    __slots__ = ("cleared", "glanced", "is_hurried", "judged", "lane", "name", "released", "tail", "total", "verdicts",
                 "waiting", "windows")  # fmt: skip

    def __init__(self, lane: Lane, windows: SentenceWindows | _WholeText, name: _JudgedLane | None = None) -> None:
        self.lane = lane
        self.windows = windows
        self.name = name
        """Of a tool's arguments, the lane of its name."""
        self.verdicts: dict[int, int] = {}
        """Ends of windows that passed out of turn, by their start."""
        self.waiting: deque[_Waiting] = deque()
        self.total = 0
        self.released = 0
        self.judged = 0
        self.glanced = 0
        """Up to where the text was looked at before its window was complete."""
        self.cleared = 0
        """Up to where such a look found nothing to ask about."""
        self.is_hurried = False
        """Whether another lane of its choice goes on, so that what waits is due."""
        self.tail = ""
        """The last characters: a window that is not complete, and some context before it."""

    def settle(self, window: Window) -> None:
        """The window may leave; what passed out of turn before may follow it."""
        self.verdicts[window.start] = window.end
        while (end := self.verdicts.pop(self.judged, None)) is not None:
            self.judged = end

    def waits_before(self, place: int) -> bool:
        """Whether anything that came before `place` has not left."""
        return bool(self.waiting) and self.waiting[0].place < place

    def may_begin(self, place: int, head: _Behind | None) -> bool:
        """Whether what came at `place` stands behind nothing that has to leave before it."""
        if head is not None and head.stops(self.lane, place):
            return False
        return self.name is None or not self.name.waits_before(place)


_TAIL_CHARS = MOST_CHARS + CONTEXT_CHARS
_PLACE = itemgetter(0)
_WHOLE_BELOW = -1
"""Choices below it are structures, which leave whole."""


class AnswerJudge:
    """Judges one answer. `feed` gives what may leave now; what verdicts release later goes through `emit`."""

    def __init__(self, exchange: Exchange, judging: Judging, clock: Callable[[], float]) -> None:
        self._exchange = exchange
        self._judging = judging
        self._clock = clock
        self._is_stream = exchange.prompt is not None and exchange.prompt.stream
        self._lanes: dict[Lane, _JudgedLane] = {}
        self._behind: deque[_Behind] = deque()
        self._structures: dict[int, list[Event]] = {}
        """The texts of structures that have not ended, by choice."""
        self._place = 0
        self._speaking: dict[int, _JudgedLane] = {}
        """The lane of each choice in which the last text came."""
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
        self._sort(events)
        return self._released()

    def flush(self) -> list[Event]:
        """What was judged, where the upstream broke off; what was not stays here."""
        self._stop_waiting()
        out: list[Event] = []
        if self._exchange.outcome is not Outcome.STOPPED:
            head = self._behind[0] if self._behind else None
            self._let_out([(lane, lane.judged) for lane in self._lanes.values()], head, out)
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

    def _sort(self, events: Sequence[Event]) -> None:
        """Put each event where it waits, and ask about the texts."""
        for event in events:
            self._place += 1
            if isinstance(event, TextDelta):
                self._take(event)
            elif isinstance(event, Attached):
                lane = self._lane(event.lane)
                lane.waiting.append(_Waiting(event, lane.total, self._clock(), self._place))
            else:
                self._queue(event)

    def _take(self, event: TextDelta) -> None:
        lane, choice = self._lane(event.lane), event.lane.choice
        self._open.setdefault(choice)
        if choice < _WHOLE_BELOW:
            self._structures.setdefault(choice, []).append(event)
        else:
            lane.waiting.append(_Waiting(event, lane.total, self._clock(), self._place))
            lane.is_hurried = False
            before = self._speaking.get(choice)
            if before is not lane:
                self._speaking[choice] = lane
                if before is not None:
                    before.is_hurried = True
            if lane.name is not None and self._is_stream:
                self._close(lane.name)  # it is complete, and leaves before them
        lane.total += len(event.text)
        if self._is_stream:
            lane.tail = (lane.tail + event.text)[-_TAIL_CHARS:]
        for window in lane.windows.feed(event.text):
            self._ask(lane, window)

    def _lane(self, key: Lane) -> _JudgedLane:
        lane = self._lanes.get(key)
        if lane is None:
            name = None
            if key.channel is Channel.TOOL_ARGUMENTS:
                name = self._lanes.get(Lane(key.choice, Channel.TOOL_NAME, key.item))
            windows = SentenceWindows() if self._is_stream else _WholeText()
            lane = self._lanes[key] = _JudgedLane(key, windows, name)
        return lane

    def _queue(self, event: Event) -> None:
        """Put an event behind the texts before it."""
        if isinstance(event, Finish):
            ending = [lane for lane in self._lanes.values() if lane.lane.choice == event.choice]
            if event.choice < _WHOLE_BELOW and self._is_stream:  # what stands before it leaves first
                ending += [lane for lane in self._lanes.values() if lane.lane.choice >= 0]
        elif isinstance(event, End):
            ending = list(self._lanes.values())
        else:
            self._behind.append(_Behind((event,), self._place, None, ()))
            return
        for lane in ending:
            self._close(lane)
        choice = event.choice if isinstance(event, Finish) else None
        texts = self._structures.pop(choice, ()) if choice is not None else ()
        marks = tuple((lane, lane.total) for lane in ending if choice is None or lane.lane.choice == choice)
        self._behind.append(_Behind((*texts, event), self._place, choice, marks))

    def _close(self, lane: _JudgedLane) -> None:
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
        is_block = _blocks(exchange, judgement)
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
        is_block = _blocks(self._exchange, look.said)
        if is_block:
            self._found(lane, Window(lane.total - pending, lane.total, text), look.said)
        return not look.asks and not is_block

    def _before_stop(self, events: Sequence[Event]) -> list[Event]:
        """The end of an answer that a guard before this duty has stopped. What stood before the match leaves where a
        look at it finds nothing; what would have to be asked about stays here."""
        self._stop_waiting()
        self._sort(events)
        unsafe: set[_JudgedLane] = set()
        for lane in self._lanes.values():
            waiting = "".join(
                item.event.text[max(0, lane.released - item.begin) :]
                for item in lane.waiting if isinstance(item.event, TextDelta)
            )  # fmt: skip
            if not self._is_fine(waiting):
                unsafe.add(lane)
        found: list[tuple[int, Event]] = []
        for lane in self._lanes.values():
            self._let_lane(lane, lane.judged if lane in unsafe else lane.total, None, found)
        for item in self._behind:
            if item.is_whole:
                texts = [event.text for event in item.events if isinstance(event, TextDelta)]
                is_left = all(lane.judged >= mark for lane, mark in item.marks) or self._is_fine("\n".join(texts))
                found += ((item.place, event) for event in item.events if is_left)
            elif isinstance(end := item.events[-1], Finish) and any(lane in unsafe for lane, _ in item.marks):
                if end.reason and end.choice >= 0:
                    found.append((item.place, Finish(end.choice, CONTENT_FILTER)))
            else:
                found += ((item.place, event) for event in item.events)
        self._behind.clear()
        found.sort(key=_PLACE)
        return [event for _, event in found]

    def _is_fine(self, text: str) -> bool:
        """Whether a look at a text finds nothing that it would have to wait for."""
        if not text.strip():
            return True
        look = self._judging.check.look(text, Role.ANSWER)
        return not look.asks and not _blocks(self._exchange, look.said)

    def _released(self) -> list[Event]:
        """What may leave now, in the order in which it came where it leaves together."""
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
        limits = [(lane, self._limit(lane, now)) for lane in self._lanes.values() if lane.waiting]
        if self._was_stopped():  # by a look at what was due
            return self._released()
        while True:
            head = self._behind[0] if self._behind else None
            if limits:
                self._let_out(limits, head, out)
            if head is None or not self._may_pass(head):
                break
            self._behind.popleft()
            if isinstance(ending := head.events[-1], Finish) and ending.reason:
                self._sent_ends.add(ending.choice)
            out += head.events
        self._watch(now, head)
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
        for event, begin, came_at, _ in lane.waiting:
            if now - came_at < self._judging.hold_s:
                break
            limit = max(limit, begin + (len(event.text) if isinstance(event, TextDelta) else 0))
        complete = lane.total - lane.windows.pending
        # The first words leave at once, later ones when they are due; both are looked at as far as they go.
        is_new = not lane.glanced or (lane.is_hurried and lane.glanced < lane.total)
        is_due = self._is_stream and (is_new or limit > max(complete, lane.glanced))
        if is_due and self._glance(lane) and lane.judged == complete:
            lane.cleared = limit = lane.total
        return limit

    def _let_out(self, limits: Sequence[tuple[_JudgedLane, int]], head: _Behind | None, out: list[Event]) -> None:
        """Let each lane out up to its limit, as far as nothing stands before it, in the order in which it came."""
        found: list[tuple[int, Event]] = []
        for lane, limit in limits:
            self._let_lane(lane, limit, head, found)
        if len(limits) > 1:
            found.sort(key=_PLACE)
        out += (event for _, event in found)

    @staticmethod
    def _let_lane(lane: _JudgedLane, limit: int, head: _Behind | None, found: list[tuple[int, Event]]) -> None:
        while lane.waiting:
            event, begin, came_at, place = lane.waiting[0]
            if not lane.may_begin(place, head):
                return
            if isinstance(event, Attached):
                if begin > limit:
                    return
            else:
                end = begin + len(event.text)
                if end > limit:
                    if limit > lane.released:
                        cut = limit - begin
                        found.append((place, TextDelta(event.lane, event.text[:cut], event.carrier)))
                        rest = TextDelta(event.lane, event.text[cut:], event.carrier)
                        lane.waiting[0] = _Waiting(rest, limit, came_at, place)
                        lane.released = limit
                    return
                lane.released = end
            found.append((place, event))
            lane.waiting.popleft()

    def _may_pass(self, head: _Behind) -> bool:
        """Whether what stood behind texts may follow them: an ending waits for the last verdict of what it ends, and
        for all that has to leave before it."""
        if any(lane.judged < mark or lane.waits_before(head.place) for lane, mark in head.marks):
            return False
        if not head.is_whole:
            return True
        return not any(lane.lane.choice >= 0 and lane.waits_before(head.place) for lane in self._lanes.values())

    def _watch(self, now: float, head: _Behind | None) -> None:
        """In `hold`, wake when the oldest text that waits for nothing else has waited long enough."""
        if self._judging.release is not Release.HOLD or self._timer is not None or self.emit is None:
            return
        free = (lane.waiting[0] for lane in self._lanes.values() if lane.waiting)
        times = (item.came_at for item in free if self._lanes[item.event.lane].may_begin(item.place, head))
        oldest = min(times, default=None)
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
