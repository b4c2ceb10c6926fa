# SPDX-License-Identifier: Apache-2.0
"""Rooms for tests of the runner: a log that waits or breaks on demand, an upstream made of lists, a client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

from audit_log import Entry, LogUnavailable, leaf_bytes
from content_filter import ContentFilter, FilterHandle, Incident
from gateway.events import Event
from gateway.exchange import Exchange
from gateway.filtering import AnswerFilter, PromptFilter
from gateway.house import House
from gateway.incident_notices import IncidentNotices
from gateway.measures import Ladder, Measures, Step
from gateway.metrics import Meters
from gateway.notices import NoticesInAnswer
from gateway.own_records import OwnRecords, entry_of
from gateway.pipeline import FailureRule, Side, Stage
from gateway.policies import load
from gateway.recording import Recorder
from gateway.runner import Runner
from gateway.settings import Settings
from gateway.standing import Standing
from gateway.state import MemoryOrders, MemoryState
from gateway.switches import Switches
from gateway.text_labels import LabelAnswer
from gateway.upstream import UpstreamFailure
from gateway.wires.interfaces import Call, Wire
from gateway.wires.openai_chat import PATH, OpenAIChat
from tests.gateway.wires.driver import FILTER, labels

CHAT = OpenAIChat()
NOW = 1_700_000_000.0
Message = Mapping[str, Any]


@dataclass
class Log:
    """A log that keeps what was appended and says when it became durable."""

    timeline: list[str]
    entries: list[Entry] = field(default_factory=list)
    broken: frozenset[str] = frozenset()
    """Types of records that cannot be kept."""
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    """Types of records that become durable only once their gate is open."""
    asked: list[str] = field(default_factory=list)

    async def append(self, entry: Entry) -> int:
        """As `AuditLog.append`: a caller that stops waiting takes nothing back."""
        return (await self.append_many((entry,)))[0]

    async def append_many(self, entries: Sequence[Entry]) -> list[int]:
        """As `AuditLog.append_many`."""
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._keeping = getattr(self, "_keeping", [])
        self._keeping.append(asyncio.ensure_future(self._keep(tuple(entries), future)))
        return await future

    async def _keep(self, entries: tuple[Entry, ...], future: asyncio.Future[list[int]]) -> None:
        for entry in entries:
            kind = str(entry.fields["type"])
            self.asked.append(kind)
            if kind in self.gates:
                await self.gates[kind].wait()
            if kind in self.broken:
                if not future.done():
                    future.set_exception(LogUnavailable("the disk is away"))
                return
            leaf_bytes({**entry.fields})
        for entry in entries:
            self.entries.append(entry)
            self.timeline.append(f"record {entry.fields['type']}")
        if not future.done():
            future.set_result(list(range(len(entries))))

    def records(self, kind: str = "") -> list[dict[str, Any]]:
        """The leaves of one type, or all."""
        return [dict(entry.fields) for entry in self.entries if kind in ("", entry.fields["type"])]


class Incidents:
    """Keeps what was opened."""

    def __init__(self) -> None:
        self.opened: list[Incident] = []

    async def open_async(self, incident: Incident) -> None:
        """As `IncidentStore.open_async`."""
        await asyncio.sleep(0)
        self.opened.append(incident)


@dataclass
class Answer:
    """What the upstream answers: reads, or failures among them; an event in the list is waited for."""

    reads: Iterable[bytes | Exception | asyncio.Event]
    timeline: list[str]
    status: int = 200
    content_type: str = "application/json"
    extra_headers: tuple[tuple[bytes, bytes], ...] = ((b"x-request-id", b"up-1"),)

    @property
    def request_id(self) -> str:
        """The id of the call."""
        return dict(self.extra_headers).get(b"x-request-id", b"").decode()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The reads, as they are asked for."""
        for data in self.reads:
            if isinstance(data, Exception):
                raise data
            if isinstance(data, asyncio.Event):
                await data.wait()
                continue
            self.timeline.append("read")
            yield data

    async def body(self, limit: int) -> bytes:
        """All of it."""
        return b"".join([data async for data in self.chunks()])

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What a client may see."""
        return list(self.extra_headers)

    def cancel(self) -> None:
        """The model is told to stop."""
        self.timeline.append("upstream cancelled")


@dataclass
class Upstream:
    """Gives one answer, and keeps what it was asked."""

    answer: Answer | Exception
    calls: list[Call] = field(default_factory=list)

    @asynccontextmanager
    async def open(self, call: Call, headers: object) -> AsyncIterator[Answer]:
        """As `Upstream.open`."""
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        try:
            yield self.answer
        finally:
            self.answer.cancel()


class People:
    """Stands for disclosure and minors: tells who was told and how often time was counted."""

    touch_every_s = 30.0

    def __init__(self) -> None:
        self.told = 0
        self.touched = 0
        self.pause: Callable[[], Any] | None = None

    def header(self, model: str) -> bytes:
        """The `AI-Disclosure` header."""
        return b"mode=ai"

    async def mark_told(self, person: object) -> bool:
        """Somebody read the notice."""
        await asyncio.sleep(0.01)
        self.told += 1
        return True

    async def touch(self, person: object) -> None:
        """Time was counted."""
        await asyncio.sleep(0.01)
        self.touched += 1


@dataclass
class Client:
    """Sends one request and keeps what came back, in the order of everything that happened."""

    body: bytes
    timeline: list[str]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    parts: Sequence[Message] | None = None
    path: str = PATH
    method: str = "POST"
    query: bytes = b""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Message] = field(default_factory=list)
    on_send: Callable[[Message], None] | None = None
    is_polite: bool = True
    """A server that says `http.disconnect` once the answer is complete, as uvicorn does."""
    _given: int = 0

    def scope(self) -> dict[str, Any]:
        """As ASGI has it."""
        return {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "query_string": self.query,
            "headers": [(b"content-length", str(len(self.body)).encode()), *self.headers],
        }

    async def receive(self) -> Message:
        """The request, then silence until the client leaves."""
        parts = self.parts or ({"type": "http.request", "body": self.body},)
        if self._given < len(parts):
            self._given += 1
            return parts[self._given - 1]
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep what was sent."""
        self.sent.append(message)
        is_last = message["type"] == "http.response.body" and not message.get("more_body")
        start = message["type"] == "http.response.start"
        self.timeline.append("head" if start else "last byte" if is_last else "byte")
        if is_last and self.is_polite:
            self.gone.set()
        if self.on_send is not None:
            self.on_send(message)

    @property
    def status(self) -> int:
        """The status that was sent; 0 where nothing was."""
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def answer_headers(self) -> dict[bytes, bytes]:
        """The headers that were sent."""
        return dict(self.sent[0]["headers"])

    @property
    def answer(self) -> bytes:
        """The body that was sent."""
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def code(self) -> str:
        """The code of the error that was sent."""
        return str(json.loads(self.answer)["error"]["code"])


