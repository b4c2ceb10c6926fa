# SPDX-License-Identifier: Apache-2.0
"""The record: RFC 8785 byte for byte, ids in order, times exact, and the schema that says the same to machines."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit_log import record
from audit_log.errors import RecordInvalid
from audit_log.record import (
    TYPES,
    format_time,
    format_time_us,
    index_row,
    leaf_bytes,
    leaf_head,
    leaf_tail,
    new_record_id,
    parse_time_us,
)

SCHEMA = json.loads((Path(record.__file__).parent / "record.schema.json").read_text())
ID = "01a1ff94-113e-7dea-bfd6-908a6349367b"
TIME = "2026-11-21T08:15:04.123456Z"
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
)
NAMES = st.text(st.characters(max_codepoint=127), max_size=6)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_leaf_bytes_are_those_of_rfc_8785(fields: dict[str, Any]) -> None:
    """The fast way and the reference spell every record of our domain alike."""
    assert rfc8785.dumps(fields) == leaf_bytes(fields)


def test_public_rfc_8785_vectors(vectors: Path) -> None:
    """Those of the RFC's authors that lie in our domain; the others are refused, never spelled otherwise."""
    same = 0
    files = sorted((vectors / "jcs" / "input").glob("*.json"))
    assert len(files) == 6
    for file in files:
        wanted = (vectors / "jcs" / "output" / file.name).read_bytes()
        try:
            leaf = leaf_bytes({"x": json.loads(file.read_bytes())})
        except RecordInvalid:
            continue

        same += 1
        assert b'{"x":' + wanted + b"}" == leaf, file.name
    assert same >= 2


class Word(StrEnum):
    A = "a"


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        float("inf"),
        2**53,
        -(2**53),
        10**30,
        "\ud800",
        b"bytes",
        {1: "x"},
        {"é": "x"},
        {"x": 0.5},
        [[0.5]],
        (1,),
        {1},
        datetime(2026, 1, 1, tzinfo=UTC),
        UUID(ID),
        Word.A,
        object(),
    ],
)
def test_what_rfc_8785_would_spell_otherwise_is_refused(value: object) -> None:
    """Floats above all: they never slip in, at any depth."""
    for fields in ({"x": value}, {"x": {"y": [value]}}):
        with pytest.raises(RecordInvalid):
            leaf_bytes(fields)


def test_deep_nesting_is_refused() -> None:
    """A record is flat data, not a document."""
    value: object = "x"
    for _ in range(20):
        value = [value]
    with pytest.raises(RecordInvalid, match="nested"):
        leaf_bytes({"x": value})


def test_a_record_has_at_most_65535_bytes() -> None:
    """The length in an entry bundle has 16 bits."""
    assert len(leaf_bytes({"x": "a" * (65_535 - 8)})) == 65_535
    with pytest.raises(RecordInvalid, match="65536 bytes"):
        leaf_bytes({"x": "a" * (65_535 - 7)})
    with pytest.raises(RecordInvalid):
        leaf_head({"x": "a" * 65_300}, TIME)


@given(st.dictionaries(st.from_regex("[a-v][a-z_]{0,5}", fullmatch=True), PLAIN, max_size=8), st.integers(0, 2**63))
def test_a_leaf_put_together_from_its_parts_is_canonical(fields: dict[str, Any], number: int) -> None:
    """Writer and number are added behind the rest without spelling it again."""
    fields.pop("v", None)
    before, behind = leaf_tail('gw-1/"x\\y"')
    leaf = leaf_head(fields, TIME) + before + b"%d" % number + behind

    whole = {"t": TIME, **fields, "v": "1", "writer": 'gw-1/"x\\y"', "wseq": str(number)}
    assert rfc8785.dumps(whole) == leaf


@pytest.mark.parametrize("name", ["v", "writer", "wseq", "writer2", "x", "zone", "~"])
def test_the_last_fields_are_the_logs_own(name: str) -> None:
    """No field of a caller may stand where writer and number stand."""
    with pytest.raises(RecordInvalid):
        leaf_head({name: "x"}, TIME)


