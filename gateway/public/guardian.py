# SPDX-License-Identifier: Apache-2.0
"""`/duty/guardian`: what a guardian sees and sets for the minor whom they are linked to.

Order 766 article 43 and the Anthropomorphic Measures article 14: an overview of use, consent, times, characters that
are blocked, and the minors' mode with its end. For programs (the provider's guardian app or page). The guardian comes
with `Duty-Guardian`: the code that an officer gave them, or a token that the provider signed with `guardian_of`. They
learn of this one minor only, and of no word that was written.

What loosens is recorded before it holds; see `gateway.guardians`.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import Problem
from gateway.exchange import Person
from gateway.guardians import CODE_PREFIX, GuardianError, Guardianship
from gateway.identity import IdentityError
from gateway.minor_mode import Why
from gateway.public.body import Refused, read_fields
from gateway.public.house import House, People
from gateway.public.resource import Resource

GUARDIAN_PATH = "/duty/guardian"
HEADER = "duty-guardian"

_PRIVATE = {"cache-control": "no-store"}
_REQUIRED = Problem(
    401,
    "guardian_required",
    "A guardian is needed here",
    "Send the guardian's code, or a signed token with guardian_of, in the header Duty-Guardian.",
)
_CHALLENGE = {"www-authenticate": 'Duty-Guardian realm="guardian"'}
_NUMBERS = ("daily_minutes", "reminder_minutes")
_MOMENTS = ("curfew_start", "curfew_end")
_UNSET = -1


def guardian_routes(house: House, people: People) -> list[Route]:
    """The routes of a guardian."""
    desk = GuardianDesk(house, people)
    return [
        Route(GUARDIAN_PATH, Resource({"GET": desk.get})),
        Route(f"{GUARDIAN_PATH}/consent", Resource({"POST": desk.consent})),
        Route(f"{GUARDIAN_PATH}/settings", Resource({"POST": desk.settings})),
        Route(f"{GUARDIAN_PATH}/mode", Resource({"POST": desk.mode})),
    ]


class GuardianDesk:
    """The handlers."""

    def __init__(self, house: House, people: People) -> None:
        self._house = house
        self._people = people

    async def get(self, request: Request) -> Response:
        """Consent, what was set, the use of the last days, and whether the mode is on."""
        return await self._answer(await self._guardian(request))

    async def consent(self, request: Request) -> Response:
        """`{"granted": true}` gives consent, false withdraws it."""
        link = await self._guardian(request)
        granted = _flag(await self._fields(request), "granted")
        return await self._answer(await self._people.guardians.consent(link, granted))

    async def settings(self, request: Request) -> Response:
        """Set what is named; null: the service's own. The rest stays."""
        link = await self._guardian(request)
        changes = _changes(await self._fields(request))
        try:
            changed = await self._people.guardians.wish(link, **changes)
        except GuardianError as error:
            field, _, _ = str(error).partition(":")
            raise _invalid(field, str(error)) from None
        return await self._answer(changed)

    async def mode(self, request: Request) -> Response:
        """`{"on": true}` puts the minor into the mode, false ends it: the guardian is the verification."""
        link = await self._guardian(request)
        modes = self._people.minor_modes
        if _flag(await self._fields(request), "on"):
            await modes.enter(link.tenant, link.subject, Why.GUARDIAN, "guardian")
        else:
            await modes.leave(link.tenant, link.subject, "guardian")
        return await self._answer(link)

    async def _guardian(self, request: Request) -> Guardianship:
        """Whose guardian asks. Raises `Refused`."""
        values = request.headers.getlist(HEADER)
        if len(values) != 1:
            raise Refused(_REQUIRED, _CHALLENGE)
        people = self._people
        await people.standing.require_current()
        if values[0].startswith(CODE_PREFIX):
            link = people.guardians.by_code(values[0])
            if link is None:
                raise Refused(
                    Problem(401, "unknown_code", "This code is not in force", "Ask the provider for a new one."),
                    _CHALLENGE,
                )
            return link
        try:
            tenant, subject = await people.identifier.guardian(values[0].encode("latin-1"))
        except IdentityError as error:
            raise Refused(
                Problem(error.status, error.code, "The guardian's token is not believed", error.message), _CHALLENGE
            ) from None
        return await people.guardians.vouched(tenant, subject)

    async def _fields(self, request: Request) -> dict[str, object]:
        return await read_fields(request, self._house.settings.limits.body_timeout_s)

    async def _answer(self, link: Guardianship) -> Response:
        people = self._people
        # The minor's own zone is known only from their tokens; days are those of the service.
        minor = Person(tenant=link.tenant, subject=link.subject, tz=self._house.settings.identity.default_tz)
        entry = people.minor_modes.of(minor)
        wishes = link.wishes
        document: dict[str, Any] = {
            "consent": {"granted": bool(link.consent_at), "since_s": int(link.consent_at) or None},
            "settings": {
                "daily_minutes": _or_null(wishes.daily_minutes),
                "reminder_minutes": _or_null(wishes.reminder_minutes),
                "curfew": wishes.has_curfew,
                "curfew_start": wishes.curfew_start or None,
                "curfew_end": wishes.curfew_end or None,
                "blocked_models": list(wishes.blocked_models),
            },
            "may_exempt": people.guardians.may_exempt,
            "minor_mode": {"on": entry is not None, "why": None if entry is None else entry.why.value},
            "use": [
                {"date": date, "minutes": int(seconds // 60)}
                for date, seconds in (await people.minors.days(minor)).items()
            ],
            "tz": minor.tz,
        }
        return Response(orjson.dumps(document), headers=_PRIVATE, media_type="application/json")


def _changes(fields: dict[str, object]) -> dict[str, Any]:
    """What a body sets, in the words of `Wishes`. Raises `Refused`."""
    known = {*_NUMBERS, *_MOMENTS, "curfew", "blocked_models"}
    unknown = [name for name in fields if name not in known]
    if unknown or not fields:
        raise _invalid("settings", f"expected some of {', '.join(sorted(known))}")
    changes: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "curfew":
            changes["has_curfew"] = _flag(fields, name)
        elif name == "blocked_models":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise _invalid(name, f"{name}: expected a list of names")
            changes[name] = tuple(value)
        elif name in _NUMBERS:
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise _invalid(name, f"{name}: expected whole minutes, or null")
            changes[name] = _UNSET if value is None else value
        else:
            if value is not None and (not isinstance(value, str) or not value):
                raise _invalid(name, f'{name}: expected a time of day such as "21:30", or null')
            changes[name] = value or ""
    return changes


def _flag(fields: dict[str, object], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise _invalid(name, f"{name}: expected true or false, as JSON")
    return value


def _invalid(field: str, detail: str) -> Refused:
    return Refused(Problem(422, "invalid_field", "A field is missing or wrong", detail, (("field", field),)))


def _or_null(minutes: int) -> int | None:
    return None if minutes == _UNSET else minutes
