# SPDX-License-Identifier: Apache-2.0
"""Walks one realtime session: a WebSocket to the client, one to the model, and between them every duty.

What must hold:
- nothing is accepted before the person was admitted, the model's side stands, and the session's opening record is
  durable; every response and every item of the client's is an exchange of its own (`gateway.realtime_exchange`);
- a curfew, used-up minutes or the longest time of a session end it in the wire's words, an answer that has begun first;
- whichever side leaves, every open exchange gets its closing record, and both connections are closed;
- what waits is bounded: each side is read only as fast as the other takes it, and pings find peers that are gone.

Close codes (RFC 6455 section 7.4): 1000 in order, 1003 for a binary frame, 1008 where a duty ends the session, 1011
where the model or a record failed. Frames that are too large (1009) or no UTF-8 (1007) are refused by the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog
from starlette.types import Message, Receive, Scope, Send

from audit_log import AuditError
from gateway.decisions import Refusal
from gateway.exchange import Outcome, Prompt
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.realtime_client import ClientSide
from gateway.realtime_exchange import HeldExchange
from gateway.realtime_line import SessionLine, SessionOver
from gateway.realtime_upstream import UpstreamSide
from gateway.runner import Runner, peer_of
from gateway.state import StateError
from gateway.upstream import UpstreamFailure, UpstreamRefusal, UpstreamSocket
from gateway.wires.interfaces import BadRequest
from gateway.wires.realtime import Handshake, OpenAIRealtime, error_event, read_handshake

log = structlog.get_logger("dutybound.exchange")

_WIRE = OpenAIRealtime()
_LOOK_EVERY_S = 1.0
"""How often it is looked whether something stands still or is over; what is counted has its own times."""


_IN_ORDER = (1000, 1001)
_UNREADABLE = (1002, 1007, 1009)


class Session:
    """One connection of a client."""

    def __init__(self, runner: Runner, scope: Scope, receive: Receive, send: Send) -> None:
        self._runner = runner
        self._house = runner.house
        self._scope = scope
        self._receive = receive
        self._send = send

    async def walk(self) -> None:
        """The whole session. Never raises for what a client or an upstream does."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        house, scope = self._house, self._scope
        query = scope.get("query_string", b"").decode("latin-1")
        held = HeldExchange(self._runner, Prompt("", True, [], {}), headers=scope["headers"], is_session=True)
        try:
            origins = house.settings.realtime.origins
            asked = read_handshake(query, scope["headers"], scope.get("subprotocols", ()), origins)
            socket = await self._open(held, asked)
        except BadRequest as error:
            body = _WIRE.error(error.status, error.code, error.message, error.param)
            await self._reject(held, Outcome.BAD_REQUEST, error.status, body)
        except Refusal as refusal:
            body = _WIRE.error(refusal.status, refusal.code, refusal.message)
            headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in refusal.headers]
            await self._reject(held, Outcome.REFUSED, refusal.status, body, headers)
        except UpstreamRefusal as error:
            body = _WIRE.error(error.status, "upstream_error", "The model behind this service refused the session.")
            held.exchange.upstream_status = error.status
            await self._reject(held, Outcome.UPSTREAM_REFUSED, error.status, body)
        except UpstreamFailure as failure:
            log.warning("upstream_failed", record=held.exchange.record_id, code=failure.code)
            body = _WIRE.error(failure.status, failure.code, failure.message)
            await self._reject(held, Outcome.UPSTREAM_FAILED, failure.status, body)
        except AuditError as error:
            await self._unrecorded(held, error)
        except asyncio.CancelledError:
            await held.close(Outcome.FAILED)
            raise
        except OSError:
            await held.close(Outcome.CLIENT_GONE)
        except Exception as error:  # what no rule names is broken as well
            log.error("exchange_broken", record=held.exchange.record_id, error=type(error).__name__, exc_info=error)
            body = _WIRE.error(503, "duty_failed", MESSAGES["duty_failed"][language_of_prompt(held.exchange)])
            await self._reject(held, Outcome.FAILED, 503, body)
        else:
            await _Talk(self._runner, held, asked, socket, self._receive, self._send).run()

    async def _open(self, held: HeldExchange, asked: Handshake) -> UpstreamSocket:
        """Everything that must be before the first event."""
        exchange, house = held.exchange, self._house
        exchange.headers = asked.headers
        exchange.peer = peer_of(self._scope)
        exchange.model = asked.model
        exchange.prompt = prompt = Prompt(asked.model, True, list(asked.texts), {"query": asked.query})
        await held.admit(identify=True)
        held.open()
        exchange.asked_at = house.clock()
        call = _WIRE.call(exchange.path, asked.query, prompt)
        socket = await house.upstream.socket(call, asked.headers, asked.subprotocol, house.settings.limits.event_bytes)
        try:
            house.meters.upstream_duration.observe(house.clock() - exchange.asked_at, _WIRE.name)
            await held.opened()
            exchange.upstream_status = exchange.status = 101
            exchange.first_byte_at = house.clock()
            accept: Message = {"type": "websocket.accept", "headers": self._headers(held)}
            if asked.subprotocol:
                accept["subprotocol"] = asked.subprotocol
            await self._send(accept)
        except BaseException:
            await socket.close()
            raise
        return socket

    def _headers(self, held: HeldExchange) -> list[tuple[bytes, bytes]]:
        exchange = held.exchange
        return [
            (b"duty-record", exchange.record_id.encode()),
            (b"ai-disclosure", self._house.disclosure.header(exchange.model)),
            (b"cache-control", b"no-store"),
        ]

    async def _reject(
        self,
        held: HeldExchange,
        outcome: Outcome,
        status: int,
        body: bytes,
        headers: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        """Answer the handshake like any refused request: its record first."""
        held.exchange.status = status
        try:
            await held.close(outcome)
        except AuditError as error:
            await self._unrecorded(held, error)
            return
        await self._answer(status, body, [*self._headers(held), *(headers or ())])

    async def _unrecorded(self, held: HeldExchange, error: AuditError) -> None:
        log.error("record_not_durable", record=held.exchange.record_id, reason=str(error))
        self._house.meters.audit_failures.inc()
        body = _WIRE.error(503, "not_recorded", MESSAGES["not_recorded"][language_of_prompt(held.exchange)])
        await self._answer(503, body, [(b"cache-control", b"no-store")])

    async def _answer(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        if "websocket.http.response" not in (self._scope.get("extensions") or {}):
            await self._send({"type": "websocket.close", "code": 1008})
            return
        raw = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
        await self._send({"type": "websocket.http.response.start", "status": status, "headers": raw})
        await self._send({"type": "websocket.http.response.body", "body": body})


class _Talk:
    """An open session."""

    def __init__(
        self,
        runner: Runner,
        held: HeldExchange,
        asked: Handshake,
        socket: UpstreamSocket,
        receive: Receive,
        send: Send,
    ) -> None:
        self._house = runner.house
        self._held = held
        self._socket = socket
        self._receive = receive
        self._send = send
        self._line = SessionLine(runner, held, asked, socket, send)
        self._client = ClientSide(self._line)
        self._upstream = UpstreamSide(self._line)
        self._halted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until one side leaves, or the session is ended."""
        line = self._line
        over = SessionOver(Outcome.FAILED, 1011)
        ways = [
            asyncio.ensure_future(way)
            for way in (self._from_client(), self._from_upstream(), self._look(), line.watch(), self._halted)
        ]
        self._house.switches.enter(self._held.exchange, self._halt)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            over = next(_why(way) for way in ways if way.done())
        finally:
            self._house.switches.leave(self._held.exchange)
            for way in ways:
                way.cancel()
            ending = asyncio.ensure_future(self._end(ways, over))
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                await ending
                raise

    def _halt(self, refusal: Refusal) -> None:
        """A pause covers the session: it is over now, whatever is under way."""
        if not self._halted.done():
            self._held.exchange.decide(refusal.decision)
            over = SessionOver(Outcome.STOPPED, 1013, refusal.status, refusal.code, refusal.message)
            self._halted.set_exception(over)

    async def _from_client(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                raise SessionOver(self._left(message.get("code", 1005)), 0)
            text = message.get("text")
            self._line.is_active = True
            if text is None:
                raise SessionOver(Outcome.BAD_REQUEST, 1003, 415, "unsupported_frame", "Events are text frames.")
            await self._client.take(text)

    def _left(self, code: int) -> Outcome:
        """What a client's closing means, by its code: in order, broken, or because this process ends."""
        if code == 1012:
            return Outcome.FAILED
        if code in _UNREADABLE:
            return Outcome.BAD_REQUEST
        return Outcome.COMPLETED if code in _IN_ORDER and not self._line.is_busy else Outcome.CLIENT_GONE

    async def _from_upstream(self) -> None:
        while True:
            text = await self._socket.receive()
            if text is None:
                if self._line.is_busy:
                    raise UpstreamFailure("upstream_incomplete", 502)
                raise SessionOver(Outcome.COMPLETED, 1000)
            self._line.is_active = True
            await self._upstream.take(text)

    async def _look(self) -> None:
        """What time alone changes: minutes and curfew, a model that stands still, the longest time of a session."""
        house, line = self._house, self._line
        limits = house.settings.upstream
        ends_at = house.clock() + house.settings.realtime.session_s
        touch_at = house.clock() + house.minors.touch_every_s
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now = house.clock()
            if now >= ends_at and line.ending is None:
                message = "The session has reached its longest time. Open another one."
                line.end(SessionOver(Outcome.COMPLETED, 1000, 400, "session_expired", message))
            if line.person.is_protected and line.is_active and now >= touch_at:
                touch_at = now + house.minors.touch_every_s
                line.is_active = False
                await self._count_use()
            if any(now - response.fed_at > limits.idle_timeout_s for response in line.unread_responses()):
                raise UpstreamFailure("upstream_timeout", 504)
            if any(now - pending.asked_at > limits.first_byte_timeout_s for pending in line.pending):
                raise UpstreamFailure("upstream_timeout", 504)
            if line.ending is not None and not line.is_busy:
                raise line.ending

    async def _count_use(self) -> None:
        """Count a protected person's time, and find out whether they may go on."""
        line = self._line
        try:
            admitted = await self._house.minors.admit(line.person)
        except Refusal as refusal:
            held = line.hold(Prompt(line.model, False, [], {}))
            held.exchange.decide(refusal.decision)
            held.exchange.status = refusal.status
            await held.close(Outcome.REFUSED)
            line.end(SessionOver(Outcome.REFUSED, 1008, refusal.status, refusal.code, refusal.message))
        except StateError as error:
            log.error("use_not_counted", record=self._held.exchange.record_id, error=type(error).__name__)
            self._house.meters.duty_errors.inc("minors", "refuse")
        else:
            line.notices += admitted.notices

    async def _end(self, ways: Sequence[asyncio.Future[None]], over: SessionOver) -> None:
        """Records first, then the words, then both connections."""
        await asyncio.gather(*ways, return_exceptions=True)
        line = self._line
        outcome = over.outcome
        try:
            await line.close_all(over)
            await self._held.close(outcome)
        except AuditError as error:
            log.error("record_not_durable", record=self._held.exchange.record_id, reason=str(error))
            self._house.meters.audit_failures.inc()
            over = _not_recorded(self._held)
        with contextlib.suppress(OSError):  # the client may be gone
            if over.close_code and over.code:
                await line.say(error_event(line.new_id(), over.status, over.code, over.message, None))
            if over.close_code:
                await self._send({"type": "websocket.close", "code": over.close_code})
        await self._socket.close()


def _why(way: asyncio.Future[None]) -> SessionOver:
    """Why a session is over, from how one of its ways ended."""
    error = None if way.cancelled() else way.exception()
    if isinstance(error, SessionOver):
        return error
    if isinstance(error, UpstreamFailure):
        log.warning("upstream_failed", code=error.code)
        return SessionOver(Outcome.UPSTREAM_FAILED, 1011, error.status, error.code, error.message, failure=error)
    if isinstance(error, OSError):
        return SessionOver(Outcome.CLIENT_GONE, 0)
    if isinstance(error, AuditError):
        return SessionOver(Outcome.FAILED, 1011, 503, "not_recorded", MESSAGES["not_recorded"]["zh"])
    log.error("exchange_broken", error=type(error).__name__, exc_info=error)
    return SessionOver(Outcome.FAILED, 1011, 503, "duty_failed", MESSAGES["duty_failed"]["zh"])


def _not_recorded(held: HeldExchange) -> SessionOver:
    message = MESSAGES["not_recorded"][language_of_prompt(held.exchange)]
    return SessionOver(Outcome.FAILED, 1011, 503, "not_recorded", message)


async def run_session(runner: Runner, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one WebSocket on the path of the realtime wire."""
    await Session(runner, scope, receive, send).walk()
