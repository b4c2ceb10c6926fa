# SPDX-License-Identifier: Apache-2.0
"""Reminders after each full period of continuous use, told once over all devices and replicas.

The minors' mode guide (a break) and the Anthropomorphic Measures article 18, SB 243 and GBL article 47 (that it is an
AI). What must hold: a period is told on whichever device asks first, never twice; a process asks the shared counter
once a period, so that nobody pays for what was told already.
"""

from __future__ import annotations

from collections import OrderedDict

from gateway.state.interfaces import State, Usage

MAX_REMEMBERED = 10_000
"""People of whom one process remembers what was told; of others the shared counter is asked again."""


class Reminders:
    """The reminders of one kind."""

    def __init__(self, state: State, kind: str, idle_gap_s: float) -> None:
        """`kind` keeps several kinds apart; `idle_gap_s` is the pause that ends a stretch of use."""
        self._state = state
        self._kind = kind
        self._idle_gap_s = idle_gap_s
        self._told: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def due(self, subject: str, usage: Usage, period_s: float) -> int:
        """How many full periods have passed where a reminder is due now, and is then taken as told; else 0.

        Raises `StateUnavailable`.
        """
        periods = int(usage.continuous_seconds // period_s)
        if periods == 0:
            return 0
        stretch = (usage.run_started_at, periods)
        if self._told.get(subject) == stretch:
            return 0
        key = f"{self._kind}:{subject}:{round(usage.run_started_at * 1000)}:{periods}"
        times = await self._state.add(key, 1, 2 * period_s + self._idle_gap_s)
        self._told[subject] = stretch
        self._told.move_to_end(subject)
        if len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)
        return periods if times == 1 else 0
