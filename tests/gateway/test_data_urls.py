# SPDX-License-Identifier: Apache-2.0
"""Files inside texts are found however a text is cut, and nothing else of the text waits or changes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.data_urls import DataUrlScanner, Held, TooLong

PAYLOAD = "iVBORw0KGgo="
TEXT = f"Look: ![a cat](data:image/png;base64,{PAYLOAD}) and data:audio/wav;base64,UklGRg== end"


def scan(pieces: list[str], most: int = 1_000) -> list[str | Held]:
    """What leaves of a text in pieces, neighbours joined."""
    scanner = DataUrlScanner(most)
    out: list[str | Held] = []
    for piece in pieces:
        out += [piece] if scanner.is_plain(piece) else scanner.feed(piece)
    out += scanner.close()
    joined: list[str | Held] = []
    for item in out:
        if isinstance(item, str) and joined and isinstance(joined[-1], str):
            joined[-1] += item
        elif item:
            joined.append(item)
    return joined


WHOLE: list[str | Held] = [
    "Look: ![a cat](data:image/png;base64,",
    Held("image/png", PAYLOAD),
    ") and data:audio/wav;base64,",
    Held("audio/wav", "UklGRg=="),
    " end",
]


def test_payloads_are_held_and_all_else_leaves() -> None:
    """In order, each payload whole."""
    assert scan([TEXT]) == WHOLE


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_every_way_to_cut_the_text_gives_the_same(cuts: list[int]) -> None:
    """Also within the head, and within the payload."""
    places = [0, *sorted(cuts), len(TEXT)]
    assert scan([TEXT[a:b] for a, b in pairwise(places)]) == WHOLE


def test_nothing_of_a_payload_leaves_before_its_end() -> None:
    """While the head, which says only what follows, left at once."""
    scanner = DataUrlScanner(100)
    assert list(scanner.feed("x data:image/png;base64,iVBO")) == ["x data:image/png;base64,"]
    assert scanner.is_open and list(scanner.feed("Rw0K")) == []
    assert list(scanner.feed(") y")) == [Held("image/png", "iVBORw0K"), ") y"]
    assert not scanner.is_open


@pytest.mark.parametrize(
    "text",
    [
        "a, b, c",
        "image/png;base64,iVBORw0KGgo=",
        "data: image/png;base64,iVBORw0KGgo=",
        "data:image/svg+xml;utf8,<svg/>",
        ";base64,",
        "d" * 500 + ",",
    ],
)
def test_other_texts_leave_as_they_are(text: str) -> None:
    """Texts in base64 are texts of the model; what no browser shows is no medium."""
    assert scan([text]) == [text]


@pytest.mark.parametrize(
    ("head", "mime"),
    [("data:;base64,", "text/plain"), ("DATA:Font/Woff2;charset=x;BASE64,", "font/woff2"), ("data:a/b;base64,", "a/b")],
)
def test_every_type_is_held_and_named(head: str, mime: str) -> None:
    """What a file is says its type as little as its name: whoever labels looks at the bytes."""
    assert scan([f"x {head}iVBO y"]) == [f"x {head}", Held(mime, "iVBO"), " y"]


def test_a_payload_inside_escaped_json_ends_at_its_quotation_mark() -> None:
    """Slashes may be escaped in it and in the type; the backslash before the mark is text again."""
    assert scan(['{"u":"data:image\\/png;base64,ab\\/c=\\"}']) == [
        '{"u":"data:image\\/png;base64,',
        Held("image/png", "ab\\/c="),
        '\\"}',
    ]


def test_a_payload_without_end_is_whole_when_the_text_is() -> None:
    """A model that stops there has said what it said."""
    assert scan(["data:image/png;base64,", "iVBO", "Rw"])[-1] == Held("image/png", "iVBORw")
    assert scan(["data:image/png;base64,"]) == ["data:image/png;base64,"]


def test_no_more_waits_than_may() -> None:
    """Endless base64 is no way to our memory."""
    scanner = DataUrlScanner(10)
    with pytest.raises(TooLong):
        list(scanner.feed("data:image/png;base64," + "A" * 11))
