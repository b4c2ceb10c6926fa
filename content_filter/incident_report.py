# SPDX-License-Identifier: Apache-2.0
"""Drafts of what has to be said about an incident: to the authority, first and last, and to the people affected.

The items are those of the measures for reporting cybersecurity incidents (国家网络安全事件报告管理办法, articles 7
and 8), of article 57 of the Personal Information Protection Law, and of article 33 of the model AI law: course and
scope, measures taken and what people can do, contact. A first report may hold the first two items only.

A draft is filled from records and holds no text of a prompt or an answer. What must hold: what is not known is marked
as to be completed and listed in `Draft.gaps`, never invented; times are given in the operator's time zone with offset;
the same facts give the same draft.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Any

from content_filter.document import Heading, Paragraph, Part, Table, document
from content_filter.errors import FilterError
from content_filter.incident_state import IncidentState, Transition
from content_filter.incidents import Incident
from content_filter.taxonomy import CLASSES


class ReportKind(StrEnum):
    """First and closing reports go to the authority, notices to the people affected."""

    FIRST = "first"
    CLOSING = "closing"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Provider:
    """Who reports. Empty texts are to be completed."""

    name: str
    service: str
    registration: str = ""
    """Filing or licence number of the service."""
    contact: str = ""
    """Who answers, with telephone and address."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known beside the incident itself; empty or None where it is not known."""

    model: str = ""
    model_version: str = ""
    record_ids: Sequence[str] = ()
    """Further records; the incident's own is always named."""
    persons_affected: int | None = None
    harm: str = ""
    cause: str = ""
    measures: Sequence[str] = ()
    """What was done, each in a sentence."""
    advice: str = ""
    """What affected people can do themselves."""
    help_needed: str = ""
    improvement: str = ""
    """How the model or the filter was improved."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A report in one language: named sections of named fields."""

    kind: ReportKind
    language: str
    title: str
    note: str
    sections: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    gaps: tuple[str, ...] = field(default=())
    """Names of the fields that somebody must complete."""

    def as_json(self) -> dict[str, Any]:
        """The draft as JSON-able values."""
        sections = [
            {"title": title, "fields": [{"name": name, "value": value} for name, value in rows]}
            for title, rows in self.sections
        ]
        return {
            "kind": self.kind.value, "language": self.language, "title": self.title, "note": self.note,
            "sections": sections, "gaps": list(self.gaps),
        }  # fmt: skip

    def as_docx(self) -> bytes:
        """The draft for a word processor."""
        parts: list[Part] = [Heading(self.title, 0), Paragraph(self.note)]
        for title, rows in self.sections:
            parts += [Heading(title), Table(rows)]
        return document(parts, {"zh": "zh-CN", "en": "en-US"}[self.language])


_WORDS = {
    "zh": {
        "gap": "【待填写】", "first": "生成式人工智能服务安全事件报告（首报，草稿）",
        "closing": "生成式人工智能服务安全事件处置总结报告（草稿）", "notice": "关于安全事件的用户告知（草稿）",
        "note": "本稿由系统根据存证记录生成，须经负责人核实、补充后方可报送。本稿不含用户输入或生成内容原文。",
        "who": "一、报告单位与系统", "provider": "单位名称", "service": "服务名称", "registration": "备案或许可编号",
        "model": "模型及版本", "contact": "联系人及联系方式", "what": "二、事件基本情况", "id": "事件编号",
        "found": "发现时间", "class": "类别（GB/T 45654-2025 附录A）", "where": "发现位置", "prompt": "用户输入",
        "answer": "模型生成内容", "rule": "触发规则", "digest": "过滤器版本", "state": "当前状态",
        "harm": "影响与危害", "persons": "受影响人数", "released": "拦截前已输出的字符数",
        "subject": "涉及用户（假名标识）", "done": "三、已采取的措施", "measures": "措施", "course": "处置经过",
        "records": "证据（存证记录编号）", "span": "命中位置（字符）", "further": "四、研判与请求", "cause": "初步原因",
        "help": "需要协助的事项", "improve": "整改与模型优化", "advice": "您可以采取的措施", "to_you": "告知内容",
        "you": "事件概况",
    },
    "en": {
        "gap": "[to be completed]", "first": "Safety incident of a generative AI service: first report (draft)",
        "closing": "Safety incident of a generative AI service: closing report (draft)",
        "notice": "Notice to users about a safety incident (draft)",
        "note": "Drafted from audit records. The person in charge must check and complete it before it is sent. "
                "It holds no text of a prompt or an answer.",
        "who": "1. Who reports", "provider": "Provider", "service": "Service",
        "registration": "Filing or licence number",
        "model": "Model and version", "contact": "Contact", "what": "2. What happened", "id": "Incident",
        "found": "Found at", "class": "Class (GB/T 45654-2025, annex A)", "where": "Found in",
        "prompt": "user's prompt",
        "answer": "model's answer", "rule": "Rule", "digest": "Version of the filter", "state": "State now",
        "harm": "Effect and harm", "persons": "Persons affected", "released": "Characters released before the stop",
        "subject": "User concerned (pseudonym)", "done": "3. What was done", "measures": "Measures",
        "course": "Course of events", "records": "Evidence (audit records)",
        "span": "Place of the finding (characters)",
        "further": "4. Assessment and requests", "cause": "Probable cause", "help": "Help needed",
        "improve": "Correction and improvement of the model", "advice": "What you can do",
        "to_you": "What we must tell you",
        "you": "What happened",
    },
}  # fmt: skip
_STATES = {
    "zh": {"open": "待研判", "confirmed": "已确认", "false_alarm": "误报", "contained": "已控制", "reported": "已报告",
           "closed": "已结案"},
    "en": {state.value: state.value.replace("_", " ") for state in IncidentState},
}  # fmt: skip


