# SPDX-License-Identifier: Apache-2.0
"""The realtime wire of a running gateway: the official OpenAI SDK, frames that no SDK sends, and both sides leaving."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.conftest import CONFIG, RunningGateway, start_gateway
from tests.upstreams.realtime import RealtimeUpstream, realtime_in_thread

LABEL = "本内容由AI生成"
FORBIDDEN = "禁词"
pytestmark = pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager:DeprecationWarning")
"""The SDK opens its connections in a way that the library under it has given up."""


@pytest.fixture(scope="module")
def model() -> Iterator[RealtimeUpstream]:
    """One scripted model for all tests here."""
    with realtime_in_thread() as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, model: RealtimeUpstream) -> Iterator[RunningGateway]:
    """One gateway before it, with small frames and quick pings."""
    limits = "\n[limits]\nrequest_body_bytes = 200000\nevent_bytes = 400000\nkeep_alive_s = 0.5\n"
    started = start_gateway(tmp_path_factory.mktemp("realtime"), model.url, config=CONFIG + limits)
    yield started
    assert started.stop() == 0, started.log.read_text()


@pytest.fixture
def client(running: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=running.v1, api_key="sk-test", max_retries=0, timeout=20) as made:
        yield made


def answer(connection: Any, model: RealtimeUpstream, *script: Mapping[str, Any], prompt: str = "你好") -> list[Any]:
    """The events of one response that follows `script`, as the SDK reads them."""
    model.scripts.append(list(script))
    content: Any = [{"type": "input_text", "text": prompt}]
    connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
    connection.response.create()
    events = []
    while not events or events[-1].type not in ("response.done", "error"):
        events.append(connection.recv())
    return events


def said(events: list[Any], kind: str = "response.output_text.delta") -> str:
    """What deltas say together."""
    return "".join(event.delta for event in events if event.type == kind)


def record_of(gateway: RunningGateway, record_id: str, kind: str = "close") -> dict[str, Any]:
    """The record that ended an exchange; it may be on its way."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for found in gateway.records(limit="500"):
            record: dict[str, Any] = found["record"]
            if record["type"] == kind and record_id in (record["id"], record.get("exchange")):
                return record
        time.sleep(0.05)
    raise AssertionError(f"no {kind} record of {record_id}")


@contextlib.contextmanager
def raw(gateway: RunningGateway, query: str = "model=m", **options: Any) -> Iterator[ClientConnection]:
    """A connection without an SDK; the session's first event was read."""
    url = gateway.url.replace("http", "ws", 1)
    with connect(f"{url}/v1/realtime?{query}", compression=None, **options) as made:
        json.loads(made.recv())
        yield made


@pytest.mark.parametrize("split", [0, 1, 3])
def test_a_text_answer_is_labelled_and_recorded(
    client: openai.OpenAI, model: RealtimeUpstream, running: RunningGateway, split: int
) -> None:
    """GB 45438: words before and behind, seven keys in the first event and the last."""
    with client.realtime.connect(model="m") as connection:
        assert connection.recv().type == "session.created"
        events = answer(connection, model, {"say": "今天天气很好。", "split": split})
    whole = f"{LABEL}\n\n今天天气很好。\n\n{LABEL}"
    assert said(events) == whole
    done = events[-1]
    assert done.response.output[0].content[0].text == whole and done.response.status == "completed"
    first = next(event for event in events if event.type == "response.created")
    assert first.model_extra["aigc"] == done.model_extra["aigc"]
    record = record_of(running, done.model_extra["aigc"]["ProduceID"])
    assert (record["outcome"], record["wire"], record["tokens"]) == (
        "completed",
        "openai_realtime",
        {"in": 3, "out": 4},
    )
    assert model.sessions[-1].headers["authorization"] == "Bearer sk-test"


def test_spoken_answers_begin_with_the_label_and_follow_their_words(
    client: openai.OpenAI, model: RealtimeUpstream
) -> None:
    """The rhythm of AI before the first sound; every sound behind the whole of its transcript."""
    with client.realtime.connect(model="m") as connection:
        events = answer(connection, model, {"speak": "今天天气很好。", "split": 2, "sound": 100})
    kinds = [event.type for event in events]
    words = [n for n, kind in enumerate(kinds) if kind == "response.output_audio_transcript.delta"]
    sounds = [n for n, kind in enumerate(kinds) if kind == "response.output_audio.delta"]
    assert max(words) < min(sounds) and len(sounds) == 5
    label = base64.b64decode(events[sounds[0]].delta)
    assert 48_000 < len(label) < 100_000 and max(label) > 0
    assert said(events, "response.output_audio_transcript.delta") == f"{LABEL}\n\n今天天气很好。\n\n{LABEL}"


