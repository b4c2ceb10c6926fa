# SPDX-License-Identifier: Apache-2.0
"""Calls to the model over real sockets: what goes on and what does not, and each way to fail with its name."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from gateway.media_links import LinkHosts, LinkRefused
from gateway.settings import Upstream as UpstreamSettings
from gateway.upstream import Upstream, UpstreamFailure
from gateway.wires.interfaces import Call
from tests.upstreams.scripted import Script, ScriptedUpstream, serve_scripted

CALL = Call("POST", "/v1/chat/completions", b'{"messages": []}')
T = TypeVar("T")


def with_model(
    script: Script, act: Callable[[Upstream, ScriptedUpstream], Awaitable[T]], path: str = "", **settings: Any
) -> T:
    """What `act` gives with a model that answers by `script`."""

    async def scene() -> T:
        async with serve_scripted(script) as model:
            upstream = Upstream(UpstreamSettings(url=model.url + path, **settings))
            try:
                return await act(upstream, model)
            finally:
                await upstream.close()

    return asyncio.run(asyncio.wait_for(scene(), 20))


async def body(upstream: Upstream, call: Call = CALL, limit: int = 1 << 20) -> bytes:
    """The whole answer."""
    async with upstream.open(call, []) as answer:
        return await answer.body(limit)


def failure(script: Script, limit: int = 1 << 20, **settings: Any) -> tuple[str, int]:
    """How a call fails."""

    async def act(upstream: Upstream, model: ScriptedUpstream) -> tuple[str, int]:
        with pytest.raises(UpstreamFailure) as caught:
            await body(upstream, limit=limit)
        assert caught.value.message.endswith(".") and str(caught.value) == caught.value.code
        return caught.value.code, caught.value.status

    return with_model(script, act, **settings)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/openai"])
def test_the_url_is_an_origin_with_or_without_v1(path: str) -> None:
    """Both are what people copy; anything before it stays."""

    async def act(upstream: Upstream, model: ScriptedUpstream) -> str:
        await body(upstream)
        return model.seen[0].path

    wanted = "/openai/v1/chat/completions" if path == "/openai" else "/v1/chat/completions"
    assert with_model(Script(body={"ok": True}), act, path) == wanted


def test_headers_of_this_hop_and_ours_stay_here() -> None:
    """Nor does the model learn where the client sits, or who it is to us; the rest goes on."""
    sent = {
        "duty-subject": "jwt",
        "duty-anything": "x",
        "cookie": "c",
        "connection": "close, x",
        "te": "trailers",
        "x-forwarded-for": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "accept-encoding": "gzip, br",
        "expect": "100-continue",
        "authorization": "Bearer theirs",
        "openai-organization": "org",
        "user-agent": "sdk/1",
        "x-stainless-lang": "py",
    }

    async def act(upstream: Upstream, model: ScriptedUpstream) -> Any:
        headers = [(name.encode(), value.encode()) for name, value in sent.items()]
        async with upstream.open(CALL, headers) as answer:
            await answer.body(1_000)
        return model.seen[0]

    seen = with_model(Script(body={}), act)
    kept = {name: seen.header(name) for name in sent if seen.header(name) == sent[name]}
    assert kept == {
        name: sent[name] for name in ("authorization", "openai-organization", "user-agent", "x-stainless-lang")
    }
    assert seen.header("accept-encoding") == "identity" and seen.header("content-type") == "application/json"
    assert not seen.header("cookie") and not seen.header("duty-subject")


def test_headers_that_would_lie_about_our_answer_are_not_returned() -> None:
    """Sizes, digests, cookies, other people's records; request ids and rate limits are."""
    given = {
        "x-request-id": "up-1",
        "x-ratelimit-remaining": "5",
        "etag": '"x"',
        "digest": "sha-256=x",
        "set-cookie": "a=b",
        "duty-record": "theirs",
        "ai-disclosure": "none",
        "server": "nginx",
        "strict-transport-security": "max-age=1",
    }

    async def act(upstream: Upstream, model: ScriptedUpstream) -> dict[bytes, bytes]:
        async with upstream.open(CALL, []) as answer:
            return dict(answer.headers())

    returned = with_model(Script(body={}, headers=given), act)
    assert returned.keys() & {name.encode() for name in given} == {b"x-request-id", b"x-ratelimit-remaining"}
    assert b"content-length" not in returned and b"content-type" not in returned


