# SPDX-License-Identifier: Apache-2.0
"""Terms that mean something only in context, and how an operator's own list is tried out before it goes live.

A plain term (`terms`) is found wherever it stands, exactly, also in a stream. That is right for few terms: open word
lists flag 40 to 100 % of ordinary Chinese. A term here has conditions:

- `is_whole_word`: not inside a longer word of letters, for languages that write spaces;
- `allowed`: harmless words or phrases that contain it; a place inside one of them does not count;
- `company`: other words of which at least `least_company` must stand within `reach` characters. A term of one or two
  characters must have company: it never speaks alone.

Files are TOML: `[[term]]` tables with text, class, action and conditions. `texts` instead of `text` gives many terms
the same conditions, each without the words of company that are part of it. What must hold: the verdict is that of the
conditions as written, whatever the number of terms; texts and terms meet in normal form; a file that is wrong is
refused by table number and never shows a term; two sets with one digest judge alike.
"""

import hashlib
import json
import tomllib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ahocorasick_rs import AhoCorasick, MatchKind

from content_filter.errors import FilterError
from content_filter.intervals import Share
from content_filter.matcher import Match
from content_filter.normalise import normalise, origins
from content_filter.rows import Row
from content_filter.taxonomy import CLASSES
from content_filter.terms import MAX_TERM_CHARACTERS, Action

ALONE_CHARACTERS = 3
"""A term of fewer characters needs company."""
_REACH = 40
_MOST_WORDS = 200  # allowed words, and company, of one term


@dataclass(frozen=True, slots=True)
class ContextTerm:
    """One term with its conditions; all words in normal form. `rule` names it in verdicts and never shows it."""

    text: str
    class_code: str
    action: Action
    is_whole_word: bool = False
    allowed: tuple[str, ...] = ()
    company: tuple[str, ...] = ()
    least_company: int = 0
    reach: int = _REACH

    @property
    def rule(self) -> str:
        """`context:` and the first 8 hex digits of the SHA-256 of the term."""
        return "context:" + hashlib.sha256(self.text.encode()).hexdigest()[:8]


def context_term(
    text: str,
    class_code: str,
    action: Action | str = Action.FLAG,
    *,
    is_whole_word: bool = False,
    allowed: Iterable[str] = (),
    company: Iterable[str] = (),
    least_company: int | None = None,
    reach: int = _REACH,
) -> ContextTerm:
    """Builds a term from words as written. `least_company` is 1 where there is company and nothing is said. Raises
    `FilterError`, without the words, for one that cannot work."""
    form = normalise(text).strip()
    companions = tuple(sorted({word for word in map(normalise, company) if word.strip()}))
    contexts = tuple(sorted({word for word in map(normalise, allowed) if word.strip()}))
    least = (1 if companions else 0) if least_company is None else least_company
    if not form or len(form) > MAX_TERM_CHARACTERS:
        raise FilterError(f"a term must have 1 to {MAX_TERM_CHARACTERS} characters after normalisation")
    if class_code not in CLASSES:
        raise FilterError("unknown class code; expected one of the 31 classes, A1a to A5b, or INJ")
    if action not in tuple(Action):
        raise FilterError("unknown action; expected block, mask or flag")
    if len(contexts) > _MOST_WORDS or len(companions) > _MOST_WORDS:
        raise FilterError(f"more than {_MOST_WORDS} allowed words, or words of company, for one term")
    if not 0 <= least <= len(companions) or not 1 <= reach <= 1_000:
        raise FilterError("least_company must be at most the number of words of company, reach from 1 to 1000")
    if len(form) < ALONE_CHARACTERS and least < 1:
        raise FilterError(f"a term of fewer than {ALONE_CHARACTERS} characters must have company")
    if any(form not in context or context == form for context in contexts):
        raise FilterError("an allowed word must contain the term and be longer")
    if any(form in word or word in form for word in companions):
        raise FilterError("a word of company must be another word than the term")
    return ContextTerm(form, class_code, Action(action), is_whole_word, contexts, companions, least, reach)


