# SPDX-License-Identifier: Apache-2.0
"""Everything known about one request and its answer.

Duties read the exchange and return decisions; they never call each other. What is written here is what the record can
say, so no field holds text of a person except `prompt`, which never leaves the process in clear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from content_filter import ContentFilter
from gateway.decisions import Decision
from gateway.events import Lane
from gateway.state.interfaces import Usage

if TYPE_CHECKING:
    from gateway.judging import Judging


TENANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class AgeBand(StrEnum):
    """The age bands of the minors' mode guide (移动互联网未成年人模式建设指南); the lower bound is inclusive."""

    UNDER_3 = "0-2"
    FROM_3 = "3-7"
    FROM_8 = "8-11"
    FROM_12 = "12-15"
    FROM_16 = "16-17"
    ADULT = "18+"
    UNKNOWN = "unknown"

    @property
    def is_minor(self) -> bool:
        """Whether the person is known to be under 18."""
        return self not in (AgeBand.ADULT, AgeBand.UNKNOWN)

    @property
    def youngest(self) -> int:
        """The lowest age of the band, in years; 0 where it is unknown."""
        first = self.value.partition("-")[0].rstrip("+")
        return int(first) if first.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Person:
    """Who is asking, as far as a signature vouches for it.

    `subject` is a keyed pseudonym per tenant, empty for an anonymous person. `is_signed` says whether a verified
    token said so; without one only what tightens is believed.
    """

    tenant: str = "default"
    subject: str = ""
    age_band: AgeBand = AgeBand.UNKNOWN
    in_minor_mode: bool = False
    is_verified: bool = False
    is_signed: bool = False
    tz: str = "Asia/Shanghai"
    api_key: str = ""
    """The id of the gateway's own API key that came with the request; it names the tenant, never a person."""
    age: int = -1
    """The youngest that the signed claims allow, in whole years; -1 where they name no year of birth."""

    @property
    def is_protected(self) -> bool:
        """Whether the minors' rules apply: a known minor, or anyone in minor mode."""
        return self.in_minor_mode or self.age_band.is_minor


ANONYMOUS = Person()


@dataclass(frozen=True, slots=True)
class PromptText:
    """One text of the prompt that a model will read. `where` is our own path (`messages.2.content`), not user text."""

    where: str
    role: str
    text: str


@dataclass(slots=True)
class Prompt:
    """What a wire's codec understood of a request."""

    model: str
    stream: bool
    texts: list[PromptText]
    body: Mapping[str, Any]
    """The parsed body; what is forwarded is made from it, so that what was checked is what the model gets."""
    is_structured: bool = False
    """The answer must be machine-readable (JSON mode, a schema): nothing may be written into its text."""
    has_media: bool = False


class Outcome(StrEnum):
    """How an exchange ended."""

    OPEN = "open"
    COMPLETED = "completed"
    REFUSED = "refused"
    STOPPED = "stopped"
    CLIENT_GONE = "client_gone"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_FAILED = "upstream_failed"
    BAD_REQUEST = "bad_request"
    FAILED = "failed"


@dataclass(slots=True)
class Exchange:
    """One request and its answer on their way through the house.

    `started_at` and the other times are seconds since the epoch. `record_id` is the UUIDv7 that the client gets as
    `Duty-Record` and that every label carries as `ProduceID`.
    """

    record_id: str
    started_at: float
    wire: str
    path: str
    headers: Sequence[tuple[bytes, bytes]] = ()
    """The request's headers as ASGI gives them, names in lower case."""
    peer: str = ""
    """The address of whoever is connected, a proxy in front of us; headers about it are not believed."""
    is_generative: bool = True
    """Whether a model generates the answer; a list of models does not."""
    policy_digest: str = ""
    filter: ContentFilter | None = None
    """The filter in force when the exchange began; it stays the same to the end."""
    filter_digest: str = ""
    usage: Usage | None = None
    """How long the person has used the service, where a duty counted it."""
    strict_classes: frozenset[str] = frozenset()
    """Classes of which what would only be noted refuses and stops as well, because a minor asks."""
    judging: Judging | None = None
    """What judges texts by their meaning, pinned as the filter is."""
    head_notice: str = ""
    """The first-contact notice that the answer must begin with; empty where none is due."""
    notice_version: str = ""
    person: Person = ANONYMOUS
    prompt: Prompt | None = None
    model: str = ""
    language: str = ""
    """`zh` or `en`, once somebody needed to know; see `gateway.language`."""
    decisions: list[Decision] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    """What the client is told beside the answer: `{"kind": ..., "text": ...}`, and more where a kind needs it."""
    outcome: Outcome = Outcome.OPEN
    status: int = 0
    upstream_status: int = 0
    upstream_id: str = ""
    """The id that the model's API gave this call."""
    wants_receipt: bool = False
    """Whether the client asked for a receipt (`Duty-Receipt`)."""
    log_index: int = -1
    """Where the log has the record that the answer waited for; below 0 while that is not known."""
    asked_at: float = 0.0
    """When the model was asked."""
    answered_at: float = 0.0
    """When the model's plain answer was complete."""
    first_byte_at: float = 0.0
    released_chars: int = 0
    delivered: dict[Lane, int] = field(default_factory=dict)
    """How many characters of each lane of a stream have left, labels and notices among them."""
    most_held: int = 0
    """The most characters that one lane of a stream ever held back."""
    input_tokens: int = -1
    output_tokens: int = -1
    closing_id: str = ""
    """The id of a stream's closing record; its opening record has `record_id`."""
    incident: str = ""
    stop_words: str = "answer_stopped"
    """Which of our words (`gateway.messages`) stand at the end of an answer that was stopped."""
    kept: list[bytes] = field(default_factory=list)
    """The upstream's answer as it came, where the settings may keep it sealed."""
    label: dict[str, str] | None = None

    @property
    def last_words(self) -> str:
        """What the person wrote last; earlier turns were looked at when they were new."""
        texts = self.prompt.texts if self.prompt is not None else ()
        return next((item.text for item in reversed(texts) if item.role == "user"), "")

    def decide(self, decision: Decision) -> None:
        """Keep a decision for the record."""
        self.decisions.append(decision)
