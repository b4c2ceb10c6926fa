# SPDX-License-Identifier: Apache-2.0
"""A month of 200 people of all ages over two replicas and a real Redis, against a model that anybody can follow.

The replicas are the real duty over the real store, each with its own memory of what it told; only the time is handed
in. The model below knows nothing of them: it keeps, for each person, the plain list of the moments at which the person
was there, and works out from that list alone what a limit, a curfew, a reminder or an exemption has to do, on the wall
clock of the person's zone. Every answer of every replica is compared with it, to the minute and to the second.

February 2028 has a leap day; clocks change on 12 March 2028 in New York and on 26 March in Paris, so the month is
simulated once from 15 February and once from 10 March. Among the people are minors of every band, people whose age
changes within the month, people in minor mode, adults, travellers who change zones, and people with two devices that
talk to different replicas at the same time; some have guardians who changed their times.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis

from gateway.decisions import Refusal
from gateway.exchange import AgeBand, Person
from gateway.guardians import Guardians
from gateway.identity import band_of_age
from gateway.minors import BREAK_NOTICE, MinorsDuty
from gateway.own_records import OwnRecords
from gateway.policies import load
from gateway.standing import Standing
from gateway.state import MemoryOrders
from gateway.state.redis import RedisState

POLICY = load(["cn"])
GAP_S = 300
PEOPLE = 200
DAYS = 30
LOOKED_AT = 400
"""More moments than anybody has in three days."""
ZONES = ("Asia/Shanghai", "America/New_York", "Europe/Paris", "Asia/Kathmandu", "Pacific/Auckland", "Asia/Shanghai")


@dataclass
class Subject:
    """One person: who they are on a day, and the sessions that they will have."""

    name: str
    zone: str
    birthday: date | None
    in_minor_mode: bool = False
    second_zone: str = ""
    """Where they are on every third day."""
    education: bool = False
    wishes: Mapping[str, Any] = field(default_factory=dict)

    def person(self, at: float) -> Person:
        """As a verified token says it at this moment."""
        here = datetime.fromtimestamp(at, UTC)
        zone = self.second_zone if self.second_zone and here.toordinal() % 3 == 0 else self.zone
        band = AgeBand.UNKNOWN
        if self.birthday is not None:
            today = datetime.fromtimestamp(at, ZoneInfo(zone)).date()
            had = (today.month, today.day) >= (self.birthday.month, self.birthday.day)
            band = band_of_age(today.year - self.birthday.year - (0 if had else 1))
        return Person(subject=self.name, age_band=band, in_minor_mode=self.in_minor_mode, is_signed=True, tz=zone)


class Model:
    """What must happen, worked out from the list of the moments at which each person was there."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, date, int]]] = {}
        """Of each person: the moments, with the date that their wall clock showed and when that date began."""
        self.told: set[tuple[str, int, int]] = set()

    def answer(self, subject: Subject, person: Person, now: int) -> str:
        """`skip`, `curfew`, `limit`, `remind` or `ok` for a request at `now`."""
        if not person.is_protected:
            return "skip"
        wall = datetime.fromtimestamp(now, ZoneInfo(person.tz))
        minute = wall.hour * 60 + wall.minute
        starts, ends = subject.wishes.get("curfew_start", "22:00"), "06:00"
        begin, end = (int(text[:2]) * 60 + int(text[3:]) for text in (starts, ends))
        if subject.wishes.get("has_curfew", True) and (minute >= begin or minute < end):
            return "curfew"
        moments = self.seen.setdefault(subject.name, [])
        midnight = datetime(wall.year, wall.month, wall.day, tzinfo=wall.tzinfo)
        moments.append((now, wall.date(), int(midnight.timestamp())))
        allowed = 120 if person.age_band is AgeBand.FROM_16 else 60
        if subject.education:
            allowed = 10_000
        allowed = subject.wishes.get("daily_minutes", allowed)  # a guardian means this service as well
        if self.used_on(moments, wall.date()) >= allowed * 60:
            return "limit"
        start = self.stretch_start([moment for moment, _, _ in moments])
        periods = (now - start) // (30 * 60)
        if periods and (subject.name, start, periods) not in self.told:
            self.told.add((subject.name, start, periods))
            return "remind"
        return "ok"

    @staticmethod
    def used_on(moments: list[tuple[int, date, int]], day: date) -> int:
        """Seconds between neighbours that are less than a gap apart, from the midnight that the later one is behind."""
        used = 0
        for (before, _, _), (after, shown, midnight) in pairwise(moments[-LOOKED_AT:]):
            if shown == day and after - before < GAP_S:
                used += after - max(before, min(midnight, after))
        return used

    @staticmethod
    def stretch_start(moments: list[int]) -> int:
        """Where the stretch began that the last moment belongs to."""
        start = moments[-1]
        for before in reversed(moments[:-1]):
            if start - before >= GAP_S:
                break
            start = before
        return start


