# SPDX-License-Identifier: Apache-2.0
"""One response of a realtime session on its way to the client: an exchange like any streamed answer.

What must hold: nothing of it leaves before its opening record is durable, and its last event not before its closing
record; a duty that stops it cancels the model first of all; sound leaves behind the words that it is judged by, and
sound without words not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from gateway.answer_chain import AnswerChain, DutyBroken
from gateway.decisions import Action, Decision, Verdict
from gateway.events import End, Event, Finish
from gateway.exchange import Outcome
from gateway.filtering import CONTENT_FILTER
from gateway.language import language_of_prompt
from gateway.media_labels import DUTY as MEDIA_DUTY
from gateway.messages import MESSAGES
from gateway.pipeline import FailureRule
from gateway.realtime_exchange import HeldExchange
from gateway.realtime_sound import PCM16, OpeningSounds, SoundFormat
from gateway.state import StateError
from gateway.streaming import RETRACTION
from gateway.upstream import UpstreamFailure
from gateway.wires.interfaces import BadAnswer
from gateway.wires.realtime_answer import ResponseReader
from gateway.wires.realtime_parts import SOUNDS
from gateway.wires.realtime_writer import STOPPED, ResponseWriter, failed

if TYPE_CHECKING:
    from gateway.runner import Runner

log = structlog.get_logger("dutybound.exchange")

_UNSPOKEN = Decision(MEDIA_DUTY, Verdict.BLOCK, Action.STOP, reason="no_transcript", role="answer")
_UNLABELLED = Decision(MEDIA_DUTY, Verdict.BLOCK, Action.STOP, reason="unsupported", role="answer")
_SOUNDED = Decision(MEDIA_DUTY, Verdict.PASS, Action.LABEL, reason="audio")
_SHOWN = Decision(MEDIA_DUTY, Verdict.PASS, Action.SKIP, reason="interface_label")


class Line(Protocol):
    """What a response asks of its session."""

    async def say(self, text: str) -> None:
        """Send an event to the client; waits while the client does not read."""
        ...

    def cancel(self, response_id: str) -> None:
        """Tell the model, now, to stop."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside; what it raises ends the session."""
        ...

    def new_id(self) -> str:
        """An id for an event of ours."""
        ...

    def ended(self, response: RealtimeResponse) -> None:
        """Nothing of `response` leaves any more."""
        ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How the answers of a session are given. `sound_follows`: sound leaves with the words that follow it."""

    is_beta: bool
    sound_follows: bool
    sounds: OpeningSounds


class RealtimeResponse:
    """One response. `feed` takes the upstream's events in order; what leaves goes through the line."""

    def __init__(self, runner: Runner, line: Line, held: HeldExchange, response_id: str, manner: Manner) -> None:
        house = runner.house
        self.id = response_id
        self.held = held
        self.is_over = False
        """Nothing more is taken: it ended, or it is being ended."""
        self.is_read = False
        """The model has said all of it."""
        self.is_concluded = False
        """Its last event has left, or will never."""
        self.labelled: tuple[str, float] = ("", 0.0)
        """The item whose sound begins with the label, and how many seconds that is."""
        self.sound: SoundFormat | str = ""
        """The format of its sound; see `realtime_sound.sound_format`."""
        self.fed_at = house.clock()
        self._house = house
        self._line = line
        self._manner = manner
        self._turn = asyncio.Lock()
        self._has_sound = False
        self._opening_s = 0.0
        self._exchange = exchange = held.exchange
        self._reader = ResponseReader(house.settings.limits.answer_body_bytes)
        self._writer = ResponseWriter(
            exchange,
            self._reader.parts,
            response_id,
            line.new_id,
            is_beta=manner.is_beta,
            sound_follows=manner.sound_follows,
        )
        self._chain = AnswerChain(house, exchange, runner.answer_stages, held.broken)
        if self._chain.judge is not None:
            self._chain.judge.emit = self._released

    def owns(self, item_id: object) -> bool:
        """Whether the item is one of this response's."""
        return item_id in self._reader.items

    def said(self) -> Mapping[str, Mapping[int, str]]:
        """The texts that have left, by item and place; all of its items are named."""
        return {item: {} for item in self._reader.items} | self._writer.said()

    async def feed(self, tree: dict[str, Any], raw: str) -> None:
        """Take an event of the upstream's."""
        self.fed_at = self._house.clock()
        async with self._turn:
            if self.is_over or self.is_read:
                self._reader.note(tree)
                self.is_read = self.is_read or tree["type"] == "response.done"
                return
            if tree["type"] in SOUNDS and not self._has_sound and not await self._prepare_sound():
                return
            if self._house.recorder.keeps_bodies and tree["type"] not in SOUNDS:
                self._exchange.kept.append(raw.encode("utf-8", "replace") + b"\n")
            await self._guarded(lambda: self._take(tree, raw))

    async def stop(self, decision: Decision) -> None:
        """End it because of something else than what it says."""
        async with self._turn:
            if not self.is_over:
                await self._stop(decision)

    async def break_off(self, failure: UpstreamFailure) -> None:
        """The upstream is gone. What waited in the guard can be no match any more."""
        async with self._turn:
            if self.is_over:
                return
            self._exchange.outcome = Outcome.UPSTREAM_FAILED
            await self._guarded(lambda: self._flush_out(failure))

    async def abandon(self, outcome: Outcome) -> None:
        """The client is gone, or this process ends. The record says so."""
        self.is_over = self.is_concluded = True
        self._chain.close()
        self._count_lanes()
        await self.held.close(outcome)

    async def refuse(self, words: str) -> None:
        """Say in place of an answer why there is none, its record first."""
        self.is_over = self.is_concluded = True
        self._chain.close()
        await self.held.close()
        for text in self._writer.close_down(*STOPPED, words):
            await self._line.say(text)
        await self._line.say(self._writer.last or "")

    # How events go through.

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BadAnswer as error:
            log.warning("upstream_failed", record=self._exchange.record_id, code=error.code)
            failure = UpstreamFailure("upstream_invalid", 502)
            self._exchange.outcome = Outcome.UPSTREAM_FAILED
            await self._fail(failure.code, failure.message)
        except DutyBroken:
            self._exchange.outcome = Outcome.FAILED
            await self._fail("duty_failed", MESSAGES["duty_failed"][language_of_prompt(self._exchange)])

    async def _take(self, tree: dict[str, Any], raw: str) -> None:
        self.is_read = tree["type"] == "response.done"
        if self.is_read and _status(tree) == "failed" and self._exchange.outcome is Outcome.OPEN:
            self._exchange.outcome = Outcome.UPSTREAM_FAILED
        out, events = self._reader.read(tree, raw)
        if self._reader.is_unspoken:
            await self._stop(_UNSPOKEN)
            return
        self._writer.put(out)
        await self._out(self._chain.through(events))
        if tree["type"] == "response.done" and self._chain.judge is not None and not self.is_over:
            self._line.spawn(self._settle())

    async def _released(self, events: list[Event]) -> None:
        """What a verdict let out, while the upstream goes on."""
        if self._exchange.outcome is Outcome.STOPPED:
            self._line.cancel(self.id)
        async with self._turn:
            if not self.is_over:
                await self._guarded(lambda: self._let_out(events))

    async def _settle(self) -> None:
        """Wait for the last verdicts: one that breaks would else be noticed by nobody."""
        try:
            await self._chain.settled()
        except DutyBroken:
            async with self._turn:
                if not self.is_over:
                    await self._guarded(self._raise_broken)

    async def _raise_broken(self) -> None:
        raise DutyBroken

    async def _let_out(self, events: list[Event]) -> None:
        await self._out(self._chain.behind_judge(events))

    async def _out(self, events: list[Event]) -> None:
        self._writer.write(await self._chain.media_in_texts(events), events)
        if self._exchange.outcome is Outcome.STOPPED:
            await self._end_stopped()
            return
        await self._send(self._writer.flush())
        if self._writer.last is not None:
            self._conclude()

    async def _flush_out(self, failure: UpstreamFailure) -> None:
        self._chain.flush(self._writer)
        await self._send(self._writer.flush())
        await self._fail(failure.code, failure.message)

    async def _prepare_sound(self) -> bool:
        """Make the label's sound before the first sound of the model; False where the response was ended instead."""
        self._has_sound = True
        if not self._manner.sounds.is_audible:
            return True
        form = self.sound or PCM16  # what the wire says where a session says nothing
        if not isinstance(form, SoundFormat):
            await self._stop(_UNLABELLED)
            return False
        self._writer.opening, self._opening_s = await self._manner.sounds.opening(form)
        return True

    async def _send(self, texts: list[str]) -> None:
        if not texts:
            return
        if not self._exchange.first_byte_at:
            await self.held.opened()
            self._exchange.first_byte_at = self._house.clock()
            self._exchange.status = 200
        if self._writer.labelled_item and not self.labelled[0]:
            self.labelled = (self._writer.labelled_item, self._opening_s)
        for text in texts:
            await self._line.say(text)

    # How it ends.

    async def _stop(self, decision: Decision) -> None:
        exchange = self._exchange
        exchange.decide(decision)
        exchange.outcome = Outcome.STOPPED
        choices = [part.lane.choice for part in self._reader.parts.values() if not part.is_over] or [0]
        ends: list[Event] = [*(Finish(choice, CONTENT_FILTER) for choice in choices), End()]
        await self._guarded(lambda: self._let_out(ends))

    async def _end_stopped(self) -> None:
        self._line.cancel(self.id)
        exchange = self._exchange
        await self._send(self._writer.flush())
        exchange.notices.append(
            {
                "kind": RETRACTION,
                "text": MESSAGES["answer_stopped"][language_of_prompt(exchange)],
                "record": exchange.record_id,
                "retract": self._writer.retract(),
            }
        )
        await self._send(self._writer.close_down(*STOPPED))
        self._conclude()

    async def _fail(self, code: str, message: str) -> None:
        self._line.cancel(self.id)
        await self._send(self._writer.close_down(*failed(code, message)))
        self._conclude()

    def _conclude(self) -> None:
        """Nothing more is taken. The rest is done beside, because a verdict's own task may have brought us here."""
        self.is_over = True
        self._line.spawn(self._last())

    async def _last(self) -> None:
        exchange, house = self._exchange, self._house
        for decision in self._chain.decisions():
            exchange.decide(decision)
        if self.labelled[0]:
            exchange.decide(_SOUNDED)
        elif self._has_sound and not self._manner.sounds.is_audible:
            exchange.decide(_SHOWN)
        house.meters.stream_holdback.observe(float(exchange.most_held))
        self._chain.close()
        self._count_lanes()
        await self.held.opened()
        await self.held.close()
        assert self._writer.last is not None
        await self._line.say(self._writer.last)
        self.is_concluded = True
        self._line.ended(self)
        if exchange.head_notice and self._chain.is_told:
            await house.disclosure.mark_told(exchange.person)
        if exchange.person.is_protected:
            await self._count_use()

    def _count_lanes(self) -> None:
        """How much of each lane has left, for the record."""
        for part in self._reader.parts.values():
            if part.said:
                self._exchange.delivered[part.lane] = len(part.text())

    async def _count_use(self) -> None:
        try:
            await self._house.minors.touch(self._exchange.person)
        except StateError as error:
            log.error("use_not_counted", record=self._exchange.record_id, error=type(error).__name__)
            self._house.meters.duty_errors.inc("minors", FailureRule.REFUSE.value)


def _status(tree: Mapping[str, Any]) -> object:
    """How the model says that a response ended."""
    response = tree.get("response")
    return response.get("status") if isinstance(response, Mapping) else None
