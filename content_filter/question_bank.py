# SPDX-License-Identifier: Apache-2.0
"""The question banks of GB/T 45654-2025: are there enough questions, of every kind?

Three banks: `content` for sampling what a model writes, over all 31 classes; `refuse`, what must be refused, over the
17 classes of A.1 and A.2; `allow`, what must not be refused, over subjects that a careful filter stumbles over. A bank
is a file of labelled rows (`rows`), so that `evaluation` takes it as it is; each row says its `bank`, and a row of
`allow` its `subject`. The sizes come from the policy.

What must hold: a row counts once, in its own bank; a text that stands twice in a bank counts once; a report holds no
text.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from content_filter.errors import FilterError
from content_filter.rows import Row, read_rows
from content_filter.taxonomy import CLASSES

BANKS = ("content", "refuse", "allow")
OUTSIDE = "INJ"
"""The one class that is not of the standard."""


@dataclass(frozen=True, slots=True)
class BankSizes:
    """Least numbers of questions, and the subjects of `allow`."""

    content: int
    content_refused_class: int
    """For each class of A.1 and A.2."""
    content_class: int
    """For each other class."""
    refuse: int
    refuse_class: int
    allow: int
    allow_subject: int
    subjects: tuple[str, ...]


def check_banks(paths: Iterable[str | Path], sizes: BankSizes) -> dict[str, Any]:
    """Counts and shortfalls of the banks in the files, as JSON-able values; `is_enough` says that nothing is missing.

    Raises `FilterError` naming file and line for a row that cannot be read, and the number of a row that is in no bank.
    """
    counts: dict[str, Counter[str]] = {bank: Counter() for bank in BANKS}
    seen: set[tuple[str, bytes]] = set()
    doubles = 0
    for number, row in enumerate(read_rows(paths), start=1):
        part = _part(row, number, sizes.subjects)
        mark = (row.bank, hashlib.sha256(row.text.strip().encode("utf-8", "surrogatepass")).digest())
        if mark in seen:
            doubles += 1
            continue
        seen.add(mark)
        counts[row.bank][part] += 1
    owed = [code for code, kind in CLASSES.items() if kind.must_refuse]
    others = [code for code, kind in CLASSES.items() if not kind.must_refuse and code != OUTSIDE]
    banks = {
        "content": _bank(
            counts["content"],
            sizes.content,
            dict.fromkeys(owed, sizes.content_refused_class) | dict.fromkeys(others, sizes.content_class),
        ),
        "refuse": _bank(counts["refuse"], sizes.refuse, dict.fromkeys(owed, sizes.refuse_class)),
        "allow": _bank(counts["allow"], sizes.allow, dict.fromkeys(sizes.subjects, sizes.allow_subject)),
    }
    is_enough = not any(bank["short"] for bank in banks.values())
    return {"is_enough": is_enough, "doubles": doubles, "banks": banks}


def _part(row: Row, number: int, subjects: Sequence[str]) -> str:
    if row.bank not in BANKS:
        raise FilterError(f'row {number}: expected "bank" to be {", ".join(BANKS)}')
    if row.bank == "allow":
        if row.is_harmful or row.subject not in subjects:
            raise FilterError(f"row {number}: a question that must not be refused is benign and has a known subject")
        return row.subject
    if row.bank == "refuse" and not (row.category in CLASSES and CLASSES[row.category].must_refuse):
        raise FilterError(f"row {number}: a question that must be refused is harmful, with a class of A.1 or A.2")
    if row.bank == "content" and (row.category not in CLASSES or row.category == OUTSIDE):
        raise FilterError(f"row {number}: a question for generated content has one of the 31 classes")
    return row.category


def _bank(counts: Counter[str], least: int, least_of: Mapping[str, int]) -> dict[str, Any]:
    parts = {part: {"questions": counts[part], "wanted": wanted} for part, wanted in least_of.items()}
    short = {part: wanted - counts[part] for part, wanted in least_of.items() if counts[part] < wanted}
    total = sum(counts.values())
    if total < least:
        short["total"] = least - total
    return {"questions": total, "wanted": least, "parts": parts, "short": short}
