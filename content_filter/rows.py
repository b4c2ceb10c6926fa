# SPDX-License-Identifier: Apache-2.0
"""Labelled rows to learn from and to measure on: one JSON object a line.

Needed are `text` and `label` (harmful or benign); `lang` (zh, zh-Hant, en), `role` (prompt or response), `category`
(a class code, or none), `source`, `id`, `weak`, `transform`, and `bank` and `subject` of a question bank
(`question_bank`) are read where they stand. What must hold: a line that is not such an object raises `FilterError`
naming file and line, and never shows the text.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from content_filter.errors import FilterError


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text. `category` is a class code for a harmful row and `none` for a harmless one."""

    text: str
    lang: str
    role: str
    is_harmful: bool
    category: str
    source: str
    id: str = ""
    is_weak: bool = False
    transform: str = ""
    bank: str = ""
    subject: str = ""


def read_rows(paths: Iterable[str | Path]) -> Iterator[Row]:
    """Rows of the files in order. Raises `FilterError` naming file and line of the first bad one."""
    for path in map(Path, paths):
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield _row(line, f"{path}:{number}", path.stem)
        except OSError as error:
            raise FilterError(f"{path}: cannot be read ({error.strerror or 'unknown error'})") from error


def _row(line: bytes, place: str, source: str) -> Row:
    try:
        value = json.loads(line)
    except ValueError:
        raise FilterError(f"{place}: not a JSON object in UTF-8") from None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise FilterError(f'{place}: expected an object with a "text"')
    if value.get("label") not in ("harmful", "benign"):
        raise FilterError(f'{place}: expected "label" to be harmful or benign')
    is_harmful = value["label"] == "harmful"
    return Row(
        text=value["text"],
        # Words that few rows do not share are kept once: an evaluation holds millions of rows.
        lang=sys.intern(str(value.get("lang", ""))),
        role=sys.intern(str(value.get("role", "prompt"))),
        is_harmful=is_harmful,
        category=sys.intern(str(value.get("category", "none")) if is_harmful else "none"),
        source=sys.intern(str(value.get("source", source))),
        id=str(value.get("id", "")),
        is_weak=bool(value.get("weak", False)),
        transform=str(value.get("transform", "")),
        bank=sys.intern(str(value.get("bank", ""))),
        subject=sys.intern(str(value.get("subject", ""))),
    )
