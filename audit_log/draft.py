# SPDX-License-Identifier: Apache-2.0
"""A bundle that is being made: its records and their proofs, in a folder beside the bundle's place.

Finding and proving records is what takes long in an export. What was found lies here, so that an interrupted export
goes on where it stopped. What must hold: a draft goes on only for the same request and the same checkpoint; what lies
behind the last kept state is cut off, so that a half-written line is never part of a bundle; only the account that
exports may read it.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from audit_log.errors import AuditError
from audit_log.tiles import MAX_LEAF_BYTES

_SCHEMA = "dutybound-draft/1"
_STATE = "state.json"
_RECORDS = "records.jsonl"
_PROOFS = "proofs"
_FRAME = 12


class DraftRefused(AuditError):
    """What lies there is no draft of this export; nothing was changed."""


@dataclass(slots=True)
class DraftState:
    """How far a draft is. ``asked`` is a digest of the request, ``head`` the checkpoint that all proofs lead to.

    ``after`` is the index from which on nothing was looked at yet; ``made_at`` seconds since the epoch.
    """

    asked: str
    head: str
    made_at: float
    after: int = 0
    records: int = 0
    first: int | None = None
    last: int | None = None
    records_bytes: int = 0
    proofs_bytes: int = 0


class Draft:
    """One unfinished export. Not for several threads, nor for several processes at once."""

    def __init__(self, folder: Path, state: DraftState) -> None:
        """For ``begin`` and ``resume``."""
        self.folder = folder
        self.state = state
        self._records: IO[bytes] = (folder / _RECORDS).open("r+b")
        self._proofs: IO[bytes] = (folder / _PROOFS).open("r+b")
        for file, size in ((self._records, state.records_bytes), (self._proofs, state.proofs_bytes)):
            file.truncate(size)
            file.seek(size)

    @classmethod
    def begin(cls, folder: Path, state: DraftState) -> "Draft":
        """A new draft; raises DraftRefused where something lies there already, OSError."""
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise DraftRefused(
                f"{folder.name} is an export that was cut short; go on with --resume, or delete that folder"
            ) from None
        (folder / _RECORDS).touch()
        (folder / _PROOFS).touch()
        return cls(folder, state)

    @classmethod
    def resume(cls, folder: Path, asked: str) -> "Draft | None":
        """A draft that was kept, None where there is none; raises DraftRefused for one of another request."""
        if not folder.exists():
            return None
        try:
            found = json.loads((folder / _STATE).read_bytes())
            if found.pop("schema") != _SCHEMA or found["asked"] != asked:
                raise DraftRefused(f"{folder.name} was begun for another export; delete it, or choose another name")
            state = DraftState(**found)
            for name, size in ((_RECORDS, state.records_bytes), (_PROOFS, state.proofs_bytes)):
                if (folder / name).stat().st_size < size:
                    raise DraftRefused(f"{folder.name} is damaged; delete it and begin anew")
        except FileNotFoundError:
            shutil.rmtree(folder)  # cut short before anything was kept
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DraftRefused(f"{folder.name} cannot be read; delete it and begin anew") from None
        return cls(folder, state)

    def add(self, index: int, leaf: bytes, proof: bytes) -> None:
        """The next record."""
        state = self.state
        self._records.write(leaf + b"\n")
        self._proofs.write(index.to_bytes(8, "big") + len(proof).to_bytes(4, "big") + proof)
        state.records += 1
        state.records_bytes += len(leaf) + 1
        state.proofs_bytes += _FRAME + len(proof)
        state.first = index if state.first is None else state.first
        state.last = index

    def keep(self, after: int) -> None:
        """Make what was added durable: a later ``resume`` goes on with index ``after``."""
        self.state.after = after
        self.flush()
        for file in (self._records, self._proofs):
            os.fsync(file.fileno())
        fresh = self.folder / f"{_STATE}.new"
        with fresh.open("wb") as state:
            state.write(json.dumps({"schema": _SCHEMA, **asdict(self.state)}).encode())
            state.flush()
            os.fsync(state.fileno())
        fresh.replace(self.folder / _STATE)

    def flush(self) -> None:
        """Let ``items`` and ``records`` see what was added."""
        self._records.flush()
        self._proofs.flush()

    def items(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Index, leaf and proof of all records, in order."""
        with (self.folder / _RECORDS).open("rb") as records, (self.folder / _PROOFS).open("rb") as proofs:
            while head := proofs.read(_FRAME):
                proof = proofs.read(int.from_bytes(head[8:], "big"))
                leaf = records.readline(MAX_LEAF_BYTES + 2).removesuffix(b"\n")
                yield int.from_bytes(head[:8], "big"), leaf, proof

    def records(self) -> IO[bytes]:
        """The file of leaves, one a line, to be read."""
        return (self.folder / _RECORDS).open("rb")

    def close(self) -> None:
        """Leave it for another time."""
        self._records.close()
        self._proofs.close()

    def discard(self) -> None:
        """Delete it."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
