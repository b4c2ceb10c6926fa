# SPDX-License-Identifier: Apache-2.0
"""Server-sent events are the same whatever the reads cut and whatever ends a line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wires.interfaces import BadAnswer
from gateway.wires.sse import EventReader, ServerEvent
from tests.gateway.wires.driver import pieces

LIMIT = 1 << 20
LINES = (
    "data: a",
    "data:b",
    "data",
    "data:  two",
    "event: x",
    "event:y",
    ": note",
    "id: 1",
    "retry: 5",
    "data: 禁",
    "",
)
ENDS = ("\n", "\r\n", "\r")


def read(body: bytes, cuts: list[int] | None = None, limit: int = LIMIT) -> list[ServerEvent]:
    """The events of `body`, read in pieces."""
    reader = EventReader(limit)
    events: list[ServerEvent] = []
    for piece in pieces(body, cuts or []):
        events += reader.feed(piece)
    return events + reader.close()


def specified(body: bytes) -> list[ServerEvent]:
    """The events of a whole body as WHATWG HTML section 9.2.6 says it, one line after the other."""
    events, data, kind = [], [], b""
    for line in [*re.split(rb"\r\n|\n|\r", body.removeprefix(b"\xef\xbb\xbf")), b""]:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                events.append(ServerEvent(b"\n".join(data), kind))
            data, kind = [], b""
        elif name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value
    return events


streams = st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS)), max_size=14).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)
cuts = st.lists(st.integers(0, 400), max_size=10)


@given(streams, cuts)
def test_no_cut_and_no_line_end_changes_what_is_read(body: bytes, where: list[int]) -> None:
    """LF, CR LF, CR and any mix of them, cut anywhere: the events are those of the specification."""
    assert read(body, where) == specified(body)


@given(streams)
def test_byte_by_byte_is_the_same(body: bytes) -> None:
    """The smallest reads there are."""
    assert read(body, list(range(len(body)))) == specified(body)


@given(st.lists(st.sampled_from(LINES[:10]), min_size=1, max_size=6), st.sampled_from(ENDS), cuts)
def test_one_line_end_throughout_is_like_any_other(lines: list[str], end: str, where: list[int]) -> None:
    """What a server chose to end its lines with is not part of what it says."""
    body = "".join(line + end for line in lines) + end
    plain = "".join(line + "\n" for line in lines) + "\n"
    assert read(body.encode(), where) == read(plain.encode())


def test_an_event_leaves_as_soon_as_its_empty_line_is_there() -> None:
    """Nothing waits for the next event where the line end cannot go on."""
    reader = EventReader(LIMIT)
    assert reader.feed(b"data: a\n") == []
    assert reader.feed(b"\ndata: b\r\n\r\n") == [ServerEvent(b"a"), ServerEvent(b"b")]


def test_a_byte_order_mark_belongs_to_no_field() -> None:
    """A stream may begin with one (section 9.2.5); the first event is not lost over it."""
    assert read(b"\xef\xbb\xbfdata: a\n\ndata: b\n\n") == [ServerEvent(b"a"), ServerEvent(b"b")]
    assert read(b"\xef\xbb\xbfdata: a\n\n", [1, 2, 3]) == [ServerEvent(b"a")]


def test_a_last_event_without_its_empty_line_is_read() -> None:
    """Some servers forget it."""
    assert read(b"data: a\n\ndata: [DONE]\n") == [ServerEvent(b"a"), ServerEvent(b"[DONE]")]
    assert read(b"data: a\n\ndata: [DONE]") == [ServerEvent(b"a"), ServerEvent(b"[DONE]")]


def test_comments_and_other_fields_are_no_events() -> None:
    """A keep-alive comment says nothing."""
    assert read(b": keep-alive\n\nid: 7\nretry: 9\n\nevent: ping\n\n") == []


@pytest.mark.parametrize("end", ENDS)
def test_an_event_beyond_the_limit_is_refused(end: str) -> None:
    """What one event may hold is bounded, complete or not."""
    body = f"data: {'x' * 100}{end}{end}".encode()
    with pytest.raises(BadAnswer) as caught:
        read(body, limit=50)
    assert caught.value.code == "event_too_large"
    with pytest.raises(BadAnswer):
        EventReader(50).feed(b"data: " + b"x" * 100)
    assert read(body, limit=len(body)) == [ServerEvent(b"x" * 100)]
