# SPDX-License-Identifier: Apache-2.0
"""`/duty/session` and `/duty/agreement`: what an app has to show to the person who is using it, and their consent.

Both are for programs and take the same identity as requests to a model (`Duty-Subject`, an API key): whoever asks
learns of themselves only. `/duty/session` tells the minutes left, the next reminder, the curfew, and what must be shown
all the time (a pause, an incident, a measure): asking counts as no use and tells nobody anything in the sense of a
duty. `POST /duty/agreement` takes the acceptance of the service agreement (Interim Measures article 9 paragraph 2): the
record first, then it counts.
"""

from __future__ import annotations

import time
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Problem
from gateway.exchange import Exchange, Person
from gateway.gates import AGREEMENT_PATH
from gateway.identity import IdentityError
from gateway.language import is_traditional, preferred
from gateway.messages import MESSAGES
from gateway.minors import Outlook
from gateway.public.body import Refused, read_fields
from gateway.public.house import House, People

__all__ = ["AGREEMENT_PATH", "SESSION_PATH", "AgreementDesk", "Session"]

SESSION_PATH = "/duty/session"
_PRIVATE = {"cache-control": "no-store", "vary": "Accept-Language"}


class Session:
    """`GET /duty/session`."""

    def __init__(self, house: House, people: People) -> None:
        self._house = house
        self._people = people

    async def get(self, request: Request) -> Response:
        """The document. Raises `Refused` where the identity is not believed, and `StateUnavailable`."""
        people, house = self._people, self._house
        await people.standing.require_current()
        person = await who_asks(people, request)
        language = preferred(request.headers.get("accept-language", ""), house.disclosure.default_language)
        exchange = Exchange("", house.clock(), "session", SESSION_PATH, person=person, language=language)
        agreement = people.agreement
        document = {
            "time": _moment(house.clock()),
            "person": {
                "is_known": bool(person.subject),
                "is_verified": person.is_signed and person.is_verified,
                "tenant": person.tenant,
                "age_band": person.age_band.value,
                "is_protected": person.is_protected,
                "tz": person.tz,
            },
            "minors": _minors(await people.minors.outlook(person)),
            "agreement": {
                "version": agreement.version,
                "url": agreement.url or None,
                "is_accepted": await agreement.is_accepted(person),
            }
            if agreement.version
            else None,
            "notice": {
                "version": house.disclosure.notice.version,
                "text": house.disclosure.notice.text(*_notice_manner(request, language)),
                "is_told": await house.disclosure.is_told(person),
            },
            "banners": self._banners(exchange),
        }
        headers = _PRIVATE | {"content-language": "zh-Hans" if language == "zh" else "en"}
        return Response(orjson.dumps(document), headers=headers, media_type="application/json")

    def _banners(self, exchange: Exchange) -> list[dict[str, Any]]:
        people = self._people
        banners: list[dict[str, Any]] = [
            {
                "kind": "paused",
                "text": MESSAGES["paused"][exchange.language],
                "covers": {
                    name: value for name in ("model", "wire", "kind") if (value := getattr(pause, name))
                },
                "until": _moment(pause.expires_at) if pause.expires_at else None,
            }
            for pause in people.switches.in_force()
            if pause.tenant in ("", exchange.person.tenant)
        ]  # fmt: skip
        banners += people.incident_notices.waiting(exchange)
        measure = people.measures.notice(exchange)
        if measure is not None:
            banners.append(measure)
        return banners


class AgreementDesk:
    """`GET` and `POST /duty/agreement`."""

    def __init__(self, house: House, people: People) -> None:
        self._house = house
        self._people = people

    async def get(self, request: Request) -> Response:
        """Which version is in force and whether whoever asks has accepted it."""
        person = await who_asks(self._people, request)
        return await self._answer(person)

    async def post(self, request: Request) -> Response:
        """Take an acceptance of `version`. Raises `Refused`, `AuditError` or `StateUnavailable`."""
        agreement = self._people.agreement
        person = await who_asks(self._people, request)
        fields = await read_fields(request, self._house.settings.limits.body_timeout_s)
        version = fields.get("version")
        if not agreement.version:
            raise Refused(
                Problem(404, "no_agreement", "This service asks for no agreement", "Nothing has to be accepted.")
            )
        if not person.subject:
            detail = "Send the person's signed token, with sub, in the header Duty-Subject."
            raise Refused(Problem(401, "agreement_needs_subject", "It is not known who accepts", detail))
        if not isinstance(version, str) or not version:
            detail = "version: expected the version that the person has read"
            raise Refused(Problem(422, "invalid_field", "A field is missing or wrong", detail, (("field", "version"),)))
        if version != agreement.version:
            detail = f"Version {agreement.version} is in force: show it, then send it."
            raise Refused(Problem(409, "agreement_outdated", "Another version of the agreement is in force", detail))
        record_id = await self._house.record(agreement.facts(person))
        await agreement.accept(person)
        return await self._answer(person, {"duty-record": record_id}, record=record_id)

    async def _answer(self, person: Person, headers: dict[str, str] | None = None, **more: str) -> Response:
        agreement = self._people.agreement
        document = {
            "version": agreement.version or None,
            "url": agreement.url or None,
            "is_accepted": await agreement.is_accepted(person),
            **more,
        }
        return Response(orjson.dumps(document), headers=_PRIVATE | (headers or {}), media_type="application/json")


async def who_asks(people: People, request: Request) -> Person:
    """The person, by the same rules as for a request to a model. Raises `Refused` and `StateUnavailable`."""
    try:
        peer = request.client.host if request.client is not None else ""
        return people.minor_modes.resolved(await people.identifier.identify(request.scope["headers"], peer))
    except IdentityError as error:
        problem = Problem(error.status, error.code, "Who is asking is not believed", error.message)
        raise Refused(problem) from None


def _notice_manner(request: Request, language: str) -> tuple[str, str]:
    """Language and reading of the notice: traditional Chinese where it is asked for, the reading of `reading=`."""
    is_hant = language == "zh" and is_traditional(request.headers.get("accept-language", ""))
    return "zh_hant" if is_hant else language, request.query_params.get("reading", "standard")


def _minors(outlook: Outlook | None) -> dict[str, Any] | None:
    if outlook is None:
        return None
    return {
        "used_minutes": int(outlook.used_s // 60),
        "minutes_left": None if outlook.left_s is None else int(outlook.left_s // 60),
        "reminder_in_s": None if outlook.reminder_in_s is None else int(outlook.reminder_in_s),
        "is_curfew": outlook.is_curfew,
        "curfew": {"start": outlook.curfew_start, "end": outlook.curfew_end},
        "resumes_at": None if outlook.resumes_at is None else _moment(outlook.resumes_at),
    }


def _moment(seconds: float) -> str:
    """RFC 3339, in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
