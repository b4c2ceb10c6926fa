# SPDX-License-Identifier: Apache-2.0
"""The public keys that sign people's tokens: a JWKS document (RFC 7517), fetched, kept and rotated.

Only keys that can verify with an algorithm we accept are taken, so a document can never bring in a shared secret or a
short RSA key. What must hold: a request waits for the network only where no usable keys are at hand or a token names a
key that is not known yet; a key that has left the document is believed no longer than the cache time plus
`STALE_S`, even where the document cannot be fetched; nobody can make us fetch more often than `RETRY_S`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets the document at a URL. Raises `httpx.HTTPError`, `OSError`, `TimeoutError` or `ValueError` where it cannot."""

PublicKey = RSAKey | ECKey | OKPKey

STALE_S = 3_600.0
"""How long keys are still believed after the cache time, while the document cannot be fetched."""
RETRY_S = 10.0
"""The least time between two fetches that a failure or an unknown key asks for."""
FETCH_TIMEOUT_S = 5.0
MAX_DOCUMENT_BYTES = 1_048_576
MAX_KEYS = 100
MIN_RSA_BITS = 2_048

_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_KEY_OF_ALGORITHM = {
    "RS256": ("RSA", ""),
    "PS256": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
ALGORITHMS = frozenset(_KEY_OF_ALGORITHM)
"""What a key of a JWKS document may verify (RFC 7518, RFC 8037; `Ed25519` is RFC 9864's name for `EdDSA`)."""

_log = logging.getLogger("dutybound.identity")


class KeysUnavailable(Exception):
    """No keys that may still be believed are at hand."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One key of the document: `algorithm` is empty where the document does not restrict it."""

    kid: str | None
    kind: tuple[str, str]
    algorithm: str
    key: PublicKey

    def fits(self, algorithm: str) -> bool:
        """Whether this key may verify `algorithm`."""
        return _KEY_OF_ALGORITHM.get(algorithm) == self.kind and self.algorithm in ("", algorithm)


class KeyRing:
    """The keys at `url`. `cache_s` is how long they are fresh; `clock` gives seconds since the epoch."""

    def __init__(self, url: str, cache_s: float, clock: Callable[[], float], fetch: Fetch) -> None:
        self._url = url
        self._cache_s = cache_s
        self._clock = clock
        self._fetch = fetch
        self._keys: tuple[KnownKey, ...] = ()
        self._document: bytes | None = None
        self._believed_until = float("-inf")
        self._retry_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self.refresh_at = float("-inf")
        """From this time on `refresh` has something to do (seconds since the epoch)."""
        self.version = 0
        """Grows when the document has changed: what was verified before must be verified again."""

    async def refresh(self) -> None:
        """Fetch where it is time to. Waits only where no keys may be believed; raises `KeysUnavailable` then."""
        if self._clock() >= self._retry_at:
            task = self._start()
            if self._clock() >= self._believed_until:
                await asyncio.shield(task)
        if self._clock() >= self._believed_until:
            if self._fetching is not None:
                await asyncio.shield(self._fetching)
            if self._clock() >= self._believed_until:
                raise KeysUnavailable("the key document could not be fetched")

    async def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key that a token names, fetching once where it is not known yet; None where there is no such key.

        A token without a `kid` finds a key only where a single one fits.
        """
        found = self._lookup(kid, algorithm)
        if found is None and (self._fetching is not None or self._clock() >= self._retry_at):
            await asyncio.shield(self._start())
            found = self._lookup(kid, algorithm)
        return found

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait((self._fetching,))

    def _lookup(self, kid: str | None, algorithm: str) -> PublicKey | None:
        fitting = [known.key for known in self._keys if known.fits(algorithm) and kid in (None, known.kid)]
        return fitting[0] if len(fitting) == 1 else None

    def _start(self) -> asyncio.Task[None]:
        """The fetch that is under way, or a new one: all who wait share it."""
        if self._fetching is None:
            self._retry_at = self._clock() + RETRY_S
            self._fetching = asyncio.get_running_loop().create_task(self._load(), name="jwks-fetch")
        return self._fetching

    async def _load(self) -> None:
        try:
            document = await self._fetch(self._url)
            if document != self._document:
                self._keys = parse_keys(document)
                self._document = document
                self.version += 1
            now = self._clock()
            self.refresh_at = now + self._cache_s
            self._believed_until = self.refresh_at + STALE_S
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError) as error:
            # The URL may carry credentials and the error may quote it: the kind of error is all that is said.
            _log.warning("the key document (identity.jwt.jwks_url) could not be used: %s", type(error).__name__)
            self.refresh_at = self._clock() + RETRY_S if self._clock() < self._believed_until else float("-inf")
        finally:
            self._fetching = None


def parse_keys(document: bytes) -> tuple[KnownKey, ...]:
    """The usable keys of a JWKS document. Raises `ValueError` where it is none or holds no usable key.

    Keys we cannot use are passed over (RFC 7517 section 5), because providers publish new kinds beside the old.
    """
    parsed = orjson.loads(document)
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError(f'expected {{"keys": [...]}} with at most {MAX_KEYS} keys')
    keys = tuple(known for known in map(_known_key, entries) if known is not None)
    if not keys:
        raise ValueError("no key in the document can verify a token")
    return keys


def _known_key(entry: object) -> KnownKey | None:
    if not isinstance(entry, dict):
        return None
    kind, kid, algorithm, operations = (entry.get(name) for name in ("kty", "kid", "alg", "key_ops"))
    members = _PUBLIC_MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None or entry.get("use", "sig") != "sig" or not isinstance(kid, str | None):
        return None
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        return None
    # Only the public members are read: a private key published by mistake is not kept in this process.
    public: dict[str, Any] = {"kty": kind, **{name: entry.get(name) for name in members}}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    try:
        key = import_key(public)
        if not isinstance(key, RSAKey | ECKey | OKPKey):
            return None
        raw = key.get_op_key("verify")
    except (JoseError, ValueError):
        return None
    if isinstance(raw, RSAPublicKey) and raw.key_size < MIN_RSA_BITS:
        return None
    allowed = "" if algorithm is None else str(algorithm)
    return KnownKey(kid, (str(kind), "" if kind == "RSA" else str(entry["crv"])), allowed, key)


async def fetch_document(url: str) -> bytes:
    """The document at an `http`, `https` (verified) or `file` URL. Raises as `Fetch` says."""
    if url.startswith("file://"):
        return await asyncio.to_thread(Path(url2pathname(urlsplit(url).path)).read_bytes)
    async with (
        asyncio.timeout(FETCH_TIMEOUT_S),
        httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/jwk-set+json, application/json"}) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"expected status 200, got {response.status_code}")
        document = bytearray()
        async for chunk in response.aiter_bytes():
            document += chunk
            if len(document) > MAX_DOCUMENT_BYTES:
                raise ValueError(f"expected at most {MAX_DOCUMENT_BYTES} bytes")
        return bytes(document)
