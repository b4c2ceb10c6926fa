# SPDX-License-Identifier: Apache-2.0
"""Measures against people who ask for illegal content: warn, restrict, suspend, end (Interim Measures article 14(2)).

The law names the steps; the numbers are the policy's (`sanctions.*`). A blocked prompt or a stopped answer of a known
person counts, by day and in a row; the ladder takes a step by itself up to the one that the settings allow, people take
every step. What each step does:

- `warn`: every answer says so beside its text, and a refused prompt within it;
- `restrict`: besides, few requests a minute, no tools, no stored files, no pictures, sounds or films;
- `suspend`: requests are refused until the time named;
- `terminate`: requests are refused.

What must hold: a measure is a standing order, so every process follows it; each step is a record with its evidence and
names the entrance for complaints; counting is atomic over all processes; a person without a signed name has no ladder,
because strangers would be punished together; who is under no measure pays for one look into a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import orjson

from content_filter import CLASSES
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Exchange, Outcome
from gateway.kinds import KINDS
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.own_records import OwnRecords
from gateway.settings import Settings
from gateway.standing import Standing
from gateway.state.interfaces import State
from gateway.state.orders import Order

DUTY = "measures"
SHELF = "measure"
STRIKES = "strikes"
NOTICE = "measure"
"""The kind of notice by which a person learns of a measure."""

MOST_EVIDENCE = 20
MOST_REASON_CHARS = 500
LADDER = "ladder"
"""The actor of a step that the ladder took by itself."""

_COUNTED_DUTIES = frozenset({"content_filter", "context_check"})
_RESTRICTED_KINDS = ("tools", "media", "files")
_DAY_S = 86_400
_HOUR_S = 3_600
_MINUTE_S = 60


class MeasureError(Exception):
    """A measure cannot be as asked; the message names the field and what was expected, never what was sent."""


class Step(StrEnum):
    """The steps, the mildest first."""

    WARN = "warn"
    RESTRICT = "restrict"
    SUSPEND = "suspend"
    TERMINATE = "terminate"

    @property
    def rank(self) -> int:
        """1 for the mildest."""
        return list(Step).index(self) + 1


@dataclass(frozen=True, slots=True)
class Measure:
    """What is in force against one person. Times are seconds since the epoch, `expires_at` 0 for no end.

    `subject` is the pseudonym; `evidence` are ids of exchange records; `actor` is the id of a token, `cli:` and an
    account, or `ladder`.
    """

    id: str
    tenant: str
    subject: str
    step: Step
    reason: str
    actor: str
    placed_at: float
    expires_at: float = 0.0
    evidence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", tuple(self.evidence))
        try:
            object.__setattr__(self, "step", Step(self.step))
        except ValueError:
            raise MeasureError(f"step: expected one of {', '.join(Step)}") from None
        if not self.tenant or not self.subject or "/" in self.tenant:
            raise MeasureError("subject, tenant: expected the names that records know")
        if not self.reason.strip() or len(self.reason) > MOST_REASON_CHARS:
            raise MeasureError(f"reason: expected 1 to {MOST_REASON_CHARS} characters")
        if self.expires_at and self.expires_at <= self.placed_at:
            raise MeasureError("expires: expected a time in the future")

    @property
    def name(self) -> str:
        """Under which name its order stands: a person is under one measure at a time, the last that was taken."""
        return f"{self.tenant}/{self.subject}"

    def to_json(self) -> str:
        """As the order keeps it."""
        return orjson.dumps(asdict(self)).decode()

    def as_record(self, event: str, actor: str) -> dict[str, object]:
        """The record of a step; the subject goes to the index, the reason into the sealed body."""
        return {
            "type": "measure",
            "event": event,
            "measure": self.id,
            "step": self.step.value,
            "tenant": self.tenant,
            "subject": self.subject,
            "actor": actor,
            "expires_s": int(self.expires_at) or None,
            "evidence": list(self.evidence),
        }


_FIELDS = tuple(field.name for field in fields(Measure))


def measure_of(order: Order) -> Measure:
    """The measure that an order keeps. Raises `ValueError` where it is none."""
    kept: Any = orjson.loads(order.value or "")
    try:
        return Measure(**{name: kept[name] for name in _FIELDS if name in kept})
    except (TypeError, MeasureError):
        raise ValueError("an order of the shelf is not a measure") from None


def new_measure_id(entropy: Callable[[int], bytes]) -> str:
    """`mea_` and 64 random bits."""
    return f"mea_{entropy(8).hex()}"


class PolicyValues(Protocol):
    """What the ladder reads of the policy."""

    def number(self, key: str) -> int | float:
        """The number under `key`."""
        ...


@dataclass(frozen=True, slots=True)
class Ladder:
    """After how many violations which step follows, and for how long it holds."""

    warn_per_day: float
    restrict_per_day: float
    suspend_in_a_row: float
    suspend_per_day: float
    end_after_suspensions: float
    hours: Mapping[Step, float]
    memory_s: float
    requests_per_minute: float

    @classmethod
    def of(cls, policy: PolicyValues) -> Ladder:
        """The policy's."""
        return cls(
            warn_per_day=policy.number("sanctions.warn_per_day"),
            restrict_per_day=policy.number("sanctions.restrict_per_day"),
            suspend_in_a_row=policy.number("sanctions.consecutive"),
            suspend_per_day=policy.number("sanctions.per_day"),
            end_after_suspensions=policy.number("sanctions.suspensions_before_end"),
            hours={
                Step.WARN: policy.number("sanctions.warn_hours"),
                Step.RESTRICT: policy.number("sanctions.restrict_hours"),
                Step.SUSPEND: policy.number("sanctions.suspend_hours"),
            },
            memory_s=policy.number("sanctions.suspension_memory_days") * _DAY_S,
            requests_per_minute=policy.number("sanctions.restrict_requests_per_minute"),
        )

    def step(self, strikes: Strikes) -> Step | None:
        """The step that this count asks for."""
        if strikes.in_a_row >= self.suspend_in_a_row or strikes.today >= self.suspend_per_day:
            is_last = len(strikes.suspended_at) + 1 >= self.end_after_suspensions
            return Step.TERMINATE if is_last else Step.SUSPEND
        if strikes.today >= self.restrict_per_day:
            return Step.RESTRICT
        return Step.WARN if strikes.today >= self.warn_per_day else None

    def expiry(self, step: Step, now: float) -> float:
        """When a step taken now ends, in seconds since the epoch; 0 for never."""
        return now + self.hours[step] * _HOUR_S if step in self.hours else 0.0


