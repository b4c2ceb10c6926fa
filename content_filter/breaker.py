# SPDX-License-Identifier: Apache-2.0
"""Leaves a service alone that keeps failing (M. Nygard, "Release It!", circuit breaker).

What must hold: after `failures` in a row nothing is sent for `rest_s` seconds; then one call tries, and only its
success opens the way for all.
"""

from collections.abc import Callable
from enum import StrEnum


class Circuit(StrEnum):
    """Closed: calls flow. Open: none does. Half open: one tries."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Counts failures in a row. `clock` gives seconds that never go back. Not safe between threads."""

    __slots__ = ("_clock", "_count", "_failures", "_opened_at_s", "_rest_s", "_trial_since_s")

    def __init__(self, clock: Callable[[], float], *, failures: int = 5, rest_s: float = 30.0) -> None:
        if failures < 1 or rest_s <= 0:
            raise ValueError("a circuit breaker needs at least one failure and a rest above 0 s")
        self._clock = clock
        self._failures, self._rest_s = failures, rest_s
        self._count = 0
        self._opened_at_s: float | None = None
        self._trial_since_s: float | None = None

    @property
    def circuit(self) -> Circuit:
        """Where it stands now."""
        if self._opened_at_s is None:
            return Circuit.CLOSED
        rested = self._clock() - self._opened_at_s >= self._rest_s
        return Circuit.HALF_OPEN if rested else Circuit.OPEN

    def may_call(self) -> bool:
        """Whether to call now; in the half open state True for one caller, until that one has answered or vanished."""
        circuit = self.circuit
        if circuit is not Circuit.HALF_OPEN:
            return circuit is Circuit.CLOSED
        now = self._clock()
        if self._trial_since_s is not None and now - self._trial_since_s < self._rest_s:
            return False
        self._trial_since_s = now
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._count = 0
        self._opened_at_s = self._trial_since_s = None

    def failed(self) -> None:
        """A call was not answered."""
        self._count += 1
        self._trial_since_s = None
        if self._count >= self._failures:
            self._opened_at_s = self._clock()