def test_an_error_of_the_models_is_an_answer() -> None:
    """With its own status."""

    async def act(upstream: Upstream, model: ScriptedUpstream) -> tuple[int, str]:
        async with upstream.open(CALL, []) as answer:
            await answer.body(1_000)
            return answer.status, answer.content_type

    assert with_model(Script(status=429, error="Slow down."), act) == (429, "application/json")


def test_a_redirect_is_not_followed() -> None:
    """It could lead anywhere."""

    async def act(upstream: Upstream, model: ScriptedUpstream) -> tuple[int, int]:
        async with upstream.open(CALL, []) as answer:
            return answer.status, len(model.seen)

    assert with_model(Script(status=302, body={}, headers={"location": "/elsewhere"}), act) == (302, 1)


def test_a_body_beyond_the_limit_is_refused() -> None:
    """Before it is all here."""
    assert failure(Script(text="x" * 5_000), limit=1_000) == ("upstream_too_large", 502)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (Script(hang="before"), ("upstream_timeout", 504)),
        (Script(hang="middle"), ("upstream_timeout", 504)),
        (Script(length_error=10, close=True), ("upstream_incomplete", 502)),
        (Script(break_at=20), ("upstream_incomplete", 502)),
        (Script(break_at=20, break_how="rst"), ("upstream_incomplete", 502)),
        (Script(garbage="http"), ("upstream_unreachable", 502)),
        (Script(garbage="chunk", framing="chunked"), ("upstream_incomplete", 502)),
    ],
    ids=["silent", "stands still", "too short", "breaks off", "reset", "no http", "bad chunk"],
)
def test_each_failure_has_its_name(script: Script, expected: tuple[str, int]) -> None:
    """504 where time ran out, 502 otherwise."""
    assert failure(script, first_byte_timeout_s=0.2, idle_timeout_s=0.2) == expected


