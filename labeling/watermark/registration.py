# SPDX-License-Identifier: Apache-2.0
"""Finds out how an image was cropped, stretched and turned since it was marked, from the waves of the mark.

A wave stays a wave when an image is cropped, resized or turned; its cycles move by one 2 by 2 matrix, the same for all
waves. So the matrix is right where the image's spectrum has energy at all the moved waves at once. Ten thousands of
matrices are tried on the spectrum's magnitudes, the best are refined, and the place then follows from the phases of the
pilots: one Fourier transform tries all shifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from labeling.watermark.carriers import MOST_CYCLES, PILOTS, Carriers
from labeling.watermark.spectrum import SIDE, waves_at

_FINE: Final = 2
"""The spectrum is looked at in steps of half a cycle."""
_REACH: Final = 150
"""Cycles that are looked at."""
_STEP_CYCLES: Final = 0.7
"""How far the fastest wave moves between two candidates."""
LEAST_SCALE: Final = 0.80
MOST_SCALE: Final = 1.16
MOST_TURN_DEG: Final = 3.0
_SHIFTS: Final = 512


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """A guess at what happened to the image.

    ``waves`` is what the image has at the moved waves, (K,), turned back to the phases of the unmoved mark.
    ``evidence`` is how far the pilots agree, 0 to 1.
    """

    matrix: NDArray[np.float64]
    waves: NDArray[np.complex64]
    evidence: float


def window() -> NDArray[np.float32]:
    """(SIDE, SIDE): fades the borders out, so that what a crop cut off does not smear."""
    places = (np.arange(SIDE) + 0.5) / SIDE
    rim = np.clip(np.minimum(places, 1.0 - places) / 0.12, 0.0, 1.0)
    fade = np.sin(rim * np.pi / 2) ** 2
    return np.outer(fade, fade).astype(np.float32)


class Registration:
    """One picture's spectrum, asked for placements."""

    def __init__(self, flat: NDArray[np.float32], waves: Carriers, aspect: float) -> None:
        """``flat`` as of :func:`~labeling.watermark.spectrum.flattened`; ``aspect`` is the image's width by height."""
        self._flat = flat * window()
        self._waves = waves
        self._aspect = aspect
        self._power, self._around = _even_power(self._flat)

    def placements(self, count: int) -> list[Placement]:
        """The ``count`` most likely placements, best first."""
        found = [self._placed(self._refined(matrix)) for matrix in self._candidates(count)]
        return sorted(found, key=lambda placement: -placement.evidence)

    def as_it_is(self) -> Placement:
        """The placement of an image that was resized at most."""
        return self._placed(np.eye(2))

    def _candidates(self, count: int) -> list[NDArray[np.float64]]:
        step = _STEP_CYCLES / MOST_CYCLES
        scales = np.exp(np.arange(np.log(LEAST_SCALE), np.log(MOST_SCALE) + step, step))
        most = np.radians(MOST_TURN_DEG)
        size = self._power.shape[1]
        middle = size // 2
        best: list[tuple[float, int, int, float]] = []
        cycles = self._waves.cycles.astype(np.float64)
        flat_power = self._power.ravel()
        for turn in np.linspace(-most, most, 2 * int(np.ceil(most / step)) + 1):
            across, down = (cycles @ self._turned(float(turn)).T).T
            columns = np.rint(np.outer(scales, across * _FINE)).astype(np.int32) + middle
            rows = (np.rint(np.outer(scales, down * _FINE)).astype(np.int32) + middle) * size
            for index, offsets in enumerate(rows):
                sums = flat_power.take(columns + offsets, mode="clip").sum(axis=1)
                top = int(sums.argmax())
                best.append((float(sums[top]), top, index, float(turn)))
        best.sort(reverse=True)
        matrices: list[NDArray[np.float64]] = []
        for _, x, y, turn in best:
            matrix = np.diag([scales[x], scales[y]]) @ self._turned(turn)
            if all(np.abs(matrix - other).max() > 1.5 * step for other in matrices):
                matrices.append(matrix)
                if len(matrices) == count:
                    break
        return matrices

    def _turned(self, turn: float) -> NDArray[np.float64]:
        """What turning the image by ``turn`` radians does to cycles across its width and height."""
        cosine, sine = np.cos(turn), np.sin(turn)
        return np.array([[cosine, -sine * self._aspect], [sine / self._aspect, cosine]])

    def _refined(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The matrix nearby with most energy at the moved waves."""
        best, score = matrix, self._energy(matrix)
        step = 0.5 / MOST_CYCLES
        for _ in range(12):
            moved = False
            for row, column in ((0, 0), (1, 1), (0, 1), (1, 0)):
                for sign in (1.0, -1.0):
                    tried = best.copy()
                    tried[row, column] += sign * step
                    energy = self._energy(tried)
                    if energy > score:
                        best, score, moved = tried, energy, True
            if not moved:
                step /= 2
                if step < 0.06 / MOST_CYCLES:
                    break
        return best

    def _energy(self, matrix: NDArray[np.float64]) -> float:
        """The power at the moved waves, between the steps of the spectrum as a weighted mean."""
        middle = self._power.shape[0] // 2
        places = np.clip((self._waves.cycles @ matrix.T) * _FINE + middle, 0, 2 * middle - 1.001)
        whole = places.astype(np.int32)
        part = places - whole
        x, y = whole.T
        u, v = part.T
        power = self._power
        mean = (power[y, x] * (1 - u) + power[y, x + 1] * u) * (1 - v) + (
            power[y + 1, x] * (1 - u) + power[y + 1, x + 1] * u
        ) * v
        return float(mean.sum())

    def _placed(self, matrix: NDArray[np.float64]) -> Placement:
        """The placement of a matrix: the shift by which the pilots agree best."""
        moved = self._waves.cycles @ matrix.T
        read = waves_at(self._flat, moved) / np.sqrt(self._level(moved))
        pilots = read[:PILOTS] * np.conj(self._waves.phases[:PILOTS])
        # A few waves that the image itself is full of must not decide alone.
        pilots = pilots / np.maximum(np.abs(pilots), max(float(np.median(np.abs(pilots))), 1e-9))
        grid = np.zeros((_SHIFTS, _SHIFTS), np.complex64)
        cycles = self._waves.cycles[:PILOTS]
        grid[cycles[:, 1], cycles[:, 0] % _SHIFTS] = pilots
        agreed = np.fft.ifft2(grid).real * (_SHIFTS * _SHIFTS)
        y, x = np.unravel_index(int(agreed.argmax()), agreed.shape)
        shift = self._exact(pilots, np.array([x / _SHIFTS, y / _SHIFTS]))
        back = np.exp(2j * np.pi * (self._waves.cycles @ shift))
        evidence = float(np.real(pilots * back[:PILOTS]).sum() / max(float(np.abs(pilots).sum()), 1e-9))
        return Placement(matrix, (read * back).astype(np.complex64), evidence)

    def _exact(self, pilots: NDArray[np.complexfloating[Any, Any]], shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """The shift between the steps of the grid: the phases that are left, as a plane."""
        cycles = self._waves.cycles[:PILOTS].astype(np.float64)
        for _ in range(3):
            left = pilots * np.exp(2j * np.pi * (cycles @ shift))
            weights = np.abs(left) * (np.real(left) > 0)
            turns = np.angle(left) / (2 * np.pi)
            weighted = cycles * weights[:, None]
            normal = weighted.T @ cycles + 1e-6 * np.eye(2)  # solvable, also where no pilot agrees
            shift = shift - np.linalg.solve(normal, weighted.T @ turns)
        return shift

    def _level(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """The image's own power around each wave."""
        middle = self._around.shape[0] // 2
        places = np.clip(np.rint(moved * _FINE).astype(np.int32) + middle, 0, 2 * middle)
        level: NDArray[np.float64] = self._around[places[:, 1], places[:, 0]]
        return level


def _even_power(flat: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The spectrum's power in steps of half a cycle, zero in the middle, by what lies around; and that."""
    half = np.fft.rfft2(flat, (SIDE * _FINE, SIDE * _FINE))
    reach = _REACH * _FINE
    power = np.square(half.real) + np.square(half.imag)
    right = np.concatenate([power[-reach:, : reach + 1], power[: reach + 1, : reach + 1]])
    whole = np.concatenate([right[::-1, :0:-1], right], axis=1)
    around = _box_mean(whole, 9 * _FINE)
    around += np.float32(1e-3) * around.max() + np.float32(1e-6)
    # One strong line of the image's own counts as much as a few waves at most.
    return np.minimum(whole / around, np.float32(8.0)), around


def _box_mean(values: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """The mean of the square of ``2 * radius + 1`` around each value."""
    width = 2 * radius + 1
    mean: NDArray[np.float64] = values.astype(np.float64)
    for axis in (0, 1):
        margins = [(0, 0), (0, 0)]
        margins[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(mean, margins, mode="edge"), axis=axis)
        late, early = (
            np.take(sums, range(width, sums.shape[axis]), axis),
            np.take(sums, range(sums.shape[axis] - width), axis),
        )
        mean = (late - early) / width
    return mean.astype(np.float32)
