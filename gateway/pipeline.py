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

from gateway.admission import FirstContact, Identify
from gateway.copies import KeepText
from gateway.decisions import Decision
from gateway.events import Event
from gateway.exchange import Exchange
from gateway.filtering import AnswerFilter, PromptFilter
from gateway.judging import AnswerJudge, PromptJudge
from gateway.media_labels import LabelMedia
from gateway.notices import NoticesInAnswer
from gateway.personal_data import PersonalPrompt, personal_answer
from gateway.picture_checks import AnswerPictures, PromptPictures
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
    """A duty on the media of one answer, each once it is whole. It takes its time off the event loop."""

    async def label(self, events: Sequence[Event]) -> Sequence[Event]:
        """What becomes of `events`; anything that it raises breaks the stage."""
        ...

    def concerns(self, events: Sequence[Event]) -> bool:
        """Whether `events` have to go through `label_texts`; asked for every batch in order, so it must cost little."""
        ...

    async def label_texts(self, events: Sequence[Event]) -> list[Event]:
        """What becomes of `events` whose texts hold media."""
        ...

    def cut_texts(self, events: Sequence[Event]) -> list[Event]:
        """The same without the media, where the upstream broke off and nothing can be labelled any more."""
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the way. `request` makes the duty once for the house, `answer` and `media` for each exchange.

    `answer` gives None where the settings leave the stage out. `media` sees a plain answer once it is whole, and of a
    stream each batch that holds media, in order.
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
        "who is asking: the tenant from an API key, the person from the signed Duty-Subject token; unsigned hints only "
        "tighten",
        FailureRule.REFUSE,
        request=lambda house: Identify(house.identifier),
    ),
    Stage(
        "crisis",
        Side.REQUEST,
        "where set, whoever says that they may hurt themselves or are in danger gets comfort and help lines before "
        "anything else is asked, and their contact is told",
        FailureRule.REFUSE,
        request=lambda house: house.crisis,
    ),
    Stage(
        "switches",
        Side.REQUEST,
        "what is paused is refused, and stops where it runs, in every process",
        FailureRule.REFUSE,
        request=lambda house: house.switches,
    ),
    Stage(
        "measures",
        Side.REQUEST,
        "who is suspended is refused, who is restricted gets less, who is warned reads it",
        FailureRule.REFUSE,
        request=lambda house: house.measures,
    ),
    Stage(
        "quotas",
        Side.REQUEST,
        "an API key of the gateway's own has its requests a minute and tokens a day",
        FailureRule.REFUSE,
        request=lambda house: house.api_keys,
    ),
    Stage(
        "gates",
        Side.REQUEST,
        "who must be verified is, and has accepted the service agreement in force",
        FailureRule.REFUSE,
        request=lambda house: house.gates,
    ),
    Stage(
        "incident notices",
        Side.REQUEST,
        "who has to be told of an incident is told beside the answer",
        FailureRule.REFUSE,
        request=lambda house: house.incident_notices,
    ),
    Stage(
        "minors",
        Side.REQUEST,
        "curfew and daily minutes of protected people, consent and wishes of guardians, no virtual partner or kin",
        FailureRule.REFUSE,
        request=lambda house: house.protection,
    ),
    Stage(
        "companion",
        Side.REQUEST,
        "in services of sustained emotional interaction: exit words, notice, reminders",
        FailureRule.REFUSE,
        request=lambda house: house.companion,
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
        "personal prompt",
        Side.REQUEST,
        "personal data in the prompt, where set: noted, masked in what the model gets, or refused",
        FailureRule.REFUSE,
        request=lambda house: PersonalPrompt(house.filters.personal),
    ),
    Stage(
        "judge prompt",
        Side.REQUEST,
        "what people and tools say, by terms with context, the classifier and a guard model, as set",
        FailureRule.REFUSE,
        request=lambda house: PromptJudge(lambda: house.judging),
    ),
    Stage(
        "check pictures",
        Side.REQUEST,
        "pictures in the prompt, by lists of known ones, a model, the words in them, as set; or those behind links",
        FailureRule.REFUSE,
        request=lambda house: PromptPictures(house.filters.pictures),
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
        "personal answer",
        Side.ANSWER,
        "personal data in the answer, where set: noted, masked or stopped, through the same guard",
        FailureRule.STOP,
        answer=lambda house, exchange: personal_answer(exchange, house.filters.personal),
    ),
    Stage(
        "judge answer",
        Side.ANSWER,
        "sentence by sentence, a plain answer whole, by the same checks; late verdicts stop and retract",
        FailureRule.STOP,
        answer=lambda house, exchange: (
            None
            if (judging := exchange.judging or house.judging) is None
            else AnswerJudge(exchange, judging, house.clock)
        ),
    ),
    Stage(
        "fingerprint",
        Side.ANSWER,
        "what texts read like is remembered, where set, so that a copy without labels is found again",
        FailureRule.STOP,
        answer=lambda house, exchange: (
            None if house.copies is None or not house.copies.of_texts else KeepText(exchange, house.copies)
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
        answer=lambda house, exchange: NoticesInAnswer(exchange, in_text=house.settings.disclosure.notices == "text"),
    ),
    Stage(
        "check media",
        Side.ANSWER,
        "pictures in the answer, by the same checks, before they are labelled",
        FailureRule.STOP,
        media=lambda house, exchange: AnswerPictures(exchange, house.filters.pictures),
    ),
    Stage(
        "label media",
        Side.ANSWER,
        "visible or audible label, seven-key object and signed manifest in pictures and sounds, streamed ones too, "
        "behind links and in data addresses inside texts, read back; what cannot get them does not leave",
        FailureRule.STOP,
        media=lambda house, exchange: LabelMedia(
            exchange,
            house.media,
            house.meters,
            house.links,
            house.films,
            None if house.text_manifests is None else house.text_manifests.begin(exchange),
        ),
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
