# SPDX-License-Identifier: Apache-2.0
"""Forms are read into parts and written anew from them: what was checked is what the model gets."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wires.form import MAX_PARTS, Part, field_of, form_call, form_prompt, read_form, write_form
from gateway.wires.interfaces import BadRequest

TYPE = b"multipart/form-data; boundary=b"


def headers(content_type: bytes = TYPE) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", content_type)]


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\%'), min_size=1, max_size=8)
PARTS = st.builds(
    Part,
    name=NAMES,
    data=st.binary(max_size=60),
    filename=st.none() | NAMES,
    content_type=st.sampled_from(["", "image/png", "text/plain; charset=utf-8"]),
)


@given(st.lists(PARTS, max_size=5))
def test_a_form_comes_back_as_it_was_written(parts: list[Part]) -> None:
    """Names, file names, types and bytes."""
    body, content_type = write_form(parts)
    assert read_form(body, headers(content_type.encode())) == parts or not parts


def test_a_form_of_a_real_client_is_read() -> None:
    """As httpx writes it."""
    request = httpx.Request(
        "POST", "http://host/", data={"prompt": "一只猫"}, files={"image": ("猫.png", b"\x89PNG", "image/png")}
    )
    parts = read_form(request.read(), headers(request.headers["content-type"].encode()))
    assert parts == [Part("prompt", "一只猫".encode()), Part("image", b"\x89PNG", "猫.png", "image/png")]
    prompt = form_prompt([*parts, Part("model", b"m"), Part("x", b"later")])
    assert prompt.model == "m"
    assert prompt.has_media
    assert {item.text for item in prompt.texts} == {"一只猫", "猫.png", "later"}
    assert b"PNG" not in str(prompt.body).encode()
    call = form_call("/v1/x", prompt)
    assert read_form(call.body, headers(call.content_type.encode())) == prompt.parts


PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (PART + b"--b--\r\n", b"application/json"),
        (PART + b"--b--\r\n", b"multipart/form-data"),
        (PART, TYPE),
        (b"", TYPE),
        (b"oops", TYPE),
        (b"--b\r\n\r\nx\r\n--b--\r\n", TYPE),
        (b'--b\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--b--\r\n', TYPE),
        (b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--\r\n', TYPE),
        (PART * (MAX_PARTS + 1) + b"--b--\r\n", TYPE),
        (b"--b\r\n" + b"X-Long: " + b"x" * 9_000 + b"\r\n\r\nx\r\n--b--\r\n", TYPE),
    ],
)
def test_what_is_no_whole_form_is_refused(body: bytes, content_type: bytes) -> None:
    """Nothing of what was sent is in the message."""
    with pytest.raises(BadRequest) as caught:
        read_form(body, headers(content_type))
    assert caught.value.status in (400, 415)
    assert "oops" not in caught.value.message


def test_a_field_that_came_twice_or_is_a_file_is_refused() -> None:
    """Two parsers would choose differently."""
    for parts in ([Part("model", b"a"), Part("model", b"b")], [Part("model", b"a", "f")]):
        with pytest.raises(BadRequest):
            field_of(parts, "model")
    with pytest.raises(BadRequest):
        form_prompt([Part("prompt", b"\xff")])
