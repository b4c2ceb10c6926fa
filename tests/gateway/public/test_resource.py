# SPDX-License-Identifier: Apache-2.0
"""Methods, headers and errors of the public addresses."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from audit_log import LogUnavailable
from complaints import Conflict, Invalid, NotFound, NotPermitted, Unavailable
from gateway.errors import MEDIA_TYPE, Problem
from gateway.public.body import Refused
from gateway.public.resource import CONTENT_SECURITY_POLICY, Resource
from gateway.state import StateUnavailable

PAGES = (
    "/duty/about",
    "/duty/complaints",
    "/.well-known/ai-disclosure.json",
    "/livez",
    "/readyz",
    "/duty/static/duty.css",
)


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


def client_of(resource: Resource) -> TestClient:
    return TestClient(Starlette(routes=[Route("/r", resource)]))


def raising(error: Exception) -> Resource:
    async def handler(request: Request) -> Response:
        raise error

    return Resource({"GET": handler})


def test_head_is_get_without_the_body() -> None:
    """The same headers, length included, and no bytes."""
    client = client_of(Resource({"GET": hello}))
    head, get = client.head("/r"), client.get("/r")

    assert head.status_code == 200
    assert head.content == b""
    assert dict(head.headers) == dict(get.headers)
    assert head.headers["content-length"] == "5"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_another_method_is_a_405_problem_that_names_those_there_are(method: str) -> None:
    """RFC 9110 15.5.6: with Allow."""
    response = client_of(Resource({"GET": hello})).request(method, "/r")

    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.json()["code"] == "method_not_allowed"


def test_options_names_the_methods() -> None:
    """Without a body."""
    response = client_of(Resource({"POST": hello})).options("/r")

    assert (response.status_code, response.headers["allow"], response.content) == (204, "OPTIONS, POST", b"")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Refused(Problem(413, "body_too_large", "t")), 413, "body_too_large"),
        (Invalid("text", "expected text"), 422, "invalid_field"),
        (NotFound(), 404, "case_not_found"),
        (NotPermitted("no"), 403, "not_permitted"),
        (Conflict("no"), 409, "conflict"),
        (Unavailable("disk"), 503, "desk_unavailable"),
        (LogUnavailable("disk"), 503, "unavailable"),
        (StateUnavailable("away"), 503, "unavailable"),
    ],
)
def test_what_we_know_can_go_wrong_is_a_problem(error: Exception, status: int, code: str) -> None:
    """RFC 9457, never cached; what may pass says when to come back."""
    response = client_of(raising(error)).get("/r")

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["cache-control"] == "no-store"
    assert ("retry-after" in response.headers) is (status == 503)


def test_what_we_do_not_know_goes_on() -> None:
    """The outermost layer answers it, and tests see it."""
    with pytest.raises(ZeroDivisionError):
        client_of(raising(ZeroDivisionError())).get("/r")


@pytest.mark.parametrize("path", PAGES)
def test_every_address_carries_the_security_headers(site: Any, path: str) -> None:
    """No script, no frame, no foreign source, no referrer that would carry a secret out."""
    headers = site.client.get(path).headers

    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "script-src" not in CONTENT_SECURITY_POLICY and "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", [*PAGES, "/duty/about/acknowledge", "/duty/complaints/X", "/duty/complaints/X/appeal"])
def test_every_address_refuses_a_method_it_has_not(site: Any, path: str) -> None:
    """With a problem, whatever the client accepts."""
    response = site.client.delete(path, headers={"accept": "text/html"})

    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert "DELETE" not in response.headers["allow"]
