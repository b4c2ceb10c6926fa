# SPDX-License-Identifier: Apache-2.0
"""An exchange within a session: admitted by all duties but the one that was asked at the handshake, recorded once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.exchange import Outcome, Person, Prompt, PromptText
from gateway.pipeline import Side
from gateway.realtime_exchange import HeldExchange
from tests.gateway.rooms import WAY, Rooms, settle, stage

ASKED: list[str] = []


class Noting:
    """A duty that notes that it was asked."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, exchange: Any) -> None:
        """Notes it."""
        ASKED.append(self._name)
        if exchange.path == "wait":
            await asyncio.Event().wait()


STAGES = (
    stage("identify", Side.REQUEST, lambda house: Noting("identify")),
    stage("minors", Side.REQUEST, lambda house: Noting("minors")),
    *WAY,
)


def held(rooms: Rooms, *texts: PromptText, language: str = "") -> HeldExchange:
    """An exchange with these texts."""
    prompt = Prompt("m", True, list(texts), {})
    return HeldExchange(rooms.runner, prompt, headers=(), person=Person(subject="s"), language=language)


def test_who_it_is_was_found_out_at_the_handshake() -> None:
    """The other duties are asked each time; the person stays."""
    ASKED.clear()

    async def run() -> None:
        rooms = Rooms(stages=STAGES)
        exchange = held(rooms)
        await exchange.admit(identify=True)
        await exchange.admit()
        assert exchange.exchange.person.subject == "s"

    asyncio.run(run())
    assert ASKED == ["identify", "minors", "minors"]


def test_its_record_is_written_once_to_its_end() -> None:
    """However often it is closed, and whoever stops waiting."""

    async def run() -> Rooms:
        rooms = Rooms()
        rooms.log.gates["close"] = gate = asyncio.Event()
        exchange = held(rooms)
        exchange.open()
        await exchange.opened()
        waiting = asyncio.ensure_future(exchange.close())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await exchange.close(Outcome.FAILED)
        await settle()
        return rooms

    rooms = asyncio.run(run())
    assert [record["type"] for record in rooms.log.records()] == ["open", "close"]
    assert rooms.record["outcome"] == "completed"


def test_a_task_that_is_cancelled_in_a_duty_leaves_a_record() -> None:
    """The client left while it was being decided."""

    async def run() -> Rooms:
        rooms = Rooms(stages=STAGES)
        exchange = held(rooms)
        exchange.exchange.path = "wait"
        deciding = asyncio.ensure_future(exchange.admit())
        await asyncio.sleep(0)
        deciding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deciding
        return rooms

    assert asyncio.run(run()).record["outcome"] == "client_gone"


def test_its_language_is_that_of_its_own_words_first() -> None:
    """Else that of the session."""

    async def run() -> tuple[str, str]:
        rooms = Rooms()
        silent = held(rooms, PromptText("x", "system", "be kind"), language="en")
        return silent.exchange.language, held(rooms, PromptText("x", "user", "你好"), language="en").exchange.language

    assert asyncio.run(run()) == ("en", "")
