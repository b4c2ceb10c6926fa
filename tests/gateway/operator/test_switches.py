# SPDX-License-Identifier: Apache-2.0
"""The kill switch through the operator API."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.operator.tokens import Role

PATH = "/api/switches"


def test_a_pause_is_placed_listed_and_ended(listener: Any) -> None:
    """Who, why, what and until when; each change a record whose leaf names no reason."""
    made = listener.post(
        PATH, {"model": "gpt-*", "tenant": "school", "reason": "canary words", "expires": "2027-01-15T09:00:00Z"},
        Role.OPERATOR,
    )  # fmt: skip

    assert made.status_code == 201
    said = made.json()
    assert {"model": "gpt-*", "tenant": "school", "covers": "model+tenant", "is_recorded": True}.items() <= said.items()
    assert said["expires_at"] == "2027-01-15T09:00:00.000Z"
    (listed,) = listener.get(PATH).json()["switches"]
    assert listed["id"] == said["id"] and listed["reason"] == "canary words"
    assert "dutybound_pauses_in_force 1.0" in listener.get("/metrics", None).text

    ended = listener.delete(f"{PATH}/{said['id']}", Role.ADMIN)
    assert ended.status_code == 200 and ended.json()["record"]
    assert listener.get(PATH).json() == {"switches": [], "is_current": True}
    paused, resumed = listener.leaves("measure")
    assert (paused["event"], resumed["event"]) == ("paused", "resumed")
    assert paused["scope"] == {"model": "gpt-*", "tenant": "school"} and paused["actor"] != resumed["actor"]
    assert "canary" not in str({**paused, "body": None})


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "x"},
        {"everything": True, "model": "m", "reason": "x"},
        {"everything": True},
        {"everything": True, "reason": " "},
        {"kind": "unheard", "reason": "x"},
        {"model": "a b", "reason": "x"},
        {"everything": True, "reason": "x", "expires": "tomorrow"},
        {"everything": True, "reason": "x", "expires": "2020-01-01T00:00:00Z"},
        {"everything": True, "reason": "x", "moon": "full"},
    ],
)
def test_a_pause_that_cannot_be_is_a_clear_problem(listener: Any, body: dict[str, Any]) -> None:
    """400 with what was expected; nothing is paused."""
    answer = listener.post(PATH, body, Role.OPERATOR)

    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid_request"
    assert listener.get(PATH).json()["switches"] == []


def test_only_those_who_run_the_service_pause_it(listener: Any) -> None:
    """Everybody with a token sees; operators and admins act."""
    for role in (Role.AUDITOR, Role.OFFICER):
        assert listener.post(PATH, {"everything": True, "reason": "x"}, role).status_code == 403
        assert listener.delete(f"{PATH}/pause_1", role).status_code == 403
        assert listener.get(PATH, role).status_code == 200
    assert listener.get(PATH, None).status_code == 401
    assert listener.delete(f"{PATH}/pause_1", Role.OPERATOR).status_code == 404


def test_pausing_works_while_the_log_is_away_and_resuming_does_not(listener: Any) -> None:
    """The pause holds and its record is owed; it can be ended once the log is back."""
    listener.is_log_away = True
    made = listener.post(PATH, {"everything": True, "reason": "x"}, Role.OPERATOR).json()

    assert (made["record"], made["is_recorded"]) == (None, False)
    assert len(listener.get(PATH).json()["switches"]) == 1
    assert "dutybound_records_owed 1.0" in listener.get("/metrics", None).text
    answer = listener.delete(f"{PATH}/{made['id']}", Role.OPERATOR)
    assert (answer.status_code, answer.json()["code"]) == (503, "log_unavailable")
    assert len(listener.get(PATH).json()["switches"]) == 1
    listener.is_log_away = False
    assert listener.delete(f"{PATH}/{made['id']}", Role.OPERATOR).status_code == 200
