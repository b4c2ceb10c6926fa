# SPDX-License-Identifier: Apache-2.0
"""Whatever clients and upstreams do wrong: a clear error in the wire's format, a record, no hang, no stack trace."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any

import httpx
import pytest

from tests.conftest import CONFIG, RunningGateway, StartGateway
from tests.upstreams.scripted import ScriptedUpstream

CHAT = "/v1/chat/completions"
ASKED = b'{"model":"m","messages":[{"role":"user","content":"x"}]'


def post(
    gateway: RunningGateway, script: dict[str, Any], *, stream: bool = False, timeout: float = 20
) -> httpx.Response:
    """A request whose upstream follows `script`."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": stream,
        "metadata": {"script": script},
    }
    return httpx.post(f"{gateway.url}{CHAT}", json=body, timeout=timeout)


def outcome(gateway: RunningGateway, answer: httpx.Response) -> str:
    """How the record says that the exchange of `answer` ended."""
    record = gateway.record(answer.headers["duty-record"])
    ends: list[dict[str, str]] = [record["record"], *(item["record"] for item in record["related"])]
    return next(item["outcome"] for item in ends if "outcome" in item)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"", 400, "invalid_json"),
        (b"[]", 400, "invalid_type"),
        (b'{"model":"m"}', 400, "missing_required_parameter"),
        (b'{"messages":[{"role":"user","content":"x"}]}', 400, "missing_required_parameter"),
        (b'{"model":"m","messages":[]}', 400, "invalid_value"),
        (b'{"model":"m","messages":"hi"}', 400, "invalid_type"),
        (b'{"model":"m","messages":[7]}', 400, "invalid_type"),
        (b'{"model":"m","messages":[{"role":7,"content":"x"}]}', 400, "invalid_type"),
        (b'{"model":"m","messages":[{"role":"user","content":7}]}', 400, "invalid_type"),
        (b'{"model":"m","messages":[{"role":"user","content":[7]}]}', 400, "invalid_type"),
        (b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":7}]}]}', 400, "invalid_type"),
        (b'{"model":"m","stream":"yes","messages":[{"role":"user","content":"x"}]}', 400, "invalid_type"),
        (b'{"model":"m","n":true,"messages":[{"role":"user","content":"x"}]}', 400, "invalid_type"),
        (b'{"model":"m","messages":[{"role":"user","content":"\xff\xfe"}]}', 400, "invalid_json"),
        (b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}', 400, "invalid_json"),
        (b'{"model":"m","messages":' + b"[" * 5_000 + b"]" * 5_000 + b"}", 400, "invalid_json"),
        (ASKED + b',"x":' + b"[" * 600 + b"]" * 600 + b"}", 400, "invalid_json"),
        (ASKED + b',"modalities":["audio"],"audio":{"format":"exe"}}', 400, "invalid_value"),
        (ASKED + b',"seed":99999999999999999999999}', 400, "invalid_json"),
    ],
)  # fmt: skip
def test_a_bad_request_is_named_and_recorded(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream, content: bytes, status: int, code: str
) -> None:
    """OpenAI's error object; nothing reaches the model; what was sent is not repeated."""
    upstream.reset()
    answer = httpx.post(f"{shared_gateway.url}{CHAT}", content=content, timeout=20)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert upstream.seen == []
    assert outcome(shared_gateway, answer) == "bad_request"


def test_unknown_paths_and_methods_are_refused_and_recorded(shared_gateway: RunningGateway) -> None:
    """What is not known cannot have its duties done, so it is not passed on."""
    for method, path, status in (("POST", "/v1/unknown", 404), ("GET", CHAT, 405), ("GET", "/admin", 404)):
        answer = httpx.request(method, shared_gateway.url + path)
        assert answer.status_code == status
        assert outcome(shared_gateway, answer) == "bad_request"
    assert httpx.get(shared_gateway.url + CHAT).headers["allow"] == "POST"
    assert "error" in httpx.post(shared_gateway.url + "/v1/unknown").json()
    assert httpx.get(shared_gateway.url + "/admin").headers["content-type"] == "application/problem+json"


def test_a_request_body_beyond_the_limit_is_refused(gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """With and without an announced length."""
    running = gateway(upstream.url, config=CONFIG + "[limits]\nrequest_body_bytes = 2048\n")
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 4_000}]}).encode()
    assert httpx.post(running.url + CHAT, content=body).status_code == 413

    def pieces() -> Any:
        for start in range(0, len(body), 500):
            yield body[start : start + 500]

    assert httpx.post(running.url + CHAT, content=pieces()).status_code == 413


def test_half_a_request_leaves_a_record(shared_gateway: RunningGateway) -> None:
    """A client that sends half a body and leaves."""
    before = len(shared_gateway.records(action="allow", limit="1000"))
    host, port = shared_gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    deadline = time.monotonic() + 10
    while len(shared_gateway.records(action="allow", limit="1000")) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "script",
    [
        {"garbage": "http"},
        {"garbage": "json", "answers_as": "plain"},
        {"length_error": 50, "framing": "length", "close": True, "break_at": 40},
        {"break_at": 30, "framing": "length"},
        {"break_at": 0},
        {"raw": "[]", "content_type": "application/json"},
        {"raw": '{"choices": 7}', "content_type": "application/json"},
        {"raw": "", "content_type": "application/json"},
        {"raw": "<html>", "content_type": "text/html"},
    ],
)
def test_an_upstream_that_answers_wrongly_is_a_502(
    shared_gateway: RunningGateway, script: dict[str, Any], stream: bool
) -> None:
    """In the wire's own format, before a byte was sent."""
    answer = post(shared_gateway, script, stream=stream)
    assert answer.status_code == 502
    assert answer.json()["error"]["type"] == "upstream_error"
    assert outcome(shared_gateway, answer) == "upstream_failed"


