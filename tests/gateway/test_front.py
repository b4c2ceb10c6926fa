# SPDX-License-Identifier: Apache-2.0
"""The public listener's front: wires, pages, and nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.front import Front
from tests.gateway.rooms import WAY, Client, Rooms, completion


class Pages:
    """Stands for the pages; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """A page."""
        self.asked.append(scope.get("path", scope["type"]))


def knock(method: str, path: str, rooms: Rooms | None = None) -> tuple[Client, Rooms, Pages]:
    """What a request finds."""
    made, pages = rooms or Rooms([completion()]), Pages()
    front = Front(made.house, pages, WAY)
    client = made.client(method=method, path=path)
    asyncio.run(front(client.scope(), client.receive, client.send))
    return client, made, pages


def test_a_wires_path_is_walked() -> None:
    """With its record."""
    client, rooms, pages = knock("POST", "/v1/chat/completions")
    assert client.status == 200 and pages.asked == []
    assert rooms.record["wire"] == "openai_chat"


@pytest.mark.parametrize(
    "path", ["/duty/about", "/duty/complaints", "/.well-known/ai-disclosure.json", "/livez", "/readyz"]
)
def test_pages_are_asked_for_their_paths(path: str) -> None:
    """Without a record of an exchange: it is none."""
    client, rooms, pages = knock("GET", path)
    assert pages.asked == [path] and rooms.log.entries == [] and client.sent == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/fine_tuning/jobs"),
        ("GET", "/v1/models/../files"),
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/console/"),
        ("POST", "/v2/chat/completions"),
    ],
)
def test_what_is_not_known_is_refused_recorded_and_never_passed(method: str, path: str) -> None:
    """Its duties could not be done; and the record does not repeat the path, which may say anything."""
    client, rooms, pages = knock(method, path)
    assert client.status == 404 and pages.asked == [] and rooms.upstream.calls == []
    document = json.loads(client.answer)
    code = document["error"]["code"] if path.startswith("/v1/") else document["code"]
    assert code == "unknown_path"
    assert rooms.record["outcome"] == "bad_request" and rooms.record["wire"] == "none"
    assert path == "/" or path not in str(rooms.record)
    assert client.answer_headers[b"duty-record"].decode() == rooms.record["id"]


def test_a_known_path_names_its_methods() -> None:
    """405 with `Allow`."""
    client, rooms, _ = knock("GET", "/v1/chat/completions")
    assert client.status == 405 and client.answer_headers[b"allow"] == b"POST"
    assert json.loads(client.answer)["error"]["code"] == "method_not_allowed"
    assert rooms.record["status"] == 405


def test_a_refusal_that_cannot_be_recorded_says_so() -> None:
    """No answer without its record holds for refusals too."""
    rooms = Rooms()
    rooms.log.broken = frozenset({"exchange"})
    client, _, _ = knock("GET", "/nothing", rooms)
    assert client.status == 503 and json.loads(client.answer)["code"] == "not_recorded"
    assert "dutybound_audit_failures_total 1.0" in rooms.meters.scrape().decode()


def test_what_is_no_request_goes_to_the_pages() -> None:
    """A server's own lifespan."""
    rooms, pages = Rooms(), Pages()

    async def scene() -> None:
        client = rooms.client()
        await Front(rooms.house, pages, WAY)({"type": "lifespan"}, client.receive, client.send)

    asyncio.run(scene())
    assert pages.asked == ["lifespan"]
