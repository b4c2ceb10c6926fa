# SPDX-License-Identifier: Apache-2.0
"""What a session keeps is bounded, however long it lasts, and what fails beside it ends it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import realtime_line
from tests.gateway.realtime_rooms import FORBIDDEN, Talk, message, saying, speaking


def lines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The lines that sessions make."""
    made: list[Any] = []
    real = realtime_line.SessionLine

    def make(*args: Any) -> Any:
        made.append(real(*args))
        return made[-1]

    monkeypatch.setattr("gateway.realtime.SessionLine", make)
    return made


def test_a_long_conversation_holds_no_more_than_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses are forgotten, items and labels are remembered up to a number."""
    monkeypatch.setattr(realtime_line, "_MOST_ITEMS", 3)
    made = lines(monkeypatch)

    async def act(talk: Talk) -> None:
        for number in range(8):
            talk.model(*speaking("Hello there.", name=f"resp_{number}"))
            await talk.settle()

    Talk().run(act)
    (line,) = made
    assert not line.responses and len(line.said) == 3 and len(line.label_ms) == 3


def test_stopped_responses_that_the_model_never_ends_are_forgotten_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first; what their items say later is what was let out."""
    monkeypatch.setattr(realtime_line, "MOST_OPEN", 1)
    made = lines(monkeypatch)

    async def act(talk: Talk) -> None:
        for number in range(6):
            talk.model(*saying(f"ok {FORBIDDEN}", name=f"resp_{number}")[:-1])
            await talk.settle()
        talk.model({"type": "conversation.item.retrieved", "item": message("resp_0", "what was not let out")})
        await talk.settle()

    talk = Talk().run(act)
    assert len(made[0].responses) == 2
    assert "what was not let out" not in talk.everything()


def test_what_fails_beside_ends_the_session() -> None:
    """A closing record that cannot be kept: the last event does not leave, and the client is told."""

    async def act(talk: Talk) -> None:
        talk.rooms.log.broken = frozenset({"close"})
        talk.model(*saying("Hello."))
        await talk.settle()

    talk = Talk().run(act, leave=False)
    assert "response.done" not in talk.kinds() and talk.errors() == ["not_recorded"] and talk.closed == 1011
