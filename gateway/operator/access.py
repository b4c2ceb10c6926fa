# SPDX-License-Identifier: Apache-2.0
"""Who is asking, and whether they may: the token of a request, checked against the table in `tokens.py`.

The token comes as `Authorization: Bearer TOKEN` (RFC 6750), or as the password of `Authorization: Basic` (RFC 7617)
for tools that can only put credentials into a URL, such as readers of transparency logs. Never in a query.
"""

import base64
import binascii
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import Request

from gateway.errors import Problem
from gateway.operator.house import House
from gateway.operator.problems import ProblemError
from gateway.operator.tokens import Permission, Token

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="dutybound operator", Basic realm="dutybound operator"'}
DENIALS: Final = ("missing", "unknown", "role")
"""Why a request is denied, as the metric says it."""

_LONGEST_HEADER: Final = 1_024


def house_of(request: Request) -> House:
    """The house that this listener serves."""
    house: House = request.app.state.house
    return house


class Permit:
    """A dependency that lets a request pass whose token may do `permission`, and yields the token.

    Without a good token the answer is 401 with a challenge, with one of another role 403.
    """

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, request: Request) -> Token:
        """Check the request; runs in a thread, because the token file may have to be read."""
        house = house_of(request)
        values = request.headers.getlist("authorization")
        if not values:
            raise _unauthorised(house, "missing", "Send a token: Authorization: Bearer TOKEN")
        text = _token_text(values[0]) if len(values) == 1 else None
        token = None if text is None else house.tokens.check(text)
        if token is None:
            raise _unauthorised(house, "unknown", "The token is unknown, was revoked or has expired")
        if not token.may(self.permission):
            house.meters.operator_denials.inc("role")
            problem = Problem(403, "role_not_permitted", f"The role {token.role.value} may not do this")
            raise ProblemError(problem)
        return token


def _unauthorised(house: House, reason: str, detail: str) -> ProblemError:
    house.meters.operator_denials.inc(reason)
    return ProblemError(Problem(401, "token_required", "A token of this installation is needed", detail), _CHALLENGE)


def _token_text(header: str) -> str | None:
    scheme, _, value = header[:_LONGEST_HEADER].strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


RecordReader = Annotated[Token, Depends(Permit(Permission.READ_RECORDS))]
ComplaintReader = Annotated[Token, Depends(Permit(Permission.READ_COMPLAINTS))]
ComplaintOfficer = Annotated[Token, Depends(Permit(Permission.ANSWER_COMPLAINTS))]
IncidentReader = Annotated[Token, Depends(Permit(Permission.READ_INCIDENTS))]
IncidentOfficer = Annotated[Token, Depends(Permit(Permission.HANDLE_INCIDENTS))]
MeasureReader = Annotated[Token, Depends(Permit(Permission.READ_MEASURES))]
MeasureOfficer = Annotated[Token, Depends(Permit(Permission.TAKE_MEASURES))]
PauseOfficer = Annotated[Token, Depends(Permit(Permission.PAUSE))]
FileLabeller = Annotated[Token, Depends(Permit(Permission.LABEL_FILES))]
HoldKeeper = Annotated[Token, Depends(Permit(Permission.KEEP_HOLDS))]
Eraser = Annotated[Token, Depends(Permit(Permission.ERASE))]
BodyReader = Annotated[Token, Depends(Permit(Permission.READ_BODIES))]
FilterKeeper = Annotated[Token, Depends(Permit(Permission.RELOAD_FILTER))]
AnyRole = Annotated[Token, Depends(Permit(Permission.READ_VERSION))]
HouseOf = Annotated[House, Depends(house_of)]
