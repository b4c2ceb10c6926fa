# SPDX-License-Identifier: Apache-2.0
"""The rules that tie one writer's records together, so that a record lost before it reached the log leaves a gap.

What must hold: each writer's numbers run from 0 without a gap, its boot record is number 0, and nothing follows its
shutdown record. Where the beginning of a log was pruned, the numbers go on from those that the prune record states.
"""

import json
import re
from collections.abc import Callable, Mapping

_TAIL = re.compile(rb',"writer":"([^"\\\x00-\x1f]+)","wseq":"(0|[1-9][0-9]{0,18})"\}\Z')
_WRITER = b',"writer":"'


def writer_of(leaf: bytes) -> tuple[bytes, int] | None:
    """Writer and number that a leaf ends in; None where it does not end in them."""
    match = _TAIL.match(leaf, leaf.rfind(_WRITER))
    return None if match is None else (match[1], int(match[2]))


class WriterChain:
    """Takes the leaves of a log in order; ``report`` gets every breach as (text, index)."""

    def __init__(
        self, report: Callable[[str, int], None], start: Mapping[str, int] | None = None, *, partial: bool = False
    ) -> None:
        """``start``: next number of the writers that wrote before the first leaf.

        ``partial``: other writers may have begun before it too, so their first number is taken as it is.
        """
        self._report = report
        self.is_partial = partial
        self.next: dict[bytes, int] = {name.encode(): number for name, number in (start or {}).items()}
        self.ended: set[bytes] = set()

    def add(self, index: int, leaf: bytes) -> None:
        """Check the next leaf."""
        found = writer_of(leaf)
        if found is None:
            self._report(f"leaf {index} does not end in a writer and its number", index)
            return
        writer, number = found
        expected = self.next.get(writer, number if self.is_partial else 0)
        if number != expected:
            name = writer.decode("ascii", "replace")
            self._report(f"leaf {index}: writer {name} has number {number}; expected {expected}", index)
        if number == 0 and type_of(leaf) != "boot":
            self._report(f"leaf {index}: a writer's first record is not its boot record", index)
        if writer in self.ended:
            self._report(f"leaf {index}: its writer ended before it", index)
        if b'"type":"shutdown"' in leaf and type_of(leaf) == "shutdown":
            self.ended.add(writer)
        self.next[writer] = number + 1


def type_of(leaf: bytes) -> object:
    """The ``type`` of a leaf; None where it has none."""
    try:
        record = json.loads(leaf)
    except (ValueError, RecursionError):
        return None
    return record.get("type") if isinstance(record, dict) else None
