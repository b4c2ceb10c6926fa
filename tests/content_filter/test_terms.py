# SPDX-License-Identifier: Apache-2.0
"""Term files are read completely or refused with file and line."""

import hashlib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content_filter.errors import FilterError
from content_filter.normalise import normalise
from content_filter.terms import MAX_TERM_CHARACTERS, Action, TermSet

# A busy machine is no failure of a property.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_file_is_read_with_comments_blanks_mark_and_either_line_end(tmp_path: Path) -> None:
    """Everything the format allows, in one file."""
    path = tmp_path / "terms.tsv"
    path.write_bytes(
        (
            "\ufeff# comment\twith tab\r\n\r\n  \t \n暴力恐怖\tA1d\r\nBad Word\tA4a\tmask\n"
            "  spaced  \tA1h\t\nＩＧＮＯＲＥ\t INJ \t flag \n＃tag\tA1h"
        ).encode()
    )
    terms = TermSet.load([path]).terms

    assert [(term.normalised, term.class_code, term.action) for term in terms] == [
        ("#tag", "A1h", Action.BLOCK),
        ("bad word", "A4a", Action.MASK),
        ("ignore", "INJ", Action.FLAG),
        ("spaced", "A1h", Action.BLOCK),
        ("暴力恐怖", "A1d", Action.BLOCK),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"secretword\tA9z", "unknown class"),
        (b"secretword\ta1a", "unknown class"),
        (b"secretword\tA1a\tdelete", "unknown action"),
        (b"secretword", "got 1 fields"),
        (b"secretword\tA1a\tblock\tmore", "got 4 fields"),
        ("\u200b\u00ad \tA1a".encode(), "empty after normalisation"),
        (b"\tA1a", "empty after normalisation"),
        (b"secretword\xff\tA1a", "not UTF-8 at byte 11"),
        (b"secretword" * 30 + b"\tA1a", "longer than 256"),
        ("Ｆirst\tA1b".encode(), "the term of .*terms.tsv:1 again .*there as A1a block, here as A1b block"),
        (b"FIRST\tA1a\tmask", "there as A1a block, here as A1a mask"),
    ],
)
def test_a_bad_line_is_named_and_its_term_is_not(tmp_path: Path, line: bytes, message: str) -> None:
    """The error says file, line and what to change, and repeats nothing of the term."""
    path = tmp_path / "terms.tsv"
    path.write_bytes(b"first\tA1a\n\n" + line + b"\n")

    with pytest.raises(FilterError, match=message) as caught:
        TermSet.load([path])
    assert str(caught.value).startswith(f"{path}:3: ")
    assert "secretword" not in str(caught.value)
    assert "irst" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A filter never starts with fewer terms than it was told to load."""
    with pytest.raises(FilterError, match=r"nowhere\.tsv: the term file cannot be read"):
        TermSet.load([tmp_path / "nowhere.tsv"])


def test_the_same_term_twice_is_one_term_also_across_files(tmp_path: Path) -> None:
    """Repetition is harmless; contradiction names both places."""
    first, second = tmp_path / "a.tsv", tmp_path / "b.tsv"
    first.write_text("傳統\tA1a\nother\tA1a\n", encoding="utf-8")
    second.write_text("传统\tA1a\tblock\n", encoding="utf-8")
    assert len(TermSet.load([first, second])) == 2

    second.write_text("\n传统\tA1b\n", encoding="utf-8")
    with pytest.raises(FilterError, match=r"b\.tsv:2: the term of .*a\.tsv:1 again"):
        TermSet.load([first, second])


def test_the_digest_names_the_content_and_not_its_order_or_spelling() -> None:
    """Same verdicts, same digest; another class, action or term, another digest."""
    digest = TermSet.of(("one", "A1a"), ("two", "A1b", "mask")).digest

    assert TermSet.of(("ＴＷＯ", "A1b", "mask"), ("One", "A1a", "block")).digest == digest
    assert len(digest) == 64
    others = [
        TermSet.of(("one", "A1a"), ("two", "A1b")),
        TermSet.of(("one", "A1b"), ("two", "A1b", "mask")),
        TermSet.of(("one", "A1a")),
        TermSet.of(),
    ]
    assert len({digest, *(other.digest for other in others)}) == 5


def test_a_rule_names_a_term_without_showing_it() -> None:
    """`term:` and 8 hex digits of the hash of the normal form."""
    (term,) = TermSet.of(("Ｓecret", "A1a")).terms

    assert term.rule == "term:" + hashlib.sha256(b"secret").hexdigest()[:8]


@settings(UNHURRIED)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10))
def test_every_unicode_spelling_of_a_term_has_a_pattern(written: str) -> None:
    """A text with the term as written, composed or decomposed contains one of its patterns."""
    if not normalise(written).strip(" "):
        return
    (term,) = TermSet.of((written, "A1a")).terms

    assert term.patterns[0] == term.normalised
    for spelling in (written, unicodedata.normalize("NFKC", written), unicodedata.normalize("NFKD", written)):
        assert any(pattern in normalise(spelling) for pattern in term.patterns)


def test_two_spellings_of_one_term_are_merged_with_the_patterns_of_both() -> None:
    """Listing a term in a second spelling widens it."""
    (term,) = TermSet.of(("한국", "A1a")).terms

    assert unicodedata.normalize("NFD", "한국") in term.patterns
    mixed = unicodedata.normalize("NFD", "한") + "국"
    (wider,) = TermSet.of(("한국", "A1a"), (mixed, "A1a")).terms
    assert mixed in wider.patterns
    assert set(term.patterns) < set(wider.patterns)


def test_only_keeps_the_classes_asked_for() -> None:
    """A filter for some classes has the terms of those alone."""
    terms = TermSet.of(("one", "A1a"), ("two", "INJ"))

    assert [term.normalised for term in terms.only(["INJ"]).terms] == ["two"]
    assert terms.only(["INJ"]).digest == TermSet.of(("two", "INJ")).digest
    assert len(terms.only([])) == 0


def test_a_term_may_be_as_long_as_the_limit() -> None:
    """The limit itself is legal."""
    assert len(TermSet.of(("x" * MAX_TERM_CHARACTERS, "A1a"))) == 1


def test_an_entry_without_a_file_is_named_by_its_number() -> None:
    """Callers without a file still learn which entry is wrong."""
    with pytest.raises(FilterError, match="entry 2: unknown class"):
        TermSet.of(("one", "A1a"), ("two", "nope"))
