# SPDX-License-Identifier: Apache-2.0
"""The text of a sealed answer: what the model said, for the set that improves it.

A body holds the request as the wire parsed it and the answer's bytes as they came (`gateway/recording.py`). The wire's
own reader makes text of them; an answer that was stopped ends in the middle, and what came until then counts.

A body is read as every sealed body is (`audit_log.access`): who and why is a record first, and where two people have to
agree, another one agrees before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from audit_log import AuditLog
from audit_log.access import AccessRefused, all_accesses, read_body, request_access
from audit_log.errors import AuditError
from audit_log.holds import Approval
from content_filter import Incident
from gateway.events import Channel, Event, TextDelta
from gateway.exchange import Prompt
from gateway.wires import ROUTES
from gateway.wires.interfaces import BadAnswer, Wire
from labeling import language_of

_EVENT_BYTES = 64 * 1024 * 1024
_WIRES: Mapping[str, Wire] = {route.wire.name: route.wire for route in ROUTES}


def answer_text(body: bytes, wire: str, *, is_stream: bool) -> str | None:
    """What the model said in its answer, all choices; None where the body is not one of a known wire."""
    known = _WIRES.get(wire)
    kept = _kept(body)
    if known is None or kept is None:
        return None
    prompt = Prompt(model="", stream=is_stream, texts=[], body=kept["prompt"])
    events: list[Event] = []
    try:
        reader = known.reader(prompt, _EVENT_BYTES)
        events += reader.feed(str(kept["answer"]).encode())
        events += reader.close()
    except BadAnswer:
        pass  # a stopped answer has no end
    said = (event.text for event in events if isinstance(event, TextDelta) and event.lane.channel is Channel.ANSWER)
    return "".join(said) or None


def _kept(body: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("prompt"), dict) and "answer" in found else None


class JudgedTexts:
    """The texts of incidents, for one reader. Methods block."""

    def __init__(
        self, log: AuditLog, who: Approval, valid_h: float, needs_second: bool, clock: Callable[[], float]
    ) -> None:
        """`valid_h`: for how many hours a permission to read holds; `needs_second`: whether another person agrees."""
        self._log = log
        self._who = who
        self._valid_s = valid_h * 3_600.0
        self._needs_second = needs_second
        self._clock = clock
        now = clock()
        self._accesses = {
            access.record_id: access
            for access in all_accesses(log.store)
            if access.asked.by == who.by and now - (access.approved_us or access.asked_us) / 1e6 <= self._valid_s
        }
        self.waiting = 0
        """Of how many bodies another person has yet to agree that they are read."""
        self.missing = 0
        """Of how many findings no body is kept, or none that can be read."""

    def text_of(self, incident: Incident) -> str | None:
        """The text of the answer; None where it is not to be had, or not yet."""
        name = incident.body_record
        try:
            body = self._body(name, f"incident:{incident.id}") if name else None
        except AuditError:
            body = None
        if body is None:
            self.missing += 0 if name and self._is_waiting(name) else 1
            return None
        found = self._log.get(name)
        leaf: dict[str, Any] = {} if found is None else orjson.loads(found.leaf)
        return answer_text(body, str(leaf.get("wire", "")), is_stream=bool(leaf.get("stream")))

    @staticmethod
    def language_of(text: str) -> str:
        """The language of a text, for the set."""
        return language_of(text) or "zh"

    def _body(self, name: str, reason: str) -> bytes | None:
        access = self._accesses.get(name)
        if access is None:
            try:
                access = self._accesses[name] = request_access(self._log, name, reason, self._who)
            except AccessRefused:
                return None
        if self._is_waiting(name):
            self.waiting += 1
            return None
        return read_body(
            self._log,
            access.id,
            self._who,
            now=self._clock(),
            valid_s=self._valid_s,
            needs_second=self._needs_second,
        )

    def _is_waiting(self, name: str) -> bool:
        access = self._accesses.get(name)
        return self._needs_second and access is not None and access.approved_us is None
