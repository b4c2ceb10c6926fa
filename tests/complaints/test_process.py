# SPDX-License-Identifier: Apache-2.0
"""The published process says what the clocks do."""

import json
from dataclasses import replace

import pytest

from complaints import DeskPolicy, Invalid
from complaints.process import describe


@pytest.mark.parametrize(
    ("language", "phrases"),
    [
        ("zh-CN", ["提交后立即", "24 小时内开始", "15 个工作日内", "10 个工作日内提出", "违法和不良信息举报中心"]),
        ("en", ["at once", "begins within 24 h", "within 15 working days", "within 10 working days of the answer"]),
    ],
)
def test_the_page_prints_the_policys_numbers(policy: DeskPolicy, language: str, phrases: list[str]) -> None:
    """In both languages, with the authority's channel."""
    told = json.dumps(describe(policy, language).to_dict(), ensure_ascii=False)

    assert not [phrase for phrase in (*phrases, "https://www.12377.cn") if phrase not in told]


def test_other_numbers_give_another_page(policy: DeskPolicy) -> None:
    """Nothing is written by hand into the text."""
    other = replace(policy, answer_working_days=1, triage_h=1.5, acknowledge_h=4, appeals_max=0, authorities=())
    told = json.dumps([describe(other, language).to_dict() for language in ("zh", "en")], ensure_ascii=False)

    for phrase in (
        "4 小时内",
        "1.5 小时内开始",
        "within 4 h",
        "within 1.5 h",
        "within 1 working day",
        '"appeal_working_days": 0',
    ):
        assert phrase in told
    for phrase in ("15 个工作日", "15 working days", "复核", "appeal:", "authorities below", "下列主管部门"):
        assert phrase not in told


def test_both_languages_tell_the_same_steps(policy: DeskPolicy) -> None:
    """None is missing in one, and time limits stand at the same steps."""
    zh, en = describe(policy, "zh"), describe(policy, "en")

    assert [bool(step.limit) for step in zh.steps] == [bool(step.limit) for step in en.steps]
    assert [key for key, _ in zh.categories] == [key for key, _ in en.categories]
    assert zh.language == "zh" and en.language == "en"


def test_a_bad_language_is_refused(policy: DeskPolicy) -> None:
    """Like everywhere at the desk."""
    with pytest.raises(Invalid, match="language"):
        describe(policy, "")
