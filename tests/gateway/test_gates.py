# SPDX-License-Identifier: Apache-2.0
"""The gates before use: verified identity and the accepted service agreement."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.decisions import Refusal
from gateway.exchange import Exchange, Person
from gateway.gates import Agreement, Gates
from gateway.policies import load
from gateway.settings import Settings
from gateway.state import MemoryState, StateUnavailable

NOW = 1_790_000_000.0
POLICY = load(["cn"])
ANNA = Person(subject="anna", is_signed=True, is_verified=True)
DAY_S = 86_400


class House:
    """Gates over memory. Several may share a state."""

    def __init__(self, *, version: str = "", verified: str = "never", state: MemoryState | None = None) -> None:
        self.now = NOW
        self.state = state or MemoryState(lambda: self.now)
        settings = Settings.model_validate(
            {
                "service": {"agreement_version": version, "agreement_url": "https://example.com/terms"},
                "identity": {"require_verified": verified},
                "server": {"public_url": "https://ai.example.com"},
            }
        )
        self.agreement = Agreement(settings, POLICY, self.state, lambda: self.now)
        self.gates = Gates(self.agreement, settings, POLICY)

    def admit(self, person: Person = ANNA, **changes: Any) -> Refusal | None:
        """How the gates answer."""
        made = Exchange("r1", self.now, "openai_chat", "/", person=person, language="en", **changes)
        try:
            asyncio.run(self.gates(made))
        except Refusal as refusal:
            return refusal
        return None


def test_the_policy_names_its_article() -> None:
    """Interim Measures article 9 paragraph 2; what is only remembered is a setting without an article."""
    entry = POLICY.entry("agreement.before_first_use")
    assert (entry.value, entry.article) == (True, "Interim Measures art 9 para 2")
    assert (POLICY.flag("identity.verified_only"), POLICY.entry("identity.verified_only").article) == (False, "")
    assert POLICY.number("agreement.accepted_days") == 1_830


def test_without_gates_everybody_passes() -> None:
    """Even where the state is away: nobody is asked."""
    house = House(verified="policy")
    asyncio.run(house.state.close())
    assert house.admit() is None and house.admit(Person()) is None


@pytest.mark.parametrize(
    ("person", "passes"),
    [
        (ANNA, True),
        (Person(), False),
        (Person(subject="ben", is_signed=True), False),
        (Person(subject="eve", is_verified=True), False),
    ],
)
def test_only_a_signature_says_that_somebody_is_verified(person: Person, passes: bool) -> None:
    """403 with the next step, not in the model's own voice."""
    refusal = House(verified="always").admit(person)
    assert (refusal is None) is passes
    if refusal is not None:
        assert (refusal.status, refusal.code, refusal.in_band) == (403, "verification_required", False)


def test_the_agreement_is_accepted_before_first_use() -> None:
    """The refusal names the version, the terms and where to accept; then the person passes, and nobody else."""
    house = House(version="2026-1")
    refusal = house.admit()
    assert refusal is not None and (refusal.status, refusal.code) == (403, "agreement_required")
    for words in ("2026-1", "https://example.com/terms", "https://ai.example.com/duty/agreement"):
        assert words in refusal.message
    assert refusal.headers == (("Link", '<https://example.com/terms>; rel="terms-of-service"'),)
    asyncio.run(house.agreement.accept(ANNA))
    assert house.admit() is None
    assert house.admit(Person(subject="ben", is_signed=True)) is not None
    assert house.admit(Person(subject="anna", tenant="other", is_signed=True)) is not None


def test_a_new_version_is_accepted_anew() -> None:
    """And what was accepted in one process counts in another."""
    first = House(version="2026-1")
    asyncio.run(first.agreement.accept(ANNA))
    assert House(version="2026-1", state=first.state).admit() is None
    assert House(version="2026-2", state=first.state).admit() is not None


def test_an_acceptance_ends_after_the_policys_days() -> None:
    """In the process that took it, and in one that looks it up."""
    house = House(version="1")
    asyncio.run(house.agreement.accept(ANNA))
    house.now += POLICY.number("agreement.accepted_days") * DAY_S - 1
    assert house.admit() is None
    house.now += 1
    assert house.admit() is not None


def test_who_has_no_name_cannot_have_accepted() -> None:
    """The words say what to send."""
    refusal = House(version="1").admit(Person(api_key="key_1"))
    assert refusal is not None and refusal.code == "agreement_needs_subject" and "Duty-Subject" in refusal.message


def test_what_generates_nothing_needs_no_agreement() -> None:
    """A list of models."""
    assert House(version="1", verified="always").admit(Person(), is_generative=False) is None


def test_where_nobody_can_tell_nobody_passes() -> None:
    """The pipeline's rule then refuses."""
    house = House(version="1")
    asyncio.run(house.state.close())
    with pytest.raises(StateUnavailable):
        house.admit()


def test_what_one_process_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who falls out is looked up again, and passes."""
    monkeypatch.setattr("gateway.gates._MAX_KNOWN", 3)
    house = House(version="1")
    people = [Person(subject=f"p{number}", is_signed=True) for number in range(10)]
    for person in people:
        asyncio.run(house.agreement.accept(person))
    assert len(house.agreement._known) == 3
    assert all(house.admit(person) is None for person in people)