class Rooms:
    """One house of fakes around a real runner, with real duties unless a test brings its own stages."""

    def __init__(
        self,
        reads: Iterable[bytes | Exception | asyncio.Event] | Exception = (),
        *,
        stages: Sequence[Stage] | None = None,
        bodies: str = "none",
        current: ContentFilter = FILTER,
        settings: Mapping[str, Any] | None = None,
        **answer: Any,
    ) -> None:
        self.timeline: list[str] = []
        self.log = Log(self.timeline)
        self.incidents = Incidents()
        self.people = People()
        self.meters = Meters(version="0")
        self.now = NOW
        given = reads if isinstance(reads, Exception) else Answer(reads, self.timeline, **answer)
        self.upstream = Upstream(given)
        clock = lambda: self.now  # noqa: E731
        standing = Standing(MemoryOrders(clock), clock, poll_s=0.05, stale_after_s=10.0, monotonic=clock)
        records = OwnRecords(self.record_fields, standing)
        self.house = cast(
            House,
            SimpleNamespace(
                settings=Settings(**dict(settings or {})),
                clock=clock,
                entropy=lambda count: bytes(count),
                meters=self.meters,
                labels=labels(),
                filter=FilterHandle(current),
                upstream=self.upstream,
                disclosure=self.people,
                minors=self.people,
                judging=None,
                standing=standing,
                switches=Switches(standing),
                measures=Measures(
                    standing,
                    MemoryState(clock),
                    Ladder.of(load(["cn"])),
                    records,
                    zone=ZoneInfo("Asia/Shanghai"),
                    entropy=lambda count: bytes(count),
                    appeal_url="/duty/complaints",
                    automatic_up_to=Step.TERMINATE,
                    counts_answers=True,
                ),
                incident_notices=IncidentNotices(standing, records),
                recorder=Recorder(
                    cast(Any, self.log), cast(Any, self.incidents), load(["cn"]), bodies, clock, self.meters
                ),
            ),
        )
        self.runner = Runner(self.house, WAY if stages is None else stages)

    def client(self, body: bytes = b"", **options: Any) -> Client:
        """A client whose doings are on the same timeline."""
        return Client(body or request(), self.timeline, **options)

    async def record_fields(self, fields: Mapping[str, object]) -> str:
        """Append a record of our own."""
        record_id, entry = entry_of(fields)
        await self.log.append(entry)
        return record_id

    async def walk(self, client: Client, wire: Wire = CHAT) -> Client:
        """Answer its request."""
        await self.runner.run(wire, client.scope(), client.receive, client.send)
        return client

    def run(self, client: Client | None = None, wire: Wire = CHAT) -> Client:
        """The same, with a loop around it that must be empty afterwards."""

        async def whole() -> Client:
            walked = await self.walk(client or self.client(), wire)
            await settle()
            return walked

        return asyncio.run(whole())

    @property
    def record(self) -> dict[str, Any]:
        """The one record that ends the exchange."""
        (entry,) = [entry for entry in self.log.records() if entry["type"] in ("exchange", "close")]
        return entry


