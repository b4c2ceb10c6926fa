# SPDX-License-Identifier: Apache-2.0
"""`/duty/complaints`: the entrance, the published process and time limits, and the way of a case for its complainant.

Interim Measures article 15. A case opens with its receipt and its secret. The secret
comes in the header `Duty-Secret`, in the query or, from our own forms, in the body, where it stays out of addresses.

Order: the complaint is on disk before anything else; then its facts go to the audit log; then it is answered. See
`complaints.desk` for why a failing log does not refuse a complaint.
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from complaints import Category, Filed, Invalid, Move, PublicView
from gateway.errors import Problem
from gateway.public.body import FORM, MULTIPART, Refused, media_type_of, read_fields
from gateway.public.desk import tell
from gateway.public.document import COMPLAINTS_PATH
from gateway.public.house import House
from gateway.public.negotiation import prefers_html
from gateway.public.page import Pages

STATUS_PATH = f"{COMPLAINTS_PATH}/status"

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_FIELDS = ("category", "text", "contact", "record", "tenant")
_SECRET_REQUIRED = Problem(
    401,
    "secret_required",
    "A case opens with its secret",
    "Send the secret that came with the receipt in the header Duty-Secret.",
)


class Complaints:
    """The entrance and the cases behind it."""

    def __init__(self, house: House, pages: Pages) -> None:
        self._house = house
        self._pages = pages
        self._desk = house.desk

    async def get(self, request: Request) -> Response:
        """The process with its time limits, and the form."""
        if not prefers_html(request.headers.get("accept", ""), True):
            manner = self._pages.manner(request)
            process = self._desk.process(manner.language).to_dict()
            headers = {"cache-control": "public, max-age=300", "vary": "Accept, Accept-Language"}
            headers["content-language"] = manner.locale
            return Response(orjson.dumps(process), headers=headers, media_type="application/json")
        values = {name: request.query_params.get(name, "") for name in ("category", "record", "tenant")}
        return self._form(request, values, is_private=any(values.values()))

    async def post(self, request: Request) -> Response:
        """Take a complaint: 201 with receipt, secret, due date and address."""
        fields = await self._fields(request)
        try:
            filed = await asyncio.to_thread(
                self._desk.file,
                fields.get("category"),
                fields.get("text"),
                contact=fields.get("contact"),
                record=fields.get("record"),
                tenant=fields.get("tenant"),
                language=self._pages.manner(request).language,
            )
        except Invalid as error:
            if media_type_of(request) not in (FORM, MULTIPART) or not _wants_html(request):
                raise
            values = {name: value for name in _FIELDS if isinstance(value := fields.get(name), str)}
            return self._form(request, values, wrong_field=error.field)
        record_id = await tell(self._desk, self._house.record, filed.facts)
        return self._filed(request, filed, record_id)

    async def case(self, request: Request) -> Response:
        """Where a case stands. Without a secret, the page that asks for it."""
        receipt = request.path_params["receipt"]
        secret = _secret(request, {})
        if secret is None:
            if _wants_html(request):
                context = {"receipt": receipt, "status_path": STATUS_PATH}
                page_path = f"{COMPLAINTS_PATH}/{quote(receipt, safe='')}"
                return self._pages.render(request, "find.html", context, page_path=page_path)
            raise Refused(_SECRET_REQUIRED, {"www-authenticate": 'Duty-Secret realm="complaint"'})
        return await self._show(request, receipt, secret)

    async def status(self, request: Request) -> Response:
        """The same for our own form, which keeps the secret out of the address."""
        fields = await self._fields(request)
        return await self._show(request, fields.get("receipt"), _secret(request, fields))

    async def appeal(self, request: Request) -> Response:
        """Ask for a review by another person, with grounds in `text`."""
        receipt, fields = request.path_params["receipt"], await self._fields(request)
        secret = _secret(request, fields)
        try:
            move = await asyncio.to_thread(self._desk.appeal, receipt, secret, fields.get("text"))
        except Invalid as error:
            if not _wants_html(request):
                raise
            return await self._show(request, receipt, secret, wrong_field=error.field)
        return await self._moved(request, move, receipt, secret)

    async def withdraw(self, request: Request) -> Response:
        """Take the complaint back. The body may be left out where the secret comes in the header."""
        receipt = request.path_params["receipt"]
        fields = await self._fields(request) if media_type_of(request) else {}
        secret = _secret(request, fields)
        move = await asyncio.to_thread(self._desk.withdraw, receipt, secret)
        return await self._moved(request, move, receipt, secret)

    async def _fields(self, request: Request) -> dict[str, object]:
        return await read_fields(request, self._house.settings.limits.body_timeout_s)

    async def _moved(self, request: Request, move: Move, receipt: str, secret: object) -> Response:
        record_id = await tell(self._desk, self._house.record, move.facts)
        response = await self._show(request, receipt, secret, done=move.case.state.key)
        if record_id:
            response.headers["duty-record"] = record_id
        return response

    async def _show(
        self, request: Request, receipt: object, secret: object, *, done: str = "", wrong_field: str = ""
    ) -> Response:
        view: PublicView = await asyncio.to_thread(self._desk.status, receipt, secret)
        manner = self._pages.manner(request)
        if not _wants_html(request):
            headers = {"cache-control": "no-store", "content-language": manner.locale}
            return Response(orjson.dumps(view.to_dict(manner.language)), headers=headers, media_type="application/json")
        context = {
            "view": view,
            "secret": secret,
            "case_path": f"{COMPLAINTS_PATH}/{view.receipt}",
            "text_chars_max": self._desk.process(manner.language).text_chars_max,
            "done": done,
            "wrong_field": wrong_field,
        }
        status = 422 if wrong_field else 200
        return self._pages.render(request, "case.html", context, status=status, page_path=COMPLAINTS_PATH)

    def _form(
        self, request: Request, values: dict[str, str], *, wrong_field: str = "", is_private: bool = True
    ) -> Response:
        language = self._pages.manner(request).language
        context = {
            "process": self._desk.process(language),
            "categories": [(category.key, category.label(language)) for category in Category],
            "kept": {name: values[name] for name in ("category", "record", "tenant") if values.get(name)},
            "values": {name: values.get(name, "") for name in _FIELDS},
            "wrong_field": wrong_field,
            "complaints_path": COMPLAINTS_PATH,
            "status_path": STATUS_PATH,
        }
        return self._pages.render(
            request,
            "complaints.html",
            context,
            status=422 if wrong_field else 200,
            is_private=is_private,
            page_path=COMPLAINTS_PATH,
        )

    def _filed(self, request: Request, filed: Filed, record_id: str) -> Response:
        path = f"{COMPLAINTS_PATH}/{filed.receipt}"
        url = (self._house.public_url or _origin(request)) + path
        headers = {"location": path, "cache-control": "no-store"}
        if record_id:
            headers["duty-record"] = record_id
        if _wants_html(request):
            context = {"filed": filed, "url": url, "status_path": STATUS_PATH}
            response = self._pages.render(request, "filed.html", context, status=201, page_path=COMPLAINTS_PATH)
            response.headers.update(headers)
            return response
        document = {
            "receipt": filed.receipt,
            "secret": filed.secret,
            "due": filed.due.isoformat(timespec="seconds"),
            "url": url,
            "state": filed.state.key,
        }
        return Response(orjson.dumps(document), 201, headers, media_type="application/json")


def _wants_html(request: Request) -> bool:
    # Browsers name text/html; programs, also those that send forms, rarely name anything and get JSON.
    return prefers_html(request.headers.get("accept", ""), False)


def _secret(request: Request, fields: dict[str, object]) -> object:
    for given in (request.headers.get("duty-secret"), request.query_params.get("secret"), fields.get("secret")):
        if given:
            return given
    return None


def _origin(request: Request) -> str:
    """Where this client reached us; empty for a Host that is none, which leaves a relative address."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}" if _HOST.fullmatch(host) else ""
