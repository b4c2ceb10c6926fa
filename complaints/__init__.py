# SPDX-License-Identifier: Apache-2.0
"""Complaints: the entrance, the published process with its time limits, and the way of each case to its answer.

Implements art. 15 of the Interim Measures for Generative AI Services (生成式人工智能服务管理暂行办法). Works without a
gateway: give it a file, a clock, a policy and a key. Read `complaints.workflow` for what may happen to a case and
`complaints.desk` for how to use the desk and in which order to make things durable.

    store = CaseStore.open("cases.sqlite")
    policy = DeskPolicy(answer_working_days=15, triage_h=24, acknowledge_h=0, appeal_working_days=15, appeals_max=1,
                        tz=ZoneInfo("Asia/Shanghai"), calendar=ChinaCalendar())
    desk = ComplaintDesk(store, time.time, policy, key)
    filed = desk.file("privacy", "The answer shows my address.")
    desk.answer(filed.receipt, "officer-1", "upheld", "Removed; the model's filter now knows it.")
    desk.status(filed.receipt, filed.secret).answer
"""

from complaints.case import Case, CaseEvent, Category, parse_category
from complaints.deadlines import Calendar, ChinaCalendar, Due, WeekdayCalendar, due
from complaints.desk import ComplaintDesk, Filed, Move
from complaints.errors import ComplaintError, Conflict, Invalid, NotFound, NotPermitted, Unavailable, WrongKey
from complaints.policy import Authority, DeskPolicy
from complaints.process import Channel, Process, ProcessStep
from complaints.store import CaseStore, Counts
from complaints.view import Answer, CaseFile, Entry, Page, PublicStep, PublicView, case_to_dict
from complaints.workflow import RULES, Act, Decision, Role, Rule, State

__all__ = [
    "RULES",
    "Act",
    "Answer",
    "Authority",
    "Calendar",
    "Case",
    "CaseEvent",
    "CaseFile",
    "CaseStore",
    "Category",
    "Channel",
    "ChinaCalendar",
    "ComplaintDesk",
    "ComplaintError",
    "Conflict",
    "Counts",
    "Decision",
    "DeskPolicy",
    "Due",
    "Entry",
    "Filed",
    "Invalid",
    "Move",
    "NotFound",
    "NotPermitted",
    "Page",
    "Process",
    "ProcessStep",
    "PublicStep",
    "PublicView",
    "Role",
    "Rule",
    "State",
    "Unavailable",
    "WeekdayCalendar",
    "WrongKey",
    "case_to_dict",
    "due",
    "parse_category",
]
