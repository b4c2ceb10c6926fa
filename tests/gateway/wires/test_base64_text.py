# SPDX-License-Identifier: Apache-2.0
"""A text file is text, whatever carries it: what travels in base64 is looked at, and goes out as it came."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wires.base64_text import EncodedSlot, decoded, decoded_text
from gateway.wires.frames import Frame


@given(st.binary(max_size=40), st.booleans(), st.booleans())
def test_both_alphabets_padded_or_not(data: bytes, is_url_safe: bool, is_padded: bool) -> None:
    """RFC 4648 sections 4 and 5; what a model accepts we must read."""
    text = (base64.urlsafe_b64encode if is_url_safe else base64.b64encode)(data).decode()
    assert decoded(text if is_padded else text.rstrip("=")) == data


@pytest.mark.parametrize("data", ["a", "ab!c", "abc d", "禁"])
def test_what_is_not_base64_says_so(data: str) -> None:
    """One error, without the text."""
    with pytest.raises(ValueError) as caught:
        decoded(data)
    assert len(data) < 2 or data not in str(caught.value)


@pytest.mark.parametrize(
    "mime", ["text/plain", "TEXT/Markdown; charset=utf-8", "application/json", "application/ld+json", "image/svg+xml"]
)
def test_texts_are_told_by_their_media_type(mime: str) -> None:
    """Parameters and case aside."""
    assert decoded_text(mime, base64.b64encode("禁词".encode()).decode()) == "禁词"


@pytest.mark.parametrize(
    ("mime", "data"),
    [
        ("image/png", "aGk="),
        ("application/octet-stream", "aGk="),
        (None, "aGk="),
        ("text/plain", 7),
        ("text/plain", "/w=="),
    ],
)
def test_media_are_no_text(mime: object, data: object) -> None:
    """Nor is what is not UTF-8."""
    assert decoded_text(mime, data) is None


def slot(text: str = "a词b") -> tuple[EncodedSlot, dict[str, str]]:
    """A place with this text in unpadded base64."""
    tree = {"data": base64.b64encode(text.encode()).decode().rstrip("=")}
    return EncodedSlot(Frame(tree), tree, "data", ("data",), text), tree


def test_a_text_that_passes_goes_out_in_the_spelling_that_came() -> None:
    """The document in between holds what came, too."""
    place, tree = slot()
    before = dict(tree)
    place.put(place.value)
    assert tree == before


def test_a_text_that_was_changed_is_encoded_again() -> None:
    """And one that was stopped is gone."""
    place, tree = slot()
    place.put(place.value.replace("词", "*"))
    assert decoded(tree["data"]).decode() == "a*b"
    place.put("")
    assert tree["data"] == ""
