# SPDX-License-Identifier: Apache-2.0
"""Two applications that are never mixed, over one real house."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.app import _broken, create_operator_app, create_public_app
from gateway.home import Home
from gateway.house import House
from gateway.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder."""
    return Home.create(tmp_path_factory.mktemp("app") / "home", "audit.example.com/app")[0].path


Asked = Callable[[httpx.AsyncClient, House], Awaitable[Any]]


def ask(folder: Path, act: Asked, *, operator: bool = False) -> Any:
    """What `act` gives with a client of one of the two applications."""

    async def scene() -> Any:
        house = House(Settings(base_dir=folder, home=folder), Home.open(folder), upstream_url="http://127.0.0.1:9")
        app: Any = create_operator_app(house) if operator else create_public_app(house)
        try:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await act(client, house)
        finally:
            await house.close()

    return asyncio.run(scene())


def get(folder: Path, path: str, *, operator: bool = False) -> httpx.Response:
    """The answer to GET."""

    async def act(client: httpx.AsyncClient, house: House) -> httpx.Response:
        return await client.get(path)

    answer: httpx.Response = ask(folder, act, operator=operator)
    return answer


def test_the_public_side_shows_what_anybody_may_see(folder: Path) -> None:
    """Pages, disclosure, health."""

    async def act(client: httpx.AsyncClient, house: House) -> list[int]:
        paths = ("/duty/about", "/.well-known/ai-disclosure.json", "/duty/complaints", "/livez", "/readyz")
        return [(await client.get(path)).status_code for path in paths]

    assert ask(folder, act) == [200] * 5


@pytest.mark.parametrize("path", ["/metrics", "/api/records", "/log/checkpoint", "/console/"])
def test_what_is_the_operators_is_not_on_the_public_side(folder: Path, path: str) -> None:
    """Whatever token somebody has."""
    assert get(folder, path).status_code == 404


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/duty/about"])
def test_what_is_public_is_not_on_the_operators_side(folder: Path, path: str) -> None:
    """Nobody reaches the model past the duties."""
    assert get(folder, path, operator=True).status_code == 404


def test_an_unknown_page_is_a_problem_with_a_next_step(folder: Path) -> None:
    """RFC 9457, not a stack trace and not the server's own words."""
    answer = get(folder, "/duty/nothing")
    assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found" and "/duty/about" in answer.json()["title"]


def test_a_page_that_cannot_do_that_says_so(folder: Path) -> None:
    """A method it has not."""

    async def act(client: httpx.AsyncClient, house: House) -> httpx.Response:
        return await client.delete("/duty/about")

    answer = ask(folder, act)
    assert answer.status_code == 405 and answer.json()["code"] == "method_not_allowed"


def test_a_page_that_breaks_shows_nothing_of_it() -> None:
    """The operator's log has the class of the error; the reader is asked to try again."""

    def breaking(request: Any) -> Any:
        raise RuntimeError("secret words")

    app = Starlette(routes=[Route("/", breaking)], exception_handlers={Exception: _broken})

    async def scene() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/")

    answer = asyncio.run(scene())
    assert answer.status_code == 500 and answer.json()["code"] == "broken" and "secret" not in answer.text


def test_a_model_that_is_away_is_a_502_with_a_record_that_can_be_found(folder: Path) -> None:
    """The whole way through a real house, its log included."""

    async def act(client: httpx.AsyncClient, house: House) -> tuple[httpx.Response, Any]:
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        answer = await client.post("/v1/chat/completions", json=body)
        return answer, house.log.get(answer.headers["duty-record"])

    answer, record = ask(folder, act)
    assert answer.status_code == 502 and answer.json()["error"]["code"] == "upstream_unreachable"
    leaf = json.loads(record.leaf)
    assert (leaf["outcome"], leaf["status"], leaf["model"]) == ("upstream_failed", 502, "m")
    assert answer.headers["ai-disclosure"]
