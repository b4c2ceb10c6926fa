# SPDX-License-Identifier: Apache-2.0
"""Keys that are stored and labels that are read."""

import pytest

from complaints.case import Category
from complaints.errors import Invalid
from complaints.labelled import Labelled, parse_language
from complaints.workflow import Act, Decision, Role, State

ENUMS: tuple[type[Labelled], ...] = (Category, State, Act, Role, Decision)


@pytest.mark.parametrize("kind", ENUMS)
def test_every_member_is_found_by_its_own_key_and_has_both_labels(kind: type[Labelled]) -> None:
    """Keys are unique and short enough for their column; no language is missing."""
    for member in kind:
        assert kind.of(member.key) is member
        assert kind.parse(member.key.upper(), "x") is member
        assert len(member.key) <= 32 and member.key == member.key.lower()
        assert member.label("zh-CN") == member.zh != "" and member.label("fr") == member.en != ""


def test_a_key_is_read_whatever_its_case_and_joints() -> None:
    """People write keys in many ways; members themselves are taken too."""
    assert Decision.parse(" Partly-Upheld ", "decision") is Decision.PARTLY_UPHELD
    assert Decision.parse("partly upheld", "decision") is Decision.PARTLY_UPHELD
    assert Decision.parse(Decision.UPHELD, "decision") is Decision.UPHELD


@pytest.mark.parametrize("value", ["", "yes", "x" * 1000, None, 3, ["upheld"], State.CLOSED])
def test_what_is_no_key_is_invalid_and_not_repeated(value: object) -> None:
    """The error names field and choices, never the input."""
    with pytest.raises(Invalid) as caught:
        Decision.parse(value, "decision")

    assert caught.value.field == "decision"
    assert str(caught.value) == "decision: expected one of upheld, partly_upheld, rejected, referred"


def test_an_unknown_stored_key_is_a_defect() -> None:
    """It is neither guessed nor passed over."""
    with pytest.raises(KeyError):
        State.of("lost")


@pytest.mark.parametrize(
    ("tag", "spoken"), [("zh", "zh"), ("zh-Hant-TW", "zh"), ("ZH_cn", "zh"), ("en", "en"), ("de", "en"), ("zha", "en")]
)
def test_a_language_tag_is_reduced_to_what_the_desk_speaks(tag: str, spoken: str) -> None:
    """Any Chinese is answered in Chinese, all else in English."""
    assert parse_language(tag) == spoken


@pytest.mark.parametrize("tag", ["", "x" * 36, None, 7])
def test_what_is_no_language_tag_is_invalid(tag: object) -> None:
    """Bad input is refused, not guessed."""
    with pytest.raises(Invalid):
        parse_language(tag)
