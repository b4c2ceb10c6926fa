# SPDX-License-Identifier: Apache-2.0
"""Searching page by page, and records handed out with proofs that anyone can check."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from audit_log import AuditLog, BadQuery, BodyErased, Entry, VerificationError, new_record_id, rows_as_json
from audit_log.note import Verifier
from audit_log.proof import verify_proof

ORIGIN = "audit.example.com/test"


@pytest.fixture
def log(home: Path, clock: Any) -> Iterator[AuditLog]:
    """A log without a publisher of its own."""
    opened = AuditLog.open(home, writer="gw", clock=clock, publish=False)
    yield opened
    opened.close()


@pytest.fixture
def publish(log: AuditLog, home: Path) -> Callable[[], None]:
    """Publishes what is there, now."""

    def step() -> None:
        if log._publisher is None:
            log._publish_from(home / "publisher.lock")
            log._stop_publishing()
        log._publish_once()
        assert log.status().problem is None

    return step


def test_pages_follow_each_other_while_the_log_grows(log: AuditLog, make_entry: Callable[..., Entry]) -> None:
    """A cursor stays valid; nothing is shown twice or left out."""
    for _ in range(7):
        log.append_blocking(make_entry(tenant="a"))
    first = log.search(tenant="a", limit=3)
    log.append_blocking(make_entry(tenant="a"))
    second = log.search(tenant="a", limit=3, cursor=first.cursor)
    third = log.search(tenant="a", limit=3, cursor=second.cursor)

    assert list(range(1, 9)) == [row.index for page in (first, second, third) for row in page.rows]
    assert third.cursor is None


def test_times_are_in_seconds_with_the_end_excluded(
    log: AuditLog, make_entry: Callable[..., Entry], clock: Any
) -> None:
    """since <= t < until."""
    start = clock.now
    for _ in range(3):
        clock.now += 0.5
        log.append_blocking(make_entry())

    assert [row.index for row in log.search(since=start + 0.5, until=start + 1.5).rows] == [1, 2]
    assert [row.index for row in log.search(until=start + 1.0).rows] == [0, 1]


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"cursor": "-1"}, {"cursor": ""}, {"cursor": "9" * 30}]
)
def test_a_search_that_makes_no_sense_says_so(log: AuditLog, query: dict[str, Any]) -> None:
    """With the part that is wrong."""
    with pytest.raises(BadQuery):
        log.search(**query)


def test_a_record_comes_with_its_proof_and_its_relations(
    log: AuditLog, make_entry: Callable[..., Entry], publish: Callable[[], None]
) -> None:
    """The proof checks with nothing but the leaf and the log's key."""
    opened = make_entry()
    log.append_blocking(opened)
    id_ = str(opened.fields["id"])
    log.append_blocking(make_entry())
    log.append_blocking(Entry({"id": new_record_id(), "type": "close", "exchange": id_}))
    fresh = log.get(id_)
    publish()
    found = log.get(id_)

    assert fresh is not None
    assert fresh.proof is None
    assert found is not None
    assert found.proof is not None
    index, checkpoint = verify_proof(found.proof, found.leaf, ORIGIN, [Verifier.from_vkey(log.vkey)])
    assert (index, checkpoint.size) == (1, 4)
    assert id_ == json.loads(found.leaf)["id"]
    assert [row.index for row in found.related] == [3]
    closed = log.get(found.related[0].row.id)
    assert closed is not None
    assert [row.index for row in closed.related] == [1]


def test_every_leaf_of_a_larger_log_can_be_proven(
    log: AuditLog, make_entry: Callable[..., Entry], publish: Callable[[], None]
) -> None:
    """Across full and partial tiles."""
    future: Future[int] = Future()
    log._writer.submit([make_entry() for _ in range(700)], future)
    future.result(30)
    publish()
    for index in (0, 1, 255, 256, 511, 512, 699, 700):
        proof = log.reader.prove(index)
        assert proof is not None
        verify_proof(proof, log.reader.leaf(index), ORIGIN, [Verifier.from_vkey(log.vkey)])

    assert log.reader.prove(701) is None
    with pytest.raises(VerificationError):
        log.reader.leaf(701)


def test_an_unknown_record_is_none(log: AuditLog) -> None:
    """Also for what is no id at all."""
    assert log.get(new_record_id()) is None
    assert log.get("' OR 1=1") is None
    assert log.body(new_record_id()) is None


def test_tiles_are_handed_out_by_their_paths_alone(
    log: AuditLog, make_entry: Callable[..., Entry], publish: Callable[[], None]
) -> None:
    """And nothing else of the folder, or beside it."""
    log.append_blocking(make_entry())
    publish()

    assert ORIGIN.encode() in (log.tile("checkpoint") or b"")
    assert len(log.tile("tile/0/000.p/2") or b"") == 64
    assert log.tile("tile/0/001") is None
    for path in ("tile/../../log.key", "../log.key", "tile", "", "checkpoint.new", "/etc/passwd"):
        with pytest.raises(VerificationError):
            log.tile(path)


def test_a_body_is_opened_for_who_may_read_it(log: AuditLog, make_entry: Callable[..., Entry]) -> None:
    """Checked against its leaf; gone after its key was destroyed."""
    entry = make_entry(subject="p", body=b"some text", tenant="t")
    log.append_blocking(entry)
    id_ = str(entry.fields["id"])
    found = log.get(id_)
    assert found is not None
    named = json.loads(found.leaf)["body"]

    assert b"some text" == log.body(id_) == log.reader.body(id_, named)
    with pytest.raises(VerificationError):
        log.reader.body(id_, {**named, "bytes": "1"})
    with log._store._writing() as db:  # type: ignore[attr-defined]
        db.execute("DELETE FROM subject_keys")
    with pytest.raises(BodyErased):
        log.body(id_)


def test_rows_can_be_shown_as_plain_data(log: AuditLog, make_entry: Callable[..., Entry]) -> None:
    """For an API or a table."""
    entry = make_entry(subject="p", tenant="t", action="allow", **{"class": "A1"})
    log.append_blocking(entry)
    shown = rows_as_json(log.search(subject="p").rows)

    assert [
        {
            "index": 1,
            "id": entry.fields["id"],
            "exchange": None,
            "type": "exchange",
            "t_us": 1_800_000_000_000_000,
            "tenant": "t",
            "subject": "p",
            "class": "A1",
            "action": "allow",
            "incident": False,
        }
    ] == shown
    json.dumps(shown)