_FIELDS = {"text", "texts", "class", "action", "whole_word", "allowed", "company", "least_company", "reach"}


def load_context_terms(paths: Iterable[str | Path]) -> list[ContextTerm]:
    """Reads TOML files. Raises `FilterError` with file and number of the first bad table."""
    found = []
    for path in map(Path, paths):
        try:
            document = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise FilterError(f"{path}: the term file cannot be read ({error.strerror or 'unknown error'})") from error
        except ValueError:  # not chained: it quotes the line
            raise FilterError(f"{path}: not TOML in UTF-8") from None
        tables = document.pop("term", [])
        if document or not isinstance(tables, list):
            raise FilterError(f"{path}: expected [[term]] tables and nothing else")
        for number, table in enumerate(tables, start=1):
            try:
                found += _from_table(table)
            except FilterError as error:
                raise FilterError(f"{path}: term {number}: {error}") from None
    return found


def _from_table(table: Mapping[str, Any]) -> list[ContextTerm]:
    if unknown := table.keys() - _FIELDS:
        raise FilterError(f"{len(unknown)} unknown keys; expected {', '.join(sorted(_FIELDS))}")
    words = (table.get("allowed", []), table.get("company", []), table.get("texts", []))
    if "texts" in table and ("text" in table or "allowed" in table):
        raise FilterError("texts stands instead of text, and without allowed words")
    if (
        not all(isinstance(table.get(key, ""), str) for key in ("text", "class", "action"))
        or not all(isinstance(part, list) and all(isinstance(word, str) for word in part) for part in words)
        or not isinstance(table.get("whole_word", False), bool)
        or not all(type(table.get(key, 0)) is int for key in ("least_company", "reach"))
    ):
        raise FilterError("a value has the wrong type")
    return [
        context_term(
            text, table.get("class", ""), table.get("action", Action.FLAG),
            is_whole_word=table.get("whole_word", False), allowed=words[0],
            company=_other(text, words[1]) if "texts" in table else words[1],
            least_company=table.get("least_company"), reach=table.get("reach", _REACH),
        )
        for text in (words[2] if "texts" in table else [table.get("text", "")])
    ]  # fmt: skip


def _other(text: str, company: Iterable[str]) -> list[str]:
    form = normalise(text).strip()
    return [word for word in company if not ((part := normalise(word)) in form or form in part)]


def own_terms() -> list[ContextTerm]:
    """The terms that come with the filter."""
    return load_context_terms([Path(str(resources.files("content_filter"))) / "terms_own.toml"])


