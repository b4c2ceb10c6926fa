# SPDX-License-Identifier: Apache-2.0
"""`/duty/about`: what people are told about the service, and where they acknowledge the notice.

Interim Measures article 10; Model AI Law article 34. A link of acknowledgement opens this page with the notice and a
button. Pressing it makes a record first and is remembered after: told without proof is not told.
"""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.disclosure import ABOUT_PATH, Acknowledgement, AcknowledgementError
from gateway.errors import Problem
from gateway.public.body import Refused, read_fields
from gateway.public.document import COMPLAINTS_PATH, PATH, disclosure_document, rights, service_facts
from gateway.public.house import House
from gateway.public.negotiation import prefers_html
from gateway.public.page import Pages

ACKNOWLEDGE_PATH = f"{ABOUT_PATH}/acknowledge"

_LINK_PROBLEMS = {
    "malformed": (400, "This link of acknowledgement is not ours", "Open the link of the refusal, whole."),
    "expired": (410, "This link of acknowledgement has expired", "Send a request again and open the new link."),
    "outdated": (409, "The notice has changed", "Send a request again and open the new link."),
}
_MINORS = (
    "minors.daily_minutes_under_16",
    "minors.daily_minutes_16_17",
    "minors.continuous_reminder_minutes",
    "minors.curfew_start",
    "minors.curfew_end",
)


class About:
    """The page and the acknowledgement."""

    def __init__(self, house: House, pages: Pages) -> None:
        self._house = house
        self._pages = pages
        self._document = orjson.dumps(disclosure_document(house))

    async def get(self, request: Request) -> Response:
        """The page, or for programs the document of `/.well-known/ai-disclosure.json`."""
        if not prefers_html(request.headers.get("accept", ""), True):
            headers = {"cache-control": "public, max-age=300", "vary": "Accept, Accept-Language"}
            return Response(self._document, headers=headers, media_type="application/json")
        token = request.query_params.get("ack", "")
        link = ""
        if token:
            try:
                self._house.disclosure.open_acknowledgement(token)
            except AcknowledgementError as error:
                token, link = "", error.code
        language = self._pages.manner(request).language
        context = {
            "kept": {"ack": token} if token else {},
            "rights": rights(self._house.settings, self._house.policy, language),
            "facts": service_facts(self._house.settings),
            "has_minors": all(key in self._house.policy for key in _MINORS),
            "token": token,
            "link": link,
            "acknowledge_path": ACKNOWLEDGE_PATH,
            "complaints_path": COMPLAINTS_PATH,
            "document_path": PATH,
        }
        is_private = bool(token or link)
        return self._pages.render(request, "about.html", context, is_private=is_private, page_path=ABOUT_PATH)

    async def acknowledge(self, request: Request) -> Response:
        """Take the acknowledgement of `ack`. Raises `Refused`, `AuditError` or `StateUnavailable`."""
        fields = await read_fields(request, self._house.settings.limits.body_timeout_s)
        acknowledgement = self._open(fields.get("ack"))
        record_id = await self._house.record(acknowledgement.facts())
        await self._house.disclosure.acknowledge(acknowledgement)
        headers = {"duty-record": record_id, "cache-control": "no-store"}
        if prefers_html(request.headers.get("accept", ""), False):
            response = self._pages.render(request, "acknowledged.html", {}, page_path=ABOUT_PATH)
            response.headers.update(headers)
            return response
        document = {"acknowledged": True, "notice_version": acknowledgement.version, "record": record_id}
        return Response(orjson.dumps(document), headers=headers, media_type="application/json")

    def _open(self, token: object) -> Acknowledgement:
        if not isinstance(token, str):
            detail = "ack: expected the text behind ack= in the link of the refusal"
            raise Refused(Problem(422, "invalid_field", "A field is missing or wrong", detail, (("field", "ack"),)))
        try:
            return self._house.disclosure.open_acknowledgement(token)
        except AcknowledgementError as error:
            status, title, detail = _LINK_PROBLEMS[error.code]
            raise Refused(Problem(status, f"acknowledgement_{error.code}", title, detail)) from None
