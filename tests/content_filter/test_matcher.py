# SPDX-License-Identifier: Apache-2.0
"""The matcher finds what the definition finds, at the places of the original text."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content_filter.matcher import Match, TermMatcher
from content_filter.normalise import normalise
from content_filter.terms import Action, TermSet

# A busy machine is no failure of a property.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(UNHURRIED)
@given(st.data())
def test_find_and_find_all_agree_with_the_definition(model: SimpleNamespace, data: st.DataObject) -> None:
    """Any terms, any text, all actions: same matches, same order, same decision."""
    terms = data.draw(model.term_sets(*Action))
    text = "".join(data.draw(model.chunked(terms)))
    matcher = TermMatcher(terms)

    assert matcher.find_all(text) == model.Model(terms).matches(text)
    assert matcher.find(text) == model.Model(terms).find(text)
    assert matcher.may_contain(normalise(text)) == bool(model.Model(terms).matches(text))


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("xx badword", 3, 10),
        ("ＢＡＤ ＷＯＲＤ badword", 9, 16),
        ("ｂａｄｗｏｒｄ", 0, 7),
        ("b\u200ba\u0301d\ufe0fword\u200b", 0, 10),  # from the first to the last character that counts
        ("\u200bbadword", 1, 8),
        ("👩\u200d👩 BADWORD!", 4, 11),  # offsets count characters, not UTF-16 units
        ("𝐛𝐚𝐝𝐰𝐨𝐫𝐝", 0, 7),
    ],
)
def test_a_disguised_term_is_found_where_it_stands(text: str, start: int, end: int) -> None:
    """Offsets are those of the original characters."""
    matcher = TermMatcher(TermSet.of(("badword", "A1h")))

    assert matcher.find(text) == Match(start, end, "A1h", Action.BLOCK, TermSet.of(("badword", "A1h")).terms[0].rule)


def test_a_match_inside_one_character_covers_that_character() -> None:
    """A ligature gives several letters; a term of some of them takes the whole ligature."""
    matcher = TermMatcher(TermSet.of(("fi", "A1a"), ("xf", "A1b")))

    assert [(m.start, m.end, m.class_code) for m in matcher.find_all("xﬃ")] == [(0, 2, "A1b"), (1, 2, "A1a")]
    found = matcher.find("xﬃ")
    assert found is not None
    assert found.class_code == "A1b"


def test_the_strongest_action_decides_even_when_it_comes_last() -> None:
    """Block before mask before flag."""
    matcher = TermMatcher(TermSet.of(("one", "A1a", "flag"), ("two", "A1b", "mask"), ("three", "A1c")))

    decided = [matcher.find(text) for text in ("one two three", "one two", "one", "zero")]
    assert [match and match.action for match in decided] == ["block", "mask", "flag", None]


def test_without_terms_nothing_is_found() -> None:
    """An empty set is legal and passes everything."""
    matcher = TermMatcher(TermSet.of())

    assert matcher.find("anything") is None
    assert matcher.find_all("anything") == []


def test_a_spelling_that_is_a_term_of_its_own_keeps_its_own_class() -> None:
    """The decomposed spelling of one term never takes over a term that was written so."""
    terms = TermSet.of(("が", "A1a"), ("か\u3099x", "A1b"))
    matcher = TermMatcher(terms)

    assert [(m.start, m.end, m.class_code) for m in matcher.find_all("か\u3099x")] == [(0, 2, "A1a"), (0, 3, "A1b")]
    assert [(m.start, m.end, m.class_code) for m in matcher.find_all("がx")] == [(0, 1, "A1a"), (0, 2, "A1b")]


def test_half_a_surrogate_pair_breaks_nothing() -> None:
    """JSON can carry lone surrogates; they are scanned as U+FFFD."""
    matcher = TermMatcher(TermSet.of(("bad", "A1h")))

    found = matcher.find("\ud83d bad \ude00")
    assert found is not None
    assert (found.start, found.end) == (2, 5)
