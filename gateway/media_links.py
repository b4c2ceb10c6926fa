# SPDX-License-Identifier: Apache-2.0
"""Media that an answer names by an address: fetched from hosts that are allowed, and from nowhere else.

The address comes from the model's server, and what it points to may be whatever that server, or somebody who could make
it say so, wants this machine to ask for. So only the upstream's own origin and the hosts that the operator listed are
asked, redirects included; size, time and the number of redirects are bounded; and nothing of the client goes along
except to the upstream's own origin, which gets its key anyway.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from gateway.media_store import PATH, MediaStore

_DATA_URL = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),(.*)", re.IGNORECASE | re.DOTALL)
_MOST_URL_CHARS: Final = 8_192
_HOST_HEADER = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?")
_HOST = re.compile(r"[a-z0-9.-]{1,253}|[0-9a-f:.]{2,45}")
_PORTS: Final = {"http": 80, "https": 443}


class LinkRefused(Exception):
    """The address is not one that this gateway asks. `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Allowed:
    """One origin, or every host below a name."""

    scheme: str
    host: str
    port: int
    is_suffix: bool

    def holds(self, scheme: str, host: str, port: int) -> bool:
        if (scheme, port) != (self.scheme, self.port):
            return False
        return host.endswith("." + self.host) if self.is_suffix else host == self.host


class LinkHosts:
    """Which addresses may be asked."""

    def __init__(self, upstream_url: str, hosts: Sequence[str]) -> None:
        """`hosts` are names (`cdn.example.com`, `*.example.com`: https on its own port) or origins with a scheme.

        Raises `ValueError` naming an entry that is neither.
        """
        own = urlsplit(upstream_url)
        # The sample model has no address before it runs.
        self._own = _entry(f"{own.scheme}://{own.netloc.rpartition('@')[2]}") if own.netloc else None
        self._allowed = [_entry(host) for host in hosts]
        if self._own is not None:
            self._allowed.append(self._own)

    def is_own(self, url: str) -> bool:
        """Whether `url` is the upstream's own origin. Raises `LinkRefused`."""
        return self._own is not None and self._own.holds(*_parts(url))

    def check(self, url: str) -> None:
        """Raises `LinkRefused` unless `url` may be asked."""
        parts = _parts(url)
        if not any(entry.holds(*parts) for entry in self._allowed):
            raise LinkRefused("link_host")


def _entry(text: str) -> _Allowed:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("expected a host, such as cdn.example.com, or an origin") from None
    is_suffix = host.startswith("*.")
    host = host.removeprefix("*.")
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or "@" in parts.netloc or parts.path or parts.query:
        raise ValueError("expected a host, such as cdn.example.com, or an origin")
    return _Allowed(parts.scheme, host, port or _PORTS[parts.scheme], is_suffix)


def _parts(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises `LinkRefused` for what is no plain web address."""
    if len(url) > _MOST_URL_CHARS or not url.isprintable() or "\\" in url or " " in url:
        raise LinkRefused("bad_link")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise LinkRefused("bad_link") from None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise LinkRefused("bad_link")
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def is_data_url(url: str) -> bool:
    """Whether the address is the file itself (RFC 2397)."""
    return url[:5].lower() == "data:"


def read_data_url(url: str) -> tuple[str, bytes]:
    """Type and bytes of a `data:` address. Raises `LinkRefused`."""
    match = _DATA_URL.fullmatch(url)
    if match is None:
        raise LinkRefused("bad_link")
    raw = unquote_to_bytes(match[3])
    if not match[2].lower().endswith(";base64"):
        return match[1].lower(), raw
    compact = b"".join(raw.split())
    try:
        return match[1].lower(), base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise LinkRefused("bad_link") from None


def data_url(mime: str, data: bytes) -> str:
    """The address that is the file itself."""
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def address(public_url: str, host: bytes, token: str) -> str:
    """Where a client finds the file of `token`.

    `public_url` is the configured address of the service. Without one the client's own `Host` is used, which reached us
    just now; that is right only where no proxy with TLS stands before the gateway.
    """
    if public_url:
        return f"{public_url.rstrip('/')}{PATH}/{token}"
    name = host.decode("latin-1")
    return f"http://{name}{PATH}/{token}" if _HOST_HEADER.fullmatch(name) else f"{PATH}/{token}"


def name_of(path: str, url: str, data: bytes) -> bytes:
    """What tells a file behind an address from others: where it was asked for, its address without what expires, and
    what it is. A task that is asked for again and again gets one labelled file, not one each time."""
    parts = urlsplit(url)
    where = "\0".join((path, parts.netloc, parts.path)).encode()
    return hashlib.sha256(where).digest() + hashlib.sha256(data).digest()


class Fetch(Protocol):
    """The upstream's `fetch`."""

    async def fetch(
        self, url: str, hosts: LinkHosts, headers: Iterable[tuple[bytes, bytes]], limit: int, timeout_s: float
    ) -> bytes:
        """What is behind `url`."""
        ...


class LinkedMedia:
    """Fetches media by address, and keeps labelled ones under addresses of ours."""

    def __init__(
        self,
        upstream: Fetch,
        hosts: LinkHosts,
        store: MediaStore,
        public_url: str,
        max_bytes: int,
        timeout_s: float,
        keep_s: float,
        clock: Callable[[], float],
    ) -> None:
        """`keep_s` is how long `store` keeps a file; one that is over half of that is not given out again."""
        self._upstream = upstream
        self._hosts = hosts
        self._store = store
        self._public_url = public_url
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._keep_s = keep_s
        self._clock = clock

    async def fetch(self, url: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """What is behind `url`. Raises `LinkRefused` and `UpstreamFailure`."""
        return await self._upstream.fetch(url, self._hosts, headers, self._max_bytes, self._timeout_s)

    async def kept(self, name: bytes) -> str | None:
        """The token of a labelled file that is there for a good while yet. Raises `MediumWithheld`."""
        token = await asyncio.to_thread(self._store.token_of, name)
        found = await asyncio.to_thread(self._store.get, token)
        return token if found is not None and found.expires_at - self._clock() > self._keep_s / 2 else None

    async def keep(self, data: bytes, mime: str, name: bytes, record_id: str) -> str:
        """Keep a file that was labelled under that record; gives its token. Raises `MediaStoreError`."""
        return await asyncio.to_thread(self._store.put, data, mime, name, record_id)

    def address(self, token: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Where the client whose request had `headers` finds the file."""
        host = next((value for name, value in headers if name == b"host"), b"")
        return address(self._public_url, host, token)
