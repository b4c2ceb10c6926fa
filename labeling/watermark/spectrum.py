# SPDX-License-Identifier: Apache-2.0
"""What writing and reading a watermark have in common: the square picture, its middle band, its waves.

Images of any size are looked at as a square of :data:`SIDE` by :data:`SIDE` grey values. Of that only the band between
the slowest and the fastest wave matters. Divided by its local activity it is nearly noise of even strength, so that a
few strong edges do not drown the rest of the image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE: Final = 384
_BLOCK: Final = 8
_MOST_FLAT: Final = 3.0


def grey_of(image: Image.Image) -> Image.Image:
    """Any image in grey, 8 bits, same size. What is transparent is seen on a grey ground."""
    if image.mode == "I;16":
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("LA", "RGBA", "PA", "P"):
        shown = image.convert("RGBA")
        ground = Image.new("RGBA", shown.size, (128, 128, 128, 255))
        return Image.alpha_composite(ground, shown).convert("L")
    return image.getchannel("Y") if image.mode == "YCbCr" else image.convert("L")


def canonical(image: Image.Image) -> NDArray[np.float32]:
    """(SIDE, SIDE) grey values of any image, 0 to 255."""
    square = grey_of(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(square, np.float32)


@lru_cache(maxsize=1)
def _band_filter() -> NDArray[np.float32]:
    """(SIDE, SIDE / 2 + 1): passes the waves in use and a margin for those that a crop has moved."""
    radius = np.hypot(np.fft.fftfreq(SIDE, 1 / SIDE)[:, None], np.fft.rfftfreq(SIDE, 1 / SIDE)[None, :])
    rise = np.clip((radius - 12.0) / 8.0, 0.0, 1.0)
    fall = np.clip((150.0 - radius) / 24.0, 0.0, 1.0)
    passed: NDArray[np.float32] = (rise * fall).astype(np.float32)
    return passed


def band_of(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The middle band of a square picture."""
    spectrum = np.fft.rfft2(grey - np.float32(grey.mean()))
    spectrum *= _band_filter()
    band: NDArray[np.float32] = np.fft.irfft2(spectrum, (SIDE, SIDE)).astype(np.float32)
    return band


def activity(band: NDArray[np.float32]) -> NDArray[np.float32]:
    """(SIDE, SIDE): the local standard deviation of the band, smoothed over some three blocks."""
    count = SIDE // _BLOCK
    blocks = np.square(band).reshape(count, _BLOCK, count, _BLOCK).mean(axis=(1, 3))
    padded = np.pad(blocks, 1, mode="edge")
    smooth = sum(padded[y : y + count, x : x + count] for y in range(3) for x in range(3)) / 9.0
    deviation = np.sqrt(smooth).astype(np.float32)
    stretched = Image.fromarray(deviation).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(stretched, np.float32)


def flattened(band: NDArray[np.float32], busy: NDArray[np.float32]) -> NDArray[np.float32]:
    """The band divided by its local activity, outliers cut."""
    flat: NDArray[np.float32] = np.clip(band / (busy + np.float32(1.0)), -_MOST_FLAT, _MOST_FLAT)
    return flat


def waves_at(flat: NDArray[np.float32], cycles: NDArray[np.float64]) -> NDArray[np.complex64]:
    """(K,): what a square picture has of the waves ``cycles`` (K, 2), across and down; origin at its middle."""
    places = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    across = np.exp(np.outer(cycles[:, 0], -2j * np.pi * places)).astype(np.complex64)
    turns = np.outer(cycles[:, 1], -2.0 * np.pi * places)
    rows = np.cos(turns).astype(np.float32) @ flat + 1j * (np.sin(turns).astype(np.float32) @ flat)
    waves: NDArray[np.complex64] = np.einsum("kx,kx->k", rows.astype(np.complex64), across)
    return waves


def whole_waves(flat: NDArray[np.float32], cycles: NDArray[np.int32]) -> NDArray[np.complex64]:
    """The same for whole cycles of which those down are positive, faster."""
    spectrum = np.fft.rfft2(flat.T)
    waves: NDArray[np.complex64] = (spectrum[cycles[:, 0] % SIDE, cycles[:, 1]] * np.conj(_to_corner(cycles))).astype(
        np.complex64
    )
    return waves


def picture_of(cycles: NDArray[np.int32], values: NDArray[np.complex64]) -> NDArray[np.float32]:
    """(SIDE, SIDE): the sum of waves with these amplitudes and phases, the reverse of :func:`whole_waves`."""
    spectrum = np.zeros((SIDE, SIDE // 2 + 1), np.complex64)
    spectrum[cycles[:, 0] % SIDE, cycles[:, 1]] = values * _to_corner(cycles)
    picture: NDArray[np.float32] = np.fft.irfft2(spectrum, (SIDE, SIDE)).T.astype(np.float32) * (SIDE * SIDE / 2.0)
    return picture


def _to_corner(cycles: NDArray[np.int32]) -> NDArray[np.complex64]:
    """What moves the origin from the middle to the first pixel, where Fourier transforms have it."""
    turns: NDArray[np.complex64] = np.exp(2j * np.pi * cycles.sum(axis=1) * (0.5 / SIDE - 0.5)).astype(np.complex64)
    return turns
