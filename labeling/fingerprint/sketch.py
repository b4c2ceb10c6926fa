# SPDX-License-Identifier: Apache-2.0
"""A fingerprint: a short signature of what a work looks, sounds or reads like, of which nothing can be made again.

Two signatures are compared for likeness; to find like ones among many, each has :meth:`Print.bands`, small numbers of
which like signatures share at least one with high probability (locality-sensitive hashing). Texts and sounds become a
set of small features first, and the set a MinHash signature (Broder 1997), whose likeness estimates the share of
features in common.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from labeling.errors import LabelError

Kind = Literal["image", "audio", "text"]

IMAGE_BYTES: Final = 32
SET_BYTES: Final = 128
"""64 values of 16 bits."""
_VALUES: Final = SET_BYTES // 2
_ROWS: Final[dict[str, int]] = {"text": 4, "audio": 2}
"""Values to a band: more find only what is very like."""
LEAST_LIKENESS: Final[dict[str, float]] = {"image": 0.80, "audio": 0.38, "text": 0.50}
"""From here on two signatures are of one work, most likely; see docs/labels.md for how often that is wrong."""
_KINDS: Final = ("image", "audio", "text")

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_NOTHING: Final = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Print:
    """The fingerprint of one work. Raises :class:`LabelError` for a signature of another length."""

    kind: Kind
    signature: bytes

    def __post_init__(self) -> None:
        if self.kind not in _KINDS or len(self.signature) != (IMAGE_BYTES if self.kind == "image" else SET_BYTES):
            raise LabelError("this is no fingerprint: its kind or its length is not one of ours")

    def bands(self) -> tuple[int, ...]:
        """Numbers below 2**48, of which like fingerprints of one kind share at least one, most likely."""
        kind = _KINDS.index(self.kind)
        size = 2 if self.kind == "image" else 2 * _ROWS[self.kind]
        parts = [self.signature[start : start + size] for start in range(0, len(self.signature), size)]
        return tuple(kind << 44 | number << 32 | zlib.crc32(part) for number, part in enumerate(parts))

    def likeness(self, other: Print) -> float:
        """0 to 1; 0 for another kind. Pictures: equal bits, so that strangers are near one half."""
        if self.kind != other.kind:
            return 0.0
        if self.kind == "image":
            differing = int.from_bytes(self.signature) ^ int.from_bytes(other.signature)
            return 1.0 - differing.bit_count() / (8 * IMAGE_BYTES)
        own, others = (np.frombuffer(each.signature, "<u2") for each in (self, other))
        return float(np.mean(own == others))

    def is_like(self, other: Print) -> bool:
        """Whether both are of one work, most likely."""
        return self.likeness(other) >= LEAST_LIKENESS[self.kind]


def of_set(features: NDArray[np.uint64]) -> bytes:
    """The MinHash signature of a set of at least one feature; an order or a repetition does not matter.

    Each feature falls into one of 64 bins, and each bin keeps its least value (one permutation hashing, Li, Owen and
    Zhang 2012); a bin that got nothing takes the next one's, moved by the distance (Shrivastava and Li 2014).
    """
    mixed = (features ^ (features >> np.uint64(32))) * _MIX
    mixed ^= mixed >> np.uint64(29)
    least = np.full(_VALUES, _NOTHING)
    np.minimum.at(least, (mixed % np.uint64(_VALUES)).astype(np.intp), mixed // np.uint64(_VALUES))
    full = np.flatnonzero(least != _NOTHING)
    if len(full) < _VALUES:
        places = np.arange(_VALUES)
        after = np.searchsorted(full, places)  # the next full bin, around the end
        source = full[after % len(full)]
        least = least[source] + ((source - places) % _VALUES).astype(np.uint64) * _MIX
    return (least % np.uint64(65_521)).astype("<u2").tobytes()
