# SPDX-License-Identifier: Apache-2.0
"""Companions: what services of sustained emotional interaction owe to whoever talks to them.

The Anthropomorphic Measures articles 18 (a reminder after each two hours of continuous use, a prompt on over-reliance)
and 19 (whoever says that they want to leave is let go at once), SB 243 and GBL article 47 (a notice at the start, at
most once a day, and reminders). The numbers are the policy's; of several policies the strictest holds.

What must hold: an exit word ends the conversation without the model and without persuasion; each reminder is told once
over all devices and replicas; the use of a minor that was counted already is not counted again.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Exchange, Person
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.reminders import Reminders
from gateway.state.interfaces import State, Usage

DUTY = "companion"
START, REMINDER, DEPENDENCE, EXIT = "companion_start", "companion_reminder", "companion_dependence", "companion_exit"
"""The kinds of notices, the names of their words, and the code of an exit."""

MAX_STARTED = 20_000
_DAY_S = 86_400

_EXIT = re.compile(
    r"\s*(?:(?:我(?:要|想|得)?|请|好了|那)[，, ]*)?"
    r"(?:退出|再见|拜拜|结束(?:对话|聊天|吧)?|停止(?:对话|聊天)?|不聊了|我走了|下线(?:了|吧)?)"
    r"[了吧啦啊呀。.！!～~\s]*"
    r"|\s*(?:(?:i\s+want\s+to|please|ok(?:ay)?|let\s+me)[, ]+)?"
    r"(?:exit|quit|stop|goodbye|good\s*bye|bye(?:\s*bye)?|end\s+(?:the\s+|this\s+)?(?:chat|conversation)|log\s*out|leave)"
    r"(?:\s+(?:now|please))?[.!\s]*",
    re.IGNORECASE,
)
_MOST_EXIT_CHARS = 40


class PolicyValues(Protocol):
    """What this duty reads of the policy."""

    def number(self, key: str) -> int | float:
        """The number under `key`."""
        ...


def is_exit(text: str) -> bool:
    """Whether `text` says nothing but that the person wants to leave."""
    return len(text) <= _MOST_EXIT_CHARS and _EXIT.fullmatch(text) is not None


class Companion:
    """The stage `companion`."""

    def __init__(
        self, policy: PolicyValues, state: State, clock: Callable[[], float], idle_gap_s: float, *, is_companion: bool
    ) -> None:
        """`clock` gives seconds since the epoch, `idle_gap_s` is the pause that ends a stretch of use; where
        `is_companion` is false nothing is done."""
        self._state = state
        self._clock = clock
        self._idle_gap_s = idle_gap_s
        self._is_companion = is_companion
        everyone = float(policy.number("companion.reminder_seconds"))
        minors = float(policy.number("companion.minor_reminder_seconds"))
        self._period_s = {False: everyone, True: min(everyone, minors)}
        self._dependence_s = policy.number("companion.dependence_day_minutes") * 60
        self._reminders = Reminders(state, REMINDER, idle_gap_s)
        self._told_today: dict[str, OrderedDict[str, str]] = {START: OrderedDict(), DEPENDENCE: OrderedDict()}

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal`, answered in-band, for an exit word, and `StateUnavailable`."""
        if not self._is_companion or not exchange.is_generative:
            return
        if is_exit(exchange.last_words):
            raise Refusal(
                Decision(DUTY, Verdict.PASS, Action.REFUSE, reason="exit"),
                status=403,
                code=EXIT,
                message=MESSAGES[EXIT][language_of_prompt(exchange)],
                in_band=True,
            )
        person = exchange.person
        if not person.subject:
            self._tell(exchange, START)  # nobody can say whether a stranger was told today
            return
        now = self._clock()
        here = datetime.fromtimestamp(now, _zone(person.tz))
        today = here.date().isoformat()
        usage = exchange.usage or await self._count(person, now, here)
        if await self._is_first(START, person, today):
            self._tell(exchange, START)
        period_s = self._period_s[person.is_protected]
        periods = await self._reminders.due(person.subject, usage, period_s)
        if periods:
            self._tell(exchange, REMINDER, periods * period_s)
        if usage.day_seconds >= self._dependence_s and await self._is_first(DEPENDENCE, person, today):
            self._tell(exchange, DEPENDENCE, usage.day_seconds)

    async def _count(self, person: Person, now: float, here: datetime) -> Usage:
        midnight = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return await self._state.touch_usage(
            person.subject, now, here.date().isoformat(), self._idle_gap_s, day_started_at=midnight.timestamp()
        )

    async def _is_first(self, kind: str, person: Person, today: str) -> bool:
        """Whether the person is the first time today where this is told; asked of the shared counter once a day."""
        told = self._told_today[kind]
        if told.get(person.subject) == today:
            return False
        times = await self._state.add(f"{kind}:{person.subject}:{today}", 1, 2 * _DAY_S)
        told[person.subject] = today
        told.move_to_end(person.subject)
        if len(told) > MAX_STARTED:
            told.popitem(last=False)
        return times == 1

    @staticmethod
    def _tell(exchange: Exchange, kind: str, seconds: float = 0.0) -> None:
        words = MESSAGES[kind][language_of_prompt(exchange)].format(minutes=int(seconds // 60))
        exchange.notices.append({"kind": kind, "text": words})
        exchange.decide(Decision(DUTY, Verdict.PASS, Action.NOTIFY, reason=kind.removeprefix("companion_")))


@lru_cache(maxsize=1_024)
def _zone(tz: str) -> ZoneInfo:
    return ZoneInfo(tz)