def test_a_model_that_is_not_there_is_unreachable() -> None:
    """Nobody listens on the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def scene() -> str:
        upstream = Upstream(UpstreamSettings(url=f"http://127.0.0.1:{port}", connect_timeout_s=1))
        try:
            with pytest.raises(UpstreamFailure) as caught:
                await body(upstream)
        finally:
            await upstream.close()
        return caught.value.code

    assert asyncio.run(scene()) == "upstream_unreachable"


def test_leaving_early_cancels_the_call() -> None:
    """The connection is closed, not drained: the model stops."""

    async def act(upstream: Upstream, model: ScriptedUpstream) -> bool:
        call = Call("POST", "/v1/chat/completions", b'{"model": "m", "messages": [], "stream": true}')
        async with upstream.open(call, []) as answer:
            async for _ in answer.chunks():
                break
        await asyncio.wait_for(model.seen[0].ended.wait(), 5)
        return model.seen[0].was_cancelled

    script = Script(text="word " * 400, split=5, event_delay_s=0.01)
    assert with_model(script, act)


def test_connections_are_used_again() -> None:
    """One connection serves calls that follow each other."""

    async def act(upstream: Upstream, model: ScriptedUpstream) -> int:
        for _ in range(3):
            await body(upstream)
        return len({seen.connection for seen in model.seen})

    assert with_model(Script(body={}), act) == 1


def test_a_compressed_answer_is_read() -> None:
    """Though none was asked for."""

    async def act(upstream: Upstream, model: ScriptedUpstream) -> bytes:
        return await body(upstream)

    assert b"squeezed" in with_model(Script(text="squeezed", gzip=True), act)


def test_the_certificate_of_the_model_is_verified(tmp_path: Any) -> None:
    """A CA file that is not there is refused at the start, not skipped."""

    async def scene() -> None:
        with pytest.raises(OSError):
            Upstream(UpstreamSettings(url="https://127.0.0.1:1", ca_file=str(tmp_path / "missing.pem")))

    asyncio.run(scene())


# Files behind addresses.

Served = dict[str, tuple[int, dict[str, str], bytes]]


def fetched(
    served: Served, path: str, *, hosts: tuple[str, ...] = (), limit: int = 1_000, timeout_s: float = 5.0
) -> Any:
    """What fetching `path` gives from a server with these files (status, headers, body; `{url}` is its own address),
    and every request that it saw. A file that is not among them is never answered."""
    asked: list[str] = []

    async def scene() -> Any:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            asked.append(head.lower())
            if (found := served.get(head.split()[1])) is not None:
                status, headers, data = found
                lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", "Connection: close"]
                lines += (f"{name}: {value.format(url=url)}" for name, value in headers.items())
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
                await writer.drain()
            else:
                await reader.read()  # until whoever asked gives up
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        own = url if not hosts else "https://api.example.com"
        upstream = Upstream(UpstreamSettings(url=own))
        allowed = LinkHosts(own, [host.format(url=url) for host in hosts])
        sent = [(b"authorization", b"Bearer secret"), (b"cookie", b"c"), (b"x-other", b"o")]
        try:
            return await upstream.fetch(url + path, allowed, sent, limit, timeout_s)
        finally:
            await upstream.close()
            server.close()

    try:
        return asyncio.run(asyncio.wait_for(scene(), 20)), asked
    except (UpstreamFailure, LinkRefused) as error:
        return error, asked


def test_a_file_of_the_upstreams_own_origin_is_fetched_with_its_key() -> None:
    """And with nothing else of the client's."""
    data, [asked] = fetched({"/a.png?sig=%2F": (200, {}, b"picture")}, "/a.png?sig=%2F")
    assert data == b"picture"
    assert "authorization: bearer secret" in asked and "cookie" not in asked and "x-other" not in asked


def test_a_listed_host_gets_no_key() -> None:
    """A signed address is all the right that it needs."""
    data, [asked] = fetched({"/a.png": (200, {}, b"picture")}, "/a.png", hosts=("{url}",))
    assert data == b"picture" and "authorization" not in asked


def test_redirects_are_followed_to_allowed_addresses_only() -> None:
    """Three at most; where one leads elsewhere, nobody is asked."""
    ways: Served = {"/a": (302, {"Location": "/b"}, b""), "/b": (200, {}, b"picture")}
    assert fetched(ways, "/a")[0] == b"picture"
    away, asked = fetched({"/a": (302, {"Location": "http://169.254.169.254/x"}, b"")}, "/a")
    assert (away.reason, len(asked)) == ("link_host", 1)
    loop, asked = fetched({"/a": (302, {"Location": "/a"}, b"")}, "/a")
    assert (loop.reason, len(asked)) == ("link_redirects", 4)


@pytest.mark.parametrize(
    ("served", "options", "code"),
    [
        ({"/a": (404, {}, b"gone")}, {}, "upstream_invalid"),
        ({"/a": (200, {}, b"x" * 1_001)}, {}, "upstream_too_large"),
        ({}, {"timeout_s": 0.2}, "upstream_timeout"),
        ({"/a": (200, {"Content-Encoding": "gzip"}, b"no gzip")}, {}, "upstream_incomplete"),
    ],
)
def test_a_file_that_cannot_be_had_is_the_upstreams_failure(served: Served, options: dict[str, Any], code: str) -> None:
    """Gone, too large, too late, broken."""
    assert fetched(served, "/a", **options)[0].code == code
