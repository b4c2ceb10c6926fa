# SPDX-License-Identifier: Apache-2.0
"""What the audit log is told."""

import json

from complaints import ComplaintDesk
from complaints.facts import fact_of

PERSONAL = "13800138000"
RECORD = "0190a0b0-0000-7000-8000-00000000abcd"


def test_a_fact_holds_nothing_personal(desk: ComplaintDesk) -> None:
    """No words, contact, receipt, secret, officer or tenant, in any fact of a whole case."""
    filed = desk.file("privacy", f"words {PERSONAL}", contact=PERSONAL, record=RECORD, tenant=f"t{PERSONAL}")
    facts = [
        *filed.facts,
        *desk.answer(filed.receipt, f"o{PERSONAL}", "rejected", PERSONAL).facts,
        *desk.appeal(filed.receipt, filed.secret, PERSONAL).facts,
        *desk.withdraw(filed.receipt, filed.secret).facts,
    ]
    told = json.dumps(facts)

    assert [fact["event"] for fact in facts] == ["file", "acknowledge", "take", "answer", "appeal", "withdraw"]
    assert PERSONAL not in told and filed.receipt not in told and filed.secret not in told


def test_a_fact_says_what_happened(desk: ComplaintDesk) -> None:
    """Type, case, place, event, states, role, time, category, record and decision, and nothing empty."""
    filed = desk.file("privacy", "words", record=RECORD)
    _, answered = desk.answer(filed.receipt, "li", "upheld", "done").facts
    commitment = answered.pop("sealed_sha256")

    assert isinstance(commitment, str) and len(commitment) == 64
    assert answered == {
        "type": "complaint",
        "case": filed.case.id,
        "seq": 4,
        "event": "answer",
        "from": "in_review",
        "state": "answered",
        "role": "officer",
        "at": "2026-09-18T04:00:00.000Z",
        "category": "privacy",
        "record": RECORD,
        "decision": "upheld",
    }


def test_the_same_event_is_always_the_same_fact(desk: ComplaintDesk) -> None:
    """What is told again later, after the case has moved on, is what was told first."""
    filed = desk.file("privacy", "words")
    desk.answer(filed.receipt, "li", "upheld", "done")
    case_file = desk.get(filed.receipt)

    assert fact_of(case_file.case, case_file.entries[0].event) == filed.facts[0]
    assert desk.unrecorded()[:2] == filed.facts
