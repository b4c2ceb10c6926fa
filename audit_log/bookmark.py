# SPDX-License-Identifier: Apache-2.0
"""How far a long check of a log came, so that it can be stopped and go on later. Standard library only.

A bookmark is set at whole segments of 65,536 leaves: what the tree, the writers and the report were there. What must
hold: it is believed only for the same log, the same keys and the same minimum, and only where the tree that it states
is the one that the log's tiles lead to; anything else begins anew. What lies before it is not read again.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from audit_log.errors import VerificationError
from audit_log.note import Verifier

_FORM = "dutybound.bookmark/v1"


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A place in the log. ``levels`` are the tree's partial tiles there; ``next``, ``ended`` and ``is_partial`` are the
    writers' (`chain`)."""

    size: int
    levels: Sequence[Sequence[bytes]]
    next: Mapping[bytes, int]
    ended: frozenset[bytes]
    is_partial: bool
    first_bad_index: int | None
    problems: tuple[str, ...]
    problems_left_out: int


class BookmarkFile:
    """One file that holds the bookmark of one log."""

    def __init__(self, path: Path, verifiers: Sequence[Verifier], minimum: int) -> None:
        self._path = path
        about = "\n".join([_FORM, *(verifier.vkey for verifier in verifiers), str(minimum)])
        self._log = sha256(about.encode()).hexdigest()

    def read(self) -> Bookmark | None:
        """The bookmark; None where there is none for this log. Raises VerificationError for a file of another form."""
        try:
            said = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise VerificationError("the file to resume from cannot be read; delete it and begin anew") from None
        try:
            if said["log"] != self._log:
                return None
            return Bookmark(
                int(said["size"]),
                [[bytes.fromhex(hash_) for hash_ in row] for row in said["levels"]],
                {bytes.fromhex(name): int(number) for name, number in said["next"].items()},
                frozenset(map(bytes.fromhex, said["ended"])),
                bool(said["is_partial"]),
                None if said["first_bad_index"] is None else int(said["first_bad_index"]),
                tuple(map(str, said["problems"])),
                int(said["problems_left_out"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise VerificationError("the file to resume from is no bookmark; delete it and begin anew") from None

    def write(self, bookmark: Bookmark) -> None:
        """Replace the bookmark. Raises OSError."""
        said = {
            "log": self._log,
            "size": bookmark.size,
            "levels": [[hash_.hex() for hash_ in row] for row in bookmark.levels],
            "next": {name.hex(): number for name, number in bookmark.next.items()},
            "ended": sorted(name.hex() for name in bookmark.ended),
            "is_partial": bookmark.is_partial,
            "first_bad_index": bookmark.first_bad_index,
            "problems": list(bookmark.problems),
            "problems_left_out": bookmark.problems_left_out,
        }
        unfinished = self._path.with_name(f"{self._path.name}.new")
        unfinished.write_text(json.dumps(said))
        os.replace(unfinished, self._path)

    def clear(self) -> None:
        """The check came to its end."""
        self._path.unlink(missing_ok=True)
