# SPDX-License-Identifier: Apache-2.0
"""How the operator API says no: RFC 9457 problem details for every failure, and bounded request bodies.

What must hold: no answer repeats what a client sent, no answer shows a stack trace, and nobody can make this process
hold more than `BODY_BYTES` of a body or wait longer than `timeout_s` for it. A body is read before any token is looked
at, so these bounds are all that stands between the listener and a stranger.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audit_log.access import AccessRefused
from audit_log.erasure import ErasureRefused
from audit_log.errors import AuditError, BodyErased, VerificationError
from audit_log.holds import HoldRefused
from complaints.errors import Conflict, Invalid, NotFound, NotPermitted, Unavailable, WrongKey
from content_filter.errors import FilterConflict, FilterError, FilterInvalid, FilterNotFound
from gateway.delivery import DeliveryError
from gateway.errors import MEDIA_TYPE, Problem
from gateway.measures import MeasureError
from gateway.operator.tokens import TokenError
from gateway.state import StateError
from gateway.switches import SwitchError

BODY_BYTES: Final = 64 * 1024
"""Largest request body: an answer of 10,000 characters in its widest JSON spelling, six bytes a character, fits."""


class ProblemError(Exception):
    """Ends a request with a problem; `headers` go out with it."""

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.headers = headers


def invalid(field: str, reason: str) -> ProblemError:
    """The problem of a wrong parameter. `field` and `reason` are ours, never the client's words."""
    return ProblemError(Problem(400, "invalid_request", "The request is not as expected", f"{field}: {reason}"))


def not_found(what: str) -> ProblemError:
    """The problem of something that is not there."""
    return ProblemError(Problem(404, "not_found", f"No such {what}"))


def speak_problems(app: FastAPI) -> None:
    """Make every failure of `app` a problem detail."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_defect)
    for kind in _KNOWN:
        app.add_exception_handler(kind, _on_known)


_KNOWN: Final[dict[type[Exception], tuple[int, str, str]]] = {
    Invalid: (400, "invalid_request", "The request is not as expected"),
    NotFound: (404, "not_found", "No such complaint"),
    NotPermitted: (403, "not_permitted", "This person may not do this to this complaint"),
    Conflict: (409, "conflict", "The complaint is not in a state that allows this; read it again"),
    Unavailable: (503, "store_unavailable", "The complaint store cannot be used now; try again"),
    WrongKey: (503, "wrong_key", "The complaint store cannot be opened with the key of this installation"),
    StateError: (503, "orders_unavailable", "The store of orders cannot be used now; try again"),
    TokenError: (503, "tokens_unreadable", "The token file cannot be used; repair it in the data folder"),
    HoldRefused: (409, "hold_refused", "This step cannot be taken with this hold"),
    AccessRefused: (409, "access_refused", "This body may not be read now"),
    ErasureRefused: (409, "erasure_refused", "This request cannot be taken"),
    BodyErased: (410, "body_erased", "The key of this body was destroyed; its record stays provable"),
    VerificationError: (500, "log_damaged", "The audit log is not what it should be; run dutybound audit verify"),
    AuditError: (503, "log_unavailable", "The audit log cannot be read now; try again"),
    FilterInvalid: (400, "invalid_request", "The request is not as expected"),
    FilterNotFound: (404, "not_found", "No such incident"),
    FilterConflict: (409, "conflict", "The incident is not in a state that allows this; read it again"),
    DeliveryError: (400, "not_delivered", "The report cannot be delivered as asked"),
    MeasureError: (400, "invalid_request", "The request is not as expected"),
    SwitchError: (400, "invalid_request", "The request is not as expected"),
    FilterError: (503, "store_unavailable", "The incident store cannot be read now; try again"),
}
"""Errors that endpoints let pass, by class: status, code, title. The most particular class of an error counts."""

_SPEAKING: Final = (
    Invalid,
    NotPermitted,
    Conflict,
    FilterInvalid,
    FilterConflict,
    DeliveryError,
    MeasureError,
    SwitchError,
    HoldRefused,
    AccessRefused,
    ErasureRefused,
)
"""Errors whose own message tells the client the next step; it names fields and states and no person's words."""


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.problem.response(error.headers)


async def _on_known(request: Request, error: Exception) -> Response:
    kind = next(kind for kind in type(error).__mro__ if kind in _KNOWN)
    status, code, title = _KNOWN[kind]
    return Problem(status, code, title, str(error) if isinstance(error, _SPEAKING) else "").response()


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = []
    for item in error.errors():
        place = item["loc"]
        if item["type"] == "extra_forbidden":  # its last part is a name that the client chose
            faults.append({"where": ".".join(str(part) for part in place[:-1]), "reason": "holds an unknown field"})
        elif item["type"] == "json_invalid":
            faults.append({"where": "body", "reason": "not valid JSON"})
        else:
            faults.append({"where": ".".join(str(part) for part in place), "reason": item["msg"]})
    problem = Problem(400, "invalid_request", "The request is not as expected", extra=(("errors", faults),))
    return problem.response()


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, title = {
        400: ("invalid_request", "The request is not as expected"),
        404: ("not_found", "No such path on the operator listener"),
        405: ("method_not_allowed", "This path does not take this method"),
    }.get(error.status_code, ("refused", "The request was refused"))
    return Problem(error.status_code, code, title).response(dict(error.headers or {}))


async def _on_defect(request: Request, error: Exception) -> Response:
    return Problem(500, "internal_error", "The gateway failed; its log says where").response()


class BoundedBody:
    """Reads the whole body of a request before the application sees it, within limits of size and time."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit_bytes: int = BODY_BYTES,
        timeout_s: float = 60.0,
        large: Mapping[str, int] | None = None,
    ) -> None:
        """`large` are the limits of the paths that take files."""
        self._app = app
        self._limit_bytes = limit_bytes
        self._large = dict(large or {})
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body as one message, or answer 413 or 408."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        limit_bytes = self._large.get(scope.get("path", ""), self._limit_bytes)
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._read(receive, limit_bytes)
        except TimeoutError:
            await _answer(send, Problem(408, "body_timeout", "The request body did not arrive in time"))
            return
        except _TooLarge:
            title = f"The request body is larger than {limit_bytes} bytes"
            await _answer(send, Problem(413, "body_too_large", title))
            return
        except ConnectionResetError:
            return  # half a request is none, even where the half would do
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive, limit_bytes: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit_bytes:
                raise _TooLarge
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)


class _TooLarge(Exception):
    """More arrived than may be held."""


async def _answer(send: Send, problem: Problem) -> None:
    # The rest of the body is never read: the connection cannot be used for another request.
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": problem.body()})
