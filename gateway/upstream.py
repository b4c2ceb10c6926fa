# SPDX-License-Identifier: Apache-2.0
"""The only module that talks to the model: HTTP/1.1 over pooled connections.

A call is cancelled by leaving its `async with`: the connection is closed, not drained, so that the model stops at once.
Failures are mapped to `UpstreamFailure` with a fixed word and the status the client gets: 504 where time ran out, 502
otherwise. The upstream's own error answers are answers, not failures.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import unquote_plus, urljoin

import aiohttp
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict
from yarl import URL

from gateway.api_keys import KEY_HEADERS, PREFIX
from gateway.media_links import LinkHosts, LinkRefused
from gateway.settings import Upstream as UpstreamSettings
from gateway.settings import secret
from gateway.wires.interfaces import Call

_NOT_FORWARDED = frozenset(
    {
        # Hop by hop (RFC 9110 section 7.6.1), or about this hop's body.
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"host", b"content-length", b"content-type", b"content-encoding",
        b"accept-encoding", b"expect", b"cookie", b"accept",
        b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"sec-websocket-protocol",
        # Where the client sits is no business of the model's.
        b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip",
    }
)  # fmt: skip

_NOT_RETURNED = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "trailer", "transfer-encoding", "upgrade", "content-length",
        "content-encoding", "content-type", "date", "server", "set-cookie", "duty-record", "ai-disclosure", "alt-svc",
        "strict-transport-security", "content-md5", "digest", "content-digest", "repr-digest", "etag",
    }
)  # fmt: skip


_CLOSE_S = 2.0
"""How long a WebSocket's closing handshake may take."""

_OWN_MARK = PREFIX.encode()

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3


