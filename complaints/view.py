# SPDX-License-Identifier: Apache-2.0
"""What people see of a case: the complainant through the receipt, the officers in their queue and on their desk.

The complainant sees states, times and answers, and neither who works on the case nor the complaint's own words: a
lost receipt must not hand these to the finder. `to_dict` gives plain JSON; times are ISO 8601 with their offset.
Words are kept out of `repr`, so that no log line can carry them.
"""

from dataclasses import dataclass, field
from datetime import datetime

from complaints.case import Case, CaseEvent, Category
from complaints.workflow import Act, Decision, State


@dataclass(frozen=True, slots=True)
class Answer:
    """The desk's decision with its words."""

    decision: Decision
    text: str = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True)
class PublicStep:
    """One line of the history the complainant sees."""

    act: Act
    state: State
    at: datetime


@dataclass(frozen=True, slots=True)
class PublicView:
    """A case as its complainant sees it. `answers` is every answer given, the last one last."""

    receipt: str
    category: Category
    state: State
    received_at: datetime
    due: datetime
    is_due_certain: bool
    history: tuple[PublicStep, ...]
    answers: tuple[Answer, ...]
    may_appeal: bool
    appeal_until: datetime | None
    may_withdraw: bool

    @property
    def answer(self) -> Answer | None:
        """The answer that stands."""
        return self.answers[-1] if self.answers else None

    def to_dict(self, language: str) -> dict[str, object]:
        """Plain JSON with keys for programs and labels in `language` for people."""
        return {
            "receipt": self.receipt,
            "category": self.category.key,
            "category_label": self.category.label(language),
            "state": self.state.key,
            "state_label": self.state.label(language),
            "received_at": _iso(self.received_at),
            "due": _iso(self.due),
            "is_due_certain": self.is_due_certain,
            "history": [
                {
                    "event": step.act.key,
                    "event_label": step.act.label(language),
                    "state": step.state.key,
                    "at": _iso(step.at),
                }
                for step in self.history
            ],
            "answers": [
                {
                    "decision": answer.decision.key,
                    "decision_label": answer.decision.label(language),
                    "text": answer.text,
                    "at": _iso(answer.at),
                }
                for answer in self.answers
            ],
            "may_appeal": self.may_appeal,
            "appeal_until": _iso(self.appeal_until),
            "may_withdraw": self.may_withdraw,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the full history with the words that came with it."""

    event: CaseEvent
    text: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case as an officer sees it: everything. `permitted` lists what the asking officer may do now."""

    case: Case
    contact: str | None = field(repr=False)
    entries: tuple[Entry, ...]
    permitted: tuple[Act, ...]

    @property
    def text(self) -> str | None:
        """The complaint's own words; `None` once erased."""
        return self.entries[0].text

    def to_dict(self, now: datetime) -> dict[str, object]:
        """Plain JSON: `case_to_dict` and besides `text`, `contact`, `history`, `permitted`."""
        return case_to_dict(self.case, now) | {
            "text": self.text,
            "contact": self.contact,
            "history": [
                {
                    "seq": entry.event.seq,
                    "event": entry.event.act.key,
                    "state": entry.event.state.key,
                    "at": _iso(entry.event.at),
                    "role": entry.event.role.key,
                    "officer": entry.event.actor,
                    "decision": None if entry.event.decision is None else entry.event.decision.key,
                    "text": entry.text,
                }
                for entry in self.entries
            ],
            "permitted": [act.key for act in self.permitted],
        }


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a queue, oldest case first; `next_cursor` is `None` on the last page."""

    cases: tuple[Case, ...]
    next_cursor: str | None


def case_to_dict(case: Case, now: datetime) -> dict[str, object]:
    """A case without its words as plain JSON, for queues."""
    return {
        "id": case.id,
        "receipt": case.receipt,
        "category": case.category.key,
        "state": case.state.key,
        "version": case.version,
        "language": case.language,
        "tenant": case.tenant,
        "record": case.record,
        "received_at": _iso(case.received_at),
        "updated_at": _iso(case.updated_at),
        "due": _iso(case.due),
        "is_due_certain": case.is_due_certain,
        "next_due": _iso(case.next_due),
        "is_overdue": case.is_overdue(now),
        "officer": case.holder,
        "decision": None if case.decision is None else case.decision.key,
        "answered_at": _iso(case.answered_at),
        "appeals": case.appeals,
        "appeal_until": _iso(case.appeal_until),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
