# SPDX-License-Identifier: Apache-2.0
"""What the duties about people ask of a store of counters, and how consistent it must be.

A limit that holds per person holds across all processes and replicas that serve the person, so `State` is shared by
them and every call is atomic: two calls with one key, from wherever, have the effect of one after the other. Nothing
here is evidence (that is the audit log's): a store may lose its last moments when a machine loses power, and what is
kept is no longer than its time to live.

A store that cannot answer raises `StateUnavailable`; it never guesses. What happens then is in the pipeline's list of
failure rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class StateError(Exception):
    """The root of what this package raises. The message never holds a key, a value or an address with credentials."""


class StateUnavailable(StateError):
    """The store cannot answer now (away, slow, full): the caller's failure rule decides."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How long a person has used the service.

    `day_seconds` is the total of the day that was asked about, `continuous_seconds` the length of the running stretch
    without a pause of an idle gap, and `run_started_at` (seconds since the epoch) tells one stretch from the next.
    All are exact to the millisecond.
    """

    day_seconds: float
    continuous_seconds: float
    run_started_at: float


class State(Protocol):
    """Counters and facts that all processes and replicas of one service share.

    The three kinds (usage, remembered values, counters) have separate names: the same key may be used in each.
    """

    async def touch_usage(
        self, key: str, now: float, day: str, idle_gap_s: float, *, day_started_at: float = 0.0
    ) -> Usage:
        """Count activity of `key` at `now` (seconds since the epoch) and say how long it has been used.

        The time since the last touch counts, once however many devices touch, where it is shorter than `idle_gap_s`;
        a longer pause counts nothing and begins a new stretch. `day` is the person's local date (`2026-03-01`) and
        `day_started_at` its midnight: what was used before midnight is not counted to the new day. Time never runs
        backwards: a touch that is older than the last one counts nothing.
        """
        ...

    async def look_at_usage(
        self, key: str, now: float, day: str, idle_gap_s: float, *, day_started_at: float = 0.0
    ) -> Usage:
        """What `touch_usage` would say now, without counting anything: looking is no activity."""
        ...

    async def remember(self, key: str, value: str, ttl_s: float) -> None:
        """Keep `value` under `key` for `ttl_s` seconds, in place of what was there.

        It may be forgotten early where the store is short of room, so forgetting must be the safe side.
        """
        ...

    async def recall(self, key: str) -> str | None:
        """What was remembered under `key`, or None where it never was or has expired."""
        ...

    async def add(self, key: str, amount: int, ttl_s: float) -> int:
        """Add `amount` to the counter `key` and return its new value.

        A counter begins at 0 and ends `ttl_s` seconds after its first addition; later additions do not prolong it.
        """
        ...

    async def close(self) -> None:
        """Let what waits finish and give the store back. Calls after it raise `StateUnavailable`."""
        ...
