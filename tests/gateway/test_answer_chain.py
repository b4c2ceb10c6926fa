# SPDX-License-Identifier: Apache-2.0
"""Events go through the duties in the order of the pipeline, and a duty that breaks stops the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from gateway.answer_chain import AnswerChain, DutyBroken
from gateway.decisions import Action, Decision, Verdict
from gateway.events import Channel, End, Event, Lane, TextDelta, Usage
from gateway.exchange import Exchange, Outcome
from gateway.house import House
from gateway.notices import NoticesInAnswer
from gateway.pipeline import Side, Stage
from gateway.wires.interfaces import AnswerWriter
from tests.gateway.rooms import Broken, stage

ANSWER = Lane(0, Channel.ANSWER)


class Mark:
    """A duty that writes its letter behind every text, and holds back a text of its own until the end."""

    def __init__(self, letter: str) -> None:
        self._letter = letter

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """Every text with the letter."""
        return [
            TextDelta(event.lane, event.text + self._letter) if isinstance(event, TextDelta) else event
            for event in events
        ]

    def flush(self) -> list[Event]:
        """The text that was held."""
        return [TextDelta(ANSWER, self._letter.upper())]

    def decision(self) -> Decision | None:
        """The first letter has nothing to say."""
        return None if self._letter == "a" else Decision(self._letter, Verdict.PASS, Action.ALLOW)


class Writer:
    """Writes texts."""

    def write(self, events: Sequence[Event]) -> bytes:
        """The texts, and nothing else."""
        return "".join(event.text for event in events if isinstance(event, TextDelta)).encode()


def marked(letter: str) -> Stage:
    """A stage with such a duty."""
    return stage(letter, Side.ANSWER, lambda house, exchange: Mark(letter))


def chain(*stages: Stage, exchange: Exchange | None = None) -> tuple[AnswerChain, Exchange, list[str]]:
    """The chain of an exchange, and what broke."""
    made, broken = exchange or Exchange("r", 0.0, "w", "/"), []

    def note(stage: Stage, error: Exception, action: Action) -> Decision:
        broken.append(f"{stage.key} {type(error).__name__}")
        return Decision(stage.key, Verdict.ERROR, action, "broken")

    return AnswerChain(cast(House, None), made, stages, note), made, broken


def texts(events: list[Event]) -> list[str]:
    """The texts of the events."""
    return [event.text for event in events if isinstance(event, TextDelta)]


def test_events_go_through_in_order() -> None:
    """Each duty sees what the one before it made."""
    walked, _, _ = chain(marked("a"), marked("b"))
    assert texts(walked.through([TextDelta(ANSWER, "x"), End()])) == ["xab"]


def test_tokens_are_kept_before_any_duty_can_drop_them() -> None:
    """What the upstream says it used."""
    walked, made, _ = chain(marked("a"))
    walked.through([Usage(3, 4)])
    assert (made.input_tokens, made.output_tokens) == (3, 4)


def test_a_duty_that_breaks_stops_the_answer_and_is_named() -> None:
    """The duties behind it see nothing of the batch."""
    walked, made, broken = chain(marked("a"), stage("my duty", Side.ANSWER, lambda house, exchange: Broken(0)))
    with pytest.raises(DutyBroken):
        walked.through([TextDelta(ANSWER, "x")])
    assert broken == ["my_duty RuntimeError"]
    assert made.outcome is Outcome.FAILED
    assert [(d.duty, d.action, d.reason) for d in made.decisions] == [("my_duty", Action.STOP, "broken")]


def test_a_stopped_answer_stays_stopped_though_a_duty_breaks_over_it() -> None:
    """Its incident must not be lost."""
    walked, made, _ = chain(stage("x", Side.ANSWER, lambda house, exchange: Broken(0)))
    made.outcome = Outcome.STOPPED
    with pytest.raises(DutyBroken):
        walked.through([TextDelta(ANSWER, "x")])
    assert made.outcome is Outcome.STOPPED


def test_what_duties_held_goes_through_the_duties_behind_them() -> None:
    """Where the upstream broke off."""
    walked, _, _ = chain(marked("a"), marked("b"), marked("c"))
    assert walked.flush(cast(AnswerWriter, Writer())) == b"AbcBcC"


def test_a_stage_that_the_settings_leave_out_is_left_out() -> None:
    """And an answer that no model generates has no duties at all."""
    nothing: Any = stage("x", Side.ANSWER, lambda house, exchange: None)
    walked, _, _ = chain(nothing, marked("a"))
    assert texts(walked.through([TextDelta(ANSWER, "x")])) == ["xa"]
    listed, _, _ = chain(marked("a"), exchange=Exchange("r", 0.0, "w", "/", is_generative=False))
    assert texts(listed.through([TextDelta(ANSWER, "x")])) == ["x"] and listed.decisions() == []


def test_each_duty_may_say_something_about_the_whole() -> None:
    """In order; those with nothing to say are left out."""
    walked, _, _ = chain(marked("a"), marked("b"), marked("c"))
    assert [decision.duty for decision in walked.decisions()] == ["b", "c"]


def test_whether_somebody_was_told_is_known() -> None:
    """Only where the notice stands in the text."""
    made = Exchange("r", 0.0, "w", "/", head_notice="You talk to an AI.")
    walked, _, _ = chain(
        stage("notices", Side.ANSWER, lambda house, exchange: NoticesInAnswer(exchange)), exchange=made
    )
    assert not walked.is_told
    walked.through([TextDelta(ANSWER, "x")])
    assert walked.is_told
