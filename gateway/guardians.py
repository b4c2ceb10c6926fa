# SPDX-License-Identifier: Apache-2.0
"""Guardians of minors: their link, their consent, and what they set (Order 766 article 43, PIPL article 31, the
Anthropomorphic Measures article 14 and the minors' mode guide).

The provider knows who is whose guardian and tells the gateway in one of two ways: an officer links a minor and hands
the guardian a code, or the provider signs a token with the claim `guardian_of`. Whoever comes with either may give or
withdraw consent, set times, block characters (models), look at the time used, and end the minors' mode.

What must hold: a link is a standing order, so every process and replica follows it, and a request looks into a
dictionary of its own process; a code is kept only as a keyed hash; what loosens is recorded before it holds; where the
policy does not let guardians exempt, they only tighten.
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from typing import Any

import orjson

from gateway.exchange import Person
from gateway.own_records import OwnRecords
from gateway.standing import Standing
from gateway.state.orders import Order

SHELF = "guardian"
CODES_SHELF = "guardian_code"
CODE_PREFIX = "grd_"
CODE_BYTES = 20
"""160 random bits: a code is its own proof, so it must be beyond guessing."""

MOST_MINUTES = 1_440
"""A day: a guardian who allows so many sets no limit."""
MOST_BLOCKED = 200
MOST_MODEL_CHARS = 128


class GuardianError(Exception):
    """A guardian's wish cannot be kept; the message names the field and what was expected, never what was sent."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a guardian set. Minutes of -1 and None: what the policy says. Without `has_curfew` the night is open."""

    daily_minutes: int = -1
    reminder_minutes: int = -1
    has_curfew: bool = True
    curfew_start: str = ""
    curfew_end: str = ""
    blocked_models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocked_models", tuple(self.blocked_models))
        for name in ("daily_minutes", "reminder_minutes"):
            minutes = getattr(self, name)
            least = 1 if name == "reminder_minutes" else 0
            if minutes != -1 and not least <= minutes <= MOST_MINUTES:
                raise GuardianError(f"{name}: expected {least} to {MOST_MINUTES} minutes, or null for the default")
        for name in ("curfew_start", "curfew_end"):
            if getattr(self, name) and not _is_time_of_day(getattr(self, name)):
                raise GuardianError(f'{name}: expected a time of day such as "21:30", or null for the service\'s own')
        if len(self.blocked_models) > MOST_BLOCKED or not all(
            isinstance(name, str) and 0 < len(name) <= MOST_MODEL_CHARS for name in self.blocked_models
        ):
            raise GuardianError(
                f"blocked_models: expected at most {MOST_BLOCKED} names of 1 to {MOST_MODEL_CHARS} characters"
            )


@dataclass(frozen=True, slots=True)
class Guardianship:
    """A minor's guardian. Times are seconds since the epoch; `consent_at` is 0 while there is no consent.

    `subject` is the minor's pseudonym, `code` the keyed hash of the guardian's code (empty where tokens are used).
    """

    tenant: str
    subject: str
    linked_at: float
    code: str = ""
    consent_at: float = 0.0
    wishes: Wishes = Wishes()

    @property
    def name(self) -> str:
        """Under which name its order stands."""
        return f"{self.tenant}/{self.subject}"

    def to_json(self) -> str:
        """As the order keeps it."""
        return orjson.dumps(asdict(self)).decode()


_FIELDS = tuple(field.name for field in fields(Guardianship))
_WISHES = tuple(field.name for field in fields(Wishes))


def guardianship_of(text: str) -> Guardianship:
    """The link that an order keeps. Raises `ValueError` where it is none."""
    kept: Any = orjson.loads(text)
    try:
        known = {name: kept[name] for name in _FIELDS if name in kept}
        known["wishes"] = Wishes(**{name: kept["wishes"][name] for name in _WISHES if name in kept["wishes"]})
        return Guardianship(**known)
    except (TypeError, KeyError, GuardianError):
        raise ValueError("an order of the shelf is not a guardian's link") from None


