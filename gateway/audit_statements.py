# SPDX-License-Identifier: Apache-2.0
"""What the operator states beside the sample of an audit pack (Model AI Law article 46): the policy in force with each
number's article, the settings, how long what is kept, completeness, holds and erasures.

What must hold: no secret, no pseudonym and no text of a person is in it; each statement is made by the same function
that the operator sees it with.
"""

from __future__ import annotations

from collections.abc import Mapping

from audit_log import commands
from audit_log.place import Place
from gateway import policies
from gateway.retention import erasure_deadline_days, retention_of
from gateway.settings import Settings, effective

_UNDISCLOSED = ("subject",)


def statements(settings: Settings, place: Place, now: float) -> Mapping[str, tuple[str, object]]:
    """File name -> (what it is, JSON-able data). ``now``: seconds since the epoch. Blocks; reads the log."""
    policy = policies.load(settings.policy.use)
    rules = [
        {
            "rule": rule.name,
            "types": sorted(rule.types),
            "minimum_days": rule.minimum_days,
            "maximum_days": rule.maximum_days,
            "clause": rule.clause,
            "body_minimum_days": rule.body_minimum_days,
            "body_maximum_days": rule.body_maximum_days,
        }
        for rule in retention_of(policy, settings.audit).rules
    ]
    in_force = {
        "id": policy.id,
        "version": policy.version,
        "digest": policy.digest,
        "entries": [entry.as_dict() for entry in policy.entries()],
    }
    census = commands.census(place, census_every_s=settings.audit.census_every_s, clock=lambda: now)
    erasures = commands.erasures(place, deadline_days=erasure_deadline_days(policy), clock=lambda: now)
    return {
        "policy.json": ("every number in force, with its article, source and confidence", in_force),
        "settings.json": ("the effective settings, secrets masked", effective(settings)),
        "retention.json": ("how long which records are kept, and why", {"rules": rules}),
        "census.json": ("gaps in the numbers of writers, and counts that do not agree", census),
        "holds.json": ("legal holds, lifted ones too", _without_people(commands.holds(place))),
        "erasures.json": ("requests to be forgotten and what came of them", _without_people(erasures)),
    }


def _without_people(data: object) -> object:
    """The same without pseudonyms, which lie outside the tree so that they can be deleted."""
    if isinstance(data, Mapping):
        return {name: _without_people(value) for name, value in data.items() if name not in _UNDISCLOSED}
    if isinstance(data, list):
        return [_without_people(value) for value in data]
    return data
