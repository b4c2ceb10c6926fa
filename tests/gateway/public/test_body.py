# SPDX-License-Identifier: Apache-2.0
"""Reading bodies: every wrong one is a problem that repeats nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from gateway.public.body import FORM, JSON, MAX_BODY_BYTES, Refused, read_fields

BOUNDARY = "multipart/form-data; boundary=x"


def read(
    body: bytes | Sequence[bytes], content_type: str, *, timeout_s: float = 5.0, ends: bool = True
) -> dict[str, object]:
    pieces = [body] if isinstance(body, bytes) else list(body)

    async def receive() -> Message:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces) or not ends}
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    headers = [(b"content-type", content_type.encode("latin-1"))]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    return asyncio.run(read_fields(request, timeout_s))


def part(name: str, value: str, extra: str = "") -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n{value}\r\n'.encode()


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"a": "\xe4\xb8\xad", "b": 1}', "application/json; charset=utf-8", {"a": "中", "b": 1}),
        (b"{}", JSON, {}),
        ("a=中&b=".encode(), FORM, {"a": "中", "b": ""}),
        (b"a=%E4%B8%AD+x", FORM, {"a": "中 x"}),
        (b"", FORM, {}),
        (part("a", "中") + part("b", "") + b"--x--\r\n", BOUNDARY, {"a": "中", "b": ""}),
    ],
)
def test_json_and_both_kinds_of_form_are_read(body: bytes, content_type: str, expected: dict[str, object]) -> None:
    """One meaning for three encodings."""
    assert read(body, content_type) == expected


def test_a_body_in_pieces_is_one_body() -> None:
    """Where the network cuts makes no difference."""
    assert read([b'{"a": "\xe4', b"\xb8", b'\xad"}'], JSON) == {"a": "中"}


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", JSON, 400, "invalid_json"),
        (b"", JSON, 400, "invalid_json"),
        (b'{"a": "\xff"}', JSON, 400, "invalid_json"),
        (b'{"a": "\\ud800"}', JSON, 400, "invalid_json"),
        (b"NaN", JSON, 400, "invalid_json"),
        (b"[]", JSON, 422, "not_an_object"),
        (b'"secret words"', JSON, 422, "not_an_object"),
        (b"a=%ff", FORM, 400, "invalid_form"),
        (b"a=\xff", FORM, 400, "invalid_form"),
        (b"&".join(b"f%d=1" % number for number in range(99)), FORM, 400, "invalid_form"),
        (b"a=1&a=2", FORM, 422, "field_twice"),
        (b"junk", BOUNDARY, 400, "invalid_form"),
        (b"", "multipart/form-data", 400, "invalid_form"),
        (part("a", "x", '; filename="f"') + b"--x--\r\n", BOUNDARY, 400, "invalid_form"),
        (part("a", "1") + part("a", "2") + b"--x--\r\n", BOUNDARY, 422, "field_twice"),
        (b"<a/>", "text/xml", 415, "unsupported_media_type"),
        (b"{}", "", 415, "unsupported_media_type"),
        (b"x" * (MAX_BODY_BYTES + 1), JSON, 413, "body_too_large"),
        (b"x" * (MAX_BODY_BYTES + 1), FORM, 413, "body_too_large"),
    ],
)
def test_a_wrong_body_is_a_problem_without_its_words(body: bytes, content_type: str, status: int, code: str) -> None:
    """The fact and the next step, and nothing of what was sent."""
    with pytest.raises(Refused) as caught:
        read(body, content_type)

    assert (caught.value.problem.status, caught.value.problem.code) == (status, code)
    assert b"secret words" not in caught.value.problem.body()


def test_a_body_that_never_ends_is_given_up() -> None:
    """A slow sender holds nothing for longer than the limit."""
    with pytest.raises(Refused) as caught:
        read(b"{", JSON, timeout_s=0.01, ends=False)

    assert caught.value.problem.code == "body_timeout"


def test_a_client_that_hangs_up_is_a_problem_not_a_crash() -> None:
    """Half a body is no body."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    headers = [(b"content-type", JSON.encode())]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    with pytest.raises(Refused) as caught:
        asyncio.run(read_fields(request, 5.0))

    assert caught.value.problem.code == "body_incomplete"


@given(st.binary(max_size=200), st.sampled_from([JSON, FORM, BOUNDARY, "multipart/form-data; boundary=\xff"]))
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str) -> None:
    """No body makes a page fail in another way."""
    try:
        assert isinstance(read(body, content_type), dict)
    except Refused as refused:
        assert refused.problem.status in (400, 422)
