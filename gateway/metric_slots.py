# SPDX-License-Identifier: Apache-2.0
"""Numbers that one process counts and another process reads: one file a worker, one eight-byte slot a series.

A worker counts by adding to a slot of its own mapped file, which costs what adding to a list costs. Whoever answers a
scrape reads the files of all workers and sums them. No lock, no message and no server stands between the two.

What must hold:

* A file belongs to one live process, which holds an exclusive `flock` on it. The lock dies with the process, whatever
  ends it, so a reader can tell the living from the dead without trusting process numbers.
* What a dead worker counted stays counted: its file is left in place, and the next worker takes it over and goes on
  in it. The number of files therefore follows the number of workers that live at once, not that of restarts.
* What a dead worker had open (a gauge) counts no more: readers skip it, and the taker-over starts it at zero.

A series is written down before its slot is used: one line of JSON in the `.keys` file. A line that a crash cut short
is cut off by the next owner, and is no series for a reader.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

SLOTS: Final = 8_192
"""Series a worker can count. The labels are closed sets of ours; the bound only stops a mistake from eating memory."""

OVERFLOW: Final = 0
"""The slot that takes what finds no room, so that a full file is seen and not silent."""

_BYTES: Final = SLOTS * 8
_GAUGE: Final = "g"
_TOTAL: Final = "t"

Key = tuple[str, ...]
"""A series: the family's name, what the slot holds (`""`, `sum` or a bucket's number), then the label values."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one worker's file said. `is_alive` tells whether its owner still runs."""

    is_alive: bool
    totals: dict[Key, float]
    gauges: dict[Key, float]


