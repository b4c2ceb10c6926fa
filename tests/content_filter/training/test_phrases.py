# SPDX-License-Identifier: Apache-2.0
"""Phrases are many, different, and the same every time."""

from content_filter.training.phrases import phrases

FEW = {"en": 300, "zh": 200}


def test_phrases_depend_on_the_seed_alone() -> None:
    """Another seed puts other words together."""
    assert phrases(1, FEW) == phrases(1, FEW)
    assert phrases(1, FEW) != phrases(2, FEW)


def test_each_language_has_its_number_and_no_slot_is_open() -> None:
    """No phrase stands twice."""
    found = phrases(1, FEW)

    assert len(set(found)) == len(found) == 500
    assert sum(phrase.isascii() for phrase in found) == 300
    assert not [phrase for phrase in found if "{" in phrase]