@pytest.mark.parametrize("how", ["say", "speak"])
@pytest.mark.parametrize("split", [0, 1, 2])
def test_a_forbidden_word_never_leaves(
    client: openai.OpenAI, model: RealtimeUpstream, running: RunningGateway, how: str, split: int
) -> None:
    """The SDK sees a response that is incomplete because of content_filter; the model was told to stop."""
    with client.realtime.connect(model="m") as connection:
        events = answer(connection, model, {how: f"好的 {FORBIDDEN} 后面", "split": split, "pace": 0.001})
        done = events[-1]
        assert answer(connection, model)[-1].response.status == "completed", "the session goes on"
    everything = json.dumps([event.model_dump() for event in events], ensure_ascii=False, default=str)
    assert FORBIDDEN not in everything and "后面" not in everything
    assert done.response.status_details.reason == "content_filter"
    assert not [event for event in events if event.type == "response.output_audio.delta"]
    assert "response.cancel" in model.sessions[-1].kinds()
    assert record_of(running, done.model_extra["aigc"]["ProduceID"])["outcome"] == "stopped"


def test_tool_calls_are_guarded(client: openai.OpenAI, model: RealtimeUpstream) -> None:
    """Harmless arguments arrive unchanged, forbidden ones do not, in escapes either."""
    with client.realtime.connect(model="m") as connection:
        events = answer(connection, model, {"call": "look_up", "arguments": '{"q": "天气"}', "split": 3})
        assert said(events, "response.function_call_arguments.delta") == '{"q": "天气"}'
        assert events[-1].response.output[0].arguments == '{"q": "天气"}'
        for arguments in (f'{{"q": "{FORBIDDEN}"}}', json.dumps({"q": FORBIDDEN})):
            events = answer(connection, model, {"call": "look_up", "arguments": arguments, "split": 2})
            assert events[-1].response.status_details.reason == "content_filter"
            assert json.loads('"' + said(events, "response.function_call_arguments.delta").replace('"', '\\"') + '"')
            assert FORBIDDEN not in str(events)


def test_a_forbidden_prompt_is_not_forwarded(client: openai.OpenAI, model: RealtimeUpstream) -> None:
    """Instructions, items, a response's own input: an error event, or a response that says why."""
    with client.realtime.connect(model="m") as connection:
        connection.recv()
        connection.session.update(session={"type": "realtime", "instructions": f"say {FORBIDDEN}"})
        assert connection.recv().error.code == "content_filter"  # type: ignore[union-attr]
        events = answer(connection, model, {"say": "no"}, prompt=f"say {FORBIDDEN}")
        assert events[0].error.code == "content_filter"
        model.scripts.clear()
        while connection.recv().type != "response.done":  # of the response that was asked for all the same
            pass
        connection.response.create(response={"instructions": FORBIDDEN})
        events = []
        while not events or events[-1].type != "response.done":
            events.append(connection.recv())
        assert events[-1].response.status_details.reason == "content_filter"
    assert FORBIDDEN not in json.dumps(model.sessions[-1].events, ensure_ascii=False)


def test_a_browsers_handshake(running: RunningGateway, model: RealtimeUpstream) -> None:
    """Its key stands among the subprotocols; a page of another origin may not open a session."""
    offered = ["realtime", "openai-insecure-api-key.sk-browser", "openai-beta.realtime-v1"]
    with raw(running, subprotocols=offered, origin=running.url) as connection:  # type: ignore[arg-type]
        assert connection.subprotocol == "realtime"
        connection.send(json.dumps({"type": "response.create"}))
        kinds = []
        while not kinds or kinds[-1] != "response.done":
            kinds.append(json.loads(connection.recv())["type"])
        assert "response.text.delta" in kinds, "the names of the beta"
    headers = model.sessions[-1].headers
    assert headers["authorization"] == "Bearer sk-browser" and headers["openai-beta"] == "realtime=v1"
    assert "origin" not in headers and "openai-insecure" not in headers.get("sec-websocket-protocol", "")
    with pytest.raises(InvalidStatus) as refused, raw(running, origin="https://evil.example"):  # type: ignore[arg-type]
        pass
    assert refused.value.response.status_code == 403


