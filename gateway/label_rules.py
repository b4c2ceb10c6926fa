# SPDX-License-Identifier: Apache-2.0
"""Which rules about labels a file or a text meets, from what `labeling.inspection` found in it.

A rule is met, broken, or open: no program sees whether a picture shows its label, and nobody asks a file for a signed
manifest. The clauses are those of GB 45438-2025 and of C2PA 2.4; what was found is named with its own clause beside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeling.aigc import GENERATED, parse
from labeling.inspection import inspect_text
from labeling.sniff import FileFormat

HIDDEN, PLACE, ONE, CONTENT, VISIBLE, MANIFEST = "hidden", "place", "one", "content", "visible", "manifest"

_RECORD_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
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


def is_record_id(text: str) -> bool:
    """Whether `text` is spelt as the id of a record, as our labels name it."""
    return _RECORD_ID.fullmatch(text) is not None


def records_of(found: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of records that labels name, as producer or propagator, each once."""
    named = (label["values"].get(key, "") for label in found["labels"] for key in ("ProduceID", "PropagateID"))
    return tuple(dict.fromkeys(text for text in named if is_record_id(text)))


def judged_file(
    found: Mapping[str, Any], data: bytes, elements: Sequence[Sequence[str]]
) -> tuple[dict[str, Any], tuple[Rule, ...]]:
    """What was found in a file, and the rules for it. `found` is `Inspection.as_dict()`.

    A plain text has no metadata that could lack a label: its words say what it is, and `elements` are those that a
    label must hold.
    """
    if found["format"] != FileFormat.TEXT.value.name:
        return dict(found), rules_of_file(found)
    document, rules = judged_text(data.decode("utf-8"), elements)
    manifest = [rule for rule in rules_of_file(found) if rule.code == MANIFEST]
    verdicts = (document["verdict"], found["verdict"])
    document["verdict"] = next((verdict for verdict in verdicts if verdict != "unlabelled"), "unlabelled")
    document["findings"] = [finding for finding in found["findings"] if finding["code"] != "no-label"]
    return document | {"manifest": found["manifest"]}, (*rules, *manifest)


def judged_text(text: str, elements: Sequence[Sequence[str]]) -> tuple[dict[str, Any], tuple[Rule, ...]]:
    """The same for a text. An answer of an API that was copied whole carries the seven-key object itself."""
    is_labelled = inspect_text(text, elements).is_labelled
    reading = parse(text) if text.lstrip().startswith("{") else None
    labels = []
    if reading is not None and reading.is_recognised:
        findings = [{"code": item.code, "clause": item.clause, "message": item.message} for item in reading.findings]
        labels = [
            {
                "place": "JSON",
                "values": reading.values,
                "is_recognised": True,
                "is_conforming": reading.is_conforming,
                "findings": findings,
            }
        ]
    document = {
        "format": FileFormat.TEXT.value.name,
        "mime": FileFormat.TEXT.mime,
        "bytes": len(text.encode()),
        "verdict": _verdict(is_labelled, labels),
        "labels": labels,
        "findings": [],
        "manifest": {},
    }
    visible = Rule(VISIBLE, "GB 45438-2025 5.1", is_labelled)
    if not labels:
        return document, (visible,)
    hidden = [rule for rule in rules_of_file(document) if rule.code in (HIDDEN, CONTENT)]
    return document, (*hidden, Rule(VISIBLE, "GB 45438-2025 5", None))


def _verdict(is_labelled: bool, labels: Sequence[Mapping[str, Any]]) -> str:
    if is_labelled:
        return "generated"
    said = {label["values"].get("Label", "") for label in labels}
    return "unlabelled" if not labels else "generated" if GENERATED in said else "suspected"


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


def is_unreadable(found: Mapping[str, Any]) -> bool:
    """Whether the file could not be read as what it is, so that nothing was learned about its labels."""
    return any(finding["code"] in _UNREADABLE for finding in found["findings"])


def are_met(rules: Sequence[Rule]) -> bool:
    """Whether no rule is broken, and one at least is met."""
    return any(rule.is_met for rule in rules) and not any(rule.is_met is False for rule in rules)
