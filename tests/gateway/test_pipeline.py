# SPDX-License-Identifier: Apache-2.0
"""The order of the duties is data, and the documentation shows that data."""

from __future__ import annotations

from pathlib import Path

from gateway.pipeline import WAY, FailureRule, Side, Stage, table

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
BEGIN, END = "<!-- pipeline -->", "<!-- /pipeline -->"


def test_the_architecture_page_shows_the_pipeline_as_it_is() -> None:
    """A reader of the page and a reader of the code see the same."""
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    shown = page.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == table().strip(), (
        f"put the output of `python -c \"from gateway.pipeline import table; print(table(), end='')\"` "
        f"between {BEGIN} and {END} in docs/architecture.md"
    )


def test_sides_follow_one_another() -> None:
    """Requests first, then the model, then its answer, then the record; each stage has one name."""
    order = [Side.REQUEST, Side.MODEL, Side.ANSWER, Side.RECORD]
    sides = [stage.side for stage in WAY]
    assert sides == sorted(sides, key=order.index)
    assert sides.count(Side.MODEL) == sides.count(Side.RECORD) == 1
    assert len({stage.key for stage in WAY}) == len(WAY)


def test_every_duty_fails_closed() -> None:
    """An exception to that would have to stand in this test as well."""
    rules = {
        Side.REQUEST: FailureRule.REFUSE,
        Side.MODEL: FailureRule.UPSTREAM_ERROR,
        Side.ANSWER: FailureRule.STOP,
        Side.RECORD: FailureRule.STOP,
    }
    assert all(stage.on_error is rules[stage.side] for stage in WAY)


def test_every_duty_can_be_made() -> None:
    """A stage of requests makes its duty for the house, one of answers for the exchange."""
    for stage in WAY:
        assert (stage.request is not None) == (stage.side is Side.REQUEST)
        assert (stage.answer is not None or stage.media is not None) == (stage.side is Side.ANSWER)
        assert stage.answer is None or stage.media is None


def test_what_must_come_before_what() -> None:
    """Who asks is known before rules about people; text is filtered, then labelled, then noticed."""
    names = [stage.key for stage in WAY]
    for first, second in (
        ("identify", "minors"), ("identify", "first_contact"), ("filter_prompt", "forward"),
        ("filter_answer", "label"), ("label", "notices"), ("notices", "label_media"), ("label_media", "record"),
    ):  # fmt: skip
        assert names.index(first) < names.index(second)


def test_keys_are_words_for_records() -> None:
    """No spaces in them."""
    assert Stage("two words", Side.MODEL, "", FailureRule.STOP).key == "two_words"
    assert all(stage.key.replace("_", "").isalpha() and stage.key.islower() for stage in WAY)


def test_the_table_has_a_line_for_each_stage() -> None:
    """In order, numbered from one."""
    head, rule, *lines = table().splitlines()
    assert head.startswith("| # |") and set(rule) == {"|", "-"}
    assert [line.split("|")[1].strip() for line in lines] == [str(number) for number in range(1, len(WAY) + 1)]
