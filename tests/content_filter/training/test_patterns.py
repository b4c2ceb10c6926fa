# SPDX-License-Identifier: Apache-2.0
"""The own rows are labelled, balanced and the same every time."""

from collections import Counter

from content_filter.taxonomy import CLASSES
from content_filter.training.patterns import own_rows


def test_rows_depend_on_the_seed_alone() -> None:
    """Another seed chooses other frames."""
    assert own_rows(1) == own_rows(1)
    assert own_rows(1) != own_rows(2)


def test_every_class_and_both_languages_have_rows() -> None:
    """Thin classes are what these rows are for."""
    rows = own_rows()
    harmful = Counter((row.category, row.lang) for row in rows if row.is_harmful)

    assert {code for code, _ in harmful} == set(CLASSES)
    assert all(harmful[code, lang] >= 10 for code in CLASSES for lang in ("zh", "en"))


def test_harmless_rows_have_no_class_and_are_as_many_as_the_harmful() -> None:
    """So that neither a topic nor a way of asking decides alone."""
    rows = own_rows()
    harmless = [row for row in rows if not row.is_harmful]

    assert {row.category for row in harmless} == {"none"}
    assert 0.8 < len(harmless) / (len(rows) - len(harmless)) < 1.6


def test_no_slot_is_left_open() -> None:
    """Every brace was filled."""
    assert not [row for row in own_rows() if "{" in row.text or "}" in row.text]
