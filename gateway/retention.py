# SPDX-License-Identifier: Apache-2.0
"""How long the log keeps what: the policy's minima (Cybersecurity Law article 23(3), Model AI Law article 37) joined
with the operator's maxima.

Network logs are the records of exchanges and of the processes that wrote them; risk records are incidents, measures,
complaints and cases. What tells of the log itself (holds, prunes, erasures, keys, readings) is kept as long as the
longer of both. What must hold: a maximum below the policy's minimum is refused, and without a maximum nothing goes.
"""

from __future__ import annotations

from audit_log.record import TYPES
from audit_log.retention import Retention, RetentionInvalid, RetentionRule
from gateway.policies import Policy
from gateway.settings import Audit, SettingsError

NETWORK = frozenset({"boot", "shutdown", "exchange", "open", "close", "notice", "config", "census"})
RISK = frozenset({"incident", "measure", "complaint", "case"})
ABOUT_LOG = TYPES - NETWORK - RISK


def retention_of(policy: Policy, audit: Audit) -> Retention:
    """The rules in force. Raises `SettingsError` naming the setting that contradicts the policy."""
    network, risk = policy.entry("retention.network_log_days"), policy.entry("retention.risk_record_days")
    network_days, risk_days = int(policy.number(network.key)), int(policy.number(risk.key))
    longer = max(network_days, risk_days)
    keep_all = max(audit.keep_days, audit.keep_risk_days) if audit.keep_days and audit.keep_risk_days else 0
    rules = (
        ("network", NETWORK, network_days, audit.keep_days, network.article or network.key),
        ("risk", RISK, risk_days, audit.keep_risk_days, risk.article or risk.key),
        ("log", ABOUT_LOG, longer, max(keep_all, longer) if keep_all else 0, f"{network.article}; {risk.article}"),
    )
    made = []
    for name, types, minimum, maximum, clause in rules:
        try:
            made.append(
                RetentionRule(
                    name,
                    types,
                    minimum,
                    maximum or None,
                    clause,
                    audit.hold_body_days,
                    audit.keep_body_days or None,
                )
            )
        except RetentionInvalid:
            raise SettingsError(_contradiction(name, minimum, maximum, audit)) from None
    return Retention(tuple(made))


def erasure_deadline_days(policy: Policy) -> float:
    """By when a request to erase is answered, in calendar days: the policy's working days, five to a week.

    Public holidays come on top, so that a request that counts as late here is worth a look, not yet a breach.
    """
    return float(policy.number("subject_requests.close_working_days")) * 7 / 5


def _contradiction(name: str, minimum: int, maximum: int, audit: Audit) -> str:
    if maximum and maximum < minimum:
        key = "audit.keep_risk_days" if name == "risk" else "audit.keep_days"
        return f"{key}: {maximum} days are below the {minimum} that the policy asks for; raise it, or set 0"
    return f"audit.keep_body_days: {audit.keep_body_days} days are below audit.hold_body_days, {audit.hold_body_days}"
