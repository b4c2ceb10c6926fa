# SPDX-License-Identifier: Apache-2.0
"""The request duties about people, as the pipeline calls them: who is asking, and were they told."""

from __future__ import annotations

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.disclosure import READINGS, Disclosure
from gateway.exchange import AgeBand, Exchange
from gateway.identity import Identifier, IdentityError
from gateway.language import is_traditional, language_of_prompt

READING_HEADER = b"duty-reading"
"""In which form the client wants the notice: `standard`, `large`, `easy` or `spoken`. Needs no signature: all of them
tell the same."""


class Identify:
    """Sets `exchange.person` from the request's headers."""

    def __init__(self, identifier: Identifier) -> None:
        self._identifier = identifier

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` (401) where a token is forged, expired, malformed or missing though required."""
        try:
            exchange.person = await self._identifier.identify(exchange.headers, exchange.peer)
        except IdentityError as error:
            decision = Decision("identify", Verdict.BLOCK, Action.REFUSE, reason=error.code)
            raise Refusal(decision, status=error.status, code=error.code, message=error.message) from None


class FirstContact:
    """Finds out whether this answer must begin with the notice."""

    def __init__(self, disclosure: Disclosure) -> None:
        self._disclosure = disclosure

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` (428) in mode `acknowledge`."""
        if not exchange.is_generative:
            return
        exchange.notice_version = self._disclosure.notice.version
        language = "" if self._disclosure.mode == "interface" else language_of_prompt(exchange)
        contact = await self._disclosure.first_contact(exchange.person, language)
        if contact.notice:
            exchange.head_notice = self._disclosure.notice.text(*_manner(exchange, language))
        exchange.decide(contact.decision)


_EASY = (AgeBand.UNDER_3, AgeBand.FROM_3, AgeBand.FROM_8)
"""Who is told in easy language without asking for it (Model AI Law article 34 paragraph 4)."""


def _manner(exchange: Exchange, language: str) -> tuple[str, str]:
    """In which language and reading the person is told: as the client asks (`Duty-Reading`, traditional Chinese in
    `Accept-Language`), else children in easy language."""
    reading = "easy" if exchange.person.age_band in _EASY else "standard"
    for name, value in exchange.headers:
        if name == READING_HEADER:
            asked = value.decode("latin-1").strip().lower()
            reading = asked if asked in READINGS else reading
        elif name == b"accept-language" and language != "en" and is_traditional(value.decode("latin-1")):
            language = "zh_hant"
    return language, reading
