# SPDX-License-Identifier: Apache-2.0
"""What may happen to an incident, and which clocks run for it.

Article 14 of the Interim Measures: stop, remove, improve the model, report. The table below is the whole workflow:

    open ──► confirmed ──► contained ──► reported ──► closed
      │          │             └───────────────────────►┘   (with the reason why no report is owed)
      └──► false_alarm ◄┘      false_alarm ──► open         (with the reason why after all)

Clocks come from the policy. What must hold: a step that the table does not name is refused; a step that ends the matter
without a report, or takes something back, says why; a clock never stops by itself, and what it says depends on the
history alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from content_filter.errors import FilterConflict, FilterError, FilterInvalid
from content_filter.incident_state import IncidentState, Transition

STEPS: dict[IncidentState, frozenset[IncidentState]] = {
    IncidentState.OPEN: frozenset({IncidentState.CONFIRMED, IncidentState.FALSE_ALARM}),
    IncidentState.CONFIRMED: frozenset({IncidentState.CONTAINED, IncidentState.FALSE_ALARM}),
    IncidentState.CONTAINED: frozenset({IncidentState.REPORTED, IncidentState.CLOSED}),
    IncidentState.REPORTED: frozenset({IncidentState.CLOSED}),
    IncidentState.FALSE_ALARM: frozenset({IncidentState.OPEN}),
    IncidentState.CLOSED: frozenset(),
}
"""To which states one may go from each."""

_NEEDS_REASON = frozenset(
    {
        (IncidentState.OPEN, IncidentState.FALSE_ALARM),
        (IncidentState.CONFIRMED, IncidentState.FALSE_ALARM),
        (IncidentState.FALSE_ALARM, IncidentState.OPEN),
        (IncidentState.CONTAINED, IncidentState.CLOSED),
        (IncidentState.REPORTED, IncidentState.CLOSED),
    }
)
_MAX_REASON_CHARACTERS = 4_000


def check_step(before: IncidentState, after: IncidentState, actor: str, reason: str) -> None:
    """Raises `FilterConflict` for a step that the table does not name, `FilterInvalid` for one that lacks something."""
    if after not in STEPS[before]:
        possible = ", ".join(sorted(STEPS[before])) or "nothing: it is closed for good"
        raise FilterConflict(f"an incident that is {before} cannot become {after}; possible: {possible}")
    if not actor.strip():
        raise FilterInvalid("a step in the life of an incident needs to say who takes it")
    if (before, after) in _NEEDS_REASON and not reason.strip():
        raise FilterInvalid(f"the step from {before} to {after} needs a reason")
    if len(reason) > _MAX_REASON_CHARACTERS:
        raise FilterInvalid(f"the reason is longer than {_MAX_REASON_CHARACTERS} characters; shorten it")


@dataclass(frozen=True, slots=True)
class Clock:
    """A time limit of the policy: from the first step into `starts` to the first later step into one of `stops`.

    An incident that becomes a false alarm stops every clock; one that is opened again starts them anew.
    """

    name: str
    starts: IncidentState
    stops: frozenset[IncidentState]
    limit_s: float
    article: str

    def __post_init__(self) -> None:
        if self.limit_s <= 0 or self.starts in self.stops or not self.stops:
            raise FilterError("a clock needs a limit above 0 s and stops other than its start")


class ClockState(StrEnum):
    """Waiting: its start has not come. Running and missed: no stop yet, within and beyond the limit. Met and late: a
    stop came in time, or not. Dropped: a false alarm."""

    WAITING = "waiting"
    RUNNING = "running"
    MISSED = "missed"
    MET = "met"
    LATE = "late"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Deadline:
    """What a clock says of one incident. Times are seconds since the epoch; `due_at_s` is None while waiting."""

    clock: Clock
    state: ClockState
    due_at_s: float | None = None
    stopped_at_s: float | None = None

    def remaining_s(self, now_s: float) -> float | None:
        """Seconds that are left, below zero when it is late; None where no clock runs."""
        if self.due_at_s is None or self.state not in (ClockState.RUNNING, ClockState.MISSED):
            return None
        return self.due_at_s - now_s


def deadlines(history: Sequence[Transition], clocks: Iterable[Clock], now_s: float) -> tuple[Deadline, ...]:
    """What every clock says now, the earliest due first, those that do not run last."""
    found = [_deadline(history, clock, now_s) for clock in clocks]
    running = (ClockState.RUNNING, ClockState.MISSED)
    return tuple(sorted(found, key=lambda item: (item.state not in running, item.due_at_s or 0.0, item.clock.name)))


def _deadline(history: Sequence[Transition], clock: Clock, now_s: float) -> Deadline:
    begun_at_s: float | None = None
    stopped_at_s: float | None = None
    is_dropped = False
    for step in history:
        if step.after is IncidentState.FALSE_ALARM:
            is_dropped, begun_at_s, stopped_at_s = True, None, None
        elif step.after is IncidentState.OPEN and is_dropped:
            is_dropped = False
        if step.after is clock.starts and begun_at_s is None and not is_dropped:
            begun_at_s = step.at_s
        elif step.after in clock.stops and begun_at_s is not None and stopped_at_s is None:
            stopped_at_s = step.at_s
    if begun_at_s is None:
        return Deadline(clock, ClockState.DROPPED if is_dropped else ClockState.WAITING)
    due_at_s = begun_at_s + clock.limit_s
    if stopped_at_s is not None:
        return Deadline(clock, ClockState.MET if stopped_at_s <= due_at_s else ClockState.LATE, due_at_s, stopped_at_s)
    return Deadline(clock, ClockState.RUNNING if now_s <= due_at_s else ClockState.MISSED, due_at_s)
