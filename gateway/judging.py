# SPDX-License-Identifier: Apache-2.0
"""Checks that need context, on answers and prompts (Interim Measures articles 4 and 14).

The exact guard works character by character. A classifier or a guard model reads sentences, so an answer is judged in
windows (`content_filter.windows`) while it streams. Three ways to release, by setting:

- `strict`: a window leaves after its verdict;
- `hold`: text leaves with its verdict, or unjudged once it is more than so many characters or so much time behind;
- `concurrent`: text leaves at once; a verdict that comes later stops the answer.

In every way a choice ends only after its last verdict, so no answer is complete unjudged. What had left when the answer
was stopped is named in the last event's `duty.retract`, for apps that can take text back. A plain answer is judged
whole before it leaves. A check that breaks breaks its stage: the answer stops.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from content_filter import Outcome as Finding
from content_filter import Role
from content_filter import Verdict as Judgement
from content_filter.context import ContextCheck
from content_filter.windows import SentenceWindows, Window
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.events import Attached, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.filtering import CONTENT_FILTER
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES

DUTY = "context_check"


class Release(StrEnum):
    """When text leaves."""

    STRICT = "strict"
    HOLD = "hold"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, slots=True)
class Judging:
    """How answers are judged. `hold_chars` and `hold_s` bound how far a `hold` may fall behind."""

    check: ContextCheck
    release: Release = Release.STRICT
    hold_chars: int = 200
    hold_s: float = 1.0


class PromptJudge:
    """Judges what people and tools say to the model, each text whole, before the model is called."""

    def __init__(self, judging: Judging | None) -> None:
        self._judging = judging

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` on a hit, and what the check raises where it breaks."""
        if self._judging is None or exchange.prompt is None:
            return
        texts = [item for item in exchange.prompt.texts if item.text.strip()]
        check = self._judging.check
        found = await asyncio.gather(*(check.judge(item.text, Role.PROMPT) for item in texts))
        for item, judgement in zip(texts, found, strict=True):
            if judgement.verdict is Finding.PASS:
                continue
            is_block = judgement.verdict is Finding.BLOCK
            decision = Decision(
                DUTY,
                Verdict(judgement.verdict.value),
                Action.REFUSE if is_block else Action.ALLOW,
                reason=check.name,
                class_=judgement.class_code,
                rule=judgement.rule,
                score_bp=judgement.score_bp,
                role="prompt",
                channel=item.where,
                start=0,
                end=len(item.text),
            )
            if is_block:
                message = MESSAGES["prompt_refused"][language_of_prompt(exchange)]
                raise Refusal(decision, status=400, code="content_filter", message=message, in_band=True)
            exchange.decide(decision)


class _JudgedLane:
    """One lane: what waits to leave, and up to where it was judged."""

    __slots__ = ("judged", "lane", "released", "total", "verdicts", "waiting", "windows")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.windows = SentenceWindows()
        self.verdicts: dict[int, int] = {}
        """Ends of windows that passed out of turn, by their start."""
        self.waiting: deque[tuple[TextDelta | Attached, int, float]] = deque()
        """Events with the offset at which each begins and the time at which it came."""
        self.total = 0
        self.released = 0
        self.judged = 0

    @property
    def is_settled(self) -> bool:
        return self.judged == self.total and not self.waiting


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
        self.emit: Callable[[list[Event]], Awaitable[None]] | None = None
        """Called with what a verdict releases; set by whoever drives a stream."""

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """What of `events`, and of what waits, may leave now. Raises what a check raised."""
        self._raise_broken()
        if self._exchange.outcome is Outcome.STOPPED and not any(isinstance(event, End) for event in events):
            return []
        if self._exchange.outcome is Outcome.STOPPED:
            # The guard before this duty stopped the answer: what waits here stays here.
            return [event for event in events if isinstance(event, Finish | End)]
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
        return self._released()

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
        for window in lane.windows.feed(event.text):
            self._ask(lane, window)

    def _lane(self, key: Lane) -> _JudgedLane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _JudgedLane(key)
        return lane

    def _close_lanes(self, choice: int | None) -> None:
        for lane in self._lanes.values():
            if choice is None or lane.lane.choice == choice:
                for window in lane.windows.close():
                    self._ask(lane, window)

    def _ask(self, lane: _JudgedLane, window: Window) -> None:
        task = asyncio.create_task(self._judge(lane, window))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _judge(self, lane: _JudgedLane, window: Window) -> None:
        try:
            if window.text.strip():
                judgement = await self._judging.check.judge(window.text, Role.ANSWER)
                if judgement.verdict is not Finding.PASS:
                    self._found(lane, window, judgement)
        except Exception as error:  # kept for whoever drives the answer: the rule of the pipeline decides
            self._broken = self._broken or error
        else:
            lane.verdicts[window.start] = window.end
            while (end := lane.verdicts.pop(lane.judged, None)) is not None:
                lane.judged = end
        if self.emit is not None:
            await self.emit(self._released() if self._broken is None else [])

    def _found(self, lane: _JudgedLane, window: Window, judgement: Judgement) -> None:
        if self._exchange.outcome is Outcome.STOPPED:
            return
        is_block = judgement.verdict is Finding.BLOCK
        self._exchange.decide(
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
                start=window.start,
                end=window.end,
            )
        )
        if is_block:
            self._exchange.outcome = Outcome.STOPPED

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
        for lane in self._lanes.values():
            self._let_out(lane, self._limit(lane, now), out)
        while self._behind and self._may_pass(self._behind[0]):
            event = self._behind.popleft()
            if isinstance(event, Finish):
                self._sent_ends.add(event.choice)
            out.append(event)
        self._watch(now)
        return out

    def _limit(self, lane: _JudgedLane, now: float) -> int:
        """Up to which character a lane may leave now."""
        release = self._judging.release
        if release is Release.STRICT:
            return lane.judged
        if release is Release.CONCURRENT:
            return lane.total
        limit = max(lane.judged, lane.total - self._judging.hold_chars)
        for event, begin, came_at in lane.waiting:
            if now - came_at < self._judging.hold_s:
                break
            limit = max(limit, begin + (len(event.text) if isinstance(event, TextDelta) else 0))
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
        if self.emit is not None and self._exchange.outcome is not Outcome.STOPPED:
            await self.emit(self._released())

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken
