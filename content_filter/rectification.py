# SPDX-License-Identifier: Apache-2.0
"""The set from which a model or a filter is improved after incidents (Interim Measures, article 14: 模型优化训练).

One JSON object a line, in the form that `rows` reads, so that `training` can learn from it at once. The texts come from
whoever may read the audit records; this module never reads records itself. What must hold: only confirmed findings are
harmful rows, only false alarms harmless ones, everything else is left out; a text stands once.
"""

import json
from collections.abc import Callable, Iterable

from content_filter.incident_state import IncidentState
from content_filter.incidents import Incident
from content_filter.roles import Role

_HARMFUL = frozenset({IncidentState.CONFIRMED, IncidentState.CONTAINED, IncidentState.REPORTED, IncidentState.CLOSED})


def rectification_rows(
    incidents: Iterable[Incident], text_of: Callable[[Incident], str | None], lang_of: Callable[[str], str]
) -> Iterable[str]:
    """Lines of the set. `text_of` gives the judged text of an incident, or None where it is not to be had (deleted,
    not kept); `lang_of` its language tag."""
    seen: set[tuple[str, bool]] = set()
    for incident in incidents:
        is_harmful = incident.state in _HARMFUL
        if not is_harmful and incident.state is not IncidentState.FALSE_ALARM:
            continue
        text = text_of(incident)
        if text is None or (text, is_harmful) in seen:
            continue
        seen.add((text, is_harmful))
        row = {
            "id": incident.id,
            "text": text,
            "lang": lang_of(text),
            "role": "response" if incident.role is Role.ANSWER else "prompt",
            "label": "harmful" if is_harmful else "benign",
            "category": incident.class_code if is_harmful else "none",
            "source": "incidents",
        }
        yield json.dumps(row, ensure_ascii=False) + "\n"
