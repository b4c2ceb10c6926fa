# SPDX-License-Identifier: Apache-2.0
"""The metrics: the table is what is shown, workers are summed, a broken source hides nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.decisions import Action, Decision, Verdict
from gateway.exchange import Exchange, Outcome
from gateway.metric_slots import SLOTS
from gateway.metrics import CONTENT_TYPE, FAMILIES, PREFIX, Family, Kind, Meters

ROOT = Path(__file__).resolve().parents[2]

WORKER = """
import sys
from pathlib import Path
from gateway.metrics import Meters
meters = Meters(Path(sys.argv[1]))
meters.requests.inc("openai_chat", "completed", by=2)
meters.exchange_duration.observe(0.2, "openai_chat")
meters.streams_open.inc()
print("counted", flush=True)
sys.stdin.readline()
"""


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of an exposition, read by Prometheus' own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_naming_rules(family: Family) -> None:
    """Lower case, unit as suffix, `_total` exactly on counters, buckets in order, no label that names a person."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
    assert (family.kind is Kind.COUNTER) == family.name.endswith("_total")
    assert family.help.endswith(".")
    assert sorted(set(family.buckets)) == list(family.buckets)
    assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM)
    assert not {"tenant", "subject", "user", "model", "le", "job", "instance"} & set(family.labels)


def test_every_family_is_shown_with_its_help_even_before_it_counts() -> None:
    """A scraper sees all names from the first scrape on, under their types."""
    text = Meters(version="1.2.3").scrape().decode()

    shown = set(re.findall(r"^# TYPE (\S+) \S+$", text, re.MULTILINE))
    assert {family.full_name for family in FAMILIES} == shown
    assert "_created" not in text
    assert 'dutybound_build_info{version="1.2.3"} 1.0' in text
    assert "dutybound_workers 1.0" in text
    assert CONTENT_TYPE.startswith("text/plain")


def test_a_scrape_shows_what_was_counted() -> None:
    """Counters, gauges and histograms come out as they went in, buckets cumulated."""
    meters = Meters()
    meters.requests.inc("openai_chat", "completed")
    meters.requests.inc("openai_chat", "completed", by=2)
    meters.audit_pending.set(7)
    meters.streams_open.inc()
    meters.streams_open.inc()
    meters.streams_open.dec()
    for value in (0.0, 1.0, 3.0, 1_000.0, -5.0):
        meters.stream_holdback.observe(value)

    seen = samples(meters.scrape())

    assert seen["dutybound_requests_total", (("outcome", "completed"), ("wire", "openai_chat"))] == 3.0
    assert seen["dutybound_audit_pending_records", ()] == 7.0
    assert seen["dutybound_streams_open", ()] == 1.0
    assert seen["dutybound_stream_holdback_chars_count", ()] == 5.0
    assert seen["dutybound_stream_holdback_chars_sum", ()] == 1_004.0
    assert seen["dutybound_stream_holdback_chars_bucket", (("le", "0.0"),)] == 2.0
    assert seen["dutybound_stream_holdback_chars_bucket", (("le", "256.0"),)] == 4.0
    assert seen["dutybound_stream_holdback_chars_bucket", (("le", "+Inf"),)] == 5.0
    assert seen["dutybound_audit_failures_total", ()] == 0.0


@given(st.lists(st.floats(0, 1e6), max_size=50))
def test_buckets_hold_as_many_values_as_are_not_larger(values: list[float]) -> None:
    """For any values: a bucket counts exactly those up to its bound."""
    meters = Meters()
    for value in values:
        meters.exchange_duration.observe(value, "w")

    seen = samples(meters.scrape())

    for (name, labels), count in seen.items():
        if name == "dutybound_exchange_duration_seconds_bucket":
            bound = float(dict(labels)["le"])
            assert sum(value <= bound for value in values) == count


def test_a_finished_exchange_is_counted_with_its_decisions() -> None:
    """One call counts the outcome, the times, the decisions, the notices and refusals of minors."""
    meters = Meters()
    exchange = Exchange("id", 100.0, "openai_chat", "/v1", outcome=Outcome.REFUSED, first_byte_at=100.5)
    exchange.decide(Decision("minors", Verdict.BLOCK, Action.REFUSE, reason="curfew"))
    exchange.decide(Decision("filter_prompt", Verdict.BLOCK, Action.REFUSE, class_="A1a"))
    exchange.notices.append({"kind": "first_contact", "text": "..."})

    meters.count_exchange(exchange, 102.0)

    seen = samples(meters.scrape())
    assert seen["dutybound_requests_total", (("outcome", "refused"), ("wire", "openai_chat"))] == 1.0
    assert seen["dutybound_exchange_duration_seconds_sum", (("wire", "openai_chat"),)] == 2.0
    assert seen["dutybound_time_to_first_byte_seconds_sum", (("wire", "openai_chat"),)] == 0.5
    assert seen["dutybound_minors_refusals_total", (("reason", "curfew"),)] == 1.0
    assert seen["dutybound_notices_total", (("kind", "first_contact"),)] == 1.0
    assert seen[
        "dutybound_decisions_total", (("action", "refuse"), ("class", "A1a"), ("duty", "filter_prompt"))
    ] == 1.0  # fmt: skip


