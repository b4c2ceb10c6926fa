# SPDX-License-Identifier: Apache-2.0
"""Rules are met, broken or open by what was found, and nothing is met where nothing was found."""

from __future__ import annotations

import zlib

import pytest

from gateway.label_rules import (
    MEANINGS,
    Rule,
    are_met,
    is_unreadable,
    judged_file,
    judged_text,
    records_of,
    rules_of_file,
)
from labeling import implicit
from labeling.aigc import AigcLabel
from labeling.inspection import Inspection, inspect_file
from labeling.sniff import FileFormat
from tests.labeling.conftest import encoded, picture

LABEL = AigcLabel("1", "001191110000MA00000AAT10001", "0199a000-0000-7000-8000-000000000001")
PNG = encoded(picture(), "PNG")


def met(found: Inspection) -> dict[str, bool | None]:
    """Each rule and whether it is met."""
    return {rule.code: rule.is_met for rule in rules_of_file(found.as_dict())}


def test_a_labelled_file_meets_what_a_program_can_tell() -> None:
    """Whether the label shows, and a manifest that nobody asked for, stay open."""
    found = inspect_file(implicit.write(PNG, FileFormat.PNG, LABEL))
    assert met(found) == {
        "hidden": True, "place": True, "one": True, "content": True, "visible": None, "manifest": None,
    }  # fmt: skip
    assert are_met(rules_of_file(found.as_dict()))


def test_a_file_without_labels_breaks_the_first_rule_only() -> None:
    """What is not there has no wrong place."""
    found = inspect_file(PNG)
    assert [code for code, is_met in met(found).items() if is_met is False] == ["hidden"]
    assert not are_met(rules_of_file(found.as_dict()))


def test_each_fault_breaks_its_own_rule() -> None:
    """A wrong place, a second label, a wrong value."""
    text = b"tEXtAIGC\0" + LABEL.as_json().replace('"1"', '"9"', 1).encode()
    chunk = len(text[4:]).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    elsewhere = PNG[:33] + chunk + PNG[33:]
    assert {code for code, ok in met(inspect_file(elsewhere)).items() if ok is False} == {"place", "content"}
    whole = implicit.write(PNG, FileFormat.PNG, LABEL)
    twice = whole[:33] + chunk + whole[33:]
    assert {code for code, ok in met(inspect_file(twice)).items() if ok is False} == {"place", "one", "content"}


@pytest.mark.parametrize(("state", "is_met"), [("none", None), ("invalid", False), ("valid", True), ("trusted", True)])
def test_a_manifest_counts_where_there_is_one(state: str, is_met: bool | None) -> None:
    """One that does not hold breaks the rule."""
    found = Inspection("PNG", "image/png", 1, "unlabelled", manifest={"state": state})
    assert met(found)["manifest"] is is_met


GROUPS = (("AI",), ("生成",))


@pytest.mark.parametrize(
    ("text", "verdict", "is_met"), [("AI生成\n正文", "generated", True), ("正文", "unlabelled", False)]
)
def test_a_text_has_one_rule(text: str, verdict: str, is_met: bool) -> None:
    """What people read; pasted or as a file, where a manifest beside it may count too."""
    document, rules = judged_text(text, GROUPS)
    assert (document["verdict"], [rule.is_met for rule in rules]) == (verdict, [is_met])
    data = text.encode()
    document, rules = judged_file(inspect_file(data).as_dict(), data, GROUPS)
    assert (document["verdict"], document["findings"]) == (verdict, [])
    assert {rule.code: rule.is_met for rule in rules} == {"visible": is_met, "manifest": None}


def test_a_manifest_beside_a_text_speaks_for_it() -> None:
    """Also where its words do not."""
    found = Inspection("plain text", "text/plain", 6, "generated", manifest={"state": "valid"})
    document, rules = judged_file(found.as_dict(), "正文".encode(), GROUPS)
    assert (document["verdict"], document["manifest"]["state"]) == ("generated", "valid")
    assert {rule.code: rule.is_met for rule in rules} == {"visible": False, "manifest": True}


def test_a_copied_answer_is_judged_by_its_seven_keys() -> None:
    """Every value of the label, and faults in it."""
    for value, verdict in (("1", "generated"), ("3", "suspected")):
        document, rules = judged_text(AigcLabel(value, "someone", "x").as_json(wrapped=True), GROUPS)
        assert document["verdict"] == verdict and are_met(rules)
    _, rules = judged_text('{"AIGC":{"Label":"1"}}', GROUPS)
    assert {rule.code: rule.is_met for rule in rules} == {"hidden": True, "content": False, "visible": None}
    assert judged_text('{"a":1}', GROUPS)[0]["labels"] == []


def test_records_are_named_by_producer_and_propagator() -> None:
    """Only what is spelt as an id of ours, each once."""
    own, other = LABEL.produce_id, "0199a000-0000-7000-8000-000000000002"
    for label, named in (
        (LABEL, (own,)),
        (AigcLabel("1", "someone", "theirs", propagate_id=other), (other,)),
        (AigcLabel("1", "someone", own, propagate_id=other), (own, other)),
        (AigcLabel("1", "someone", "theirs"), ()),
    ):
        assert records_of(judged_text(label.as_json(wrapped=True), GROUPS)[0]) == named


def test_what_could_not_be_read_is_not_called_unlabelled() -> None:
    """No known format, damaged, too large."""
    assert is_unreadable(inspect_file(b"\x80\x81\x82\x83").as_dict())
    assert is_unreadable(inspect_file(PNG, max_bytes=3).as_dict())
    assert not is_unreadable(inspect_file(PNG).as_dict())


def test_open_rules_alone_meet_nothing() -> None:
    """And every rule says what it asks for."""
    assert not are_met([Rule("visible", "x", None)])
    for rule in rules_of_file(inspect_file(PNG).as_dict()):
        assert rule.as_dict()["asks"] == MEANINGS[rule.code]
