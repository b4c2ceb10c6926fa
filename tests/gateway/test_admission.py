# SPDX-License-Identifier: Apache-2.0
"""The duties about people, as the pipeline calls them: each writes what it found into the exchange, or refuses."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.admission import FirstContact, Identify
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.disclosure import Disclosure, Notice
from gateway.exchange import AgeBand, Exchange, Person, Prompt, PromptText
from gateway.identity import Identifier, IdentityError

CHILD = Person(subject="p_1", age_band=AgeBand.FROM_12, is_signed=True)
DECISION = Decision("duty", Verdict.PASS, Action.ALLOW)


def exchange(person: Person = CHILD, *, generative: bool = True, text: str = "hello") -> Exchange:
    """An exchange of this person."""
    prompt = Prompt("m", False, [PromptText("messages.0.content", "user", text)], {})
    return Exchange("r", 0.0, "w", "/", headers=[(b"x", b"y")], person=person, prompt=prompt, is_generative=generative)


class Door:
    """Stands for identifier, minors and disclosure."""

    mode = "announce"
    notice = Notice("我是 AI", "I am an AI", "n1", {("easy", "zh"): "电脑", ("spoken", "en"): "Hear: AI",
                    ("standard", "zh_hant"): "我係 AI", ("easy", "zh_hant"): "電腦"})  # fmt: skip

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
    asked = exchange(Person())
    asked.peer = "10.0.0.5"
    made = walk(Identify(cast(Identifier, door)), asked)
    assert made.person is CHILD and door.asked == [([(b"x", b"y")], "10.0.0.5")]


def test_a_token_that_cannot_be_believed_refuses_with_its_reason() -> None:
    """Out of band: there is nobody to answer."""
    with pytest.raises(Refusal) as caught:
        walk(Identify(cast(Identifier, Door(IdentityError("expired", "Get a new token.", 401)))), exchange())
    assert (caught.value.status, caught.value.code, caught.value.in_band) == (401, "expired", False)
    assert (caught.value.decision.duty, caught.value.decision.reason) == ("identify", "expired")
    assert caught.value.message == "Get a new token."


@pytest.mark.parametrize(("text", "language"), [("hello", "en"), ("你好", "zh")])
def test_whoever_was_not_told_is_told_in_their_language(text: str, language: str) -> None:
    """The notice is kept for the answer, its version for the record."""
    door = Door(SimpleNamespace(notice="due", decision=DECISION))
    made = walk(FirstContact(cast(Disclosure, door)), exchange(text=text))
    said = {"en": "I am an AI", "zh": "我是 AI"}[language]
    assert (made.head_notice, made.notice_version, made.decisions) == (said, "n1", [DECISION])
    assert door.asked == [(CHILD, language)]


@pytest.mark.parametrize(
    ("band", "text", "headers", "said"),
    [
        (AgeBand.FROM_8, "你好", {}, "电脑"),
        (AgeBand.FROM_12, "你好", {}, "我是 AI"),
        (AgeBand.FROM_8, "你好", {"duty-reading": "standard"}, "我是 AI"),
        (AgeBand.ADULT, "你好", {"duty-reading": " EASY "}, "电脑"),
        (AgeBand.ADULT, "你好", {"duty-reading": "<script>"}, "我是 AI"),
        (AgeBand.ADULT, "hello", {"duty-reading": "spoken"}, "Hear: AI"),
        (AgeBand.ADULT, "你好", {"duty-reading": "spoken"}, "我是 AI"),
        (AgeBand.ADULT, "你好", {"accept-language": "zh-TW,zh;q=0.8"}, "我係 AI"),
        (AgeBand.FROM_3, "你好", {"accept-language": "zh-Hant-HK"}, "電腦"),
        (AgeBand.ADULT, "你好", {"accept-language": "zh-CN,zh-TW;q=0.8"}, "我是 AI"),
        (AgeBand.ADULT, "hello", {"accept-language": "zh-TW"}, "I am an AI"),
    ],
)
def test_each_is_told_in_a_form_they_understand(band: AgeBand, text: str, headers: dict[str, str], said: str) -> None:
    """Children in easy language, others as their client asks; what is not known is the standard form."""
    asked = exchange(Person(subject="p_1", age_band=band, is_signed=True), text=text)
    asked.headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    made = walk(FirstContact(cast(Disclosure, Door(SimpleNamespace(notice="due", decision=DECISION)))), asked)
    assert made.head_notice == said


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