def test_a_refused_handshake_is_an_answer_in_openais_words(running: RunningGateway, model: RealtimeUpstream) -> None:
    """With a record; also where the model refuses, on other paths, and without an upgrade."""
    with pytest.raises(InvalidStatus) as refused, raw(running, ""):
        pass
    response = refused.value.response
    assert response.status_code == 400 and json.loads(response.body or b"")["error"]["param"] == "model"
    assert record_of(running, response.headers["duty-record"], "exchange")["outcome"] == "bad_request"
    model.status = 401
    try:
        with pytest.raises(InvalidStatus) as refused, raw(running):
            pass
    finally:
        model.status = 0
    assert refused.value.response.status_code == 401
    url = running.url.replace("http", "ws", 1)
    for path, status in (("/v1/chat/completions", 405), ("/nowhere", 404)):
        with pytest.raises(InvalidStatus) as refused, connect(f"{url}{path}"):
            pass
        assert refused.value.response.status_code == status and "duty-record" in refused.value.response.headers
    plain = httpx.get(f"{running.v1}/realtime?model=m")
    assert plain.status_code == 426 and plain.json()["error"]["code"] == "upgrade_required"
    operator = running.operator_url.replace("http", "ws", 1)
    with pytest.raises(InvalidStatus), connect(f"{operator}/api/records"):
        pass


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x00\x01", 1003),
        ("x" * 300_000, 1009),
    ],
)
def test_frames_that_are_no_events_end_the_session(running: RunningGateway, frame: str | bytes, code: int) -> None:
    """Binary, too large; the next session is unharmed."""
    with raw(running) as connection:
        with contextlib.suppress(ConnectionClosed):
            connection.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                connection.recv(timeout=10)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == code
    with raw(running):
        pass


def test_bad_utf8_ends_the_session(running: RunningGateway) -> None:
    """RFC 6455 section 8.1: 1007."""
    with raw(running) as connection:
        connection.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=10)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1007


def test_what_cannot_be_read_is_answered_and_fragments_are_put_together(running: RunningGateway) -> None:
    """A bad event ends nothing; an event may come in any number of frames."""
    with raw(running) as connection:
        connection.send("{")
        assert json.loads(connection.recv())["error"]["code"] == "invalid_json"
        connection.send(iter(['{"type": "resp', "onse.cr", 'eate"}']))
        assert json.loads(connection.recv())["type"] == "response.created"
        assert connection.ping().wait(5)


@pytest.mark.parametrize("step", [{"lose": True}, {"bytes": 3}, {"raw": "{["}, {"raw": "x" * 500_000}, {"close": 1011}])
def test_a_model_that_breaks_off_is_told(
    running: RunningGateway, step: Mapping[str, Any], model: RealtimeUpstream
) -> None:
    """The response fails, an error says so, the connection is closed, and records tell."""
    with raw(running) as connection:
        model.scripts.append([{"say": "first."}, {"wait": 0.05}, step])
        connection.send(json.dumps({"type": "response.create"}))
        events = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                events.append(json.loads(connection.recv(timeout=10)))
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1011
    assert [event["type"] for event in events][-2:] == ["response.done", "error"]
    assert events[-2]["response"]["status"] == "failed"
    assert "first." in "".join(event.get("delta", "") for event in events)
    assert record_of(running, events[-2]["aigc"]["ProduceID"])["outcome"] == "upstream_failed"


def test_a_client_that_is_gone_leaves_records_and_frees_the_model(
    running: RunningGateway, model: RealtimeUpstream
) -> None:
    """Of the session and of the answer under way."""
    with raw(running) as connection:
        record_id = connection.response.headers["duty-record"] if connection.response else ""
        model.scripts.append([{"say": "half an answer"}, {"silent": True}])
        connection.send(json.dumps({"type": "response.create"}))
        while (event := json.loads(connection.recv()))["type"] != "response.output_text.delta":
            if event["type"] == "response.created":
                answer_id = event["aigc"]["ProduceID"]
        connection.socket.close()
    assert model.sessions[-1].closed.wait(10)
    assert record_of(running, record_id)["outcome"] == "client_gone"
    assert record_of(running, answer_id)["outcome"] == "client_gone"


def test_a_client_that_does_not_read_slows_the_model_and_fills_no_memory(
    running: RunningGateway, model: RealtimeUpstream
) -> None:
    """40 MB for somebody who reads nothing: the gateway holds little of it; whoever answers no ping is gone."""

    def held_kb() -> int:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    events = [{"event": {"type": "rate_limits.updated", "rate_limits": [], "padding": "x" * 200_000}}] * 200
    model.scripts.append([{"say": "first."}, *events])
    before = held_kb()
    host, _, port = running.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert connection.recv(12) == b"HTTP/1.1 101"
        event = b'{"type": "response.create"}'
        connection.sendall(bytes((0x81, 0x80 | len(event))) + bytes(4) + event)  # a mask of zeros changes nothing
        time.sleep(1.5)
        assert held_kb() - before < 30_000
        assert "response.create" in model.sessions[-1].kinds() and not model.sessions[-1].closed.is_set()
    assert model.sessions[-1].closed.wait(30)


def test_a_person_who_cannot_be_believed_gets_no_session(running: RunningGateway) -> None:
    """The duties stand before the handshake is accepted; a browser's token stands among the subprotocols."""
    with pytest.raises(InvalidStatus) as refused, raw(running, subprotocols=["realtime", "duty-subject.a.b.c"]):  # type: ignore[list-item]
        pass
    assert refused.value.response.status_code == 401
