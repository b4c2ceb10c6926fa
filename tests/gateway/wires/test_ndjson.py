# SPDX-License-Identifier: Apache-2.0
"""Lines of JSON, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wires.interfaces import BadAnswer
from gateway.wires.ndjson import LineReader
from tests.gateway.wires.driver import pieces

LINES = st.lists(st.binary(min_size=1, max_size=9).filter(lambda line: b"\n" not in line and line == line.strip()))


@given(LINES, st.sampled_from([b"\n", b"\r\n", b"\n\n"]), st.booleans(), st.lists(st.integers(0, 99), max_size=6))
def test_lines_are_the_same_in_any_split(lines: list[bytes], end: bytes, is_ended: bool, cuts: list[int]) -> None:
    """Whatever ends them, and whether the last one is ended."""
    body = end.join(lines) + (end if is_ended else b"")
    reader = LineReader(1_000)
    found = [line for piece in pieces(body, cuts) for line in reader.feed(piece)]
    assert found + reader.close() == [line for line in lines if line]
    assert reader.close() == []


@pytest.mark.parametrize("reads", [[b"x" * 11], [b"x" * 6] * 2, [b"x" * 11 + b"\n"]])
def test_a_line_has_a_size(reads: list[bytes]) -> None:
    """Ended or not."""
    reader = LineReader(10)
    with pytest.raises(BadAnswer) as caught:
        for data in reads:
            reader.feed(data)
    assert caught.value.code == "event_too_large"
