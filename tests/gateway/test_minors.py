# SPDX-License-Identifier: Apache-2.0
"""Exact to the second: curfew, minutes a day and breaks, in every time zone and on every kind of day."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.decisions import Action, Refusal, Verdict
from gateway.exchange import ANONYMOUS, AgeBand, Person
from gateway.minors import ADMITTED, NOT_PROTECTED, WITHOUT_SUBJECT, Admission, MinorsDuty
from gateway.policies import load
from gateway.state import MemoryState, State, StateUnavailable
from tests.gateway.people import Desk

POLICY = load(["cn"])
GAP_S = 300.0
CHILD = Person(subject="child", age_band=AgeBand.FROM_12, is_signed=True)
YOUTH = Person(subject="youth", age_band=AgeBand.FROM_16, is_signed=True)
ADULT = Person(subject="adult", age_band=AgeBand.ADULT, is_signed=True)


class Values:
    """A policy with some values changed."""

    def __init__(self, **changed: Any) -> None:
        self._changed = {f"minors.{name}": value for name, value in changed.items()}

    def number(self, key: str) -> int | float:
        value = self._changed.get(key)
        return POLICY.number(key) if value is None else value

    def text(self, key: str) -> str:
        return self._changed.get(key) or POLICY.text(key)


class House:
    """The duty with a clock that is set by wall time."""

    def __init__(self, local: str, tz: str = "Asia/Shanghai", education: bool = False, **changed: Any) -> None:
        self.now = at(local, tz)
        self.state: State = MemoryState(lambda: self.now)
        self.values = Values(**changed)
        self.education = education
        self.duty = self.replica()

    def replica(self) -> MinorsDuty:
        return MinorsDuty(self.values, self.state, lambda: self.now, self.education, GAP_S)

    def admit(self, person: Person, duty: MinorsDuty | None = None) -> Admission:
        return asyncio.run((duty or self.duty).admit(person))

    def refused(self, person: Person) -> Refusal:
        with pytest.raises(Refusal) as caught:
            self.admit(person)
        return caught.value

    def touch(self, person: Person, duty: MinorsDuty | None = None) -> dict[str, str] | None:
        return asyncio.run((duty or self.duty).touch(person, can_tell=True))

    def use(self, person: Person, seconds: float) -> list[dict[str, str]]:
        """Touch every minute for so long, and return what was told."""
        told = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 60)
            told.append(self.touch(person))
        return [notice for notice in told if notice]


def at(local: str, tz: str = "Asia/Shanghai", fold: int = 0) -> float:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(tz), fold=fold).timestamp()


class Forbidden:
    """A state that must not be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the state was asked: {name}")


@pytest.mark.parametrize("person", [ANONYMOUS, ADULT, Person(subject="x", age_band=AgeBand.UNKNOWN)])
def test_nobody_else_is_refused_or_counted(person: Person) -> None:
    """Adults and people of unknown age cost nothing, at midnight as at noon."""
    house = House("2026-03-01 23:30:00")
    house.state = Forbidden()
    duty = house.replica()

    assert house.admit(person, duty) == NOT_PROTECTED
    assert house.touch(person, duty) is None


