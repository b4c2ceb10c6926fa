# SPDX-License-Identifier: Apache-2.0
"""Nobody reads a sealed body without a record that says so first, and where two are needed, not alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_log import AuditLog, Entry, LogUnavailable, VerificationError, new_record_id, verify_home
from audit_log.access import AccessRefused, all_accesses, approve_access, read_body, request_access
from audit_log.holds import Approval
from audit_log.record import TYPES

NOW = 1.8e9
ANNA, BERT = Approval("anna", "officer"), Approval("bert", "officer")
SECRET = b"the words of somebody"


@pytest.fixture
def log(home: Path) -> Iterator[AuditLog]:
    opened = AuditLog.open(home, writer="gw", clock=lambda: NOW, publish=False)
    yield opened
    opened.close()


@pytest.fixture
def record_id(log: AuditLog) -> str:
    id_ = new_record_id()
    log.append_blocking(Entry({"id": id_, "type": "exchange", "tenant": "t"}, "p", SECRET))
    return id_


def read(log: AuditLog, access: str, who: Approval, *, now: float = NOW, two: bool = True) -> bytes:
    return read_body(log, access, who, now=now, valid_s=3600, needs_second=two)


def test_a_second_person_agrees_before_a_body_is_read(log: AuditLog, record_id: str) -> None:
    """Asked, refused alone, agreed to by another, read by who asked, and by nobody else."""
    access = request_access(log, record_id, "case-1", ANNA)
    with pytest.raises(AccessRefused, match="second person has to agree"):
        read(log, access.id, ANNA)
    with pytest.raises(AccessRefused, match="cannot agree"):
        approve_access(log, access.id, ANNA)
    approve_access(log, access.id, BERT)
    with pytest.raises(AccessRefused, match="agreed to this already"):
        approve_access(log, access.id, BERT)
    with pytest.raises(AccessRefused, match="only who asked"):
        read(log, access.id, BERT)
    with pytest.raises(AccessRefused, match="has ended"):
        read(log, access.id, ANNA, now=NOW + 3601)
    assert read(log, access.id, ANNA) == SECRET
    assert read(log, access.id, ANNA) == SECRET
    (known,) = all_accesses(log.store)
    assert (known.reads, known.approved, known.record_id) == (2, BERT, record_id)
    assert json.loads(json.dumps(known.as_json()))["approved"]["by"] == "bert"


def test_without_the_rule_of_two_the_record_still_comes_first(
    log: AuditLog, record_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that takes no record opens no body."""
    access = request_access(log, record_id, "case-1", ANNA)
    assert read(log, access.id, ANNA, two=False) == SECRET
    with pytest.raises(AccessRefused, match="has ended"):
        read(log, access.id, ANNA, two=False, now=NOW + 3601)

    def away(entry: Entry) -> int:
        raise LogUnavailable("the disk is away")

    monkeypatch.setattr(log, "append_blocking", away)
    monkeypatch.setattr(log.reader, "body", None)
    with pytest.raises(LogUnavailable, match="away"):
        read(log, access.id, ANNA, two=False)


def test_an_access_record_written_by_hand_gives_no_permission(log: AuditLog, record_id: str) -> None:
    """An agreement by who asked, or by nobody, counts for nothing; an export's record is no request."""
    access = request_access(log, record_id, "case-1", ANNA)
    for who in ({"by": "anna", "role": "admin"}, {"by": "", "role": ""}):
        said = {"event": "approve", "access": access.id, "exchange": record_id, **who}
        log.append_blocking(Entry({"id": new_record_id(), "type": "access", **said}))
    log.append_blocking(Entry({"id": new_record_id(), "type": "access", "event": "export", "by": "(unnamed)"}))
    with pytest.raises(AccessRefused, match="second person"):
        read(log, access.id, ANNA)
    assert len(all_accesses(log.store)) == 1


def test_what_cannot_be_asked_for_is_refused(log: AuditLog, record_id: str) -> None:
    """A reason in free words, a record without a body, a request that is not there; nothing is recorded."""
    size = log.store.next_index()
    for id_, reason in ((record_id, "because I want"), (new_record_id(), "case-1")):
        with pytest.raises(AccessRefused):
            request_access(log, id_, reason, ANNA)
    with pytest.raises(AccessRefused, match="no request"):
        read(log, new_record_id(), ANNA)
    assert log.store.next_index() == size
    assert "access" in TYPES


def test_an_erased_body_is_not_read_and_the_words_are_in_no_leaf(log: AuditLog, record_id: str, home: Path) -> None:
    """Agreed to before, erased since."""
    access = request_access(log, record_id, "case-1", ANNA)
    approve_access(log, access.id, BERT)
    assert read(log, access.id, ANNA) == SECRET
    log.store.destroy_subject("t", "p")
    with pytest.raises(VerificationError, match="no longer kept"):
        read(log, access.id, ANNA)
    leaves = b"".join(log.store.leaves(0, log.store.next_index()))
    assert SECRET not in leaves
    log.close()
    assert SECRET not in b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert verify_home(home).problems == []
