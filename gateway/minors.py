# SPDX-License-Identifier: Apache-2.0
"""The minors' mode: curfew, minutes a day, and a reminder to take a break.

Interim Measures article 10 (prevent over-reliance) and the Regulations on the Protection of Minors in Cyberspace
(未成年人网络保护条例) articles 42 and 43, with the numbers of the minors' mode guide (移动互联网未成年人模式建设指南),
all read from the policy.

What must hold: a protected person gets no answer in the curfew or beyond the day's minutes, measured on the clock and
the calendar of the person's own time zone; time counts once however many devices are used; nobody else is refused and
nobody else costs anything. Services for education are exempt from the daily minutes only. A limit is enforced when a
request arrives: an answer that has begun is finished, and its time counts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import AgeBand, Person
from gateway.state.interfaces import State, Usage

DUTY = "minors"
BREAK_NOTICE = "minor_break"
MAX_REMINDED = 10_000

TOUCH_EVERY_S = 20.0
"""How often a long answer is touched at most: rare enough to cost nothing."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The person may ask: the decision for the record, and what they are told beside the answer."""

    decision: Decision
    notices: tuple[dict[str, str], ...] = ()


NOT_PROTECTED = Admission(Decision(DUTY, Verdict.PASS, Action.SKIP, reason="not_protected"))
ADMITTED = Admission(Decision(DUTY, Verdict.PASS, Action.ALLOW))
REMINDED = Decision(DUTY, Verdict.PASS, Action.NOTIFY, reason="continuous_use")
WITHOUT_SUBJECT = Admission(Decision(DUTY, Verdict.PASS, Action.ALLOW, reason="no_subject"))
"""Admitted outside the curfew; minutes cannot be counted for a person who has no name, and counting strangers
together would lock out the wrong ones."""


class PolicyValues(Protocol):
    """What this duty reads of the policy."""

    def number(self, key: str) -> int | float:
        """The number under `key`."""
        ...

    def text(self, key: str) -> str:
        """The text under `key`."""
        ...


