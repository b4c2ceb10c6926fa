# SPDX-License-Identifier: Apache-2.0
"""Labelled rows are read as they stand, and a bad line is refused by its place."""

import json
from pathlib import Path

import pytest

from content_filter.errors import FilterError
from content_filter.rows import Row, read_rows


def _file(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_all_fields_are_read_and_missing_ones_have_a_meaning(tmp_path: Path) -> None:
    """Only text and label are needed; a harmless row has no class whatever stands in it."""
    full = {
        "id": "1", "text": "a", "lang": "zh", "role": "response", "label": "harmful", "category": "A1a",
        "source": "s", "weak": True, "transform": "leet", "licence": "MIT",
    }  # fmt: skip
    path = _file(tmp_path, full, "\n", {"text": "b", "label": "benign", "category": "A1a"})

    assert list(read_rows([path])) == [
        Row("a", "zh", "response", True, "A1a", "s", "1", True, "leet"),
        Row("b", "", "prompt", False, "none", "rows"),
    ]


@pytest.mark.parametrize(
    "line",
    ["secret\n", '["secret"]\n', '{"text": 5, "label": "benign"}\n', '{"text": "secret"}\n',
     '{"text": "secret", "label": "bad"}\n'],
)  # fmt: skip
def test_a_bad_line_is_refused_by_place_without_its_text(tmp_path: Path, line: str) -> None:
    """File and number are enough to find it."""
    path = _file(tmp_path, {"text": "b", "label": "benign"}, line)

    with pytest.raises(FilterError, match=r"rows\.jsonl:2") as caught:
        list(read_rows([path]))

    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(FilterError, match="cannot be read"):
        list(read_rows([tmp_path / "none.jsonl"]))
