# SPDX-License-Identifier: Apache-2.0
"""What the tests of the filter share: a plain model of matching, and generators of hard texts.

The model knows nothing of automata: it tries every term at every place, straight from the definition.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st

from content_filter.matcher import Match
from content_filter.normalise import IMAGES
from content_filter.terms import Action, Term, TermSet

# Few letters, so that terms overlap, nest and begin everywhere; every disguise of them; and what is invisible.
LETTERS = "abcABＡⒷ𝐚𝖇áfiﬁﬃ传傳统統力暴ㄱ가각\u3099かが😀\U0001f468 \t\u3000-"
INVISIBLE = "\u200b\u0301\ufe0f\u00ad\U000e0061"

TEXTS = st.text(st.one_of(st.sampled_from(LETTERS), st.sampled_from("abf传" + INVISIBLE), st.characters()), max_size=60)
_WORDS = st.text(st.sampled_from("abcfi传统力暴가각かが😀 -ﬁ傳"), min_size=1, max_size=5)


def _spelled(word: str) -> bool:
    return any(image.strip(" ") for image in map(IMAGES.__getitem__, word))


def term_sets(*actions: Action) -> st.SearchStrategy[TermSet]:
    """Sets of up to eight terms, each with one of the actions."""
    entry = st.tuples(_WORDS.filter(_spelled), st.sampled_from(["A1a", "INJ"]), st.sampled_from(actions))

    def build(entries: list[tuple[str, str, Action]]) -> TermSet:
        unique: dict[str, tuple[str, str, Action]] = {}
        for written, code, action in entries:
            (term,) = TermSet.of((written, code)).terms
            unique.setdefault(term.normalised, (written, code, action))
        return TermSet.of(*unique.values())

    return st.lists(entry, max_size=8).map(build)


@st.composite
def chunked(draw: st.DrawFn, terms: TermSet) -> list[str]:
    """A text that is likely to contain terms, whole, cut short or with invisible characters inside, in pieces."""
    patterns = [pattern for term in terms.terms for pattern in term.patterns] or ["a"]

    def disguise(how: tuple[str, int, str, bool, int]) -> str:
        word, at, inside, is_upper, length = how
        return (word[:at] + inside + (word[at:].upper() if is_upper else word[at:]))[:length]

    disguised = st.tuples(
        st.sampled_from(patterns),
        st.integers(0, 5),
        st.sampled_from(["", "", *INVISIBLE]),
        st.booleans(),
        st.integers(1, 8),
    ).map(disguise)
    text = "".join(draw(st.lists(st.one_of(disguised, TEXTS), max_size=6)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=10)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@dataclass(frozen=True)
class Model:
    """All matches of a term set in a text, by definition."""

    terms: TermSet

    def patterns(self) -> list[tuple[str, Term]]:
        """Pattern and term, in the order that settles ties."""
        spelled = {term.normalised: term for term in self.terms.terms}
        for term in self.terms.terms:
            for pattern in term.patterns:
                spelled.setdefault(pattern, term)
        return sorted(spelled.items(), key=lambda item: item[0])

    def matches(self, text: str) -> list[Match]:
        """Every match, ordered by end, start and term."""
        parts = [(part, index) for index, char in enumerate(text) for part in IMAGES[char]]
        normalised = "".join(part for part, _ in parts)
        found = []
        for rank, (pattern, term) in enumerate(self.patterns()):
            for at in range(len(normalised)):
                if normalised.startswith(pattern, at):
                    start, end = parts[at][1], parts[at + len(pattern) - 1][1] + 1
                    found.append((end, start, rank, Match(start, end, term.class_code, term.action, term.rule)))
        return [match for *_, match in sorted(found, key=lambda item: item[:3])]

    def find(self, text: str) -> Match | None:
        """The first match of the strongest action."""
        matches = self.matches(text)
        for action in Action:
            for match in matches:
                if match.action is action:
                    return match
        return None

    def pending_from(self, text: str) -> int:
        """Where the longest suffix begins that is a proper prefix of a block or mask term; the length if none."""
        parts = [(part, index) for index, char in enumerate(text) for part in IMAGES[char]]
        normalised = "".join(part for part, _ in parts)
        holding = [pattern for pattern, term in self.patterns() if term.action is not Action.FLAG]
        for at in range(len(normalised)):
            rest = normalised[at:]
            if any(pattern.startswith(rest) and pattern != rest for pattern in holding):
                return parts[at][1]
        return len(text)


@pytest.fixture(scope="session")
def model() -> Iterator[SimpleNamespace]:
    """The plain model and the generators; a fixture because tests are no package that could be imported from."""
    yield SimpleNamespace(Model=Model, TEXTS=TEXTS, term_sets=term_sets, chunked=chunked)
