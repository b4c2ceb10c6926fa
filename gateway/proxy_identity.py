# SPDX-License-Identifier: Apache-2.0
"""Who is asking, as a trusted proxy says: claims in `Duty-Claims`, vouched for by an HMAC in `Duty-Proof`.

For providers whose login ends at a proxy that cannot sign JWTs. `Duty-Claims` is the base64url (RFC 4648 section 5, no
padding) of a JSON object with the claims of a token; `Duty-Proof` is `<time>.<nonce>.<mac>`: seconds since the epoch,
16 to 64 letters, digits, `-` and `_`, and the base64url of HMAC-SHA256 (RFC 2104), keyed with the shared secret, over

    dutybound-proxy-1 LF <time> LF <nonce> LF <Duty-Claims as sent>

What must hold: a proof counts from a configured peer only, within the allowance for clocks, and once over all
processes (the nonce is counted in the shared state); whatever is wrong is refused, never taken for no identity.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson

from gateway.settings import IdentityProxy, SettingsError
from gateway.state.interfaces import State

CLAIMS_HEADER = b"duty-claims"
PROOF_HEADER = b"duty-proof"
CONTEXT = b"dutybound-proxy-1"
MOST_CLAIMS_BYTES = 8_192
SECRET_BYTES = 32

_PROOF = re.compile(rb"([0-9]{1,12})\.([A-Za-z0-9_-]{16,64})\.([A-Za-z0-9_-]{43})")
_CLAIMS = re.compile(rb"[A-Za-z0-9_-]+")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ProxyRefused(Exception):
    """We will not believe these headers. `code` is a fixed word; `message` names the fact and the next step."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class ProxyIdentity:
    """Believes proofs of the configured peers."""

    def __init__(self, settings: IdentityProxy, secret: bytes, clock: Callable[[], float], state: State) -> None:
        """`secret` is what the proxy signs with, `state` counts nonces. Raises `SettingsError`."""
        if len(secret) < SECRET_BYTES:
            raise SettingsError(f"identity.proxy.secret_env: expected at least {SECRET_BYTES} bytes")
        self._peers = networks(settings.peers)
        self._skew_s = settings.skew_s
        self._secret = secret
        self._clock = clock
        self._state = state

    async def claims(self, claims: bytes, proof: bytes, peer: str) -> dict[str, Any]:
        """The claims that the proxy at `peer`, an IP address, vouches for.

        Raises `ProxyRefused`, and `StateUnavailable` where nobody can tell whether the proof was used before.
        """
        if not self._is_trusted(peer):
            raise ProxyRefused("untrusted_peer", "Duty-Claims came from an address that is no trusted proxy.")
        match = _PROOF.fullmatch(proof)
        if match is None or len(claims) > MOST_CLAIMS_BYTES or _CLAIMS.fullmatch(claims) is None:
            raise ProxyRefused("malformed_claims", "Duty-Claims or Duty-Proof cannot be read; see the documentation.")
        signed = b"\n".join((CONTEXT, match[1], match[2], claims))
        mac = hmac.digest(self._secret, signed, "sha256")
        if not hmac.compare_digest(mac, _decoded(match[3])):
            raise ProxyRefused("untrusted_claims", "Duty-Proof was not made with the secret that is trusted here.")
        if abs(self._clock() - int(match[1])) > self._skew_s:
            raise ProxyRefused("stale_claims", "Duty-Proof is too old or from the future; compare the clocks.")
        # A proof may be used from `skew` before its time to `skew` after it; counted for longer than that.
        nonce = sha256(match[2]).hexdigest()[:32]
        if await self._state.add(f"proxy:{nonce}", 1, 2 * self._skew_s + 1) > 1:
            raise ProxyRefused("replayed_claims", "Duty-Proof was used before; make a new one for each request.")
        try:
            document = orjson.loads(_decoded(claims))
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ProxyRefused("malformed_claims", "Duty-Claims is no base64url of a JSON object.")
        return document

    def _is_trusted(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._peers)


def networks(peers: tuple[str, ...]) -> tuple[Network, ...]:
    """The addresses and networks of the settings. Raises `SettingsError`."""
    try:
        return tuple(ipaddress.ip_network(peer) for peer in peers)
    except ValueError:
        raise SettingsError(
            'identity.proxy.peers: expected addresses or networks, for example "10.0.0.5" or "10.0.0.0/24"'
        ) from None


def _decoded(text: bytes) -> bytes:
    try:
        return urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (Base64Error, ValueError):
        return b""
