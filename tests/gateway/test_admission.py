# SPDX-License-Identifier: Apache-2.0
"""The duties about people, as the pipeline calls them: each writes what it found into the exchange, or refuses."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.admission import FirstContact, Identify, Minors
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.disclosure import Disclosure
from gateway.exchange import AgeBand, Exchange, Person, Prompt, PromptText
from gateway.identity import Identifier, IdentityError
from gateway.minors import MinorsDuty

CHILD = Person(subject="p_1", age_band=AgeBand.FROM_12, is_signed=True)
DECISION = Decision("duty", Verdict.PASS, Action.ALLOW)


def exchange(person: Person = CHILD, *, generative: bool = True, text: str = "hello") -> Exchange:
    """An exchange of this person."""
    prompt = Prompt("m", False, [PromptText("messages.0.content", "user", text)], {})
    return Exchange("r", 0.0, "w", "/", headers=[(b"x", b"y")], person=person, prompt=prompt, is_generative=generative)


class Door:
    """Stands for identifier, minors and disclosure."""

    mode = "announce"
    notice = SimpleNamespace(version="n1")

    def __init__(self, answer: Any = None) -> None:
        self._answer = answer
        self.asked: list[Any] = []

    async def _answered(self, *asked: Any) -> Any:
        self.asked.append(asked)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    identify = admit = first_contact = _answered


def walk(duty: Any, made: Exchange) -> Exchange:
    """The exchange after the duty."""
    asyncio.run(duty(made))
    return made


def test_the_person_is_who_the_headers_say() -> None:
    """All headers are given; the person is kept."""
    door = Door(CHILD)
    made = walk(Identify(cast(Identifier, door)), exchange(Person()))
    assert made.person is CHILD and door.asked == [([(b"x", b"y")],)]


def test_a_token_that_cannot_be_believed_refuses_with_its_reason() -> None:
    """Out of band: there is nobody to answer."""
    with pytest.raises(Refusal) as caught:
        walk(Identify(cast(Identifier, Door(IdentityError("expired", "Get a new token.", 401)))), exchange())
    assert (caught.value.status, caught.value.code, caught.value.in_band) == (401, "expired", False)
    assert (caught.value.decision.duty, caught.value.decision.reason) == ("identify", "expired")
    assert caught.value.message == "Get a new token."


def test_a_protected_person_is_admitted_with_decision_and_notices() -> None:
    """A reminder to take a break travels with the answer."""
    notice = {"kind": "break", "text": "Take a break."}
    made = walk(Minors(cast(MinorsDuty, Door(SimpleNamespace(decision=DECISION, notices=(notice,))))), exchange())
    assert made.decisions == [DECISION] and made.notices == [notice]


@pytest.mark.parametrize(
    "made", [exchange(Person(age_band=AgeBand.ADULT)), exchange(Person()), exchange(CHILD, generative=False)]
)
def test_others_and_other_paths_cost_nothing(made: Exchange) -> None:
    """Adults, people of unknown age, a list of models."""
    door = Door()
    assert walk(Minors(cast(MinorsDuty, door)), made).decisions == [] and door.asked == []


def test_a_refusal_goes_on_as_it_is() -> None:
    """In its own words."""
    refusal = Refusal(DECISION, status=403, code="curfew", message="Until 06:00.", in_band=True)
    with pytest.raises(Refusal) as caught:
        walk(Minors(cast(MinorsDuty, Door(refusal))), exchange())
    assert caught.value is refusal


@pytest.mark.parametrize(("text", "language"), [("hello", "en"), ("你好", "zh")])
def test_whoever_was_not_told_is_told_in_their_language(text: str, language: str) -> None:
    """The notice is kept for the answer, its version for the record."""
    door = Door(SimpleNamespace(notice="You talk to an AI.", decision=DECISION))
    made = walk(FirstContact(cast(Disclosure, door)), exchange(text=text))
    assert (made.head_notice, made.notice_version, made.decisions) == ("You talk to an AI.", "n1", [DECISION])
    assert door.asked == [(CHILD, language)]


def test_where_the_interface_tells_the_language_is_not_looked_for() -> None:
    """It costs time on every request."""
    door = Door(SimpleNamespace(notice="", decision=DECISION))
    door.mode = "interface"
    made = walk(FirstContact(cast(Disclosure, door)), exchange())
    assert door.asked == [(CHILD, "")] and made.head_notice == "" and made.language == ""


def test_where_no_model_answers_nobody_is_told() -> None:
    """A list of models is no AI that one talks to."""
    door = Door()
    made = walk(FirstContact(cast(Disclosure, door)), exchange(generative=False))
    assert door.asked == [] and made.notice_version == ""
