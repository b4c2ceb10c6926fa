# SPDX-License-Identifier: Apache-2.0
"""A context check behind a running gateway: three ways to release, late verdicts, and a check that is down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.conftest import CONFIG, RunningGateway, StartGateway
from tests.upstreams.scripted import ScriptedUpstream

CHAT = "/v1/chat/completions"


@pytest.fixture
def check() -> Iterator[ThreadingHTTPServer]:
    """A service that takes its time and blocks what says `poison`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = json.loads(self.rfile.read(int(self.headers["content-length"])))["text"]
            time.sleep(0.3)
            verdict: dict[str, Any] = {"verdict": "pass"}
            if "poison" in text:
                verdict = {"verdict": "block", "class": "A1d", "score": 0.9, "rule": "test"}
            body = json.dumps(verdict).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def configured(url: str, release: str, more: str = "") -> str:
    chosen = f'release = "{release}"\n[content_filter.classifier]\nuse = false\n'
    return CONFIG + chosen + f'[content_filter.guard_model]\nkind = "http"\nurl = "{url}"\n{more}'


def ask(gateway: RunningGateway, script: dict[str, Any], *, stream: bool = True, prompt: str = "hi") -> httpx.Response:
    body = {
        "model": "m",
        "stream": stream,
        "messages": [{"role": "user", "content": prompt}],
        "metadata": {"script": script},
    }
    return httpx.post(gateway.url + CHAT, json=body, timeout=30)


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def said(answer: httpx.Response) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks(answer) for choice in chunk["choices"])


@pytest.mark.parametrize("release", ["strict", "hold", "concurrent"])
def test_an_answer_is_judged_while_it_streams(
    gateway: StartGateway, upstream: ScriptedUpstream, check: ThreadingHTTPServer, release: str
) -> None:
    """A harmless answer arrives whole; a harmful one is stopped, and what had left is named."""
    running = gateway(upstream.url, config=configured(f"http://127.0.0.1:{check.server_port}/", release))
    fine = {"text": "A fine sentence. And one more of them! The end", "split": 3}
    assert "A fine sentence. And one more of them! The end" in said(ask(running, fine))
    upstream.reset()
    script = {
        "text": "A fine sentence. Now some poison here. " + "More words. " * 60,
        "split": 4,
        "event_delay_s": 0.02,
    }
    stopped = ask(running, script)
    last = chunks(stopped)[-1]
    assert [choice["finish_reason"] for choice in last["choices"]] == ["content_filter"]
    retraction = next(notice for notice in last["notices"] if notice["kind"] == "retraction")
    assert retraction["retract"][0]["end"] == len(said(stopped))
    if release == "strict":
        assert "poison" not in stopped.text
    deadline = time.monotonic() + 5
    while upstream.seen[0].cancelled_s is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    plain = ask(running, {"text": "Now some poison here."}, stream=False).json()
    assert plain["choices"][0]["finish_reason"] == "content_filter"
    assert "poison" not in json.dumps(plain)
    upstream.reset()
    refused = ask(running, fine, stream=False, prompt="give me poison").json()
    assert refused["choices"][0]["finish_reason"] == "content_filter"
    assert upstream.seen == []


def test_a_waiting_client_is_kept_awake(
    gateway: StartGateway, upstream: ScriptedUpstream, check: ThreadingHTTPServer
) -> None:
    """Comment lines, which every parser of server-sent events ignores."""
    url = f"http://127.0.0.1:{check.server_port}/"
    running = gateway(upstream.url, config=configured(url, "strict", "[limits]\nkeep_alive_s = 0.1\n"))
    answer = ask(running, {"text": "A fine sentence. And more.", "first_delay_s": 0.5})
    assert ": keep-alive" in answer.text
    assert "A fine sentence. And more." in said(answer)


def test_a_check_that_is_down_stops_the_answer(gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Fail closed: nothing leaves unjudged, and the client is told."""
    running = gateway(upstream.url, config=configured("http://127.0.0.1:1/", "strict"))
    for stream in (True, False):
        answer = ask(running, {"text": "A fine sentence."}, stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "duty_failed")
        record = running.record(answer.headers["duty-record"])["record"]
        assert any(decision["verdict"] == "error" for decision in record["decisions"])
