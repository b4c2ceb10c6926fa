# SPDX-License-Identifier: Apache-2.0
"""Retention rules: read from plain data, and refused where they contradict each other."""

import pytest

from audit_log.retention import Retention, RetentionInvalid, RetentionRule, read_retention

LOGS = {"name": "logs", "types": ["exchange", "open", "close"], "minimum_days": 180, "clause": "csl-23"}


def test_rules_are_read_from_a_policy() -> None:
    """What is left out is no minimum and no maximum."""
    retention = read_retention([{**LOGS, "body_maximum_days": 30}])

    rule = retention.rule_for("open")
    assert rule == RetentionRule("logs", frozenset(LOGS["types"]), 180, None, "csl-23", 0, 30)
    assert retention.rule_for("hold") is None


@pytest.mark.parametrize(
    "rules",
    [
        [{**LOGS, "maximum_days": 179}],
        [{**LOGS, "minimum_days": -1}],
        [{**LOGS, "body_minimum_days": 5, "body_maximum_days": 4}],
        [LOGS, {**LOGS, "name": "again"}],
        [{**LOGS, "types": ["exchange", "novel"]}],
        [{**LOGS, "types": "exchange"}],
        [{**LOGS, "minimum_days": "180"}],
        [{**LOGS, "maximum_days": True}],
        [{"types": ["exchange"]}],
    ],
)
def test_rules_that_cannot_be_are_refused(rules: list[dict[str, object]]) -> None:
    """A maximum below the minimum, a type twice, unknown types, numbers that are none."""
    with pytest.raises(RetentionInvalid):
        read_retention(rules)


def test_no_rules_keep_everything() -> None:
    """A type without a rule has no end."""
    assert Retention(()).rule_for("exchange") is None
