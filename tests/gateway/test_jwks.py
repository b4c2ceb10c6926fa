# SPDX-License-Identifier: Apache-2.0
"""Keys are fetched rarely, rotated at once, and not believed for ever."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gateway.jwks import MAX_DOCUMENT_BYTES, RETRY_S, STALE_S, KeyRing, KeysUnavailable, fetch_document, parse_keys

CACHE_S = 300.0

RSA = RSAKey.generate_key(2048)
P256 = ECKey.generate_key("P-256")
P384 = ECKey.generate_key("P-384")
ED25519 = OKPKey.generate_key("Ed25519")


def public(key: Any, **members: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **members}


def document(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


class Issuer:
    """The document, as others change it, and how often it was asked for."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.now = 1_772_330_400.0
        self.body = document(*keys)
        self.error: Exception | None = None
        self.fetches = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.ring = KeyRing("https://issuer.example/keys", CACHE_S, lambda: self.now, self.fetch)

    async def fetch(self, url: str) -> bytes:
        assert url == "https://issuer.example/keys"
        self.fetches += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.body

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def play(story: Callable[[Issuer], Awaitable[None]], *keys: dict[str, Any]) -> None:
    async def run() -> None:
        await story(Issuer(*keys))

    asyncio.run(run())


def test_a_key_serves_only_the_algorithms_of_its_kind() -> None:
    """RSA, EC and Ed25519 keys are never taken one for another, and a key that names its algorithm keeps to it."""
    keys = parse_keys(
        document(
            public(RSA, kid="rsa"),
            public(P256, kid="p256"),
            public(P384, kid="p384"),
            public(ED25519, kid="ed"),
            public(RSA, kid="only-ps", alg="PS256"),
        )
    )
    algorithms = ("HS256", "none", "RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519", "RS1")

    fits = {key.kid: [name for name in algorithms if key.fits(name)] for key in keys}

    assert fits == {
        "rsa": ["RS256", "PS256"],
        "p256": ["ES256"],
        "p384": ["ES384"],
        "ed": ["EdDSA", "Ed25519"],
        "only-ps": ["PS256"],
    }


@pytest.mark.parametrize(
    "entry",
    [
        OctKey.import_key(b"x" * 32).as_dict(private=True),
        public(P256, use="enc"),
        public(P256, key_ops=["sign"]),
        public(P256, key_ops="verify"),
        public(P256, kid=5),
        public(P256, x="AQAB"),
        public(P256, x=7),
        {"kty": "RSA"},
        {"kty": ["RSA"]},
        {"kty": "AKP", "kid": "post-quantum"},
        {**public(RSA), "n": "AQAB"},
        "key",
        None,
    ],
)
def test_keys_that_cannot_be_used_are_passed_over(entry: Any) -> None:
    """A shared secret, an encryption key, a broken or new kind of key: the good one beside it still works."""
    assert [key.kid for key in parse_keys(document(entry, public(P256, kid="good")))] == ["good"]
    with pytest.raises(ValueError, match="no key"):
        parse_keys(document(entry))


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_short_rsa_key_is_passed_over() -> None:
    """Under 2,048 bits a signature proves nothing."""
    with pytest.raises(ValueError, match="no key"):
        parse_keys(document(public(RSAKey.generate_key(1024))))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": {}}', b"<html>", b'{"keys": []}', b"\xff"])
def test_what_is_no_key_document_is_refused(body: bytes) -> None:
    """With one type of error."""
    with pytest.raises(ValueError):
        parse_keys(body)


def test_too_many_keys_are_refused() -> None:
    """A document cannot make us import keys without end."""
    with pytest.raises(ValueError, match="at most 100"):
        parse_keys(document(*[public(P256)] * 101))


def test_a_private_key_published_by_mistake_is_not_kept() -> None:
    """Only its public half is read."""
    (known,) = parse_keys(document(P256.as_dict(private=True)))

    assert not known.key.is_private


def test_keys_are_fetched_once_and_again_after_their_time_in_the_background() -> None:
    """Only the very first request waits."""

    async def story(issuer: Issuer) -> None:
        ring = issuer.ring
        await asyncio.gather(*(ring.refresh() for _ in range(20)))
        assert issuer.fetches == 1
        issuer.now += CACHE_S - 1
        assert issuer.now < ring.refresh_at
        issuer.now += 1
        issuer.gate.clear()
        assert issuer.now >= ring.refresh_at
        await ring.refresh()  # returns although the fetch does not
        await ring.refresh()
        assert await ring.find("a", "ES256") is not None
        await issuer.settle()
        issuer.gate.set()
        await issuer.settle()
        assert issuer.fetches == 2
        assert issuer.now + CACHE_S == ring.refresh_at
        assert ring.version == 1, "nothing has changed"

    play(story, public(P256, kid="a"))


def test_an_unknown_key_is_looked_for_at_once_but_not_on_every_request() -> None:
    """Rotation works without waiting, and made-up key names do not become a flood on the issuer."""

    async def story(issuer: Issuer) -> None:
        ring = issuer.ring
        await ring.refresh()
        issuer.body = document(public(P256, kid="old"), public(P384, kid="new"))
        for _ in range(10):
            assert await ring.find("new", "ES384") is None
        assert issuer.fetches == 1, "within the first moments after a fetch"
        issuer.now += RETRY_S
        found = await asyncio.gather(*(ring.find("new", "ES384") for _ in range(10)))
        assert all(key is not None for key in found)
        assert (issuer.fetches, ring.version) == (2, 2)
        for number in range(100):
            assert await ring.find(f"made-up-{number}", "ES384") is None
        assert issuer.fetches == 2

    play(story, public(P256, kid="old"))


