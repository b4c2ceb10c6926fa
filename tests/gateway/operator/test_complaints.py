# SPDX-License-Identifier: Apache-2.0
"""Complaints through the operator API: the queue, the case, the acts and their records."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.operator.tokens import Role

DAY_S = 86_400.0


def records_of(listener: Any) -> list[dict[str, Any]]:
    """The complaint records in the log."""
    return [item["record"] for item in listener.get("/api/records", type="complaint").json()["records"]]


def test_a_complaint_goes_from_the_queue_to_its_answer_and_every_act_is_a_record(listener: Any) -> None:
    """Acknowledged, taken, answered: the complainant sees the answer, the log holds each act without a word of it."""
    filed = listener.file("secret words")
    path = f"/api/complaints/{filed.receipt}"

    answers = [
        listener.post(f"{path}/acknowledge"),
        listener.post(f"{path}/take", {"version": 2}),
        listener.post(f"{path}/answer", {"decision": "upheld", "text": "we removed it"}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json()["state"] for answer in answers] == ["acknowledged", "in_review", "answered"]
    assert all(answer.json()["is_recorded"] and len(answer.json()["records"]) == 1 for answer in answers)
    view = listener.desk.status(filed.receipt, filed.secret)
    assert view.answer is not None and view.answer.text == "we removed it"
    acts = records_of(listener)
    assert [act["event"] for act in acts] == ["acknowledge", "take", "answer"]
    assert [act["id"] for act in acts] == [answer.json()["records"][0] for answer in answers]
    assert "secret words" not in str(acts) and "we removed it" not in str(acts) and filed.receipt not in str(acts)
    assert {fact["event"] for fact in listener.desk.unrecorded()} == {"file"}


def test_an_answer_takes_the_case_on_the_way(listener: Any) -> None:
    """One request is enough; each step is still its own record."""
    filed = listener.file()

    answer = listener.post(f"/api/complaints/{filed.case.id}/answer", {"decision": "rejected", "text": "no"})

    assert answer.json()["state"] == "answered"
    assert len(answer.json()["records"]) == 3


def test_an_appeal_needs_another_token(listener: Any) -> None:
    """The officer is the token: who decided does not decide about the decision."""
    filed = listener.file()
    path = f"/api/complaints/{filed.receipt}"
    listener.post(f"{path}/answer", {"decision": "rejected", "text": "no"})
    listener.desk.appeal(filed.receipt, filed.secret, "but yes")

    assert listener.post(f"{path}/take").status_code == 403
    assert "take" not in listener.get(path, Role.OFFICER).json()["permitted"]
    assert "take" in listener.get(path, Role.ADMIN).json()["permitted"]
    assert listener.post(f"{path}/take", role=Role.ADMIN).json()["state"] == "in_review"


def test_a_case_is_found_by_receipt_and_by_id(listener: Any) -> None:
    """Both lead to the whole case; an auditor is permitted no act."""
    filed = listener.file("my words")

    by_receipt = listener.get(f"/api/complaints/{filed.receipt}").json()
    by_id = listener.get(f"/api/complaints/{filed.case.id}").json()

    assert by_receipt == by_id
    assert (by_id["text"], by_id["contact"], by_id["permitted"]) == ("my words", "someone@example.com", [])
    assert listener.get(f"/api/complaints/{filed.receipt}", Role.OFFICER).json()["permitted"] == ["acknowledge"]


def test_the_queue_can_be_narrowed(listener: Any) -> None:
    """By state, category and lateness, in pages, without words."""
    first, second = listener.file("one", "privacy"), listener.file("two", "minors")
    listener.post(f"/api/complaints/{second.receipt}/acknowledge")

    def receipts(**parameters: Any) -> list[str]:
        return [case["receipt"] for case in listener.get("/api/complaints", **parameters).json()["complaints"]]

    assert sorted(receipts()) == sorted([first.receipt, second.receipt])
    assert receipts(state="acknowledged") == [second.receipt]
    assert receipts(category="Privacy") == [first.receipt]
    assert receipts(overdue="true") == []
    listener.now += 60 * DAY_S
    assert sorted(receipts(overdue="true")) == sorted([first.receipt, second.receipt])
    assert receipts(overdue="no") == []
    page = listener.get("/api/complaints", limit=1).json()
    rest = listener.get("/api/complaints", limit=1, cursor=page["next_cursor"]).json()
    assert page["complaints"] != rest["complaints"] and rest["next_cursor"] is None
    assert "text" not in page["complaints"][0]


@pytest.mark.parametrize(
    "parameters",
    [
        {"state": "lost"},
        {"category": "weather"},
        {"overdue": "perhaps"},
        {"cursor": "x"},
        {"limit": "201"},
        {"tenant": "a b"},
    ],
)
def test_a_bad_narrowing_is_refused(listener: Any, parameters: dict[str, str]) -> None:
    """400, naming the field."""
    answer = listener.get("/api/complaints", **parameters)

    assert answer.status_code == 400
    assert next(iter(parameters)) in answer.text


def test_a_move_that_is_not_open_is_a_conflict(listener: Any) -> None:
    """Wrong state or an old version: 409, and nothing happens."""
    filed = listener.file()
    path = f"/api/complaints/{filed.receipt}"

    assert listener.post(f"{path}/take").status_code == 409
    assert listener.post(f"{path}/acknowledge", {"version": 7}).status_code == 409
    assert listener.post(f"{path}/close").status_code == 409
    assert listener.desk.get(filed.receipt).case == filed.case


@pytest.mark.parametrize("receipt", ["nope", "AAAA-AAAA-AAAA", "x" * 500])
def test_an_unknown_case_is_a_404_or_a_400(listener: Any, receipt: str) -> None:
    """A reference that cannot be one is told apart from one that leads nowhere only by the words."""
    for answer in (listener.get(f"/api/complaints/{receipt}"), listener.post(f"/api/complaints/{receipt}/acknowledge")):
        assert answer.status_code in (400, 404)
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({}, "decision"),
        ({"decision": "upheld"}, "text"),
        ({"decision": "maybe", "text": "t"}, "decision"),
        ({"decision": "upheld", "text": ""}, "text"),
        ({"decision": "upheld", "text": "x" * 10_001}, "text"),
        ({"decision": 5, "text": "t"}, "decision"),
        ({"decision": "upheld", "text": "t", "canary-7f3a": 1}, "unknown field"),
        ({"decision": "upheld", "text": "t", "version": "one"}, "version"),
        ([], "body"),
        ("canary-7f3a", "body"),
    ],
)
def test_a_bad_answer_is_refused_without_repeating_it(listener: Any, body: object, hint: str) -> None:
    """400 with the field; what was sent stays with the sender."""
    filed = listener.file()

    answer = listener.post(f"/api/complaints/{filed.receipt}/answer", body)

    assert answer.status_code == 400
    assert hint in answer.text
    assert "canary-7f3a" not in answer.text and "maybe" not in answer.text
    assert listener.desk.get(filed.receipt).case == filed.case


def test_a_log_that_is_away_loses_no_act(listener: Any) -> None:
    """The act is done and says that its record is owed; the fact waits in the store."""
    filed = listener.file()
    listener.is_log_away = True

    answer = listener.post(f"/api/complaints/{filed.receipt}/acknowledge")

    assert answer.status_code == 200
    told = answer.json()
    assert (told["state"], told["is_recorded"], told["records"]) == ("acknowledged", False, [])
    assert [fact["event"] for fact in listener.desk.unrecorded()] == ["file", "acknowledge"]
    text = listener.get("/metrics", None).text
    assert "dutybound_audit_failures_total 1.0" in text
    assert "dutybound_complaints_unrecorded 2.0" in text


def test_reasons_are_kept_for_the_file(listener: Any) -> None:
    """Releasing and reopening say why."""
    filed = listener.file()
    path = f"/api/complaints/{filed.receipt}"
    listener.post(f"{path}/acknowledge")
    listener.post(f"{path}/take")

    assert listener.post(f"{path}/release").status_code == 400
    assert listener.post(f"{path}/release", {"reason": "holiday"}).json()["state"] == "acknowledged"
    assert [entry["text"] for entry in listener.get(path).json()["history"]][-1] == "holiday"
    listener.post(f"{path}/answer", {"decision": "upheld", "text": "t"})
    listener.now += 60 * DAY_S
    assert listener.post(f"{path}/close").json()["state"] == "closed"
    assert listener.post(f"{path}/reopen", {"reason": "new facts"}).json()["state"] == "acknowledged"