@pytest.mark.parametrize(
    ("local", "is_open"),
    [
        ("2026-03-01 21:59:59.999", True),
        ("2026-03-01 22:00:00", False),
        ("2026-03-01 23:59:59", False),
        ("2026-03-02 00:00:00", False),
        ("2026-03-02 05:59:59.999", False),
        ("2026-03-02 06:00:00", True),
        ("2028-02-29 05:59:59", False),
        ("2028-02-29 06:00:00", True),
        ("2028-02-29 22:00:00", False),
    ],
)
@pytest.mark.parametrize("tz", ["Asia/Shanghai", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_the_curfew_is_exact_in_the_persons_own_zone(local: str, tz: str, is_open: bool) -> None:
    """Minors' mode guide: no service from 22:00 to 06:00 (`minors.curfew_start`, `minors.curfew_end`)."""
    house = House(local, tz)
    child = Person(subject="c", age_band=AgeBand.FROM_8, tz=tz)

    if is_open:
        assert house.admit(child) == ADMITTED
    else:
        assert house.refused(child).code == "minor_curfew"


def test_a_curfew_refusal_says_what_was_decided_and_when_service_resumes() -> None:
    """In Chinese and English, as an in-band answer, and without a word of the person's."""
    evening, night = House("2026-02-28 22:00:00").refused(CHILD), House("2026-03-01 05:59:59").refused(CHILD)

    for refusal in (evening, night):
        assert (refusal.status, refusal.code, refusal.in_band) == (403, "minor_curfew", True)
        decision = refusal.decision
        assert (
            decision.duty,
            decision.verdict,
            decision.action,
            decision.reason,
        ) == ("minors", Verdict.BLOCK, Action.REFUSE, "curfew")
        assert refusal.message == (
            "现在是休息时间，2026-03-01 06:00（Asia/Shanghai）后可以继续使用。\n"
            "It is time to rest. The service resumes at 2026-03-01 06:00 (Asia/Shanghai)."
        )


@pytest.mark.parametrize(
    ("start", "end", "local", "resumes"),
    [
        ("22:00", "00:00", "2026-03-01 23:00:00", "2026-03-02 00:00"),
        ("00:00", "06:00", "2026-03-01 00:00:00", "2026-03-01 06:00"),
        ("13:00", "14:30", "2026-03-01 13:00:00", "2026-03-01 14:30"),
        ("22:00", "22:00", "2026-03-01 22:00:00", None),
        ("13:00", "14:30", "2026-03-01 14:30:00", None),
        ("13:00", "14:30", "2026-03-01 23:00:00", None),
    ],
)
def test_other_curfews_work_too(start: str, end: str, local: str, resumes: str | None) -> None:
    """Within a day, up to midnight, and none at all where both ends are equal."""
    house = House(local, curfew_start=start, curfew_end=end)

    if resumes is None:
        assert house.admit(CHILD) == ADMITTED
    else:
        assert f" {resumes} (Asia/Shanghai)" in house.refused(CHILD).message


@pytest.mark.parametrize("text", ["24:00", "22", "22:00:00 ", "noon", "22:60"])
def test_a_curfew_that_is_no_time_is_refused_at_start(text: str) -> None:
    """With the name of the entry."""
    with pytest.raises(ValueError, match=r"minors\.curfew_end"):
        House("2026-03-01 12:00:00", curfew_end=text)


def test_the_curfew_follows_the_wall_clock_through_a_change_of_clocks() -> None:
    """New York, 8 March 2026: 02:00 becomes 03:00, so the night is seven hours; 1 November: it is nine."""
    tz = "America/New_York"
    child = Person(subject="c", age_band=AgeBand.FROM_8, tz=tz)
    for day, hours in (("2026-03-07", 7), ("2026-10-31", 9)):
        house = House(f"{day} 22:00:00", tz)
        begun = house.now
        next_day = date.fromisoformat(day) + timedelta(days=1)
        assert f"{next_day} 06:00" in house.refused(child).message
        house.now = begun + hours * 3600 - 1
        house.refused(child)
        house.now = begun + hours * 3600
        assert house.admit(child) == ADMITTED


def test_a_curfew_that_ends_in_a_skipped_hour_is_over_when_the_clock_has_skipped_it() -> None:
    """The clock never shows 02:30 that night; the message names a time that it does show, and none too early."""
    tz = "America/New_York"
    child = Person(subject="c", age_band=AgeBand.FROM_8, tz=tz)
    house = House("2026-03-08 01:59:59", tz, curfew_end="02:30")

    assert "2026-03-08 03:30 (America/New_York)" in house.refused(child).message
    house.now += 1
    assert house.admit(child) == ADMITTED


@pytest.mark.parametrize(
    ("person", "minutes"),
    [
        (CHILD, 60),
        (Person(subject="s", age_band=AgeBand.UNDER_3), 60),
        (Person(subject="s", age_band=AgeBand.FROM_3), 60),
        (Person(subject="s", age_band=AgeBand.FROM_8), 60),
        (YOUTH, 120),
        (Person(subject="s", age_band=AgeBand.ADULT, in_minor_mode=True), 60),
        (Person(subject="s", age_band=AgeBand.UNKNOWN, in_minor_mode=True), 60),
        (Person(subject="s", age_band=AgeBand.FROM_16, in_minor_mode=True), 120),
    ],
)
def test_the_days_minutes_are_exact(person: Person, minutes: int) -> None:
    """Minors' mode guide: 60 minutes a day under 16, 120 at 16 and 17; minor mode without an age gets the fewest."""
    house = House("2026-03-01 10:00:00")
    house.admit(person)
    house.use(person, minutes * 60 - 1)
    assert house.admit(person).decision.action is not Action.REFUSE
    house.now += 1

    refusal = house.refused(person)

    assert (
        refusal.status,
        refusal.code,
        refusal.in_band,
        refusal.decision.reason,
    ) == (403, "minor_daily_limit", True, "daily_limit")
    assert refusal.message == (
        f"今天已用满{minutes}分钟，2026-03-02 06:00（Asia/Shanghai）后可以继续使用。\n"
        f"Today's {minutes} minutes are used up. The service resumes at 2026-03-02 06:00 (Asia/Shanghai)."
    )
    house.now = at("2026-03-01 21:59:59")
    house.refused(person)
    house.now = at("2026-03-02 06:00:00")
    assert house.admit(person) == ADMITTED


def test_without_a_curfew_at_midnight_the_new_day_begins_there() -> None:
    """What was used after midnight counts to the new day, to the second."""
    house = House("2026-03-01 22:00:00", curfew_start="03:00", curfew_end="06:00")
    house.admit(CHILD)
    house.use(CHILD, 3600)

    assert " 2026-03-02 00:00 (" in house.refused(CHILD).message
    house.use(CHILD, 3600 - 1)
    house.refused(CHILD)
    house.now += 1
    assert house.admit(CHILD).decision.action is not Action.REFUSE
    house.use(CHILD, 3599)
    house.admit(CHILD)
    house.now += 1
    assert house.refused(CHILD).code == "minor_daily_limit"


def test_a_skipped_midnight_begins_the_day_where_the_clock_goes_on() -> None:
    """Beirut, 29 March 2026: 00:00 becomes 01:00; what is used from there on is the new day's."""
    tz = "Asia/Beirut"
    child = Person(subject="c", age_band=AgeBand.FROM_8, tz=tz)
    house = House("2026-03-28 23:58:00", tz, curfew_start="04:00", curfew_end="06:00")
    house.admit(child)
    house.now += 240  # 01:02

    assert datetime.fromtimestamp(house.now, ZoneInfo(tz)).strftime("%d %H:%M") == "29 01:02"
    house.admit(child)
    house.use(child, 58 * 60 - 1)
    house.admit(child)
    house.now += 1
    house.refused(child)


def test_the_day_is_the_persons_not_the_servers() -> None:
    """At one moment two people of two zones are in two days."""
    house = House("2026-03-01 07:00:00", "America/Los_Angeles")  # 23:00 in Shanghai
    here = Person(subject="here", age_band=AgeBand.FROM_8, tz="America/Los_Angeles")
    there = Person(subject="there", age_band=AgeBand.FROM_8, tz="Asia/Shanghai")

    assert house.admit(here) == ADMITTED
    assert house.refused(there).code == "minor_curfew"


def test_changing_the_zone_gives_no_second_hour_of_the_same_day() -> None:
    """The day that was left is found again on the way back."""
    house = House("2026-03-01 08:00:00")
    traveller = Person(subject="c", age_band=AgeBand.FROM_8, tz="America/Los_Angeles")  # 16:00 on the day before
    house.admit(CHILD)
    house.use(CHILD, 3600)
    house.refused(CHILD)
    abroad = Person(subject=CHILD.subject, age_band=AgeBand.FROM_12, tz=traveller.tz)
    house.admit(abroad)
    house.use(abroad, 3600)

    assert house.refused(abroad).code == "minor_daily_limit"
    assert house.refused(CHILD).code == "minor_daily_limit"


def test_a_pause_is_not_use_and_reading_is() -> None:
    """Less than the idle gap between two signs of life counts, a longer pause does not."""
    house = House("2026-03-01 08:00:00")
    for _ in range(200):
        house.admit(CHILD)
        house.now += GAP_S
        if house.now > at("2026-03-01 20:00:00"):
            break
    assert house.admit(CHILD) == ADMITTED

    for _ in range(13):
        house.now += GAP_S - 1
        last = asyncio.run(_outcome(house, CHILD))
    assert last == "minor_daily_limit"


async def _outcome(house: House, person: Person) -> str:
    try:
        await house.duty.admit(person)
    except Refusal as refusal:
        return refusal.code
    return "admitted"


def test_two_devices_at_once_use_one_budget_once() -> None:
    """Half an hour on two devices is half an hour."""
    house = House("2026-03-01 10:00:00")
    tablet = house.replica()
    for _ in range(59):
        house.admit(CHILD)
        house.now += 30
        house.admit(CHILD, tablet)
        house.now += 30
    assert house.admit(CHILD, tablet).decision.action is not Action.REFUSE
    house.now += 60

    house.refused(CHILD)


def test_turning_sixteen_widens_the_day_and_back_narrows_it() -> None:
    """The minutes used stay; the limit is that of the age the token says now."""
    house = House("2026-03-01 10:00:00")
    older = Person(subject=CHILD.subject, age_band=AgeBand.FROM_16)
    house.admit(CHILD)
    house.use(CHILD, 3600)
    house.refused(CHILD)

    house.admit(older)
    house.use(older, 3599)
    house.admit(older)
    house.refused(CHILD)


def test_people_of_two_tenants_are_two_people() -> None:
    """Their pseudonyms differ, and so do their minutes."""
    house = House("2026-03-01 10:00:00")
    other = Person(tenant="b", subject="other pseudonym", age_band=AgeBand.FROM_12)
    house.admit(CHILD)
    house.use(CHILD, 3600)

    house.refused(CHILD)
    assert house.admit(other) == ADMITTED


def test_education_is_exempt_from_the_days_minutes_only() -> None:
    """Minors' mode guide: curfew and break reminders stay."""
    house = House("2026-03-01 10:00:00", education=True)
    house.admit(CHILD)
    told = house.use(CHILD, 3 * 3600)

    assert house.admit(CHILD).decision.action is not Action.REFUSE
    assert len(told) == 6
    house.now = at("2026-03-01 22:00:00")
    assert house.refused(CHILD).code == "minor_curfew"


def test_a_minor_without_a_name_has_the_curfew_but_no_count() -> None:
    """Counting strangers together would lock out the wrong one."""
    house = House("2026-03-01 10:00:00")
    stranger = Person(in_minor_mode=True)
    house.state = Forbidden()
    duty = house.replica()

    assert house.admit(stranger, duty) == WITHOUT_SUBJECT
    assert house.touch(stranger, duty) is None
    house.now = at("2026-03-01 22:00:00")
    with pytest.raises(Refusal):
        house.admit(stranger, duty)


def test_a_break_is_suggested_once_for_each_half_hour() -> None:
    """Minors' mode guide: every 30 minutes of continuous use (`minors.continuous_reminder_minutes`), to the second."""
    house = House("2026-03-01 10:00:00")
    house.admit(YOUTH)
    assert house.use(YOUTH, 1799) == []
    house.now += 1

    notice = house.touch(YOUTH)

    assert notice == {
        "kind": "minor_break",
        "text": "你已连续使用30分钟，休息一下眼睛和身体吧。\n"
        "You have been here for 30 minutes without a break. Please take one now.",
    }
    assert house.use(YOUTH, 1799) == []
    house.now += 1
    (second,) = house.admit(YOUTH).notices
    assert "60分钟" in second["text"]
    assert house.touch(YOUTH) is None


def test_a_reminder_that_cannot_be_told_stays_due() -> None:
    """An answer that has left can be counted, but nothing can be added to it."""
    house = House("2026-03-01 10:00:00")
    house.admit(YOUTH)
    house.use(YOUTH, 1799)
    house.now += 1

    assert asyncio.run(house.duty.touch(YOUTH)) is None
    assert len(house.admit(YOUTH).notices) == 1


def test_a_reminder_at_admission_is_a_decision_of_its_own() -> None:
    """The record says that the person was told."""
    house = House("2026-03-01 10:00:00")
    house.admit(YOUTH)
    for _ in range(6):
        house.now += 299
        assert house.admit(YOUTH) == ADMITTED
    house.now += 6

    admission = house.admit(YOUTH)

    assert (
        admission.decision.verdict,
        admission.decision.action,
        admission.decision.reason,
    ) == (Verdict.PASS, Action.NOTIFY, "continuous_use")
    assert [notice["kind"] for notice in admission.notices] == ["minor_break"]


def test_a_break_that_was_taken_begins_a_new_half_hour() -> None:
    """After a pause of the idle gap the count begins anew, and the first period of the new stretch is told again."""
    house = House("2026-03-01 10:00:00")
    house.admit(YOUTH)
    assert len(house.use(YOUTH, 1800)) == 1
    house.now += GAP_S
    house.admit(YOUTH)

    assert house.use(YOUTH, 1799) == []
    assert len(house.use(YOUTH, 1)) == 1


def test_a_reminder_comes_on_one_device_only() -> None:
    """Replicas ask the shared state who is first."""
    house = House("2026-03-01 10:00:00")
    other = house.replica()
    house.admit(YOUTH)
    house.use(YOUTH, 1799)
    house.now += 1

    told = [house.touch(YOUTH, other), house.touch(YOUTH), house.touch(YOUTH, other)]

    assert [notice is not None for notice in told] == [True, False, False]


class Away(MemoryState):
    """A state that cannot answer."""

    async def touch_usage(self, *args: Any, **kwargs: Any) -> Any:
        raise StateUnavailable("away")


def test_a_state_that_is_away_is_the_pipelines_to_decide() -> None:
    """A protected person is neither let in uncounted nor refused by guess; nobody else notices."""
    house = House("2026-03-01 10:00:00")
    house.state = Away(lambda: house.now)
    duty = house.replica()

    for call in (house.admit, house.touch):
        with pytest.raises(StateUnavailable):
            call(CHILD, duty)
    assert house.admit(ADULT, duty) == NOT_PROTECTED


def test_a_long_answer_is_touched_within_the_idle_gap() -> None:
    """However short the gap is set."""
    for gap_s in (1.0, 30.0, 300.0):
        duty = MinorsDuty(POLICY, MemoryState(lambda: 0.0), lambda: 0.0, False, gap_s)
        assert 0 < duty.touch_every_s < gap_s
        assert duty.touch_every_s <= 20


@settings(max_examples=60, deadline=None)
@given(
    pauses=st.lists(st.integers(1, 900), max_size=80),
    band=st.sampled_from([AgeBand.FROM_12, AgeBand.FROM_16]),
    tz=st.sampled_from(["Asia/Shanghai", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe"]),
    start=st.sampled_from(["2026-03-07 20:00", "2026-03-28 21:00", "2026-10-31 19:30", "2028-02-28 20:00"]),
)
def test_a_simulated_evening_agrees_with_a_straightforward_model(
    pauses: list[int], band: AgeBand, tz: str, start: str
) -> None:
    """Whatever the pattern of use, the duty says what a count of all seconds says."""
    house = House(start, tz)
    person = Person(subject="p", age_band=band, tz=tz)
    limit_s = 3600 if band is AgeBand.FROM_12 else 7200
    used: dict[date, int] = {}
    last: int | None = None
    for pause in [0, *pauses]:
        house.now += pause
        now = int(house.now)
        wall = datetime.fromtimestamp(now, ZoneInfo(tz))
        if wall.hour >= 22 or wall.hour < 6:
            expected = "minor_curfew"
        else:
            if last is not None and now - last < GAP_S:
                for second in range(last, now):
                    day = datetime.fromtimestamp(second, ZoneInfo(tz)).date()
                    used[day] = used.get(day, 0) + 1
            last = now
            expected = "minor_daily_limit" if used.get(wall.date(), 0) >= limit_s else "admitted"

        assert expected == asyncio.run(_outcome(house, person))


@pytest.mark.parametrize("may_exempt", [True, False])
def test_a_guardian_changes_times_as_far_as_the_policy_lets_them(may_exempt: bool) -> None:
    """`minors.guardian_may_exempt`: without it every wish only tightens, whatever hours it names."""
    desk = Desk(may_exempt=may_exempt)
    duty = MinorsDuty(POLICY, desk.state, desk.clock, False, GAP_S, desk.guardians)
    link = desk.run(desk.guardians.vouched("default", CHILD.subject))

    def wished(**wishes: Any) -> tuple[float, float, str, str]:
        fresh = {"daily_minutes": -1, "reminder_minutes": -1, "has_curfew": True, "curfew_start": "", "curfew_end": ""}
        desk.run(desk.guardians.wish(link, **(fresh | wishes)))
        times = duty.times(CHILD)
        return times.daily_minutes, times.break_minutes, f"{times.curfew_start:%H:%M}", f"{times.curfew_end:%H:%M}"

    usual = (60.0, 30.0, "22:00", "06:00")
    assert wished() == usual
    assert wished(daily_minutes=20, reminder_minutes=10) == (20.0, 10.0, "22:00", "06:00")
    assert wished(curfew_start="20:00", curfew_end="07:00") == (60.0, 30.0, "20:00", "07:00")
    looser: list[tuple[dict[str, Any], tuple[float, float, str, str]]] = [
        ({"daily_minutes": 600}, (600.0, 30.0, "22:00", "06:00")),
        ({"reminder_minutes": 90}, (60.0, 90.0, "22:00", "06:00")),
        ({"has_curfew": False}, (60.0, 30.0, "06:00", "06:00")),
        ({"curfew_start": "23:30"}, (60.0, 30.0, "23:30", "06:00")),
        ({"curfew_start": "00:30"}, (60.0, 30.0, "00:30", "06:00")),
        ({"curfew_end": "05:00"}, (60.0, 30.0, "22:00", "05:00")),
        ({"curfew_start": "10:00", "curfew_end": "12:00"}, (60.0, 30.0, "10:00", "12:00")),
        ({"curfew_start": "07:00", "curfew_end": "07:00"}, (60.0, 30.0, "07:00", "07:00")),
    ]
    for wishes, times in looser:
        assert wished(**wishes) == (times if may_exempt else usual), wishes


def test_a_guardians_minutes_hold_in_a_service_of_education_too() -> None:
    """The exemption is from the policy's minutes; a guardian means this very service."""
    desk = Desk()
    duty = MinorsDuty(POLICY, desk.state, desk.clock, True, GAP_S, desk.guardians)
    assert duty.times(CHILD).daily_minutes == float("inf")
    link = desk.run(desk.guardians.vouched("default", CHILD.subject))
    desk.run(desk.guardians.wish(link, daily_minutes=45))
    assert duty.times(CHILD).daily_minutes == 45
