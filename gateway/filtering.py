# SPDX-License-Identifier: Apache-2.0
"""The content filter as duties: nothing illegal is asked of the model, nothing illegal leaves (Interim Measures
articles 4(1) and 14).

A hit on the prompt refuses without calling the model. A hit in the answer ends it: what stood before the match in a
stream has left, the match has not; of a plain answer nothing leaves. The answer's guard is exact in any chunking
(`content_filter.guard`), so a stream is never weaker than a plain answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from content_filter import FilterHandle, GuardStep, Match
from content_filter import Outcome as Finding
from content_filter import Verdict as Judgement
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.events import Attached, Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.json_view import JsonPlace, decoded
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.twin_guard import LaneGuard, TwinGuard

DUTY = "content_filter"

MASK_CHARACTER = "*"

CONTENT_FILTER = "content_filter"
"""The reason of a `Finish` that this duty caused; each wire spells it in its own words."""


class ExactFilter(Protocol):
    """What finds the same in a text however it is cut: terms (`content_filter.ContentFilter`), personal data."""

    def check_texts(self, texts: Sequence[str], role: str) -> tuple[int, Judgement]:
        """The strongest verdict on several texts, with the place of its text."""
        ...

    def guard(self) -> LaneGuard:
        """A guard for one lane of a stream."""
        ...


class PromptFilter:
    """Checks every text of the prompt in one pass. A term that masks an answer refuses a prompt: what a model was
    asked cannot be masked without changing the question."""

    def __init__(self, handle: FilterHandle) -> None:
        self._handle = handle

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` on a hit. Pins the filter for the whole exchange."""
        exchange.filter = current = self._handle.current
        exchange.filter_digest = current.digest
        prompt = exchange.prompt
        if prompt is None or not prompt.texts:
            return
        place, found = current.check_texts([item.text for item in prompt.texts], "prompt")
        if found.verdict is Finding.PASS:
            return
        verdict = Verdict(found.verdict.value)
        decision = Decision(
            DUTY,
            verdict,
            Action.ALLOW if verdict is Verdict.FLAG else Action.REFUSE,
            reason="term",
            class_=found.class_code,
            rule=found.rule,
            score_bp=found.score_bp,
            role="prompt",
            channel=prompt.texts[place].where,
            start=found.start,
            end=found.end,
        )
        if verdict is Verdict.FLAG:
            exchange.decide(decision)
            return
        message = MESSAGES["prompt_refused"][language_of_prompt(exchange)]
        raise Refusal(decision, status=400, code="content_filter", message=message, in_band=True)


class _GuardedLane:
    """One lane of an answer: its guard, and what waits behind a pending partial match."""

    __slots__ = ("_cleared", "_guard", "_head", "is_closed", "is_masked", "lane", "place", "released", "tail", "total",
                 "waiting")  # fmt: skip

    def __init__(self, lane: Lane, guard: LaneGuard | TwinGuard) -> None:
        self.lane = lane
        self._guard = guard
        self.place = JsonPlace() if isinstance(guard, TwinGuard) else None
        """Where in its JSON a lane stands that a program may parse."""
        self.waiting: deque[tuple[TextDelta | Attached, int]] = deque()
        """Events with the offset at which each begins."""
        self.total = 0
        self.released = 0
        self.is_closed = False
        self.is_masked = False
        """Whether a text was masked of which an attachment may yet tell."""
        self.tail = ""
        """What was pending when the lane was closed; a lane that goes on all the same begins with it."""
        self._head = ""
        """The tail with which the lane began."""
        self._cleared = 0
        """Up to where no match can begin any more."""

    def go_on(self, tail: str) -> None:
        """Begin behind `tail`, which has left: a match that began in it ends here."""
        self._head = tail
        self.feed(tail)
        self.total = self.released = len(tail)

    def feed(self, text: str) -> GuardStep:
        """What `text` changes, in offsets of the text as it came."""
        step = self._guard.feed(text)
        self._cleared = step.release
        return step

    def pending(self) -> str:
        """The text in which a match may have begun: what waits, behind what is still open of the lane's head."""
        return self._head[self._cleared :] + "".join(
            event.text[max(0, self.released - begin) :] for event, begin in self.waiting if isinstance(event, TextDelta)
        )

    def close(self) -> list[GuardStep]:
        """What the end of the lane changes."""
        self.is_closed = True
        closed = self._guard.close()
        return closed if isinstance(closed, list) else [closed]