@pytest.mark.parametrize("name", ["", "é", "x" * 201])
def test_a_writers_name_is_short_ascii(name: str) -> None:
    """It stands in every leaf."""
    with pytest.raises(RecordInvalid):
        leaf_tail(name)


@given(st.integers(0, 253_402_300_799_999_999))
def test_times_are_read_back_exactly(t_us: int) -> None:
    """Every microsecond from 1970 to 9999."""
    assert t_us == parse_time_us(format_time_us(t_us))


def test_a_time_has_six_decimals() -> None:
    """Also where they are zero."""
    assert format_time(1_800_000_000) == "2027-01-15T08:00:00.000000Z"
    assert format_time(1_800_000_000.25) == "2027-01-15T08:00:00.250000Z"


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        "",
        "2026-11-21T08:15:04Z",
        "2026-11-21 08:15:04.123456Z",
        TIME[:-1],
        TIME + "Z",
        "2026-13-21T08:15:04.123456Z",
        "2026-11-21T08:15:04.123456+00:00",
        "٢026-11-21T08:15:04.123456Z",
    ],
)
def test_no_other_spelling_is_a_time(text: object) -> None:
    """So that times sort as text."""
    with pytest.raises(RecordInvalid):
        parse_time_us(text)


def test_ids_are_uuids_of_version_7_in_order() -> None:
    """Each larger than the one before, with the time in front."""
    ids = [new_record_id() for _ in range(2000)]

    assert sorted(set(ids)) == ids
    assert {(7, "specified in RFC 4122")} == {(UUID(id_).version, UUID(id_).variant) for id_ in ids}


def test_ids_stay_in_order_when_the_clock_steps_back() -> None:
    """The time in an id never falls behind one already given."""
    first = new_record_id(time_ns=4_000_000_000_000_000_000)
    second = new_record_id(time_ns=1)

    assert first < second
    assert first[:12] == second[:12]


@pytest.fixture(autouse=True)
def _ids_of_today() -> Iterator[None]:
    """Ids made with a time far ahead must not colour those of other tests."""
    kept = record._last_stamp
    yield
    record._last_stamp = kept


def test_an_id_holds_its_time_and_its_random_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """48 bits of milliseconds, then the fraction, then what the source of randomness gave."""
    monkeypatch.setattr(record, "_last_stamp", 0)
    id_ = new_record_id(time_ns=0x0123456789AB * 1_000_000 + 500_000, random=lambda size: b"\xff" * size)

    assert id_ == "01234567-89ab-7800-bfff-ffffffffffff"


def test_a_search_row_is_taken_from_the_fields() -> None:
    """And the subject, which no leaf holds, from beside them."""
    fields = {
        "id": ID,
        "type": "close",
        "exchange": ID,
        "tenant": "t",
        "class": "A1",
        "action": "stop",
        "incident": "i",
    }

    assert index_row(fields, 5, "p") == (ID, ID, "close", 5, "t", "p", "A1", "stop", True)
    assert index_row({"id": ID, "type": "boot"}, 6, None) == (ID, None, "boot", 6, None, None, None, None, False)
    assert index_row({"id": ID, "type": "incident"}, 6, None).incident


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "request"},
        {"type": None},
        {"type": ["boot"]},
        {"id": None},
        {"id": "x"},
        {"id": ID.upper()},
        {"id": ID + "\n"},
        {"exchange": "x"},
        {"exchange": 5},
        {"tenant": 5},
        {"class": True},
        {"action": ["x"]},
    ],
)
def test_a_field_that_is_searched_for_has_its_form(changes: dict[str, object]) -> None:
    """Or the record is refused before it is stored."""
    with pytest.raises(RecordInvalid):
        index_row({"id": ID, "type": "boot", **changes}, 1, None)


def test_the_schema_knows_the_same_types() -> None:
    """Code and schema cannot drift apart."""
    assert set(SCHEMA["properties"]["type"]["enum"]) == TYPES


GOOD: dict[str, object] = {"v": "1", "id": ID, "type": "exchange", "t": TIME, "writer": "gw-1/x", "wseq": "12"}
BODY = {"sha256": "0" * 64, "bytes": "5", "key": "k_" + "0" * 32, "commit": "f" * 64}


