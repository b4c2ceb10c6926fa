# SPDX-License-Identifier: Apache-2.0
"""WebSockets to the model: what goes with the handshake, what counts as a message, and how each end is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.settings import Upstream as UpstreamSettings
from gateway.upstream import Upstream, UpstreamFailure, UpstreamRefusal, UpstreamSocket
from gateway.wires.interfaces import Call
from tests.upstreams.realtime import RealtimeUpstream, serve_realtime

CALL = Call("GET", "/v1/realtime?model=m", b"")
Act = Callable[[UpstreamSocket, RealtimeUpstream], Awaitable[Any]]


def talk(act: Act, *, status: int = 0, most_bytes: int = 10_000, **settings: Any) -> tuple[Any, RealtimeUpstream]:
    """What `act` gives with a socket to a model."""

    async def whole() -> tuple[Any, RealtimeUpstream]:
        async with serve_realtime() as model:
            model.status = status
            upstream = Upstream(UpstreamSettings(url=model.url, **settings))
            headers = [(b"authorization", b"Bearer k"), (b"sec-websocket-key", b"theirs"), (b"duty-subject", b"x")]
            try:
                socket = await upstream.socket(CALL, headers, "realtime", most_bytes)
                try:
                    return await act(socket, model), model
                finally:
                    await socket.close()
            finally:
                await upstream.close()

    return asyncio.run(whole())


async def until_it_ends(socket: UpstreamSocket, model: RealtimeUpstream) -> str:
    """Everything that comes, until nothing does."""
    await socket.receive()
    await socket.send('{"type": "response.create"}')
    while await socket.receive() is not None:
        pass
    return "in order"


def test_a_session_speaks_text_both_ways() -> None:
    """The client's key goes along, what is about this hop or ours does not."""

    async def act(socket: UpstreamSocket, model: RealtimeUpstream) -> str | None:
        first = await socket.receive()
        await socket.send('{"type": "input_audio_buffer.clear"}')
        await socket.send('{"type": "response.create"}')
        await socket.receive()
        return first

    first, model = talk(act)
    assert first is not None and "session.created" in first
    (seen,) = model.sessions
    assert seen.path == CALL.path and seen.kinds() == ["input_audio_buffer.clear", "response.create"]
    assert seen.headers["authorization"] == "Bearer k" and "duty-subject" not in seen.headers
    assert seen.headers["sec-websocket-key"] != "theirs" and seen.headers["sec-websocket-protocol"] == "realtime"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"lose": True}, "upstream_incomplete"),
        ({"close": 1011}, "upstream_incomplete"),
        ({"bytes": 3}, "upstream_invalid"),
        ({"raw": "x" * 20_000}, "upstream_invalid"),
    ],
)
def test_every_end_but_one_in_order_is_a_failure(step: dict[str, Any], code: str) -> None:
    """Lost, closed with an error, a binary message, one that is too large."""

    async def act(socket: UpstreamSocket, model: RealtimeUpstream) -> str:
        model.scripts.append([step])
        return await until_it_ends(socket, model)

    with pytest.raises(UpstreamFailure, match=code):
        talk(act)


def test_a_model_may_close_in_order() -> None:
    """Then there are no more messages."""

    async def act(socket: UpstreamSocket, model: RealtimeUpstream) -> str:
        model.scripts.append([{"close": 1000}])
        return await until_it_ends(socket, model)

    assert talk(act)[0] == "in order"


def test_nothing_can_be_sent_into_a_closed_session() -> None:
    """It is the same failure as a lost connection."""

    async def act(socket: UpstreamSocket, model: RealtimeUpstream) -> None:
        await socket.close()
        await socket.send("{}")

    with pytest.raises(UpstreamFailure, match="upstream_incomplete"):
        talk(act)


def test_a_refused_handshake_keeps_its_status() -> None:
    """401 is not 502."""
    with pytest.raises(UpstreamRefusal) as refused:
        talk(until_it_ends, status=401)
    assert refused.value.status == 401
    with pytest.raises(UpstreamFailure, match="upstream_invalid"):
        talk(until_it_ends, status=200)


def test_a_model_that_is_away_cannot_be_reached() -> None:
    """502."""

    async def whole() -> None:
        upstream = Upstream(UpstreamSettings(url="http://127.0.0.1:9"))
        try:
            await upstream.socket(CALL, (), "", 100)
        finally:
            await upstream.close()

    with pytest.raises(UpstreamFailure, match="upstream_unreachable"):
        asyncio.run(whole())


def test_the_gateways_own_key_takes_the_place_of_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for every call."""
    monkeypatch.setenv("MODEL_KEY", "ours")

    async def act(socket: UpstreamSocket, model: RealtimeUpstream) -> str | None:
        return await socket.receive()

    _, model = talk(act, api_key_env="MODEL_KEY")
    assert model.sessions[0].headers["authorization"] == "Bearer ours"