class ContextMatcher:
    """A set of such terms, compiled. Immutable and safe to share between threads."""

    __slots__ = ("_engine", "_roles", "_terms", "digest")

    digest: str
    """SHA-256 in hex over all terms and conditions: the version of the set."""

    def __init__(self, terms: Iterable[ContextTerm]) -> None:
        """Raises `FilterError` where a term stands twice."""
        self._terms = tuple(sorted(terms, key=lambda term: term.text))
        if len({term.text for term in self._terms}) < len(self._terms):
            raise FilterError("a term stands twice (after normalisation); join the two")
        self.digest = hashlib.sha256(json.dumps([astuple(term) for term in self._terms]).encode()).hexdigest()
        patterns: dict[str, int] = {}
        # For each pattern: which term it is, and which terms it allows or keeps company.
        self._roles: list[tuple[int, set[int], set[int]]] = []
        for index, term in enumerate(self._terms):
            for place, words in enumerate(((term.text,), term.allowed, term.company)):
                for word in words:
                    known = patterns.setdefault(word, len(self._roles))
                    if known == len(self._roles):
                        self._roles.append((-1, set(), set()))
                    _, allows, accompanies = self._roles[known]
                    if place == 0:
                        self._roles[known] = (index, allows, accompanies)
                    else:
                        (allows if place == 1 else accompanies).add(index)
        self._engine = AhoCorasick(list(patterns), matchkind=MatchKind.Standard) if patterns else None

    def __len__(self) -> int:
        return len(self._terms)

    def find_all(self, text: str) -> list[Match]:
        """Every term whose conditions hold, in order of places in the original text."""
        if self._engine is None:
            return []
        normalised = normalise(text)
        found = self._engine.find_matches_as_indexes(normalised, overlapping=True)
        hits = [(start, end, self._roles[pattern][0]) for pattern, start, end in found if self._roles[pattern][0] >= 0]
        if not hits:
            return []
        allowed: dict[int, list[tuple[int, int]]] = {}
        company: dict[int, list[tuple[int, int, int]]] = {}
        for pattern, start, end in found:
            for index in self._roles[pattern][1]:
                allowed.setdefault(index, []).append((start, end))
            for index in self._roles[pattern][2]:
                company.setdefault(index, []).append((start, end, pattern))
        for places in company.values():
            places.sort()
        kept = [
            (start, end, index) for start, end, index in hits
            if self._holds(normalised, start, end, index, allowed.get(index, ()), company.get(index, ()))
        ]  # fmt: skip
        if not kept:
            return []
        owners = origins(text)
        matches = [
            Match(owners[start], owners[end - 1] + 1, term.class_code, term.action, term.rule)
            for start, end, index in sorted(kept) for term in (self._terms[index],)
        ]  # fmt: skip
        return matches

    def find(self, text: str) -> Match | None:
        """The first match of the strongest action, or None."""
        matches = self.find_all(text)
        strongest = {action: -place for place, action in enumerate(Action)}
        return max(matches, key=lambda match: strongest[match.action], default=None)

    def _holds(
        self,
        text: str,
        start: int,
        end: int,
        index: int,
        allowed: Sequence[tuple[int, int]],
        company: Sequence[tuple[int, int, int]],
    ) -> bool:
        term = self._terms[index]
        if term.is_whole_word and (_is_letter(text[start - 1 : start]) or _is_letter(text[end : end + 1])):
            return False
        if any(first <= start and end <= last for first, last in allowed):
            return False
        if not term.least_company:
            return True
        met: set[int] = set()
        for place in range(bisect_left(company, (start - term.reach - MAX_TERM_CHARACTERS, 0, 0)), len(company)):
            first, last, pattern = company[place]
            if first > end + term.reach:
                break
            if last >= start - term.reach and (last <= start or first >= end):
                met.add(pattern)
                if len(met) >= term.least_company:
                    return True
        return False


def _is_letter(char: str) -> bool:
    """Of a script that writes words apart: a Han neighbour does not make a longer word."""
    return bool(char) and char.isalnum() and not "\u2e80" <= char <= "\u9fff"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a list would do: to harmless texts, and to harmful ones. Rules name terms; no term is shown."""

    terms: int
    false_positives: Share
    hits: Share
    worst: tuple[tuple[str, Share], ...]
    """Rules by how many harmless texts they alone or with others would stop, the most first."""

    def as_json(self) -> dict[str, Any]:
        """For a report."""
        return {
            "terms": self.terms, "false_positives": self.false_positives.as_json(), "hits": self.hits.as_json(),
            "worst": [{"rule": rule} | share.as_json() for rule, share in self.worst],
        }  # fmt: skip


def try_out(find_all: Callable[[str], Sequence[Match]], terms: int, rows: Iterable[Row], most_rules: int = 50) -> Trial:
    """Tries a list on labelled rows before it goes live. `find_all` is that of `ContextMatcher` or `TermMatcher`; only
    what blocks or masks counts."""
    harmless = harmful = wrong = caught = 0
    by_rule: dict[str, int] = {}
    for row in rows:
        rules = {match.rule for match in find_all(row.text) if match.action is not Action.FLAG}
        if row.is_harmful:
            harmful += 1
            caught += bool(rules)
            continue
        harmless += 1
        wrong += bool(rules)
        for rule in rules:
            by_rule[rule] = by_rule.get(rule, 0) + 1
    worst = sorted(by_rule.items(), key=lambda item: (-item[1], item[0]))[:most_rules]
    return Trial(
        terms, Share(wrong, harmless), Share(caught, harmful), tuple((rule, Share(n, harmless)) for rule, n in worst)
    )
