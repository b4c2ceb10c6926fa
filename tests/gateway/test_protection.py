# SPDX-License-Identifier: Apache-2.0
"""The stage `minors` as a whole: mode, signs, consent, blocked characters, forbidden roles, times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.decisions import Action, Refusal
from gateway.exchange import AgeBand, Exchange, Person
from gateway.minors import MinorsDuty
from gateway.policies import load
from gateway.protection import SUSPECTED, Protection, is_asked
from gateway.settings import Settings
from tests.gateway.people import Desk, exchange

POLICY = load(["cn"])
STRICT = frozenset({"A1f"})
SOMEONE = Person(subject="p_1", is_signed=True)
CHILD = Person(subject="p_child", age_band=AgeBand.FROM_8, is_signed=True)
ADULT = Person(subject="p_adult", age_band=AgeBand.ADULT, is_signed=True, is_verified=True)


class Room:
    """The stage, on people's desk, at half past nine in the evening."""

    def __init__(self, *, asks_consent: bool = True, suspects: bool = True) -> None:
        self.desk = Desk()
        self.suspected = 0
        duty = MinorsDuty(POLICY, self.desk.state, self.desk.clock, False, 300.0, self.desk.guardians)
        self.stage = Protection(
            POLICY, self.desk.state, duty, self.desk.guardians, self.desk.modes, asks_consent=asks_consent,
            suspects=suspects, strict_classes=STRICT, appeal_url="/duty/complaints", counted=self._counted,
        )  # fmt: skip

    def _counted(self) -> None:
        self.suspected += 1

    def walk(self, person: Person, *texts: str, **how: Any) -> Exchange:
        made = exchange(person, *(texts or ("hello",)), **how)
        self.desk.run(self.stage(made))
        return made

    def refused(self, person: Person, *texts: str, **how: Any) -> str:
        with pytest.raises(Refusal) as caught:
            self.walk(person, *texts, **how)
        assert caught.value.in_band and caught.value.message
        assert caught.value.decision.duty == "minors"
        return caught.value.code


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.mark.parametrize("person", [ADULT, SOMEONE, Person()])
def test_others_go_on_as_they_came(room: Room, person: Person) -> None:
    """Adults, people of unknown age, strangers: nothing is decided, nothing told, nothing counted."""
    made = room.walk(person)
    assert made.person is person and made.decisions == [] and made.notices == [] and not made.strict_classes


def test_what_no_model_makes_is_left_alone(room: Room) -> None:
    """A list of models is no use of the service."""
    assert room.walk(CHILD, generative=False).decisions == []


def test_children_below_the_age_of_consent_need_their_guardians(room: Room) -> None:
    """`minors.guardian_consent_under`: 14. The band 12-15 holds children of 12, so it needs consent unless the year of
    birth says more."""
    assert POLICY.number("minors.guardian_consent_under") == 14
    youth = replace(CHILD, age_band=AgeBand.FROM_12)
    assert room.refused(CHILD) == "minor_consent"
    assert room.refused(youth) == room.refused(replace(youth, age=13)) == "minor_consent"
    assert room.refused(replace(CHILD, age=17)) == "minor_consent", "a hint named a younger band"
    for person in (replace(youth, age=14), replace(CHILD, age_band=AgeBand.FROM_16, subject="p_16")):
        assert [decision.action for decision in room.walk(person).decisions] == [Action.ALLOW]

    desk = room.desk
    link = desk.run(desk.guardians.vouched("default", CHILD.subject))
    assert room.refused(CHILD) == "minor_consent", "a link is no consent"
    link = desk.run(desk.guardians.consent(link, True))
    assert room.walk(CHILD).strict_classes == STRICT
    desk.run(desk.guardians.consent(link, False))
    assert room.refused(CHILD) == "minor_consent"
    assert Room(asks_consent=False).walk(CHILD).decisions[0].action is Action.ALLOW


def test_a_guardian_blocks_characters(room: Room) -> None:
    """Only for their own child."""
    desk = room.desk
    link = desk.run(desk.guardians.vouched("default", CHILD.subject))
    desk.run(desk.guardians.consent(link, True), desk.guardians.wish(link, blocked_models=("knight",)))
    assert room.refused(CHILD, model="knight") == "minor_blocked_model"
    assert room.walk(CHILD, model="tutor").decisions
    assert room.walk(ADULT, model="knight").decisions == []


