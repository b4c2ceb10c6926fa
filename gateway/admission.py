# SPDX-License-Identifier: Apache-2.0
"""The request duties about people, as the pipeline calls them: who is asking, may they now, were they told."""

from __future__ import annotations

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.disclosure import Disclosure
from gateway.exchange import Exchange
from gateway.identity import Identifier, IdentityError
from gateway.language import language_of_prompt
from gateway.minors import MinorsDuty


class Identify:
    """Sets `exchange.person` from the request's headers."""

    def __init__(self, identifier: Identifier) -> None:
        self._identifier = identifier

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` (401) where a token is forged, expired, malformed or missing though required."""
        try:
            exchange.person = await self._identifier.identify(exchange.headers)
        except IdentityError as error:
            decision = Decision("identify", Verdict.BLOCK, Action.REFUSE, reason=error.code)
            raise Refusal(decision, status=error.status, code=error.code, message=error.message) from None


class Minors:
    """Refuses protected people outside their hours and minutes; costs nothing for others."""

    def __init__(self, duty: MinorsDuty) -> None:
        self._duty = duty

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal`, answered in-band."""
        if exchange.is_generative and exchange.person.is_protected:
            admitted = await self._duty.admit(exchange.person)
            exchange.decide(admitted.decision)
            exchange.notices.extend(admitted.notices)


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
        exchange.head_notice = contact.notice
        exchange.decide(contact.decision)
