# SPDX-License-Identifier: Apache-2.0
"""The answer duties of one exchange, one after the other, with the failure rule of their stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway.decisions import Action, Decision
from gateway.events import Event, Media, Usage
from gateway.exchange import Exchange, Outcome
from gateway.judging import AnswerJudge
from gateway.notices import NoticesInAnswer
from gateway.pipeline import AnswerDuty, MediaDuty, Stage
from gateway.upstream import UpstreamFailure
from gateway.wires.interfaces import AnswerWriter, BadAnswer

if TYPE_CHECKING:
    from gateway.house import House


LABEL = "label"
"""The stage behind which an answer gets no more text of the model's."""


class DutyBroken(Exception):
    """A stage broke while an answer went through it: the answer stops."""


class AnswerChain:
    """Sends events through the duties in the order of the pipeline. A plain answer and a stream go the same way."""

    def __init__(
        self,
        house: House,
        exchange: Exchange,
        stages: Sequence[Stage],
        broken: Callable[[Stage, Exception, Action], Decision],
    ) -> None:
        """`broken` notes that a stage broke, and gives the decision for the record."""
        self._exchange = exchange
        self._broken = broken
        self._duties: list[tuple[Stage, AnswerDuty]] = []
        self.judge: AnswerJudge | None = None
        """The one duty that lets text out later than it took it in."""
        self._judge_at = 0
        self._media: list[tuple[Stage, MediaDuty]] = []
        for stage in stages if exchange.is_generative else ():
            if stage.media is not None:
                self._media.append((stage, stage.media(house, exchange)))
                continue
            assert stage.answer is not None
            duty = stage.answer(house, exchange)
            if duty is None:
                continue
            if isinstance(duty, AnswerJudge):
                self.judge, self._judge_at = duty, len(self._duties)
            self._duties.append((stage, duty))

    def through(self, events: list[Event]) -> list[Event]:
        """What becomes of `events` on the whole way. Raises `DutyBroken`."""
        for event in events:
            if isinstance(event, Usage):
                self._exchange.input_tokens, self._exchange.output_tokens = event.input_tokens, event.output_tokens
        return self._from(0, events)

    def behind_judge(self, events: list[Event]) -> list[Event]:
        """What becomes of events that a verdict released. Raises `DutyBroken`."""
        return self._from(self._judge_at + 1, events)

    def ending(self, events: list[Event]) -> list[Event]:
        """What becomes of events that end an answer from outside: labels and notices, no more text. Raises
        `DutyBroken`."""
        places = (place for place, (stage, _) in enumerate(self._duties) if stage.key == LABEL)
        return self._from(next(places, len(self._duties)), events)

    async def settled(self) -> None:
        """Wait for the verdicts of checks that take their time. Raises `DutyBroken`."""
        if self.judge is not None:
            try:
                await self.judge.settled()
            except Exception as error:  # the rule of the pipeline: a broken duty stops the answer
                self._break(self._duties[self._judge_at][0], error)

    async def media(self, events: Sequence[Event]) -> Sequence[Event]:
        """What becomes of events whose media get their labels. Raises `DutyBroken`, and `UpstreamFailure` where a file
        behind a link cannot be had."""
        for stage, duty in self._media:
            try:
                events = await duty.label(events)
            except UpstreamFailure:
                raise
            except Exception as error:  # the rule of the pipeline: a broken duty stops the answer
                self._break(stage, error)
        return events

    async def media_in_texts(self, events: list[Event]) -> list[Event]:
        """What becomes of events whose texts may hold media. Raises `DutyBroken`, and `BadAnswer` beyond a limit."""
        for stage, duty in self._media:
            try:
                if duty.concerns(events):
                    events = await duty.label_texts(events)
            except BadAnswer:
                raise
            except Exception as error:  # the rule of the pipeline: a broken duty stops the answer
                self._break(stage, error)
        return events

    def flush(self, writer: AnswerWriter) -> bytes:
        """The bytes of what the duties still hold and may let go, where the upstream broke off.

        Media that nobody labelled yet stay here.
        """
        out = b""
        for position, (_, duty) in enumerate(self._duties):
            late = self._from(position + 1, duty.flush())
            for _, media in self._media:
                late = media.cut_texts(late)
            out += writer.write([event for event in late if not isinstance(event, Media)])
        return out

    def decisions(self) -> list[Decision]:
        """What each duty has to say about the whole answer."""
        return [decision for _, duty in self._duties if (decision := duty.decision()) is not None]

    @property
    def is_told(self) -> bool:
        """Whether the first-contact notice stands in the answer."""
        return any(isinstance(duty, NoticesInAnswer) and duty.is_told for _, duty in self._duties)

    def close(self) -> None:
        """End what still runs."""
        if self.judge is not None:
            self.judge.cancel()

    def _from(self, position: int, events: list[Event]) -> list[Event]:
        for stage, duty in self._duties[position:]:
            if not events:
                break
            try:
                events = duty.feed(events)
            except Exception as error:  # the rule of the pipeline: a broken duty stops the answer
                self._break(stage, error)
        return events

    def _break(self, stage: Stage, error: Exception) -> None:
        self._exchange.decide(self._broken(stage, error, Action.STOP))
        if self._exchange.outcome is Outcome.OPEN:
            self._exchange.outcome = Outcome.FAILED
        raise DutyBroken from error
