# SPDX-License-Identifier: Apache-2.0
"""A trusted proxy is believed once for each proof, from its own address, and nobody else is."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import AgeBand, Person
from gateway.identity import Identifier, IdentityError
from gateway.proxy_identity import CLAIMS_HEADER, PROOF_HEADER, ProxyIdentity, ProxyRefused
from gateway.settings import Identity, IdentityProxy, SettingsError
from gateway.state import MemoryState, StateUnavailable

NOW = 1_790_000_000.0
SECRET = b"x" * 32
PEER = "10.0.0.5"
NONCE = "0123456789abcdef"


def b64(data: bytes) -> bytes:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(
    claims: Any, *, at: float = NOW, nonce: str = NONCE, secret: bytes = SECRET, raw: bytes | None = None
) -> list[tuple[bytes, bytes]]:
    """The two headers, as the documentation says to make them."""
    body = b64(json.dumps(claims).encode()) if raw is None else raw
    text = b"dutybound-proxy-1\n%d\n%b\n%b" % (int(at), nonce.encode(), body)
    mac = b64(hmac.digest(secret, text, "sha256"))
    return [(CLAIMS_HEADER, body), (PROOF_HEADER, b"%d.%b.%b" % (int(at), nonce.encode(), mac))]


class House:
    """A gateway behind one proxy."""

    def __init__(self, *, state: MemoryState | None = None, jwt_secret: bytes | None = None, **settings: Any) -> None:
        self.now = NOW
        self.state = state or MemoryState(lambda: self.now)
        proxy = IdentityProxy(secret_env="X", peers=(PEER, "fd00::/8", "192.0.2.0/24"), skew_s=30.0)
        self.proxy = ProxyIdentity(proxy, SECRET, lambda: self.now, self.state)
        self.identifier = Identifier(Identity(**settings), SECRET, lambda: self.now, jwt_secret, proxy=self.proxy)

    def ask(self, headers: list[tuple[bytes, bytes]], peer: str = PEER) -> Person:
        """Who that is."""
        return asyncio.run(self.identifier.identify(headers, peer))

    def refused(self, headers: list[tuple[bytes, bytes]], peer: str = PEER) -> str:
        """Why not."""
        with pytest.raises(IdentityError) as caught:
            self.ask(headers, peer)
        assert caught.value.status == 401
        assert not any(value.decode("latin-1") in caught.value.message for _, value in headers if len(value) > 8)
        return caught.value.code


def test_a_proxy_says_who_is_asking() -> None:
    """With the same claims as a token; the subject is a pseudonym."""
    claims = {"sub": "u1", "age_band": "12-15", "verified": True, "tz": "Asia/Tokyo", "tenant": "acme"}
    person = House().ask(signed(claims))
    assert (person.tenant, person.age_band, person.tz) == ("acme", AgeBand.FROM_12, "Asia/Tokyo")
    assert person.is_signed and person.is_verified and person.subject and "u1" not in person.subject


def test_claims_have_the_names_that_the_settings_give() -> None:
    """Others of the same name as ours are not looked at."""
    house = House(claims={"sub": "uid", "age_band": "age", "verified": "kyc", "tenant": "org"})
    person = house.ask(signed({"uid": "u1", "age": "<14", "kyc": True, "org": "acme", "tenant": "x", "sub": "y"}))
    assert (person.tenant, person.age_band.is_minor, person.is_verified) == ("acme", True, True)
    assert person.subject == house.identifier.pseudonym("acme", "u1")


@pytest.mark.parametrize(("peer", "is_trusted"), [
    (PEER, True), ("::ffff:10.0.0.5", True), ("fd00::1", True), ("192.0.2.77", True),
    ("10.0.0.6", False), ("", False), ("proxy.example.org", False), ("::1", False),
])  # fmt: skip
def test_a_proof_counts_from_the_configured_peers_only(peer: str, is_trusted: bool) -> None:
    """Whatever headers say about where it comes from."""
    headers = [*signed({"sub": "u1"}), (b"x-forwarded-for", PEER.encode()), (b"forwarded", b"for=" + PEER.encode())]
    if is_trusted:
        assert House().ask(headers, peer).subject
    else:
        assert House().refused(headers, peer) == "untrusted_peer"


def test_a_proof_counts_once_in_all_processes() -> None:
    """Replayed to another replica at the same time, one of both is refused."""
    first = House()
    second = House(state=first.state)
    headers = signed({"sub": "u1"})

    async def both() -> list[Any]:
        asked = (house.identifier.identify(headers, PEER) for house in (first, second))
        return await asyncio.gather(*asked, return_exceptions=True)

    results = asyncio.run(both())
    assert sorted(isinstance(result, IdentityError) for result in results) == [False, True]
    assert first.refused(headers) == "replayed_claims"
    assert first.ask(signed({"sub": "u1"}, nonce="another-nonce-here")).subject


@pytest.mark.parametrize(("offset", "code"), [(-31, "stale_claims"), (31, "stale_claims"), (-30, ""), (30, "")])
def test_clocks_may_differ_by_so_much(offset: float, code: str) -> None:
    """And no replay lives longer than its proof."""
    house = House()
    headers = signed({"sub": "u1"}, at=NOW + offset)
    if code:
        assert house.refused(headers) == code
        return
    assert house.ask(headers).subject
    for moment in range(int(NOW + offset) - 30, int(NOW + offset) + 31, 5):
        if moment >= NOW:
            house.now = float(moment)
            assert house.refused(headers) == "replayed_claims"
    house.now = NOW + offset + 31
    assert house.refused(headers) == "stale_claims"


@pytest.mark.parametrize("part", ["claims", "time", "nonce", "mac", "secret"])
def test_whatever_is_changed_is_refused(part: str) -> None:
    """Every part is signed."""
    (_, claims), (_, proof) = signed({"sub": "u1"})
    at, nonce, mac = proof.split(b".")
    if part == "claims":
        claims = b64(b'{"sub": "u2"}')
    elif part == "time":
        at = b"%d" % (NOW + 1)
    elif part == "nonce":
        nonce = b"fedcba9876543210"
    elif part == "mac":
        mac = mac[:-2] + (b"AA" if mac[-2:] != b"AA" else b"BB")
    else:
        (_, claims), (_, proof) = signed({"sub": "u1"}, secret=b"y" * 32)
        at, nonce, mac = proof.split(b".")
    headers = [(CLAIMS_HEADER, claims), (PROOF_HEADER, b".".join((at, nonce, mac)))]
    assert House().refused(headers) == "untrusted_claims"


def test_a_forged_proof_uses_up_no_nonce() -> None:
    """Or anybody behind the proxy's address could block its people."""
    house = House()
    forged = signed({"sub": "u1"}, secret=b"y" * 32)
    assert house.refused(forged) == "untrusted_claims"
    assert house.ask(signed({"sub": "u1"})).subject