class MinorsDuty:
    """Admits protected persons within their times and counts their use."""

    def __init__(
        self, policy: PolicyValues, state: State, clock: Callable[[], float], education: bool, idle_gap_s: float
    ) -> None:
        """`clock` gives seconds since the epoch, `idle_gap_s` the pause that ends a stretch of use.

        Raises `ValueError` where the policy's curfew is no time of day.
        """
        self._state = state
        self._clock = clock
        self._idle_gap_s = idle_gap_s
        self.touch_every_s = min(TOUCH_EVERY_S, idle_gap_s / 2)
        """How often a long answer must be touched, in seconds, so that no pause is seen where there is none."""
        self._is_exempt_from_minutes = education
        self._minutes_under_16 = policy.number("minors.daily_minutes_under_16")
        self._minutes_16_17 = policy.number("minors.daily_minutes_16_17")
        self._break_minutes = policy.number("minors.continuous_reminder_minutes")
        self._curfew_start = _time_of_day(policy.text("minors.curfew_start"), "minors.curfew_start")
        self._curfew_end = _time_of_day(policy.text("minors.curfew_end"), "minors.curfew_end")
        self._reminded: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def admit(self, person: Person) -> Admission:
        """Let the person ask now, counting the time since their last activity.

        A reminder that is due comes with the admission and is taken as told. Raises `Refusal` (`minor_curfew`,
        `minor_daily_limit`) and `StateUnavailable`.
        """
        if not person.is_protected:
            return NOT_PROTECTED
        now = self._clock()
        here = datetime.fromtimestamp(now, _zone(person.tz))
        if self._is_curfew(here):
            raise self._refusal("curfew", "现在是休息时间", "It is time to rest.", self._curfew_over(here), person)
        if not person.subject:
            return WITHOUT_SUBJECT
        usage = await self._count(person, now, here)
        minutes = self._minutes(person.age_band)
        if not self._is_exempt_from_minutes and usage.day_seconds >= minutes * 60:
            tomorrow = _midnight(here + timedelta(days=1))
            raise self._refusal(
                "daily_limit",
                f"今天已用满{minutes:g}分钟",
                f"Today's {minutes:g} minutes are used up.",
                self._curfew_over(tomorrow) if self._is_curfew(tomorrow) else tomorrow,
                person,
            )
        notice = await self._reminder(person, usage)
        return ADMITTED if notice is None else Admission(REMINDED, (notice,))

    async def touch(self, person: Person, *, can_tell: bool = False) -> dict[str, str] | None:
        """Count the time since the last activity: every `touch_every_s` of a long answer, and at its end.

        With `can_tell`, the reminder to take a break is returned where one is due, and is then taken as told;
        without, it stays due for the next call that can tell it. Raises `StateUnavailable`.
        """
        if not person.is_protected or not person.subject:
            return None
        now = self._clock()
        usage = await self._count(person, now, datetime.fromtimestamp(now, _zone(person.tz)))
        return await self._reminder(person, usage) if can_tell else None

    async def _count(self, person: Person, now: float, here: datetime) -> Usage:
        return await self._state.touch_usage(
            person.subject,
            now,
            here.date().isoformat(),
            self._idle_gap_s,
            day_started_at=_midnight(here).timestamp(),
        )

    def _minutes(self, band: AgeBand) -> int | float:
        """The minutes a day of a protected person; who is only in minor mode gets the fewest."""
        fewest = min(self._minutes_under_16, self._minutes_16_17)
        return self._minutes_16_17 if band is AgeBand.FROM_16 else fewest

    def _is_curfew(self, here: datetime) -> bool:
        """Whether the wall clock stands in the curfew; equal ends mean that there is none."""
        start, end, wall = self._curfew_start, self._curfew_end, here.time()
        if start <= end:
            return start <= wall < end
        return wall >= start or wall < end

    def _curfew_over(self, here: datetime) -> datetime:
        """When the curfew that holds at `here` ends."""
        day = here.date() if here.time() < self._curfew_end else here.date() + timedelta(days=1)
        return datetime.combine(day, self._curfew_end, here.tzinfo)

    async def _reminder(self, person: Person, usage: Usage) -> dict[str, str] | None:
        """The reminder that is due: one for each full period of continuous use, on whichever device comes first."""
        periods = int(usage.continuous_seconds // (self._break_minutes * 60))
        if periods == 0:
            return None
        stretch = (usage.run_started_at, periods)
        if self._reminded.get(person.subject) == stretch:
            return None
        # Asked once a period and process: the shared counter says whether another device or replica was first.
        key = f"{BREAK_NOTICE}:{person.subject}:{round(usage.run_started_at * 1000)}:{periods}"
        times = await self._state.add(key, 1, 2 * self._break_minutes * 60 + self._idle_gap_s)
        self._reminded[person.subject] = stretch
        self._reminded.move_to_end(person.subject)
        if len(self._reminded) > MAX_REMINDED:
            self._reminded.popitem(last=False)
        if times > 1:
            return None
        minutes = periods * self._break_minutes
        return {
            "kind": BREAK_NOTICE,
            "text": f"你已连续使用{minutes:g}分钟，休息一下眼睛和身体吧。\n"
            f"You have been here for {minutes:g} minutes without a break. Please take one now.",
        }

    def _refusal(self, reason: str, zh: str, en: str, resumes: datetime, person: Person) -> Refusal:
        # Sent through UTC, so that a time that a clock change skips is shown as the clock will show it.
        shown = datetime.fromtimestamp(resumes.timestamp(), resumes.tzinfo).strftime("%Y-%m-%d %H:%M")
        return Refusal(
            Decision(DUTY, Verdict.BLOCK, Action.REFUSE, reason=reason),
            status=403,
            code=f"minor_{reason}",
            message=f"{zh}，{shown}（{person.tz}）后可以继续使用。\n{en} The service resumes at {shown} ({person.tz}).",
            in_band=True,
        )


@lru_cache(maxsize=1_024)
def _zone(tz: str) -> ZoneInfo:
    return ZoneInfo(tz)


def _midnight(here: datetime) -> datetime:
    """The first moment of the local date; where a clock change skips midnight, the moment it skips to."""
    return here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _time_of_day(text: str, key: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise ValueError(f'policy {key}: expected a time of day such as "22:00"') from None