async def settle() -> None:
    """Let what was started go on until nothing moves; whatever task is left is a leak."""
    for _ in range(50):
        await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert left == [], left


def stage(name: str, side: Side, make: Any) -> Stage:
    """A stage of a test's own duty."""
    rule = FailureRule.REFUSE if side is Side.REQUEST else FailureRule.STOP
    made = {"request" if side is Side.REQUEST else "answer": make}
    return Stage(name, side, "does what the test says", rule, **made)


WAY: tuple[Stage, ...] = (
    stage("filter prompt", Side.REQUEST, lambda house: PromptFilter(house.filter)),
    stage("filter answer", Side.ANSWER, lambda house, exchange: AnswerFilter(exchange, house.filter.current)),
    stage("label", Side.ANSWER, lambda house, exchange: LabelAnswer(exchange, house.labels)),
    stage("notices", Side.ANSWER, lambda house, exchange: NoticesInAnswer(exchange)),
)


class Broken:
    """A duty that breaks: on the way in, at the n-th batch of events, when flushed, or when asked what it decided."""

    def __init__(self, at: int = -1, *, flush: bool = False, decision: bool = False) -> None:
        self._left = at
        self._breaks = flush, decision

    async def __call__(self, exchange: Exchange) -> None:
        """A request duty that breaks."""
        raise RuntimeError("secret words")

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """What came, until it breaks."""
        if self._left == 0:
            raise RuntimeError("secret words")
        self._left -= 1
        return list(events)

    def flush(self) -> list[Event]:
        """Nothing waits."""
        if self._breaks[0]:
            raise RuntimeError("secret words")
        return []

    def decision(self) -> None:
        """Nothing to say."""
        if self._breaks[1]:
            raise RuntimeError("secret words")


def request(text: str = "hello", **members: Any) -> bytes:
    """A chat request."""
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **members}).encode()


def completion(text: str = "Hello.") -> bytes:
    """A plain answer."""
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    return json.dumps(
        {"id": "i", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}
    ).encode()


def chunks(*texts: str, ends: bool = True) -> list[bytes]:
    """A stream, one read a text, ended or broken off."""
    deltas: list[dict[str, Any]] = [{"index": 0, "delta": {"content": text}} for text in texts]
    if ends:
        deltas.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    members = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    reads = [b"data: " + json.dumps({**members, "choices": [delta]}).encode() + b"\n\n" for delta in deltas]
    return [*reads, b"data: [DONE]\n\n"] if ends else reads


STREAM = {"content_type": "text/event-stream"}
BROKEN_OFF = UpstreamFailure("upstream_incomplete", 502)
