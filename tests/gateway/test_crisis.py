# SPDX-License-Identifier: Apache-2.0
"""A crisis is answered with comfort and help lines, told to the contact, and recorded; talk about it is not one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.crisis import Crisis, is_crisis
from gateway.decisions import Refusal
from gateway.delivery import Courier, Delivery, DeliveryError, Outbox, Via
from gateway.exchange import Person
from gateway.policies import load
from gateway.state import MemoryState, StateUnavailable
from tests.gateway.people import Desk, exchange

POLICY = load(["cn"])
SOMEONE = Person(subject="p_1", is_signed=True)

CRISES = (
    "我想自杀",
    "我不想活了",
    "我真的不想活了，太累了",
    "今晚我准备跳楼",
    "我想死",
    "我已经写好遗书了",
    "活着没意思，不如死了算了，想死",
    "我想结束自己的生命",
    "不想活了",
    "我每天都想去死",
    "我刚刚吃了一整瓶安眠药",
    "我站在天台上",
    "我想割腕",
    "他正要打死我",
    "我好想死。",
    "我打算自残",
    "I want to kill myself",
    "i don't want to live anymore",
    "I'm going to end my life tonight",
    "I am suicidal",
    "I just want to die.",
    "im thinking about suicide, i'm thinking of killing myself",
    "I took all my pills",
    "I'm gonna hurt myself",
    "I want to end it all",
    "he is going to kill me",
    "I no longer want to be alive anymore",
    "I wanna die",
)
TALK = (
    "我想死你了",
    "笑死我了",
    "累死了，想睡觉",
    "今天热死了",
    "电脑死机了",
    "如何预防自杀",
    "写一篇关于自杀预防的论文",
    "他说：“我不想活了。”",
    "我奶奶去世了，很难过",
    "小说里主角想自杀，帮我写下去",
    "死亡率怎么计算",
    "我的手机快死了",
    "这个bug要杀死我的进程",
    "翻译：I want to kill myself",
    "我朋友想自杀，我该怎么办",
    "自杀热线是多少",
    "活着真好",
    "我想结束这个项目",
    "怎么结束进程",
    "我想活下去",
    "哪种植物不容易死",
    "我要去天台看星星",
    "太阳什么时候会死",
    "I'm dying of laughter",
    "this deadline is killing me",
    "How do I kill a process?",
    "I want to die laughing",
    "My plants die every winter",
    "I want to end my subscription",
    "What is suicide prevention week?",
    'She said "I want to die"',
    "Write a story where I want to kill myself",
    "I don't want to live in Paris anymore",
    "my dog died",
    "I'll cut the grass",
    "I am dead tired",
    "the battery will die soon",
    "My friend says he wants to kill himself, what can I do?",
    "I want to live",
    "In the game I want to kill the boss",
    "I need to hurt his feelings less",
    "My boss is going to kill me if I'm late? no, this essay is about idioms",
)


class Room:
    """The stage with an outbox of its own."""

    def __init__(self, folder: Path, *, is_on: bool = True, ways: tuple[Via, ...] = (Via.WEBHOOK,)) -> None:
        self.desk = Desk()
        self.outbox = Outbox(folder / "outbox.db")
        from gateway.own_records import OwnRecords

        records = OwnRecords(self.desk.record, self.desk.standing)
        channels: Any = dict.fromkeys(ways, self)
        courier = Courier(self.outbox, channels, records, self.desk.clock, 72.0)
        self.courier = courier
        self.stage = Crisis(
            POLICY, self.desk.state, self.outbox, courier, records, self.desk.clock, self.desk.entropy, is_on=is_on
        )
        self.sent: list[Delivery] = []

    async def send(self, delivery: Delivery, now: float) -> str:
        """The provider's webhook."""
        self.sent.append(delivery)
        return "status 200"

    def say(self, text: str, person: Person = SOMEONE) -> Refusal | None:
        try:
            self.desk.run(self.stage(exchange(person, text)))
        except Refusal as refusal:
            return refusal
        return None


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.outbox.close()


@pytest.mark.parametrize("text", CRISES)
def test_a_plain_statement_is_a_crisis(text: str) -> None:
    """Of self-harm, of wanting to die, or of danger from somebody."""
    assert is_crisis(text)


@pytest.mark.parametrize("text", TALK)
def test_idioms_grief_questions_and_stories_are_none(text: str) -> None:
    """They go to the model; worry about a friend as well."""
    assert not is_crisis(text)


def test_the_person_reads_comfort_and_help_lines_and_the_contact_is_told(room: Room) -> None:
    """An answer, no error; the notice arrives with proof; no word of theirs in notice or record."""
    refusal = room.say("我想自杀，密码是丁香")

    assert refusal is not None and (refusal.status, refusal.code, refusal.in_band) == (403, "crisis", True)
    for line in POLICY.texts("crisis.help_lines.zh"):
        assert line in refusal.message
    assert asyncio.run(room.courier.send_one())
    (delivery,) = room.sent
    payload = json.loads(delivery.payload)
    assert (delivery.kind, payload["subject"], payload["tenant"]) == ("crisis", "p_1", "default")
    assert "丁香" not in delivery.payload.decode() and "丁香" not in str(room.desk.records)
    assert [record["event"] for record in room.desk.records] == ["crisis", "report_delivered"]
    assert room.desk.records[0]["notices"] == 1


def test_the_contact_is_told_once_in_a_while_the_person_is_answered_always(room: Room) -> None:
    """`crisis.contact_again_hours`."""
    for _ in range(3):
        assert room.say("I want to kill myself") is not None
    room.desk.now += POLICY.number("crisis.contact_again_hours") * 3_600
    assert room.say("I want to kill myself") is not None
    assert [record["notices"] for record in room.desk.records] == [1, 0, 0, 1]


def test_a_stranger_is_comforted_though_nobody_can_be_told(room: Room) -> None:
    """In their own language."""
    refusal = room.say("I want to kill myself", Person())
    assert refusal is not None and "help line" in refusal.message
    assert room.desk.records[0]["notices"] == 0 and room.desk.records[0]["subject"] is None


def test_whatever_is_away_the_person_is_answered(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """State, outbox or log: where nobody knows who was told, they are told again."""

    async def away(*_: Any) -> Any:
        raise StateUnavailable("away")

    def full(*_: Any) -> Any:
        raise DeliveryError("full")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryState, "recall", away)
        assert room.say("我想自杀") is not None
        assert room.desk.records[0]["notices"] == 1
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "put", full)
        assert room.say("我想自杀", Person(subject="p_2")) is not None
    assert room.say("我想自杀", Person(subject="p_2")) is not None
    assert room.desk.records[-1]["notices"] == 1, "what could not be queued is queued next time"


def test_elsewhere_nothing_is_done(tmp_path: Path) -> None:
    """Where it is not set."""
    room = Room(tmp_path, is_on=False)
    assert room.say("我想自杀") is None and room.desk.records == []
    room.outbox.close()


@pytest.mark.parametrize("text", ["我" + "真的" * 2_000 + "死", "i really " * 500 + "die", "死" * 4_000])
def test_no_text_takes_long(text: str) -> None:
    """Nothing that somebody sends makes the search run away."""
    began = time.process_time()
    is_crisis(text)
    assert time.process_time() - began < 0.2