@dataclass(frozen=True, slots=True)
class Strikes:
    """What counts against one person: violations in a row and on the day `day`, their records, and suspensions."""

    day: str
    in_a_row: int = 0
    today: int = 0
    evidence: tuple[str, ...] = ()
    suspended_at: tuple[float, ...] = ()

    @classmethod
    def read(cls, text: str | None, day: str, since: float) -> Strikes:
        """What was kept, as it counts on `day`; suspensions before `since` (seconds since the epoch) are forgotten."""
        if text is None:
            return cls(day)
        kept: Any = orjson.loads(text)
        suspended = tuple(at for at in kept["suspended_at"] if at >= since)
        evidence = tuple(kept["evidence"])
        return cls(day, kept["in_a_row"], kept["today"] if kept["day"] == day else 0, evidence, suspended)

    def to_json(self) -> str:
        """As the order keeps it."""
        return orjson.dumps(asdict(self)).decode()


def highest_step(setting: str) -> Step | None:
    """The step that a setting names; None for `none`."""
    return None if setting == "none" else Step(setting)


class Measures:
    """The measures in force and the counting towards the next. The stage `measures` of the pipeline."""

    def __init__(
        self,
        standing: Standing,
        state: State | None,
        ladder: Ladder,
        records: OwnRecords,
        *,
        zone: tzinfo,
        entropy: Callable[[int], bytes],
        appeal_url: str,
        automatic_up_to: Step | None,
        counts_answers: bool,
    ) -> None:
        """`state` counts the requests of restricted people; whoever serves nobody needs none. `zone` says when a day
        begins. `automatic_up_to` is the highest step that the ladder takes by itself, None for none; without
        `counts_answers` only prompts count."""
        self._standing = standing
        self._state = state
        self._ladder = ladder
        self._records = records
        self._zone = zone
        self._entropy = entropy
        self._appeal_url = appeal_url
        self._automatic_up_to = automatic_up_to
        self._counts_answers = counts_answers
        self._shelf = standing.shelf(SHELF)
        self._strikes = standing.shelf(STRIKES)

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` for whoever may not ask, and `StateUnavailable` where nobody can tell."""
        if not self._shelf:
            return
        measure = self.of(exchange.person.tenant, exchange.person.subject)
        if measure is None:
            return
        words = self.words(measure, exchange)
        if measure.step in (Step.SUSPEND, Step.TERMINATE):
            raise self._refusal(measure, words, status=403, in_band=True)
        if measure.step is Step.RESTRICT:
            kind = next((kind for kind in _RESTRICTED_KINDS if KINDS[kind](exchange)), "")
            if kind:
                raise self._refusal(measure, words, status=403, in_band=True)
            await self._require_slow(measure, words)
        exchange.decide(Decision(DUTY, Verdict.PASS, Action.NOTIFY, reason=measure.step.value, rule=measure.id))
        exchange.notices.append(self._notice(measure, words))

    def of(self, tenant: str, subject: str) -> Measure | None:
        """The measure in force against a person, as far as this process knows."""
        order = self._shelf.get(f"{tenant}/{subject}") if subject else None
        return measure_of(order) if order is not None and order.is_in_force(self._standing.clock()) else None

    def notice(self, exchange: Exchange) -> dict[str, Any] | None:
        """What the person is told of the measure in force against them; None where there is none."""
        measure = self.of(exchange.person.tenant, exchange.person.subject)
        return None if measure is None else self._notice(measure, self.words(measure, exchange))

    def in_force(self) -> list[Measure]:
        """All measures in force, oldest first."""
        now = self._standing.clock()
        found = [measure_of(order) for order in self._shelf.values() if order.is_in_force(now)]
        return sorted(found, key=lambda measure: (measure.placed_at, measure.id))

    def find(self, measure_id: str) -> Measure | None:
        """The measure in force with this id."""
        return next((measure for measure in self.in_force() if measure.id == measure_id), None)

    async def place(self, measure: Measure) -> str:
        """Take a step against a person, in place of what is in force; gives the record's id, or nothing while it is
        owed. Raises `StateUnavailable`."""
        await self._standing.place(SHELF, measure.name, measure.to_json(), measure.expires_at)
        return await self._records.tell(measure.as_record("placed", measure.actor) | _sealed(measure.reason))

    async def lift(self, measure: Measure, actor: str, reason: str) -> str:
        """Record that a measure ends, then end it, and forget what counted towards it; gives the record's id.

        Raises `AuditError`, with the measure in force, and `StateUnavailable`.
        """
        if not reason.strip() or len(reason) > MOST_REASON_CHARS:
            raise MeasureError(f"reason: expected 1 to {MOST_REASON_CHARS} characters")
        record_id = await self._records.record(measure.as_record("lifted", actor) | _sealed(reason))
        await self._standing.withdraw(SHELF, measure.name)
        await self._standing.withdraw(STRIKES, measure.name)
        return record_id

    async def refused(self, exchange: Exchange, refusal: Refusal) -> None:
        """Count a prompt that was refused; a step that follows is told in the refusal itself. Raises
        `StateUnavailable`."""
        if _violation(refusal.decision) and exchange.person.subject:
            measure = await self._count(exchange, refusal.decision)
            if measure is not None:
                words = self.words(measure, exchange)
                refusal.message = f"{refusal.message}\n{words}"
                exchange.notices.append(self._notice(measure, words))

    async def ended(self, exchange: Exchange) -> None:
        """Count an answer that was stopped, or end a row by an exchange without a violation. Raises
        `StateUnavailable`."""
        person = exchange.person
        if not person.subject or not exchange.is_generative:
            return
        if exchange.outcome is Outcome.STOPPED and self._counts_answers:
            stop = next((item for item in exchange.decisions if _violation(item)), None)
            if stop is not None:
                await self._count(exchange, stop)
        elif exchange.outcome is Outcome.COMPLETED and self._strikes:
            name = f"{person.tenant}/{person.subject}"
            if name in self._strikes:
                await self._standing.change(STRIKES, name, self._row_ended)

    def words(self, measure: Measure, exchange: Exchange) -> str:
        """What the person reads: the step, until when, and where to appeal."""
        until = ""
        if measure.expires_at:
            until = datetime.fromtimestamp(measure.expires_at, self._zone).strftime("%Y-%m-%d %H:%M %Z")
        key = f"measure_{measure.step.value}" + ("_until" if until else "")
        return MESSAGES[key][language_of_prompt(exchange)].format(until=until, appeal=self._appeal_url)

    async def _count(self, exchange: Exchange, decision: Decision) -> Measure | None:
        """Count a violation; gives the measure that follows from it."""
        person, now = exchange.person, self._standing.clock()
        name = f"{person.tenant}/{person.subject}"
        day = datetime.fromtimestamp(now, self._zone).date().isoformat()
        current = self.of(person.tenant, person.subject)
        wanted: Step | None = None
        evidence: tuple[str, ...] = ()

        def strike(before: str | None) -> tuple[str, float]:
            nonlocal wanted, evidence
            held = Strikes.read(before, day, now - self._ladder.memory_s)
            evidence = (*held.evidence, exchange.record_id)[-MOST_EVIDENCE:]
            counted = Strikes(day, held.in_a_row + 1, held.today + 1, evidence, held.suspended_at)
            wanted = self._allowed(self._ladder.step(counted), current)
            if wanted in (Step.SUSPEND, Step.TERMINATE):
                counted = Strikes(day, suspended_at=(*held.suspended_at, now))
            kept_s = self._ladder.memory_s if counted.suspended_at else _DAY_S
            return counted.to_json(), now + kept_s

        await self._standing.change(STRIKES, name, strike)
        if wanted is None:
            return None
        measure = Measure(
            id=new_measure_id(self._entropy),
            tenant=person.tenant,
            subject=person.subject,
            step=wanted,
            reason=f"{LADDER}: {decision.class_}",
            actor=LADDER,
            placed_at=now,
            expires_at=self._ladder.expiry(wanted, now),
            evidence=evidence,
        )
        await self.place(measure)
        return measure

    def _allowed(self, wanted: Step | None, current: Measure | None) -> Step | None:
        """The step to take: none beyond what the ladder may do by itself, and none that is in force already."""
        if wanted is None or self._automatic_up_to is None:
            return None
        step = min(wanted, self._automatic_up_to, key=lambda item: item.rank)
        return None if current is not None and current.step.rank >= step.rank else step

    def _row_ended(self, before: str | None) -> tuple[str, float] | None:
        now = self._standing.clock()
        day = datetime.fromtimestamp(now, self._zone).date().isoformat()
        held = Strikes.read(before, day, now - self._ladder.memory_s)
        if not held.in_a_row:
            return None
        kept_s = self._ladder.memory_s if held.suspended_at else _DAY_S
        return Strikes(day, 0, held.today, held.evidence, held.suspended_at).to_json(), now + kept_s

    async def _require_slow(self, measure: Measure, words: str) -> None:
        assert self._state is not None
        now = self._standing.clock()
        minute = int(now) // _MINUTE_S
        asked = await self._state.add(f"{SHELF}:{measure.name}:{minute}", 1, 2 * _MINUTE_S)
        if asked > self._ladder.requests_per_minute:
            wait = (("Retry-After", str(_MINUTE_S - int(now) % _MINUTE_S)),)
            raise self._refusal(measure, words, status=429, in_band=False, headers=wait)

    def _refusal(
        self,
        measure: Measure,
        words: str,
        *,
        status: int,
        in_band: bool,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Refusal:
        decision = Decision(DUTY, Verdict.BLOCK, Action.REFUSE, reason=measure.step.value, rule=measure.id)
        code = f"measure_{measure.step.value}"
        return Refusal(decision, status=status, code=code, message=words, in_band=in_band, headers=headers)

    def _notice(self, measure: Measure, words: str) -> dict[str, Any]:
        return {"kind": NOTICE, "step": measure.step.value, "text": words, "appeal": self._appeal_url}


def measures_of(
    settings: Settings,
    policy: PolicyValues,
    standing: Standing,
    state: State | None,
    records: OwnRecords,
    entropy: Callable[[int], bytes],
) -> Measures:
    """The measures as the settings and the policy have them."""
    return Measures(
        standing,
        state,
        Ladder.of(policy),
        records,
        zone=ZoneInfo(settings.identity.default_tz),
        entropy=entropy,
        appeal_url=f"{settings.server.public_url.rstrip('/')}/duty/complaints",
        automatic_up_to=highest_step(settings.measures.automatic_up_to),
        counts_answers=settings.measures.count == "both",
    )


def _violation(decision: Decision) -> bool:
    """Whether a decision says that illegal or harmful content was asked for or made."""
    return (
        decision.duty in _COUNTED_DUTIES
        and decision.action in (Action.REFUSE, Action.STOP)
        and decision.verdict is not Verdict.FLAG  # a minor's exchange meets more than what is forbidden
        and decision.class_ in CLASSES
    )


def _sealed(reason: str) -> dict[str, object]:
    return {"sealed": {"reason": reason}}
