# SPDX-License-Identifier: Apache-2.0
"""The published process: how one complains here, what happens then, within which time, and where else one may go.

Interim Measures art. 15 ask to publish process and feedback time limit; art. 18 that users may turn to the authority.
What must hold: every number printed is the number the clock runs by, so both come from the same `DeskPolicy`.
"""

from dataclasses import dataclass

from complaints.case import Category
from complaints.labelled import parse_language
from complaints.policy import DeskPolicy


@dataclass(frozen=True, slots=True)
class ProcessStep:
    """One step; `limit` says its time limit in words and is empty where there is none."""

    title: str
    text: str
    limit: str


@dataclass(frozen=True, slots=True)
class Channel:
    """An authority's name in the page's language, with its address and telephone where it has them."""

    name: str
    url: str
    phone: str


@dataclass(frozen=True, slots=True)
class Process:
    """All that the process page shows, in one language; categories are (key, label)."""

    language: str
    steps: tuple[ProcessStep, ...]
    categories: tuple[tuple[str, str], ...]
    authorities: tuple[Channel, ...]
    answer_working_days: int
    appeal_working_days: int
    triage_h: float
    acknowledge_h: float
    text_chars_max: int
    contact_chars_max: int

    def to_dict(self) -> dict[str, object]:
        """Plain JSON."""
        return {
            "language": self.language,
            "steps": [{"title": step.title, "text": step.text, "limit": step.limit} for step in self.steps],
            "categories": [{"key": key, "label": label} for key, label in self.categories],
            "authorities": [
                {"name": channel.name, "url": channel.url, "phone": channel.phone} for channel in self.authorities
            ],
            "answer_working_days": self.answer_working_days,
            "appeal_working_days": self.appeal_working_days,
            "triage_h": self.triage_h,
            "acknowledge_h": self.acknowledge_h,
            "text_chars_max": self.text_chars_max,
            "contact_chars_max": self.contact_chars_max,
        }


def describe(policy: DeskPolicy, language: str) -> Process:
    """The process under this policy, in Chinese or English. Raises `Invalid` for what is no language tag."""
    spoken = parse_language(language)
    is_zh = spoken == "zh"
    return Process(
        language=spoken,
        steps=tuple(_steps_zh(policy) if is_zh else _steps_en(policy)),
        categories=tuple((category.key, category.label(spoken)) for category in Category),
        authorities=tuple(
            Channel(authority.name_zh if is_zh else authority.name_en, authority.url, authority.phone)
            for authority in policy.authorities
        ),
        answer_working_days=policy.answer_working_days,
        appeal_working_days=policy.appeal_working_days if policy.appeals_max else 0,
        triage_h=policy.triage_h,
        acknowledge_h=policy.acknowledge_h,
        text_chars_max=policy.text_chars_max,
        contact_chars_max=policy.contact_chars_max,
    )


def _steps_zh(policy: DeskPolicy) -> list[ProcessStep]:
    steps = [
        ProcessStep(
            "提交",
            "任何人都可以投诉，无需账号，不必留下姓名。"
            "提交后您会得到回执编号和查询密码，请一并妥善保存：查询密码只显示一次。",
            "",
        ),
        ProcessStep(
            "受理",
            "我们登记您的投诉并告知办结期限。",
            "提交后立即" if policy.acknowledge_h == 0 else f"{policy.acknowledge_h:g} 小时内",
        ),
        ProcessStep("处理", "由专人核查您所指的内容及其留存记录。", f"{policy.triage_h:g} 小时内开始"),
        ProcessStep(
            "答复", "我们告知处理结果及理由。凭回执编号和查询密码查看。", f"{policy.answer_working_days} 个工作日内"
        ),
    ]
    if policy.appeals_max:
        steps.append(
            ProcessStep(
                "复核",
                "对答复不满意的，可以申请复核，由未参与原处理的人员重新处理，"
                f"并在 {policy.answer_working_days} 个工作日内再次答复。",
                f"答复后 {policy.appeal_working_days} 个工作日内提出",
            )
        )
    steps.append(ProcessStep("撤回", "在我们答复之前，您可以随时撤回投诉。", ""))
    if policy.authorities:
        steps.append(ProcessStep("向主管部门投诉、举报", "您也可以随时向下列主管部门投诉、举报。", ""))
    return steps


def _steps_en(policy: DeskPolicy) -> list[ProcessStep]:
    steps = [
        ProcessStep(
            "File",
            "Anyone may complain, without an account and without giving a name. "
            "You get a receipt and a secret. Keep both: the secret is shown only once.",
            "",
        ),
        ProcessStep(
            "Acknowledgement",
            "We register your complaint and tell you when you will have an answer.",
            "at once" if policy.acknowledge_h == 0 else f"within {policy.acknowledge_h:g} h",
        ),
        ProcessStep(
            "Review",
            "A person examines the content you point to and the record kept of it.",
            f"begins within {policy.triage_h:g} h",
        ),
        ProcessStep(
            "Answer",
            "We tell you what we decided and why. Look it up with your receipt and secret.",
            f"within {_working_days(policy.answer_working_days)}",
        ),
    ]
    if policy.appeals_max:
        steps.append(
            ProcessStep(
                "Appeal",
                "If the answer does not satisfy you, appeal: a person who did not decide the case reviews it "
                f"and answers within {_working_days(policy.answer_working_days)}.",
                f"within {_working_days(policy.appeal_working_days)} of the answer",
            )
        )
    steps.append(ProcessStep("Withdrawal", "Until we have answered you may withdraw your complaint.", ""))
    if policy.authorities:
        steps.append(
            ProcessStep("Complain to the authorities", "At any time you may also turn to the authorities below.", "")
        )
    return steps


def _working_days(count: int) -> str:
    return "1 working day" if count == 1 else f"{count} working days"
