# SPDX-License-Identifier: Apache-2.0
"""Drafts say what is known and mark what is not."""

import io
import json
import zipfile
from dataclasses import replace
from datetime import timedelta, timezone
from xml.etree import ElementTree

import pytest

from content_filter.errors import FilterError
from content_filter.incident_report import Facts, Provider, ReportKind, draft
from content_filter.incident_state import IncidentState, Transition
from content_filter.incidents import Incident
from content_filter.roles import Role

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
BEIJING = timezone(timedelta(hours=8))
INCIDENT = Incident("inc_1", 1_795_000_000.0, "A1d", "term:1", Role.ANSWER, "rec_1", "t", "s1", 12, 12, 16, "ab" * 32)
HISTORY = (
    Transition("inc_1", 1, 1_795_000_000.0, "filter", "", IncidentState.OPEN, "hit"),
    Transition("inc_1", 2, 1_795_000_600.0, "officer", "open", IncidentState.CONFIRMED, ""),
)
PROVIDER = Provider("示例公司 & Sons", "对话服务", "网信算备000号", "张三 010-00000000")
FACTS = Facts(
    model="m", model_version="1.2", record_ids=("rec_2", "rec_1"), persons_affected=3, harm="无", cause="越狱提示",
    measures=("已停止生成", "已删除缓存"), advice="请勿转发", help_needed="无", improvement="已重新训练",
)  # fmt: skip


@pytest.mark.parametrize("kind", list(ReportKind))
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_complete_draft_has_no_gap_and_all_that_is_known(kind: ReportKind, language: str) -> None:
    """Both languages, all three kinds; the JSON form can be written."""
    made = draft(kind, language, INCIDENT, HISTORY, PROVIDER, FACTS, BEIJING)
    text = json.dumps(made.as_json(), ensure_ascii=False)

    assert made.gaps == ()
    for known in ("示例公司 & Sons", "对话服务", "已停止生成", "2026-11-18 19:06:40+08:00", "张三"):
        assert known in text
    if kind is not ReportKind.NOTICE:
        for known in ("inc_1", "rec_1", "rec_2", "A1d", "网信算备000号", "m 1.2", "s1"):
            assert known in text


def test_what_is_not_known_is_marked_and_listed() -> None:
    """Nothing is invented."""
    made = draft("first", "en", INCIDENT, HISTORY, replace(PROVIDER, contact=""), Facts(model="m"), BEIJING)
    fields = {row["name"]: row["value"] for section in made.as_json()["sections"] for row in section["fields"]}

    assert fields["Contact"] == fields["Persons affected"] == "[to be completed]"
    assert set(made.gaps) == {
        "Contact", "Harm", "Persons affected", "Measures", "Probable cause", "Help needed"
    } - {"Harm"} | {"Effect and harm"}  # fmt: skip


def test_no_one_affected_is_a_number_and_not_a_gap() -> None:
    """Zero is known."""
    made = draft("first", "zh", INCIDENT, HISTORY, PROVIDER, replace(FACTS, persons_affected=0), BEIJING)

    assert ("受影响人数", "0") in made.sections[1][1]
    assert made.gaps == ()


def test_the_notice_to_people_names_no_user_and_no_rule() -> None:
    """What helps nobody but an attacker is not told to all."""
    text = json.dumps(draft("notice", "en", INCIDENT, HISTORY, PROVIDER, FACTS, BEIJING).as_json())

    assert "s1" not in text
    assert "term:1" not in text
    assert "rec_1" not in text


def test_a_closing_report_needs_a_confirmed_incident() -> None:
    """What was never confirmed cannot be concluded."""
    with pytest.raises(FilterError, match="confirmed"):
        draft("closing", "zh", INCIDENT, HISTORY[:1], PROVIDER, FACTS, BEIJING)


@pytest.mark.parametrize(("kind", "language"), [("last", "zh"), ("first", "fr")])
def test_an_unknown_kind_or_language_is_refused(kind: str, language: str) -> None:
    """By name."""
    with pytest.raises(FilterError, match="first, closing or notice"):
        draft(kind, language, INCIDENT, HISTORY, PROVIDER, FACTS, BEIJING)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_document_has_all_of_the_draft_in_order(language: str) -> None:
    """Title, headings and both columns of every table, as a word processor reads them."""
    made = draft("first", language, INCIDENT, HISTORY, PROVIDER, FACTS, BEIJING)
    with zipfile.ZipFile(io.BytesIO(made.as_docx())) as package:
        assert package.testzip() is None
        body = ElementTree.fromstring(package.read("word/document.xml"))
    paragraphs = ["\n".join(text.text or "" for text in paragraph.iter(f"{W}t")) for paragraph in body.iter(f"{W}p")]
    expected = [made.title, made.note]
    for title, rows in made.sections:
        expected += [title, *(cell for row in rows for cell in row)]

    assert [text for text in paragraphs if text] == expected


def test_the_same_facts_give_the_same_bytes() -> None:
    """So that a digest of a draft means something."""
    first, second = (draft("first", "zh", INCIDENT, HISTORY, PROVIDER, FACTS, BEIJING).as_docx() for _ in range(2))

    assert first == second
