# SPDX-License-Identifier: Apache-2.0
"""What a duty decided: verdict and action, kept apart.

The verdict is what a check said, the action is what was done about it. A check that says `block` and a policy that
only flags are two facts; a record that keeps one of them cannot be audited.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What the check said."""

    PASS = "pass"
    FLAG = "flag"
    MASK = "mask"
    BLOCK = "block"
    ERROR = "error"


class Action(StrEnum):
    """What was done."""

    ALLOW = "allow"
    """The exchange went on unchanged."""
    LABEL = "label"
    """A label was added."""
    NOTIFY = "notify"
    """A notice was added."""
    MODIFY = "modify"
    """Text was replaced (masked)."""
    REFUSE = "refuse"
    """The request was answered without the model."""
    STOP = "stop"
    """An answer that had begun, or had been received, was ended."""
    SKIP = "skip"
    """The duty did not apply in-band; `reason` says why."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One duty's decision about one exchange, as it is written into the record.

    `reason` is a fixed word of ours (`curfew`, `term`, `structured_output`), never user text. `rule` names the rule
    without repeating it. `score_bp` is in basis points, 0 to 10,000. `choice`, `channel`, `start` and `end` say where
    in the answer, counted in Unicode code points of that lane; -1 where they do not apply.
    """

    duty: str
    verdict: Verdict
    action: Action
    reason: str = ""
    class_: str = ""
    rule: str = ""
    score_bp: int = 0
    role: str = ""
    choice: int = -1
    channel: str = ""
    start: int = -1
    end: int = -1

    def as_record(self) -> dict[str, object]:
        """The decision as the audit record keeps it: only what is set, numbers as integers."""
        fields: dict[str, object] = {"duty": self.duty, "verdict": self.verdict.value, "action": self.action.value}
        if self.reason:
            fields["reason"] = self.reason
        if self.class_:
            fields["class"] = self.class_
        if self.rule:
            fields["rule"] = self.rule
        if self.score_bp:
            fields["score_bp"] = self.score_bp
        if self.role:
            fields["role"] = self.role
        if self.choice >= 0:
            fields["choice"] = self.choice
        if self.channel:
            fields["channel"] = self.channel
        if self.start >= 0:
            fields["start"] = self.start
            fields["end"] = self.end
        return fields


class Refusal(Exception):
    """A request that is answered without the model, raised by a request duty and spoken by the wire.

    `status` is the HTTP status where the wire has no in-band form for this refusal; `code` is a fixed word;
    `message` is shown to people: it names the next step and never repeats what they wrote. `in_band` refusals
    are answered as a normal answer of the wire with its own content-filter ending.
    """

    def __init__(
        self,
        decision: Decision,
        *,
        status: int,
        code: str,
        message: str,
        in_band: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(code)
        self.decision = decision
        self.status = status
        self.code = code
        self.message = message
        self.in_band = in_band
        self.headers = headers
