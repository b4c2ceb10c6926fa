# SPDX-License-Identifier: Apache-2.0
"""Random bytes for names, drawn from the system in larger portions.

A system call for each record hands the interpreter lock to the log's writer thread and back, which under load costs
more than the rest of making a name. For names only: keys are drawn from the system one by one.
"""

from __future__ import annotations

import os

_PORTION_BYTES = 4_096


class Entropy:
    """Gives random bytes, each only once. For one thread; a forked child begins with a portion of its own."""

    __slots__ = ("_at", "_portion")

    def __init__(self) -> None:
        self._portion = b""
        self._at = 0
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self, count: int) -> bytes:
        """`count` random bytes."""
        end = self._at + count
        if end > len(self._portion):
            self._portion = os.urandom(max(_PORTION_BYTES, count))
            self._at, end = 0, count
        taken = self._portion[self._at : end]
        self._at = end
        return taken

    def _forget(self) -> None:
        self._portion = b""
        self._at = 0
