# SPDX-License-Identifier: Apache-2.0
"""What exists: two applications that are never mixed.

The public one answers models' clients and people; the operator one answers those who run the service.
"""

from __future__ import annotations

import structlog
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.errors import Problem
from gateway.front import Front
from gateway.house import House
from gateway.operator.app import create_operator_app as _operator_app
from gateway.public import public_routes

log = structlog.get_logger("dutybound.pages")


def create_public_app(house: House) -> ASGIApp:
    """The wires' paths, `/duty/...`, `/.well-known/ai-disclosure.json`, `/livez` and `/readyz`."""
    handlers = {HTTPException: _refused, Exception: _broken}
    return Front(house, Starlette(routes=public_routes(house.public()), exception_handlers=handlers))


def create_operator_app(house: House) -> FastAPI:
    """`/metrics`, `/api/...` and `/log/...`."""
    return _operator_app(house.operator())


def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    title = "There is no such page; see /duty/about." if status == 404 else "This page cannot do that."
    return Problem(status, "not_found" if status == 404 else "refused", title).response()


def _broken(request: Request, error: Exception) -> Response:
    log.error("page_broken", error=type(error).__name__)
    return Problem(500, "broken", "This page failed. Try again later.").response()
