# SPDX-License-Identifier: Apache-2.0
"""What the audit log is told of a move: a flat JSON object without personal data.

`case` and `seq` name a move for ever: whoever reads two facts with the same pair has read one move twice. A fact is
computed from what is stored and never changes, so a fact that is told again later is the same fact. It names neither
receipt nor officer nor tenant (the public types the tenant, so it could hold anything) and holds no words: of these
`sealed_sha256`, the SHA-256 of the sealed bytes, lets one show later that the stored words are those of that day.
"""

from complaints.case import Case, CaseEvent


def fact_of(case: Case, event: CaseEvent) -> dict[str, object]:
    """The fact of one event; keys without a value are left out. `at` is UTC with milliseconds.

    For instance: `{"type": "complaint", "case": "0b9f...", "seq": 4, "event": "answer", "from": "in_review", "state":
    "answered", "role": "officer", "at": "2026-11-23T01:02:03.004Z", "category": "privacy", "decision": "upheld", ...}`.
    """
    fact: dict[str, object | None] = {
        "type": "complaint",
        "case": case.id,
        "seq": event.seq,
        "event": event.act.key,
        "from": None if event.origin is None else event.origin.key,
        "state": event.state.key,
        "role": event.role.key,
        "at": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "category": case.category.key,
        "record": case.record,
        "decision": None if event.decision is None else event.decision.key,
        "sealed_sha256": event.sealed_sha256,
    }
    return {name: value for name, value in fact.items() if value is not None}
