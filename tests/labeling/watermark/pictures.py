# SPDX-License-Identifier: Apache-2.0
"""Pictures for the tests of watermarks: coloured noise with some shapes, as hard as photographs are."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

KEY = bytes(range(32))
PAYLOAD = b"\x01\x02\xfe\xff\x80\x7f"


def scene(seed: int = 1, size: tuple[int, int] = (640, 512), mode: str = "RGB") -> Image.Image:
    """A picture of that size and mode, the same for the same seed."""
    noise = np.random.default_rng(seed)
    width, height = size
    far = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]) + 1 / max(size)
    bands = []
    for _ in range(3):
        band = np.fft.irfft2(np.fft.rfft2(noise.normal(size=(height, width))) / far**1.2, (height, width))
        bands.append(128 + band / band.std() * 35)
    image = Image.fromarray(np.clip(np.stack(bands, axis=2), 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(40):
        x, y, radius = noise.uniform(0, width), noise.uniform(0, height), noise.uniform(5, 60)
        colour = tuple(int(value) for value in noise.integers(0, 256, 3))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return image if mode == "RGB" else image.convert(mode)
