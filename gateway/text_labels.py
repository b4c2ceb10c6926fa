# SPDX-License-Identifier: Apache-2.0
"""The labelling duty on text (Labeling Measures articles 4(1) and 5, GB 45438-2025 clause 5.1).

The explicit label stands at the start, the end or both of every text answer, as the policy says. It is left out
in-band, and the record says so, where the answer must be machine-readable or consists of tool calls. The seven-key
object travels in the envelope always; `ProduceID` is the record id.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.decisions import Action, Decision, Verdict
from gateway.events import Attached, Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange
from labeling import AigcLabel, TextLabel, TextLabeler

DUTY = "label"

_TELLING_CHARS = 256
"""How much of a text tells its language."""


class TextLabels:
    """Makes the label of each exchange. `producer` is the provider code, or the provider's name where there is none."""

    def __init__(self, words: TextLabel, position: str, producer: str) -> None:
        self._words = words
        self.producer = producer
        starts, ends = position in ("start", "both"), position in ("end", "both")
        self._labelers = {
            language: TextLabeler(text if starts else None, text if ends else None)
            for language, text in (("zh", words.zh), ("en", words.en))
        }

    def envelope(self, record_id: str) -> dict[str, str]:
        """The seven-key object of an answer."""
        return AigcLabel("1", self.producer, record_id).as_dict()

    def labeler(self, text: str) -> TextLabeler:
        """The labeler for the language that `text` begins in."""
        return self._labelers["zh" if self._words.choose_for(text[:_TELLING_CHARS]) == self._words.zh else "en"]


class _Lane:
    """One lane that is being labelled, with the events that wait while its head may still be a label."""

    __slots__ = ("labeler", "run", "waiting")

    def __init__(self, labeler: TextLabeler) -> None:
        self.labeler = labeler
        self.run = labeler.run()
        self.waiting: list[TextDelta | Attached] = []

    def feed(self, event: TextDelta, out: list[Event]) -> None:
        """Take a text; it goes out as it came, behind the label where the run has added one."""
        had_head = self.run.head_added
        self.waiting.append(event)
        if self.run.feed(event.text):
            self._release(event.lane, had_head, out)

    def close(self, lane: Lane, out: list[Event]) -> None:
        """Let out what waits, and the end label."""
        had_head = self.run.head_added
        self.run.close()
        self._release(lane, had_head, out)
        if self.run.tail_added:
            out.append(TextDelta(lane, self.labeler.tail()))

    def _release(self, lane: Lane, had_head: bool, out: list[Event]) -> None:
        if self.run.head_added and not had_head:
            out.append(TextDelta(lane, self.labeler.head()))
        out += self.waiting
        self.waiting.clear()


class LabelAnswer:
    """Labels the texts of one answer."""

    def __init__(self, exchange: Exchange, labels: TextLabels) -> None:
        self._exchange = exchange
        self._labels = labels
        self._lanes: dict[Lane, _Lane] = {}
        self._is_structured = exchange.prompt is not None and exchange.prompt.is_structured
        self._is_labelled = False

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events with the label's words among them."""
        if self._is_structured:
            return list(events)
        out: list[Event] = []
        for event in events:
            if isinstance(event, TextDelta):
                if event.lane.channel is not Channel.ANSWER:
                    out.append(event)
                    continue
                lane = self._lanes.get(event.lane)
                if lane is None:
                    lane = self._lanes[event.lane] = _Lane(self._labels.labeler(event.text))
                lane.feed(event, out)
            elif isinstance(event, Attached):
                lane = self._lanes.get(event.lane)
                if lane is not None and lane.waiting:
                    lane.waiting.append(event)
                else:
                    out.append(event)
            elif isinstance(event, Finish):
                self._close(event.choice, out)
                out.append(event)
            elif isinstance(event, End):
                # Some upstreams end an answer without a word about its choices.
                for choice in dict.fromkeys(lane.choice for lane in self._lanes):
                    self._close(choice, out)
                out.append(event)
            else:
                out.append(event)
        return out

    def flush(self) -> list[Event]:
        """The labels' ends, where the upstream broke off."""
        out: list[Event] = []
        for choice in {lane.choice for lane in self._lanes}:
            self._close(choice, out)
        return out

    def decision(self) -> Decision:
        """What was done, for the record."""
        if self._is_structured:
            return Decision(DUTY, Verdict.PASS, Action.SKIP, reason="structured_output")
        if self._is_labelled:
            return Decision(DUTY, Verdict.PASS, Action.LABEL, reason="text")
        return Decision(DUTY, Verdict.PASS, Action.SKIP, reason="no_text")

    def _close(self, choice: int, out: list[Event]) -> None:
        for key in [lane for lane in self._lanes if lane.choice == choice]:
            self._is_labelled = True
            self._lanes.pop(key).close(key, out)
