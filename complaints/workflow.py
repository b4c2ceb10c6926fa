# SPDX-License-Identifier: Apache-2.0
"""What may happen to a complaint: states, acts, who may do them, and what each one needs. `RULES` is the whole law.

Implements the published process that the Interim Measures for Generative AI Services (生成式人工智能服务管理暂行办法)
art. 15 ask for. What must hold: nothing happens to a case that is not a row of `RULES`; an appeal is reviewed by
someone who did not decide what is appealed; an answer can be appealed until its time is over and only then be closed;
reopening keeps the case, its number and its history.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from complaints.errors import Conflict, Invalid, NotPermitted
from complaints.labelled import Labelled


class State(Labelled):
    RECEIVED = ("received", "已收到", "Received")
    ACKNOWLEDGED = ("acknowledged", "已受理", "Acknowledged")
    IN_REVIEW = ("in_review", "处理中", "In review")
    ANSWERED = ("answered", "已答复", "Answered")
    APPEALED = ("appealed", "已申请复核", "Appealed")
    CLOSED = ("closed", "已办结", "Closed")
    WITHDRAWN = ("withdrawn", "已撤回", "Withdrawn")


class Act(Labelled):
    FILE = ("file", "提交投诉", "Complaint filed")
    ACKNOWLEDGE = ("acknowledge", "受理", "Acknowledged")
    TAKE = ("take", "开始处理", "Review started")
    RELEASE = ("release", "转交处理", "Handed over")
    ANSWER = ("answer", "答复", "Answered")
    APPEAL = ("appeal", "申请复核", "Appealed")
    WITHDRAW = ("withdraw", "撤回", "Withdrawn")
    CLOSE = ("close", "办结", "Closed")
    REOPEN = ("reopen", "重新处理", "Reopened")


class Role(Labelled):
    PUBLIC = ("public", "投诉人", "Complainant")
    OFFICER = ("officer", "处理人员", "Officer")
    SYSTEM = ("system", "系统", "System")


class Decision(Labelled):
    UPHELD = ("upheld", "投诉成立", "Upheld")
    PARTLY_UPHELD = ("partly_upheld", "部分成立", "Partly upheld")
    REJECTED = ("rejected", "投诉不成立", "Not upheld")
    REFERRED = ("referred", "已告知其他处理渠道", "Referred to another channel")


class Need(enum.Enum):
    """What an act needs beyond the right state and role."""

    TEXT = "words: the complaint, the answer, the grounds or the reason"
    DECISION = "a decision"
    HOLDER = "the officer who holds the case"
    UNINVOLVED = "an officer who did not decide what is appealed"
    APPEAL_OPEN = "an appeal left, and in time"
    APPEAL_OVER = "no appeal left, or its time over"


@dataclass(frozen=True, slots=True)
class Rule:
    """One act: the states it starts from (`None`: there is no case yet), where it leads, who may do it, its needs."""

    act: Act
    origins: tuple[State | None, ...]
    to: State
    who: tuple[Role, ...]
    needs: tuple[Need, ...] = ()


_WAITING = (State.RECEIVED, State.ACKNOWLEDGED)

RULES: tuple[Rule, ...] = (
    Rule(Act.FILE, (None,), State.RECEIVED, (Role.PUBLIC,), (Need.TEXT,)),
    Rule(Act.ACKNOWLEDGE, (State.RECEIVED,), State.ACKNOWLEDGED, (Role.OFFICER, Role.SYSTEM)),
    Rule(Act.TAKE, (State.ACKNOWLEDGED, State.APPEALED), State.IN_REVIEW, (Role.OFFICER,), (Need.UNINVOLVED,)),
    Rule(Act.RELEASE, (State.IN_REVIEW,), State.ACKNOWLEDGED, (Role.OFFICER,), (Need.TEXT,)),
    Rule(Act.ANSWER, (State.IN_REVIEW,), State.ANSWERED, (Role.OFFICER,), (Need.HOLDER, Need.DECISION, Need.TEXT)),
    Rule(Act.APPEAL, (State.ANSWERED,), State.APPEALED, (Role.PUBLIC,), (Need.APPEAL_OPEN, Need.TEXT)),
    Rule(Act.WITHDRAW, (*_WAITING, State.IN_REVIEW, State.APPEALED), State.WITHDRAWN, (Role.PUBLIC,)),
    Rule(Act.CLOSE, (State.ANSWERED,), State.CLOSED, (Role.OFFICER, Role.SYSTEM), (Need.APPEAL_OVER,)),
    Rule(Act.REOPEN, (State.CLOSED, State.WITHDRAWN), State.ACKNOWLEDGED, (Role.OFFICER,), (Need.TEXT,)),
)

RULE_OF: dict[Act, Rule] = {rule.act: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules look at in a case. `appeal_until` is the last moment of an appeal; `None`: nothing to appeal."""

    state: State | None
    holder: str | None = None
    involved: frozenset[str] = frozenset()
    appeal_until: datetime | None = None
    appeals_left: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """Someone wants to do something, at `at`. `person` is the officer's identifier and `None` for public and system."""

    act: Act
    role: Role
    at: datetime
    person: str | None = None
    has_text: bool = False
    decision: Decision | None = None


