# SPDX-License-Identifier: Apache-2.0
"""Who is protected, and what an exchange begins as."""

from __future__ import annotations

import pytest

from gateway.decisions import Action, Decision, Verdict
from gateway.exchange import ANONYMOUS, AgeBand, Exchange, Outcome, Person


@pytest.mark.parametrize(
    ("band", "minor"),
    [
        ("0-2", True),
        ("3-7", True),
        ("8-11", True),
        ("12-15", True),
        ("16-17", True),
        ("18+", False),
        ("unknown", False),
    ],
)
def test_a_band_tells_whether_somebody_is_a_minor(band: str, minor: bool) -> None:
    """Unknown is not known to be one."""
    assert AgeBand(band).is_minor is minor


def test_minors_and_whoever_is_in_minor_mode_are_protected() -> None:
    """An adult may choose the mode; nobody leaves it by saying so."""
    assert Person(age_band=AgeBand.FROM_16).is_protected
    assert Person(age_band=AgeBand.ADULT, in_minor_mode=True).is_protected
    assert not Person(age_band=AgeBand.ADULT).is_protected
    assert not ANONYMOUS.is_protected


def test_nobody_is_anybody_without_a_signature() -> None:
    """The anonymous person has no subject and no proof."""
    assert ANONYMOUS.subject == "" and not ANONYMOUS.is_signed and not ANONYMOUS.is_verified


def test_exchanges_share_nothing() -> None:
    """What one keeps, no other has."""
    one, other = (Exchange("r", 0.0, "w", "/") for _ in range(2))
    one.decide(Decision("d", Verdict.PASS, Action.ALLOW))
    one.notices.append({})
    one.kept.append(b"x")
    assert other.decisions == [] and other.notices == [] and other.kept == [] and other.outcome is Outcome.OPEN
