# SPDX-License-Identifier: Apache-2.0
"""The numbers and channels a desk works by, and the deadlines that follow from them.

Nothing is decided here: the caller fills a `DeskPolicy` from the policy of a jurisdiction, where every number stands
with its article. Interim Measures art. 15 ask to publish a time limit and give no number; the App rules of 2019
(App 违法违规收集使用个人信息行为认定方法, item 6) give 15 working days at most for personal information.
"""

from dataclasses import dataclass, replace
from datetime import timedelta, tzinfo

from complaints.case import Case
from complaints.deadlines import Calendar, due, earliest
from complaints.errors import Invalid
from complaints.workflow import State


@dataclass(frozen=True, slots=True)
class Authority:
    """Where else one may complain, for instance the 12377 reporting centre. `url` and `phone` may be empty."""

    name_zh: str
    name_en: str
    url: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class DeskPolicy:
    """What a desk promises.

    `answer_working_days`: from filing, appeal or reopening to the answer. `triage_h`: until an officer takes the case.
    `acknowledge_h`: until it is acknowledged; 0 lets the desk acknowledge at once with the receipt.
    `appeal_working_days`: how long an answer can be appealed; `appeals_max`: how often, 0 for never.
    `tz`: where days end. Sizes are characters.
    """

    answer_working_days: int
    triage_h: float
    acknowledge_h: float
    appeal_working_days: int
    appeals_max: int
    tz: tzinfo
    calendar: Calendar
    authorities: tuple[Authority, ...] = ()
    text_chars_max: int = 10_000
    contact_chars_max: int = 200

    def __post_init__(self) -> None:
        least = (
            ("answer_working_days", self.answer_working_days, 1),
            ("triage_h", self.triage_h, 0),
            ("acknowledge_h", self.acknowledge_h, 0),
            ("appeal_working_days", self.appeal_working_days, 1 if self.appeals_max else 0),
            ("appeals_max", self.appeals_max, 0),
            ("text_chars_max", self.text_chars_max, 1),
            ("contact_chars_max", self.contact_chars_max, 1),
        )
        for name, value, minimum in least:
            if not value >= minimum:  # also refuses NaN
                raise Invalid(name, f"expected {minimum} or more")

    def timed(self, case: Case) -> Case:
        """The case with its derived times as this policy and calendar have them now."""
        answer_due = due(case.started_at, self.answer_working_days, self.tz, self.calendar)
        limits = {
            State.RECEIVED: (self.acknowledge_h, self.triage_h),
            State.ACKNOWLEDGED: (self.triage_h,),
            State.APPEALED: (self.triage_h,),
            State.IN_REVIEW: (),
        }
        next_due = None
        if case.state in limits:
            hours = (case.started_at + timedelta(hours=limit_h) for limit_h in limits[case.state])
            next_due = earliest((answer_due.at, *hours))
        appeal_until = None
        if case.state is State.ANSWERED and case.answered_at is not None and case.appeals < self.appeals_max:
            appeal_until = due(case.answered_at, self.appeal_working_days, self.tz, self.calendar).at
        return replace(
            case,
            due=answer_due.at,
            is_due_certain=answer_due.is_certain,
            next_due=next_due,
            appeal_until=appeal_until,
        )
