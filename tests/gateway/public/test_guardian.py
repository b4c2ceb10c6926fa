# SPDX-License-Identifier: Apache-2.0
"""What a guardian sees and sets over HTTP, with a code or a signed token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from complaints import CaseStore
from gateway.exchange import AgeBand, Person
from gateway.guardians import CODE_PREFIX
from tests.gateway.public.test_session import SECRET, Site

PATH = "/duty/guardian"


class Family(Site):
    """A site with a child and a guardian's code."""

    def __init__(self, store: CaseStore) -> None:
        super().__init__(store)
        people = self.house.people
        assert people is not None
        self.people = people
        people.guardians.may_exempt = True
        self.child = Person(
            subject=self.identifier.pseudonym("default", "child"), age_band=AgeBand.FROM_8, is_signed=True
        )
        self.code = self.run(people.guardians.link("default", self.child.subject, "tok"))

    @staticmethod
    def run(step: Any) -> Any:
        """A step in a loop of its own."""

        async def walk() -> Any:
            result = await step
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            return result

        return asyncio.run(walk())

    def get(self, credential: str = "") -> Any:
        """The overview."""
        return self.client.get(PATH, headers={"duty-guardian": credential or self.code})

    def post(self, what: str, body: Any, credential: str = "") -> Any:
        """An act."""
        return self.client.post(f"{PATH}/{what}", json=body, headers={"duty-guardian": credential or self.code})

    def guardian_token(self, **claims: Any) -> str:
        """A token that the provider signed."""
        return jwt.encode({"alg": "HS256"}, {"sub": "mother", **claims}, OctKey.import_key(SECRET))


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    store = CaseStore.open(tmp_path / "cases.sqlite")
    yield Family(store)
    store.close()


def test_a_guardian_sees_consent_settings_use_and_mode(family: Family) -> None:
    """Minutes of the last three dates; no word of what was written."""
    for _ in range(3):
        family.run(family.minors.admit(family.child))
        family.now += 240
    document = family.get().json()

    assert document == {
        "consent": {"granted": False, "since_s": None},
        "settings": {"daily_minutes": None, "reminder_minutes": None, "curfew": True, "curfew_start": None,
                     "curfew_end": None, "blocked_models": []},
        "may_exempt": True,
        "minor_mode": {"on": False, "why": None},
        "use": [{"date": "2026-03-02", "minutes": 12}, {"date": "2026-03-01", "minutes": 0},
                {"date": "2026-02-28", "minutes": 0}],
        "tz": "Asia/Shanghai",
    }  # fmt: skip
    family.now += 86_400
    assert [day["minutes"] for day in family.get().json()["use"]] == [0, 8, 0], "yesterday keeps what was counted"


def test_consent_settings_and_mode_are_set_and_recorded(family: Family) -> None:
    """Each answer shows what holds now; null brings the service's own back."""
    assert family.post("consent", {"granted": True}).json()["consent"]["granted"]
    changed = family.post("settings", {"daily_minutes": 20, "curfew": False, "blocked_models": ["knight"]}).json()
    assert changed["settings"]["daily_minutes"] == 20 and not changed["settings"]["curfew"]
    assert family.minors.times(family.child).daily_minutes == 20
    assert family.post("settings", {"daily_minutes": None}).json()["settings"]["daily_minutes"] is None
    assert family.minors.times(family.child).daily_minutes == 60
    assert family.post("mode", {"on": True}).json()["minor_mode"] == {"on": True, "why": "guardian"}
    assert not family.post("mode", {"on": False}).json()["minor_mode"]["on"]
    assert not family.post("consent", {"granted": False}).json()["consent"]["granted"]
    assert [record["event"] for record in family.records] == [
        "guardian_linked", "guardian_consent_given", "guardian_settings", "guardian_settings", "minor_mode_on",
        "minor_mode_off", "guardian_consent_withdrawn",
    ]  # fmt: skip


def test_a_signed_token_speaks_for_a_guardian(family: Family) -> None:
    """`guardian_of` names the child of the same tenant; it needs no code."""
    token = family.guardian_token(guardian_of="other child")
    assert family.post("consent", {"granted": True}, token).json()["consent"]["granted"]
    assert family.get(token).json()["consent"]["granted"]
    assert not family.get().json()["consent"]["granted"], "another child's"
    school = family.guardian_token(guardian_of="other child", tenant="school")
    assert not family.get(school).json()["consent"]["granted"], "a child of the same name at another tenant"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({}, "malformed_claims"),
        ({"guardian_of": ""}, "malformed_claims"),
        ({"guardian_of": 7}, "malformed_claims"),
        ({"guardian_of": "child", "exp": 1}, "token_expired"),
        ({"guardian_of": "c", "tenant": "a/b"}, "malformed_claims"),
    ],
)
def test_other_tokens_are_not_believed(family: Family, claims: dict[str, Any], code: str) -> None:
    """The child's own token is not its guardian's."""
    answer = family.get(family.guardian_token(**claims))
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_nobody_comes_without_a_code_or_a_token_that_is_ours(family: Family) -> None:
    """401 with a challenge; two headers are none."""
    forged = jwt.encode({"alg": "HS256"}, {"guardian_of": "child"}, OctKey.import_key(b"x" * 32))
    for headers, code in (
        ({}, "guardian_required"),
        ({"duty-guardian": CODE_PREFIX + "b" * 32}, "unknown_code"),
        ({"duty-guardian": forged}, "untrusted_token"),
        ({"duty-guardian": "x"}, "malformed_token"),
    ):
        answer = family.client.get(PATH, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert "www-authenticate" in answer.headers
    twice = family.client.build_request("GET", PATH)
    twice.headers = httpx.Headers([("duty-guardian", family.code), ("duty-guardian", family.code)])
    assert family.client.send(twice).status_code == 401
    assert family.client.post(f"{PATH}/mode", json={"on": False}).status_code == 401


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("consent", {"granted": "yes"}, "granted"),
        ("mode", {}, "on"),
        ("settings", {}, "settings"),
        ("settings", {"unknown": 1}, "settings"),
        ("settings", {"daily_minutes": True}, "daily_minutes"),
        ("settings", {"daily_minutes": -1}, "daily_minutes"),
        ("settings", {"daily_minutes": 5_000}, "daily_minutes"),
        ("settings", {"curfew_start": "late"}, "curfew_start"),
        ("settings", {"curfew_end": 7}, "curfew_end"),
        ("settings", {"blocked_models": "knight"}, "blocked_models"),
        ("settings", {"curfew": 1}, "curfew"),
    ],
)
def test_what_cannot_be_set_is_a_clear_problem(family: Family, what: str, body: dict[str, Any], field: str) -> None:
    """422 with the field; nothing is changed."""
    answer = family.post(what, body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert len(family.records) == 1


def test_what_loosens_waits_for_the_log(family: Family) -> None:
    """503, and nothing is looser."""
    family.is_log_broken = True
    for what, body in (("consent", {"granted": True}), ("settings", {"curfew": False})):
        assert family.post(what, body).status_code == 503
    family.is_log_broken = False
    document = family.get().json()
    assert not document["consent"]["granted"] and document["settings"]["curfew"]
