# SPDX-License-Identifier: Apache-2.0
"""The policy's minima and the operator's maxima make one set of rules, and never one below the law."""

from __future__ import annotations

import pytest

from audit_log.record import TYPES
from gateway.policies import load
from gateway.retention import erasure_deadline_days, retention_of
from gateway.settings import Audit, SettingsError

POLICY = load(["cn"])
LOG_DAYS, RISK_DAYS = (int(POLICY.number(f"retention.{name}")) for name in ("network_log_days", "risk_record_days"))


def test_every_type_of_record_has_a_rule_with_the_policys_minimum() -> None:
    """Exchanges as network logs, incidents as risk records, and what tells of the log as long as either."""
    rules = retention_of(POLICY, Audit())
    assert frozenset().union(*(rule.types for rule in rules.rules)) == TYPES
    days = {type_: rules.rule_for(type_) for type_ in ("exchange", "incident", "prune")}
    assert [rule.minimum_days for rule in days.values() if rule] == [LOG_DAYS, RISK_DAYS, max(LOG_DAYS, RISK_DAYS)]
    assert all(rule.maximum_days is None and rule.clause for rule in rules.rules)


def test_the_operators_maxima_are_taken_over() -> None:
    """What tells of the log goes only where both are set, and then no earlier than the longer one."""
    rules = retention_of(POLICY, Audit(keep_days=400, keep_body_days=30, hold_body_days=7))
    assert [rule.maximum_days for rule in rules.rules] == [400, None, None]
    assert {(rule.body_minimum_days, rule.body_maximum_days) for rule in rules.rules} == {(7, 30)}
    rules = retention_of(POLICY, Audit(keep_days=400, keep_risk_days=2000))
    assert [rule.maximum_days for rule in rules.rules] == [400, 2000, 2000]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"keep_days": LOG_DAYS - 1}, "audit.keep_days: "),
        ({"keep_risk_days": RISK_DAYS - 1}, "audit.keep_risk_days: "),
        ({"keep_body_days": 6, "hold_body_days": 7}, "audit.keep_body_days: "),
    ],
)
def test_a_maximum_below_a_minimum_is_refused_by_its_name(given: dict[str, int], key: str) -> None:
    """At the start, before anything is deleted."""
    with pytest.raises(SettingsError, match=key):
        retention_of(POLICY, Audit(**given))


def test_working_days_become_calendar_days() -> None:
    """Five to a week."""
    assert erasure_deadline_days(POLICY) == pytest.approx(
        float(POLICY.number("subject_requests.close_working_days")) * 1.4
    )
