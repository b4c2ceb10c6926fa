# SPDX-License-Identifier: Apache-2.0
"""Walks one exchange through the pipeline: the mechanics behind `gateway/pipeline.py`.

What must hold, in this order of importance:
- no byte of an answer leaves before its record is durable: a plain answer's whole record, a stream's opening record;
  a stream's last byte waits for its closing record;
- a duty that breaks stops the answer, by the rule that its stage names;
- when a duty stops an answer, the upstream call is cancelled before anything else is done;
- a client that hangs up, an upstream that dies and a shutdown each leave a record that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import structlog
from starlette.types import Receive, Scope, Send

from audit_log import AuditError, new_record_id
from content_filter import Outcome as Finding
from gateway.answer_chain import AnswerChain, DutyBroken
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.events import Event
from gateway.exchange import Exchange, Outcome
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.pipeline import FailureRule, Side, Stage
from gateway.state import StateError
from gateway.streaming import StreamedAnswer, failure_of
from gateway.upstream import UpstreamAnswer, UpstreamFailure
from gateway.wires.interfaces import BadAnswer, BadRequest, Wire
from gateway.wires.json_text import clean, loads_event, says_it_once, strings

if TYPE_CHECKING:
    from gateway.house import House

log = structlog.get_logger("dutybound.exchange")

_WATCH_AFTER_S = 0.05
"""A client is watched for hanging up once its answer takes this long: a task for every short exchange costs more."""

_LARGE_BYTES = 262_144
"""A plain answer of this size holds pictures or sounds; a megabyte takes some 10 ms to read and as many to write."""

_NO_STORE = (b"cache-control", b"no-store")

T = TypeVar("T")


class _Abandoned(Exception):
    """The client sent half a request and left."""


class HangUp:
    """Cancels the exchange's task when its client leaves."""

    __slots__ = ("_receive", "_task", "_timer", "_watch", "is_gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._start)
        self.is_gone = False

    def _start(self) -> None:
        self._timer = None
        self._watch = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        if self._task is not None:
            self._task.cancel()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def peer_of(scope: Scope) -> str:
    """The address at the other end of the connection; empty where there is none."""
    client = scope.get("client")
    return client[0] if client else ""


class Runner:
    """Walks exchanges. One for each process; holds nothing of an exchange."""

    def __init__(self, house: House, stages: Sequence[Stage]) -> None:
        self.house = house
        self.request_duties = [
            (stage, stage.request(house))
            for stage in stages
            if stage.side is Side.REQUEST and stage.request is not None
        ]
        self.answer_stages = [stage for stage in stages if stage.side is Side.ANSWER]
        self.aside = ThreadPoolExecutor(1, "large-answers")
        """One thread: several that decode at once would share the interpreter with the loop in ever smaller parts."""

    async def run(self, wire: Wire, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request on `wire`."""
        exchange = Exchange(
            record_id=new_record_id(random=self.house.entropy),
            started_at=self.house.clock(),
            wire=wire.name,
            path=scope["path"],
            headers=scope["headers"],
            peer=peer_of(scope),
            is_generative=wire.is_generative,
        )
        await _Passage(self, wire, exchange, scope, receive, send).walk()


class _Passage:
    """One exchange on its way."""

    __slots__ = ("closed", "exchange", "halted", "halting", "hang_up", "house", "is_begun", "opening", "receive",
                 "runner", "scope", "send", "streamed", "task", "wire")  # fmt: skip

    def __init__(
        self, runner: Runner, wire: Wire, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.runner = runner
        self.house = runner.house
        self.wire = wire
        self.exchange = exchange
        self.scope = scope
        self.receive = receive
        self.send = send
        self.hang_up: HangUp | None = None
        self.opening: asyncio.Task[None] | None = None
        self.is_begun = False
        """Whether a byte of the answer has left."""
        self.closed = False
        """Whether the record that ends the exchange was given to the log: it is written once, and to its end."""
        self.task = asyncio.current_task()
        self.streamed: StreamedAnswer | None = None
        self.halted: Refusal | None = None
        """Why the exchange was ended from outside."""
        self.halting: asyncio.Task[None] | None = None

    async def walk(self) -> None:
        """The whole way. Never raises for what a client or an upstream does."""
        exchange = self.exchange
        self.house.switches.enter(exchange, self.halt)
        try:
            try:
                await self._answer()
            except asyncio.CancelledError:
                if self.halted is None or self.is_begun or self.task is None or self.task.uncancel():
                    raise
                await self._say_halted(self.halted)
            if exchange.person.subject:
                await self._count(self.house.measures.ended(exchange))
                await self._count(self.house.incident_notices.ended(exchange))
        except asyncio.CancelledError:
            is_gone = self.hang_up is not None and self.hang_up.is_gone
            exchange.outcome = Outcome.CLIENT_GONE if is_gone else Outcome.FAILED
            await self._close_late()
            task = asyncio.current_task()
            if not is_gone or task is None:
                raise
            task.uncancel()
        except _Abandoned:
            exchange.outcome = Outcome.CLIENT_GONE
            await self._close_late()
        except Exception as error:
            # Without a record there is no answer; what was begun ends without its last event.
            reason = str(error) if isinstance(error, AuditError) else type(error).__name__
            log.error("record_not_durable", record=exchange.record_id, reason=reason)
            self.house.meters.audit_failures.inc()
            exchange.outcome = Outcome.FAILED
            await self._say_unrecorded()
        finally:
            self.house.switches.leave(exchange)
            if self.hang_up is not None:
                self.hang_up.stop()
            self.house.meters.count_exchange(exchange, self.house.clock())
            if exchange.person.api_key:  # whoever hangs up has used what was made for them
                await self._count(self.house.api_keys.ended(exchange), "quotas")

    def halt(self, refusal: Refusal) -> None:
        """End the exchange now, from outside: a stream with the wire's own ending, everything else with `refusal`."""
        if self.closed or self.halted is not None:
            return
        self.halted = refusal
        if not self.is_begun:
            if self.task is not None:
                self.task.cancel()
        elif self.streamed is not None:
            self.halting = asyncio.ensure_future(self.streamed.halt(refusal.decision, "answer_paused"))

    async def _say_halted(self, refusal: Refusal) -> None:
        exchange = self.exchange
        exchange.decide(refusal.decision)
        exchange.outcome = Outcome.STOPPED if exchange.asked_at else Outcome.REFUSED
        body = self.wire.error(refusal.status, refusal.code, refusal.message)
        await self._whole(refusal.status, body, refusal.headers)

    async def _answer(self) -> None:
        exchange, wire = self.exchange, self.wire
        try:
            body = await self._read_body()
            self.hang_up = HangUp(self.receive)
            query = self.scope.get("query_string", b"").decode("latin-1")
            with_headers = getattr(wire, "read_request_with_headers", None)
            if with_headers is None:
                prompt = wire.read_request(exchange.path, query, body)
            else:
                prompt = with_headers(exchange.path, query, body, exchange.headers)
            exchange.prompt = prompt
            exchange.model = prompt.model
            if exchange.is_generative:
                exchange.label = self.house.labels.envelope(exchange.record_id)
            for stage, duty in self.runner.request_duties:
                try:
                    await duty(exchange)
                except Refusal:
                    raise
                except Exception as error:  # the rule of the pipeline: a broken duty refuses
                    raise self._broken_refusal(stage, error) from error
            await self._forward()
        except BadRequest as error:
            exchange.outcome = Outcome.BAD_REQUEST
            await self._whole(error.status, wire.error(error.status, error.code, error.message, error.param))
        except Refusal as refusal:
            await self._refuse(refusal)
        except UpstreamFailure as failure:
            log.warning("upstream_failed", record=exchange.record_id, code=failure.code)
            exchange.outcome = Outcome.UPSTREAM_FAILED
            await self._whole(failure.status, wire.error(failure.status, failure.code, failure.message))
        except DutyBroken:
            await self._end_broken()
        except (AuditError, _Abandoned):
            raise
        except Exception as error:  # what no rule names is broken as well: a codec, a counter
            log.error("exchange_broken", record=exchange.record_id, error=type(error).__name__, exc_info=error)
            await self._end_broken()

    async def _end_broken(self) -> None:
        """The end of an answer of which a part of ours broke: an error, or the wire's words behind what was sent."""
        exchange = self.exchange
        message = MESSAGES["duty_failed"][language_of_prompt(exchange)]
        if not self.is_begun:
            exchange.outcome = Outcome.FAILED
            await self._whole(503, self.wire.error(503, "duty_failed", message))
        elif not self.closed:
            exchange.outcome = Outcome.FAILED
            await self._close()
            body = self.wire.writer(exchange).broken("duty_failed", message)
            await self.send({"type": "http.response.body", "body": body})

    # The request.

    async def _read_body(self) -> bytes:
        limits = self.house.settings.limits
        for name, value in self.exchange.headers:
            if name == b"content-length" and (not value.isdigit() or int(value) > limits.request_body_bytes):
                raise _too_large(limits.request_body_bytes)
            if name == b"duty-receipt":
                self.exchange.wants_receipt = True
            if name == b"content-encoding" and value.lower() != b"identity":
                raise BadRequest("unsupported_encoding", "Send the request body without Content-Encoding.", status=415)
        message = await self.receive()
        if not message.get("more_body"):
            if message["type"] == "http.disconnect":
                raise _Abandoned
            first: bytes = message.get("body", b"")
            if len(first) > limits.request_body_bytes:
                raise _too_large(limits.request_body_bytes)
            return first
        parts, size = [], 0
        try:
            async with asyncio.timeout(limits.body_timeout_s):
                while True:
                    if message["type"] == "http.disconnect":
                        raise _Abandoned
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limits.request_body_bytes:
                        raise _too_large(limits.request_body_bytes)
                    if not message.get("more_body"):
                        return b"".join(parts)
                    message = await self.receive()
        except TimeoutError:
            raise BadRequest("request_timeout", "The request body did not arrive in time.", status=408) from None

    async def _refuse(self, refusal: Refusal) -> None:
        exchange = self.exchange
        if exchange.person.subject:
            await self._count(self.house.measures.refused(exchange, refusal))
        exchange.decide(refusal.decision)
        exchange.outcome = Outcome.REFUSED
        in_band = self.wire.refusal(exchange, refusal) if refusal.in_band else None
        if in_band is None:
            body = self.wire.error(refusal.status, refusal.code, refusal.message)
            await self._whole(refusal.status, body, refusal.headers)
            return
        status, events = in_band
        writer = self.wire.writer(exchange)
        await self._whole(status, writer.write(events), refusal.headers, writer.content_type)

    def _broken_refusal(self, stage: Stage, error: Exception) -> Refusal:
        decision = self._broken(stage, error, Action.REFUSE)
        message = MESSAGES["duty_failed"][language_of_prompt(self.exchange)]
        return Refusal(decision, status=503, code="duty_failed", message=message)

    def _broken(self, stage: Stage, error: Exception, action: Action) -> Decision:
        name = stage.key
        log.error("duty_broken", record=self.exchange.record_id, duty=name, error=type(error).__name__, exc_info=error)
        self.house.meters.duty_errors.inc(name, stage.on_error.value)
        return Decision(name, Verdict.ERROR, action, reason="broken")

    # The answer.

    async def _forward(self) -> None:
        exchange, house, wire = self.exchange, self.house, self.wire
        assert exchange.prompt is not None
        is_stream = exchange.prompt.stream
        if is_stream:
            exchange.closing_id = new_record_id(random=self.house.entropy)
            self.opening = asyncio.create_task(house.recorder.opened(exchange))
            house.meters.streams_open.inc()
        asked_at = house.clock()
        exchange.asked_at = asked_at
        try:
            async with house.upstream.open(
                wire.call(exchange.path, self._query(), exchange.prompt), exchange.headers
            ) as answer:
                exchange.upstream_status = answer.status
                exchange.upstream_id = answer.request_id
                if answer.status >= 300:
                    refused = await answer.body(house.settings.limits.answer_body_bytes)
                elif is_stream:
                    await self._stream(answer)
                    return
                else:
                    plain = await answer.body(house.settings.limits.answer_body_bytes)
                upstream_headers = answer.headers()
        finally:
            house.meters.upstream_duration.observe(house.clock() - asked_at, wire.name)
            if is_stream:
                house.meters.streams_open.dec()
        if exchange.upstream_status >= 300:
            await self._pass_error(refused, upstream_headers, answer.content_type)
        else:
            await self._plain(plain, upstream_headers)

    def _query(self) -> str:
        query: bytes = self.scope.get("query_string", b"")
        return query.decode("latin-1")

    async def _pass_error(self, body: bytes, headers: list[tuple[bytes, bytes]], content_type: str) -> None:
        """The upstream's own refusal goes to the client as it is, unless it says what an answer may not say."""
        exchange = self.exchange
        exchange.outcome = Outcome.UPSTREAM_REFUSED
        status = exchange.upstream_status if exchange.upstream_status >= 400 else 502
        if not (content_type.endswith("json") and self._may_leave(body)):
            body = self.wire.error(status, "upstream_error", "The model behind this service refused the request.")
        await self._whole(status, body, upstream_headers=headers)

    def _may_leave(self, body: bytes) -> bool:
        """Whether a JSON document says nothing that an answer may not say; its texts count, not how they are spelt."""
        try:
            texts = [clean(text) for _, text in strings(loads_event(body), "")]
        except ValueError:
            return False
        current = self.exchange.filter
        if not says_it_once(body):
            return False
        return current is None or current.check_texts(texts, "answer")[1].verdict in (Finding.PASS, Finding.FLAG)

    async def _plain(self, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        exchange, house = self.exchange, self.house
        assert exchange.prompt is not None
        exchange.answered_at = house.clock()
        if house.recorder.keeps_bodies:
            exchange.kept.append(body)
        chain = self._chain()
        writer = self.wire.writer(exchange)
        late: list[Event] = []
        if chain.judge is not None:

            async def released(events: list[Event]) -> None:
                late.extend(chain.behind_judge(events))

            chain.judge.emit = released
        try:
            reader = self.wire.reader(exchange.prompt, house.settings.limits.event_bytes)
            events = chain.through(await self._aside(lambda: [*reader.feed(body), *reader.close()], len(body)))
            await chain.settled()
            whole = await chain.media(await chain.media_in_texts([*events, *late]))
            out = await self._aside(lambda: writer.write(whole), len(body))
        except BadAnswer as error:
            raise failure_of(error) from None
        finally:
            chain.close()
        self._decided(chain)
        if exchange.outcome is Outcome.OPEN:
            exchange.outcome = Outcome.COMPLETED
        status = getattr(writer, "status", 200)  # a wire may have no words but an error for an answer that was stopped
        await self._whole(status, out, upstream_headers=headers, content_type=writer.content_type)
        added = house.clock() - exchange.answered_at + exchange.asked_at - exchange.started_at
        house.meters.added_duration.observe(added, self.wire.name)
        await self._after(chain)

    async def _aside(self, work: Callable[[], T], size: int) -> T:
        """What `work` gives, from a thread where `size` bytes are so many that other exchanges would wait for it."""
        if size < _LARGE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self.runner.aside, work)

    async def _stream(self, answer: UpstreamAnswer) -> None:
        exchange, house = self.exchange, self.house
        assert exchange.prompt is not None
        reader = self.wire.reader(exchange.prompt, house.settings.limits.event_bytes)
        if answer.content_type != getattr(reader, "media_type", "text/event-stream"):
            raise UpstreamFailure("upstream_invalid", 502)
        writer = self.wire.writer(exchange)
        chain = self._chain()

        async def send(out: bytes) -> None:
            await self._begin(writer.content_type, answer.headers())
            await self.send({"type": "http.response.body", "body": out, "more_body": True})

        self.streamed = StreamedAnswer(house, exchange, answer, reader, writer, chain, send, self._count_use)
        last = await self.streamed.run()
        self._decided(chain)
        house.meters.stream_holdback.observe(float(exchange.most_held))
        await self._begin(writer.content_type, answer.headers())
        await self._close()
        await self.send({"type": "http.response.body", "body": last})
        await self._after(chain)

    def _chain(self) -> AnswerChain:
        return AnswerChain(self.house, self.exchange, self.runner.answer_stages, self._broken)

    def _decided(self, chain: AnswerChain) -> None:
        for decision in chain.decisions():
            self.exchange.decide(decision)

    # What leaves.

    async def _whole(
        self,
        status: int,
        body: bytes,
        headers: Sequence[tuple[str, str]] = (),
        content_type: bytes = b"application/json",
        upstream_headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """A whole answer: its record first."""
        exchange = self.exchange
        exchange.status = status
        await self._close()
        exchange.first_byte_at = self.house.clock()
        raw = self._headers(content_type, upstream_headers)
        raw += ((name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers)
        raw.append((b"content-length", str(len(body)).encode()))
        self.is_begun = True
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})

    def _headers(self, content_type: bytes, upstream: Sequence[tuple[bytes, bytes]] = ()) -> list[tuple[bytes, bytes]]:
        exchange = self.exchange
        headers = [
            (b"content-type", content_type),
            (b"duty-record", exchange.record_id.encode()),
            (b"ai-disclosure", self.house.disclosure.header(exchange.model)),
            _NO_STORE,
            *(pair for pair in upstream if pair[0] != b"cache-control"),
        ]
        if exchange.wants_receipt:
            headers += self.house.recorder.receipt(exchange)
        return headers

    async def _begin(self, content_type: bytes, upstream: list[tuple[bytes, bytes]]) -> None:
        """The head of a stream, once its opening record is durable."""
        if self.is_begun:
            return
        assert self.opening is not None
        await asyncio.shield(self.opening)  # a client that leaves now takes nothing back: the record is closed later
        self.is_begun = True
        self.exchange.status = 200
        self.exchange.first_byte_at = self.house.clock()
        headers = [*self._headers(content_type, upstream), (b"x-accel-buffering", b"no")]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})

    # The record.

    async def _close(self) -> None:
        if self.closed:
            return
        if self.hang_up is not None:
            self.hang_up.stop()  # the record says how it ended; whoever leaves from here on changes nothing
        opening = self.opening
        if opening is not None:
            await asyncio.shield(opening)
        self.closed = True
        try:
            await self.house.recorder.closed(self.exchange, was_opened=opening is not None)
        except Exception:
            self.closed = False
            raise

    async def _close_late(self) -> None:
        """The record of an exchange whose task was cancelled; it is written to its end whatever happens meanwhile."""
        writing = asyncio.ensure_future(self._close())
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise
        except AuditError as error:
            log.error("record_not_durable", record=self.exchange.record_id, reason=str(error))
            self.house.meters.audit_failures.inc()

    async def _say_unrecorded(self) -> None:
        message = MESSAGES["not_recorded"][language_of_prompt(self.exchange)]
        if self.is_begun:
            body = self.wire.writer(self.exchange).broken("not_recorded", message)
            await self.send({"type": "http.response.body", "body": body})
            return
        body = self.wire.error(503, "not_recorded", message)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), _NO_STORE]
        await self.send({"type": "http.response.start", "status": 503, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def _after(self, chain: AnswerChain) -> None:
        """What follows an answer that has left: who was told, and how long a protected person used the service."""
        exchange = self.exchange
        if exchange.head_notice and chain.is_told:
            await self.house.disclosure.mark_told(exchange.person)
        if exchange.person.is_protected:
            await self._count_use()

    async def _count(self, counting: Awaitable[None], duty: str = "measures") -> None:
        """Count what follows for a person from an exchange whose answer is settled. It stays settled where the counters
        are away: the next request is then refused by the rule of its stage."""
        try:
            await counting
        except StateError as error:
            log.error(f"{duty}_not_counted", record=self.exchange.record_id, error=type(error).__name__)
            self.house.meters.duty_errors.inc(duty, FailureRule.REFUSE.value)

    async def _count_use(self) -> None:
        """Count a protected person's time. An answer that has begun is finished even where the counters are away: the
        next request is then refused by the rule of its stage."""
        try:
            await self.house.minors.touch(self.exchange.person)
        except StateError as error:
            log.error("use_not_counted", record=self.exchange.record_id, error=type(error).__name__)
            self.house.meters.duty_errors.inc("minors", FailureRule.REFUSE.value)


def _too_large(limit: int) -> BadRequest:
    return BadRequest("request_too_large", f"The request body is larger than {limit} bytes.", status=413)
