# SPDX-License-Identifier: Apache-2.0
"""The client's side of a realtime session: each event is read, checked, and only then forwarded.

What a model will read is an exchange of its own: an item or an update with a record of what was decided, a
`response.create` with the opening record of the answer that it asks for. What is refused is not forwarded; the client
gets an `error` event, and for a response that was refused a response in the wire's own form that says why.
"""

from __future__ import annotations

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Outcome, Prompt, PromptText
from gateway.realtime_exchange import HeldExchange
from gateway.realtime_line import MOST_OPEN, Pending, SessionLine
from gateway.realtime_response import RealtimeResponse
from gateway.wires.interfaces import BadRequest
from gateway.wires.realtime import error_event
from gateway.wires.realtime_request import CREATE, TRUNCATE, ClientEvent, read_client_event

_UNHEARD = Decision("filter_prompt", Verdict.BLOCK, Action.REFUSE, reason="no_transcription", role="prompt")


class ClientSide:
    """Takes the client's events, in order."""

    def __init__(self, line: SessionLine) -> None:
        self._line = line

    async def take(self, text: str) -> None:
        """One event. Raises `UpstreamFailure`, and what the log raised."""
        line = self._line
        try:
            event = read_client_event(text)
        except BadRequest as error:
            await line.say(error_event(line.new_id(), error.status, error.code, error.message, None))
            return
        if event.kind == CREATE:
            await self._create(event)
            return
        if event.has_sound and not self._may_be_heard():
            message = "This service takes sound only where it is transcribed. Set the session's input transcription."
            refusal = Refusal(_UNHEARD, status=400, code="transcription_required", message=message)
            await line.refuse(refusal, event.event_id)
            return
        if event.texts:
            held = line.hold(_prompt(line, event), is_generative=False)
            try:
                await held.admit()
            except Refusal as refusal:
                await held.close()
                await line.refuse(refusal, event.event_id, held.exchange.record_id)
                return
            line.heard(held)
            held.exchange.status = 200
            await held.close()
        if event.kind == TRUNCATE:
            self._shift(event)
        await line.ask(event.encoded())

    def _may_be_heard(self) -> bool:
        return self._line.is_transcribed or self._line.house.settings.realtime.input_sound == "any"

    async def _create(self, event: ClientEvent) -> None:
        line = self._line
        if line.ending is not None:
            over = line.ending
            await line.say(error_event(line.new_id(), over.status, over.code, over.message, event.event_id))
            return
        if len(line.pending) + len(line.open_responses()) >= MOST_OPEN:
            message = "Too many responses are under way in this session. Wait for one to end."
            await line.say(error_event(line.new_id(), 429, "too_many_responses", message, event.event_id))
            return
        held = line.hold(_prompt(line, event))
        try:
            if event.has_sound and not self._may_be_heard():
                message = "This service takes sound only where it is transcribed."
                held.exchange.decide(_UNHEARD)
                held.exchange.outcome = Outcome.REFUSED
                raise Refusal(_UNHEARD, status=400, code="transcription_required", message=message)
            await held.admit()
        except Refusal as refusal:
            await refuse_response(line, held, refusal, event.event_id)
            return
        line.heard(held)
        line.refused_turn = None
        held.open()
        held.exchange.asked_at = line.house.clock()
        about = event.event_id or line.new_id()
        event.tree["event_id"] = about
        line.pending.append(Pending(held, about, event.event_id, held.exchange.asked_at))
        await line.ask(event.encoded())

    def _shift(self, event: ClientEvent) -> None:
        """The client counts our label's sound; the model does not know of it."""
        end_ms = event.tree.get("audio_end_ms")
        label_ms = self._line.label_ms.get(str(event.tree.get("item_id")), 0)
        if label_ms and isinstance(end_ms, int) and not isinstance(end_ms, bool):
            event.tree["audio_end_ms"] = max(0, end_ms - label_ms)


def _prompt(line: SessionLine, event: ClientEvent) -> Prompt:
    texts: list[PromptText] = event.texts
    return Prompt(line.model, event.kind == CREATE, texts, event.tree, has_media=event.has_sound)


async def refuse_response(
    line: SessionLine, held: HeldExchange, refusal: Refusal, about: str | None, response_id: str = ""
) -> None:
    """Say, in place of a response, why there is none: its record first."""
    exchange = held.exchange
    name = response_id or f"resp_duty_{exchange.record_id.replace('-', '')}"
    response = RealtimeResponse(line.runner, line, held, name, line.manner)
    if response_id:
        line.responses[name] = response  # what the model says of it all the same goes nowhere
    if refusal.in_band:
        exchange.notices += line.notices
        line.notices = []
        await response.refuse(refusal.message)
        return
    await response.abandon(Outcome.REFUSED)
    await line.refuse(refusal, about, exchange.record_id)
