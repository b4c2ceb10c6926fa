# SPDX-License-Identifier: Apache-2.0
"""The minors' mode: curfew, minutes a day, and a reminder to take a break.

Interim Measures article 10 (prevent over-reliance) and the Regulations on the Protection of Minors in Cyberspace
(未成年人网络保护条例) articles 42 and 43, with the numbers of the minors' mode guide (移动互联网未成年人模式建设指南),
all read from the policy; a guardian may change them as far as the policy lets them (`gateway.guardians`).

What must hold: a protected person gets no answer in the curfew or beyond the day's minutes, measured on the clock and
the calendar of the person's own time zone, which only a signature can name; time counts once however many devices are
used; nobody else is refused and nobody else costs anything. Services for education are exempt from the daily minutes
only. A limit is enforced when a request arrives: an answer that has begun is finished, and its time counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import AgeBand, Person
from gateway.guardians import Guardians, Wishes
from gateway.reminders import Reminders
from gateway.state.activity import KEPT_DAYS
from gateway.state.interfaces import State, Usage

DUTY = "minors"
BREAK_NOTICE = "minor_break"

TOUCH_EVERY_S = 20.0
"""How often a long answer is touched at most: rare enough to cost nothing."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The person may ask: the decision for the record, and what they are told beside the answer."""

    decision: Decision
    notices: tuple[dict[str, str], ...] = ()
    usage: Usage | None = field(default=None, compare=False)
    """How long the person has used the service, where that was counted."""


NOT_PROTECTED = Admission(Decision(DUTY, Verdict.PASS, Action.SKIP, reason="not_protected"))
ADMITTED = Admission(Decision(DUTY, Verdict.PASS, Action.ALLOW))
NO_LIMIT = float("inf")
REMINDED = Decision(DUTY, Verdict.PASS, Action.NOTIFY, reason="continuous_use")
WITHOUT_SUBJECT = Admission(Decision(DUTY, Verdict.PASS, Action.ALLOW, reason="no_subject"))
"""Admitted outside the curfew; minutes cannot be counted for a person who has no name, and counting strangers
together would lock out the wrong ones."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What lies ahead of a protected person: seconds used and left today, until the next reminder, and the curfew.

    `left_s` is None where minutes are not limited (services of education) or not counted, `reminder_in_s` where they
    are not counted: for a person without a name. `resumes_at`, in seconds since the epoch, is None while the person may
    ask.
    """

    used_s: float
    left_s: float | None
    reminder_in_s: float | None
    is_curfew: bool
    curfew_start: str
    curfew_end: str
    resumes_at: float | None


class PolicyValues(Protocol):
    """What this duty reads of the policy."""

    def number(self, key: str) -> int | float:
        """The number under `key`."""
        ...

    def text(self, key: str) -> str:
        """The text under `key`."""
        ...


@dataclass(frozen=True, slots=True)
class Times:
    """The times that hold for one person. A curfew with equal ends is none; `daily_minutes` may be `NO_LIMIT`."""

    daily_minutes: float
    break_minutes: float
    curfew_start: time
    curfew_end: time

    def is_curfew(self, here: datetime) -> bool:
        """Whether the wall clock stands in the curfew."""
        start, end, wall = self.curfew_start, self.curfew_end, here.time()
        if start <= end:
            return start <= wall < end
        return wall >= start or wall < end

    def curfew_over(self, here: datetime) -> datetime:
        """When the curfew that holds at `here` ends."""
        day = here.date() if here.time() < self.curfew_end else here.date() + timedelta(days=1)
        return datetime.combine(day, self.curfew_end, here.tzinfo)


