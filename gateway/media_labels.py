# SPDX-License-Identifier: Apache-2.0
"""The rule about media that nobody labelled: they do not leave (Labeling Measures articles 4 and 5, GB 45438-2025).

This duty stands behind whatever labels media. It marks the answer as stopped and says why in the record; the wire's
writer then refuses the medium in the wire's own words (`gateway.wires.media`).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.decisions import Action, Decision, Verdict
from gateway.events import Event, Media
from gateway.exchange import Exchange, Outcome
from gateway.wires.media import UNLABELLED

DUTY = "label_media"


class StopUnlabelledMedia:
    """Stops one answer at its first medium without a label."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._is_stopped = False

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events up to the first unlabelled medium, which the writer refuses; nothing after it."""
        if self._is_stopped:
            return []
        for position, event in enumerate(events):
            if isinstance(event, Media) and not event.is_labelled:
                self._is_stopped = True
                self._exchange.outcome = Outcome.STOPPED
                self._exchange.decide(
                    Decision(
                        DUTY,
                        Verdict.BLOCK,
                        Action.STOP,
                        reason=UNLABELLED,
                        role="answer",
                        choice=max(event.choice, 0),
                    )
                )
                return [*events[:position], event]
        return list(events)

    def flush(self) -> list[Event]:
        """Nothing waits here."""
        return []
