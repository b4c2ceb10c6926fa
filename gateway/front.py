# SPDX-License-Identifier: Apache-2.0
"""The public listener's front: plain ASGI before everything else.

A proxied request pays for one dictionary look-up, no router and no dependency injection. The public pages are a
Starlette application behind it. Any other path is refused: what is not known cannot have its duties done.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audit_log import AuditError, new_record_id
from gateway.errors import MEDIA_TYPE, Problem
from gateway.exchange import Exchange, Outcome
from gateway.house import House
from gateway.pipeline import WAY, Stage
from gateway.realtime import run_session
from gateway.runner import Runner
from gateway.wires import Table
from gateway.wires.openai_errors import error_body
from gateway.wires.realtime import PATH as REALTIME_PATH

PAGES = ("/duty/", "/.well-known/", "/livez", "/readyz")


class Front:
    """The public application."""

    def __init__(self, house: House, pages: ASGIApp, stages: Sequence[Stage] = WAY) -> None:
        self._house = house
        self._pages = pages
        self._runner = Runner(house, stages)
        self._wires = Table()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket" and scope["path"] == REALTIME_PATH:
                await run_session(self._runner, scope, receive, send)
            elif scope["type"] == "websocket":
                await receive()
                await self._refuse(scope, _rejecting(send))
            else:
                await self._pages(scope, receive, send)
            return
        path = scope["path"]
        wire = self._wires.find(scope["method"], path)
        if wire is not None:
            await self._runner.run(wire, scope, receive, send)
        elif path.startswith(PAGES):
            await self._pages(scope, receive, send)
        else:
            await self._refuse(scope, send)

    async def _refuse(self, scope: Scope, send: Send) -> None:
        """Unknown paths and methods: refused, recorded, and never passed to the model."""
        house = self._house
        methods = self._wires.methods(scope["path"])
        status, code = (405, "method_not_allowed") if methods else (404, "unknown_path")
        exchange = Exchange(
            record_id=new_record_id(random=house.entropy),
            started_at=house.clock(),
            wire="none",
            path="",
            outcome=Outcome.BAD_REQUEST,
            status=status,
            is_generative=False,
        )
        message = (
            f"This path answers {', '.join(methods)} only."
            if methods
            else "This gateway serves no such path. It passes on only what it can label and record; see /duty/about."
        )
        try:
            await house.recorder.closed(exchange, was_opened=False)
        except AuditError:
            house.meters.audit_failures.inc()
            status, code, message = 503, "not_recorded", "The service cannot keep its records at the moment."
        house.meters.count_exchange(exchange, house.clock())
        if scope["path"].startswith("/v1/"):
            body, media_type = error_body(status, code, message), "application/json"
        else:
            body, media_type = Problem(status, code, message).body(), MEDIA_TYPE
        headers = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"duty-record", exchange.record_id.encode()),
            (b"ai-disclosure", house.disclosure.header("")),
            (b"cache-control", b"no-store"),
        ]
        if methods:
            headers.append((b"allow", ", ".join(methods).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _rejecting(send: Send) -> Send:
    """`send` for the answer to a handshake that does not become a WebSocket."""

    async def rejecting(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return rejecting
