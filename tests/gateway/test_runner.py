# SPDX-License-Identifier: Apache-2.0
"""Nothing is answered without its record, a duty that breaks stops the answer, every end leaves a record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import AgeBand, Exchange, Person
from gateway.pipeline import Side
from gateway.upstream import UpstreamFailure
from gateway.wires.openai_chat import OpenAIChat
from gateway.wires.openai_models import OpenAIModels
from tests.gateway.rooms import (
    BROKEN_OFF,
    STREAM,
    WAY,
    Broken,
    Client,
    Rooms,
    chunks,
    completion,
    request,
    settle,
    stage,
)
from tests.gateway.wires.driver import TERM

ASK_STREAM = request(stream=True)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Errors are logged with their stack, which is slow to print and not what is tested here."""
    with structlog.testing.capture_logs():
        yield


def streaming(*texts: str, ends: bool = True, **options: Any) -> Rooms:
    """Rooms before an upstream that streams."""
    return Rooms(chunks(*texts, ends=ends), **STREAM, **options)


def metric(rooms: Rooms, line: str) -> float:
    """The value of one series as it is scraped."""
    found = [row for row in rooms.meters.scrape().decode().splitlines() if row.startswith(f"dutybound_{line} ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


# Records come first.


def test_the_record_of_a_plain_answer_is_durable_before_its_first_byte() -> None:
    """Its head is a byte too."""
    rooms = Rooms([completion()])
    client = rooms.run()
    assert client.status == 200
    assert rooms.timeline == ["read", "upstream cancelled", "record exchange", "head", "last byte"]
    assert client.answer_headers[b"duty-record"].decode() == rooms.record["id"]
    assert client.answer_headers[b"ai-disclosure"] == b"mode=ai"
    assert client.answer_headers[b"cache-control"] == b"no-store"
    assert client.answer_headers[b"x-request-id"] == b"up-1"
    assert json.loads(client.answer)["aigc"]["ProduceID"] == rooms.record["id"]


def test_the_opening_record_of_a_stream_is_before_its_first_byte_and_the_closing_before_its_last() -> None:
    """The two belong together by the exchange's id."""
    rooms = streaming("Hello ", "there.")
    client = rooms.run(rooms.client(ASK_STREAM))
    line = rooms.timeline
    assert line.index("record open") < line.index("head") < line.index("byte")
    assert line.index("byte") < line.index("record close") < line.index("last byte")
    (opened,) = rooms.log.records("open")
    assert rooms.record["exchange"] == opened["id"] == client.answer_headers[b"duty-record"].decode()
    assert rooms.record["id"] != opened["id"] and opened["stream"] is True
    assert client.answer.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("body", [request(), ASK_STREAM])
def test_while_the_record_waits_for_the_disk_nothing_leaves(body: bytes) -> None:
    """However much of the answer is there already."""

    async def scene() -> None:
        is_stream = body is ASK_STREAM
        rooms = streaming("Hello.") if is_stream else Rooms([completion()])
        kinds = ("open", "close") if is_stream else ("exchange",)
        rooms.log.gates = {kind: asyncio.Event() for kind in kinds}
        client = rooms.client(body)
        walking = asyncio.ensure_future(rooms.walk(client))
        for kind in kinds:
            for _ in range(50):
                await asyncio.sleep(0)
            assert rooms.log.asked[-1] == kind
            assert "last byte" not in rooms.timeline
            assert kind == "close" or client.sent == []
            rooms.log.gates[kind].set()
        await walking
        assert rooms.timeline.index("last byte") > rooms.timeline.index(f"record {kinds[-1]}")
        await settle()

    asyncio.run(scene())


@pytest.mark.parametrize(("body", "kind"), [(request(), "exchange"), (ASK_STREAM, "open")])
def test_without_a_record_there_is_no_answer(body: bytes, kind: str) -> None:
    """503 in the wire's words, and not a word of the model's."""
    rooms = Rooms([completion()]) if kind == "exchange" else streaming("Hello.")
    rooms.log.broken = frozenset({kind})
    client = rooms.run(rooms.client(body))
    assert (client.status, client.code) == (503, "not_recorded")
    assert b"Hello" not in client.answer
    assert metric(rooms, "audit_failures_total") == 1


def test_a_stream_whose_closing_record_fails_never_ends_as_if_it_were_whole() -> None:
    """What had left has left; the rest is an error, and no `[DONE]`."""
    rooms = streaming("Hello ", "there.")
    rooms.log.broken = frozenset({"close"})
    client = rooms.run(rooms.client(ASK_STREAM))
    assert client.status == 200 and b"[DONE]" not in client.answer
    *_, last = client.answer.split(b"\n\n")[:-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "not_recorded"


def test_a_record_that_cannot_even_be_made_is_no_record() -> None:
    """Whatever broke: no answer without it."""
    rooms = Rooms([completion()])

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret words")

    rooms.house.recorder.closed = broken  # type: ignore[method-assign]
    client = rooms.run()
    assert (client.status, client.code) == (503, "not_recorded")
    assert b"secret" not in client.answer


# Duties that break.


@pytest.mark.parametrize("body", [request(), ASK_STREAM])
def test_a_request_duty_that_breaks_refuses_and_the_model_is_not_called(body: bytes) -> None:
    """Whatever it would have decided."""
    rooms = Rooms([completion()], stages=[stage("my duty", Side.REQUEST, lambda house: Broken()), *WAY])
    client = rooms.run(rooms.client(body))
    assert (client.status, client.code) == (503, "duty_failed")
    assert rooms.upstream.calls == [] and b"secret" not in client.answer
    assert rooms.record["decisions"] == [
        {"duty": "my_duty", "verdict": "error", "action": "refuse", "reason": "broken"}
    ]
    assert metric(rooms, 'duty_errors_total{duty="my_duty",rule="refuse"}') == 1


def broken_answer(at: int, **how: bool) -> list[Any]:
    """The way, with a duty in front that breaks."""
    return [*WAY, stage("my duty", Side.ANSWER, lambda house, exchange: Broken(at, **how))]


@pytest.mark.parametrize("body", [request(), ASK_STREAM])
def test_an_answer_duty_that_breaks_before_the_first_byte_is_a_503(body: bytes) -> None:
    """Nothing of the answer leaves; the record says which duty."""
    stages = broken_answer(0)
    rooms = streaming("Hello.", stages=stages) if body is ASK_STREAM else Rooms([completion()], stages=stages)
    client = rooms.run(rooms.client(body))
    assert (client.status, client.code) == (503, "duty_failed")
    assert b"Hello" not in client.answer and b"secret" not in client.answer
    assert rooms.record["outcome"] == "failed"
    assert rooms.record["decisions"][-1] == {
        "duty": "my_duty", "verdict": "error", "action": "stop", "reason": "broken",
    }  # fmt: skip


def test_an_answer_duty_that_breaks_later_ends_the_stream_with_an_error() -> None:
    """One head, what had left, the wire's error, no `[DONE]`; the upstream is told to stop."""
    rooms = streaming("Hello ", "there", " more", stages=broken_answer(2))
    client = rooms.run(rooms.client(ASK_STREAM))
    assert [message["type"] for message in client.sent].count("http.response.start") == 1
    assert b"there" in client.answer and b"more" not in client.answer and b"[DONE]" not in client.answer
    *_, last = client.answer.split(b"\n\n")[:-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "duty_failed"
    assert rooms.record["outcome"] == "failed"


@pytest.mark.parametrize("how", ["flush", "decision"])
@pytest.mark.parametrize("ends", [True, False])
def test_a_duty_that_breaks_at_the_end_of_a_stream_ends_it_with_an_error(how: str, ends: bool) -> None:
    """When it is flushed because the upstream broke off, when it is asked for its decision."""
    if how == "flush" and ends:
        return  # nothing is flushed
    rooms = streaming("Hello ", "there", ends=ends, stages=broken_answer(-1, **{how: True}))
    client = rooms.run(rooms.client(ASK_STREAM))
    assert [message["type"] for message in client.sent].count("http.response.start") == 1
    assert not client.sent[-1].get("more_body") and b"[DONE]" not in client.answer
    *_, last = client.answer.split(b"\n\n")[:-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "duty_failed"
    assert rooms.record["outcome"] == "failed"


class BrokenCodec(OpenAIChat):
    """A wire with a mistake in it."""

    def __init__(self, part: str) -> None:
        self._part = part

    def __getattribute__(self, name: str) -> Any:
        if name != "_part" and name == self._part:
            raise RuntimeError("secret words")
        return super().__getattribute__(name)


@pytest.mark.parametrize("part", ["read_request", "call", "reader", "writer"])
@pytest.mark.parametrize("body", [request(), ASK_STREAM])
def test_a_codec_that_breaks_is_a_503_with_its_record(part: str, body: bytes) -> None:
    """What no rule names fails closed as well."""
    rooms = streaming("Hello.") if body is ASK_STREAM else Rooms([completion()])
    client = rooms.run(rooms.client(body), BrokenCodec(part))
    assert (client.status, client.code) == (503, "duty_failed")
    assert rooms.record["outcome"] == "failed" and b"secret" not in client.answer


@pytest.mark.parametrize("at", [0, 2])
def test_a_reader_that_breaks_ends_the_stream_and_leaves_its_record(at: int) -> None:
    """Before the first byte a 503, after it an error event."""

    class Odd(OpenAIChat):
        def reader(self, prompt: Any, event_bytes: int) -> Any:
            reader = super().reader(prompt, event_bytes)
            feed, fed = reader.feed, []

            def feeding(data: bytes) -> Any:
                fed.append(data)
                if len(fed) > at:
                    raise KeyError("secret words")
                return feed(data)

            reader.feed = feeding  # type: ignore[method-assign]
            return reader

    rooms = streaming("Hello ", "there", " more")
    client = rooms.run(rooms.client(ASK_STREAM), Odd())
    assert client.status == (200 if at else 503)
    assert b"duty_failed" in client.answer and b"secret" not in client.answer
    assert rooms.record["outcome"] == "failed"
    assert "upstream cancelled" in rooms.timeline


# Stops and refusals.


def test_a_stop_cancels_the_upstream_before_anything_else_is_done() -> None:
    """Then the record with its incident, then the last event."""
    rooms = streaming("Hello ", f"a {TERM} b", "never read")
    client = rooms.run(rooms.client(ASK_STREAM))
    line = rooms.timeline
    assert line.count("read") == 2
    assert line.index("upstream cancelled") < line.index("record close") < line.index("last byte")
    assert TERM not in client.answer.decode() and "\\u7981" not in client.answer.decode()
    assert rooms.record["outcome"] == "stopped" and rooms.record["action"] == "stop"
    (incident,) = rooms.incidents.opened
    assert rooms.record["incident"] == incident.id
    assert [entry["type"] for entry in rooms.log.records()] == ["open", "close", "incident"]


def test_a_refused_prompt_is_answered_in_band_without_the_model() -> None:
    """As a normal answer of the wire; streamed where a stream was asked for."""
    for stream in (False, True):
        rooms = Rooms([completion()])
        client = rooms.run(rooms.client(request(f"say {TERM}", stream=stream)))
        assert client.status == 200 and rooms.upstream.calls == []
        assert b"content_filter" in client.answer and TERM.encode() not in client.answer
        assert client.answer_headers[b"content-type"].startswith(
            b"text/event-stream" if stream else b"application/json"
        )
        assert rooms.record["outcome"] == "refused" and rooms.record["type"] == "exchange"


def test_a_refusal_out_of_band_has_its_status_and_headers() -> None:
    """A login page, a link to acknowledge."""

    async def refuse(exchange: Exchange) -> None:
        decision = Decision("first_contact", Verdict.BLOCK, Action.REFUSE)
        raise Refusal(
            decision, status=428, code="acknowledge", message="First read.", headers=(("Link", "</duty/about>"),)
        )

    rooms = Rooms([completion()], stages=[stage("first contact", Side.REQUEST, lambda house: refuse)])
    client = rooms.run()
    assert (client.status, client.code, client.answer_headers[b"link"]) == (428, "acknowledge", b"</duty/about>")
    assert rooms.record["status"] == 428


# Upstreams.


@pytest.mark.parametrize("body", [request(), ASK_STREAM])
@pytest.mark.parametrize(("code", "status"), [("upstream_unreachable", 502), ("upstream_timeout", 504)])
def test_an_upstream_that_fails_before_the_first_byte_has_a_status(body: bytes, code: str, status: int) -> None:
    """And a record, a stream's with both its halves."""
    rooms = Rooms(UpstreamFailure(code, status))
    client = rooms.run(rooms.client(body))
    assert (client.status, client.code) == (status, code)
    assert rooms.record["outcome"] == "upstream_failed"
    assert len(rooms.log.records("open")) == (body is ASK_STREAM)


def test_a_stream_that_breaks_off_says_what_it_held_and_then_the_error() -> None:
    """What waited in the guard can be no match any more; the labels stand."""
    rooms = Rooms([*chunks("Hello ", "there 禁", ends=False), BROKEN_OFF], **STREAM)
    client = rooms.run(rooms.client(ASK_STREAM))
    text = client.answer.decode()
    assert "\\u7981" in text or "禁" in text
    assert text.count("AI-generated") == 2
    assert json.loads(text.split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "upstream_incomplete"
    assert rooms.record["outcome"] == "upstream_failed"


@pytest.mark.parametrize(
    ("body", "reads", "options"),
    [
        (request(), [b"{"], {}),
        (request(), [b"{}"], {}),
        (ASK_STREAM, [completion()], {}),
        (ASK_STREAM, [b"data: {\n\n"], STREAM),
        (ASK_STREAM, [], STREAM),
    ],
)
def test_an_upstream_that_says_nonsense_is_a_502(body: bytes, reads: list[bytes], options: dict[str, Any]) -> None:
    """No part of the nonsense reaches the client."""
    rooms = Rooms(reads, **options)
    client = rooms.run(rooms.client(body))
    assert client.status == 502 and client.code in ("upstream_invalid", "upstream_incomplete")


@pytest.mark.parametrize("body", [request(), ASK_STREAM])
def test_the_upstreams_own_refusal_passes_with_its_status(body: bytes) -> None:
    """As it came: the SDK raises the error that its user expects."""
    said = b'{"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}'
    rooms = Rooms([said], status=429, extra_headers=((b"retry-after", b"7"),))
    client = rooms.run(rooms.client(body))
    assert (client.status, client.answer) == (429, said)
    assert client.answer_headers[b"retry-after"] == b"7"
    assert rooms.record["outcome"] == "upstream_refused" and rooms.record["upstream_status"] == 429


@pytest.mark.parametrize(
    ("said", "content_type"),
    [
        (json.dumps({"error": {"message": f"no {TERM}"}}).encode(), "application/json"),
        (json.dumps({"error": {"message": f"no {TERM}"}}, ensure_ascii=False).encode(), "application/json"),
        (json.dumps({"error": {TERM: "no"}}).encode(), "application/json"),
        (f'{{"error": {{"message": "{TERM}", "message": "no"}}}}'.encode(), "application/json"),
        (b'{"error": ', "application/json"),
        (b"<html>nginx</html>", "text/html"),
    ],
)
def test_an_upstreams_refusal_that_may_not_leave_is_put_in_our_words(said: bytes, content_type: str) -> None:
    """A forbidden word in any spelling of JSON, what is no JSON at all."""
    rooms = Rooms([said], status=400, content_type=content_type)
    client = rooms.run()
    assert (client.status, client.code) == (400, "upstream_error")


def test_a_redirect_is_no_answer() -> None:
    """A client must not be sent to the model itself."""
    rooms = Rooms([b""], status=302, content_type="text/html")
    assert rooms.run().status == 502


# Clients.


def test_a_client_that_hangs_up_cancels_the_upstream_and_leaves_a_record() -> None:
    """The closing record says so, and how much had left."""

    async def scene() -> None:
        rooms = Rooms([*chunks("Hello ", "there", ends=False), asyncio.Event()], **STREAM)
        client = rooms.client(ASK_STREAM)
        client.on_send = lambda message: client.gone.set() if b"there" in message.get("body", b"") else None
        await asyncio.wait_for(rooms.walk(client), 5)
        assert rooms.record["outcome"] == "client_gone" and rooms.record["released_chars"] == len("Hello there")
        assert "upstream cancelled" in rooms.timeline and "last byte" not in rooms.timeline
        await settle()

    asyncio.run(scene())


def test_a_client_that_leaves_while_the_opening_record_waits_leaves_both_records() -> None:
    """The opening record is on its way and cannot be taken back, so a closing one must follow it."""

    async def scene() -> None:
        rooms = streaming("Hello.")
        rooms.log.gates["open"] = asyncio.Event()
        client = rooms.client(ASK_STREAM)
        walking = asyncio.ensure_future(rooms.walk(client))
        await asyncio.sleep(0.1)
        client.gone.set()
        await asyncio.sleep(0.02)
        rooms.log.gates["open"].set()
        await asyncio.wait_for(walking, 5)
        assert [entry["type"] for entry in rooms.log.records()] == ["open", "close"]
        assert rooms.record["outcome"] == "client_gone" and client.sent == []
        await settle()

    asyncio.run(scene())


@pytest.mark.parametrize("body", [request(), ASK_STREAM])
def test_a_client_that_leaves_while_the_closing_record_waits_leaves_one_record(body: bytes) -> None:
    """Two records that contradict each other would be worse than one that knows a little less."""

    async def scene() -> None:
        is_stream = body is ASK_STREAM
        kind = "close" if is_stream else "exchange"
        rooms = streaming("Hello.") if is_stream else Rooms([completion()])
        rooms.log.gates[kind] = asyncio.Event()
        client = rooms.client(body)
        walking = asyncio.ensure_future(rooms.walk(client))
        await asyncio.sleep(0.1)
        client.gone.set()
        await asyncio.sleep(0.02)
        rooms.log.gates[kind].set()
        await asyncio.wait_for(walking, 5)
        assert len(rooms.log.records(kind)) == 1 and rooms.record["outcome"] == "completed"
        await settle()

    asyncio.run(scene())


def test_an_exchange_that_a_shutdown_cancels_leaves_its_record() -> None:
    """And the cancellation goes on to whoever asked for it."""

    async def scene() -> None:
        rooms = Rooms([*chunks("Hello ", ends=False), asyncio.Event()], **STREAM)
        walking = asyncio.ensure_future(rooms.walk(rooms.client(ASK_STREAM)))
        await asyncio.sleep(0.02)
        walking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await walking
        assert rooms.record["outcome"] == "failed"
        await settle()

    asyncio.run(scene())


def test_a_shutdown_that_cancels_twice_still_leaves_the_record() -> None:
    """The record is written to its end whatever happens meanwhile."""

    async def scene() -> None:
        rooms = Rooms([*chunks("Hello ", ends=False), asyncio.Event()], **STREAM)
        rooms.log.gates["close"] = asyncio.Event()
        walking = asyncio.ensure_future(rooms.walk(rooms.client(ASK_STREAM)))
        for _ in range(2):
            await asyncio.sleep(0.02)
            walking.cancel()
        await asyncio.sleep(0.02)
        rooms.log.gates["close"].set()
        with pytest.raises(asyncio.CancelledError):
            await walking
        assert rooms.record["outcome"] == "failed"
        await settle()

    asyncio.run(scene())


def slow(*texts: str) -> list[bytes | Exception | asyncio.Event]:
    """A stream that takes long enough for its client to be watched."""
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.08, event.set)
    return [*chunks(*texts, ends=False), event, *chunks("")]


def test_what_follows_an_answer_is_done_though_the_connection_is_idle_again() -> None:
    """A server reports a disconnect once the answer is complete: nobody who was told is told again, and the minutes of
    a protected person count."""

    async def identify(exchange: Exchange) -> None:
        exchange.person = Person(subject="p_1", age_band=AgeBand.FROM_12, is_signed=True)
        exchange.head_notice = "You are talking to an AI."

    async def scene() -> None:
        rooms = Rooms(slow("Hello."), stages=[stage("identify", Side.REQUEST, lambda house: identify), *WAY], **STREAM)
        client = await rooms.walk(rooms.client(ASK_STREAM))
        assert b"You are talking to an AI." in client.answer
        assert (rooms.people.told, rooms.people.touched) == (1, 1)
        assert rooms.record["outcome"] == "completed"
        assert metric(rooms, 'requests_total{outcome="completed",wire="openai_chat"}') == 1
        await settle()

    asyncio.run(scene())


# Requests.


def parts(*pieces: bytes, ends: bool = True) -> list[dict[str, Any]]:
    """A request in several messages."""
    return [
        {"type": "http.request", "body": piece, "more_body": not ends or number < len(pieces) - 1}
        for number, piece in enumerate(pieces)
    ]


def test_a_request_in_pieces_is_one_request() -> None:
    """However the network cut it."""
    body = request("hello there")
    rooms = Rooms([completion()])
    client = rooms.run(rooms.client(body, parts=parts(body[:9], b"", body[9:])))
    assert client.status == 200
    assert json.loads(rooms.upstream.calls[0].body) == json.loads(body)


@pytest.mark.parametrize("pieces", [1, 3])
def test_half_a_request_leaves_a_record_and_no_answer(pieces: int) -> None:
    """The client left in the middle of it."""
    gone = [*parts(*[b"{"] * (pieces - 1), ends=False), {"type": "http.disconnect"}]
    rooms = Rooms([completion()])
    client = rooms.run(rooms.client(parts=gone))
    assert client.sent == [] and rooms.record["outcome"] == "client_gone"


LIMITS = {"settings": {"limits": {"request_body_bytes": 1_024, "body_timeout_s": 0.02}}}


@pytest.mark.parametrize(
    "client",
    [
        {"headers": ((b"content-length", b"1025"),)},
        {"headers": ((b"content-length", b"-1"),)},
        {"headers": ((b"content-length", b"many"),)},
        {"body": b"x" * 1_025, "parts": parts(b"x" * 1_025)},
        {"parts": parts(b"x" * 600, b"x" * 600)},
    ],
)
def test_a_body_beyond_the_limit_is_refused_however_it_comes(client: dict[str, Any]) -> None:
    """Announced or found out; and recorded."""
    rooms = Rooms([completion()], **LIMITS)
    answered = rooms.run(rooms.client(**{"body": b"{}", **client}))
    assert (answered.status, answered.code) == (413, "request_too_large")
    assert rooms.record["outcome"] == "bad_request" and rooms.upstream.calls == []


def test_a_body_that_never_comes_is_a_408() -> None:
    """A client may not hold us for ever."""

    async def scene() -> None:
        rooms = Rooms([completion()], **LIMITS)
        client = rooms.client(parts=parts(b"{", ends=False))
        await asyncio.wait_for(rooms.walk(client), 5)
        assert (client.status, client.code) == (408, "request_timeout")

    asyncio.run(scene())


def test_a_compressed_request_is_refused() -> None:
    """Nobody could look into it."""
    rooms = Rooms([completion()])
    client = rooms.run(rooms.client(headers=((b"content-encoding", b"gzip"),)))
    assert (client.status, client.code) == (415, "unsupported_encoding")


def test_a_bad_request_is_answered_in_the_wires_words_with_its_record() -> None:
    """And the model is not called."""
    rooms = Rooms([completion()])
    client = rooms.run(rooms.client(b'{"model": "m"}'))
    assert (client.status, client.code) == (400, "missing_required_parameter")
    assert rooms.record["outcome"] == "bad_request" and rooms.upstream.calls == []


# The rest.


def test_an_answer_that_no_model_generates_passes_without_duties() -> None:
    """And is recorded."""
    body = b'{"object": "list", "data": []}'
    rooms = Rooms([body])
    client: Client = rooms.client(path="/v1/models", method="GET", query=b"limit=2")
    rooms.run(client, OpenAIModels())
    assert (client.status, client.answer) == (200, body)
    assert rooms.upstream.calls[0].path == "/v1/models?limit=2"
    assert rooms.record["wire"] == "openai_models" and "label" not in str(rooms.record["decisions"])


def test_labels_are_counted_once() -> None:
    """One answer, one explicit label, one envelope."""
    rooms = Rooms([completion()])
    rooms.run()
    assert metric(rooms, 'labels_applied_total{kind="explicit",media="text"}') == 1
    assert metric(rooms, 'labels_applied_total{kind="implicit",media="text"}') == 1


def test_tokens_are_in_the_record() -> None:
    """As the upstream says."""
    rooms = Rooms([completion()])
    rooms.run()
    assert rooms.record["tokens"] == {"in": 3, "out": 4}


def test_a_silent_upstream_does_not_put_the_client_to_sleep() -> None:
    """Bytes without meaning go out while nothing else does, behind the opening record."""

    async def scene() -> None:
        silence = asyncio.Event()
        rooms = Rooms([silence, *chunks("Hello.")], settings={"limits": {"keep_alive_s": 0.01}}, **STREAM)
        client = rooms.client(ASK_STREAM)
        walking = asyncio.ensure_future(rooms.walk(client))
        for _ in range(100):
            rooms.now += 1.0
            await asyncio.sleep(0.005)
            if client.answer:
                break
        assert client.answer.startswith(b": ") and rooms.timeline[0] == "record open"
        silence.set()
        await asyncio.wait_for(walking, 5)
        assert b"Hello." in client.answer and client.answer.endswith(b"data: [DONE]\n\n")
        await settle()

    asyncio.run(scene())
