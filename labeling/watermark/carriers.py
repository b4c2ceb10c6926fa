# SPDX-License-Identifier: Apache-2.0
"""The waves that carry a watermark: which ones, and at which phase, drawn from a secret key.

A watermark is a sum of plane waves over the whole image. Their frequencies are whole numbers of cycles across the
image's width and height, so that resizing, also to another aspect, leaves them where they are; cropping and turning
move all of them by one matrix, which :mod:`labeling.watermark.registration` finds. Some are pilots, whose phase is
known and tells the place; the others carry two bits each. Without the key nobody knows which waves to look at.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from labeling.errors import LabelError
from labeling.watermark.code import CODED_BITS

KEY_BYTES: Final = 32
LEAST_CYCLES: Final = 24
"""Slower waves drown in what images show."""
MOST_CYCLES: Final = 112
"""Faster ones do not survive a reduction to 256 pixels."""
PILOTS: Final = 128
DATA: Final = CODED_BITS // 2
_APART: Final = 4
"""Distance between two waves in cycles: a crop blurs each by about one."""
_OFF_AXIS: Final = 6
"""Upright and level edges fill the axes of the spectrum."""


@dataclass(frozen=True, slots=True, eq=False)
class Carriers:
    """``cycles`` is (PILOTS + DATA, 2): cycles across the width and down the height, pilots first. ``phases`` is each
    one's reference phase as a complex number of magnitude 1."""

    cycles: NDArray[np.int32]
    phases: NDArray[np.complex64]


@lru_cache(maxsize=4)
def carriers_of(key: bytes) -> Carriers:
    """The waves of a key of ``KEY_BYTES``. Raises :class:`LabelError` for any other length."""
    if len(key) != KEY_BYTES:
        raise LabelError(f"a watermark key has {KEY_BYTES} bytes; make one with a secure random source")
    stream = np.frombuffer(hashlib.shake_256(b"dutybound watermark waves 1\0" + key).digest(1 << 16), np.uint16)
    span = 2 * MOST_CYCLES + 1
    found: list[tuple[int, int]] = []
    for first, second in stream.reshape(-1, 2).tolist():
        x, y = first % span - MOST_CYCLES, second % (MOST_CYCLES + 1)
        if min(abs(x), y) < _OFF_AXIS or not LEAST_CYCLES**2 <= x * x + y * y <= MOST_CYCLES**2:
            continue
        if all((x - u) ** 2 + (y - v) ** 2 >= _APART**2 for u, v in found):
            found.append((x, y))
            if len(found) == PILOTS + DATA:
                break
    turns = np.frombuffer(
        hashlib.shake_256(b"dutybound watermark phases 1\0" + key).digest(2 * len(found)), np.uint16
    ).astype(np.float64)
    phases = np.exp(2j * np.pi * turns / 65_536).astype(np.complex64)
    return Carriers(np.array(found, np.int32), phases)


def wanted_of(waves: Carriers, signs: NDArray[np.float32]) -> NDArray[np.complex64]:
    """The phase that each wave must have, as complex numbers of magnitude 1."""
    pairs = signs.reshape(DATA, 2)
    values = np.ones(PILOTS + DATA, np.complex64)
    values[PILOTS:] = (pairs[:, 0] + 1j * pairs[:, 1]) / np.sqrt(2.0)
    wanted: NDArray[np.complex64] = values * waves.phases
    return wanted
