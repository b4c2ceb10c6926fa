# SPDX-License-Identifier: Apache-2.0
"""The way of an exchange through the house: which duties, in which order, and what happens when one breaks.

Requests travel top to bottom until `forward`; answers travel on from there. Fail closed is the rule, and every
exception to it would stand in this list. No duty calls another; the runner (`gateway/runner.py`) walks the list.
A test prints this table into `docs/architecture.md` and fails when the two differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from gateway.admission import FirstContact, Identify, Minors
from gateway.decisions import Decision
from gateway.events import Event
from gateway.exchange import Exchange
from gateway.filtering import AnswerFilter, PromptFilter
from gateway.judging import AnswerJudge, PromptJudge
from gateway.media_labels import LabelMedia
from gateway.notices import NoticesInAnswer
from gateway.text_labels import LabelAnswer

if TYPE_CHECKING:
    from gateway.house import House


class Side(StrEnum):
    """Where a stage stands."""

    REQUEST = "request"
    MODEL = "model"
    ANSWER = "answer"
    RECORD = "record"


class FailureRule(StrEnum):
    """What happens when a stage itself breaks, whatever it would have decided."""

    REFUSE = "refuse"
    """The request is refused with 503; the model is not called."""
    UPSTREAM_ERROR = "upstream error"
    """The client gets 502 or 504 in the wire's format."""
    STOP = "stop"
    """The answer ends with the wire's error; what was not yet sent is not sent."""


class RequestDuty(Protocol):
    """A duty on the way in. Raises `Refusal`; anything else that it raises breaks the stage."""

    async def __call__(self, exchange: Exchange) -> None:
        """Decide about `exchange`."""
        ...


class AnswerDuty(Protocol):
    """A duty on one answer, fed with its events in order."""

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """What becomes of `events`; anything that it raises breaks the stage."""
        ...

    def flush(self) -> list[Event]:
        """What it still held, where the upstream broke off."""
        ...

    def decision(self) -> Decision | None:
        """What is to be recorded of the whole answer, beside what was decided on the way."""
        ...


class MediaDuty(Protocol):
    """A duty on the media of one plain answer, once it is whole. It takes its time off the event loop."""

    async def label(self, events: Sequence[Event]) -> Sequence[Event]:
        """What becomes of `events`; anything that it raises breaks the stage."""
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the way. `request` makes the duty once for the house, `answer` and `media` for each exchange.

    `answer` gives None where the settings leave the stage out. `media` sees plain answers only: a stream's media are
    not served, because a label stands in the whole.
    """

    name: str
    side: Side
    does: str
    on_error: FailureRule
    request: Callable[[House], RequestDuty] | None = None
    answer: Callable[[House, Exchange], AnswerDuty | None] | None = None
    media: Callable[[House, Exchange], MediaDuty] | None = None

    @property
    def key(self) -> str:
        """The name as records and metrics write it."""
        return self.name.replace(" ", "_")


WAY: tuple[Stage, ...] = (
    Stage(
        "identify",
        Side.REQUEST,
        "who is asking, from the signed Duty-Subject token; unsigned hints only tighten",
        FailureRule.REFUSE,
        request=lambda house: Identify(house.identifier),
    ),
    Stage(
        "minors",
        Side.REQUEST,
        "curfew and daily minutes of protected people",
        FailureRule.REFUSE,
        request=lambda house: Minors(house.minors),
    ),
    Stage(
        "first contact",
        Side.REQUEST,
        "whoever was not told yet that this is an AI is told, or asked to acknowledge it",
        FailureRule.REFUSE,
        request=lambda house: FirstContact(house.disclosure),
    ),
    Stage(
        "filter prompt",
        Side.REQUEST,
        "every text of the prompt against the terms",
        FailureRule.REFUSE,
        request=lambda house: PromptFilter(house.filter),
    ),
    Stage(
        "judge prompt",
        Side.REQUEST,
        "what people and tools say, by the check that needs context, where one is set",
        FailureRule.REFUSE,
        request=lambda house: PromptJudge(house.judging),
    ),
    Stage("forward", Side.MODEL, "the model is called with what was checked", FailureRule.UPSTREAM_ERROR),
    Stage(
        "filter answer",
        Side.ANSWER,
        "every lane of the answer through the exact guard; a hit cancels the model's call",
        FailureRule.STOP,
        answer=lambda house, exchange: AnswerFilter(exchange, exchange.filter or house.filter.current),
    ),
    Stage(
        "judge answer",
        Side.ANSWER,
        "sentence by sentence, by the check that needs context, where one is set; late verdicts stop and retract",
        FailureRule.STOP,
        answer=lambda house, exchange: (
            None if house.judging is None else AnswerJudge(exchange, house.judging, house.clock)
        ),
    ),
    Stage(
        "label",
        Side.ANSWER,
        "explicit label in the text, seven-key object in the envelope",
        FailureRule.STOP,
        answer=lambda house, exchange: LabelAnswer(exchange, house.labels),
    ),
    Stage(
        "notices",
        Side.ANSWER,
        "first-contact notice at the head, words for a stopped answer at the end",
        FailureRule.STOP,
        answer=lambda house, exchange: NoticesInAnswer(exchange),
    ),
    Stage(
        "label media",
        Side.ANSWER,
        "visible or audible label, seven-key object and signed manifest in the pictures and sounds of a plain answer, "
        "read back; what cannot get them, and media in streams, do not leave",
        FailureRule.STOP,
        media=lambda house, exchange: LabelMedia(exchange, house.media, house.meters),
    ),
    Stage(
        "record",
        Side.RECORD,
        "the record is durable: a plain answer's before its first byte, a stream's opening before its first byte and "
        "its closing before its last",
        FailureRule.STOP,
    ),
)


def table(stages: Sequence[Stage] = WAY) -> str:
    """The way as a Markdown table, for the documentation."""
    lines = ["| # | stage | side | what it does | when it breaks |", "|---|---|---|---|---|"]
    for number, stage in enumerate(stages, 1):
        lines.append(f"| {number} | {stage.name} | {stage.side} | {stage.does} | {stage.on_error} |")
    return "\n".join(lines) + "\n"
