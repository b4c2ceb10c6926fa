# SPDX-License-Identifier: Apache-2.0
"""What an app learns about the person who is using it, and the acceptance of the service agreement."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.applications import Starlette
from starlette.testclient import TestClient

from audit_log import LogUnavailable
from complaints import CaseStore, ComplaintDesk
from gateway.api_keys import ApiKeys
from gateway.disclosure import Disclosure
from gateway.gates import Agreement
from gateway.guardians import Guardians
from gateway.identity import Identifier
from gateway.incident_notices import IncidentNotice, IncidentNotices
from gateway.measures import Measure, Step, measures_of
from gateway.minor_mode import MinorModes, Why
from gateway.minors import MinorsDuty
from gateway.own_records import OwnRecords
from gateway.policies import load
from gateway.public import House, People, desk_policy, public_routes
from gateway.settings import Settings
from gateway.standing import Standing
from gateway.state import MemoryOrders, MemoryState
from gateway.switches import Pause, Switches

SECRET = b"s" * 32
POLICY = load(["cn"])
ZONE = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=ZONE).timestamp()


class Site:
    """One service under test, with the duties about people over memory."""

    def __init__(self, store: CaseStore, **changes: Any) -> None:
        self.now = NOON
        self.records: list[dict[str, object]] = []
        self.is_log_broken = False
        clock = lambda: self.now  # noqa: E731
        settings = Settings.model_validate(
            {"service": {"agreement_version": "2026-1", "agreement_url": "https://example.com/terms"}, **changes}
        )
        self.state = MemoryState(clock)
        self.standing = Standing(MemoryOrders(clock), clock, poll_s=60.0, stale_after_s=1e12, monotonic=clock)
        records = OwnRecords(self.record, self.standing)
        entropy: Callable[[int], bytes] = bytes
        self.keys = ApiKeys(self.standing, self.state, SECRET, ZONE, entropy)
        guardians = Guardians(self.standing, records, SECRET, entropy, may_exempt=False)
        self.minor_modes = MinorModes(self.standing, records, 86_400.0)
        self.minors = MinorsDuty(POLICY, self.state, clock, settings.minors.education, 300.0, guardians)
        self.notices = IncidentNotices(self.standing, records)
        self.measures = measures_of(settings, POLICY, self.standing, self.state, records, entropy)
        self.switches = Switches(self.standing)
        self.identifier = Identifier(settings.identity, SECRET, clock, SECRET, api_keys=self.keys)
        house = House(
            settings=settings,
            policy=POLICY,
            disclosure=Disclosure(settings, POLICY, self.state, clock, SECRET),
            desk=ComplaintDesk(store, clock, desk_policy(POLICY, "Asia/Shanghai"), SECRET),
            record=self.record,
            clock=clock,
            checks=dict,
            find_record=self.find,
            people=People(
                identifier=self.identifier,
                agreement=Agreement(settings, POLICY, self.state, clock),
                minors=self.minors,
                guardians=guardians,
                minor_modes=self.minor_modes,
                standing=self.standing,
                switches=self.switches,
                measures=self.measures,
                incident_notices=self.notices,
            ),
        )
        self.house = house
        self.client = TestClient(Starlette(routes=list(public_routes(house))))

    async def find(self, record_id: str) -> float | None:
        """No records here."""
        return None

    async def record(self, fields: Mapping[str, object]) -> str:
        """The log."""
        if self.is_log_broken:
            raise LogUnavailable("the disk is away")
        self.records.append(dict(fields))
        return f"rec{len(self.records)}"

    def token(self, **claims: Any) -> dict[str, str]:
        """The header of a person."""
        text = jwt.encode({"alg": "HS256"}, {"sub": "anna", **claims}, OctKey.import_key(SECRET))
        return {"duty-subject": text}

    def session(self, headers: dict[str, str] | None = None) -> Any:
        """The document."""
        answer = self.client.get("/duty/session", headers=headers or {})
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()


@pytest.fixture
def site(tmp_path: Any) -> Iterator[Site]:
    """A service that asks for an agreement."""
    made = Site(CaseStore.open(tmp_path / "cases.db"))
    with made.client:  # one loop for all requests
        yield made
        made.client.portal.call(made.standing.close)  # type: ignore[union-attr]


def do(site: Site, act: Callable[..., Any], *arguments: Any) -> Any:
    """Call something of the house in the loop that serves."""
    return site.client.portal.call(act, *arguments)  # type: ignore[union-attr]


def person_of(site: Site, headers: dict[str, str]) -> Any:
    """Who these headers say."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return do(site, site.identifier.identify, pairs)


