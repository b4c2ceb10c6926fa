# SPDX-License-Identifier: Apache-2.0
"""What a person said, guarded while it is written down."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.realtime_hearing import Heard
from tests.gateway.wires.driver import FILTER, TERM


def heard(*pieces: str) -> str | None:
    """What comes back of pieces; None where the turn is refused."""
    listening = Heard(FILTER)
    out = []
    for piece in pieces:
        released = listening.feed(piece)
        if released is None:
            return None
        out.append(released)
    rest = listening.close()
    return None if rest is None else "".join(out) + rest


@given(st.lists(st.sampled_from(["禁", "词", "for", "bidden", "word", "a", "masked", " "]), max_size=10))
def test_it_comes_back_whole_or_not_at_all(pieces: Sequence[str]) -> None:
    """In any cutting; a term that would be masked in an answer refuses as well."""
    text = "".join(pieces)
    is_bad = any(word in text for word in (TERM, "forbiddenword", "maskedword"))
    assert heard(*pieces) == (None if is_bad else text)


@pytest.mark.parametrize("cut", range(1, len("forbiddenword")))
def test_nothing_of_a_word_comes_back_before_it_is_known(cut: int) -> None:
    """Its beginning waits."""
    listening = Heard(FILTER)
    assert listening.feed(f"ok {'forbiddenword'[:cut]}") == "ok "
    assert listening.feed("forbiddenword"[cut:]) is None


def test_it_is_bounded_and_ends_once() -> None:
    """A transcript without end is none."""
    listening = Heard(FILTER)
    assert listening.feed("x" * 2_000_000) is None
    listening = Heard(FILTER)
    assert listening.close() == ""
    assert listening.feed("for") == "" and listening.text == "for"
    assert (listening.close(), listening.close(), listening.feed("more")) == ("for", "", "")