def test_labels_on_text_are_counted_where_an_answer_of_ours_left() -> None:
    """Explicit by the decision, implicit by the object; an answer that the upstream refused carries none."""
    meters = Meters()
    for outcome in (Outcome.COMPLETED, Outcome.UPSTREAM_REFUSED):
        exchange = Exchange("id", 100.0, "openai_chat", "/v1", outcome=outcome, label={"Label": "1"})
        if outcome is Outcome.COMPLETED:
            exchange.decide(Decision("label", Verdict.PASS, Action.LABEL, reason="text"))
        meters.count_exchange(exchange, 101.0)

    seen = samples(meters.scrape())

    assert seen["dutybound_labels_applied_total", (("kind", "explicit"), ("media", "text"))] == 1.0
    assert seen["dutybound_labels_applied_total", (("kind", "implicit"), ("media", "text"))] == 1.0


def test_a_wrong_number_of_labels_is_an_error() -> None:
    """A mistake in the code shows in its first test and makes no crooked series."""
    meters = Meters()

    with pytest.raises(TypeError, match="expected 2 label values, got 1"):
        meters.requests.inc("openai_chat")
    with pytest.raises(TypeError, match="expected 1 label values, got 0"):
        meters.exchange_duration.observe(1.0)


def test_series_beyond_the_room_are_counted_as_overflow() -> None:
    """A label that is not a closed set shows in `dutybound_series_overflow_total`."""
    meters = Meters()
    for number in range(SLOTS):
        meters.requests.inc("wire", str(number))
    meters.exchange_duration.observe(0.5, "wire")

    seen = samples(meters.scrape())

    overflow = seen["dutybound_series_overflow_total", ()]
    shown = sum(name == "dutybound_requests_total" for name, _ in seen)
    assert SLOTS - shown + 1 == overflow


def test_watched_numbers_are_asked_at_the_scrape_and_a_broken_source_is_left_out() -> None:
    """A store that is away costs its own numbers, no others, and is seen."""
    meters = Meters()
    sizes = iter((10, 20))
    meters.watch("audit", lambda: {"audit_tree_size": next(sizes)})
    meters.watch("complaints", lambda: {"complaints_open": {("received",): 2.0, ("in_review",): 1.0}})

    def broken() -> dict[str, float]:
        raise OSError("away")

    meters.watch("incidents", broken)

    first, second = samples(meters.scrape()), samples(meters.scrape())

    assert (first["dutybound_audit_tree_size", ()], second["dutybound_audit_tree_size", ()]) == (10.0, 20.0)
    assert second["dutybound_complaints_open", (("state", "received"),)] == 2.0
    assert ("dutybound_incidents_open", ()) not in second
    assert second["dutybound_scrape_errors_total", (("source", "incidents"),)] == 2.0


def test_two_worker_processes_are_summed_in_one_scrape(tmp_path: Path) -> None:
    """Whichever process answers, the scrape is that of the whole server."""
    mine = Meters(tmp_path)
    mine.requests.inc("openai_chat", "completed")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "counted\n"
        seen = samples(mine.scrape())
    finally:
        for worker in workers:
            worker.communicate("")
    after = samples(mine.scrape())

    key = "dutybound_requests_total", (("outcome", "completed"), ("wire", "openai_chat"))
    assert (seen[key], after[key]) == (5.0, 5.0)
    assert seen["dutybound_exchange_duration_seconds_count", (("wire", "openai_chat"),)] == 2.0
    assert (seen["dutybound_streams_open", ()], after["dutybound_streams_open", ()]) == (2.0, 0.0)
    assert (seen["dutybound_workers", ()], after["dutybound_workers", ()]) == (3.0, 1.0)
    mine.close()


def test_every_name_has_the_prefix() -> None:
    """All samples can be found, and dropped, by one prefix."""
    meters = Meters()
    meters.operator_requests.inc("200")

    assert {PREFIX} == {name[: len(PREFIX)] for name, _ in samples(meters.scrape())}
