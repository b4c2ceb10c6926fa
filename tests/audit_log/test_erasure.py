# SPDX-License-Identifier: Apache-2.0
"""Requests to be forgotten: what is stronger comes first, and nothing is forgotten about them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_log import AuditLog, BodyErased, Entry, new_record_id, verify_home
from audit_log.erasure import (
    ErasureRefused,
    decide,
    erasure_report,
    pending_requests,
    request_erasure,
    run_queue,
)
from audit_log.holds import Approval, HoldScope, propose_hold, step_hold
from audit_log.retention import Retention, RetentionRule

NOW = 1.8e9
DAY = 86_400
NONE = Retention(())
MONTH = Retention((RetentionRule("bodies", frozenset({"exchange"}), 0, None, "article-9", body_minimum_days=30),))
LEGAL, OFFICER = Approval("anna", "legal"), Approval("bert", "officer")
CANARY = b"canary-5c1f"


@pytest.fixture
def log(home: Path) -> Iterator[AuditLog]:
    now = [NOW - 60 * DAY]
    opened = AuditLog.open(home, writer="gw", clock=lambda: now[0])
    for day in (60, 40, 10):
        now[0] = NOW - day * DAY
        fields = {"id": new_record_id(), "type": "exchange", "tenant": "t"}
        opened.append_blocking(Entry(fields, "person-p", CANARY))
        opened.append_blocking(Entry({**fields, "id": new_record_id()}, "person-q", b"other"))
    now[0] = NOW
    yield opened
    opened.close()


def asked(log: AuditLog, retention: Retention = NONE, subject: str = "person-p", now: float = NOW) -> dict[str, object]:
    return request_erasure(log, "t", subject, basis="pipl-47", by="desk", retention=retention, now=now)


def test_a_request_that_nothing_stands_against_is_done_at_once(log: AuditLog) -> None:
    """Keys, bodies and pseudonym go; the record of it names the keys; everything else stays."""
    ids = [found.row.id for found in log.search(subject="person-p").rows]
    outcome = asked(log)

    assert (outcome["state"], outcome["bodies"], outcome["kept"]) == ("done", 3, 0)
    assert len(outcome["keys"]) == 1  # type: ignore[arg-type]
    assert [log.body(id_) for id_ in ids] == [None] * 3
    assert log.search(subject="person-p").rows == ()
    assert len(log.store.subject_bodies("t", "person-q")) == 3
    assert pending_requests(log.store) == []
    assert verify_home(Path(log.folder.root).parent).ok


def test_no_leaf_of_it_names_the_person_and_no_file_keeps_the_text(log: AuditLog, home: Path) -> None:
    """Looked for in every file after the log was closed."""
    asked(log)
    log.close()

    for path in home.rglob("*"):
        if path.is_file():
            assert b"person-p" not in path.read_bytes(), path.name
            assert CANARY not in path.read_bytes(), path.name


def test_a_hold_comes_first_and_the_request_runs_when_it_is_lifted(log: AuditLog) -> None:
    """By subject, tenant or time; meanwhile nothing is erased."""
    hold = propose_hold(log, HoldScope(subject="person-p"), "case-1", LEGAL)
    outcome = asked(log)
    assert (outcome["state"], outcome["standing"], outcome["because"]) == ("waiting", "hold", [hold.id])
    assert (outcome["bodies"], outcome["kept"]) == (0, 3)
    assert [one.subject for one in pending_requests(log.store)] == ["person-p"]
    assert run_queue(log, by="ops", retention=NONE, now=NOW)[0]["state"] == "waiting"

    step_hold(log, hold.id, "lift", LEGAL)
    step_hold(log, hold.id, "approve", OFFICER)
    [outcome] = run_queue(log, by="ops", retention=NONE, now=NOW)
    assert (outcome["state"], outcome["bodies"]) == ("done", 3)
    assert run_queue(log, by="ops", retention=NONE, now=NOW) == []


@pytest.mark.parametrize(
    ("scope", "stands"),
    [
        (HoldScope(), True),
        (HoldScope(tenant="t"), True),
        (HoldScope(tenant="u"), False),
        (HoldScope(subject="person-q"), False),
        (HoldScope(subject="person-p", tenant="u"), False),
        (HoldScope(since_us=round((NOW - 45 * DAY) * 1e6), until_us=round((NOW - 35 * DAY) * 1e6)), True),
        (HoldScope(until_us=round((NOW - 100 * DAY) * 1e6)), False),
    ],
)
def test_a_hold_stands_against_what_it_covers(log: AuditLog, scope: HoldScope, stands: bool) -> None:
    """One record under it is enough."""
    propose_hold(log, scope, "case-1", LEGAL)

    assert (decide(log.store, "t", "person-p", NONE, NOW).standing == "hold") is stands


def test_a_hold_of_an_exchange_stands_for_the_person_in_it(log: AuditLog) -> None:
    """And for nobody else."""
    id_ = log.search(subject="person-p").rows[0].row.id
    propose_hold(log, HoldScope(exchange=id_), "case-1", LEGAL)

    assert decide(log.store, "t", "person-p", NONE, NOW).standing == "hold"
    assert decide(log.store, "t", "person-q", NONE, NOW).standing == "none"


def test_a_minimum_lets_go_what_is_past_it_and_keeps_the_rest_until_then(log: AuditLog) -> None:
    """Two bodies now, the third when its month is over; then the key goes too."""
    outcome = asked(log, MONTH)
    assert (outcome["state"], outcome["standing"], outcome["because"]) == ("waiting", "minimum", ["article-9"])
    assert (outcome["bodies"], outcome["kept"]) == (2, 1)
    assert outcome["until"] == "2027-02-04T08:00:00.000000Z"
    assert len(log.store.subject_bodies("t", "person-p")) == 1

    assert run_queue(log, by="ops", retention=MONTH, now=NOW + 19 * DAY)[0]["state"] == "waiting"
    [outcome] = run_queue(log, by="ops", retention=MONTH, now=NOW + 21 * DAY)
    assert (outcome["state"], outcome["bodies"]) == ("done", 1)
    assert log.store.subject_key("t", "person-p") is None


def test_a_request_whose_subject_is_gone_already_is_closed(log: AuditLog) -> None:
    """Erased by another way while it waited."""
    hold = propose_hold(log, HoldScope(tenant="t"), "case-1", LEGAL)
    asked(log)
    log.erase_subject("t", "person-p", {"basis": "court"})
    step_hold(log, hold.id, "lift", LEGAL)
    step_hold(log, hold.id, "approve", OFFICER)

    [outcome] = run_queue(log, by="ops", retention=NONE, now=NOW)
    assert (outcome["state"], outcome["keys"]) == ("done", [])
    assert pending_requests(log.store) == []


def test_a_body_that_was_dropped_reads_as_none_and_an_erased_key_says_so(log: AuditLog) -> None:
    """Two ways of being gone."""
    found = log.search(subject="person-p").rows
    log.store.drop_bodies([found[0].row.id])

    assert log.body(found[0].row.id) is None
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(Path(log.folder.root).parent / "audit.db")) as db:
        db.execute("DELETE FROM subject_keys WHERE subject = 'person-p'")
        db.commit()
    with pytest.raises(BodyErased):
        log.body(found[1].row.id)


def test_the_report_tells_the_course_of_each_request(log: AuditLog) -> None:
    """Done, waiting, late; and what was erased without a request."""
    propose_hold(log, HoldScope(subject="person-q"), "case-1", LEGAL)
    asked(log)
    asked(log, subject="person-q")
    log.erase_subject("t", "nobody", {"basis": "court"})
    report = json.loads(json.dumps(erasure_report(log.store, now=NOW + 16 * DAY, deadline_days=15)))

    assert [(one["state"], one["late"], one["days"]) for one in report["requests"]] == [
        ("done", False, 0.0),
        ("waiting", True, 16.0),
    ]
    assert (report["open"], report["late"], len(report["other"])) == (1, 1, 1)
    assert report["requests"][1]["standing"] == "hold"


def test_a_request_names_somebody(log: AuditLog) -> None:
    """Without a subject nothing is recorded."""
    size = log.store.next_index()
    with pytest.raises(ErasureRefused):
        asked(log, subject="")
    assert log.store.next_index() == size