class UpstreamFailure(Exception):
    """The model gave no usable answer. `code` is a fixed word, `status` what the client gets."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status

    @property
    def message(self) -> str:
        """What people read."""
        return _MESSAGES.get(self.code, "The model behind this service failed. Try again later.")


_MESSAGES = {
    "upstream_unreachable": "The model behind this service cannot be reached. Try again later.",
    "upstream_timeout": "The model behind this service did not answer in time. Try again later.",
    "upstream_incomplete": "The model behind this service broke off its answer. Try again.",
    "upstream_invalid": "The model behind this service sent an answer that cannot be read. Try again later.",
    "upstream_too_large": "The model behind this service sent more than this gateway accepts.",
    "unlabelled_media": "The answer holds a file that cannot carry its labels here, so it does not leave. "
    "Ask for pictures inside the answer (b64_json) as PNG, JPEG or WebP, for sound as WAV, and for both without "
    "streaming.",
}


class UpstreamRefusal(Exception):
    """The model refused a session. `status` is its own."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class UpstreamAnswer:
    """The head of an answer, and its body as it comes."""

    __slots__ = ("_response", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    @property
    def content_type(self) -> str:
        """The media type without parameters, lower case."""
        return self._response.content_type

    @property
    def request_id(self) -> str:
        """The id that the model's API gave this call, as its bill will name it; empty where it gave none."""
        found = self._response.headers
        return found.get("x-request-id") or found.get("request-id") or ""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that a client may see."""
        return [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in self._response.headers.items()
            if name.lower() not in _NOT_RETURNED
        ]

    def cancel(self) -> None:
        """Stop the model now: the connection is closed, unless the answer is complete."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as reads come in. Raises `UpstreamFailure` where it breaks off or stands still."""
        content = self._response.content
        try:
            while data := await content.readany():
                yield data
        except TimeoutError:
            raise UpstreamFailure("upstream_timeout", 504) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise UpstreamFailure("upstream_incomplete", 502) from None

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises `UpstreamFailure` beyond `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        async for data in self.chunks():
            size += len(data)
            if size > limit:
                raise UpstreamFailure("upstream_too_large", 502)
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class UpstreamSocket:
    """A WebSocket to the model. Both sides send text; anything else is no event of any wire."""

    __slots__ = ("_socket",)

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> str | None:
        """The next message; None where the model has closed the session in order.

        Raises `UpstreamFailure` where the connection is lost, a message is too large, or it is no text.
        """
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            text: str = message.data
            return text
        if message.type is aiohttp.WSMsgType.BINARY:
            raise UpstreamFailure("upstream_invalid", 502)
        if message.type is aiohttp.WSMsgType.ERROR:
            is_ours = isinstance(message.data, aiohttp.WebSocketError)
            raise UpstreamFailure("upstream_invalid" if is_ours else "upstream_incomplete", 502)
        if self._socket.close_code in (1000, 1001):
            return None
        raise UpstreamFailure("upstream_incomplete", 502)

    async def send(self, text: str) -> None:
        """Send a message; waits while the model does not read. Raises `UpstreamFailure`."""
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, OSError, RuntimeError):
            raise UpstreamFailure("upstream_incomplete", 502) from None

    async def close(self) -> None:
        """Close the connection."""
        await self._socket.close()


def _break_off(content: aiohttp.StreamReader) -> None:
    if not content.is_eof() and content.exception() is None:
        content.set_exception(aiohttp.ClientPayloadError("the connection was lost"))


def _without(path: str, parameter: str) -> str:
    """`path` without the query parameter `parameter`."""
    path, _, query = path.partition("?")
    kept = [pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) != parameter]
    return f"{path}?{'&'.join(kept)}" if any(kept) else path


class Upstream:
    """A pool of connections to one model API; made inside a running event loop."""

    def __init__(self, settings: UpstreamSettings) -> None:
        base = settings.url.rstrip("/")
        self._base = base.removesuffix("/v1")
        self._urls: dict[str, URL] = {}
        self._reading: dict[ResponseHandler, aiohttp.StreamReader] = {}
        """What each open connection reads, or read last."""
        self._idle_s = settings.idle_timeout_s
        self._key = ""
        if settings.api_key_env:
            self._key = secret(settings.api_key_env, "upstream.api_key_env").get_secret_value()
        verify: ssl.SSLContext | bool = True
        if settings.ca_file:
            verify = ssl.create_default_context(cafile=os.fspath(settings.ca_file))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.max_connections, ssl=verify, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout_s, sock_read=settings.first_byte_timeout_s
            ),
            skip_auto_headers=("User-Agent",),
            auto_decompress=True,
            read_bufsize=256 * 1024,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _watch(self, response: aiohttp.ClientResponse) -> None:
        """From here on the answer may stand still for so long only, and ends where its connection is lost.

        aiohttp closes a connection whose chunks are broken, but does not tell whoever reads from it.
        """
        protocol = response.connection.protocol if response.connection is not None else None
        if protocol is None:
            return
        protocol.read_timeout = self._idle_s
        if protocol not in self._reading:
            closed = protocol.closed
            if closed is None:
                _break_off(response.content)
                return
            closed.add_done_callback(lambda closed: self._lost(protocol, closed))
        self._reading[protocol] = response.content

    def _lost(self, protocol: ResponseHandler, closed: asyncio.Future[None]) -> None:
        if not closed.cancelled():
            closed.exception()  # looked at, so that nobody misses it
        _break_off(self._reading.pop(protocol))

    async def fetch(
        self, url: str, hosts: LinkHosts, headers: Iterable[tuple[bytes, bytes]], limit: int, timeout_s: float
    ) -> bytes:
        """What is behind an address of the upstream's answer, at most `limit` bytes within `timeout_s` seconds.

        The key goes to the upstream's own origin only. Raises `LinkRefused` for an address, or one that it redirects
        to, that `hosts` does not allow, `UpstreamFailure` where nothing usable comes.
        """
        own = self.forwarded((name, value) for name, value in headers if name in KEY_HEADERS)
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(_MOST_REDIRECTS + 1):
                    hosts.check(url)
                    sent = CIMultiDict(own) if hosts.is_own(url) else CIMultiDict()
                    sent["accept-encoding"] = "identity"
                    async with self._session.get(
                        URL(url, encoded=True), headers=sent, allow_redirects=False
                    ) as response:
                        if response.status == 200:
                            return await UpstreamAnswer(response).body(limit)
                        if response.status not in _REDIRECTS:
                            raise UpstreamFailure("upstream_invalid", 502)
                        url = urljoin(url, response.headers.get("location", ""))
                raise LinkRefused("link_redirects")
        except TimeoutError:
            raise UpstreamFailure("upstream_timeout", 504) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise UpstreamFailure("upstream_unreachable", 502) from None

    def forwarded(self, headers: Iterable[tuple[bytes, bytes]], key_header: str = "authorization") -> CIMultiDict[str]:
        """The client's headers as the model gets them: none of ours, none of this hop's. Where the gateway has a key of
        its own for the model, it stands in `key_header` and no key of the client's goes on; a key that the gateway gave
        to the client never does."""
        out: CIMultiDict[str] = CIMultiDict()
        for name, value in headers:
            if name in _NOT_FORWARDED or name.startswith(b"duty-"):
                continue
            if name in KEY_HEADERS and (self._key or _OWN_MARK in value):
                continue
            out.add(name.decode("latin-1"), value.decode("latin-1"))
        if self._key:
            out[key_header] = f"Bearer {self._key}" if key_header == "authorization" else self._key
        return out

    def _path(self, call: Call) -> str:
        """The path of `call`, without a key in its query that the model must not see."""
        parameter = call.key_parameter
        if parameter and (self._key or _OWN_MARK.decode() in unquote_plus(call.path)):
            return _without(call.path, parameter)
        return call.path

    @asynccontextmanager
    async def open(self, call: Call, headers: Iterable[tuple[bytes, bytes]]) -> AsyncIterator[UpstreamAnswer]:
        """Send `call`; the answer's head is there when the context is entered. Leaving early cancels the call.

        Raises `UpstreamFailure`.
        """
        url = self._urls.get(call.path)
        if url is None:
            url = URL(self._base + self._path(call), encoded=True)
            if len(self._urls) < 1_000 and "?" not in call.path:  # a query may hold a client's key: not kept
                self._urls[call.path] = url
        forwarded = self.forwarded(headers, call.key_header)
        forwarded["accept-encoding"] = "identity"
        if call.body:
            forwarded["content-type"] = call.content_type
        try:
            response = await self._session.request(
                call.method, url, data=call.body or None, headers=forwarded, allow_redirects=False
            )
        except TimeoutError:
            raise UpstreamFailure("upstream_timeout", 504) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise UpstreamFailure("upstream_unreachable", 502) from None
        self._watch(response)
        answer = UpstreamAnswer(response)
        try:
            yield answer
        finally:
            answer.cancel()

    async def socket(
        self, call: Call, headers: Iterable[tuple[bytes, bytes]], subprotocol: str, most_bytes: int
    ) -> UpstreamSocket:
        """Open a WebSocket at `call.path`; messages are at most `most_bytes` long. To be closed by whoever opened it.

        A model that does not answer pings within the idle time is lost. Raises `UpstreamRefusal` where the model
        answers the handshake with a status of its own, `UpstreamFailure` otherwise.
        """
        try:
            socket = await self._session.ws_connect(
                URL(self._base + self._path(call), encoded=True),
                headers=self.forwarded(headers, call.key_header),
                protocols=(subprotocol,) if subprotocol else (),
                heartbeat=self._idle_s,
                max_msg_size=most_bytes,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status >= 400:
                raise UpstreamRefusal(error.status) from None
            raise UpstreamFailure("upstream_invalid", 502) from None
        except TimeoutError:
            raise UpstreamFailure("upstream_timeout", 504) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise UpstreamFailure("upstream_unreachable", 502) from None
        return UpstreamSocket(socket)
