# SPDX-License-Identifier: Apache-2.0
"""What both sides of a realtime session share: its two connections, its responses, and what is known of it.

Everything that is kept of a conversation is bounded: who talks for hours holds no more memory than who talks a minute.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.types import Send

from gateway.decisions import Decision, Refusal
from gateway.exchange import Outcome, Prompt
from gateway.language import language_of_prompt
from gateway.realtime_exchange import HeldExchange
from gateway.realtime_response import Manner, RealtimeResponse
from gateway.realtime_sound import SoundFormat, sound_format
from gateway.runner import Runner
from gateway.upstream import UpstreamFailure, UpstreamSocket
from gateway.wires.realtime import Handshake, error_event

MOST_OPEN: Final = 16
"""Responses that are asked for or under way at a time."""
_MOST_ITEMS: Final = 500
"""Items whose texts are remembered, so that reading one again shows what was let out."""
OURS: Final = "event_duty_"
"""How ids of our own events begin, towards either side."""


class SessionOver(Exception):
    """Why a session ends. `close_code` is 0 where there is nobody to tell; with `code` an `error` event says why."""

    def __init__(
        self,
        outcome: Outcome,
        close_code: int,
        status: int = 0,
        code: str = "",
        message: str = "",
        *,
        failure: UpstreamFailure | None = None,
    ) -> None:
        super().__init__(code)
        self.outcome = outcome
        self.close_code = close_code
        self.status = status
        self.code = code
        self.message = message
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Pending:
    """A response that was admitted and asked for, and that the model has not begun. `about` is the event's id there,
    `own_id` the id that the client gave it."""

    held: HeldExchange
    about: str
    own_id: str | None
    asked_at: float


class SessionLine:
    """One session's state; the `Line` of its responses."""

    def __init__(
        self, runner: Runner, held: HeldExchange, asked: Handshake, socket: UpstreamSocket, send: Send
    ) -> None:
        settings = runner.house.settings.realtime
        self.runner = runner
        self.house = runner.house
        self.person = held.exchange.person
        self.model = asked.model
        self.language = held.exchange.language
        self.manner = Manner(asked.is_beta, settings.sound == "follow", runner.house.opening_sounds)
        self.is_transcribed = False
        """Whether the model's side writes down what it hears."""
        self.is_active = False
        """Whether anything came from either side since time was last counted."""
        self.sound: SoundFormat | str = ""
        self.notices: list[dict[str, Any]] = []
        """What the next response has to tell beside its answer."""
        self.pending: deque[Pending] = deque()
        self.responses: dict[str, RealtimeResponse] = {}
        self.ending: SessionOver | None = None
        self.refused_turn: Decision | None = None
        """What the person said was refused before the model began to answer it."""
        self.label_ms: OrderedDict[str, int] = OrderedDict()
        """How long our label sounds before each item's own sound."""
        self.said: OrderedDict[str, Mapping[int, str]] = OrderedDict()
        """The texts of items that were let out, by place."""
        self._headers = asked.headers
        self._socket = socket
        self._send = send
        self._count = 0
        self._stem = held.exchange.record_id.replace("-", "")
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # Both connections.

    async def say(self, text: str) -> None:
        """Send an event to the client; waits while the client does not read."""
        await self._send({"type": "websocket.send", "text": text})

    async def ask(self, text: str) -> None:
        """Send an event to the model; waits while the model does not read. Raises `UpstreamFailure`."""
        await self._socket.send(text)

    async def refuse(self, refusal: Refusal, about: str | None, record: str = "") -> None:
        """Say to the client, in the wire's words, that what it sent goes no further."""
        await self.say(error_event(self.new_id(), refusal.status, refusal.code, refusal.message, about, record))

    def cancel(self, response_id: str) -> None:
        """Tell the model, now, to stop."""
        self.order({"type": "response.cancel", "response_id": response_id})

    def order(self, tree: dict[str, Any]) -> None:
        """Send an event of our own to the model, without waiting."""
        self.spawn(self.ask(orjson.dumps({**tree, "event_id": self.new_id()}).decode()))

    def new_id(self) -> str:
        """An id for an event of ours."""
        self._count += 1
        return f"{OURS}{self._stem}_{self._count}"

    # What is done beside.

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside; what it raises ends the session."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def watch(self) -> None:
        """Wait until something that was done beside has failed, and raise what it raised."""
        await asyncio.shield(self._failed)

    def end(self, over: SessionOver) -> None:
        """End the session once no answer is under way."""
        self.ending = self.ending or over

    # Responses.

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way."""
        return bool(self.pending or self.open_responses())

    def open_responses(self) -> list[RealtimeResponse]:
        """The responses of which something may yet leave."""
        return [response for response in self.responses.values() if not response.is_over]

    def unread_responses(self) -> list[RealtimeResponse]:
        """The responses of which the model has not said everything."""
        return [response for response in self.responses.values() if not (response.is_over or response.is_read)]

    def hold(self, prompt: Prompt, *, is_generative: bool = True) -> HeldExchange:
        """An exchange of this session's person."""
        return HeldExchange(
            self.runner,
            prompt,
            headers=self._headers,
            person=self.person,
            language=self.language,
            is_generative=is_generative,
        )

    def heard(self, held: HeldExchange) -> None:
        """Remember the language in which the person wrote or spoke last."""
        prompt = held.exchange.prompt
        if prompt is not None and any(text.role == "user" for text in prompt.texts):
            self.language = language_of_prompt(held.exchange)

    def begin(self, held: HeldExchange, response: Mapping[str, Any], response_id: str) -> RealtimeResponse:
        """A response that the model has begun."""
        held.exchange.notices += self.notices
        self.notices = []
        begun = RealtimeResponse(self.runner, self, held, response_id, self.manner)
        begun.sound = sound_format(response) or self.sound
        self.responses[response_id] = begun
        return begun

    def ended(self, response: RealtimeResponse) -> None:
        """Nothing of `response` leaves any more. It is kept until the model has said all of it: what still comes has to
        go nowhere, and its items say what was let out, whenever they are read again."""
        over = [known for known in self.responses.values() if known.is_over and known.is_concluded]
        for known in over[: -2 * MOST_OPEN]:
            known.is_read = True
        for known in over:
            if known.is_read:
                del self.responses[known.id]
                self.said.update(known.said())
        while len(self.said) > _MOST_ITEMS:
            self.said.popitem(last=False)

    def labelled(self, item_id: str, seconds: float) -> None:
        """Our label sounds before that item's own sound."""
        self.label_ms[item_id] = round(seconds * 1_000)
        while len(self.label_ms) > _MOST_ITEMS:
            self.label_ms.popitem(last=False)

    async def close_all(self, over: SessionOver) -> None:
        """End what is open, with its records, and what is done beside. Raises what the log raised."""
        for response in list(self.responses.values()):
            if over.failure is not None:
                await response.break_off(over.failure)
            elif not response.is_over:
                await response.abandon(over.outcome)
        for pending in self.pending:
            await pending.held.close(over.outcome)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)
        for response in self.responses.values():
            await response.held.close(over.outcome)
        if self._failed.done() and not self._failed.cancelled():
            self._failed.exception()
        self._failed.cancel()
