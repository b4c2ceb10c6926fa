# SPDX-License-Identifier: Apache-2.0
"""One public address: which methods it has, and what every answer of it carries.

A resource answers HEAD like GET without the body, OPTIONS with its methods, and any other method with a 405 problem
that names those it has. Security headers are added here, so that no page can forget them. Whatever goes wrong in a way
that we know becomes a problem (RFC 9457), or a page for those who read pages; anything else goes on to the outermost
layer, which says no more than that it failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from audit_log import AuditError
from complaints import ComplaintError, Conflict, Invalid, NotFound, NotPermitted
from gateway.errors import Problem
from gateway.public.body import Refused
from gateway.state import StateUnavailable

Handler = Callable[[Request], Awaitable[Response]]
ProblemPage = Callable[[Request, Problem], Response]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",  # an address may hold a receipt or a link of acknowledgement
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_OPEN_HEADERS = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
_RETRY_LATER = {"retry-after": "5"}


class Resource:
    """An ASGI endpoint of the given handlers by method. `is_open` lets scripts of any site read it (CORS)."""

    def __init__(
        self, handlers: Mapping[str, Handler], problem_page: ProblemPage | None = None, is_open: bool = False
    ) -> None:
        self._handlers = dict(handlers)
        if "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]
        self._allow = ", ".join(sorted({*self._handlers, "OPTIONS"}))
        self._problem_page = problem_page
        self._headers = _SECURITY_HEADERS | (_OPEN_HEADERS if is_open else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        response = await self._answer(request)
        for name, value in self._headers.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, _without_body(send) if request.method == "HEAD" else send)

    async def _answer(self, request: Request) -> Response:
        handler = self._handlers.get(request.method)
        if handler is None:
            headers = {"allow": self._allow}
            if request.method == "OPTIONS":
                return Response(status_code=204, headers=headers)
            problem = Problem(405, "method_not_allowed", "This address has no such method", f"Use {self._allow}.")
            return problem.response(headers)
        try:
            return await handler(request)
        except Refused as refused:
            return self._problem(request, refused.problem, refused.headers)
        except ComplaintError as error:
            problem = problem_of(error)
            return self._problem(request, problem, _RETRY_LATER if problem.status == 503 else {})
        except (AuditError, StateUnavailable):
            problem = Problem(
                503, "unavailable", "This cannot be kept safely right now", "It does not count yet; try again."
            )
            return self._problem(request, problem, _RETRY_LATER)

    def _problem(self, request: Request, problem: Problem, headers: Mapping[str, str]) -> Response:
        response = problem.response() if self._problem_page is None else self._problem_page(request, problem)
        response.headers.update(headers)
        response.headers["cache-control"] = "no-store"
        return response


def problem_of(error: ComplaintError) -> Problem:
    """What the desk's error is over HTTP. Its messages hold nothing that a person wrote."""
    match error:
        case Invalid():
            return Problem(422, "invalid_field", "A field is missing or wrong", str(error), (("field", error.field),))
        case NotFound():
            return Problem(404, "case_not_found", "No such case", str(error))
        case NotPermitted():
            return Problem(403, "not_permitted", "This is not permitted", str(error))
        case Conflict():
            return Problem(409, "conflict", "The case does not allow this now", str(error))
    return Problem(503, "desk_unavailable", "The complaint desk is not available", "Nothing was done; try again.")


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
        await send(message)

    return send_head