class AnswerFilter:
    """The guard of one answer. `feed` lets through what may leave; after a stop it lets nothing through."""

    def __init__(
        self, exchange: Exchange, current: ExactFilter, *, duty: str = DUTY, reason: str = "term", is_first: bool = True
    ) -> None:
        """`duty` and `reason` are what decisions say. Of several such duties only the first counts what is released; it
        lets nothing more through once an answer was stopped, and the others let through how it ends."""
        self._exchange = exchange
        self._filter = current
        self._duty, self._reason, self._is_first = duty, reason, is_first
        self._has_stopped = False
        self._lanes: dict[Lane, _GuardedLane] = {}
        self._open: dict[int, None] = {}
        self._late: Lane | None = None
        """A lane in which only its end completed a match."""
        self._is_stream = exchange.prompt is not None and exchange.prompt.stream
        self._is_structured = exchange.prompt is not None and exchange.prompt.is_structured

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events that may leave, in order within each lane."""
        if self._has_stopped or (self._is_first and self._exchange.outcome is Outcome.STOPPED):
            return []
        if not self._is_stream:
            return self._plain(events)
        out: list[Event] = []
        for event in events:
            if isinstance(event, TextDelta):
                if not self._text(event, out):
                    return self._stop(event.lane, out)
            elif isinstance(event, Attached):
                self._attach(event, out)
            elif isinstance(event, Finish):
                self._close_lanes((lane for lane in self._lanes.values() if lane.lane.choice == event.choice), out)
                if self._late is not None:
                    return self._stop(self._late, out)
                self._open.pop(event.choice, None)
                out.append(event)
            elif isinstance(event, End):
                self._close_lanes(self._lanes.values(), out)
                if self._late is not None:
                    return self._stop(self._late, out)
                out.append(event)
            else:
                out.append(event)
        return out

    def flush(self) -> list[Event]:
        """What waits, where the upstream broke off: no match can complete any more."""
        out: list[Event] = []
        if self._exchange.outcome is not Outcome.STOPPED:
            self._close_lanes(self._lanes.values(), out)
        return out

    def decision(self) -> None:
        """Everything was decided where it was found."""
        return None

    def _plain(self, events: Sequence[Event]) -> list[Event]:
        """A plain answer is checked whole: the common case is one pass over all its texts."""
        lanes: dict[Lane, str] = {}
        for event in events:
            if isinstance(event, TextDelta):
                # A lane with several places (content blocks, parts) is one text: a term may be cut between two of them.
                lanes[event.lane] = lanes.get(event.lane, "") + event.text
        texts = list(lanes.values())
        texts += [decoded(text) for lane, text in lanes.items() if "\\" in text and self._holds_json(lane)]
        texts += [text for event in events if isinstance(event, Attached) for text in event.texts]
        if self._filter.check_texts(texts, "answer")[1].verdict is Finding.PASS:
            self._count(sum(len(event.text) for event in events if isinstance(event, TextDelta)))
            return list(events)
        self._is_stream = True
        choices = dict.fromkeys(event.choice for event in events if isinstance(event, Finish))
        ends = [event for event in events if isinstance(event, End)]
        out = self.feed(events)
        self._is_stream = False
        if self._exchange.outcome is Outcome.STOPPED:
            # Nothing was shown yet, so nothing of a stopped answer is.
            self._exchange.released_chars = 0
            return [*(Finish(choice, CONTENT_FILTER) for choice in choices), *ends]
        return out

    def _text(self, event: TextDelta, out: list[Event]) -> bool:
        """Take a text; False where it completes a match that stops the answer."""
        lane = self._lanes.get(event.lane)
        if lane is None:
            lane = self._begin(event.lane, out)
        elif lane.is_closed:
            tail = lane.tail
            lane = self._begin(event.lane, out)
            lane.go_on(tail)
        step = lane.feed(event.text)
        begin = lane.total
        lane.total = end = begin + len(event.text)
        if step.release == end and lane.released == begin and step.match is None and not step.replacements:
            lane.released = end
            self._count(end - begin)
            if lane.place is not None:
                lane.place.feed(event.text)
            out.append(event)
            if step.noted:
                self._note(lane, step)
            return True
        lane.waiting.append((event, begin))
        self._apply(lane, step, out)
        self._exchange.most_held = max(self._exchange.most_held, lane.total - lane.released)
        return step.match is None

    def _begin(self, key: Lane, out: list[Event]) -> _GuardedLane:
        self._open.setdefault(key.choice)
        if key.channel is Channel.TOOL_ARGUMENTS:
            # A tool's name is complete when its arguments begin, and must leave before them.
            name = self._lanes.get(Lane(key.choice, Channel.TOOL_NAME, key.item))
            if name is not None:
                self._close_lanes((name,), out)
        lane = self._lanes[key] = _GuardedLane(key, self._guard(key))
        return lane

    def _count(self, chars: int) -> None:
        if self._is_first:
            self._exchange.released_chars += chars

    def _guard(self, lane: Lane) -> LaneGuard | TwinGuard:
        guard = self._filter.guard()
        return TwinGuard(guard, self._filter.guard()) if self._holds_json(lane) else guard

    def _holds_json(self, lane: Lane) -> bool:
        """Whether a program parses the lane's text: then a word spelt in escapes is that word."""
        return lane.channel is Channel.TOOL_ARGUMENTS or (self._is_structured and lane.channel is Channel.ANSWER)

    def _attach(self, event: Attached, out: list[Event]) -> None:
        if event.texts:
            _, found = self._filter.check_texts(event.texts, "answer")
            if found.verdict in (Finding.BLOCK, Finding.MASK):
                # The answer itself is guarded in its own lane; only these other words are dropped.
                self._decide(event.lane, Verdict(found.verdict.value), Action.MODIFY, found.class_code, found.rule)
                return
        lane = self._lanes.get(event.lane)
        if lane is None:
            out.append(event)
        elif lane.waiting:
            lane.waiting.append((event, lane.total))
        else:
            self._release_attached(lane, event, out)

    @staticmethod
    def _release_attached(lane: _GuardedLane, event: Attached, out: list[Event]) -> None:
        """Let out what tells of a text, unless the text was masked: its tokens would spell what the mask hides."""
        if not lane.is_masked:
            out.append(event)
        lane.is_masked = False

    def _close_lanes(self, lanes: Iterable[_GuardedLane], out: list[Event]) -> None:
        for lane in lanes:
            if not lane.is_closed:
                lane.tail = lane.pending()
                for step in lane.close():
                    self._apply(lane, step, out)
                    if step.match is not None:
                        self._late = lane.lane

    def _apply(self, lane: _GuardedLane, step: GuardStep, out: list[Event]) -> None:
        """Let out what a step releases, masked where it says so."""
        if step.noted:
            self._note(lane, step)
        spans = deque(step.replacements)
        while lane.waiting:
            event, begin = lane.waiting[0]
            if isinstance(event, Attached):
                if begin > step.release:
                    break
                self._release_attached(lane, event, out)
                lane.waiting.popleft()
                continue
            end = min(begin + len(event.text), step.release)
            if end <= lane.released and event.text:
                break
            text = event.text[lane.released - begin : end - begin]
            seen = 0
            while spans and spans[0].start < end:
                span = spans[0]
                first, last = max(span.start, lane.released) - lane.released, min(span.end, end) - lane.released
                if lane.place is not None:
                    lane.place.feed(text[seen:first])
                mark = _mark(text[first:last], lane.place, span.start >= lane.released)
                text = text[:first] + mark + text[last:]
                seen = last
                lane.is_masked = True
                if span.end > end:
                    break
                spans.popleft()
            if lane.place is not None:
                lane.place.feed(text[seen:])
            is_whole = end == begin + len(event.text) and lane.released == begin and text == event.text
            out.append(event if is_whole else TextDelta(event.lane, text, event.carrier))
            self._count(end - lane.released)
            lane.released = end
            if end < begin + len(event.text):
                break
            lane.waiting.popleft()

    def _note(self, lane: _GuardedLane, step: GuardStep) -> None:
        for match in step.noted:
            verdict = Verdict(match.action.value)
            action = Action.MODIFY if verdict is Verdict.MASK else Action.ALLOW
            self._decide(lane.lane, verdict, action, match.class_code, match.rule, match)

    def _stop(self, key: Lane, out: list[Event]) -> list[Event]:
        match = self._lanes[key].close()[-1].match
        assert match is not None
        self._decide(key, Verdict.BLOCK, Action.STOP, match.class_code, match.rule, match)
        self._exchange.outcome = Outcome.STOPPED
        self._has_stopped = True
        for choice in self._open:
            if choice >= 0:
                out.append(Finish(choice, CONTENT_FILTER))
        if not any(choice >= 0 for choice in self._open):
            out.append(Finish(0, CONTENT_FILTER))
        out.append(End())
        return out

    def _decide(
        self, lane: Lane, verdict: Verdict, action: Action, class_: str, rule: str, match: Match | None = None
    ) -> None:
        if len(self._exchange.decisions) >= MOST_DECISIONS:
            return  # the record has a size; the strongest decision of an answer is its last
        self._exchange.decide(
            Decision(
                self._duty,
                verdict,
                action,
                reason=self._reason,
                class_=class_,
                rule=rule,
                score_bp=10_000,
                role="answer",
                choice=max(lane.choice, 0),
                channel=lane.channel.value,
                start=match.start if match is not None else -1,
                end=match.end if match is not None else -1,
            )
        )


def _mark(text: str, place: JsonPlace | None, is_begin: bool) -> str:
    """What stands in place of masked `text`, as many characters. A bare number in JSON stays a number: whoever parses
    it must not fail over a mask."""
    if place is None or place.is_inside or not text.isdecimal():
        return MASK_CHARACTER * len(text)
    return ("1" if is_begin else "0") + "0" * (len(text) - 1)


MOST_DECISIONS = 100
"""Of one exchange: a record has a size."""
