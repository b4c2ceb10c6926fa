# SPDX-License-Identifier: Apache-2.0
"""How the listener says no: problems without traces or echoes, and bounded bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.operator.problems import BODY_BYTES, BoundedBody
from gateway.operator.tokens import Role


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/chat/completions", 404),
        ("POST", "/api/records", 405),
        ("DELETE", "/api/complaints", 405),
        ("GET", "/livez", 200),
    ],
)
def test_what_does_not_exist_is_a_problem(listener: Any, method: str, path: str, status: int) -> None:
    """The model API is not here, and no method is guessed."""
    answer = listener.client.request(method, path, headers=listener.headers(Role.ADMIN))

    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_a_defect_shows_no_trace(listener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 as a problem, counted; what broke stands in the log alone."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("canary-7f3a")

    monkeypatch.setattr(listener.desk, "list", broken)

    answer = listener.get("/api/complaints")

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "canary-7f3a" not in answer.text and "Traceback" not in answer.text
    assert 'dutybound_operator_requests_total{status="500"} 1.0' in listener.get("/metrics", None).text


def test_a_damaged_token_file_closes_the_listener(listener: Any) -> None:
    """Fail closed, with the next step; metrics stay readable for the alert."""
    headers = listener.headers(Role.ADMIN)
    listener.tokens._path.write_bytes(b"{")

    answer = listener.client.get("/api/version", headers=headers)

    assert answer.status_code == 503
    assert answer.json()["code"] == "tokens_unreadable"
    assert str(listener.tokens._path) not in answer.text
    assert listener.get("/metrics", None).status_code == 200


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"null", b"[1,2", b'"text"', b'{"decision": NaN}'])
def test_a_body_that_is_no_json_is_refused(listener: Any, body: bytes) -> None:
    """400, not 500, and nothing of it comes back."""
    filed = listener.file()

    answer = listener.client.post(
        f"/api/complaints/{filed.receipt}/answer",
        content=body,
        headers={**listener.headers(Role.OFFICER), "Content-Type": "application/json"},
    )

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_request"


def test_a_large_body_is_refused_before_anything_is_done(listener: Any) -> None:
    """Without a token as well: the bound stands in front of everything."""
    filed = listener.file()

    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * (BODY_BYTES // 2)

    for content in (b"x" * (BODY_BYTES + 1), pieces()):
        answer = listener.client.post(f"/api/complaints/{filed.receipt}/answer", content=content)
        assert answer.status_code == 413
        assert answer.json()["code"] == "body_too_large"


def test_the_longest_answer_fits_in_its_widest_spelling(listener: Any) -> None:
    """10,000 characters, each written as an escape of six bytes."""
    filed = listener.file()
    text = "\\u6c34" * 10_000

    answer = listener.client.post(
        f"/api/complaints/{filed.receipt}/answer",
        content=f'{{"decision":"upheld","text":"{text}"}}'.encode(),
        headers={**listener.headers(Role.OFFICER), "Content-Type": "application/json"},
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("is_gone", [False, True])
def test_half_a_body_is_given_up(is_gone: bool) -> None:
    """It holds nothing for longer than the time limit, and does nothing, even where the half would be a request."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the application must not see the request")

    async def story() -> list[Message]:
        sent: list[Message] = []
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"{}", "more_body": True}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            if is_gone:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(message: Message) -> None:
            sent.append(message)

        await BoundedBody(app, timeout_s=0.01)({"type": "http", "method": "POST"}, receive, send)
        return sent

    sent = asyncio.run(story())

    if is_gone:
        assert sent == []
    else:
        assert sent[0]["status"] == 408
        assert b"body_timeout" in sent[1]["body"]
