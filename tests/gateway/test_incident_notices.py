# SPDX-License-Identifier: Apache-2.0
"""People are told of an incident with their next answer, once, and that they were told is a record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.exchange import Exchange, Outcome, Person, Prompt, PromptText
from gateway.incident_notices import IncidentNotice, IncidentNotices
from gateway.own_records import OwnRecords
from gateway.standing import Standing
from gateway.state import MemoryOrders

NOW = 1_700_000_000.0
LEAK = IncidentNotice("inc_1", "发生了一起事件", "There was an incident")


class House:
    """Notices over memory."""

    def __init__(self) -> None:
        clock = lambda: NOW  # noqa: E731
        self.kept: list[dict[str, Any]] = []
        self.standing = Standing(MemoryOrders(clock), clock, poll_s=60.0, stale_after_s=1e9)
        self.notices = IncidentNotices(self.standing, OwnRecords(self.record, self.standing))

    async def record(self, fields: Any) -> str:
        """Keep a record."""
        self.kept.append(dict(fields))
        return f"rec{len(self.kept)}"

    async def ask(self, text: str = "hello", subject: str = "p1", outcome: Outcome = Outcome.COMPLETED) -> list[Any]:
        """What stands beside the person's answer."""
        prompt = Prompt("m", False, [PromptText("", "user", text)], {})
        asked = Exchange("r1", NOW, "openai_chat", "/", person=Person(subject=subject), prompt=prompt)
        await self.notices(asked)
        asked.outcome = outcome
        await self.notices.ended(asked)
        return asked.notices


def run(scene: Callable[[House], Awaitable[None]]) -> None:
    """A scene in a loop of its own."""

    async def whole() -> None:
        house = House()
        await scene(house)
        await house.standing.close()

    asyncio.run(whole())


def test_the_next_answer_tells_once_in_the_persons_language() -> None:
    """Nobody else reads it; the record names incident, exchange and person."""

    async def scene(house: House) -> None:
        await house.notices.place("default", "p1", LEAK)
        assert await house.ask(subject="p2") == [] and await house.ask(subject="") == []
        assert await house.ask() == [{"kind": "incident", "incident": "inc_1", "text": "There was an incident"}]
        assert await house.ask() == []
        (record,) = house.kept
        assert record == {
            "type": "notice", "event": "incident_told", "incident": "inc_1", "exchange": "r1", "tenant": "default",
            "subject": "p1",
        }  # fmt: skip
        await house.notices.place("default", "p1", LEAK)
        assert (await house.ask("你好"))[0]["text"] == "发生了一起事件"

    run(scene)


@pytest.mark.parametrize("outcome", [Outcome.CLIENT_GONE, Outcome.UPSTREAM_FAILED, Outcome.FAILED, Outcome.REFUSED])
def test_an_answer_that_breaks_off_tells_nobody(outcome: Outcome) -> None:
    """The next one carries it again."""

    async def scene(house: House) -> None:
        await house.notices.place("default", "p1", LEAK)
        assert await house.ask(outcome=outcome)
        assert house.kept == []
        assert await house.ask()
        assert len(house.kept) == 1

    run(scene)


def test_several_incidents_are_told_together_and_one_is_told_in_its_last_words() -> None:
    """A second notice of the same incident takes the place of the first."""

    async def scene(house: House) -> None:
        await house.notices.place("default", "p1", LEAK)
        await house.notices.place("default", "p1", IncidentNotice("inc_2", "二", "two"))
        await house.notices.place("default", "p1", IncidentNotice("inc_1", "新", "new"))
        assert [(item["incident"], item["text"]) for item in await house.ask()] == [("inc_2", "two"), ("inc_1", "new")]
        assert {item["incident"] for item in house.kept} == {"inc_1", "inc_2"}

    run(scene)


def test_one_that_came_while_the_answer_was_made_waits() -> None:
    """Only what stood in the answer counts as told."""

    async def scene(house: House) -> None:
        await house.notices.place("default", "p1", LEAK)
        prompt = Prompt("m", False, [], {})
        asked = Exchange("r1", NOW, "openai_chat", "/", person=Person(subject="p1"), prompt=prompt)
        await house.notices(asked)
        await house.notices.place("default", "p1", IncidentNotice("inc_2", "二", "two"))
        asked.outcome = Outcome.COMPLETED
        await house.notices.ended(asked)
        assert [item["incident"] for item in house.kept] == ["inc_1"]
        assert [item["incident"] for item in await house.ask()] == ["inc_2"]

    run(scene)
