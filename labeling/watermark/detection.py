# SPDX-License-Identifier: Apache-2.0
"""Finds a mark in an image and reads its payload, also after crops, turns and resizing.

A mark is believed only where three things hold at once: the pilots agree, the check sum is right, and the code word
fits what was read. :data:`LEAST_FIT` is set so that unmarked images do not pass; ``bench/watermark.py`` counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from labeling.watermark import code
from labeling.watermark.carriers import PILOTS, Carriers, carriers_of, wanted_of
from labeling.watermark.registration import Placement, Registration, window
from labeling.watermark.spectrum import activity, band_of, canonical, flattened, whole_waves

LEAST_FIT: Final = 0.36
LEAST_EVIDENCE: Final = 0.2
_LEAST_AGREED: Final = 0.45
_LEAST_BAND: Final = 0.1
_TRIED: Final = 6
_LEAST_SIDE: Final = 64


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that was found. ``fit`` is the correlation of what was read with the payload's code word, 0 to 1;
    ``evidence`` that of the pilots. ``was_moved`` says that the image was cropped, turned or framed since."""

    payload: bytes
    fit: float
    evidence: float
    was_moved: bool


def find_mark(image: Image.Image, key: bytes, *, thorough: bool = True) -> Mark | None:
    """The mark under ``key`` (32 bytes) in an image, or None.

    ``thorough`` also looks for marks in images that were cropped, turned or framed; it takes some tenths of a second.
    """
    if min(image.size) < _LEAST_SIDE:
        return None
    band = band_of(canonical(image))
    if float(np.abs(band).max()) < _LEAST_BAND:
        return None  # one colour all over
    waves = carriers_of(key)
    registration = Registration(flattened(band, activity(band)), waves, image.width / image.height)
    found = _read(registration.as_it_is(), waves, was_moved=False)
    if found is not None or not thorough:
        return found
    for placement in registration.placements(_TRIED):
        found = _read(placement, waves, was_moved=True)
        if found is not None:
            return found
    return None


def holds_mark(image: Image.Image, payload: bytes, key: bytes) -> bool:
    """Whether an image that was not moved holds this payload, with some strength to spare for what is still to come.

    Faster than :func:`find_mark`: it looks only where the mark must be and decodes nothing.
    """
    waves = carriers_of(key)
    band = band_of(canonical(image))
    read = whole_waves(flattened(band, activity(band)) * window(), waves.cycles)
    wanted = read * np.conj(wanted_of(waves, code.encode(payload)))
    # Slow waves are stronger in every image; as they are here they would decide alone.
    cycles = np.hypot(waves.cycles[:, 0], waves.cycles[:, 1])
    wanted = wanted * cycles / np.maximum(np.abs(wanted) * cycles, max(float(np.median(np.abs(wanted) * cycles)), 1e-9))
    return float(np.real(wanted).mean()) >= _LEAST_AGREED


def _read(placement: Placement, waves: Carriers, *, was_moved: bool) -> Mark | None:
    if placement.evidence < LEAST_EVIDENCE:
        return None
    data = placement.waves[PILOTS:] * np.conj(waves.phases[PILOTS:])
    soft = np.stack([data.real, data.imag], axis=1).reshape(-1).astype(np.float32)
    limit = np.float32(2.5 * float(np.median(np.abs(soft))))
    soft = np.clip(soft, -limit, limit)
    payload = code.decode(soft)
    if payload is None:
        return None
    fit = float(code.encode(payload) @ soft) / float(np.sqrt(len(soft) * np.square(soft).sum()) or 1.0)
    return Mark(payload, fit, placement.evidence, was_moved) if fit >= LEAST_FIT else None
