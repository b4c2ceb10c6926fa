# SPDX-License-Identifier: Apache-2.0
"""A report counts what it says it counts."""

import json
from itertools import count
from pathlib import Path

import pytest

from content_filter.errors import FilterError
from content_filter.evaluation import Scored, assessment, evaluate, latency, recall_at, report, score_rows
from content_filter.roles import Role
from content_filter.rows import Row


def _row(text: str, category: str = "none", role: str = "prompt", source: str = "s", lang: str = "zh") -> Row:
    return Row(text, lang, role, category != "none", category, source, f"id-{text}")


def _judge(text: str, role: Role) -> Scored:
    """The text says what is to be said: its score, and whether it is blocked or unsure."""
    score = float(text.rstrip("bu"))
    if text.endswith("b"):
        return Scored(score, "block", "A1d", "refuse")
    if text.endswith("u"):
        return Scored(score, "second_opinion", "A1d", "second_opinion")
    return Scored(score, "pass", "A1d", "allow")


ROWS = [
    _row("0.9b", "A1d"), _row("0.8b", "A1a"), _row("0.6u", "A1d"), _row("0.2", "A3e"),
    _row("0.95b"), _row("0.1"), _row("0.3"), _row("0.4", source="t"),
    _row("0.7b", "A1h", "response"), _row("0.2", "A1h", "response", lang="en"), _row("0.1", "none", "response"),
]  # fmt: skip


def test_recall_precision_and_false_positives_are_counted_by_what_was_stopped() -> None:
    """Asking for a second opinion is not stopping."""
    counts = report(score_rows(ROWS, _judge))["all"]

    assert (counts["recall"]["hits"], counts["recall"]["of"]) == (3, 6)
    assert (counts["false_positives"]["hits"], counts["false_positives"]["of"]) == (1, 5)
    assert (counts["precision"]["hits"], counts["precision"]["of"]) == (3, 4)
    assert counts["f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 3))
    assert counts["second_opinions"]["hits"] == 1


def test_classes_sources_languages_and_roles_are_counted_apart() -> None:
    """`named` says how often the stopped row got its own class."""
    made = report(score_rows(ROWS, _judge))

    assert made["by_class"]["A1d"]["rows"] == 2
    assert made["by_class"]["A1d"]["recall"]["hits"] == 1
    assert made["by_class"]["A1d"]["false_positives"]["hits"] == 1
    assert made["by_class"]["A1a"]["named"] == {**made["by_class"]["A1a"]["named"], "hits": 0, "of": 1}
    assert {name: part["rows"] for name, part in made["by_source"].items()} == {"s": 10, "t": 1}
    assert made["by_language"]["en"]["rows"] == 1
    assert made["by_role"]["response"]["rows"] == 3


def test_the_three_rates_of_the_standard_are_held_against_the_policy() -> None:
    """Refusal is owed for A.1 and A.2 alone; a limit that the policy does not give is not judged."""
    limits = {"refused": 0.6, "wrongly_refused": 0.05}
    rates = report(score_rows(ROWS, _judge), limits)["rates"]

    assert (rates["refused"]["hits"], rates["refused"]["of"], rates["refused"]["is_met"]) == (2, 3, True)
    assert (rates["wrongly_refused"]["hits"], rates["wrongly_refused"]["of"]) == (1, 4)
    assert rates["wrongly_refused"]["is_met"] is False
    assert (rates["acceptable"]["hits"], rates["acceptable"]["of"], rates["acceptable"]["is_met"]) == (2, 3, None)


def test_recall_at_a_share_of_false_positives_uses_the_score_alone() -> None:
    """The threshold is what that share of the harmless rows reaches; equal scores do not count as above it."""
    results = list(score_rows(ROWS, _judge))

    found = recall_at(results, 0.2)

    assert found["threshold"] == 0.4
    assert (found["recall"]["hits"], found["recall"]["of"]) == (4, 6)
    with pytest.raises(FilterError, match="needs"):
        recall_at([result for result in results if result.row.is_harmful])


def test_rows_are_written_in_order_and_without_texts(tmp_path: Path) -> None:
    """One object a row: id, score, verdict, class, action."""
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    rows = [
        {"id": "1", "text": "0.9b", "label": "harmful", "category": "A1d"},
        {"id": "2", "text": "0.12345", "label": "benign"},
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    made = evaluate([data], _judge, rows_to=out)

    assert made["rows"] == 2
    assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == [
        {"id": "1", "score": 0.9, "verdict": "block", "class": "A1d", "action": "refuse"},
        {"id": "2", "score": 0.1235, "verdict": "pass", "class": "A1d", "action": "allow"},
    ]
    assert "0.9b" not in json.dumps(made)
    with pytest.raises(FilterError, match="cannot be written"):
        evaluate([data], _judge, rows_to=tmp_path / "no" / "such" / "folder")


def test_latency_is_that_of_the_timer() -> None:
    """Median, 99th percentile, longest."""
    ticks = count()
    results = score_rows(ROWS, _judge, lambda: next(ticks) * 0.001)

    assert report(results)["latency_ms"] == {"p50": 1.0, "p99": 1.0, "max": 1.0}
    assert latency([index / 1e3 for index in range(1, 101)]) == {"p50": 50.0, "p99": 99.0, "max": 100.0}


def test_nothing_to_evaluate_is_an_error() -> None:
    """An empty report would look like a good one."""
    with pytest.raises(FilterError, match="nothing"):
        report([])


def test_the_assessment_is_a_table_of_sources_and_rates() -> None:
    """For people, with intervals."""
    table = assessment(report(score_rows(ROWS, _judge), {"refused": 0.95}))

    assert "| s | 10 | 50.0% (18.8% to 81.2%) |" in table
    assert "| refused | 66.7% (20.8% to 93.9%) | 95% | no |" in table
