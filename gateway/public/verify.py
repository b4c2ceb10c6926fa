# SPDX-License-Identifier: Apache-2.0
"""`/duty/verify`: which labels a file or a text carries, which rules they meet, and whether we have its record.

EU AI Act article 50 and its code of practice, California SB 942 and the Labeling Measures all want anyone to be able to
check. A stranger's file is read in a process of its own with limits on memory and time; nothing of it is kept, nothing
is fetched, and an address in place of a file is refused. Of a record only its existence and its time are told, to
whoever has its id in a label, and its id to whoever shows a work that leads to it by its watermark or its fingerprint.
Checks are paced for each process, because each costs one, and for each client, so that nobody searches by trying.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from audit_log.record import format_time
from gateway.copies import led_to
from gateway.errors import Problem
from gateway.label_files import elements_of
from gateway.label_rules import Rule, is_unreadable, judged_file, judged_text, records_of
from gateway.public.body import JSON, MULTIPART, Refused, media_type_of, read_body, read_fields
from gateway.public.house import House
from gateway.public.negotiation import prefers_html
from gateway.public.page import Pages
from gateway.wires.form import Part, field_text, read_form
from gateway.wires.interfaces import BadRequest
from labeling import LabelError
from labeling.inspection import inspect_in_subprocess

VERIFY_PATH: Final = "/duty/verify"

MOST_TEXT_CHARS: Final = 50_000
MOST_PER_MINUTE: Final = 60
MOST_PER_CLIENT: Final = 30
MOST_INSIDE: Final = 8
_AT_ONCE: Final = 2
_BURST: Final = 20
_CHILD_S: Final = 15.0
_CHILD_BYTES: Final = 1 << 30
_MEGABYTE: Final = 1 << 20
_MOST_RECORDS: Final = 4
_ADDRESS = re.compile(r"\s*(?:https?|ftp|data|file):\S*\s*", re.IGNORECASE)

_URL = Problem(
    422, "url_refused", "Addresses are not opened here", "Save the file and send it as file, or paste the text as text."
)
_ONE = Problem(
    422, "invalid_field", "A field is missing or wrong", "Send exactly one: a file as file, or a text as text."
)
_UNREAD = Problem(
    422,
    "file_not_read",
    "This file could not be checked",
    "It is damaged, of a kind not known here, or takes more time or memory than is given.",
)
_BUSY = Problem(429, "too_many_checks", "Too many files are being checked", "Wait a little and send it again.")


class Pace:
    """At most `per_minute` on average and `burst` at once, by a clock in seconds (GCRA)."""

    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float]) -> None:
        self._interval_s = 60 / per_minute
        self._slack_s = self._interval_s * (burst - 1)
        self._clock = clock
        self._due_at = 0.0

    def wait_s(self) -> float:
        """0 where one more may be done, which then counts; else how long to wait."""
        now = self._clock()
        due_at = max(self._due_at, now)
        if due_at - now > self._slack_s:
            return due_at - now - self._slack_s
        self._due_at = due_at + self._interval_s
        return 0.0


class Paces:
    """A pace for each client, by its address; the least recent clients are forgotten.

    Behind a proxy all clients have the proxy's address: no header is believed about it.
    """

    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float], most_clients: int = 4_096) -> None:
        self._make: Callable[[], Pace] = lambda: Pace(per_minute, burst, clock)
        self._most = most_clients
        self._known: OrderedDict[str, Pace] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """As of :meth:`Pace.wait_s`, for the client at `address`; IPv6 counts by the network of 64 bits."""
        client = ":".join(address.split(":")[:4]) if ":" in address else address
        pace = self._known.get(client)
        if pace is None:
            pace = self._known[client] = self._make()
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(client)
        return pace.wait_s()


class Verify:
    """The page, and its JSON."""

    def __init__(self, house: House, pages: Pages) -> None:
        self._house = house
        self._pages = pages
        self._elements = elements_of(house.policy)
        self._most_bytes = house.settings.limits.request_body_bytes
        self._pace = Pace(MOST_PER_MINUTE, _BURST, house.clock)
        self._paces = Paces(MOST_PER_CLIENT, _BURST, house.clock)
        self._inside = 0
        self._children = asyncio.Semaphore(_AT_ONCE)

    async def get(self, request: Request) -> Response:
        """The forms, or for programs what may be sent."""
        if prefers_html(request.headers.get("accept", ""), True):
            return self._page(request, {}, is_private=False)
        document = {
            "method": "POST",
            "accepts": {
                MULTIPART: {"file": f"at most {self._most_bytes} bytes"},
                JSON: {"text": f"at most {MOST_TEXT_CHARS} characters"},
            },
        }
        headers = {"cache-control": "public, max-age=300", "vary": "Accept, Accept-Language"}
        return Response(orjson.dumps(document), headers=headers, media_type="application/json")

    async def post(self, request: Request) -> Response:
        """Check one file or one text. Raises `Refused`."""
        with self._slot(request.client.host if request.client is not None else ""):
            found, rules, copies = await self._checked(request)
            times = [await self._house.find_record(record_id) for record_id in records_of(found)[:_MOST_RECORDS]]
        known = [time_s for time_s in times if time_s is not None]
        record = {"named": bool(times), "exists": bool(known), "time": min(known) if known else None}
        if prefers_html(request.headers.get("accept", ""), False):
            context = {"found": found, "rules": rules, "record": _with_moment(record), "copies": copies}
            return self._page(request, context)
        shown = record | {"time": format_time(min(known)) if known else None}
        document = {**found, "rules": [rule.as_dict() for rule in rules], "record": shown, **copies}
        return Response(orjson.dumps(document), headers={"cache-control": "no-store"}, media_type="application/json")

    @contextmanager
    def _slot(self, address: str) -> Iterator[None]:
        """Room for one check, before its body is read. Raises `Refused` where there is none."""
        wait_s = 5.0 if self._inside >= MOST_INSIDE else self._paces.wait_s(address) or self._pace.wait_s()
        if wait_s:
            raise Refused(_BUSY, {"retry-after": str(max(1, round(wait_s)))})
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def _checked(self, request: Request) -> tuple[dict[str, Any], tuple[Rule, ...], dict[str, Any]]:
        """What was found, the rules, and to which works of ours it leads."""
        file, text = await self._sent(request)
        if file is None:
            return *judged_text(text, self._elements), await self._copies({}, text)
        async with self._children:
            try:
                found = await asyncio.to_thread(
                    inspect_in_subprocess,
                    file.data,
                    declared_mime=file.content_type,
                    trust_anchors_pem=self._house.c2pa_root_pem,
                    watermark_key=self._house.watermark_key,
                    watermark_method=self._house.settings.label.watermark_method,
                    with_prints=self._house.copies is not None,
                    timeout_s=_CHILD_S,
                    memory_bytes=_CHILD_BYTES,
                )
            except LabelError:
                raise Refused(_UNREAD) from None
        if is_unreadable(found):
            raise Refused(_UNREAD)
        copies = await self._copies(found)
        return *await asyncio.to_thread(judged_file, found, file.data, self._elements), copies  # a text may be long

    async def _copies(self, found: dict[str, Any], text: str | None = None) -> dict[str, Any]:
        """Which works of ours are shown, if any; the same members in any case."""
        return await asyncio.to_thread(led_to, self._house.copies, found, text)

    async def _sent(self, request: Request) -> tuple[Part | None, str]:
        """The file, or None and the text."""
        timeout_s = self._house.settings.limits.body_timeout_s
        if media_type_of(request) != MULTIPART:
            fields: Mapping[str, object] = await read_fields(request, timeout_s)
            file = None
        else:
            body = await read_body(request, timeout_s, self._most_bytes)
            try:
                parts = await asyncio.to_thread(read_form, body, request.scope["headers"])
                files = [part for part in parts if part.is_file and (part.data or part.filename)]
                fields = {part.name: field_text(part) for part in parts if not part.is_file}
            except BadRequest:
                detail = "Send a whole form in UTF-8."
                raise Refused(Problem(400, "invalid_form", "The body is not a form", detail)) from None
            if len(files) > 1:
                raise Refused(_ONE)
            file = files[0] if files else None
        text = fields.get("text", "")
        if fields.get("url"):
            raise Refused(_URL)
        if not isinstance(text, str) or bool(text.strip()) == (file is not None):
            raise Refused(_ONE)
        if len(text) > MOST_TEXT_CHARS:
            detail = f"At most {MOST_TEXT_CHARS} characters are accepted here; send it as a file."
            raise Refused(Problem(413, "text_too_long", "The text is too long", detail))
        if _ADDRESS.fullmatch(text):
            raise Refused(_URL)
        return file, text

    def _page(self, request: Request, context: dict[str, Any], *, is_private: bool = True) -> Response:
        filled = {"found": None, "verify_path": VERIFY_PATH, "most_mb": max(1, self._most_bytes // _MEGABYTE)}
        return self._pages.render(
            request, "verify.html", filled | context, is_private=is_private, page_path=VERIFY_PATH
        )


def _with_moment(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record's time as pages show it."""
    time_s = record["time"]
    return {**record, "time": None if time_s is None else datetime.fromtimestamp(time_s, UTC)}