class Slots:
    """This process's numbers. `values[slot(key)] += 1` is the whole cost of counting.

    Without a directory the numbers live in memory and only this process can read them. To be made in the worker
    itself, after any fork: a lock that two processes share says nothing.

    Adding to a slot from several threads is exact on CPython with its global lock: between the reading and the
    writing of one `+=` on a memoryview there is no call and no jump, and only there can the interpreter switch.
    """

    __slots__ = ("_keys_fd", "_kinds", "_lock", "_map", "_order", "_values_fd", "index", "path", "values")

    def __init__(self, directory: Path | None = None, *, layout: str = "1") -> None:
        """Open a free file below `directory`, or memory. `layout` names the shape of the numbers, such as the buckets:
        files of another layout are neither read nor taken over. Raises `OSError` where the files cannot be made."""
        self._lock = threading.Lock()
        self._order: list[Key] = []
        self._kinds: list[str] = []
        self.index: dict[Key, int] = {}
        self._keys_fd = self._values_fd = -1
        self._map: mmap.mmap | None = None
        self.path: Path | None = None
        if directory is None:
            self.values: memoryview[float] = memoryview(array("d", bytes(_BYTES)))
        else:
            self._open_file(directory, layout)
        if not self._order:
            self._define(("", "overflow"), _TOTAL)

    def _open_file(self, directory: Path, layout: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = 0
        while True:
            path = directory / f"{layout}-{number}.values"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                number += 1
                continue
            if _is_same_file(descriptor, path):
                break
            os.close(descriptor)  # `clear` removed the file between our open and our lock: it would count unseen
        self.path = path
        self._values_fd = descriptor
        os.posix_fallocate(descriptor, 0, _BYTES)  # a hole in a full disk would be a SIGBUS in the middle of counting
        self._map = mmap.mmap(descriptor, _BYTES)
        self.values = memoryview(self._map).cast("d")
        self._keys_fd = os.open(path.with_suffix(".keys"), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._take_over()

    def _take_over(self) -> None:
        content = _read_all(self._keys_fd)
        complete = content[: content.rfind(b"\n") + 1]
        try:
            found = _parse_keys(complete)
        except ValueError:
            found, complete = [], b""  # damaged: better to count from zero than not to start
        if len(complete) != len(content):
            os.ftruncate(self._keys_fd, len(complete))
        for kind, key in found:
            if kind == _GAUGE:
                self.values[len(self._order)] = 0.0
            self._remember(key, kind)
        for slot in range(len(self._order), SLOTS):
            self.values[slot] = 0.0

    def _remember(self, key: Key, kind: str) -> int:
        slot = len(self._order)
        self._order.append(key)
        self._kinds.append(kind)
        self.index[key] = slot
        return slot

    def _define(self, key: Key, kind: str) -> int:
        if self._keys_fd >= 0 and not _append_line(self._keys_fd, orjson.dumps([kind, *key]) + b"\n"):
            return OVERFLOW  # a full disk costs a series and never an answer
        return self._remember(key, kind)

    def slot(self, key: Key, *, is_gauge: bool = False) -> int:
        """The slot of a series, made on first use; `OVERFLOW` where there is no room for another."""
        found = self.index.get(key)
        if found is not None:
            return found
        with self._lock:
            found = self.index.get(key)
            if found is not None:
                return found
            if len(self._order) >= SLOTS:
                return OVERFLOW
            return self._define(key, _GAUGE if is_gauge else _TOTAL)

    def reading(self) -> Reading:
        """This process's own numbers."""
        totals: dict[Key, float] = {}
        gauges: dict[Key, float] = {}
        for slot, (key, kind) in enumerate(zip(list(self._order), list(self._kinds), strict=False)):
            (gauges if kind == _GAUGE else totals)[key] = self.values[slot]
        return Reading(True, totals, gauges)

    def close(self) -> None:
        """Let go of the file. What was counted stays in it."""
        self.values.release()
        if self._map is not None:
            self._map.close()
            self._map = None
        for descriptor in (self._keys_fd, self._values_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._keys_fd = self._values_fd = -1


def read_all(directory: Path, *, layout: str = "1") -> Iterator[Reading]:
    """The numbers of every worker that counts, or counted, below `directory`."""
    for path in sorted(directory.glob(f"{layout}-*.values")):
        with contextlib.suppress(FileNotFoundError):  # cleared while we look: then it is no more
            yield _read_file(path)


def _read_file(path: Path) -> Reading:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        is_alive = _is_locked(descriptor)
        # Keys first: a series that appears in between has no key yet and is read at the next scrape.
        keys = path.with_suffix(".keys").read_bytes()
        numbers = array("d", _read_all(descriptor)[:_BYTES].ljust(_BYTES, b"\0"))
    finally:
        os.close(descriptor)
    totals: dict[Key, float] = {}
    gauges: dict[Key, float] = {}
    try:
        found = _parse_keys(keys[: keys.rfind(b"\n") + 1])
    except ValueError:
        found = []
    for slot, (kind, key) in enumerate(found):
        if kind != _GAUGE:
            totals[key] = numbers[slot]
        elif is_alive:
            gauges[key] = numbers[slot]
    return Reading(is_alive, totals, gauges)


def clear(directory: Path) -> None:
    """Remove the files that no live process owns, so that a new start counts from zero. Missing folders are fine."""
    for path in sorted(directory.glob("*.values")):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.with_suffix(".keys").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _read_all(descriptor: int) -> bytes:
    pieces = []
    offset = 0
    while piece := os.pread(descriptor, 65_536, offset):
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)


def _append_line(descriptor: int, line: bytes) -> bool:
    """Append a line as a whole or not at all; whether it was appended."""
    length = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) == len(line):
            return True
    except OSError:
        pass
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, length)
    return False


def _parse_keys(content: bytes) -> list[tuple[str, Key]]:
    """The series of a `.keys` file, in the order of their slots. Raises `ValueError` for a damaged one."""
    found: list[tuple[str, Key]] = []
    for line in content.splitlines():
        parts = orjson.loads(line)
        if not isinstance(parts, list) or len(parts) < 2 or not all(isinstance(part, str) for part in parts):
            raise ValueError("not a series")
        if parts[0] not in (_GAUGE, _TOTAL):
            raise ValueError("neither a gauge nor a total")
        found.append((parts[0], tuple(parts[1:])))
    if len(found) > SLOTS:
        raise ValueError("more series than slots")
    return found
