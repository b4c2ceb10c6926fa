# SPDX-License-Identifier: Apache-2.0
"""Puts an invisible mark into an image: many faint waves, stronger where the image is busy.

The mark is made on a square of :data:`SIDE` pixels, whatever the image's size, and stretched over the image; only
brightness changes. Its strength follows the local activity, so that smooth skies stay smooth, and the whole is kept at
least :data:`LEAST_PSNR_DB` away from the original. What the image itself has at the frequencies of the mark is known
here, so waves on which the image already says the right thing get less strength than those that it speaks against.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from labeling.errors import UnsupportedFormat
from labeling.watermark import code
from labeling.watermark.carriers import Carriers, carriers_of, wanted_of
from labeling.watermark.spectrum import SIDE, activity, band_of, canonical, flattened, picture_of, whole_waves

LEAST_SIDE: Final = 256
"""Of the shorter side in pixels: below, the waves are finer than the pixels."""
MOST_ASPECT: Final = 4.0
LEAST_PSNR_DB: Final = 40.0
_TARGET_PSNR_DB: Final = 40.4
_FLOOR: Final = 1.2
_SLOPE: Final = 0.30
_CEILING: Final = 6.0
_MOST_BOOST: Final = 1.5
"""Even pictures get a stronger mark than their activity asks for, within the same distance."""
_STEP: Final = 8
"""The mark is stretched in eighths of a grey level."""
_CORRECTION: Final = 0.6
"""How much of what the image says against a wave is made up for; the rest of the strength is shared evenly."""


def is_markable(image: Image.Image) -> bool:
    """Whether the size and the kind of pixels carry a mark."""
    width, height = image.size
    shorter, longer = sorted((width, height))
    return shorter >= LEAST_SIDE and longer <= shorter * MOST_ASPECT and image.mode in _MODES


_MODES: Final = frozenset({"L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16"})


def why_not(image: Image.Image) -> str:
    """Why an image is not markable, for people."""
    if image.mode not in _MODES:
        return f"pixels of kind {image.mode} carry no watermark"
    return (
        f"too small: the shorter side has fewer than {LEAST_SIDE} pixels, or the longer one more than "
        f"{MOST_ASPECT:g} times as many"
    )


def mark_image(image: Image.Image, payload: bytes, key: bytes) -> Image.Image:
    """A copy of ``image`` with ``payload`` (6 bytes) in it, under ``key`` (32 bytes).

    Raises :class:`UnsupportedFormat` where the image is too small or its pixels of another kind,
    :class:`~labeling.errors.LabelError` for a wrong payload or key.
    """
    if not is_markable(image):
        raise UnsupportedFormat(f"the image is not marked, {why_not(image)}")
    signs = code.encode(payload)
    waves = carriers_of(key)
    grey = canonical(image)
    band = band_of(grey)
    busy = activity(band)
    mask = np.clip(_FLOOR + _SLOPE * busy, _FLOOR, _CEILING)
    wanted = wanted_of(waves, signs)
    amplitudes = _amplitudes(flattened(band, busy), mask / (busy + 1.0), waves, wanted)
    change = mask * picture_of(waves.cycles, wanted * amplitudes * np.float32((2.0 / len(wanted)) ** 0.5))
    power = float(np.mean(np.square(change)))
    most = 255.0**2 / 10 ** (_TARGET_PSNR_DB / 10)
    change *= min(_MOST_BOOST, (most / max(power, 1e-9)) ** 0.5)
    return _added(image, change)


def _amplitudes(
    flat: NDArray[np.float32], gain: NDArray[np.float32], waves: Carriers, wanted: NDArray[np.complex64]
) -> NDArray[np.float32]:
    """The strength of each wave, mean square 1: more where the image speaks against it."""
    said = whole_waves(flat, waves.cycles) / (SIDE * SIDE)
    # One unit of amplitude adds this much to what is read.
    unit = float(gain.mean()) * (2.0 / len(wanted)) ** 0.5 / 2.0
    against = -np.real(said * np.conj(wanted)) / max(unit, 1e-6)
    amplitudes = np.clip(1.0 + _CORRECTION * against, 0.25, 2.5).astype(np.float32)
    normalised: NDArray[np.float32] = amplitudes / np.sqrt(np.mean(np.square(amplitudes)))
    return normalised


def _added(image: Image.Image, change: NDArray[np.float32]) -> Image.Image:
    """The image with ``change``, in grey levels, stretched over it."""
    steps = np.clip(np.rint(change * _STEP) + 128, 0, 255).astype(np.uint8)
    stretched = Image.fromarray(steps, "L").resize(image.size, Image.Resampling.BICUBIC)
    if image.mode == "I;16":
        levels = (np.asarray(stretched, np.float32) - 128) * (257 / _STEP) + np.asarray(image, np.float32)
        return _like(Image.fromarray(np.clip(np.rint(levels), 0, 65_535).astype(np.uint16)), image)
    delta = stretched.point(_LEVELS)
    bands = image.getbands()
    if image.mode == "L":
        return _like(_shifted(image, delta), image)
    parts = list(image.split())
    if image.mode == "CMYK":  # more ink is less light
        for index in range(3):
            parts[index] = ImageChops.subtract(parts[index], delta, 1.0, 128)
    elif image.mode in ("RGB", "RGBX"):
        return _like(_shifted(image, Image.merge(image.mode, [delta] * len(bands))), image)
    elif image.mode == "YCbCr":
        parts[0] = _shifted(parts[0], delta)
    else:
        for index in range(len(bands) - 1):  # all but the alpha band
            parts[index] = _shifted(parts[index], delta)
    return _like(Image.merge(image.mode, parts), image)


_LEVELS: Final = [128 + round((value - 128) / _STEP) for value in range(256)]


def _shifted(band: Image.Image, delta: Image.Image) -> Image.Image:
    return ImageChops.add(band, delta, 1.0, -128)


def _like(made: Image.Image, image: Image.Image) -> Image.Image:
    made.info = dict[Any, Any](image.info)
    return made
