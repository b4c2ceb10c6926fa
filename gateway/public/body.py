# SPDX-License-Identifier: Apache-2.0
"""Reads the small bodies that people send to the public pages: JSON objects and forms, within bounds.

Everything that is wrong is a `Refused` with a problem that names the fact and the next step and holds nothing of what
was sent. Values come out as they were sent (`object`): whoever keeps them checks them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

import orjson
from python_multipart.exceptions import MultipartParseError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from gateway.errors import Problem

MAX_BODY_BYTES = 262_144
"""10,000 characters in the widest form encoding are 120,000 bytes; the rest is room for the other fields."""

MAX_FIELDS = 32
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


class Refused(Exception):
    """A request that a public page does not serve; `problem` says why, without a word of the request."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.headers = dict(headers or {})


def media_type_of(request: Request) -> str:
    """The body's media type, lower case, without parameters; empty where none is given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_fields(request: Request, timeout_s: float) -> dict[str, object]:
    """The members of a JSON object, or the fields of a form. Raises `Refused`."""
    media_type = media_type_of(request)
    if media_type not in (JSON, FORM, MULTIPART):
        detail = f"Send {JSON}, {FORM} or {MULTIPART}."
        raise Refused(Problem(415, "unsupported_media_type", "This kind of body is not accepted", detail))
    body = await read_body(request, timeout_s)
    if media_type == JSON:
        return _json(body)
    return _form(body) if media_type == FORM else await _multipart(request, body)


async def read_body(request: Request, timeout_s: float, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The whole body, at most `max_bytes`, within `timeout_s`. Raises `Refused`."""
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in request.stream():
                body += piece
                if len(body) > max_bytes:
                    detail = f"At most {max_bytes} bytes are accepted here."
                    raise Refused(Problem(413, "body_too_large", "The body is too large", detail))
    except TimeoutError:
        detail = f"The whole body must arrive within {timeout_s:g} seconds; send it again."
        raise Refused(Problem(408, "body_timeout", "The body did not arrive in time", detail)) from None
    except ClientDisconnect:
        raise Refused(Problem(400, "body_incomplete", "The body ended early", "Send it again.")) from None
    return bytes(body)


def _json(body: bytes) -> dict[str, object]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(Problem(400, "invalid_json", "The body is not JSON", "Send a JSON object in UTF-8.")) from None
    if not isinstance(document, dict):
        raise Refused(Problem(422, "not_an_object", "The body is not a JSON object", "Send a JSON object."))
    return document


def _form(body: bytes) -> dict[str, object]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:  # not UTF-8, as it stands or behind percent signs, or too many fields
        raise _bad_form() from None
    return _unique(pairs)


async def _multipart(request: Request, body: bytes) -> dict[str, object]:
    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    again = Request(request.scope, replay)
    try:
        form = await again.form(max_files=0, max_fields=MAX_FIELDS, max_part_size=MAX_BODY_BYTES)
    except (HTTPException, MultiPartException, MultipartParseError, KeyError, UnicodeError):
        raise _bad_form() from None
    return _unique([(name, value) for name, value in form.multi_items() if isinstance(value, str)])


def _unique(pairs: list[tuple[str, str]]) -> dict[str, object]:
    fields: dict[str, object] = dict(pairs)
    if len(fields) != len(pairs):
        raise Refused(Problem(422, "field_twice", "A field came twice", "Send each field once."))
    return fields


def _bad_form() -> Refused:
    detail = f"Send a form in UTF-8 with at most {MAX_FIELDS} fields and no files."
    return Refused(Problem(400, "invalid_form", "The body is not a form", detail))
