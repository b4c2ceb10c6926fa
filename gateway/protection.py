# SPDX-License-Identifier: Apache-2.0
"""The stage `minors`: who is protected, what a guardian said, what a minor may not be given, and when.

The Anthropomorphic Measures article 14 (no virtual partner or kin, consent of a guardian, recognition with an appeal),
PIPL article 31 (under 14), and through `gateway.minors` the minors' mode guide. All of it is decided before the model
is called, in this order: the mode that somebody is kept in; signs in what was written; consent; blocked characters;
forbidden roles; curfew and minutes.

What must hold: an adult who is known as one costs two looks into dictionaries; a sign is counted once for each request
that bears it, over all replicas; nothing that was written is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import AgeBand, Exchange, Person
from gateway.guardians import Guardians
from gateway.identity import band_of_age
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.minor_mode import MinorModes, Why
from gateway.minors import DUTY, MinorsDuty
from gateway.settings import Settings
from gateway.state.interfaces import State
from gateway.suspicion import signs
from gateway.virtual_kin import asks_for_kin

SUSPECTED = "suspected_minor"
"""The kind of notice by which a person learns that they are taken for a minor, and how to appeal."""

_SIGNS = "minor_signs"
_DAY_S = 86_400


class PolicyValues(Protocol):
    """What this stage reads of the policy."""

    def number(self, key: str) -> int | float:
        """The number under `key`."""
        ...

    def flag(self, key: str) -> bool:
        """The switch under `key`."""
        ...


class Protection:
    """Refuses protected people what they may not have; tells others nothing."""

    def __init__(
        self,
        policy: PolicyValues,
        state: State,
        duty: MinorsDuty,
        guardians: Guardians,
        modes: MinorModes,
        *,
        asks_consent: bool,
        suspects: bool,
        strict_classes: frozenset[str],
        appeal_url: str,
        counted: Callable[[], None],
    ) -> None:
        """`asks_consent`: children below the policy's age need a guardian's consent here. `suspects`: signs in what is
        written count. `strict_classes` are judged more strictly for minors. `counted` is told of each person who is
        newly taken for a minor."""
        self._state = state
        self._duty = duty
        self._guardians = guardians
        self._modes = modes
        self._consent_under = policy.number("minors.guardian_consent_under") if asks_consent else 0
        self._denies_kin = policy.flag("minors.virtual_partner_denied")
        self._keeps_mode = policy.flag("minors.exit_by_guardian")
        self._signs_needed = policy.number("minors.suspicion_signs")
        self._signs_s = policy.number("minors.suspicion_days") * _DAY_S
        self._suspects = suspects
        self._strict_classes = strict_classes
        self._appeal_url = appeal_url
        self._counted = counted

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal`, answered in-band, and `StateUnavailable`."""
        if not exchange.is_generative:
            return
        person = self._modes.resolved(exchange.person)
        if self._keeps_mode and person.in_minor_mode:
            await self._modes.keep(person)
        if self._suspects and not person.is_protected and person.subject:
            person = await self._suspected(exchange, person)
        exchange.person = person
        if not person.is_protected:
            return
        exchange.strict_classes = self._strict_classes
        self._require_allowed(exchange, person)
        admitted = await self._duty.admit(person)
        exchange.usage = admitted.usage
        exchange.decide(admitted.decision)
        exchange.notices.extend(admitted.notices)

    async def _suspected(self, exchange: Exchange, person: Person) -> Person:
        """The person, in the minors' mode where the signs suffice now."""
        if person.age_band is AgeBand.ADULT and person.is_verified:
            return person
        found = signs(exchange.last_words)
        if not found or self._modes.is_cleared(person):
            return person
        count = await self._state.add(f"{_SIGNS}:{person.subject}", found, self._signs_s)
        if count < self._signs_needed:
            return person
        await self._modes.enter(person.tenant, person.subject, Why.SUSPECTED, "signs", exchange.record_id)
        self._counted()
        words = MESSAGES["minor_suspected"][language_of_prompt(exchange)].format(appeal=self._appeal_url)
        exchange.notices.append({"kind": SUSPECTED, "text": words, "appeal": self._appeal_url})
        exchange.decide(Decision(DUTY, Verdict.FLAG, Action.NOTIFY, reason="suspected"))
        return replace(person, in_minor_mode=True)

    def _require_allowed(self, exchange: Exchange, person: Person) -> None:
        link = self._guardians.of(person)
        if self._needs_consent(person) and (link is None or not link.consent_at):
            raise self._refusal(exchange, "consent", "minor_consent")
        if link is not None and exchange.model in link.wishes.blocked_models:
            raise self._refusal(exchange, "blocked_model", "minor_blocked_model")
        prompt = exchange.prompt
        if self._denies_kin and prompt is not None and asks_for_kin(prompt.texts):
            raise self._refusal(exchange, "virtual_kin", "minor_virtual_kin")

    def _needs_consent(self, person: Person) -> bool:
        """Whether the person may be younger than the age of consent. Who is only in the mode has no known age, and a
        guardian put them there."""
        if not self._consent_under or not person.age_band.is_minor:
            return False
        # A hint may name a younger band than the year of birth does; then the band counts.
        is_known = person.age >= 0 and band_of_age(person.age) is person.age_band
        youngest = person.age if is_known else person.age_band.youngest
        return youngest < self._consent_under

    @staticmethod
    def _refusal(exchange: Exchange, reason: str, words: str) -> Refusal:
        return Refusal(
            Decision(DUTY, Verdict.BLOCK, Action.REFUSE, reason=reason),
            status=403,
            code=words,
            message=MESSAGES[words][language_of_prompt(exchange)],
            in_band=True,
        )


def is_asked(setting: str, settings: Settings) -> bool:
    """Whether a setting of `companion`, `always` or `off` applies to this service."""
    return setting == "always" or (setting == "companion" and settings.companion.is_companion)