class Guardians:
    """The links in force, and what changes them."""

    def __init__(
        self, standing: Standing, records: OwnRecords, key: bytes, entropy: Callable[[int], bytes], *, may_exempt: bool
    ) -> None:
        """`key` hashes codes; `may_exempt` says whether a guardian may loosen the policy's times."""
        self._standing = standing
        self._records = records
        self._key = hmac.digest(key, b"dutybound guardian code", "sha256")
        self._entropy = entropy
        self.may_exempt: bool = may_exempt
        self._shelf = standing.shelf(SHELF)
        self._codes = standing.shelf(CODES_SHELF)
        self._read: dict[str, tuple[Order, Guardianship]] = {}

    def __len__(self) -> int:
        return len(self._shelf)

    def of(self, person: Person) -> Guardianship | None:
        """The link of this person, as far as this process knows; one look into a dictionary."""
        if not self._shelf or not person.subject:
            return None
        return self.find(person.tenant, person.subject)

    def find(self, tenant: str, subject: str) -> Guardianship | None:
        """The same by name."""
        name = f"{tenant}/{subject}"
        order = self._shelf.get(name)
        if order is None or order.value is None:
            self._read.pop(name, None)
            return None
        held = self._read.get(name)
        if held is None or held[0] is not order:
            if len(self._read) > len(self._shelf):  # links that ended since
                self._read.clear()
            held = self._read[name] = (order, guardianship_of(order.value))
        return held[1]

    def by_code(self, code: str) -> Guardianship | None:
        """The link whose guardian has this code."""
        order = self._codes.get(self._hash(code)) if code.startswith(CODE_PREFIX) else None
        if order is None or order.value is None:
            return None
        tenant, _, subject = order.value.partition("/")
        link = self.find(tenant, subject)
        return link if link is not None and link.code == order.key.partition("/")[2] else None

    async def link(self, tenant: str, subject: str, actor: str) -> str:
        """Link a minor to a guardian; gives the guardian's code, which nobody can read again.

        What a guardian set before stays; the code before ends. Raises `AuditError` and `StateUnavailable`.
        """
        _check_names(tenant, subject)
        code = CODE_PREFIX + b32encode(self._entropy(CODE_BYTES)).decode().lower()
        hashed = self._hash(code)
        before = await self._current(tenant, subject)
        await self._record(before or Guardianship(tenant, subject, 0.0), "linked", actor)
        await self._standing.place(CODES_SHELF, hashed, f"{tenant}/{subject}")
        await self._change(tenant, subject, lambda link: replace(link, code=hashed))
        if before is not None and before.code:
            await self._standing.withdraw(CODES_SHELF, before.code)
        return code

    async def unlink(self, tenant: str, subject: str, actor: str) -> bool:
        """End a link with its consent and all that was set; whether there was one."""
        taken = await self._standing.take(SHELF, f"{tenant}/{subject}")
        if taken is None:
            return False
        link = guardianship_of(taken)
        if link.code:
            await self._standing.withdraw(CODES_SHELF, link.code)
        await self._tell(link, "unlinked", actor)
        return True

    async def vouched(self, tenant: str, subject: str) -> Guardianship:
        """The link of a guardian for whom a signed token speaks; made where there was none."""
        _check_names(tenant, subject)
        link = await self._current(tenant, subject)
        if link is not None:
            return link
        await self._record(Guardianship(tenant, subject, 0.0), "linked", "token")
        return await self._change(tenant, subject, lambda made: made)

    async def consent(self, link: Guardianship, is_granted: bool) -> Guardianship:
        """Give or withdraw consent. Giving is recorded before it holds."""
        now = self._standing.clock()
        if is_granted:
            await self._record(link, "consent_given", "guardian")
            return await self._change(link.tenant, link.subject, lambda held: replace(held, consent_at=now))
        changed = await self._change(link.tenant, link.subject, lambda held: replace(held, consent_at=0.0))
        await self._tell(link, "consent_withdrawn", "guardian")
        return changed

    async def wish(self, link: Guardianship, **changes: Any) -> Guardianship:
        """Set what is named; the rest stays. Recorded before it holds. Raises `GuardianError`."""
        replace(link.wishes, **changes)  # refused before anything is recorded
        await self._record(link, "settings", "guardian", sorted(changes))
        return await self._change(
            link.tenant, link.subject, lambda held: replace(held, wishes=replace(held.wishes, **changes))
        )

    async def _current(self, tenant: str, subject: str) -> Guardianship | None:
        await self._standing.refresh()
        return self.find(tenant, subject)

    async def _change(self, tenant: str, subject: str, change: Callable[[Guardianship], Guardianship]) -> Guardianship:
        now = self._standing.clock()

        def changed(before: str | None) -> tuple[str, float]:
            held = Guardianship(tenant, subject, now) if before is None else guardianship_of(before)
            return change(held).to_json(), 0.0

        value = await self._standing.change(SHELF, f"{tenant}/{subject}", changed)
        assert value is not None
        return guardianship_of(value)

    async def _record(self, link: Guardianship, event: str, actor: str, changed: list[str] | None = None) -> None:
        await self._records.record(_facts(link, event, actor, changed))

    async def _tell(self, link: Guardianship, event: str, actor: str) -> None:
        await self._records.tell(_facts(link, event, actor, None))

    def _hash(self, code: str) -> str:
        return hmac.new(self._key, code.encode(), sha256).hexdigest()


def _facts(link: Guardianship, event: str, actor: str, changed: list[str] | None) -> dict[str, object]:
    return {
        "type": "measure",
        "event": f"guardian_{event}",
        "tenant": link.tenant,
        "subject": link.subject,
        "actor": actor,
        "changed": changed,
    }


def _check_names(tenant: str, subject: str) -> None:
    if not tenant or not subject or "/" in tenant:
        raise GuardianError("subject, tenant: expected the names that records know")


def _is_time_of_day(text: str) -> bool:
    hours, separator, minutes = text.partition(":")
    return (
        len(text) == len("00:00") and separator == ":" and text.isascii()
        and hours.isdigit() and minutes.isdigit() and "00" <= hours <= "23" and "00" <= minutes <= "59"
    )  # fmt: skip
