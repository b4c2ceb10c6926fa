# SPDX-License-Identifier: Apache-2.0
"""Completeness: what was lost before it reached the log shows up under its own name."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from audit_log import AuditLog, Entry, new_record_id
from audit_log.census import gap_report, take_census
from audit_log.commands import census

NOW = 1.8e9


def lived(home: Path, *, closed: bool = True, clock: Callable[[], float] = lambda: NOW, **counted: int) -> AuditLog:
    """A writer that wrote three records and counted itself."""
    log = AuditLog.open(home, writer="gw", clock=clock)
    for type_ in ("exchange", "exchange", "notice"):
        log.append_blocking(Entry({"id": new_record_id(), "type": type_}))
    take_census(log, counted or None)
    if closed:
        log.close()
    return log


def report_of(home: Path, **more: Any) -> dict[str, Any]:
    return json.loads(json.dumps(census(home, clock=lambda: NOW, **more)))  # type: ignore[no-any-return]


def test_a_life_in_order_has_nothing_to_tell(home: Path) -> None:
    """Two writers, both counted and ended."""
    lived(home)
    lived(home, exchange=2, notice=1)
    report = report_of(home)

    assert (report["ok"], report["lost"], report["killed"], report["unclosed"], report["records"]) == (
        True,
        0,
        [],
        0,
        12,
    )
    assert [(one["records"], one["booted"], one["ended"], one["censuses"]) for one in report["writers"]] == [
        (6, True, True, 1)
    ] * 2


def test_a_census_states_what_was_stored_before_it(home: Path) -> None:
    """And what the process counted by other means."""
    log = lived(home, closed=False, exchange=2)
    record = json.loads(next(log.store.leaves(4, 5)))
    log.close()

    assert (record["type"], record["before"]) == ("census", "4")
    assert (record["stored"], record["counted"]) == ({"boot": "1", "exchange": "2", "notice": "1"}, {"exchange": "2"})


def test_a_record_that_the_process_counted_and_the_log_has_not_is_told(home: Path) -> None:
    """Lost between the gateway's count and its append."""
    lived(home, exchange=3)
    report = report_of(home)

    assert not report["ok"]
    assert report["writers"][0]["complaints"] == [
        "census 4: the process counted 3 records of type exchange, 2 are in the log"
    ]


def test_a_missing_number_is_told(home: Path) -> None:
    """With what the census says about it. The leaf is taken out by hand, which audit verify sees too."""
    lived(home)
    with closing(sqlite3.connect(home / "audit.db")) as db:
        for index in range(2, 5):
            db.execute(
                "UPDATE leaves SET leaf = (SELECT leaf FROM leaves WHERE idx = ?) WHERE idx = ?", (index + 1, index)
            )
        db.execute("DELETE FROM leaves WHERE idx = 5")
        db.commit()
    [writer] = report_of(home)["writers"]

    assert writer["lost"] == ["2"]
    assert "2 records of type exchange were stored, 1 are in the log" in writer["complaints"][0]


def test_a_writer_that_was_killed_is_told_and_one_that_runs_is_not(home: Path) -> None:
    """By its silence."""
    log = lived(home, closed=False)
    name = log.writer
    assert gap_report(log.store, now=NOW + 60)["killed"] == []
    report = gap_report(log.store, now=NOW + 10_000)
    log.close()

    assert (report["ok"], report["killed"]) == (False, [name])


def test_an_hour_without_a_census_is_told(home: Path) -> None:
    """Where one is asked for."""
    now = [NOW - 4 * 3600]
    log = lived(home, closed=False, clock=lambda: now[0])
    now[0] = NOW
    log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    log.close()

    [writer] = report_of(home)["writers"]
    assert [text.split(" from")[0] for text in writer["complaints"]] == ["no census"]
    assert report_of(home, census_every_s=None)["ok"]


def test_numbers_go_on_behind_a_prune(long_home: Path) -> None:
    """The prune record says where; nothing counts as lost, and streams without an end are counted."""
    from audit_log.prune import prune
    from audit_log.record import TYPES
    from audit_log.retention import Retention, RetentionRule

    log = AuditLog.open(long_home, writer="desk", clock=lambda: 1.9e9)
    rules = Retention((RetentionRule("all", TYPES, 0, None, "house-1"),))
    prune(log, rules, by="ops", clock=lambda: 1.9e9, upto="allowed")
    log.append_blocking(Entry({"id": new_record_id(), "type": "open"}))
    seen: list[tuple[int, int]] = []
    report = gap_report(log.store, now=1.9e9, census_every_s=None, progress=lambda *at: seen.append(at))
    log.close()

    assert (report["minimum"], report["lost"], report["unclosed"]) == (131_072, 0, 1)
    firsts = {one["name"].split("/")[0]: one["first"] for one in report["writers"]}  # type: ignore[attr-defined]
    assert (firsts["by-hand"], firsts["gw"], firsts["desk"]) == (131_070, 2, 0)
    assert seen


def test_a_number_twice_and_a_writer_without_a_boot_are_told(home: Path) -> None:
    """Made by hand: no writer of ours does that."""
    from audit_log.interfaces import Batch
    from audit_log.record import IndexRow
    from audit_log.sqlite import SqliteStore

    store = SqliteStore(home / "audit.db", home / "audit.lock")
    for number in (0, 1, 1, 2):
        id_ = new_record_id()
        t = "2027-01-15T08:00:00.000000Z" if number < 2 else "now"
        leaf = f'{{"id":"{id_}","t":"{t}","type":"exchange","writer":"x/1","wseq":"{number}"}}'
        store.append(Batch([leaf.encode()], [IndexRow(id_, None, "exchange", 0, None, None, None, None, False)]))
    store.append(Batch([b"{}"], [IndexRow(new_record_id(), None, "exchange", 0, None, None, None, None, False)]))
    [writer] = gap_report(store, now=NOW)["writers"]  # type: ignore[misc]
    store.close()

    assert writer["complaints"] == [
        "number 1 appears again",
        "number 2 has no time",
        "there is no boot record",
    ]
