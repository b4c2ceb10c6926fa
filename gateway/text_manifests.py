# SPDX-License-Identifier: Apache-2.0
"""Signed manifests inside text answers (C2PA 2.4, unstructured text), where the provider asks for them.

EU AI Act article 50 and its code of practice want signed metadata; a text has no other place for them. The manifest is
the last thing that a text says, because it binds every character before it: whatever a label, a notice or a labelled
picture added is under it. It is left out, and the record says so, where a program parses the answer, and where the text
is not in the form in which manifests bind texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from gateway.decisions import Action, Decision, Verdict
from gateway.events import Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange
from labeling.c2pa_text import TextSigner
from labeling.errors import UnsupportedFormat

DUTY: Final = "text_manifest"


class TextManifests:
    """Makes what signs the texts of each exchange."""

    def __init__(self, signer: TextSigner) -> None:
        self._signer = signer

    def begin(self, exchange: Exchange) -> SignTexts | None:
        """For one answer; None where it gets no manifest."""
        if not exchange.is_generative:
            return None
        if exchange.prompt is not None and exchange.prompt.is_structured:
            exchange.decide(Decision(DUTY, Verdict.PASS, Action.SKIP, reason="structured_output"))
            return None
        return SignTexts(exchange, self._signer)


class SignTexts:
    """Keeps what the answer's texts say, and signs each where it ends."""

    def __init__(self, exchange: Exchange, signer: TextSigner) -> None:
        self._exchange = exchange
        self._signer = signer
        self._said: dict[Lane, list[str]] = {}

    async def sign(self, events: Sequence[Event]) -> list[Event]:
        """`events` with a manifest behind each text that ends among them. Raises `LabelError` where signing fails."""
        out: list[Event] = []
        for event in events:
            if isinstance(event, TextDelta):
                if event.lane.channel is Channel.ANSWER and event.lane.choice >= 0:
                    self._said.setdefault(event.lane, []).append(event.text)
            elif isinstance(event, Finish | End):
                for lane in [lane for lane in self._said if isinstance(event, End) or lane.choice == event.choice]:
                    out += await self._signed(lane, "".join(self._said.pop(lane)))
            out.append(event)
        return out

    async def _signed(self, lane: Lane, text: str) -> list[Event]:
        if not text:
            return []
        try:
            # The key may be a service far away.
            made = await asyncio.to_thread(self._signer.manifest, text, UUID(self._exchange.record_id))
        except UnsupportedFormat:
            self._exchange.decide(Decision(DUTY, Verdict.PASS, Action.SKIP, reason="not_normalised"))
            return []
        self._exchange.decide(Decision(DUTY, Verdict.PASS, Action.LABEL, reason="text"))
        return [TextDelta(lane, made)]
