# SPDX-License-Identifier: Apache-2.0
"""Whose key the model sees: the client's as it came, or the gateway's own in the place where the wire carries it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.api_keys import KEY_HEADERS
from gateway.settings import Upstream as UpstreamSettings
from gateway.upstream import Upstream
from gateway.wires.interfaces import Call
from tests.upstreams.scripted import Script, Seen, serve_scripted

CLIENTS = [
    (b"authorization", b"Bearer theirs"),
    (b"x-api-key", b"theirs"),
    (b"x-goog-api-key", b"theirs"),
    (b"anthropic-version", b"2023-06-01"),
]
KEYS = ("authorization", "x-api-key", "x-goog-api-key")


async def _asked(call: Call, own_key: bool, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """The request as it reached the model."""
    monkeypatch.setenv("MODEL_KEY", "ours")
    async with serve_scripted(Script(body={})) as model:
        upstream = Upstream(UpstreamSettings(url=model.url, api_key_env="MODEL_KEY" if own_key else ""))
        try:
            async with upstream.open(call, CLIENTS) as answer:
                await answer.body(1_000)
        finally:
            await upstream.close()
        return model.seen[0]


@pytest.mark.parametrize(
    ("header", "value"), [("authorization", "Bearer ours"), ("x-api-key", "ours"), ("x-goog-api-key", "ours")]
)
def test_our_key_stands_alone_where_the_wire_carries_it(
    header: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key of the client's goes on, whichever header it chose; other headers do."""
    seen = asyncio.run(_asked(Call("POST", "/x", b"{}", key_header=header), True, monkeypatch))
    assert {name: seen.header(name) for name in KEYS if seen.header(name)} == {header: value}
    assert seen.header("anthropic-version") == "2023-06-01"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/m:x?key=theirs&alt=sse", "/m:x?alt=sse"),
        ("/m:x?alt=sse&%6bey=theirs", "/m:x?alt=sse"),
        ("/m:x?key=theirs", "/m:x"),
        ("/m:x?monkey=1", "/m:x?monkey=1"),
    ],
)
def test_a_key_in_the_query_gives_way_too(path: str, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is spelt; parameters that only look like it stay."""
    call = Call("POST", path, b"{}", key_header="x-goog-api-key", key_parameter="key")
    assert asyncio.run(_asked(call, True, monkeypatch)).path == wanted


def test_without_a_key_of_ours_everything_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's keys are its own affair then."""
    call = Call("POST", "/m:x?key=theirs", b"{}", key_header="x-goog-api-key", key_parameter="key")
    seen = asyncio.run(_asked(call, False, monkeypatch))
    assert [seen.header(name) for name in KEYS] == ["Bearer theirs", "theirs", "theirs"]
    assert seen.path == "/m:x?key=theirs"


@pytest.mark.parametrize("own_key", [True, False])
@pytest.mark.parametrize("header", sorted(KEY_HEADERS))
def test_a_key_that_the_gateway_gave_never_reaches_the_model(
    header: bytes, own_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is written, in a header or in the query; and where it stood, nothing stands."""
    monkeypatch.setattr("tests.gateway.test_upstream_keys.CLIENTS", [(header, b" bearer  dbk_secret")])
    for path in ("/x?key=dbk_secret&alt=sse", "/x?alt=sse&key=%64bk_secret"):
        seen = asyncio.run(_asked(Call("POST", path, b"{}", key_parameter="key"), own_key, monkeypatch))
        assert "bk_secret" not in str(seen)
        assert "alt=sse" in str(seen)
