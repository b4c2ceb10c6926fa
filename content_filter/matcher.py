# SPDX-License-Identifier: Apache-2.0
"""Finds terms in whole texts, and holds the automaton with which guards find them in streams.

Texts and terms meet in normal form (`normalise`); all offsets that leave this module count characters (code points) of
the original text. The scan is ahocorasick_rs over UTF-8: microseconds for a prompt. Offsets are mapped back only when
there is a hit.

What must hold, because the stream guard promises the same: a match spans from the first to the last original character
that gave it a normalised character, and nothing around it. Matches are ordered by end, then start, then normal form of
the term. The match that decides about a text is the first of the strongest action found: block before mask before flag.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ahocorasick_rs import BytesAhoCorasick

from content_filter.automaton import Automaton
from content_filter.normalise import normalised_bytes, origins, prepare
from content_filter.terms import Action, Term, TermSet


@dataclass(frozen=True, slots=True)
class Match:
    """A term found at `start` up to and without `end`, in characters of the original text; never the term itself."""

    start: int
    end: int
    class_code: str
    action: Action
    rule: str


class _Engine:
    """The whole-text automaton over the patterns of one action; patterns are named by their index in the matcher."""

    __slots__ = ("_indices", "_scan")

    def __init__(self, patterns: Sequence[tuple[int, str]]) -> None:
        self._indices = array("i", (index for index, _ in patterns))
        self._scan = BytesAhoCorasick([text.encode() for _, text in patterns])

    def first_end(self, normalised: bytes) -> int | None:
        """Where the earliest ending match ends, in bytes."""
        found = self._scan.find_matches_as_indexes(normalised)
        return found[0][2] if found else None

    def all(self, normalised: bytes) -> list[tuple[int, int, int]]:
        """Every match, overlapping ones too: (pattern index, start, end), in bytes."""
        found = self._scan.find_matches_as_indexes(normalised, overlapping=True)
        return [(self._indices[pattern], start, end) for pattern, start, end in found]


class TermMatcher:
    """A term set, compiled. Immutable and safe to share between threads."""

    __slots__ = ("_engines", "automaton", "terms")

    terms: tuple[Term, ...]
    """For each pattern of the automaton, by its index, the term it spells."""
    automaton: Automaton

    def __init__(self, terms: TermSet) -> None:
        prepare()
        # Two terms may share a spelling: one wrote it, the other has it as a variant. The one that wrote it keeps it.
        spelled = {term.normalised: term for term in terms.terms}
        for term in terms.terms:
            for pattern in term.patterns:
                spelled.setdefault(pattern, term)
        patterns = sorted(spelled)
        self.terms = tuple(spelled[pattern] for pattern in patterns)
        self.automaton = Automaton([(pattern, spelled[pattern].action is not Action.FLAG) for pattern in patterns])
        engines = (
            _Engine(chosen)
            for action in Action
            if (chosen := [(index, text) for index, text in enumerate(patterns) if spelled[text].action is action])
        )
        self._engines = tuple(engines)

    def find(self, text: str) -> Match | None:
        """The match that decides about the text, or None. Costs a scan; more only when there is a hit."""
        normalised = normalised_bytes(text)
        for engine in self._engines:
            end = engine.first_end(normalised)
            if end is not None:
                return self._first(engine, text, normalised, end)
        return None

    def is_clean(self, texts: Iterable[str]) -> bool:
        """Whether none of the texts, each for itself, contains a term: one scan for all of them."""
        # No UTF-8 text has the byte 0xFF, so no match can reach from one text into the next.
        normalised = b"\xff".join([normalised_bytes(text) for text in texts])
        return all(engine.first_end(normalised) is None for engine in self._engines)

    def find_all(self, text: str) -> list[Match]:
        """Every match of every action, overlapping ones too, in order. For reports: nested terms multiply."""
        normalised = normalised_bytes(text)
        found = [hit for engine in self._engines for hit in engine.all(normalised)]
        if not found:
            return []
        # Byte offset to original character, for the first byte of each normalised character.
        owners, where = origins(text), 0
        owner_at = {}
        for owner, char in zip(owners, normalised.decode(), strict=True):
            owner_at[where] = owner
            where += len(char.encode())
        owner_at[where] = len(text)
        last_at = dict(zip(list(owner_at)[1:], owners, strict=True))
        hits = sorted((last_at[end] + 1, owner_at[start], pattern) for pattern, start, end in found)
        return [self.match(*hit) for hit in hits]

    def may_contain(self, normalised: str) -> bool:
        """Whether a text that is already in normal form contains any term."""
        haystack = normalised.encode()
        return any(engine.first_end(haystack) is not None for engine in self._engines)

    def match(self, end: int, start: int, pattern: int) -> Match:
        """The match of a pattern at original offsets."""
        term = self.terms[pattern]
        return Match(start, end, term.class_code, term.action, term.rule)

    def _first(self, engine: _Engine, text: str, normalised: bytes, end: int) -> Match:
        """The first match of an engine, given in bytes where its earliest match ends."""
        owners = origins(text)
        opened = until = len(normalised[:end].decode())
        last = owners[until - 1]
        # One original character may give several normalised ones and so complete several terms: look at all of them.
        while opened and owners[opened - 1] == last:
            opened -= 1
        while until < len(owners) and owners[until] == last:
            until += 1
        begin = max(0, opened - self.automaton.widest)
        window = normalised.decode()[begin:until].encode()
        hits = []
        for pattern, from_byte, to_byte in engine.all(window):
            start = owners[begin + len(window[:from_byte].decode())]
            stop = owners[begin + len(window[:to_byte].decode()) - 1] + 1
            hits.append((stop, start, pattern))
        return self.match(*min(hits))
