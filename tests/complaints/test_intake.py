# SPDX-License-Identifier: Apache-2.0
"""What strangers send, and what is kept of it."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from complaints.errors import Invalid
from complaints.intake import clean_contact, clean_officer, clean_record, clean_tenant, clean_text

UUID = "0190a0b0-0000-7000-8000-00000000abcd"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("  two\r\nlines\rthree\n", "two\nlines\nthree"),
        ("a\x00b\x1b[31mc\x7f\x85d\te", "ab[31mcd\te"),
        ("投诉👩‍👧 内容", "投诉👩‍👧 内容"),
        ("x" * 10, "x" * 10),
    ],
)
def test_words_keep_their_meaning_and_lose_control_characters(value: str, kept: str) -> None:
    """Line ends are unified, joiners of emoji and scripts stay."""
    assert clean_text(value, "text", 10_000) == kept


@pytest.mark.parametrize("value", ["", "  \n ", "\x00\x01", "x" * 11, None, 5, ["x"], {"a": 1}, True, "bad \ud800"])
def test_words_that_are_none_or_too_many_are_refused_by_field(value: object) -> None:
    """The bounds are counted on what would be kept; wrong types and broken Unicode are refused too."""
    with pytest.raises(Invalid) as caught:
        clean_text(value, "grounds", 10)

    assert caught.value.field == "grounds"


@given(st.text(st.characters(codec=None, categories=None)))
def test_whatever_is_kept_can_be_stored_and_shown(value: str) -> None:
    """It encodes as UTF-8, holds no control character but newline and tab, and cleaning again changes nothing."""
    try:
        kept = clean_text(value, "text", 100)
    except Invalid:
        return

    kept.encode()
    assert not {c for c in kept if unicodedata.category(c) == "Cc"} - {"\n", "\t"}
    assert clean_text(kept, "text", 100) == kept


def test_a_contact_is_one_line_or_nothing() -> None:
    """A line end in it could forge a mail header."""
    assert clean_contact(None, 200) is clean_contact("  ", 200) is None
    assert clean_contact(" 张三 138 0000 0000 ", 200) == "张三 138 0000 0000"
    for value in ("a@b.c\nBcc: x", "a\tb", "x" * 201, 5):
        with pytest.raises(Invalid, match="contact"):
            clean_contact(value, 200)


@pytest.mark.parametrize("value", [UUID, UUID.upper(), UUID.replace("-", ""), f" {UUID} "])
def test_a_record_id_is_kept_in_one_form(value: str) -> None:
    """However it was copied."""
    assert clean_record(value) == UUID


@pytest.mark.parametrize("value", ["x", UUID[:-1], UUID + "0", UUID.replace("a", "g"), UUID + "\n1", 7, "٣" * 32])
def test_what_does_not_look_like_a_record_id_is_refused(value: object) -> None:
    """It is kept in clear, so nothing else may hide there."""
    with pytest.raises(Invalid, match="record"):
        clean_record(value)


def test_what_is_optional_may_be_absent_or_empty() -> None:
    """JSON sends null, forms send an empty field."""
    assert clean_record(None) is clean_record("") is clean_tenant(None) is clean_tenant("") is None


@pytest.mark.parametrize("clean", [clean_tenant, clean_officer])
def test_identifiers_are_narrow(clean: Callable[[object], str | None]) -> None:
    """Letters of any script, digits and a few signs; no prose."""
    for value in ("acme", "示例租户", "a.b:c/d@e|f_g-1", "x" * 100):
        assert clean(value) == value
    for bad in ("two words", "x" * 101, "a\n", "a\x00", 5, ["a"]):
        with pytest.raises(Invalid):
            clean(bad)


def test_an_officer_has_a_name() -> None:
    """Nothing is decided by nobody."""
    for value in (None, ""):
        with pytest.raises(Invalid, match="officer"):
            clean_officer(value)