def test_a_token_without_a_key_name_needs_a_single_fitting_key() -> None:
    """No guessing among several."""

    async def story(issuer: Issuer) -> None:
        await issuer.ring.refresh()
        assert await issuer.ring.find(None, "ES256") is not None
        assert await issuer.ring.find(None, "RS256") is None
        assert await issuer.ring.find("b", "RS256") is not None

    play(story, public(P256, kid="a"), public(RSA, kid="b"), public(RSA, kid="c"))


def test_a_key_that_has_left_the_document_is_gone_with_the_next_fetch() -> None:
    """And `version` tells that what it signed must be verified again."""

    async def story(issuer: Issuer) -> None:
        await issuer.ring.refresh()
        issuer.body = document(public(P384, kid="b"))
        issuer.now += CACHE_S
        await issuer.ring.refresh()
        await issuer.settle()
        assert issuer.ring.version == 2
        assert await issuer.ring.find("a", "ES256") is None

    play(story, public(P256, kid="a"))


@pytest.mark.parametrize(
    "error",
    [httpx.ConnectError("host"), httpx.InvalidURL("url"), OSError("file"), TimeoutError(), ValueError("status")],
)
def test_known_keys_are_believed_through_an_outage_and_not_beyond(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """An issuer that is away for an hour stops nobody; a key that was withdrawn meanwhile is not believed for ever."""

    async def story(issuer: Issuer) -> None:
        await issuer.ring.refresh()
        issuer.error = error
        issuer.now += CACHE_S
        await issuer.ring.refresh()
        await issuer.settle()
        assert issuer.now + RETRY_S == issuer.ring.refresh_at
        issuer.now += STALE_S - 1
        await issuer.ring.refresh()
        await issuer.settle()
        assert await issuer.ring.find("a", "ES256") is not None
        issuer.now += 1
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                await issuer.ring.refresh()
        issuer.error = None
        issuer.now += RETRY_S
        await issuer.ring.refresh()
        assert await issuer.ring.find("a", "ES256") is not None

    play(story, public(P256, kid="a"))
    assert "issuer.example" not in caplog.text
    assert type(error).__name__ in caplog.text


def test_an_issuer_that_is_away_from_the_start_is_not_hammered() -> None:
    """Requests fail at once until the next try is due."""

    async def story(issuer: Issuer) -> None:
        issuer.error = OSError()
        for _ in range(10):
            with pytest.raises(KeysUnavailable):
                await issuer.ring.refresh()
        assert issuer.fetches == 1
        issuer.now += RETRY_S
        with pytest.raises(KeysUnavailable):
            await issuer.ring.refresh()
        assert issuer.fetches == 2

    play(story, public(P256))


def test_a_broken_document_does_not_replace_good_keys() -> None:
    """A half-written deployment at the issuer is an outage, not a rotation."""

    async def story(issuer: Issuer) -> None:
        await issuer.ring.refresh()
        issuer.body = b'{"keys": []}'
        issuer.now += CACHE_S
        await issuer.ring.refresh()
        await issuer.settle()
        assert await issuer.ring.find("a", "ES256") is not None
        assert issuer.ring.version == 1

    play(story, public(P256, kid="a"))


def test_closing_ends_a_fetch_under_way_and_a_waiter_that_leaves_does_not() -> None:
    """No task is leaked, and one client that hangs up does not take the keys from the others."""

    async def story(issuer: Issuer) -> None:
        issuer.gate.clear()
        leaver = asyncio.ensure_future(issuer.ring.refresh())
        stayer = asyncio.ensure_future(issuer.ring.refresh())
        await issuer.settle()
        leaver.cancel()
        await issuer.settle()
        issuer.gate.set()
        await stayer
        assert issuer.fetches == 1
        issuer.gate.clear()
        issuer.now += CACHE_S
        await issuer.ring.refresh()
        await issuer.settle()
        await issuer.ring.close()
        assert {asyncio.current_task()} == asyncio.all_tasks()

    play(story, public(P256))


def test_a_document_is_read_from_a_file(tmp_path: Path) -> None:
    """For one machine and for tests; a file that is missing is an `OSError`."""
    path = tmp_path / "keys with space.json"
    path.write_bytes(b"{}")

    assert asyncio.run(fetch_document(path.as_uri())) == b"{}"
    with pytest.raises(OSError):
        asyncio.run(fetch_document((tmp_path / "none").as_uri()))


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        bodies = {"/keys": b'{"keys": []}', "/large": b"x" * (MAX_DOCUMENT_BYTES + 1)}
        self.send_response(302 if self.path == "/moved" else 200 if self.path in bodies else 404)
        self.send_header("Location", "/keys")
        self.end_headers()
        self.wfile.write(bodies.get(self.path, b""))

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_document_is_read_over_http_with_bounds() -> None:
    """Only status 200, no redirects, and no more than the limit."""
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    origin = f"http://127.0.0.1:{server.server_port}"
    try:
        assert asyncio.run(fetch_document(f"{origin}/keys")) == b'{"keys": []}'
        for path, message in (("/moved", "302"), ("/none", "404"), ("/large", "at most")):
            with pytest.raises(ValueError, match=message):
                asyncio.run(fetch_document(origin + path))
    finally:
        server.shutdown()
        server.server_close()
