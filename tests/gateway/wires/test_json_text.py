# SPDX-License-Identifier: Apache-2.0
"""JSON is bounded and strict for clients, and text is exact in whatever units an upstream cut it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wires.json_text import Surrogates, clean, loads_event, loads_request, says_it_once, strings

units = st.lists(st.integers(0, 0xFFFF), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def utf16(code_units: list[int]) -> str:
    """A text of UTF-16 units, halves of pairs left as they are."""
    return "".join(map(chr, code_units))


def expected(code_units: list[int]) -> str:
    """What UTF-16 units say, a half without its other half as U+FFFD."""
    data = b"".join(unit.to_bytes(2, "little") for unit in code_units)
    return data.decode("utf-16-le", "replace") if _is_broken(data) else data.decode("utf-16-le")


def _is_broken(data: bytes) -> bool:
    try:
        data.decode("utf-16-le")
    except UnicodeDecodeError:
        return True
    return False


@given(units, st.lists(st.integers(0, 12), max_size=6))
def test_pairs_join_wherever_they_were_cut(code_units: list[int], cuts: list[int]) -> None:
    """The text of the pieces is the text of the whole, and no lone half is left in it."""
    edges = sorted({0, len(code_units), *(cut % (len(code_units) + 1) for cut in cuts)})
    surrogates = Surrogates()
    said = "".join(surrogates.feed(utf16(code_units[a:b])) for a, b in itertools.pairwise(edges))
    said += surrogates.close()
    assert said == clean(utf16(code_units))
    said.encode()


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30, int("9" * 300)])
def test_an_integer_that_would_reach_the_model_as_another_number_is_refused(number: int) -> None:
    """Wherever it stands; digits in a text are a text."""
    for body in (f'{{"seed":{number}}}', f'{{"tools":[{{"a":[{number}]}}]}}', str(number)):
        with pytest.raises(ValueError, match="more than 64 bits"):
            loads_request(body.encode())
    assert loads_request(f'{{"text":"{number}"}}'.encode()) == {"text": str(number)}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1,"b":{"a":2}}', True),
        (b'[{"a":1},{"a":1}]', True),
        (b'{"a":1,"a":1}', False),
        (b'{"x":[{"a":1,"b":2,"\\u0061":3}]}', False),
        (b'{"a":', False),
        (b"[" * 100_000 + b"]" * 100_000, False),
    ],
)
def test_a_member_that_comes_twice_is_seen(data: bytes, expected: bool) -> None:
    """However it is spelt and wherever it stands; what cannot be read says nothing once."""
    assert says_it_once(data) is expected


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 0])
def test_an_integer_of_64_bits_arrives_exactly(number: int) -> None:
    """As it was sent."""
    assert orjson.dumps(loads_request(f'{{"seed":{number}}}'.encode())) == f'{{"seed":{number}}}'.encode()


def test_a_pair_that_was_cut_is_one_character() -> None:
    """The high half waits for the low one."""
    surrogates = Surrogates()
    assert surrogates.feed("a\ud83d") == "a"
    assert surrogates.feed("\ude00b") == "😀b"
    assert surrogates.close() == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [("\ud83d", "\ufffd"), ("\ude00", "\ufffd"), ("a\ud83db", "a\ufffdb"), ("\ud83d\ud83d\ude00", "\ufffd😀")],
)
def test_half_a_pair_alone_becomes_the_replacement_character(text: str, said: str) -> None:
    """What never finds its half cannot be written as UTF-8."""
    assert clean(text) == said


@given(st.text())
def test_whole_text_is_left_alone(text: str) -> None:
    """No lone halves, no change."""
    assert clean(text) == text


def test_a_client_may_not_send_lone_surrogates_or_bad_utf8() -> None:
    """Strict for clients; and the message names a place, never the text."""
    for body in (b'{"a":"\\ud83d"}', b'{"a":"\xff"}', b"{", b"", b'{"secret":'):
        with pytest.raises(ValueError, match=r"^not valid JSON at line \d+, column \d+$"):
            loads_request(body)


def test_an_upstream_may_send_half_a_pair() -> None:
    """It is joined later."""
    assert loads_event(b'{"a":"\\ud83d"}') == {"a": "\ud83d"}


@pytest.mark.parametrize("body", [b"{", b"", b"NaN", b'{"a":Infinity}', b"\xff", b"[" * 5_000, b"[" * 200_000])
def test_an_upstream_that_sends_no_json_is_refused_with_one_error(body: bytes) -> None:
    """Whatever is wrong with it, also nesting beyond every stack."""
    with pytest.raises(ValueError, match=r"^not valid JSON$"):
        loads_event(body)


@given(values)
def test_both_readers_agree_on_what_json_says(value: object) -> None:
    """Strict and lenient differ in what they refuse only."""
    body = json.dumps(value).encode()
    assert loads_request(body) == loads_event(body) == value


def collected(value: object) -> list[str]:
    """Every string and key, by hand."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *collected(item))]
    if isinstance(value, list):
        return [text for item in value for text in collected(item)]
    return []


@given(values)
def test_every_string_and_key_is_found(value: object) -> None:
    """A key is text too: a model reads it."""
    assert [text for _, text in strings(value, "x")] == collected(value)


@given(values)
def test_a_path_never_holds_a_word_of_the_client(value: object) -> None:
    """Paths stand in records and errors."""
    for path, _ in strings(value, "messages.0"):
        assert set(path.removeprefix("messages.0")) <= set("0123456789.key")


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}, lambda value: [1, {"a": [value]}]])
def test_nesting_has_an_end_below_what_can_be_written_again(wrap: Callable[[object], object]) -> None:
    """A request that is accepted can be sent on and sealed: the encoder has a limit of its own."""
    value: object = [[]]
    deepest = 0
    for depth in range(1, 200):
        value = wrap(value)
        try:
            loads_request(json.dumps(value).encode())
        except ValueError as error:
            assert str(error) == "nested too deeply"
            break
        deepest = depth
        orjson.dumps({"prompt": value, "answer": ""})
    assert 40 <= deepest < 199


def test_a_wide_document_is_not_a_deep_one() -> None:
    """Many messages are no nesting."""
    assert len(loads_request(b"[" + b",".join([b'{"a":[1]}'] * 1_000) + b"]")) == 1_000


def test_texts_are_looked_for_at_every_depth_that_is_accepted() -> None:
    """And not for ever."""
    value: object = "x"
    for _ in range(128):
        value = [value]
    assert [text for _, text in strings(value, "x")] == ["x"]
    for _ in range(200):
        value = [value]
    with pytest.raises(ValueError, match=r"^nested too deeply$"):
        list(strings(value, "x"))
