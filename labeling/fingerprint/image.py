# SPDX-License-Identifier: Apache-2.0
"""The fingerprint of a picture: the signs of its slowest waves.

The picture is made grey and small, transformed by a discrete cosine transform, and of the 16 by 16 slowest waves each
gives one bit: whether it is above the median. Resizing, another format, brightness and a label in a corner change few
bits. A crop or a turn changes many: for those there is the watermark.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labeling.fingerprint.sketch import Print
from labeling.watermark.spectrum import grey_of

_SIDE: Final = 64
_WAVES: Final = 16
_LEAST_ACTIVITY: Final = 2.0
"""Standard deviation in grey levels; an even picture looks like every other one."""


def _cosines() -> NDArray[np.float32]:
    places = (np.arange(_SIDE) + 0.5) * np.pi / _SIDE
    # The slowest wave of all is brightness; it is left out.
    cosines: NDArray[np.float32] = np.cos(np.outer(np.arange(1, _WAVES + 1), places)).astype(np.float32)
    return cosines


_COSINES: Final = _cosines()


def image_print(image: Image.Image) -> Print | None:
    """The fingerprint of a picture; None for one that shows next to nothing."""
    small = np.asarray(grey_of(image).resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=3.0), np.float32)
    if float(small.std()) < _LEAST_ACTIVITY:
        return None
    waves = _COSINES @ small @ _COSINES.T
    return Print("image", np.packbits(waves > np.median(waves)).tobytes())
