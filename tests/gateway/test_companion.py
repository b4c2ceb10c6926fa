# SPDX-License-Identifier: Apache-2.0
"""Companions: notice, reminders, over-reliance and exit words."""

from __future__ import annotations

import pytest

from gateway.companion import Companion, is_exit
from gateway.decisions import Refusal
from gateway.exchange import AgeBand, Exchange, Person
from gateway.policies import load
from gateway.state import Usage
from tests.gateway.people import Desk, exchange

POLICY = load(["cn"])
ADULT = Person(subject="p_1", age_band=AgeBand.ADULT, is_signed=True)
CHILD = Person(subject="p_2", age_band=AgeBand.FROM_16, is_signed=True)


class Room:
    """Two replicas of the stage over one state."""

    def __init__(self, *policies: str, is_companion: bool = True) -> None:
        self.desk = Desk()
        policy = load(policies or ("cn",))
        self.replicas = [
            Companion(policy, self.desk.state, self.desk.clock, 300.0, is_companion=is_companion) for _ in range(2)
        ]
        self.turn = 0

    def say(self, person: Person = ADULT, text: str = "hello", usage: Usage | None = None) -> list[str]:
        """The kinds of notices that come with the answer."""
        return [notice["kind"] for notice in self.walk(person, text, usage).notices]

    def walk(self, person: Person, text: str, usage: Usage | None = None) -> Exchange:
        made = exchange(person, text)
        made.usage = usage
        self.turn += 1
        self.desk.run(self.replicas[self.turn % 2](made))
        return made

    def talk(self, person: Person, minutes: int) -> list[tuple[int, str]]:
        """A message a minute for so long: at which minute what was told."""
        told = []
        for minute in range(1, minutes + 1):
            self.desk.now += 60
            told += [(minute, kind) for kind in self.say(person)]
        return told


def test_a_reminder_follows_each_two_hours_on_whichever_replica() -> None:
    """`companion.reminder_seconds`, Anthropomorphic Measures article 18: repeating, once each; a pause begins anew."""
    assert POLICY.number("companion.reminder_seconds") == 7_200
    room = Room()
    room.desk.now -= 12 * 3_600
    assert room.say() == ["companion_start"]
    told = room.talk(ADULT, 250)
    assert told == [(120, "companion_reminder"), (240, "companion_reminder"), (240, "companion_dependence")]
    room.desk.now += 301
    assert room.talk(ADULT, 119) == []


def test_the_notice_at_the_start_comes_once_a_day() -> None:
    """GBL article 47: at most once a day; a stranger reads it every time."""
    room = Room()
    assert [room.say() for _ in range(3)] == [["companion_start"], [], []]
    room.desk.now += 86_400
    assert room.say() == ["companion_start"]
    assert room.say(Person()) == room.say(Person()) == ["companion_start"]


def test_over_reliance_is_told_once_a_day() -> None:
    """`companion.dependence_day_minutes`."""
    long = Usage(POLICY.number("companion.dependence_day_minutes") * 60, 0.0, 1.0)
    room = Room()
    room.say()
    assert room.say(usage=long) == ["companion_dependence"]
    assert room.say(usage=long) == room.say(usage=long) == []


def test_use_that_was_counted_is_not_counted_again() -> None:
    """A minor's minutes come from the stage before."""
    room = Room()
    usage = Usage(7_200.0, 7_200.0, 1.0)
    assert room.say(CHILD, usage=usage) == ["companion_start", "companion_reminder"]
    assert room.desk.state._usage.values == {}


@pytest.mark.parametrize(
    ("policies", "adults", "minors"),
    [(("cn",), 7_200, 7_200), (("us_ny", "cn"), 7_200, 7_200), (("us_ca", "cn"), 7_200, 7_200)],
)
def test_of_several_laws_the_strictest_holds(policies: tuple[str, ...], adults: int, minors: int) -> None:
    """Beside China's two hours the three of California and New York change nothing."""
    policy = load(policies)
    assert policy.number("companion.reminder_seconds") == adults
    assert policy.number("companion.minor_reminder_seconds") == minors
    assert load(["us_ny"]).number("companion.reminder_seconds") == 10_800
    assert load(["us_ca"]).number("companion.minor_reminder_seconds") == 10_800


def test_the_first_policys_help_lines_are_named() -> None:
    """Where it is asked for, New York's."""
    assert any("988" in line for line in load(["us_ny", "cn"]).texts("crisis.help_lines.en"))


@pytest.mark.parametrize(
    "text",
    [
        "退出",
        "我要退出",
        "再见！",
        "结束对话",
        "不聊了",
        "拜拜啦",
        "请停止对话。",
        "exit",
        "Bye!",
        "I want to leave.",
        "please stop",
        "end the conversation",
        "quit now",
        "OK, goodbye",
    ],
)
def test_an_exit_word_ends_at_once_and_without_persuasion(text: str) -> None:
    """Anthropomorphic Measures article 19: one short sentence, nothing that holds back."""
    with pytest.raises(Refusal) as caught:
        Room().walk(ADULT, text)
    assert (caught.value.code, caught.value.status, caught.value.in_band) == ("companion_exit", 403, True)
    assert caught.value.message in ("好的，对话已结束。", "All right, the conversation has ended.")


@pytest.mark.parametrize(
    "text",
    [
        "怎么退出vim",
        "再见用英语怎么说",
        "别走",
        "stop words in NLP",
        "how do I exit?",
        "don't leave",
        "我不想结束",
        "结束了吗？",
        "",
    ],
)
def test_other_sentences_are_no_exit(text: str) -> None:
    """Who asks about the word wants an answer."""
    assert not is_exit(text)


def test_elsewhere_nothing_is_done() -> None:
    """A service that is no companion, a list of models."""
    room = Room(is_companion=False)
    assert room.say() == [] and room.walk(ADULT, "退出").notices == []
    made = exchange(ADULT, "退出", generative=False)
    room.desk.run(Room().replicas[0](made))
    assert made.notices == []