def crowd(chance: random.Random, first: date) -> list[Subject]:
    """200 people of all ages and kinds."""
    people = []
    for number in range(PEOPLE):
        subject = Subject(f"p{number}", chance.choice(ZONES), None)
        kind = number % 10
        if kind < 6:  # children and youths of each band
            age = chance.choice((2, 4, 7, 9, 11, 13, 15, 16, 17))
            subject.birthday = date(first.year - age, chance.randint(1, 12), chance.randint(1, 28))
        elif kind == 6:  # a band, or an age of majority, that begins within the month
            turning = first + timedelta(days=chance.randint(2, DAYS - 2))
            age = chance.choice((16, 18))
            leap = (turning.month, turning.day) == (2, 29)
            subject.birthday = date(turning.year - age, turning.month, 28 if leap else turning.day)
        elif kind == 7:
            subject.in_minor_mode = True
        elif kind == 8:
            subject.birthday = date(first.year - chance.randint(19, 70), 6, 1)
        if number % 9 == 0:
            subject.education = True
        if number % 13 == 0:
            subject.second_zone = chance.choice(ZONES[1:4])
        if number % 11 == 0:
            subject.wishes = chance.choice(
                ({"daily_minutes": 30}, {"daily_minutes": 90, "curfew_start": "20:30"}, {"has_curfew": False})
            )
        people.append(subject)
    return people


def visits(chance: random.Random, first: date) -> list[tuple[int, int, int]]:
    """Moment, person and replica of every request, in order. Some devices of one person speak at the same second."""
    begin = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
    found = []
    for number in range(PEOPLE):
        for day in range(DAYS):
            if chance.random() < 0.84:
                continue
            at = begin + day * 86_400 + chance.randrange(86_400)
            for _ in range(chance.choice((2, 6, 20, 45))):
                found.append((at, number, chance.randrange(2)))
                if number % 7 == 0 and chance.random() < 0.3:  # the other device
                    found.append((at, number, chance.randrange(2)))
                at += chance.choice((30, 61, 90, 120, 150, 180, 200, 240, 270, GAP_S - 1, GAP_S - 1, GAP_S, 700))
    return sorted(found)


class Replica:
    """One machine: its own connections and its own memory, the shared Redis."""

    def __init__(self, url: str, month: Month) -> None:
        self.state = RedisState(url, 30.0)
        self.plain, self.school = (
            MinorsDuty(POLICY, self.state, lambda: month.now, education, GAP_S, month.guardians)
            for education in (False, True)
        )

    async def answer(self, subject: Subject, person: Person) -> str:
        """What the duty does, in the model's words."""
        duty = self.school if subject.education else self.plain
        try:
            admitted = await duty.admit(person)
        except Refusal as refusal:
            return {"minor_curfew": "curfew", "minor_daily_limit": "limit"}[refusal.code]
        if admitted.decision.reason == "not_protected":
            return "skip"
        return "remind" if any(notice["kind"] == BREAK_NOTICE for notice in admitted.notices) else "ok"


class Month:
    """The whole of it."""

    def __init__(self) -> None:
        self.now = 0.0
        clock = lambda: self.now  # noqa: E731
        self.standing = Standing(MemoryOrders(clock), clock, poll_s=3_600.0, stale_after_s=1e12, monotonic=lambda: 0.0)
        self.guardians = Guardians(
            self.standing, OwnRecords(self._record, self.standing), b"k" * 32, bytes, may_exempt=True
        )

    async def _record(self, fields: Mapping[str, object]) -> str:
        return "r"

    async def run(self, url: str, first: date, seed: int) -> tuple[Counter[str], list[str]]:
        """What was answered how often, and every difference from the model."""
        chance = random.Random(seed)
        people, requests = crowd(chance, first), visits(chance, first)
        self.now = float(requests[0][0])
        for subject in people:
            if subject.wishes:
                link = await self.guardians.vouched("default", subject.name)
                await self.guardians.wish(link, **subject.wishes)
        model, replicas = Model(), [Replica(url, self) for _ in range(2)]
        counted: Counter[str] = Counter()
        wrong: list[str] = []
        for at, together in groupby(requests, key=itemgetter(0)):
            self.now = float(at)
            asked = [(number, people[number], people[number].person(at), which) for _, number, which in together]
            expected = [(number, model.answer(subject, person, at)) for number, subject, person, _ in asked]
            answers = await asyncio.gather(
                *(replicas[which].answer(subject, person) for _, subject, person, which in asked)
            )
            # Of two devices that speak in the same moment either may be told, but not both.
            given = [(number, answer) for (number, *_), answer in zip(asked, answers, strict=True)]
            counted.update(answers)
            if sorted(given) != sorted(expected):
                wrong.append(f"{asked} at {datetime.fromtimestamp(at, UTC)}: {given}, not {expected}")
        for replica in replicas:
            await replica.state.close()
        await self.standing.close()
        return counted, wrong


@pytest.mark.parametrize(
    ("first", "seed"), [(date(2028, 2, 15), 1), (date(2028, 3, 10), 2)], ids=["leap day", "clocks change"]
)
def test_every_answer_of_a_month_is_the_models(redis_url: str, first: date, seed: int) -> None:
    """200 people, two replicas, one Redis: every limit, reminder, curfew and exemption, at every request."""
    redis.Redis.from_url(redis_url).flushall()

    counted, wrong = asyncio.run(Month().run(redis_url, first, seed))

    assert wrong == []
    assert min(counted[word] for word in ("skip", "curfew", "limit", "remind", "ok")) >= 100, counted


def test_the_models_numbers_are_the_policys() -> None:
    """The model writes them out, so that it shares nothing with what it checks."""
    assert [
        POLICY.number("minors.daily_minutes_under_16"),
        POLICY.number("minors.daily_minutes_16_17"),
        POLICY.number("minors.continuous_reminder_minutes"),
        POLICY.text("minors.curfew_start"),
        POLICY.text("minors.curfew_end"),
    ] == [60, 120, 30, "22:00", "06:00"]
    assert replace(Subject("x", "Asia/Shanghai", None)).person(0.0).age_band is AgeBand.UNKNOWN
