# SPDX-License-Identifier: Apache-2.0
"""What no upstream should send, on every wire that streams text: it is read as documented or refused, and never leaks.

The documents are those of the conformance suite's adapters. A forbidden word stands in each of them, cut in two.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence

import pytest

from gateway.exchange import Outcome
from gateway.wires import BadAnswer, Table
from gateway.wires import Wire as Codec
from tests.conformance.model import Asked, Piece, Said, Wire
from tests.conformance.wires.table import WIRES
from tests.gateway.rooms import Rooms
from tests.gateway.wires.driver import TERM, Answered, answer, ask

LIMIT_BYTES = 16 << 20
"""The default of `limits.event_bytes`."""
WORDS = ("It is ", "a fine ", "day.")
HALVES = ("It is ", TERM[0], f"{TERM[1:]} day.")


@pytest.fixture(params=WIRES)
def adapter(request: pytest.FixtureRequest) -> Wire:
    made: Wire = WIRES[request.param]()
    return made


def told(adapter: Wire, *words: str) -> list[bytes]:
    """The frames of a stream that says the words in an event each."""
    return list(adapter.tell(Asked(), Said(tuple(Piece(text) for text in words))).frames)


def asked(adapter: Wire) -> tuple[Codec, str, str, bytes, tuple[tuple[bytes, bytes], ...]]:
    """The gateway's codec for the adapter's request: with its path, its query, its body and its headers."""
    made = adapter.request(Asked())
    path, _, query = made.path.partition("?")
    wire = Table().find("POST", path)
    assert wire is not None
    headers = tuple((name.lower().encode(), value.encode()) for name, value in made.headers.items())
    return wire, path, query, json.dumps(made.body).encode(), headers


def got(adapter: Wire, reads: Sequence[bytes], event_bytes: int = LIMIT_BYTES) -> Answered | BadAnswer:
    """What the codec makes of a stream: an answer, perhaps one that ends in an error, or none."""
    wire, path, query, body, headers = asked(adapter)
    exchange = ask(wire, path, body, query, headers=headers)
    try:
        return answer(wire, exchange, reads, event_bytes=event_bytes)
    except BadAnswer as error:
        return error


def said(result: Answered | BadAnswer) -> str:
    """The bytes that left, with escapes undone."""
    if isinstance(result, BadAnswer):
        return ""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), result.body.decode())


def test_a_stream_that_is_right_arrives(adapter: Wire) -> None:
    """Without this the checks below would prove nothing."""
    assert "fine" in said(got(adapter, told(adapter, *WORDS)))
    stopped = got(adapter, told(adapter, *HALVES))
    assert isinstance(stopped, Answered) and stopped.exchange.outcome is Outcome.STOPPED


def _orders(frames: list[bytes]) -> Iterator[list[bytes]]:
    for place in range(len(frames) - 1):
        yield [*frames[:place], frames[place + 1], frames[place], *frames[place + 2 :]]
        yield [*frames[: place + 1], frames[place], *frames[place + 1 :]]
        yield [*frames[:place], *frames[place + 1 :]]
    yield frames[::-1]


def test_events_out_of_order_do_not_leak(adapter: Wire) -> None:
    """Swapped, doubled, left out, backwards."""
    for frames in _orders(told(adapter, *HALVES)):
        assert TERM not in said(got(adapter, frames))


@pytest.mark.parametrize("text", ["fine", f"a {TERM}"])
def test_an_event_of_an_unknown_type_is_guarded(adapter: Wire, text: str) -> None:
    """Wherever it stands."""
    frames = told(adapter, *WORDS)
    spelt = json.dumps({"type": "x.unknown", "x_new": text}, ensure_ascii=False).encode()
    for place in range(1, len(frames)):
        start, end = frames[place - 1].find(b"{"), frames[place - 1].rfind(b"}") + 1
        if start < 0:
            continue
        unknown = frames[place - 1][:start] + spelt + frames[place - 1][end:]
        result = got(adapter, [*frames[:place], unknown, *frames[place:]])
        assert TERM not in said(result)


def test_half_an_event_is_no_complete_answer(adapter: Wire) -> None:
    """However much of it came."""
    frames = told(adapter, *WORDS)
    whole = b"".join(frames)
    first = len(frames[0])
    for end in range(1, first + len(frames[1]), 7):
        result = got(adapter, [whole[:end]])
        assert isinstance(result, BadAnswer) or result.exchange.outcome is Outcome.UPSTREAM_FAILED


def test_one_delta_of_ten_megabytes_is_guarded_like_a_small_one(adapter: Wire) -> None:
    """In time, to its last character; beyond the limit it is refused."""
    frames = told(adapter, "a fine day " * 950_000 + TERM)
    begun_s = time.process_time()
    result = got(adapter, frames)
    assert isinstance(result, Answered) and result.exchange.outcome is Outcome.STOPPED
    assert TERM not in result.body[-4_000:].decode() and result.body.count(TERM.encode()) == 0
    assert time.process_time() - begun_s < 20
    refused = got(adapter, frames, 1 << 20)
    assert isinstance(refused, BadAnswer) or refused.exchange.outcome is Outcome.UPSTREAM_FAILED


@pytest.mark.parametrize(
    "spelt", [b"\xff\xfe", b"\xed\xa0\xbd", b"\\ud83d", b"\\ude00", b"\\u00", b"\\x41", b"\\ud83d\\u0041", b"\x00"]
)
def test_what_is_no_character_is_replaced_or_refused(adapter: Wire, spelt: bytes) -> None:
    """Broken UTF-8, halves of pairs, escapes that are none; a word around them is still found."""
    for words in (("It is ", "MARK", " day."), ("It is ", TERM[0], "MARK", TERM[1:])):
        frames = [frame.replace(b"MARK", spelt) for frame in told(adapter, *words)]
        result = got(adapter, frames)
        out = said(result).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        assert TERM not in out
        if isinstance(result, Answered):
            result.body.decode()  # what leaves is UTF-8


def test_a_member_that_comes_twice_hides_nothing(adapter: Wire) -> None:
    """One parser reads the first, another the last: only what was checked leaves."""
    whole = b"".join(told(adapter, "harmless"))
    bad = f'"a {TERM}"'.encode()
    for first, second in ((bad, b'"harmless"'), (b'"harmless"', bad)):
        spelt = re.sub(rb'"(\w+)":\s*"harmless"', rb'"\1":' + first + rb',"\1":' + second, whole)
        assert bad in spelt
        assert TERM not in said(got(adapter, [spelt]))


@pytest.mark.parametrize("depth", [60, 130, 5_000, 200_000])
def test_deep_nesting_is_guarded_or_refused(adapter: Wire, depth: int) -> None:
    """No stack is deep enough for what an upstream may send."""
    frames = told(adapter, *WORDS)
    nested = b'"x_new":' + b"[" * depth + json.dumps(TERM, ensure_ascii=False).encode() + b"]" * depth + b","
    frames[1] = frames[1].replace(b"{", b"{" + nested, 1)
    assert TERM not in said(got(adapter, frames))


def test_a_stop_cancels_the_model_before_anything_else_on_every_wire(adapter: Wire) -> None:
    """With the read that completes the word the model's call is cancelled: nothing of it is read any more, and only
    then is written. No time is measured here; nothing that takes any stands between verdict and cancellation."""
    wire, path, query, body, headers = asked(adapter)
    prompt = ask(wire, path, body, query, headers=headers).prompt
    assert prompt is not None
    kind = getattr(wire.reader(prompt, LIMIT_BYTES), "media_type", "text/event-stream")
    frames = told(adapter, *HALVES, *("more " for _ in range(40)))
    rooms = Rooms(frames, content_type=kind)
    rooms.run(rooms.client(body, path=path, query=query.encode(), headers=headers), wire)
    line = rooms.timeline
    cut = line.index("upstream cancelled")
    assert rooms.record["outcome"] == "stopped"
    assert line[:cut].count("read") < len(frames) - 30 and "read" not in line[cut:]
    assert line[cut - 1] == "read" and cut < line.index("record close") < line.index("last byte")
