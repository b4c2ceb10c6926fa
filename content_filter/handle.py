# SPDX-License-Identifier: Apache-2.0
"""The filter in force, replaced while the service runs.

What must hold: a reader gets one whole filter, the old or the new; an exchange that took the old one keeps it to its
end, so that one answer is judged by one filter; terms that cannot be loaded leave the old filter in force.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from content_filter.filter import ContentFilter
from content_filter.terms import TermSet


@dataclass(frozen=True, slots=True)
class Activation:
    """A filter came into force in place of another: what the record of the change needs."""

    before: str
    """Digest of the filter that was in force."""
    after: str
    """Digest of the filter that is in force now."""

    @property
    def is_change(self) -> bool:
        """False when the new filter is the old one in content."""
        return self.before != self.after


class FilterHandle:
    """Holds the filter in force. Safe to read from any thread without waiting."""

    __slots__ = ("_current", "_writing")

    def __init__(self, current: ContentFilter) -> None:
        self._current = current
        self._writing = threading.Lock()  # two swaps at once: each `Activation` must name its true predecessor

    @property
    def current(self) -> ContentFilter:
        """The filter in force; take it once for an exchange."""
        return self._current

    def swap(self, new: ContentFilter) -> Activation:
        """Puts a filter in force for all that ask from now on."""
        with self._writing:
            before, self._current = self._current, new
        return Activation(before.digest, new.digest)

    def reload(self, paths: Iterable[str | Path]) -> Activation:
        """Reads term files anew, keeps the rest, and swaps. Raises `FilterError` and changes nothing on a bad file.

        Reading and compiling may take a second for large sets: call it from a thread, not from an event loop.
        """
        return self.swap(ContentFilter(TermSet.load(paths), self._current.classes, self._current.beside))