@pytest.mark.parametrize(
    "script",
    [
        {"text": "some words", "split": 2, "break_in_event": 4},
        {"text": "some words", "split": 2, "break_in_event": 4, "break_how": "rst"},
        {"raw_events": ['{"choices":[{"index":0,"delta":{"content":"hi"}}]}', "{not json"], "event_delay_s": 0.1},
        {"raw_events": ['{"choices":[{"index":0,"delta":{"content":"hi"}}]}', "[1]"], "event_delay_s": 0.1},
        {"raw_events": ['{"choices":[{"index":0,"delta":{"content":"hi"}}]}'], "done": False},
    ],
)
def test_a_stream_that_breaks_off_ends_with_an_error_event(
    shared_gateway: RunningGateway, script: dict[str, Any]
) -> None:
    """What was said has left, the client is told, no [DONE] pretends that the answer is complete."""
    answer = post(shared_gateway, script, stream=True)
    assert answer.status_code == 200
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert "[DONE]" not in events
    assert json.loads(events[-1])["error"]["type"] == "upstream_error"
    assert outcome(shared_gateway, answer) == "upstream_failed"


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_is_down_is_a_502(gateway: StartGateway, stream: bool) -> None:
    """Nobody listens there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        running = gateway(f"http://127.0.0.1:{unused.getsockname()[1]}")
        answer = post(running, {}, stream=stream)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_unreachable"
    assert outcome(running, answer) == "upstream_failed"


def test_a_slow_upstream_is_a_504_and_a_stalled_stream_ends(gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """First byte and idle time have limits of their own."""
    limits = "[upstream]\nfirst_byte_timeout_s = 1.5\nidle_timeout_s = 1.5\n"
    running = gateway(upstream.url, config=CONFIG + limits)
    for stream in (False, True):
        answer = post(running, {"hang": "before"}, stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert post(running, {"hang": "middle", "text": "a few words"}).status_code == 504
    answer = post(running, {"hang": "middle", "text": "a few words", "split": 1}, stream=True)
    assert answer.text.rstrip().splitlines()[-1].startswith('data: {"error"')
    # Slower than the limit in all, but never between two events: that is no stall.
    answer = post(running, {"text": "abcdefgh", "split": 1, "event_delay_s": 0.3}, stream=True)
    assert answer.text.rstrip().endswith("data: [DONE]")


def test_a_huge_answer_is_refused(gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Memory is bounded, also for one endless event, also when it is compressed."""
    running = gateway(upstream.url, config=CONFIG + "[limits]\nanswer_body_bytes = 20000\nevent_bytes = 20000\n")
    assert post(running, {"huge": 100_000}).status_code == 502
    assert post(running, {"huge": 5_000_000, "gzip": True}).status_code == 502
    answer = post(running, {"huge": 100_000}, stream=True)
    assert len(answer.content) < 20_000
    assert json.loads(answer.text.rstrip().splitlines()[-1].removeprefix("data: "))["error"]["type"] == "upstream_error"


def test_a_client_that_hangs_up_cancels_the_upstream_and_leaves_a_record(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The model is not left working for nobody."""
    upstream.reset()
    script = {"text": "word " * 400, "split": 5, "event_delay_s": 0.02}
    body = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": "x"}],
        "metadata": {"script": script},
    }
    with httpx.stream("POST", shared_gateway.url + CHAT, json=body) as answer:
        record_id = answer.headers["duty-record"]
        next(answer.iter_raw())
    deadline = time.monotonic() + 5
    while upstream.seen[0].cancelled_s is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while not (ends := [item for item in shared_gateway.record(record_id)["related"] if item["type"] == "close"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ends[0]["record"]["outcome"] == "client_gone"


def test_a_stop_cancels_the_upstream_at_once(shared_gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """Within 50 ms of the verdict, while the model would have gone on for seconds."""
    upstream.reset()
    script = {"text": "forbiddenword" + " more" * 400, "split": 5, "event_delay_s": 0.02}
    started = time.monotonic()
    answer = post(shared_gateway, script, stream=True)
    assert '"finish_reason":"content_filter"' in answer.text
    assert time.monotonic() - started < 2
    deadline = time.monotonic() + 5
    while upstream.seen[0].cancelled_s is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_many_interleaved_streams_keep_apart(shared_gateway: RunningGateway) -> None:
    """No state crosses from one exchange to another."""

    async def one(client: httpx.AsyncClient, number: int) -> bool:
        word = "forbiddenword" if number % 3 == 0 else "harmless"
        script = {"text": f"user {number} says {word} {number}", "split": 2, "event_delay_s": 0.001}
        body = {
            "model": "m",
            "stream": True,
            "messages": [{"role": "user", "content": "x"}],
            "metadata": {"script": script},
        }
        text = (await client.post(CHAT, json=body)).text
        is_stopped = '"finish_reason":"content_filter"' in text
        others = [other for other in range(60) if other != number and f"user {other} says" in text]
        return is_stopped == (number % 3 == 0) and not others and "forbidden" not in text

    async def all_of_them() -> list[bool]:
        async with httpx.AsyncClient(base_url=shared_gateway.url, timeout=60) as client:
            return await asyncio.gather(*(one(client, number) for number in range(60)))

    assert all(asyncio.run(all_of_them()))


def test_the_serving_process_leaks_no_task_and_no_stack_trace(shared_gateway: RunningGateway) -> None:
    """Its log names every upstream failure above, and never shows user text or a traceback."""
    post(shared_gateway, {"text": "uniquecanarytext forbiddenword"}, stream=True)
    log = shared_gateway.log.read_text()
    assert "Traceback" not in log
    assert "uniquecanarytext" not in log
    assert "Task exception was never retrieved" not in log