@pytest.mark.parametrize(
    "more", [{}, {"body": BODY}, {"exchange": ID}, {"decisions": [{"score_bp": 10_000, "a": None}]}]
)
def test_the_schema_accepts_a_record(more: dict[str, object]) -> None:
    """With and without what is optional, and with fields that it does not know."""
    assert list(violations(SCHEMA, {**GOOD, **more})) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"v": "2"},
        {"id": "x"},
        {"type": "request"},
        {"t": "now"},
        {"writer": ""},
        {"wseq": 12},
        {"wseq": "012"},
        {"exchange": "x"},
        {"body": {**BODY, "plain": "x"}},
        {"body": {}},
        {"score": 0.5},
        {"deep": [{"x": 0.5}]},
        {"big": 2**53},
        {"keys": ["me"]},
    ],
)
def test_the_schema_refuses_what_is_no_record(changes: dict[str, object]) -> None:
    """Each field in its own way."""
    assert list(violations(SCHEMA, {**GOOD, **changes}))


@pytest.mark.parametrize("name", sorted(GOOD))
def test_the_schema_misses_no_required_field(name: str) -> None:
    """All six."""
    assert list(violations(SCHEMA, {key: value for key, value in GOOD.items() if key != name}))


def violations(schema: dict[str, Any], value: Any) -> Iterator[str]:
    """What a value breaks, by the keywords that our schema uses; a keyword that is unknown here fails the test."""
    for keyword, wanted in schema.items():
        if keyword not in CHECKS:
            raise AssertionError(f"the test does not know the keyword {keyword}")
        if not CHECKS[keyword](wanted, value, schema):
            yield keyword


def valid(schema: dict[str, Any], value: Any) -> bool:
    return not list(violations(schema, value))


def reference(path: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["$defs"][path.removeprefix("#/$defs/")]
    return found


def is_type(names: str | list[str], value: Any) -> bool:
    kinds: dict[str, Callable[[Any], bool]] = {
        "object": lambda it: isinstance(it, dict),
        "array": lambda it: isinstance(it, list),
        "string": lambda it: isinstance(it, str),
        "boolean": lambda it: isinstance(it, bool),
        "integer": lambda it: isinstance(it, int) and not isinstance(it, bool),
        "null": lambda it: it is None,
    }
    return any(kinds[name](value) for name in ([names] if isinstance(names, str) else names))


Check = Callable[[Any, Any, dict[str, Any]], bool]
CHECKS: dict[str, Check] = {
    **dict.fromkeys(("$schema", "$id", "$defs", "title", "description"), lambda wanted, value, schema: True),
    "$ref": lambda wanted, value, schema: valid(reference(wanted), value),
    "type": lambda wanted, value, schema: is_type(wanted, value),
    "const": lambda wanted, value, schema: value == wanted,
    "enum": lambda wanted, value, schema: value in wanted,
    "pattern": lambda wanted, value, schema: not isinstance(value, str) or bool(re.search(wanted, value)),
    "minLength": lambda wanted, value, schema: not isinstance(value, str) or len(value) >= wanted,
    "maxLength": lambda wanted, value, schema: not isinstance(value, str) or len(value) <= wanted,
    "minimum": lambda wanted, value, schema: not isinstance(value, int) or value >= wanted,
    "maximum": lambda wanted, value, schema: not isinstance(value, int) or value <= wanted,
    "anyOf": lambda wanted, value, schema: any(valid(one, value) for one in wanted),
    "items": lambda wanted, value, schema: not isinstance(value, list) or all(valid(wanted, item) for item in value),
    "required": lambda wanted, value, schema: not isinstance(value, dict) or set(wanted) <= set(value),
    "properties": lambda wanted, value, schema: (
        not isinstance(value, dict) or all(valid(wanted[name], value[name]) for name in set(wanted) & set(value))
    ),
    "additionalProperties": lambda wanted, value, schema: (
        not isinstance(value, dict)
        or all(
            wanted is not False and valid(wanted, value[name])
            for name in set(value) - set(schema.get("properties", {}))
        )
    ),
}