def test_an_anonymous_app_learns_what_everybody_may_know(site: Site) -> None:
    """Nothing about anybody."""
    document = site.session({"accept-language": "en"})
    assert document["person"] == {
        "is_known": False, "is_verified": False, "tenant": "default", "age_band": "unknown", "is_protected": False,
        "tz": "Asia/Shanghai",
    }  # fmt: skip
    assert document["minors"] is None and document["banners"] == []
    assert document["agreement"] == {"version": "2026-1", "url": "https://example.com/terms", "is_accepted": False}
    assert document["notice"]["is_told"] is False and "not a human" in document["notice"]["text"]
    assert document["time"] == "2026-03-02T04:00:00Z"


def test_a_child_sees_minutes_and_the_next_reminder(site: Site) -> None:
    """Asking is no use: nothing is counted by it, however often."""
    child = site.token(age_band="12-15")
    person = person_of(site, child)
    for minute in range(0, 16, 3):
        site.now = NOON + minute * 60
        do(site, site.minors.admit, person)
    for _ in range(3):
        minors = site.session(child)["minors"]
        limit = POLICY.number("minors.daily_minutes_under_16")
        assert (minors["used_minutes"], minors["minutes_left"]) == (15, limit - 15)
        assert minors["reminder_in_s"] == (POLICY.number("minors.continuous_reminder_minutes") - 15) * 60
        assert minors["is_curfew"] is False and minors["resumes_at"] is None
    assert minors["curfew"] == {"start": POLICY.text("minors.curfew_start"), "end": POLICY.text("minors.curfew_end")}


def test_a_child_sees_when_it_goes_on(site: Site) -> None:
    """In the curfew its end, with the minutes used up the next day's first minute."""
    child = site.token(age_band="8-11")
    site.now = datetime(2026, 3, 2, 23, 0, tzinfo=ZONE).timestamp()
    minors = site.session(child)["minors"]
    assert minors["is_curfew"] and minors["resumes_at"] == "2026-03-02T22:00:00Z"
    site.now = NOON
    person = person_of(site, child)
    do(site, site.minors.touch, person)
    for _ in range(30):
        site.now += 120
        do(site, site.minors.touch, person)
    minors = site.session(child)["minors"]
    assert (minors["minutes_left"], minors["resumes_at"]) == (0, "2026-03-02T22:00:00Z")


def test_whoever_was_put_into_minors_mode_sees_its_limits(site: Site) -> None:
    """The mode of the person, not only what the token says."""
    adult = site.token(age_band="18+")
    assert site.session(adult)["minors"] is None
    person = person_of(site, adult)
    do(site, site.minor_modes.enter, person.tenant, person.subject, Why.SUSPECTED, "signs")
    document = site.session(adult)
    assert document["person"]["is_protected"] and document["minors"]["minutes_left"] > 0


