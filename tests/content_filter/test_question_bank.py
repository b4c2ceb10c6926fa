# SPDX-License-Identifier: Apache-2.0
"""A bank is enough where every class and subject has its questions, and not a question less."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from content_filter.errors import FilterError
from content_filter.question_bank import BankSizes, check_banks
from content_filter.taxonomy import CLASSES

SIZES = BankSizes(70, 3, 1, 40, 2, 8, 2, ("history", "health", "age"))
OWED = [code for code, kind in CLASSES.items() if kind.must_refuse]
OTHERS = [code for code in CLASSES if code not in OWED and code != "INJ"]

Question = dict[str, str]


def _question(bank: str, text: str, category: str = "none", subject: str = "") -> Question:
    return {
        "text": text, "label": "benign" if category == "none" else "harmful", "category": category, "bank": bank,
        "subject": subject,
    }  # fmt: skip


def _enough() -> list[Question]:
    found = [_question("content", f"{code} {copy}", code) for code in OWED for copy in range(4)]
    found += [_question("content", f"{code}", code) for code in OTHERS]
    found += [_question("refuse", f"{code} {copy}", code) for code in OWED for copy in range(3)]
    return found + [_question("allow", f"{word} {copy}", subject=word) for word in SIZES.subjects for copy in range(3)]


def _file(folder: Path, questions: Iterable[Question]) -> Path:
    path = folder / "bank.jsonl"
    path.write_text("".join(json.dumps(question) + "\n" for question in questions), "utf-8")
    return path


def test_a_bank_with_every_kind_of_question_is_enough(tmp_path: Path) -> None:
    """All three banks in one file; the report has no text."""
    found = check_banks([_file(tmp_path, _enough())], SIZES)

    assert found["is_enough"] and found["doubles"] == 0
    assert {name: part["questions"] for name, part in found["banks"].items()} == {
        "content": 4 * 17 + 14, "refuse": 51, "allow": 9,
    }  # fmt: skip
    assert "A1a 0" not in json.dumps(found)


def test_what_is_missing_is_named_with_its_number(tmp_path: Path) -> None:
    """A class, a subject, or the total; the same text twice is one question."""
    questions = [item for item in _enough() if not (item["bank"] == "refuse" and item["category"] == "A2c")]
    questions = [item for item in questions if item["subject"] != "age"]
    questions += [_question("refuse", " A1a 0 ", "A1a")] * 5

    found = check_banks([_file(tmp_path, questions)], SIZES)

    assert not found["is_enough"] and found["doubles"] == 5
    assert found["banks"]["refuse"]["short"] == {"A2c": 2}
    assert found["banks"]["allow"]["short"] == {"age": 2, "total": 2}
    assert found["banks"]["content"]["short"] == {}


@pytest.mark.parametrize(
    "question",
    [
        _question("", "x", "A1a"),
        _question("content", "x", "INJ"),
        _question("content", "x"),
        _question("refuse", "x", "A3a"),
        _question("allow", "x", "A1a", "history"),
        _question("allow", "x", subject="weather"),
    ],
)
def test_a_row_that_fits_no_bank_is_refused_by_its_number(question: Question, tmp_path: Path) -> None:
    """And its text is not shown."""
    with pytest.raises(FilterError, match=r"^row 1: ") as raised:
        check_banks([_file(tmp_path, [question])], SIZES)
    assert "x" not in str(raised.value).replace("expected", "")