class MinorsDuty:
    """Admits protected persons within their times and counts their use."""

    def __init__(
        self,
        policy: PolicyValues,
        state: State,
        clock: Callable[[], float],
        education: bool,
        idle_gap_s: float,
        guardians: Guardians | None = None,
    ) -> None:
        """`clock` gives seconds since the epoch, `idle_gap_s` the pause that ends a stretch of use.

        `guardians` knows who changed somebody's times; without it nobody can.

        Raises `ValueError` where the policy's curfew is no time of day.
        """
        self._state = state
        self._clock = clock
        self._idle_gap_s = idle_gap_s
        self.touch_every_s = min(TOUCH_EVERY_S, idle_gap_s / 2)
        """How often a long answer must be touched, in seconds, so that no pause is seen where there is none."""
        self._guardians = guardians
        self._is_exempt_from_minutes = education
        self._minutes_under_16 = policy.number("minors.daily_minutes_under_16")
        self._minutes_16_17 = policy.number("minors.daily_minutes_16_17")
        self._break_minutes = policy.number("minors.continuous_reminder_minutes")
        self._curfew_start = _time_of_day(policy.text("minors.curfew_start"), "minors.curfew_start")
        self._curfew_end = _time_of_day(policy.text("minors.curfew_end"), "minors.curfew_end")
        self._reminders = Reminders(state, BREAK_NOTICE, idle_gap_s)

    async def admit(self, person: Person) -> Admission:
        """Let the person ask now, counting the time since their last activity.

        A reminder that is due comes with the admission and is taken as told. Raises `Refusal` (`minor_curfew`,
        `minor_daily_limit`) and `StateUnavailable`.
        """
        if not person.is_protected:
            return NOT_PROTECTED
        now = self._clock()
        here = datetime.fromtimestamp(now, _zone(person.tz))
        times = self.times(person)
        if times.is_curfew(here):
            raise self._refusal("curfew", "现在是休息时间", "It is time to rest.", times.curfew_over(here), person)
        if not person.subject:
            return WITHOUT_SUBJECT
        usage = await self._count(person, now, here)
        minutes = times.daily_minutes
        if usage.day_seconds >= minutes * 60:
            raise self._refusal(
                "daily_limit",
                f"今天已用满{minutes:g}分钟",
                f"Today's {minutes:g} minutes are used up.",
                _next_day(here, times),
                person,
            )
        notice = await self._reminder(person, usage, times)
        return Admission(ADMITTED.decision, (), usage) if notice is None else Admission(REMINDED, (notice,), usage)

    async def touch(self, person: Person, *, can_tell: bool = False) -> dict[str, str] | None:
        """Count the time since the last activity: every `touch_every_s` of a long answer, and at its end.

        With `can_tell`, the reminder to take a break is returned where one is due, and is then taken as told;
        without, it stays due for the next call that can tell it. Raises `StateUnavailable`.
        """
        if not person.is_protected or not person.subject:
            return None
        now = self._clock()
        usage = await self._count(person, now, datetime.fromtimestamp(now, _zone(person.tz)))
        return await self._reminder(person, usage, self.times(person)) if can_tell else None

    async def days(self, person: Person) -> dict[str, float]:
        """Seconds used on the last dates that are kept, the newest first. Raises `StateUnavailable`."""
        now = self._clock()
        here = datetime.fromtimestamp(now, _zone(person.tz))
        dates = [(here.date() - timedelta(days=back)).isoformat() for back in range(KEPT_DAYS)]
        # Of a date that is over nothing is counted any more: its day "begins" now.
        found = await asyncio.gather(
            self._look(person, now, here),
            *(
                self._state.look_at_usage(person.subject, now, date, self._idle_gap_s, day_started_at=now)
                for date in dates[1:]
            ),
        )
        return {date: usage.day_seconds for date, usage in zip(dates, found, strict=True)}

    def times(self, person: Person) -> Times:
        """The times that hold for a protected person: the policy's, and what a guardian set."""
        minutes = NO_LIMIT if self._is_exempt_from_minutes else float(self._minutes(person.age_band))
        link = self._guardians.of(person) if self._guardians is not None else None
        if self._guardians is None or link is None:
            return Times(minutes, float(self._break_minutes), self._curfew_start, self._curfew_end)
        return self._as_wished(minutes, link.wishes, self._guardians.may_exempt)

    def _as_wished(self, minutes: float, wishes: Wishes, may_exempt: bool) -> Times:
        """What a guardian wants; where they may not exempt, only what is stricter of it."""
        pause = float(self._break_minutes)
        start, end = self._curfew_start, self._curfew_end
        wanted = minutes if wishes.daily_minutes < 0 else float(wishes.daily_minutes)
        wanted_pause = pause if wishes.reminder_minutes < 0 else float(wishes.reminder_minutes)
        wanted_start = _time_of_day(wishes.curfew_start, "curfew_start") if wishes.curfew_start else start
        wanted_end = _time_of_day(wishes.curfew_end, "curfew_end") if wishes.curfew_end else end
        if not may_exempt:
            start, end = _stricter_curfew(start, end, wanted_start, wanted_end)
            return Times(min(minutes, wanted), min(pause, wanted_pause), start, end)
        if not wishes.has_curfew:
            wanted_start = wanted_end
        return Times(wanted, wanted_pause, wanted_start, wanted_end)

    async def outlook(self, person: Person) -> Outlook | None:
        """What lies ahead of the person, without counting anything; None for whoever is not protected.

        Raises `StateUnavailable`.
        """
        if not person.is_protected:
            return None
        now = self._clock()
        here = datetime.fromtimestamp(now, _zone(person.tz))
        times = self.times(person)
        used_s, left_s, reminder_in_s = 0.0, None, None
        if person.subject:
            usage = await self._look(person, now, here)
            used_s = usage.day_seconds
            if times.daily_minutes < NO_LIMIT:
                left_s = max(0.0, times.daily_minutes * 60 - used_s)
            period_s = times.break_minutes * 60
            reminder_in_s = period_s - usage.continuous_seconds % period_s
        resumes: datetime | None = None
        is_curfew = times.is_curfew(here)
        if is_curfew:
            resumes = times.curfew_over(here)
        elif left_s is not None and left_s <= 0:
            resumes = _next_day(here, times)
        return Outlook(
            used_s=used_s,
            left_s=left_s,
            reminder_in_s=reminder_in_s,
            is_curfew=is_curfew,
            curfew_start=times.curfew_start.strftime("%H:%M"),
            curfew_end=times.curfew_end.strftime("%H:%M"),
            resumes_at=None if resumes is None else resumes.timestamp(),
        )

    async def _look(self, person: Person, now: float, here: datetime) -> Usage:
        return await self._state.look_at_usage(
            person.subject,
            now,
            here.date().isoformat(),
            self._idle_gap_s,
            day_started_at=_midnight(here).timestamp(),
        )

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

    async def _reminder(self, person: Person, usage: Usage, times: Times) -> dict[str, str] | None:
        """The reminder that is due: one for each full period of continuous use, on whichever device comes first."""
        periods = await self._reminders.due(person.subject, usage, times.break_minutes * 60)
        if periods == 0:
            return None
        minutes = periods * times.break_minutes
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


def _next_day(here: datetime, times: Times) -> datetime:
    """When minutes of a new day may be used."""
    tomorrow = _midnight(here + timedelta(days=1))
    return times.curfew_over(tomorrow) if times.is_curfew(tomorrow) else tomorrow


def _stricter_curfew(start: time, end: time, wanted_start: time, wanted_end: time) -> tuple[time, time]:
    """The wanted curfew where it holds all of the one from `start` to `end`; else that one."""
    if start <= end:
        holds = wanted_start <= start and end <= wanted_end
    else:  # over midnight, where a curfew that begins after it would be the milder one
        holds = end <= wanted_end <= wanted_start <= start and wanted_end != wanted_start
    return (wanted_start, wanted_end) if holds else (start, end)


def _time_of_day(text: str, key: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise ValueError(f'policy {key}: expected a time of day such as "22:00"') from None
