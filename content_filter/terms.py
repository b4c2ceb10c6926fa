# SPDX-License-Identifier: Apache-2.0
"""Term files: what an operator lists by hand.

Format: UTF-8, a byte order mark is tolerated; one term a line, then a tab and a class code of `taxonomy.CLASSES`, then
optionally a tab and an action (`block` when absent). Empty lines and lines that start with `#` are skipped; a term that
itself starts with `#` is written with the full-width `＃`, which is the same character after normalisation.

What must hold: a bad line is refused with file and line number, never skipped; a text that contains a term as it is
written in the file, or composed or decomposed by Unicode (NFKC, NFKD), contains one of the term's patterns once both
are normalised; two sets with the same digest have the same patterns, classes and actions. Errors and rule ids never
show a term.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from content_filter.errors import FilterError
from content_filter.normalise import normalise
from content_filter.taxonomy import CLASSES

MAX_TERM_CHARACTERS = 256
"""Longest term after normalisation. A stream is held back at most this far behind, and a longer entry is no term."""


class Action(StrEnum):
    """What a term asks for when it is found, strongest first."""

    BLOCK = "block"
    """Stop: nothing of the match and nothing after it leaves."""
    MASK = "mask"
    """Replace the match and go on."""
    FLAG = "flag"
    """Report it and let it pass."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term in normal form, what it means and what it asks for.

    `rule` names the term in verdicts and records: `term:` and the first 8 hex digits of the SHA-256 of the normal form.
    `patterns` are the normalised spellings to look for; the first is `normalised` itself.
    """

    normalised: str
    class_code: str
    action: Action
    rule: str
    patterns: tuple[str, ...]


def _term(written: str, class_code: str, action: str) -> Term:
    """Builds a term; `FilterError` without any place, which the caller adds."""
    if class_code not in CLASSES:
        raise FilterError("unknown class code; expected one of the 31 classes, A1a to A5b, or INJ")
    if action not in tuple(Action):
        raise FilterError("unknown action; expected block, mask or flag")
    spellings = (unicodedata.normalize("NFKC", written), written, unicodedata.normalize("NFKD", written))
    # A dictionary keeps the order and drops what is the same after all.
    patterns = tuple(dict.fromkeys(filter(None, (normalise(spelling).strip(" ") for spelling in spellings))))
    if not patterns:
        raise FilterError("the term is empty after normalisation; remove the line or write visible characters")
    if max(map(len, patterns)) > MAX_TERM_CHARACTERS:
        raise FilterError(f"the term is longer than {MAX_TERM_CHARACTERS} characters after normalisation; shorten it")
    digest = hashlib.sha256(patterns[0].encode()).hexdigest()
    return Term(patterns[0], class_code, Action(action), f"term:{digest[:8]}", patterns)


def _entries(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Place, term, class and action of each line that has them."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FilterError(f"{path}: the term file cannot be read ({error.strerror or 'unknown error'})") from error
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        place = f"{path}:{number}"
        try:
            fields = line.decode("utf-8").removesuffix("\r").split("\t")
        except UnicodeDecodeError as error:
            # Not chained: the original error carries the line's bytes.
            raise FilterError(
                f"{place}: not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8"
            ) from None
        if fields[0].startswith("#") or not "".join(fields).strip():
            continue
        if len(fields) not in (2, 3):
            raise FilterError(
                f"{place}: expected term, tab, class and optionally tab, action; got {len(fields)} fields"
            )
        action = fields[2].strip() if len(fields) == 3 else ""
        yield place, fields[0], fields[1].strip(), action or Action.BLOCK


def _merged(entries: Iterable[tuple[str, str, str, str]]) -> Iterator[Term]:
    """Terms of (place, term, class, action): repetitions are merged, contradictions refused."""
    found: dict[str, tuple[Term, str]] = {}
    for place, written, class_code, action in entries:
        try:
            term = _term(written, class_code, action)
        except FilterError as error:
            raise FilterError(f"{place}: {error}") from None
        known, known_place = found.setdefault(term.normalised, (term, place))
        if (known.class_code, known.action) != (term.class_code, term.action):
            raise FilterError(
                f"{place}: the term of {known_place} again (after normalisation), there as "
                f"{known.class_code} {known.action}, here as {term.class_code} {term.action}; keep one of the two"
            )
        if known.patterns != term.patterns:  # the same term in another spelling: look for that one as well
            patterns = tuple(dict.fromkeys(known.patterns + term.patterns))
            found[term.normalised] = (replace(known, patterns=patterns), known_place)
    return (term for term, _ in found.values())


class TermSet:
    """Terms without doubles, in the order of their normal forms. Immutable."""

    __slots__ = ("digest", "terms")

    terms: tuple[Term, ...]
    digest: str
    """SHA-256 in hex over the sorted patterns with class and action: the version of the set."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self.terms = tuple(sorted(terms, key=lambda term: term.normalised))
        lines = (f"{pattern}\t{term.class_code}\t{term.action}\n" for term in self.terms for pattern in term.patterns)
        self.digest = hashlib.sha256("".join(lines).encode()).hexdigest()

    @classmethod
    def load(cls, paths: Iterable[str | Path]) -> "TermSet":
        """Reads term files in the order given. Raises `FilterError` naming file and line of the first bad entry."""
        return cls(_merged(entry for path in paths for entry in _entries(Path(path))))

    @classmethod
    def of(cls, *entries: tuple[str, str] | tuple[str, str, str]) -> "TermSet":
        """A set from pairs (term, class code) or triples (term, class code, action), for callers that have no file."""
        return cls(
            _merged(
                (f"entry {number}", entry[0], entry[1], entry[2] if len(entry) == 3 else Action.BLOCK)
                for number, entry in enumerate(entries, start=1)
            )
        )

    def only(self, class_codes: Iterable[str]) -> "TermSet":
        """The terms of these classes alone."""
        wanted = frozenset(class_codes)
        return TermSet(term for term in self.terms if term.class_code in wanted)

    def __len__(self) -> int:
        return len(self.terms)
