# SPDX-License-Identifier: Apache-2.0
"""The gates before use: whose real identity must be known, and who accepted the service agreement.

Interim Measures article 9 paragraph 2: the provider has a service agreement with registered users. Its version is
named in the settings; who has not accepted that version is told where to, and a new version is accepted anew. Whether
real identity is asked for is the policy's or the settings' choice; only a signed token vouches for it.

What must hold: an acceptance is a durable record before it counts; where nobody can tell who accepted, nobody passes;
an anonymous person has no memory and cannot accept. Where neither gate is set, a request pays for one comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Exchange, Person
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.policies import Policy
from gateway.settings import Settings

DUTY = "gates"
AGREEMENT_PATH = "/duty/agreement"

_DAY_S = 86_400
_MAX_KNOWN = 100_000
"""Bound on what one process remembers; who falls out is looked up in the state again."""


class Memory(Protocol):
    """What is needed of the state that replicas share."""

    async def remember(self, key: str, value: str, ttl_s: float) -> None:
        """Keep `value` under `key` for `ttl_s` seconds."""

    async def recall(self, key: str) -> str | None:
        """The value under `key`, or None."""


class Agreement:
    """The service agreement and who accepted it. `version` is empty where none is asked for."""

    def __init__(self, settings: Settings, policy: Policy, state: Memory, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since the epoch."""
        is_asked = policy.flag("agreement.before_first_use")
        self.version = settings.service.agreement_version if is_asked else ""
        self.url = settings.service.agreement_url
        self.path = settings.server.public_url.rstrip("/") + AGREEMENT_PATH
        self._kept_s = policy.number("agreement.accepted_days") * _DAY_S
        self._state = state
        self._clock = clock
        self._known: dict[str, float] = {}

    async def is_accepted(self, person: Person) -> bool:
        """Whether the person accepted the version in force. Raises `StateUnavailable`."""
        if not self.version:
            return True
        if not person.subject:
            return False
        key = self._key(person)
        now = self._clock()
        known_until = self._known.get(key)
        if known_until is not None and now < known_until:
            return True
        accepted_at = await self._state.recall(key)
        if accepted_at is None:
            return False
        self._keep(key, int(accepted_at) + self._kept_s)
        return now < self._known[key]

    def facts(self, person: Person) -> dict[str, object]:
        """What the record of an acceptance says."""
        return {
            "type": "notice",
            "event": "agreement_accepted",
            "agreement_version": self.version,
            "tenant": person.tenant,
            "subject": person.subject,
        }

    async def accept(self, person: Person) -> None:
        """Remember that a person with a subject accepted the version in force. Its record must be durable before.

        Raises `StateUnavailable` where it cannot be remembered: the person has to try again.
        """
        now = int(self._clock())
        key = self._key(person)
        await self._state.remember(key, str(now), self._kept_s)
        self._keep(key, now + self._kept_s)

    def _key(self, person: Person) -> str:
        return f"agreement:{self.version}:{person.tenant}:{person.subject}"

    def _keep(self, key: str, until: float) -> None:
        self._known.pop(key, None)
        while len(self._known) >= _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[key] = until


class Gates:
    """Both gates. The stage `gates` of the pipeline."""

    def __init__(self, agreement: Agreement, settings: Settings, policy: Policy) -> None:
        self.agreement = agreement
        choice = settings.identity.require_verified
        self.needs_verified = choice == "always" or (choice == "policy" and policy.flag("identity.verified_only"))
        self._is_open = not self.needs_verified and not agreement.version

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` (403) with the next step, and `StateUnavailable`."""
        if self._is_open or not exchange.is_generative:
            return
        person = exchange.person
        if self.needs_verified and not (person.is_signed and person.is_verified):
            raise self._refusal(exchange, "verification_required")
        if not await self.agreement.is_accepted(person):
            reason = "agreement_required" if person.subject else "agreement_needs_subject"
            raise self._refusal(exchange, reason)

    def _refusal(self, exchange: Exchange, reason: str) -> Refusal:
        agreement = self.agreement
        words = MESSAGES[reason][language_of_prompt(exchange)].format(
            version=agreement.version, terms=agreement.url or agreement.path, path=agreement.path
        )
        link = f'<{agreement.url or agreement.path}>; rel="terms-of-service"'
        return Refusal(
            Decision(DUTY, Verdict.BLOCK, Action.REFUSE, reason=reason),
            status=403,
            code=reason,
            message=words,
            headers=() if reason == "verification_required" else (("Link", link),),
        )
