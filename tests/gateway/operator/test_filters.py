# SPDX-License-Identifier: Apache-2.0
"""Which filter is in force, and putting another in force, over the operator API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.testclient import TestClient

from content_filter import Activation, FilterError
from gateway.operator.app import create_operator_app
from gateway.operator.house import FilterRoom
from gateway.operator.tokens import Role

SHOWN = {"digest": "ab", "terms": {"count": 3, "digest": "cd"}}


class Desk:
    """Reloads as it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fault: Exception | None = None

    async def reload(self, by: str) -> Activation:
        self.asked.append(by)
        if self.fault is not None:
            raise self.fault
        return Activation("ab", "ef")


def client(listener: Any, desk: Desk) -> TestClient:
    """A client of the listener's house, with a filter in it."""
    room = FilterRoom(lambda: dict(SHOWN), desk.reload)
    return TestClient(create_operator_app(replace(listener.house(), filters=room)))


def test_everyone_with_a_token_may_read_what_is_in_force(listener: Any) -> None:
    """Digests and counts; no token, no answer."""
    http = client(listener, Desk())
    for role in Role:
        assert http.get("/api/filter", headers=listener.headers(role)).json() == SHOWN
    assert http.get("/api/filter").status_code == 401


def test_officers_and_admins_put_files_in_force(listener: Any) -> None:
    """By the id of their token; others may not."""
    desk = Desk()
    http = client(listener, desk)
    for role in (Role.OFFICER, Role.ADMIN):
        answer = http.post("/api/filter/reload", headers=listener.headers(role))
        assert answer.json() == {"before": "ab", "after": "ef", "changed": True}
    assert all(desk.asked) and len(set(desk.asked)) == 2
    for role in (Role.OPERATOR, Role.AUDITOR):
        assert http.post("/api/filter/reload", headers=listener.headers(role)).status_code == 403
    assert len(desk.asked) == 2


def test_a_bad_file_is_a_problem_that_names_it(listener: Any) -> None:
    """And the old filter stays in force."""
    desk = Desk()
    desk.fault = FilterError("terms.tsv: line 3: unknown class code")
    answer = client(listener, desk).post("/api/filter/reload", headers=listener.headers(Role.ADMIN))
    assert answer.status_code == 409
    assert (answer.json()["code"], answer.json()["detail"]) == ("filter_not_reloaded", str(desk.fault))


def test_a_house_without_a_filter_says_so(listener: Any) -> None:
    """As where the operator API serves a log alone."""
    assert listener.get("/api/filter").status_code == 404
