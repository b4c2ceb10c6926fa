# SPDX-License-Identifier: Apache-2.0
"""A sample of the log that an auditor draws and the operator cannot choose (Model AI Law article 46: audits at least
every two years).

The auditor gives a seed after having seen a checkpoint; both decide which records are in the sample. What must hold:
the same seed, root and range always give the same records, in any program that follows these lines; nobody who does
not know the seed can tell which records will be drawn.

The ``k``-th draw, ``k`` from 0, is SHA-256 over ``dutybound.sample/v1``, a newline, the seed in UTF-8, a newline, the
root (32 bytes) and ``k`` (8 bytes, big-endian); its first 16 bytes as a big-endian number, modulo the size of the
range, are added to the first index. Draws that repeat an earlier one are left out, until there are enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from audit_log.errors import VerificationError

MOST_SAMPLED = 100_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What to draw: ``count`` of the records from ``begin`` up to ``end`` (excluded), all where there are fewer."""

    seed: str
    count: int
    begin: int
    end: int

    def indices(self, root: bytes) -> list[int]:
        """The indices drawn from the tree with this root, in order. Raises VerificationError for an impossible one."""
        width = self.end - self.begin
        is_seed = bool(self.seed) and self.seed.isprintable()
        if not 0 < self.count <= MOST_SAMPLED or self.begin < 0 or width < 1 or not is_seed:
            raise VerificationError(f"a sample has a printable seed, 1 to {MOST_SAMPLED:,} records, and a range")
        if width <= self.count:
            return [*range(self.begin, self.end)]
        head = b"dutybound.sample/v1\n" + self.seed.encode() + b"\n" + root
        drawn: set[int] = set()
        draw = 0
        while len(drawn) < self.count:
            number = int.from_bytes(sha256(head + draw.to_bytes(8, "big")).digest()[:16], "big")
            drawn.add(self.begin + number % width)
            draw += 1
        return sorted(drawn)

    def as_json(self) -> dict[str, str]:
        """As a manifest states it; numbers are text there."""
        return {"seed": self.seed, "count": str(self.count), "from": str(self.begin), "to": str(self.end)}


def _is_number(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19


def read_sample(stated: object) -> Sample:
    """The sample that a manifest states; raises VerificationError."""
    if isinstance(stated, Mapping):
        seed = stated.get("seed")
        numbers = [stated.get(name) for name in ("count", "from", "to")]
        if isinstance(seed, str) and all(_is_number(one) for one in numbers):
            return Sample(seed, *(int(str(one)) for one in numbers))
    raise VerificationError("MANIFEST.json does not say which sample was drawn")