def draft(
    kind: ReportKind | str,
    language: str,
    incident: Incident,
    history: Sequence[Transition],
    provider: Provider,
    facts: Facts,
    zone: tzinfo,
) -> Draft:
    """The draft of a report. `language` is zh or en. Raises `FilterError` for anything else, or for a closing report
    about an incident that was never confirmed."""
    try:
        wanted = ReportKind(kind)
        words = _WORDS[language]
    except (ValueError, KeyError):
        raise FilterError("a report is first, closing or notice, and in zh or en") from None
    if wanted is ReportKind.CLOSING and all(step.after is not IncidentState.CONFIRMED for step in history):
        raise FilterError("a closing report needs an incident that was confirmed")
    writer = _Writer(words, language, zone)
    sections = {
        ReportKind.FIRST: (writer.who, writer.what, writer.done, writer.further),
        ReportKind.CLOSING: (writer.who, writer.what, writer.done, writer.further),
        ReportKind.NOTICE: (writer.to_people,),
    }[wanted]
    filled = tuple(section(wanted, incident, history, provider, facts) for section in sections)
    return Draft(wanted, language, words[wanted.value], words["note"], filled, tuple(writer.gaps))


Section = tuple[str, tuple[tuple[str, str], ...]]


class _Writer:
    """Fills sections in one language and remembers what was missing."""

    def __init__(self, words: dict[str, str], language: str, zone: tzinfo) -> None:
        self._words, self._language, self._zone = words, language, zone
        self.gaps: list[str] = []

    def who(
        self, kind: ReportKind, incident: Incident, history: Sequence[Transition], provider: Provider, facts: Facts
    ) -> Section:
        return self._section("who", {
            "provider": provider.name, "service": provider.service, "registration": provider.registration,
            "model": " ".join(filter(None, (facts.model, facts.model_version))), "contact": provider.contact,
        })  # fmt: skip

    def what(
        self, kind: ReportKind, incident: Incident, history: Sequence[Transition], provider: Provider, facts: Facts
    ) -> Section:
        return self._section("what", {
            "id": incident.id, "found": self._time(incident.opened_at_s), "class": self._class(incident.class_code),
            "where": self._words[incident.role.value], "rule": incident.rule, "digest": incident.filter_digest,
            "state": self._state(history[-1].after if history else incident.state), "harm": facts.harm,
            "persons": "" if facts.persons_affected is None else str(facts.persons_affected),
            "released": str(incident.released_chars), "subject": incident.subject,
        })  # fmt: skip

    def done(
        self, kind: ReportKind, incident: Incident, history: Sequence[Transition], provider: Provider, facts: Facts
    ) -> Section:
        steps = [
            "  ".join(filter(None, (self._time(step.at_s), self._state(step.after), step.actor, step.reason)))
            for step in history
        ]
        records = dict.fromkeys((incident.record_id, *facts.record_ids))
        return self._section("done", {
            "measures": "\n".join(facts.measures), "course": "\n".join(steps), "records": "\n".join(records),
            "span": f"{incident.start}-{incident.end}",
        })  # fmt: skip

    def further(
        self, kind: ReportKind, incident: Incident, history: Sequence[Transition], provider: Provider, facts: Facts
    ) -> Section:
        fields = {"cause": facts.cause, "help": facts.help_needed}
        if kind is ReportKind.CLOSING:
            fields = {"cause": facts.cause, "improve": facts.improvement}
        return self._section("further", fields)

    def to_people(
        self, kind: ReportKind, incident: Incident, history: Sequence[Transition], provider: Provider, facts: Facts
    ) -> Section:
        return self._section("to_you", {
            "provider": provider.name, "service": provider.service, "found": self._time(incident.opened_at_s),
            "you": facts.cause, "harm": facts.harm, "measures": "\n".join(facts.measures), "advice": facts.advice,
            "contact": provider.contact,
        })  # fmt: skip

    def _section(self, title: str, fields: dict[str, str]) -> Section:
        rows = []
        for name, value in fields.items():
            if not value:
                self.gaps.append(self._words[name])
            rows.append((self._words[name], value or self._words["gap"]))
        return self._words[title], tuple(rows)

    def _time(self, at_s: float) -> str:
        return datetime.fromtimestamp(at_s, self._zone).isoformat(" ", "seconds")

    def _class(self, code: str) -> str:
        named = CLASSES[code]
        return f"{code} {named.zh if self._language == 'zh' else named.en}"

    def _state(self, state: IncidentState) -> str:
        return _STATES[self._language][state.value]
