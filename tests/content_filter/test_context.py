# SPDX-License-Identifier: Apache-2.0
"""A check over HTTP is believed only where it answers in the agreed form."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from content_filter.breaker import CircuitBreaker
from content_filter.context import CheckUnavailable, HttpCheck
from content_filter.filter import Outcome, Role, Verdict


class Service:
    """A real HTTP server that answers with what the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, b"{}", list[Any]()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(service.status)
                self.send_header("content-length", str(len(service.body)))
                self.end_headers()
                self.wfile.write(service.body)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/judge"


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def judged(url: str, text: str = "some text") -> Verdict:
    """What a check at `url` says."""

    async def ask() -> Verdict:
        check = HttpCheck(url, 2.0)
        try:
            return await check.judge(text, Role.ANSWER)
        finally:
            await check.close()

    return asyncio.run(ask())


def test_a_verdict_is_taken_over(service: Service) -> None:
    """Class, rule and score, over the whole of the window."""
    service.body = b'{"verdict": "block", "class": "A1d", "score": 0.87654, "rule": "m1"}'
    assert judged(service.url) == Verdict(Outcome.BLOCK, Role.ANSWER, "A1d", "m1", 0, 9, 8765)
    assert service.asked == [{"text": "some text", "role": "answer"}]
    service.body = b'{"verdict": "pass"}'
    assert judged(service.url).verdict is Outcome.PASS


@pytest.mark.parametrize(
    "body",
    [
        "", "[]", "{}", '{"verdict": "maybe"}', '{"verdict": "block"}', '{"verdict": "block", "class": "Z9"}',
        '{"verdict": "mask", "class": "A1a"}', '{"verdict": "block", "class": "A1a", "score": 7}',
        '{"verdict": "block", "class": "A1a", "score": "high"}', '{"verdict": "flag", "class": "A1a", "rule": "词"}',
        '{"verdict": 1}', '{"verdict": null}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_no_answer(service: Service, body: str) -> None:
    """Never a guess: whoever asks decides what a broken check means."""
    service.body = body.encode()
    with pytest.raises(CheckUnavailable):
        judged(service.url)


def test_an_error_status_and_a_dead_service_are_no_answer(service: Service) -> None:
    """The message says nothing of the text."""
    service.status, service.body = 500, b'{"verdict": "pass"}'
    with pytest.raises(CheckUnavailable) as caught:
        judged(service.url, "canary")
    assert "canary" not in str(caught.value)
    with pytest.raises(CheckUnavailable):
        judged("http://127.0.0.1:1/judge")


def test_a_service_that_keeps_failing_is_left_alone(service: Service) -> None:
    """Nothing is sent while the circuit is open; its first success opens the way again."""
    now = [0.0]

    async def ask() -> None:
        check = HttpCheck(service.url, 2.0, breaker=CircuitBreaker(lambda: now[0], failures=2, rest_s=10.0))
        service.status = 500
        for _ in range(4):
            with pytest.raises(CheckUnavailable):
                await check.judge("some text", Role.PROMPT)
        assert len(service.asked) == 2
        now[0], service.status, service.body = 10.0, 200, b'{"verdict": "pass"}'
        for _ in range(2):
            assert (await check.judge("some text", Role.PROMPT)).verdict is Outcome.PASS
        assert len(service.asked) == 4
        await check.close()

    asyncio.run(ask())
