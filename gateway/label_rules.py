# SPDX-License-Identifier: Apache-2.0
"""Which rules about labels a file or a text meets, from what `labeling.inspection` found in it.

A rule is met, broken, or open: no program sees whether a picture shows its label, and nobody asks a file for a signed
manifest. The clauses are those of GB 45438-2025 and of C2PA 2.4; what was found is named with its own clause beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeling.inspection import TextInspection

HIDDEN, PLACE, ONE, CONTENT, VISIBLE, MANIFEST = "hidden", "place", "one", "content", "visible", "manifest"

_UNREADABLE = frozenset({"unknown-format", "unreadable", "too-large"})

MEANINGS: Mapping[str, str] = {
    HIDDEN: "the file carries a hidden label in its metadata",
    PLACE: "the hidden label stands at the place that the format's guide names",
    ONE: "the file carries exactly one hidden label",
    CONTENT: "the hidden label has the seven keys of the standard with allowed values",
    VISIBLE: "the content shows a label that people see or hear",
    MANIFEST: "the signed manifest (Content Credentials) holds",
}
"""What each rule asks for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `is_met` is None where a program cannot tell or the rule does not apply."""

    code: str
    clause: str
    is_met: bool | None

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {"rule": self.code, "clause": self.clause, "asks": MEANINGS[self.code], "met": self.is_met}


def rules_of_file(found: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules for a file; `found` is `Inspection.as_dict()`."""
    labels: Sequence[Mapping[str, Any]] = [label for label in found["labels"] if label["is_recognised"]]
    codes = [[finding["code"] for finding in label["findings"]] for label in labels]
    state = found["manifest"].get("state", "none") if found["manifest"] else "none"
    has_label = bool(labels)
    is_placed = all("place" not in own for own in codes)
    is_formed = all(set(own) <= {"place"} for own in codes)
    return (
        Rule(HIDDEN, "GB 45438-2025 6.1", has_label),
        Rule(PLACE, "GB 45438-2025 6.1 a)", is_placed if has_label else None),
        Rule(ONE, "GB 45438-2025 6.1 c)", len(found["labels"]) == 1 if has_label else None),
        Rule(CONTENT, "GB 45438-2025 Annex E", is_formed if has_label else None),
        Rule(VISIBLE, "GB 45438-2025 5", None),
        Rule(MANIFEST, "C2PA 2.4 section 15", None if state == "none" else state in ("valid", "trusted")),
    )


def rules_of_text(found: TextInspection) -> tuple[Rule, ...]:
    """The rule for a text: it has no metadata, so only what people read counts."""
    return (Rule(VISIBLE, "GB 45438-2025 5.1", found.is_labelled),)


def is_unreadable(found: Mapping[str, Any]) -> bool:
    """Whether the file could not be read as what it is, so that nothing was learned about its labels."""
    return any(finding["code"] in _UNREADABLE for finding in found["findings"])


def are_met(rules: Sequence[Rule]) -> bool:
    """Whether no rule is broken, and one at least is met."""
    return any(rule.is_met for rule in rules) and not any(rule.is_met is False for rule in rules)
