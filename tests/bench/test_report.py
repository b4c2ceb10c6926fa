# SPDX-License-Identifier: Apache-2.0
"""Figures are medians, ratios are paired, and a lane that is missing says why."""

from __future__ import annotations

from typing import Any

import pytest

from bench import report, run


def figures(rate: float, **others: float) -> dict[str, float]:
    """One measurement of plain requests."""
    usual = {"p50_ms": 1.0, "p99_ms": 2.0, "cpu_us": 10.0, "core_share": 0.5, "memory_mb": 1.0, "failed": 0.0}
    return {"requests_per_s": rate, **usual, **others}


ROUNDS = [
    {"direct": figures(100), "nginx": figures(50, p50_ms=3.0), "dutybound": figures(10)},
    {"direct": figures(10), "nginx": figures(5, p50_ms=9.0), "dutybound": figures(2)},
    {"direct": figures(80), "nginx": figures(40, p50_ms=2.0), "dutybound": figures(8, failed=3)},
]
EVENTS = {"events": 90, "expected": 100, "seconds": 2.0, "cpu_us": 10.0, "core_share": 0.1, "failed": 0}
PACED = [{"nginx": dict.fromkeys(("delay_p50_ms", "delay_p99_ms", "gap_p99_ms", "first_p50_ms"), 1.0) | EVENTS}]


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that was slow in one round was slow for both."""
    assert report.ratio(ROUNDS, "dutybound", "nginx", "requests_per_s") == pytest.approx(0.2)
    assert report.difference(ROUNDS, "nginx", "direct", "p50_ms") == 2.0
    assert report.medians(ROUNDS, "nginx")["requests_per_s"] == 40


def test_a_lane_that_did_not_run_gives_no_ratio() -> None:
    """Nothing is compared with nothing."""
    assert report.ratio(ROUNDS, "dutybound", "litellm", "requests_per_s") is None
    assert report.difference(ROUNDS, "dutybound", "litellm", "p50_ms") is None
    assert report.plain_summary(ROUNDS, [], "nginx")["single_added_p50_ms"] is None


def test_failures_and_missing_events_are_summed() -> None:
    """One bad round of three shows."""
    assert report.plain_summary(ROUNDS, ROUNDS, "dutybound")["failed"] == 3
    paced = report.paced_summary(PACED, "nginx")
    assert (paced["events_missing"], paced["events_per_s"]) == (10, 45)


def results(**lane: Any) -> dict[str, Any]:
    """Results with a lane of ours."""
    plain, paced = report.plain_summary(ROUNDS[:2], ROUNDS, "dutybound"), report.paced_summary(PACED, "nginx")
    ours = {
        "about": "ours",
        "plain": plain,
        "paced": {**paced, "events_missing": 0},
        "proofs": {"labelled": True},
        **lane,
    }
    described = {
        "connections": 64,
        "rounds": 3,
        "seconds": 3,
        "streams": 50,
        "interval_ms": 20,
        "load": "wrk",
        "model": "nginx",
        "cores": {"server": 0, "upstream": 1, "load": 1},
        "notes": ["a note"],
    }
    return {"run": described, "lanes": {"litellm": {"unavailable": "no index"}, "dutybound": ours}}


def test_the_table_shows_what_was_measured_and_why_a_lane_is_missing() -> None:
    """A lane whose tool cannot be had says so, twice, once below each table."""
    records = {"holds": True, "count": 12, "answered": 12, "seconds": 1}
    text = report.text(results(records=records))
    assert text.count("litellm: not measured: no index") == 2
    assert "| dutybound |" in text and "note: a note" in text and "12 records for 12 plain answers verify" in text


def test_a_lane_that_was_not_the_limit_is_noted() -> None:
    """Requests/s of a server that waited say too little of it, and the reader is told."""
    plain = report.plain_summary(ROUNDS, ROUNDS, "dutybound")
    assert "dutybound used 50% of its core" in report.text(results())
    assert "of its core in the plain" not in report.text(results(plain={**plain, "core_share": 0.95}))


def test_a_duty_that_was_off_is_said_aloud() -> None:
    """No figure stands without what it is a figure of."""
    assert "NOT ALL DUTIES WERE ON: labelled" in report.text(results(proofs={"labelled": False}))


@pytest.mark.parametrize(
    ("lane", "sound"),
    [
        ({}, True),
        ({"proofs": {"labelled": False}}, False),
        ({"records": {"holds": False}}, False),
        ({"plain": {"failed": 1}}, False),
        ({"unavailable": "x"}, False),
    ],
)
def test_a_run_is_sound_only_with_all_duties_and_no_failure(lane: dict[str, Any], sound: bool) -> None:
    """The exit status of `make bench` means something."""
    assert run.is_sound(results(**lane)) is sound
    assert run.is_sound({"lanes": {"direct": {}}})
