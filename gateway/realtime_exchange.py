# SPDX-License-Identifier: Apache-2.0
"""One exchange within a realtime session: its admission by the request duties, and its records.

A session is an exchange, and so is each response and each item that a client puts into the conversation: each has a
record of its own. Who the person is was found out at the handshake and holds for the session; all other request duties
are asked anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

import structlog

from audit_log import new_record_id
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import ANONYMOUS, Exchange, Outcome, Person, Prompt
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.pipeline import FailureRule, Stage
from gateway.state import StateError
from gateway.wires.realtime import PATH, OpenAIRealtime

if TYPE_CHECKING:
    from gateway.house import House
    from gateway.runner import Runner

log = structlog.get_logger("dutybound.exchange")

_IDENTIFY = "identify"


class HeldExchange:
    """An exchange and its records: one when it ends, or two where `open` was called before."""

    def __init__(
        self,
        runner: Runner,
        prompt: Prompt,
        *,
        headers: Sequence[tuple[bytes, bytes]],
        person: Person = ANONYMOUS,
        language: str = "",
        is_generative: bool = True,
        is_session: bool = False,
    ) -> None:
        """`is_session`: it is the session itself, which ends no row of violations and tells nobody anything."""
        self._is_session = is_session
        self._runner = runner
        self._house: House = runner.house
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.exchange = exchange = Exchange(
            record_id=new_record_id(random=self._house.entropy),
            started_at=self._house.clock(),
            wire=OpenAIRealtime.name,
            path=PATH,
            headers=headers,
            is_generative=is_generative,
            person=person,
            prompt=prompt,
            model=prompt.model,
        )
        if not any(text.role == "user" for text in prompt.texts):
            exchange.language = language
        if is_generative:
            exchange.label = self._house.labels.envelope(exchange.record_id)

    async def admit(self, *, identify: bool = False) -> None:
        """Ask the request duties. Raises `Refusal`, for a duty that broke too."""
        exchange = self.exchange
        try:
            for stage, duty in self._runner.request_duties:
                if stage.key == _IDENTIFY and not identify:
                    continue
                try:
                    await duty(exchange)
                except Refusal:
                    raise
                except Exception as error:  # the rule of the pipeline: a broken duty refuses
                    decision = self.broken(stage, error, Action.REFUSE)
                    message = MESSAGES["duty_failed"][language_of_prompt(exchange)]
                    raise Refusal(decision, status=503, code="duty_failed", message=message) from error
        except asyncio.CancelledError:
            await self.close(Outcome.CLIENT_GONE)
            raise
        except Refusal as refusal:
            if exchange.person.subject:
                await self._count(self._house.measures.refused(exchange, refusal), "measures")
            exchange.decide(refusal.decision)
            exchange.outcome = Outcome.REFUSED
            exchange.status = refusal.status
            raise

    def broken(self, stage: Stage, error: Exception, action: Action) -> Decision:
        """Note that a stage broke; the decision for the record."""
        name = stage.key
        log.error("duty_broken", record=self.exchange.record_id, duty=name, error=type(error).__name__, exc_info=error)
        self._house.meters.duty_errors.inc(name, stage.on_error.value)
        return Decision(name, Verdict.ERROR, action, reason="broken")

    def open(self) -> None:
        """Begin to write the opening record."""
        self.exchange.closing_id = new_record_id(random=self._house.entropy)
        self._opening = asyncio.create_task(self._house.recorder.opened(self.exchange))
        self._house.meters.streams_open.inc()

    async def opened(self) -> None:
        """Return once the opening record is durable. Raises what the log raised."""
        if self._opening is not None:
            await asyncio.shield(self._opening)

    async def close(self, outcome: Outcome = Outcome.COMPLETED) -> None:
        """Write the record that ends the exchange, once, to its end, whoever waits for it. `outcome` holds where
        nothing said more. Raises what the log raised."""
        if self._closing is None:
            if self.exchange.outcome is Outcome.OPEN:
                self.exchange.outcome = outcome
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        was_opened = self._opening is not None
        if self._opening is not None:
            self._house.meters.streams_open.dec()
            await self._opening
        try:
            await self._house.recorder.closed(self.exchange, was_opened=was_opened)
            if self.exchange.person.subject and not self._is_session:
                await self._count(self._house.measures.ended(self.exchange), "measures")
                await self._count(self._house.incident_notices.ended(self.exchange), "measures")
        finally:
            self._house.meters.count_exchange(self.exchange, self._house.clock())
            if self.exchange.person.api_key:
                await self._count(self._house.api_keys.ended(self.exchange), "quotas")

    async def _count(self, counting: Awaitable[None], duty: str) -> None:
        """Count what follows from the exchange. Its record stands even where the counters are away: the next response
        is then refused."""
        try:
            await counting
        except StateError as error:
            log.error(f"{duty}_not_counted", record=self.exchange.record_id, error=type(error).__name__)
            self._house.meters.duty_errors.inc(duty, FailureRule.REFUSE.value)
