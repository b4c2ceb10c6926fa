# SPDX-License-Identifier: Apache-2.0
"""A streamed answer on its way to the client: read, sent through the duties, written, its last event held back.

What must hold: bytes leave in the order of the events, also when a verdict releases text or a picture gets its labels
while the next event of the upstream is being worked on; a client that waits is kept awake; the last event is handed
back, not sent, because the closing record must be durable before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.answer_chain import AnswerChain, DutyBroken
from gateway.decisions import Decision
from gateway.events import End, Event, Finish, Media, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.filtering import CONTENT_FILTER
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.upstream import UpstreamAnswer, UpstreamFailure
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadAnswer
from gateway.wires.media import UNLABELLED

if TYPE_CHECKING:
    from gateway.house import House


RETRACTION = "retraction"
"""The kind of notice, in the last event of a stopped stream, that says which text to take back."""


class StreamedAnswer:
    """One stream. `send` sends a part of the body, the head before the first of them."""

    def __init__(
        self,
        house: House,
        exchange: Exchange,
        answer: UpstreamAnswer,
        reader: AnswerReader,
        writer: AnswerWriter,
        chain: AnswerChain,
        send: Callable[[bytes], Awaitable[None]],
        count_use: Callable[[], Awaitable[None]],
    ) -> None:
        self._house = house
        self._exchange = exchange
        self._answer = answer
        self._reader = reader
        self._writer = writer
        self._chain = chain
        self._send_part = send
        self._count_use = count_use
        self._turn = asyncio.Lock()
        self._choices: dict[int, bool] = {}
        """The choices that were begun, and whether each has ended."""
        self._last = b""
        self._is_ended = False
        self._sent_at = house.clock()
        self._has_begun = False
        self._broken: DutyBroken | None = None

    async def run(self) -> bytes:
        """The whole stream; gives its last bytes. Raises `UpstreamFailure` or `DutyBroken` where nothing was sent."""
        exchange = self._exchange
        pulse = asyncio.create_task(self._keep_awake())
        if self._chain.judge is not None:
            self._chain.judge.emit = self._released
        try:
            await self._read()
            if exchange.outcome is Outcome.OPEN:
                exchange.outcome = Outcome.COMPLETED
        except BadAnswer as error:
            if exchange.outcome is not Outcome.STOPPED:
                self._last = await self._break_off(failure_of(error))
        except UpstreamFailure as failure:
            if exchange.outcome is not Outcome.STOPPED:  # a stop cuts the upstream off on purpose
                self._last = await self._break_off(failure)
        except DutyBroken:
            if not self._has_begun:
                raise
            exchange.outcome = Outcome.FAILED
            self._last = self._writer.broken("duty_failed", MESSAGES["duty_failed"][language_of_prompt(exchange)])
        finally:
            self._answer.cancel()
            self._chain.close()
            pulse.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pulse
        async with self._turn:  # who ends the answer from outside finishes its last words first
            return self._last

    async def halt(self, decision: Decision, words: str) -> None:
        """End the answer now, as the wire ends one: the model's call is cancelled first, nothing more of the model's
        leaves. `words` names what the person reads. An answer that has ended meanwhile stays as it is."""
        exchange = self._exchange
        if exchange.outcome is not Outcome.OPEN or self._is_ended:
            return
        exchange.outcome, exchange.stop_words = Outcome.STOPPED, words
        exchange.decide(decision)
        self._answer.cancel()
        async with self._turn:
            if self._is_ended:
                return
            choices = [choice for choice, is_over in self._choices.items() if not is_over] or [0]
            endings: list[Event] = [Finish(choice, CONTENT_FILTER) for choice in choices]
            try:
                await self._out(self._chain.ending([*endings, End()]))
            except DutyBroken:
                exchange.outcome, self._is_ended = Outcome.FAILED, True
                self._last = self._writer.broken("duty_failed", MESSAGES["duty_failed"][language_of_prompt(exchange)])

    async def _read(self) -> None:
        exchange, house = self._exchange, self._house
        touch_at = house.clock() + house.minors.touch_every_s
        size, most = 0, house.settings.limits.answer_body_bytes
        async for data in self._answer.chunks():
            size += len(data)
            if size > most:
                raise UpstreamFailure("upstream_too_large", 502)
            if house.recorder.keeps_bodies:
                exchange.kept.append(data)
            await self._pass(self._reader.feed(data))
            if self._is_ended:
                break
            if exchange.person.is_protected and house.clock() >= touch_at:
                await self._count_use()
                touch_at = house.clock() + house.minors.touch_every_s
        else:
            await self._pass(self._reader.close())
        if not self._is_ended and self._chain.judge is not None:
            self._answer.cancel()
            await self._chain.settled()
            if self._broken is not None:
                raise self._broken
        self._answer.cancel()

    async def _pass(self, events: list[Event]) -> None:
        if self._broken is not None:
            raise self._broken
        async with self._turn:
            if not self._is_ended:
                await self._out(self._chain.through(events))

    async def _released(self, events: list[Event]) -> None:
        """What a verdict let out, while the upstream goes on; a stop cuts the upstream off first of all."""
        if self._exchange.outcome is Outcome.STOPPED:
            self._answer.cancel()
        async with self._turn:
            if self._is_ended:
                return
            try:
                await self._out(self._chain.behind_judge(events))
            except DutyBroken as error:
                self._broken = error
                self._answer.cancel()

    async def _out(self, events: list[Event]) -> None:
        if not events:
            return
        events = await self._chain.media_in_texts(events)
        delivered = self._exchange.delivered
        has_media = False
        for event in events:
            if isinstance(event, TextDelta):
                delivered[event.lane] = delivered.get(event.lane, 0) + len(event.text)
                if event.lane.choice >= 0:
                    self._choices.setdefault(event.lane.choice, False)
            elif isinstance(event, Finish):
                self._choices[event.choice] = True
            elif isinstance(event, Media):
                has_media = True
        if has_media:
            events = list(await self._chain.media(events))
        if self._exchange.outcome is Outcome.STOPPED and isinstance(events[-1], End):
            self._retract()
        out = self._writer.write(events)
        if isinstance(events[-1], End):
            self._is_ended = True
            self._last = out
        elif out:
            await self._send(out)

    def _retract(self) -> None:
        """Name, for an app that can take text back, what has left of an answer that was stopped."""
        exchange = self._exchange
        if exchange.stop_words != "answer_stopped":
            return  # what has left is not what the answer was stopped for
        exchange.notices.append(
            {
                "kind": RETRACTION,
                "text": MESSAGES["answer_stopped"][language_of_prompt(exchange)],
                "record": exchange.record_id,
                "retract": [
                    {"choice": lane.choice, "channel": lane.channel.value, "item": lane.item, "start": 0, "end": chars}
                    for lane, chars in exchange.delivered.items()
                ],
            }
        )

    async def _send(self, out: bytes) -> None:
        self._has_begun = True
        self._sent_at = self._house.clock()
        await self._send_part(out)

    async def _keep_awake(self) -> None:
        """Bytes without meaning, where nothing else was sent for a while."""
        interval = self._house.settings.limits.keep_alive_s
        while True:
            await asyncio.sleep(interval)
            if self._house.clock() - self._sent_at >= interval and not self._turn.locked():
                async with self._turn:
                    if not self._is_ended:
                        await self._send(self._writer.keep_alive())

    async def _break_off(self, failure: UpstreamFailure) -> bytes:
        """The end of a stream that the upstream broke off. What waited in the guard can be no match any more."""
        if not self._has_begun:
            raise failure
        async with self._turn:
            self._exchange.outcome = Outcome.UPSTREAM_FAILED
            self._is_ended = True
            return self._chain.flush(self._writer) + self._writer.broken(failure.code, failure.message)


def failure_of(error: BadAnswer) -> UpstreamFailure:
    """What the client gets for an answer that is not what its wire says."""
    if error.code == UNLABELLED:
        return UpstreamFailure(UNLABELLED, 501)
    return UpstreamFailure("upstream_incomplete" if error.code == "incomplete" else "upstream_invalid", 502)
