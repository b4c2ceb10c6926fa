# SPDX-License-Identifier: Apache-2.0
"""The seven-key object is written strictly and read whatever its writer did wrong."""

import base64
import html
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeling.aigc import KEYS, MAX_TEXT_CHARS, MAX_VALUE_CHARS, AigcLabel, parse
from labeling.errors import LabelError

CODE = "001191110000MA00000AAT10001"
LABEL = AigcLabel("1", CODE, "0199f0c4-0000-7000-8000-000000000001")
PLAIN = "".join(chr(point) for point in range(0x21, 0x7F) if chr(point) not in '"\\')


def test_the_seven_keys_stand_in_the_order_of_the_standard() -> None:
    """Annex E gives names and order; readers in the field compare both."""
    assert list(LABEL.as_dict()) == list(KEYS)
    assert LABEL.as_json() == (
        '{"Label":"1","ContentProducer":"001191110000MA00000AAT10001",'
        '"ProduceID":"0199f0c4-0000-7000-8000-000000000001","ReservedCode1":"",'
        '"ContentPropagator":"001191110000MA00000AAT10001",'
        '"PropagateID":"0199f0c4-0000-7000-8000-000000000001","ReservedCode2":""}'
    )


def test_the_first_writer_is_also_the_propagator() -> None:
    """Annex E note 1."""
    assert (LABEL.content_propagator, LABEL.propagate_id) == (LABEL.content_producer, LABEL.produce_id)


def test_a_propagator_keeps_what_the_producer_wrote() -> None:
    """Article 6: propagation elements are added, production elements stay."""
    passed_on = LABEL.propagated_by("P2", "ID2", "sum")

    assert passed_on.as_dict() == LABEL.as_dict() | {
        "ContentPropagator": "P2",
        "PropagateID": "ID2",
        "ReservedCode2": "sum",
    }


def test_the_wrapped_form_has_one_outer_key() -> None:
    """For places that are not themselves named AIGC."""
    assert json.loads(LABEL.as_json(wrapped=True)) == {"AIGC": LABEL.as_dict()}


def test_the_object_costs_microseconds() -> None:
    """It is made for every answer; the bound is fifty times what it takes, to hold on any machine."""
    start = time.perf_counter()
    for _ in range(1000):
        AigcLabel("1", CODE, "0199f0c4-0000-7000-8000-000000000001").as_dict()

    assert time.perf_counter() - start < 0.25


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("", CODE, "id"), "Label must be"),
        (("4", CODE, "id"), "Label must be"),
        (("1", "", "id"), "ContentProducer must not be empty"),
        (("1", CODE, ""), "ProduceID must not be empty"),
        (("1", "示例科技", "id"), "ContentProducer may only hold"),
        (("1", "two words", "id"), "ContentProducer may only hold"),
        (("1", CODE, 'a"b'), "ProduceID may only hold"),
        (("1", CODE, "a\\b"), "ProduceID may only hold"),
        (("1", CODE, "id\n"), "ProduceID may only hold"),
        (("1", CODE, "id", "a b"), "ReservedCode1 may only hold"),
        (("1", CODE, "id", "", "p", "i", "\x7f"), "ReservedCode2 may only hold"),
        (("1", CODE, "x" * MAX_VALUE_CHARS), "characters at most"),
        (("1", CODE, "id", "x" * (MAX_VALUE_CHARS + 1)), "characters at most"),
    ],
)
def test_a_value_that_breaks_annex_e_is_refused_by_name_and_not_repeated(arguments: tuple[str, ...], says: str) -> None:
    """The message names the key; the value may be a user's and stays out."""
    with pytest.raises(LabelError, match=says) as caught:
        AigcLabel(*arguments)

    assert "示例" not in str(caught.value)


