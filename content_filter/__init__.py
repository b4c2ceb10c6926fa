# SPDX-License-Identifier: Apache-2.0
"""Judges texts, whole or streamed, against terms in the 31 classes of GB/T 45654-2025, and keeps incidents.

Useful alone: `ContentFilter(TermSet.load([path])).check_text(text, "prompt")`.
"""

from content_filter.errors import FilterError
from content_filter.filter import ContentFilter, Outcome, Role, Verdict
from content_filter.guard import GuardStep, Replacement, StreamGuard, mask_text
from content_filter.handle import Activation, FilterHandle
from content_filter.incidents import Incident, IncidentState, IncidentStore, Transition, new_incident_id
from content_filter.matcher import Match, TermMatcher
from content_filter.taxonomy import CLASSES, SUB_TYPES, RiskClass
from content_filter.terms import Action, Term, TermSet

__all__ = [
    "CLASSES",
    "SUB_TYPES",
    "Action",
    "Activation",
    "ContentFilter",
    "FilterError",
    "FilterHandle",
    "GuardStep",
    "Incident",
    "IncidentState",
    "IncidentStore",
    "Match",
    "Outcome",
    "Replacement",
    "RiskClass",
    "Role",
    "StreamGuard",
    "Term",
    "TermMatcher",
    "TermSet",
    "Transition",
    "Verdict",
    "mask_text",
    "new_incident_id",
]
