# SPDX-License-Identifier: Apache-2.0
"""Known pictures by perceptual hash: an authority's or an industry body's list, or one of the operator's own.

Two hashes of 64 bits: the difference hash (signs of the brightness steps in 9 by 8 pixels) and the DCT hash (signs of
the lowest 64 cosine terms of 32 by 32 pixels against their median). Scaling, recompression and small edits change a few
bits; a list is met within a Hamming radius. Mirrored and turned copies have hashes of their own: list them too.

A file has a line for each picture: `dhash:` or `phash:` and 16 hex digits, a class, and optionally a name of letters,
digits, `.`, `_` and `-` that records may show. `python -m content_filter.picture_hashes FILE...` prints such lines.

What must hold: the lists hold no pictures and give none back; a picture without any structure (one colour) is not
looked up, because all of them have the same hash.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from content_filter.errors import FilterError
from content_filter.filter import Outcome, Verdict
from content_filter.pictures import frames
from content_filter.roles import Role
from content_filter.taxonomy import CLASSES

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 32
_LOW = 8
_BITS = 64
_FULL_BP = 10_000
_FLAT = 2.0  # standard deviation of brightness, of 255, below which a picture has no structure
_NAME = re.compile(r"[0-9A-Za-z._-]{1,40}")


class Hash(StrEnum):
    """Which hash a line is of."""

    DHASH = "dhash"
    PHASH = "phash"


def _cosines() -> NDArray[np.float64]:
    place = (2 * np.arange(_SIDE) + 1) * np.pi / (2 * _SIDE)
    return np.cos(np.arange(_LOW)[:, None] * place[None, :])


_COSINES = _cosines()


def hashes(picture: Image) -> dict[Hash, int] | None:
    """Both hashes of a picture; None where it has no structure."""
    grey = picture.convert("L")
    small = np.asarray(grey.resize((_SIDE, _SIDE), 3), np.float64)  # 3: bicubic, by area where it shrinks
    if small.std() < _FLAT:
        return None
    terms = (_COSINES @ small @ _COSINES.T).ravel()
    steps = np.asarray(grey.resize((_LOW + 1, _LOW), 3), np.int16)
    return {
        Hash.DHASH: _number((steps[:, 1:] > steps[:, :-1]).ravel()),
        Hash.PHASH: _number(terms > np.median(terms[1:])),
    }


def _number(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """One line of a list."""

    kind: Hash
    value: int
    class_code: str
    name: str = ""

    @property
    def rule(self) -> str:
        """Names the entry in verdicts: by its name, else by the digest of its hash, never by the hash itself."""
        return "picture:" + (self.name or hashlib.sha256(f"{self.value:016x}".encode()).hexdigest()[:8])


def load_known(paths: Iterable[str | Path]) -> list[KnownPicture]:
    """Reads lists. Raises `FilterError` with file and line of the first bad one."""
    found = []
    for path in map(Path, paths):
        try:
            lines = path.read_text("utf-8").splitlines()
        except OSError as error:
            raise FilterError(f"{path}: the list cannot be read ({error.strerror or 'unknown error'})") from error
        except UnicodeDecodeError:
            raise FilterError(f"{path}: not UTF-8") from None
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("#"):
                try:
                    found.append(_known(line.split()))
                except (ValueError, FilterError) as error:
                    reason = str(error) if isinstance(error, FilterError) else "expected dhash: or phash: and 16 hex"
                    raise FilterError(f"{path}: line {number}: {reason}") from None
    return found


def _known(words: Sequence[str]) -> KnownPicture:
    if not 2 <= len(words) <= 3:
        raise FilterError("expected a hash, a class and perhaps a name")
    kind, _, digits = words[0].partition(":")
    if words[1] not in CLASSES:
        raise FilterError("unknown class code; expected one of the 31 classes, A1a to A5b, or INJ")
    name = words[2] if len(words) == 3 else ""
    if name and not _NAME.fullmatch(name):
        raise FilterError("a name has at most 40 letters, digits, . _ and -")
    if len(digits) != _BITS // 4:
        raise ValueError
    return KnownPicture(Hash(kind), int(digits, 16), words[1], name)


class KnownPictures:
    """Looks pictures up in lists. Immutable; some 10 bytes and nanoseconds an entry."""

    name = "known_pictures"

    def __init__(self, known: Iterable[KnownPicture], radius: int = 6) -> None:
        """`radius` is how many of the 64 bits may differ. Raises `FilterError` for one above 16."""
        if not 0 <= radius <= _BITS // 4:
            raise FilterError("the radius of a list of pictures is 0 to 16 of 64 bits")
        self._radius = radius
        listed = tuple(known)
        self._entries = {kind: tuple(entry for entry in listed if entry.kind is kind) for kind in Hash}
        self._values = {
            kind: np.array([entry.value for entry in entries], np.uint64) for kind, entries in self._entries.items()
        }
        lines = sorted(f"{entry.kind}:{entry.value:016x} {entry.class_code}" for entries in self._entries.values()
                       for entry in entries)  # fmt: skip
        self.digest = hashlib.sha256("\n".join((str(radius), *lines)).encode()).hexdigest()

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def judge(self, picture: Image, role: Role) -> Verdict:
        """Blocks what is within the radius of an entry; the score falls with the distance."""
        own = hashes(picture)
        nearest: tuple[int, KnownPicture] | None = None
        for kind, values in self._values.items():
            if own is None or not len(values):
                continue
            distances = np.bitwise_count(values ^ np.uint64(own[kind]))
            place = int(distances.argmin())
            distance = int(distances[place])
            if distance <= self._radius and (nearest is None or distance < nearest[0]):
                nearest = distance, self._entries[kind][place]
        if nearest is None:
            return Verdict(Outcome.PASS, role)
        distance, entry = nearest
        return Verdict(Outcome.BLOCK, role, entry.class_code, entry.rule, 0, 0, _FULL_BP - distance * _FULL_BP // _BITS)


def main(arguments: Sequence[str]) -> int:
    """Prints a line with class A1f for each hash of each file; edit the class to what it is."""
    for name in arguments:
        try:
            data = Path(name).read_bytes()
            first = next(iter(frames(data, 1 << 28)))
        except (OSError, FilterError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        for kind, value in (hashes(first) or {}).items():
            print(f"{kind}:{value:016x}\tA1f")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