@settings(deadline=None)
@given(
    st.sampled_from("123"),
    *[st.text(PLAIN, min_size=1, max_size=40) for _ in range(4)],
    st.text(PLAIN + '"', max_size=40),
    st.text(PLAIN + '"', max_size=40),
    st.booleans(),
)
def test_what_is_written_is_read_back_the_same_without_findings(
    label: str, producer: str, number: str, propagator: str, propagate_id: str, code1: str, code2: str, wrapped: bool
) -> None:
    """Round trip over the whole allowed character set."""
    written = AigcLabel(label, producer, number, code1, propagator, propagate_id, code2)
    reading = parse(written.as_json(wrapped=wrapped))

    assert reading.label == written
    assert reading.is_conforming


JSON = LABEL.as_json()
MINIMAX = {"aigc": LABEL.as_dict()}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (JSON, set()),
        (JSON.encode(), set()),
        (LABEL.as_dict(), set()),
        ("\ufeff " + JSON + "\x00", set()),
        (LABEL.as_json(wrapped=True), set()),
        (json.dumps(MINIMAX), {"wrapper-name"}),
        (json.dumps({"AIGC": JSON}), set()),
        (html.escape(JSON), {"escaped"}),
        (base64.b64encode(JSON.encode()).decode(), {"base64"}),
        (base64.urlsafe_b64encode(JSON.encode()).decode().rstrip("="), {"base64"}),
        (json.dumps(JSON), {"double-encoded"}),
        (JSON.replace('"1"', "1", 1), {"not-a-string"}),
        (JSON.replace('"Label":"1"', '"Label":"AIGC"'), {"label-value"}),
        (JSON.replace("Label", "label", 1), {"key-name"}),
        (JSON.replace("{", '{"Label":"1",', 1), {"repeated-key"}),
        (JSON.replace("{", '{"Extra":"1",', 1), {"unknown-key"}),
        (json.dumps(dict(reversed(LABEL.as_dict().items()))), {"key-order"}),
        (JSON.replace(',"ReservedCode2":""', ""), {"missing-key"}),
        (JSON.replace("ContentProducer", "ServiceProvider"), {"key-name"}),
    ],
)
def test_the_variants_met_in_the_wild_are_read_and_named(
    source: str | bytes | dict[str, str], expected: set[str]
) -> None:
    """The content still counts as labelled by the same producer, and each departure is said."""
    reading = parse(source)

    assert {finding.code for finding in reading.findings} == expected
    assert reading.label is not None
    assert reading.label.content_producer == CODE
    assert reading.is_conforming == (not expected)


def test_a_producer_with_spaces_is_recognised_but_gives_no_strict_label() -> None:
    """Seen in real files; it is a label, though a bad one."""
    reading = parse(JSON.replace(CODE, "Minimax Agent AI"))

    assert reading.is_recognised and not reading.is_conforming
    assert reading.label is None
    assert reading.values["ContentProducer"] == "Minimax Agent AI"
    assert {"charset"} == {finding.code for finding in reading.findings}


@pytest.mark.parametrize(
    "source",
    [
        *("", "hello", "[]", "1", "null", "{", '{"AIGC":1}', b"\xff\xfe\x00", "AAAA" * 9),
        *("[" * 50_000, '{"AIGC":' * 900, "x" * (MAX_TEXT_CHARS + 1)),
    ],
    ids=lambda source: repr(source[:20]),
)
def test_what_is_no_label_is_said_to_be_none(source: str | bytes) -> None:
    """Hostile and damaged fields end in findings."""
    reading = parse(source)

    assert not reading.is_recognised
    assert not reading.is_conforming
    assert reading.findings


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "AIGC", "aigc", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from([*KEYS, "AIGC", "aigc", "label"]), JSON_VALUES, max_size=8))
def test_any_json_is_read_without_an_exception(value: dict[str, object]) -> None:
    """The reader meets files of strangers."""
    for source in (value, json.dumps(value), json.dumps(value).encode()):
        reading = parse(source)

        assert reading.is_conforming or reading.findings


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_and_text_are_read_without_an_exception(source: str | bytes) -> None:
    """The reader meets files of strangers."""
    assert not parse(source).is_conforming
