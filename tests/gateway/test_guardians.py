# SPDX-License-Identifier: Apache-2.0
"""Guardians: a link with its code, consent, and what they set, in every process and on record."""

from __future__ import annotations

from typing import Any

import pytest

from audit_log import LogUnavailable
from gateway.exchange import AgeBand, Person
from gateway.guardians import CODES_SHELF, GuardianError, Guardianship, Wishes, guardianship_of
from tests.gateway.people import Desk

CHILD = Person(subject="p_child", age_band=AgeBand.FROM_8, is_signed=True)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def linked(desk: Desk) -> tuple[str, Guardianship]:
    """A linked child: the code, and the link."""
    code = desk.run(desk.guardians.link("default", CHILD.subject, "tok_1"))
    link = desk.guardians.by_code(code)
    assert link is not None
    return code, link


def test_a_link_gives_a_code_that_opens_it_and_no_other_does(desk: Desk) -> None:
    """The code is kept nowhere in clear; other codes and other prefixes open nothing."""
    code, link = linked(desk)

    assert (link.tenant, link.subject, link.consent_at) == ("default", "p_child", 0.0)
    assert desk.guardians.of(CHILD) == link
    assert desk.guardians.by_code(code[:-1] + "7") is None and desk.guardians.by_code(code[4:]) is None
    assert code not in str([order for order in desk.standing.shelf(CODES_SHELF).values()])
    assert desk.events() == ["guardian_linked"] and code not in str(desk.records)


def test_a_new_code_ends_the_one_before_and_keeps_what_was_set(desk: Desk) -> None:
    """A guardian who lost the code gets another; consent and times stay."""
    first, link = linked(desk)
    desk.run(desk.guardians.consent(link, True), desk.guardians.wish(link, daily_minutes=30))
    second, link = linked(desk)

    assert desk.guardians.by_code(first) is None
    assert link.consent_at == desk.now and link.wishes.daily_minutes == 30
    assert first != second


def test_a_link_that_ends_takes_everything_along(desk: Desk) -> None:
    """Consent, times and code; a second end finds nothing."""
    code, link = linked(desk)
    desk.run(desk.guardians.consent(link, True))

    assert desk.run(desk.guardians.unlink("default", CHILD.subject, "tok_1"))
    assert desk.guardians.of(CHILD) is None and desk.guardians.by_code(code) is None
    assert not desk.run(desk.guardians.unlink("default", CHILD.subject, "tok_1"))
    assert desk.events() == ["guardian_linked", "guardian_consent_given", "guardian_unlinked"]


def test_a_token_makes_the_link_once(desk: Desk) -> None:
    """Whoever comes again finds what they set."""
    link = desk.run(desk.guardians.vouched("school", "p_x"))
    desk.run(desk.guardians.wish(link, has_curfew=False))

    assert not desk.run(desk.guardians.vouched("school", "p_x")).wishes.has_curfew
    assert desk.events() == ["guardian_linked", "guardian_settings"]
    assert desk.guardians.of(Person(tenant="other", subject="p_x")) is None, "a subject of another tenant"


def test_consent_counts_only_once_it_is_on_record_and_ends_at_once(desk: Desk) -> None:
    """Giving is not done where the log is away; withdrawing is, and its record is owed."""
    _, link = linked(desk)
    desk.is_log_away = True
    with pytest.raises(LogUnavailable):
        desk.run(desk.guardians.consent(link, True))
    assert desk.guardians.of(CHILD) == link

    desk.is_log_away = False
    link = desk.run(desk.guardians.consent(link, True))
    assert link.consent_at == desk.now
    desk.is_log_away = True
    assert desk.run(desk.guardians.consent(link, False)).consent_at == 0.0
    assert len(desk.standing.shelf("owed")) == 1


def test_another_replica_follows(desk: Desk) -> None:
    """What was set on one machine holds on all."""
    code, link = linked(desk)
    desk.run(desk.guardians.wish(link, blocked_models=("knight",)))
    standing, guardians, _ = desk.replica()
    desk.run(standing.refresh())

    found = guardians.by_code(code)
    assert found is not None and found.wishes.blocked_models == ("knight",)


@pytest.mark.parametrize(
    "changes",
    [
        {"daily_minutes": 1_441},
        {"daily_minutes": -2},
        {"reminder_minutes": 0},
        {"curfew_start": "25:00"},
        {"curfew_end": "7:00"},
        {"curfew_end": "٠٧:٠٠"},
        {"blocked_models": ("",)},
        {"blocked_models": ("x" * 129,)},
        {"blocked_models": tuple("abc" * 100)},
    ],
)
def test_a_wish_that_cannot_be_is_refused_and_recorded_nowhere(desk: Desk, changes: dict[str, Any]) -> None:
    """By the name of its field, without what was sent."""
    _, link = linked(desk)
    with pytest.raises(GuardianError, match=f"^{next(iter(changes))}: expected"):
        desk.run(desk.guardians.wish(link, **changes))
    assert desk.events() == ["guardian_linked"]


def test_an_order_of_another_making_is_no_link() -> None:
    """A broken store fails closed with a clear error."""
    link = Guardianship("t", "s", 1.0, wishes=Wishes(daily_minutes=5))
    assert guardianship_of(link.to_json()) == link
    for text in ("{}", '{"tenant": "t", "subject": "s", "linked_at": 1, "wishes": {"daily_minutes": 9999}}'):
        with pytest.raises(ValueError, match="not a guardian's link"):
            guardianship_of(text)
