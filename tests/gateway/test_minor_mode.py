# SPDX-License-Identifier: Apache-2.0
"""The minors' mode of people whose age nobody signed: it stays until a guardian or an officer ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from audit_log import LogUnavailable
from gateway.exchange import AgeBand, Person
from gateway.minor_mode import Why
from tests.gateway.people import Desk

SOMEONE = Person(subject="p_1", is_signed=True)
IN_MODE = replace(SOMEONE, in_minor_mode=True)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_whoever_was_in_the_mode_stays_in_it_when_the_sign_is_gone(desk: Desk) -> None:
    """Minors' mode guide: leaving it is no matter of leaving a header out."""
    assert not desk.modes.resolved(SOMEONE).is_protected
    desk.run(desk.modes.keep(IN_MODE), desk.modes.keep(IN_MODE))

    assert desk.modes.resolved(SOMEONE).is_protected
    assert desk.events() == ["minor_mode_on"], "recorded once"
    assert not desk.modes.resolved(replace(SOMEONE, tenant="other")).is_protected
    assert desk.modes.resolved(replace(SOMEONE, subject="")) == replace(SOMEONE, subject="")


@pytest.mark.parametrize(
    "person", [replace(IN_MODE, subject=""), replace(IN_MODE, age_band=AgeBand.FROM_12), SOMEONE,
               replace(IN_MODE, age_band=AgeBand.ADULT)]
)  # fmt: skip
def test_nobody_else_is_kept(desk: Desk, person: Person) -> None:
    """Strangers have no name, signed ages speak for themselves, and an adult chose the mode freely."""
    desk.run(desk.modes.keep(person))
    assert desk.modes.entries() == [] and desk.records == []


@pytest.mark.parametrize(
    ("why", "is_verified", "is_held"),
    [
        (Why.DEVICE, False, False),
        (Why.SUSPECTED, False, True),
        (Why.SUSPECTED, True, False),
        (Why.GUARDIAN, False, True),
        (Why.OFFICER, True, False),
    ],
)
def test_who_is_proved_to_be_an_adult_is_not_held(desk: Desk, why: Why, is_verified: bool, is_held: bool) -> None:
    """A device's word yields to a signed age, a suspicion only to one that was verified."""
    desk.run(desk.modes.enter("default", "p_1", why, "x"))
    adult = replace(SOMEONE, age_band=AgeBand.ADULT, is_verified=is_verified)
    assert desk.modes.resolved(adult).is_protected is is_held
    assert desk.modes.resolved(replace(adult, is_signed=False)).is_protected


def test_leaving_is_on_record_first_and_the_cleared_are_left_alone(desk: Desk) -> None:
    """Where the log is away the mode goes on; a case names the appeal; clearing ends with time."""
    desk.run(desk.modes.enter("default", "p_1", Why.SUSPECTED, "signs", "rec_1"))
    desk.is_log_away = True
    with pytest.raises(LogUnavailable):
        desk.run(desk.modes.leave("default", "p_1", "tok_1", case="C-1", is_adult=True))
    assert desk.modes.resolved(SOMEONE).is_protected and not desk.modes.is_cleared(SOMEONE)

    desk.is_log_away = False
    assert desk.run(desk.modes.leave("default", "p_1", "tok_1", case="C-1", is_adult=True))
    assert not desk.modes.resolved(SOMEONE).is_protected and desk.modes.is_cleared(SOMEONE)
    assert desk.records[-1]["case"] == "C-1" and desk.records[-1]["evidence"] == ["rec_1"]
    assert not desk.run(desk.modes.leave("default", "p_1", "tok_1"))
    desk.now += 86_400
    assert not desk.modes.is_cleared(SOMEONE)


def test_entries_are_listed_longest_first_and_followed_everywhere(desk: Desk) -> None:
    """Another replica sees the same."""
    desk.run(desk.modes.enter("default", "p_2", Why.OFFICER, "x"))
    desk.now += 1
    desk.run(desk.modes.enter("default", "p_1", Why.GUARDIAN, "x"))
    standing, _, modes = desk.replica()
    desk.run(standing.refresh())
    assert [entry.subject for entry in modes.entries()] == ["p_2", "p_1"]
    assert modes.resolved(SOMEONE).in_minor_mode
