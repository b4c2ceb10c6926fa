# SPDX-License-Identifier: Apache-2.0
"""A case and its history: what the desk knows about a complaint apart from the words, which are kept sealed.

A case is the sum of its events: `advance` is the only way a case changes, and `involved` reads from the history who
may not review an appeal. All times are aware and exact to the millisecond, so that a stored case equals the one in
hand. Nothing here is personal data of the complainant; `actor` and `holder` are identifiers of officers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from complaints.errors import Invalid
from complaints.labelled import Labelled
from complaints.workflow import Act, Decision, Role, State


class Category(Labelled):
    """What a complaint is about. Keys are stored, so they are only ever added to."""

    ILLEGAL_CONTENT = ("illegal_content", "违法或不良信息", "Illegal or harmful content")
    DISCRIMINATION = ("discrimination", "歧视、侮辱", "Discrimination or insult")
    PRIVACY = ("privacy", "隐私与个人信息", "Privacy and personal information")
    INTELLECTUAL_PROPERTY = ("intellectual_property", "知识产权", "Intellectual property")
    MINORS = ("minors", "未成年人保护", "Protection of minors")
    LABELLING = ("labelling", "标识缺失或错误", "Missing or wrong AI label")
    INACCURATE = ("inaccurate", "内容不准确", "Inaccurate content")
    SERVICE = ("service", "服务与账号措施", "Service, or a measure against an account")
    OTHER = ("other", "其他", "Other")


_OTHER_WORDS = {
    "illegal": Category.ILLEGAL_CONTENT,
    "personal_information": Category.PRIVACY,
    "copyright": Category.INTELLECTUAL_PROPERTY,
    "ip": Category.INTELLECTUAL_PROPERTY,
    "minor": Category.MINORS,
    "label": Category.LABELLING,
    "labeling": Category.LABELLING,
    "accuracy": Category.INACCURATE,
    "account": Category.SERVICE,
}


def parse_category(value: object) -> Category:
    """The category a person named: its key or a plain synonym, in any case. Raises `Invalid` with the keys."""
    if isinstance(value, str) and (category := _OTHER_WORDS.get(value.strip().casefold().replace(" ", "_"))):
        return category
    return Category.parse(value, "category")


@dataclass(frozen=True, slots=True)
class CaseEvent:
    """One act done. `seq` counts from 1 and is the case's version after it; `sealed_sha256` commits to sealed words."""

    seq: int
    act: Act
    origin: State | None
    state: State
    at: datetime
    role: Role
    actor: str | None = None
    decision: Decision | None = None
    sealed_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A complaint without its words.

    `started_at` is when the running time limits began: filing, the last appeal or the last reopening. `due` is the
    end of the answer's time limit, `next_due` the earliest limit still open (`None`: nothing is awaited from the
    desk), `appeal_until` the last moment of an appeal. These three are derived from the rest and the policy;
    `is_due_certain` is false where no published holiday calendar covered the days counted.
    """

    id: str
    receipt: str
    category: Category
    language: str
    tenant: str | None
    record: str | None
    received_at: datetime
    state: State
    version: int
    updated_at: datetime
    started_at: datetime
    due: datetime
    is_due_certain: bool
    next_due: datetime | None
    holder: str | None = None
    decision: Decision | None = None
    answered_at: datetime | None = None
    appeals: int = 0
    appeal_until: datetime | None = None

    def is_overdue(self, now: datetime) -> bool:
        """Whether a time limit that is still open has passed."""
        return self.next_due is not None and self.next_due < now


def advance(case: Case, event: CaseEvent) -> Case:
    """The case after the event; derived times are left as they are, for the desk to set. Raises `Invalid` on a gap."""
    origin = case.state if case.version else None  # version 0 is a case about to be filed
    if event.seq != case.version + 1 or event.origin is not origin:
        raise Invalid("event", "does not follow the case's last event")
    after = replace(case, state=event.state, version=event.seq, updated_at=event.at)
    match event.act:
        case Act.TAKE:
            return replace(after, holder=event.actor)
        case Act.ANSWER:
            return replace(after, decision=event.decision, answered_at=event.at)
        case Act.APPEAL:
            return replace(after, holder=None, started_at=event.at, appeals=case.appeals + 1)
        case Act.REOPEN:
            return replace(after, holder=None, started_at=event.at, appeals=0, decision=None, answered_at=None)
        case Act.RELEASE | Act.WITHDRAW:
            return replace(after, holder=None)
    return after


def involved(history: Iterable[CaseEvent]) -> frozenset[str]:
    """The officers who decided what is now under appeal; empty when no appeal waits for its answer."""
    deciders: set[str] = set()
    barred: frozenset[str] = frozenset()
    for event in history:
        if event.act is Act.ANSWER:
            deciders.update(() if event.actor is None else (event.actor,))
            barred = frozenset()
        elif event.act is Act.APPEAL:
            barred = frozenset(deciders)
    return barred
