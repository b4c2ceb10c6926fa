# SPDX-License-Identifier: Apache-2.0
"""What exists on the operator listener.

| path | who |
|---|---|
| `/api/records...` | auditor, officer, admin |
| `/api/complaints...` | the same; acts only officer and admin |
| `/api/incidents...` | auditor, officer, admin; acts only officer and admin |
| `/api/holds...`, `/api/erasures...`, `/api/bodies...` | the same; acts only officer and admin |
| `/api/log/...` | auditor, officer, admin |
| `/api/measures...`, `/api/guardians...`, `/api/minor-modes...`, `/api/crises` | the same; acts only officer and admin |
| `/api/switches...` | every role; acts only operator and admin |
| `/api/filter` | every role; `/api/filter/reload` officer, admin |
| `/api/propagation` | operator, officer, admin |
| `/api/version` | every role |
| `/log/checkpoint`, `/log/tile/<level>/...` | open: hashes only |
| `/log/tile/entries/...` | auditor, officer, admin |
| `/metrics`, `/api/openapi.json`, `/livez` | open: Prometheus and probes carry no token of ours; this listener stands on the loopback address or a network of the operator's own, never on the public one |

There is no page that loads scripts from elsewhere: `/api/openapi.json` is for tools of the reader's own.
"""  # noqa: E501

import asyncio
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import gateway
from gateway.metrics import CONTENT_TYPE, Meters
from gateway.operator import (
    bodies,
    complaints,
    erasures,
    filters,
    holds,
    incidents,
    log_health,
    log_tiles,
    measures,
    people,
    propagation,
    records,
    switches,
)
from gateway.operator.access import DENIALS, AnyRole, HouseOf
from gateway.operator.gauges import watch_house
from gateway.operator.house import House
from gateway.operator.openapi import describe
from gateway.operator.problems import BoundedBody, speak_problems


def create_operator_app(house: House) -> FastAPI:
    """The operator listener of `house`, and its rooms' numbers among the house's meters."""
    app = FastAPI(
        title="Dutybound operator API",
        version=gateway.__version__,
        summary="Records with their proofs, complaints, incidents and the transparency log.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.house = house
    document = None

    def openapi() -> dict[str, Any]:
        nonlocal document
        document = document or describe(app)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to describe an API otherwise
    speak_problems(app)
    # Outermost last: what the bounded body answers is counted and gets its headers as well.
    limits = house.settings.limits
    large = {propagation.PATH: limits.request_body_bytes}
    app.add_middleware(BoundedBody, timeout_s=limits.body_timeout_s, large=large)
    app.add_middleware(Answers, meters=house.meters)
    for router in (records.router, complaints.router, incidents.router, log_tiles.router, switches.router,
                   measures.router, people.router):  # fmt: skip
        app.include_router(router)
    for router in (holds.router, erasures.router, bodies.router, log_health.router, filters.router,
                   propagation.router):  # fmt: skip
        app.include_router(router)
    app.add_api_route("/api/version", version, methods=["GET"], operation_id="getVersion", tags=["service"],
                      summary="What runs, and under which policy")  # fmt: skip
    app.add_api_route("/metrics", metrics, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/livez", livez, methods=["GET", "HEAD"], include_in_schema=False)
    watch_house(house)
    for reason in DENIALS:
        house.meters.operator_denials.inc(reason, by=0.0)  # an alert on the rate needs the series before its first one
    return app


def version(reader: AnyRole, house: HouseOf) -> dict[str, Any]:
    """The gateway's version, its policy, and how far its log is."""
    policy = house.policy
    checkpoint = house.log.reader.checkpoint()
    return {
        "name": "dutybound",
        "version": gateway.__version__,
        "policy": {"id": policy.id, "version": policy.version, "digest": policy.digest},
        "log": {"origin": checkpoint.origin, "size": checkpoint.size},
    }


async def metrics(house: HouseOf) -> Response:
    """Everything that Prometheus asks for."""
    text = await asyncio.to_thread(house.meters.scrape)
    return Response(text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


async def livez() -> Response:
    """The process answers; nothing else is asked."""
    return Response("ok\n", media_type="text/plain")


class Answers:
    """Counts what was answered, and adds the headers that every answer carries."""

    def __init__(self, app: ASGIApp, *, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; other scopes (lifespan) untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        has_begun = False

        async def observed(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                self._meters.operator_requests.inc(str(message["status"]))
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")  # records and complaints stay out of caches
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception:
            if not has_begun:  # the outermost layer answers 500, outside of here
                self._meters.operator_requests.inc("500")
            raise
