# SPDX-License-Identifier: Apache-2.0
"""How long records and their sealed bodies are kept, by type of record.

The numbers come from the policy of a jurisdiction, with their clause; none is here. Precedence, wherever two of them
meet: legal hold (`holds`), then the minimum that the law asks for, then a person's request (`erasure`), then the
maximum (`prune`). What must hold: rules that contradict each other are refused; a type that no rule knows is kept.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from audit_log.errors import AuditError
from audit_log.record import TYPES

DAY_S = 86_400


class RetentionInvalid(AuditError):
    """The rules contradict each other; nothing was done."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How long records of some types are kept, in days, with the clause that says so.

    ``maximum_days`` None: no maximum. The body's own numbers are for the sealed prompt and answer; they may be shorter.
    """

    name: str
    types: frozenset[str]
    minimum_days: int
    maximum_days: int | None
    clause: str
    body_minimum_days: int = 0
    body_maximum_days: int | None = None

    def __post_init__(self) -> None:
        for low, high in (
            (self.minimum_days, self.maximum_days),
            (self.body_minimum_days, self.body_maximum_days),
        ):
            if low < 0 or (high is not None and high < low):
                raise RetentionInvalid(f"rule {self.name}: a maximum of {high} days is below the minimum of {low}")


@dataclass(frozen=True, slots=True)
class Retention:
    """All rules; no type may stand in two."""

    rules: tuple[RetentionRule, ...]

    def __post_init__(self) -> None:
        seen = Counter(type_ for rule in self.rules for type_ in rule.types)
        if twice := sorted(type_ for type_, count in seen.items() if count > 1):
            raise RetentionInvalid(f"types {', '.join(twice)} stand in two rules")

    def rule_for(self, type_: str) -> RetentionRule | None:
        """The rule of a type; None: kept for ever."""
        return next((rule for rule in self.rules if type_ in rule.types), None)


def read_retention(rules: Iterable[Mapping[str, object]]) -> Retention:
    """Rules from plain data with the names of ``RetentionRule``'s fields; raises RetentionInvalid."""
    found = []
    for rule in rules:
        name, clause, types = rule.get("name"), rule.get("clause"), rule.get("types")
        if not isinstance(name, str) or not isinstance(clause, str) or not isinstance(types, list | tuple | frozenset):
            raise RetentionInvalid("a rule has a name, a clause and a list of types")
        if unknown := sorted(str(type_) for type_ in types if type_ not in TYPES):
            raise RetentionInvalid(f"rule {name}: there are no records of type {', '.join(unknown)}")
        found.append(
            RetentionRule(
                name,
                frozenset(types),
                _days(rule, "minimum_days") or 0,
                _days(rule, "maximum_days"),
                clause,
                _days(rule, "body_minimum_days") or 0,
                _days(rule, "body_maximum_days"),
            )
        )
    return Retention(tuple(found))


def _days(rule: Mapping[str, object], name: str) -> int | None:
    value = rule.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise RetentionInvalid(f"rule {rule.get('name')}: {name} is not a whole number of days")