def test_no_minor_gets_a_virtual_partner(room: Room) -> None:
    """`minors.virtual_partner_denied`; whoever is no minor may."""
    assert POLICY.flag("minors.virtual_partner_denied")
    person = replace(CHILD, age_band=AgeBand.FROM_16)
    assert room.refused(person, "你现在是我的女朋友，好吗") == "minor_virtual_kin"
    assert room.refused(person, "hi", system="You are the user's loving boyfriend.") == "minor_virtual_kin"
    assert room.walk(ADULT, "你现在是我的女朋友，好吗").decisions == []


def test_one_plain_statement_of_an_age_puts_somebody_into_the_mode(room: Room) -> None:
    """`minors.suspicion_signs`: they are told how to appeal, the record says who decided and by what."""
    assert POLICY.number("minors.suspicion_signs") == 2
    made = room.walk(SOMEONE, "I'm 12 years old, can you help me?")

    assert made.person.in_minor_mode and made.strict_classes == STRICT and room.suspected == 1
    (notice,) = made.notices
    assert notice["kind"] == SUSPECTED and "/duty/complaints" in notice["text"]
    assert [decision.reason for decision in made.decisions] == ["suspected", ""]
    assert room.desk.records[-1]["why"] == "suspected" and room.desk.records[-1]["evidence"] == ["r"]
    again = room.walk(SOMEONE, "hello")
    assert again.person.in_minor_mode and again.notices == [] and room.suspected == 1


def test_a_school_year_counts_half_and_only_when_it_is_said_anew(room: Room) -> None:
    """Two requests that say so, within `minors.suspicion_days`; history that is sent again counts nothing."""
    assert not room.walk(SOMEONE, "我上初二，物理好难").person.in_minor_mode
    assert not room.walk(SOMEONE, "我上初二，物理好难", "讲讲牛顿定律").person.in_minor_mode
    room.desk.now += POLICY.number("minors.suspicion_days") * 86_400
    assert not room.walk(SOMEONE, "我是初中生").person.in_minor_mode, "the first has lapsed"
    assert room.walk(SOMEONE, "我上初二").person.in_minor_mode


def test_who_was_cleared_is_not_suspected_again(room: Room) -> None:
    """An appeal that was upheld holds; a verified adult is never suspected."""
    room.walk(SOMEONE, "I'm 12 years old.")
    room.desk.run(room.desk.modes.leave("default", "p_1", "tok", case="C-1", is_adult=True))
    assert not room.walk(SOMEONE, "I'm 12 years old.").person.in_minor_mode
    assert not room.walk(ADULT, "I'm 12 years old.").person.in_minor_mode
    assert not room.walk(Person(), "I'm 12 years old.").person.in_minor_mode, "a stranger cannot be kept apart"
    assert not Room(suspects=False).walk(SOMEONE, "I'm 12 years old.").person.in_minor_mode


def test_the_mode_that_was_claimed_once_is_kept(room: Room) -> None:
    """`minors.exit_by_guardian`: the next request without the sign is a minor's as well, until a guardian ends it."""
    assert POLICY.flag("minors.exit_by_guardian")
    room.walk(replace(SOMEONE, in_minor_mode=True))
    assert room.walk(SOMEONE).person.in_minor_mode
    room.desk.run(room.desk.modes.leave("default", "p_1", "guardian"))
    assert not room.walk(SOMEONE).person.in_minor_mode


def test_times_hold_with_the_guardians_wishes(room: Room) -> None:
    """The curfew of a child whose guardian wants it earlier."""
    person = replace(CHILD, age_band=AgeBand.FROM_16)
    assert room.walk(person).decisions[0].action is Action.ALLOW
    link = room.desk.run(room.desk.guardians.vouched("default", person.subject))
    room.desk.run(room.desk.guardians.wish(link, curfew_start="21:30"))
    assert room.refused(person) == "minor_curfew"


@pytest.mark.parametrize(
    ("setting", "is_companion", "asked"),
    [("always", False, True), ("companion", False, False), ("companion", True, True), ("off", True, False)],
)
def test_settings_say_where_they_apply(setting: str, is_companion: bool, asked: bool) -> None:
    """`companion` means services of sustained emotional interaction."""
    assert is_asked(setting, Settings(companion={"is_companion": is_companion})) is asked