def is_appeal_open(situation: Situation, at: datetime) -> bool:
    """Whether an answer may still be appealed at `at`."""
    return situation.appeals_left > 0 and situation.appeal_until is not None and at <= situation.appeal_until


def next_state(situation: Situation, attempt: Attempt) -> State:
    """The state the act leads to. Raises `NotPermitted`, `Conflict` or `Invalid`, in the order role, state, needs."""
    rule = RULE_OF[attempt.act]
    if attempt.role not in rule.who:
        raise NotPermitted(f"{rule.act.key}: not open to the role {attempt.role.key}")
    if situation.state not in rule.origins:
        found = "missing" if situation.state is None else situation.state.key
        wanted = " or ".join("missing" if origin is None else origin.key for origin in rule.origins)
        raise Conflict(f"{rule.act.key}: the case is {found}, it has to be {wanted}; read it again")
    for need in rule.needs:
        _CHECKS[need](situation, attempt)
    return rule.to


def permitted(situation: Situation, role: Role, person: str | None, at: datetime) -> tuple[Act, ...]:
    """The acts open to this role and person now, given that they bring the words and the decision needed."""
    open_acts = []
    for rule in RULES:
        attempt = Attempt(rule.act, role, at, person, has_text=True, decision=Decision.UPHELD)
        try:
            next_state(situation, attempt)
        except (NotPermitted, Conflict):
            continue
        open_acts.append(rule.act)
    return tuple(open_acts)


def _check_text(_: Situation, attempt: Attempt) -> None:
    if not attempt.has_text:
        raise Invalid("text", f"{attempt.act.key} needs words")


def _check_decision(_: Situation, attempt: Attempt) -> None:
    if attempt.decision is None:
        raise Invalid("decision", "expected one of " + ", ".join(decision.key for decision in Decision))


def _check_holder(situation: Situation, attempt: Attempt) -> None:
    if attempt.person is None or attempt.person != situation.holder:
        raise NotPermitted(f"{attempt.act.key}: another officer holds this case; release it and take it first")


def _check_uninvolved(situation: Situation, attempt: Attempt) -> None:
    if attempt.person is None or attempt.person in situation.involved:
        raise NotPermitted(f"{attempt.act.key}: an appeal is reviewed by an officer who did not decide the case")


def _check_appeal_open(situation: Situation, attempt: Attempt) -> None:
    if not is_appeal_open(situation, attempt.at):
        raise Conflict(f"{attempt.act.key}: this answer can no longer be appealed")


def _check_appeal_over(situation: Situation, attempt: Attempt) -> None:
    if is_appeal_open(situation, attempt.at):
        raise Conflict(f"{attempt.act.key}: the answer can still be appealed; close the case when that time is over")


_CHECKS: dict[Need, Callable[[Situation, Attempt], None]] = {
    Need.TEXT: _check_text,
    Need.DECISION: _check_decision,
    Need.HOLDER: _check_holder,
    Need.UNINVOLVED: _check_uninvolved,
    Need.APPEAL_OPEN: _check_appeal_open,
    Need.APPEAL_OVER: _check_appeal_over,
}
