# SPDX-License-Identifier: Apache-2.0
"""The notices duty: what a person must read beside the answer, in-band where there is text, else in the envelope.

The first-contact notice stands at the head of the first text of each choice; the words for a stopped answer at its end.
Where text must not be touched (JSON mode, tool calls) they travel in `notices` of the envelope. All other notices (a
break, a measure, an incident, the end of the service) stand there in any case; for apps that cannot show them
(`disclosure.notices = "text"`) they stand at the head of the text too.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.events import Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.filtering import CONTENT_FILTER
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES

_BREAK = "\n\n"


class NoticesInAnswer:
    """Writes the notices of one answer. With `in_text` all that are due when it begins stand in its text too."""

    def __init__(self, exchange: Exchange, *, in_text: bool = False) -> None:
        self._exchange = exchange
        others = [str(notice["text"]) for notice in exchange.notices if notice.get("text")] if in_text else []
        self._head = _BREAK.join([*([exchange.head_notice] if exchange.head_notice else []), *others])
        self._told: set[int] = set()
        self._is_structured = exchange.prompt is not None and exchange.prompt.is_structured

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events with the notices' words among them."""
        if not self._head and self._exchange.outcome is not Outcome.STOPPED:
            return list(events)
        out: list[Event] = []
        for event in events:
            if isinstance(event, TextDelta) and event.lane.channel is Channel.ANSWER:
                self._open(event.lane, out)
            elif isinstance(event, Finish) and event.reason == CONTENT_FILTER and event.carrier is None:
                self._stopped(event.choice, out)
            elif isinstance(event, End) and self._exchange.head_notice and not self._told:
                # No text to stand at the head of: the app finds the notice in the envelope.
                self._exchange.notices.append({"kind": "first_contact", "text": self._exchange.head_notice})
            out.append(event)
        return out

    def flush(self) -> list[Event]:
        """Nothing waits here."""
        return []

    def decision(self) -> None:
        """First contact was decided before the answer began."""
        return None

    @property
    def is_told(self) -> bool:
        """Whether the head notice stands in the answer itself. One in the envelope may never be shown: told again."""
        return bool(self._told)

    def _open(self, lane: Lane, out: list[Event]) -> None:
        if not self._head or lane.choice in self._told or self._is_structured:
            return
        self._told.add(lane.choice)
        out.append(TextDelta(lane, self._head + _BREAK))

    def _stopped(self, choice: int, out: list[Event]) -> None:
        if self._exchange.outcome is not Outcome.STOPPED:
            return
        words = MESSAGES[self._exchange.stop_words][language_of_prompt(self._exchange)]
        if self._is_structured:
            if not any(notice["kind"] == "answer_stopped" for notice in self._exchange.notices):
                self._exchange.notices.append({"kind": "answer_stopped", "text": words})
            return
        has_text = self._exchange.released_chars > 0
        out.append(TextDelta(Lane(choice, Channel.ANSWER), _BREAK + words if has_text else words))
