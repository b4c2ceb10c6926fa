# SPDX-License-Identifier: Apache-2.0
"""A stream on its way out: bytes in order, a client kept awake, the last event handed back and not sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest

from gateway.answer_chain import AnswerChain, DutyBroken
from gateway.decisions import Action, Decision, Verdict
from gateway.exchange import AgeBand, Outcome, Person
from gateway.pipeline import Stage
from gateway.streaming import StreamedAnswer, failure_of
from gateway.upstream import UpstreamAnswer, UpstreamFailure
from gateway.wires.interfaces import BadAnswer
from tests.gateway.rooms import BROKEN_OFF, CHAT, WAY, Answer, Rooms, chunks, request, settle, stage
from tests.gateway.rooms import Broken as BrokenDuty
from tests.gateway.wires.driver import TERM, ask


class Stream:
    """One stream of fakes; `sent` is what left, `last` what was handed back."""

    def __init__(
        self, reads: Iterable[bytes | Exception | asyncio.Event], stages: Iterable[Stage] = WAY, **options: Any
    ) -> None:
        self.rooms = Rooms(**options)
        self.exchange = ask(CHAT, "/v1/chat/completions", request(stream=True))
        self.answer = Answer(reads, self.rooms.timeline)
        self.sent: list[bytes] = []
        self.counted = 0
        self.last = b""
        self._stages = tuple(item for item in stages if item.answer is not None)

    async def send(self, out: bytes) -> None:
        """A part of the body."""
        await asyncio.sleep(0)
        self.sent.append(out)
        self.rooms.timeline.append("part")

    async def count(self) -> None:
        """Time of a protected person."""
        self.counted += 1

    async def run(self) -> Stream:
        """The whole stream."""
        house, exchange = self.rooms.house, self.exchange
        assert exchange.prompt is not None
        broken = lambda at, error, action: Decision(at.key, Verdict.ERROR, action, "broken")  # noqa: E731
        stream = StreamedAnswer(
            house,
            exchange,
            cast(UpstreamAnswer, self.answer),
            CHAT.reader(exchange.prompt, 1 << 20),
            CHAT.writer(exchange),
            AnswerChain(house, exchange, self._stages, broken),
            self.send,
            self.count,
        )
        self.last = await stream.run()
        return self

    def walked(self) -> Stream:
        """The same, from a test without a loop; nothing of it may be left running."""

        async def whole() -> Stream:
            try:
                return await self.run()
            finally:
                await settle()

        return asyncio.run(whole())

    @property
    def body(self) -> str:
        """All that left and was handed back."""
        return b"".join([*self.sent, self.last]).decode()


def test_the_last_event_is_handed_back_and_not_sent() -> None:
    """The closing record must be durable before it."""
    stream = Stream(chunks("Hello ", "there.")).walked()
    assert stream.last.endswith(b"data: [DONE]\n\n") and b"aigc" in stream.last
    assert not any(b"[DONE]" in part for part in stream.sent)
    assert stream.exchange.outcome is Outcome.COMPLETED


def test_every_read_leaves_before_the_next_is_waited_for() -> None:
    """A stream stays a stream."""
    stream = Stream(chunks("Hello ", "there ", "you")).walked()
    line = stream.rooms.timeline
    assert line[:6] == ["read", "part"] * 3


def test_a_stop_reads_no_more_and_cancels() -> None:
    """What came behind the match was never read."""
    stream = Stream(chunks("Hello ", f"a {TERM}", "never")).walked()
    assert stream.rooms.timeline.count("read") == 2 and "upstream cancelled" in stream.rooms.timeline
    assert stream.exchange.outcome is Outcome.STOPPED
    assert TERM not in stream.body and "content_filter" in stream.last.decode()


@pytest.mark.parametrize(
    ("tail", "code"),
    [([BROKEN_OFF], "upstream_incomplete"), ([b"data: {\n\n"], "upstream_invalid"), ([], "upstream_incomplete")],
)
def test_a_stream_that_breaks_off_ends_in_the_wires_words(tail: list[Any], code: str) -> None:
    """What waited is let out, labelled; the error is the last event; no `[DONE]`."""
    stream = Stream([*chunks("Hello ", "禁", ends=False), *tail]).walked()
    assert code in stream.last.decode() and "[DONE]" not in stream.body
    assert "\\u7981" in stream.body or "禁" in stream.body
    assert stream.exchange.outcome is Outcome.UPSTREAM_FAILED


@pytest.mark.parametrize("reads", [[BROKEN_OFF], [b"data: {\n\n"], []])
def test_where_nothing_was_sent_the_failure_is_the_callers_to_say(reads: list[Any]) -> None:
    """It still has a status to give."""
    stream = Stream(reads)
    with pytest.raises(UpstreamFailure):
        stream.walked()
    assert stream.sent == [] and "upstream cancelled" in stream.rooms.timeline


@pytest.mark.parametrize("at", [0, 2])
def test_a_duty_that_breaks_ends_it(at: int) -> None:
    """By an error the caller gives, or by one in the stream."""
    stages = [*WAY, stage("x", cast(Any, WAY[1].side), lambda house, exchange: BrokenDuty(at))]
    stream = Stream(chunks("Hello ", "there", "more"), stages)
    if at:
        assert b"duty_failed" in stream.walked().last and "more" not in stream.body
    else:
        with pytest.raises(DutyBroken):
            stream.walked()
        assert stream.sent == []
    assert stream.exchange.outcome is Outcome.FAILED
    assert stream.exchange.decisions[-1].action is Action.STOP


def test_time_of_a_protected_person_counts_while_the_answer_lasts() -> None:
    """Every so often, not at every read; nobody else's counts."""
    for person, counts in ((Person(age_band=AgeBand.FROM_12), 2), (Person(), 0)):
        stream = Stream(())
        stream.exchange.person = person

        def reads(stream: Stream = stream) -> Any:
            for data in chunks(*"abcdefg"):
                stream.rooms.now += 10
                yield data

        stream.answer.reads = reads()
        assert stream.walked().counted == counts


def test_a_client_that_waits_is_kept_awake_between_events_only() -> None:
    """With bytes that every parser ignores."""

    async def scene() -> None:
        silence = asyncio.Event()
        first, *rest = chunks("Hello ", "there.")
        stream = Stream([first, silence, *rest], settings={"limits": {"keep_alive_s": 0.01}})
        running = asyncio.ensure_future(stream.run())
        for _ in range(200):
            stream.rooms.now += 1
            await asyncio.sleep(0.005)
            if b": keep-alive\n\n" in stream.sent:
                break
        silence.set()
        await running
        assert b": keep-alive\n\n" in stream.sent and not stream.last.startswith(b":")
        assert stream.body.count("Hello") == 1 and stream.exchange.outcome is Outcome.COMPLETED

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_what_the_upstream_sent_is_kept_where_the_settings_say_so() -> None:
    """As it came."""
    reads = chunks("Hello.")
    assert Stream(reads, bodies="all").walked().exchange.kept == reads
    assert Stream(reads).walked().exchange.kept == []


def test_a_bad_answer_has_one_of_three_names() -> None:
    """What the client can do differs."""
    assert [failure_of(BadAnswer(code)).code for code in ("incomplete", "invalid_json", "unlabelled_media")] == [
        "upstream_incomplete",
        "upstream_invalid",
        "unlabelled_media",
    ]
    assert [failure_of(BadAnswer(code)).status for code in ("incomplete", "unlabelled_media")] == [502, 501]