def test_banners_say_what_must_be_shown(site: Site) -> None:
    """A pause, an incident and a measure; a pause of another tenant and a reason are nobody's business."""
    anna = site.token()
    person = person_of(site, anna)
    pause = Pause("pause_1", "cli:li", "secret reason", NOON, expires_at=NOON + 60, model="m")
    do(site, site.switches.place, pause)
    do(site, site.switches.place, Pause("pause_2", "cli:li", "drill", NOON, tenant="other"))
    do(site, site.notices.place, person.tenant, person.subject, IncidentNotice("inc_1", "发生了", "It happened."))
    measure = Measure("mea_1", person.tenant, person.subject, Step.WARN, "secret reason", "cli:li", NOON)
    do(site, site.measures.place, measure)
    for _ in range(2):
        banners = site.session(anna | {"accept-language": "en"})["banners"]
        assert [banner["kind"] for banner in banners] == ["paused", "incident", "measure"]
    assert banners[0]["covers"] == {"model": "m"} and banners[0]["until"] == "2026-03-02T04:01:00Z"
    assert banners[1]["text"] == "It happened." and banners[2]["step"] == "warn"
    assert "secret" not in json.dumps(banners)
    assert [banner["kind"] for banner in site.session()["banners"]] == ["paused"]


def test_who_is_not_believed_learns_nothing(site: Site) -> None:
    """The same refusals as for a request to a model, as problems."""
    for path in ("/duty/session", "/duty/agreement"):
        answer = site.client.get(path, headers={"duty-subject": "a.b.c"})
        assert answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json"
        answer = site.client.get(path, headers={"x-api-key": "dbk_nobody"})
        assert answer.json()["code"] == "unknown_key"


def test_an_acceptance_is_recorded_and_then_counts(site: Site) -> None:
    """The record names version and person; the answer names the record."""
    anna = site.token()
    assert site.client.get("/duty/agreement", headers=anna).json()["is_accepted"] is False
    answer = site.client.post("/duty/agreement", headers=anna, json={"version": "2026-1"})
    assert answer.status_code == 200 and answer.json()["is_accepted"] is True
    assert answer.json()["record"] == answer.headers["duty-record"] == "rec1"
    person = person_of(site, anna)
    assert site.records == [
        {
            "type": "notice",
            "event": "agreement_accepted",
            "agreement_version": "2026-1",
            "tenant": "default",
            "subject": person.subject,
        }
    ]
    assert site.session(anna)["agreement"]["is_accepted"] is True
    assert site.session(site.token(sub="ben"))["agreement"]["is_accepted"] is False


def test_without_a_record_nothing_was_accepted(site: Site) -> None:
    """The person is asked to try again."""
    site.is_log_broken = True
    answer = site.client.post("/duty/agreement", headers=site.token(), json={"version": "2026-1"})
    assert answer.status_code == 503
    assert site.session(site.token())["agreement"]["is_accepted"] is False


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ("anna", {"version": "2025-9"}, 409, "agreement_outdated"),
        ("anna", {}, 422, "invalid_field"),
        ("anna", {"version": 1}, 422, "invalid_field"),
        ("", {"version": "2026-1"}, 401, "agreement_needs_subject"),
        ("forged", {"version": "2026-1"}, 401, "untrusted_token"),
    ],
)
def test_what_is_no_acceptance(site: Site, headers: str, body: dict[str, object], status: int, code: str) -> None:
    """Nothing is recorded."""
    forged = {"duty-subject": site.token()["duty-subject"][:-4] + "AAAA"}
    sent = {"anna": site.token(), "forged": forged}.get(headers, {})
    answer = site.client.post("/duty/agreement", headers=sent, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert site.records == []


def test_a_service_without_an_agreement_takes_none(tmp_path: Any) -> None:
    """404, and the session says that there is none."""
    site = Site(CaseStore.open(tmp_path / "cases.db"), service={"agreement_version": ""})
    with site.client:
        answer = site.client.post("/duty/agreement", headers=site.token(), json={"version": "1"})
        assert (answer.status_code, answer.json()["code"]) == (404, "no_agreement")
        assert site.session()["agreement"] is None
        site.client.portal.call(site.standing.close)  # type: ignore[union-attr]