@pytest.mark.parametrize("headers", [
    [(CLAIMS_HEADER, b64(b"{}"))],
    [(PROOF_HEADER, signed({})[1][1])],
    [(CLAIMS_HEADER, b"e30="), (PROOF_HEADER, b"1.2.3")],
    signed(None, raw=b64(b"[1]")),
    signed(None, raw=b64(b"\xff\xfe")),
    signed(None, raw=b"A" * 8_193),
    signed({"sub": "u"}, nonce="short"),
])  # fmt: skip
def test_what_cannot_be_read_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    """One header alone is never taken for none."""
    assert House().refused(headers) == "malformed_claims"


def test_headers_that_were_smuggled_in_are_refused() -> None:
    """Sent twice, or beside a token: a proxy that appended its own to a client's is noticed."""
    claims, proof = signed({"sub": "u1"})
    assert House().refused([claims, claims, proof]) == "duplicate_claims"
    assert House().refused([claims, proof, proof]) == "duplicate_claims"
    assert House().refused([claims, proof, (b"duty-subject", b"a.b.c")]) == "two_identities"


def test_without_a_trusted_proxy_claims_are_refused() -> None:
    """Not passed over: whoever sends them believes to be somebody."""
    one = Identifier(Identity(), SECRET, lambda: NOW)
    with pytest.raises(IdentityError) as caught:
        asyncio.run(one.identify(signed({"sub": "u1"}), PEER))
    assert caught.value.code == "no_trusted_proxy"


def test_unsigned_hints_only_tighten_beside_a_proof() -> None:
    """As beside a token."""
    person = House().ask([*signed({"sub": "u1", "age_band": "18+"}), (b"duty-age-band", b"8-11")])
    assert person.age_band is AgeBand.FROM_8
    person = House().ask([*signed({"sub": "u1", "age_band": "8-11"}), (b"duty-age-band", b"18+")])
    assert person.age_band is AgeBand.FROM_8


def test_where_nonces_cannot_be_counted_nobody_is_believed() -> None:
    """The pipeline's rule then refuses."""
    house = House()
    asyncio.run(house.state.close())
    with pytest.raises(StateUnavailable):
        house.ask(signed({"sub": "u1"}))


@given(st.binary(max_size=80), st.binary(max_size=120))
def test_whatever_is_sent_is_refused_in_words(claims: bytes, proof: bytes) -> None:
    """No exception of ours or of a library's."""
    with pytest.raises(ProxyRefused):
        asyncio.run(House().proxy.claims(claims, proof, PEER))


@pytest.mark.parametrize(
    ("secret", "peers", "said"),
    [(b"short", (PEER,), "secret_env"), (SECRET, ("10.0.0.1/24",), "peers"), (SECRET, ("proxy",), "peers")],
)
def test_settings_that_cannot_work_are_refused(secret: bytes, peers: tuple[str, ...], said: str) -> None:
    """At start, with the key's name."""
    with pytest.raises(SettingsError, match=said):
        ProxyIdentity(IdentityProxy(secret_env="X", peers=peers), secret, lambda: NOW, MemoryState(lambda: NOW))
