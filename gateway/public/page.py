# SPDX-License-Identifier: Apache-2.0
"""Makes the HTML pages: Jinja2 templates that escape everything, spoken through gettext catalogues.

The catalogues are read as `.po` files at start, so there is no build step between a translation and the page. A text
without a translation shows its English source; a test keeps both catalogues complete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from babel.dates import format_datetime, get_timezone_name
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Problem
from gateway.public.house import House
from gateway.public.negotiation import VIEWS, Manner, manner_of, prefers_html

STYLE_PATH = "/duty/static/duty.css"
LOCALES = {"zh": "zh_Hans", "en": "en"}
"""The catalogue of each language."""

_DATES = {"zh": "y年M月d日 HH:mm", "en": "d MMMM y, HH:mm"}
_BRIEF = "public, max-age=300"
_NEVER = "no-store"


def read_catalogue(language: str) -> Catalog:
    """The translations of `language`, `zh` or `en`."""
    path = resources.files("gateway.public").joinpath("locale", LOCALES[language], "LC_MESSAGES", "messages.po")
    with path.open("rb") as file:
        return read_po(file, locale=LOCALES[language], abort_invalid=True)


class Pages:
    """Renders the templates for one house. Made once at start; safe to share."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._tz = ZoneInfo(house.settings.identity.default_tz)
        self.style = resources.files("gateway.public").joinpath("static", "duty.css").read_bytes()
        self._style_url = f"{STYLE_PATH}?v={hashlib.sha256(self.style).hexdigest()[:12]}"
        self._environments = {language: self._environment(language) for language in LOCALES}

    def manner(self, request: Request) -> Manner:
        """How to speak to whoever sent `request`."""
        return manner_of(request, self._house.disclosure.default_language)

    def render(
        self,
        request: Request,
        template: str,
        context: dict[str, Any],
        *,
        status: int = 200,
        is_private: bool = True,
        page_path: str = "/duty/about",
    ) -> Response:
        """The page `template`.

        `is_private` keeps it out of caches; `page_path` is where its switches of language and form lead, with the
        parameters `kept` of the context.
        """
        manner = self.manner(request)
        text = (
            self._environments[manner.language]
            .get_template(template)
            .render({"manner": manner, "views": VIEWS, "page_path": page_path, "kept": {}} | context)
        )
        headers = {
            "cache-control": _NEVER if is_private else _BRIEF,
            "content-language": manner.locale,
            "vary": "Accept, Accept-Language",
        }
        return Response(text, status, headers, media_type="text/html")

    def problem(self, request: Request, problem: Problem) -> Response:
        """The problem as a page for those who read pages, else as JSON."""
        if not prefers_html(request.headers.get("accept", ""), False):
            return problem.response()
        return self.render(request, "problem.html", {"problem": problem}, status=problem.status)

    async def get_style(self, request: Request) -> Response:
        """The style sheet; its address changes with its content."""
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(self.style, headers=headers, media_type="text/css")

    def _environment(self, language: str) -> jinja2.Environment:
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("gateway.public", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        gettext = _gettext(read_catalogue(language))
        environment.install_gettext_callables(gettext, _no_plural, newstyle=True)  # type: ignore[attr-defined]
        environment.filters["when"] = lambda moment: self._when(moment, language)
        environment.globals.update(
            service=self._house.settings.service,
            policy=self._house.policy,
            notice=self._house.disclosure.notice,
            style_url=self._style_url,
        )
        return environment

    def _when(self, moment: datetime, language: str) -> str:
        local = moment.astimezone(self._tz)
        shown = format_datetime(local, _DATES[language], tzinfo=self._tz, locale=LOCALES[language])
        zone = get_timezone_name(local, locale=LOCALES[language])
        return f"{shown}（{zone}）" if language == "zh" else f"{shown} ({zone})"


def _gettext(catalogue: Catalog) -> Callable[[str], str]:
    texts = {
        message.id: message.string
        for message in catalogue
        if isinstance(message.id, str) and isinstance(message.string, str) and message.string and not message.fuzzy
    }
    return lambda text: texts.get(text, text)


def _no_plural(singular: str, plural: str, number: int) -> str:
    raise NotImplementedError("the pages have no plural forms: say it so that the number does not matter")
