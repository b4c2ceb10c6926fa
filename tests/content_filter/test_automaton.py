# SPDX-License-Identifier: Apache-2.0
"""The automaton's tables say, after every character, what the definition says."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content_filter.automaton import ROOT, Automaton

# A busy machine is no failure of a property.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PATTERNS = st.dictionaries(st.text("abc传", min_size=1, max_size=6), st.booleans(), max_size=12).map(
    lambda found: sorted(found.items())
)


@settings(UNHURRIED)
@given(PATTERNS, st.text("abcd传", max_size=60))
def test_every_state_is_the_longest_proper_prefix_and_reports_every_pattern(
    patterns: list[tuple[str, bool]], text: str
) -> None:
    """Depth, held length and outputs agree with a search of all suffixes."""
    automaton = Automaton(patterns)
    state = ROOT
    for end in range(1, len(text) + 1):
        state, found = automaton.walk(state, text[end - 1])
        suffixes = [text[start:end] for start in range(end)] + [""]

        def longest(candidates: list[str], suffixes: list[str] = suffixes) -> int:
            return next(len(s) for s in suffixes if not s or any(c.startswith(s) and c != s for c in candidates))

        assert automaton.depth[state] == longest([pattern for pattern, _ in patterns])
        assert automaton.held[state] == longest([pattern for pattern, is_held in patterns if is_held])
        ends = [(index, len(pattern)) for index, (pattern, _) in enumerate(patterns) if text[:end].endswith(pattern)]
        assert list(found) == sorted(ends, key=lambda item: -item[1])


@settings(UNHURRIED)
@given(PATTERNS)
def test_chains_need_no_tables(patterns: list[tuple[str, bool]]) -> None:
    """Only the root, leaves and branching nodes have a dictionary; every edge is where the labels say."""
    automaton = Automaton(patterns)

    assert all(len(row) != 1 for node, row in automaton.branches.items() if node != ROOT)
    assert all(automaton.labels[child] == char for row in automaton.branches.values() for char, child in row.items())
    assert automaton.widest == max((len(pattern) for pattern, _ in patterns), default=0)


@pytest.mark.parametrize("patterns", [["b", "a"], ["a", "a"], [""]])
def test_patterns_out_of_order_doubled_or_empty_are_refused(patterns: list[str]) -> None:
    """Preorder numbering rests on sorted input: anything else is an error, not a wrong automaton."""
    with pytest.raises(ValueError, match="strictly increasing"):
        Automaton([(pattern, True) for pattern in patterns])
