# SPDX-License-Identifier: Apache-2.0
"""From rounds to a table: medians, what a lane adds to the direct way, and ratios to nginx and LiteLLM.

Ratios are taken within a round and then their median: lanes of one round ran within seconds of each other, so that a
machine that is slow for a while is slow for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Round = Mapping[str, Mapping[str, float]]
"""What one round measured: lane, then figure."""

SATURATED = 0.85
"""Share of its core from which a server counts as being the limit itself."""


def medians(rounds: Sequence[Round], lane: str) -> dict[str, float]:
    """The median of each figure of a lane over the rounds that have it."""
    own = [entry[lane] for entry in rounds if lane in entry]
    return {key: median(figures[key] for figures in own) for key in (own[0] if own else ())}


def difference(rounds: Sequence[Round], lane: str, other: str, key: str) -> float | None:
    """The median of what `lane` has more than `other` in a round; None where they never ran together."""
    pairs = [entry[lane][key] - entry[other][key] for entry in rounds if lane in entry and other in entry]
    return median(pairs) if pairs else None


def ratio(rounds: Sequence[Round], lane: str, other: str, key: str) -> float | None:
    """The median of `lane` divided by `other` in a round; None where they never ran together or `other` is zero."""
    pairs = [
        entry[lane][key] / entry[other][key] for entry in rounds if _both(entry, lane, other) and entry[other][key]
    ]
    return median(pairs) if pairs else None


def _both(entry: Round, lane: str, other: str) -> bool:
    return lane in entry and other in entry


def plain_summary(rounds: Sequence[Round], single: Sequence[Round], lane: str) -> dict[str, float | None]:
    """The figures of a lane at many connections (`rounds`) and at one (`single`)."""
    own = medians(rounds, lane)
    return {
        "requests_per_s": own["requests_per_s"],
        "of_nginx": ratio(rounds, lane, "nginx", "requests_per_s"),
        "times_litellm": ratio(rounds, lane, "litellm", "requests_per_s"),
        "p50_ms": own["p50_ms"],
        "p99_ms": own["p99_ms"],
        "added_p50_ms": difference(rounds, lane, "direct", "p50_ms"),
        "added_p99_ms": difference(rounds, lane, "direct", "p99_ms"),
        "single_added_p50_ms": difference(single, lane, "direct", "p50_ms"),
        "single_added_p99_ms": difference(single, lane, "direct", "p99_ms"),
        "cpu_us_per_request": own["cpu_us"],
        "cpu_of_nginx": ratio(rounds, lane, "nginx", "cpu_us"),
        "core_share": own["core_share"],
        "memory_mb": own["memory_mb"],
        "failed": sum(entry[lane]["failed"] for entry in rounds if lane in entry),
    }


def paced_summary(rounds: Sequence[Round], lane: str) -> dict[str, float | None]:
    """The figures of a lane with paced streams."""
    own = medians(rounds, lane)
    return {
        "events_per_s": own["events"] / own["seconds"],
        "events_missing": sum(entry[lane]["expected"] - entry[lane]["events"] for entry in rounds if lane in entry),
        "cpu_us_per_event": own["cpu_us"],
        "cpu_of_nginx": ratio(rounds, lane, "nginx", "cpu_us"),
        "delay_p50_ms": own["delay_p50_ms"],
        "delay_p99_ms": own["delay_p99_ms"],
        "added_delay_p50_ms": difference(rounds, lane, "direct", "delay_p50_ms"),
        "added_delay_p99_ms": difference(rounds, lane, "direct", "delay_p99_ms"),
        "gap_p99_ms": own["gap_p99_ms"],
        "added_gap_p99_ms": difference(rounds, lane, "direct", "gap_p99_ms"),
        "first_p50_ms": own["first_p50_ms"],
        "core_share": own["core_share"],
        "failed": sum(entry[lane]["failed"] for entry in rounds if lane in entry),
    }


_PLAIN_COLUMNS = (
    ("requests/s", "requests_per_s", "{:,.0f}"),
    ("of nginx", "of_nginx", "{:.3f}"),
    ("x LiteLLM", "times_litellm", "{:.1f}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("added p50", "added_p50_ms", "{:+.2f}"),
    ("added p99", "added_p99_ms", "{:+.2f}"),
    ("1 conn. added p50", "single_added_p50_ms", "{:+.3f}"),
    ("1 conn. added p99", "single_added_p99_ms", "{:+.3f}"),
    ("CPU us/request", "cpu_us_per_request", "{:,.0f}"),
    ("CPU of nginx", "cpu_of_nginx", "{:.1f}"),
    ("of its core", "core_share", "{:.0%}"),
    ("memory MB", "memory_mb", "{:,.0f}"),
    ("failed", "failed", "{:.0f}"),
)
_PACED_COLUMNS = (
    ("events/s", "events_per_s", "{:,.0f}"),
    ("missing", "events_missing", "{:.0f}"),
    ("CPU us/event", "cpu_us_per_event", "{:,.0f}"),
    ("CPU of nginx", "cpu_of_nginx", "{:.2f}"),
    ("delay p50 ms", "delay_p50_ms", "{:.2f}"),
    ("added p50", "added_delay_p50_ms", "{:+.2f}"),
    ("added p99", "added_delay_p99_ms", "{:+.2f}"),
    ("gap p99 ms", "gap_p99_ms", "{:.2f}"),
    ("added gap p99", "added_gap_p99_ms", "{:+.2f}"),
    ("first event ms", "first_p50_ms", "{:.1f}"),
    ("of its core", "core_share", "{:.0%}"),
    ("failed", "failed", "{:.0f}"),
)


def table(columns: Sequence[tuple[str, str, str]], rows: Mapping[str, Mapping[str, float | None] | str]) -> str:
    """A Markdown table; a row that is a text says why the lane has no figures."""
    cells = [["lane", *(title for title, _, _ in columns)]]
    notes = []
    for lane, figures in rows.items():
        if isinstance(figures, str):
            notes.append(f"{lane}: not measured: {figures}")
            continue
        shown = (figures.get(key) for _, key, _ in columns)
        cells.append(
            [
                lane,
                *(
                    "" if value is None else form.format(value)
                    for value, (_, _, form) in zip(shown, columns, strict=True)
                ),
            ]
        )
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return "\n".join([*lines, *notes])


def text(results: Mapping[str, Any]) -> str:
    """The whole report for people."""
    lanes = results["lanes"]
    run = results["run"]
    plain = {name: lane.get("unavailable") or lane["plain"] for name, lane in lanes.items()}
    paced = {name: lane.get("unavailable") or lane["paced"] for name, lane in lanes.items()}
    parts = [
        f"Plain: {run['connections']} connections, {run['rounds']} rounds of {run['seconds']} s, medians",
        table(_PLAIN_COLUMNS, plain),
        "",
        f"Paced: {run['streams']} streams of an event every {run['interval_ms']} ms, {run['rounds']} rounds, medians",
        table(_PACED_COLUMNS, paced),
        "",
        *(f"{name}: {lane['about']}" for name, lane in lanes.items() if "about" in lane),
        f"load: {run['load']}; plain model: {run['model']}",
        f"cores: server {run['cores']['server']}, models {run['cores']['upstream']}, load {run['cores']['load']}",
    ]
    for name, lane in lanes.items():
        if missing := [proof for proof, holds in lane.get("proofs", {}).items() if not holds]:
            parts.append(f"{name}: NOT ALL DUTIES WERE ON: {', '.join(missing)}")
        if "records" in lane:
            found = lane["records"]
            verdict = "verify" if found["holds"] else "DO NOT VERIFY"
            parts.append(
                f"{name}: {found['count']:,} records for {found['answered']:,} plain answers {verdict}"
                f" ({found['seconds']} s)"
            )
        if 0 < lane.get("plain", {}).get("core_share", 0) < SATURATED:
            parts.append(
                f"note: {name} used {lane['plain']['core_share']:.0%} of its core in the plain rounds: something else"
                " was the limit, so it could do more requests/s than shown; CPU a request compares fairly"
            )
    parts.extend(f"note: {note}" for note in run["notes"])
    return "\n".join(parts)
