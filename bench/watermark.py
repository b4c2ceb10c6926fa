# SPDX-License-Identifier: Apache-2.0
"""How much the invisible watermark of pictures survives, and how often it is seen where there is none.

Run ``python -m bench.watermark [--pictures FOLDER] [--made N] [--unmarked N] [--json FILE]``. Pictures are made here
(dead leaves over coloured noise, which have the edges and the spectrum of photographs) and read from ``FOLDER``, if one
is named. Every picture is marked once and attacked in each way; then pictures without a mark, and crops of the real
ones, are searched as thoroughly as ``/duty/verify`` does. Set ``OPENBLAS_NUM_THREADS=1`` on a busy machine.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from labeling.watermark import payload_of
from labeling.watermark.detection import find_mark
from labeling.watermark.embedding import is_markable, mark_image

KEY: Final = bytes(range(32))
SIZES: Final = ((1024, 1024), (1152, 896), (768, 1344), (1280, 720), (640, 480))
_SEEN_AT_1_MP: Final = 600 * 600
"""Pictures of fewer pixels have fewer than the mark's fastest wave needs after a reduction to a quarter."""

Attack = Callable[[Image.Image], Image.Image]


def made_picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """A picture like a photograph: overlapping discs of all sizes over coloured noise, some grain."""
    noise = np.random.default_rng(seed)
    width, height = size
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]) + 1.0 / max(size)
    slope = noise.uniform(1.0, 1.5)
    bands = []
    for _ in range(3):
        spectrum = np.fft.rfft2(noise.normal(size=(height, width))) / frequencies**slope
        band = np.fft.irfft2(spectrum, (height, width))
        bands.append(128 + band / band.std() * noise.uniform(10, 45))
    clouds = Image.fromarray(np.clip(np.stack(bands, axis=2), 0, 255).astype(np.uint8))
    leaves = clouds.copy()
    pen = ImageDraw.Draw(leaves)
    for _ in range(int(noise.integers(0, 400))):
        radius = 6.0 / max(noise.random(), 0.03) ** 0.7
        x, y = noise.uniform(0, width), noise.uniform(0, height)
        colour = tuple(int(value) for value in noise.integers(0, 256, 3))
        pen.ellipse((x - radius, y - radius * noise.uniform(0.4, 1), x + radius, y + radius), fill=colour)
    mixed = np.asarray(Image.blend(clouds, leaves, noise.uniform(0.3, 0.9)), np.float32)
    grain = noise.normal(size=mixed.shape) * noise.uniform(0, 4)
    return Image.fromarray(np.clip(mixed + grain, 0, 255).astype(np.uint8))


def through(kind: str, quality: int) -> Attack:
    """Written and read again in a lossy format."""

    def attack(image: Image.Image) -> Image.Image:
        out = io.BytesIO()
        image.convert("RGB").save(out, kind, quality=quality)
        return Image.open(io.BytesIO(out.getvalue())).convert("RGB")

    return attack


def resized(across: float, down: float | None = None) -> Attack:
    """Made smaller or larger, in each direction by its own factor."""
    other = across if down is None else down
    return lambda image: image.resize(
        (round(image.width * across), round(image.height * other)), Image.Resampling.LANCZOS
    )


def cropped(left: float, top: float, right: float, bottom: float) -> Attack:
    """Parts of the width and height cut off at the four sides."""
    return lambda image: image.crop(
        (
            round(image.width * left),
            round(image.height * top),
            round(image.width * (1 - right)),
            round(image.height * (1 - bottom)),
        )
    )


def screenshot(image: Image.Image) -> Image.Image:
    """Shown smaller in a window with a frame, another gamma, and saved as JPEG."""
    curve = [round(255 * (value / 255) ** 1.05) for value in range(256)] * 3
    shown = image.convert("RGB").resize(
        (round(image.width * 0.75), round(image.height * 0.75)), Image.Resampling.BICUBIC
    )
    shown = shown.point(curve)
    window = Image.new("RGB", (round(shown.width * 1.06), round(shown.height * 1.08)), (240, 240, 240))
    window.paste(shown, (5, round(shown.height * 0.06)))
    return through("JPEG", 80)(window)


def turned(degrees: float, *, grows: bool = False) -> Attack:
    """Turned; with ``grows`` the frame grows so that nothing is cut."""
    return lambda image: image.rotate(degrees, Image.Resampling.BICUBIC, expand=grows)


def after(first: Attack, then: Attack) -> Attack:
    """Two attacks, one after the other."""
    return lambda image: then(first(image))


ATTACKS: Mapping[str, Attack] = {
    "none": lambda image: image,
    "JPEG 75": through("JPEG", 75),
    "JPEG 50": through("JPEG", 50),
    "WebP 75": through("WEBP", 75),
    "resized to 0.25": resized(0.25),
    "resized to 0.5": resized(0.5),
    "resized to 2": resized(2),
    "aspect 4:3": resized(1.0, 0.75),
    "screenshot (0.75, frame, gamma, JPEG 80)": screenshot,
    "brightness 1.25": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "contrast 0.8": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "cropped 10 % at one side": cropped(0.1, 0, 0, 0),
    "cropped 10 % each way, off the middle": cropped(0.03, 0.08, 0.07, 0.02),
    "cropped 10 % each way at a corner, JPEG 50": after(cropped(0.1, 0.1, 0, 0), through("JPEG", 50)),
    "turned by 2 degrees": turned(2),
    "turned by -2 degrees, frame grows": turned(-2, grows=True),
    "turned by 2 degrees, JPEG 75": after(turned(2), through("JPEG", 75)),
    "cropped 10 %, resized to 0.5, JPEG 75": after(cropped(0, 0.1, 0.1, 0), after(resized(0.5), through("JPEG", 75))),
}


def psnr_db(image: Image.Image, other: Image.Image) -> float:
    """The distance of two pictures, in decibels: the larger the nearer."""
    square = np.mean(np.square(np.asarray(image, np.float64) - np.asarray(other, np.float64)))
    return float(10 * np.log10(255**2 / max(square, 1e-9)))


def real_pictures(folder: Path | None) -> list[Image.Image]:
    """The pictures of a folder that can be marked."""
    found = []
    for path in sorted(folder.rglob("*")) if folder is not None else ():
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            with Image.open(path) as image:
                picture = image if image.mode in ("L", "RGB") else image.convert("RGB")
                picture.load()
            if is_markable(picture):
                found.append(picture)
    return found


def robustness(pictures: list[Image.Image]) -> tuple[dict[str, tuple[int, int]], list[float], list[float]]:
    """For each attack how often the mark was read and of how many; the distances in dB; the times to mark in ms."""
    hits = {name: [0, 0] for name in ATTACKS}
    distances, times = [], []
    for number, picture in enumerate(pictures):
        payload = payload_of(KEY, f"picture {number}")
        started = time.perf_counter()
        marked = mark_image(picture, payload, KEY)
        times.append((time.perf_counter() - started) * 1000)
        distances.append(psnr_db(picture, marked))
        for name, attack in ATTACKS.items():
            if name == "resized to 0.25" and picture.width * picture.height < _SEEN_AT_1_MP:
                continue
            found = find_mark(attack(marked), KEY)
            hits[name][0] += found is not None and found.payload == payload
            hits[name][1] += 1
    return {name: (counts[0], counts[1]) for name, counts in hits.items()}, distances, times


def unmarked(count: int, real: list[Image.Image]) -> Iterator[Image.Image]:
    """Pictures without a mark: made ones and, every fourth, a random part of a real one."""
    chance = np.random.default_rng(7)
    for number in range(count):
        if real and number % 4 == 0:
            picture = real[number // 4 % len(real)]
            left, top = chance.uniform(0, 0.4, 2)
            width, height = chance.uniform(0.5, 0.6, 2)
            box = (
                picture.width * left,
                picture.height * top,
                picture.width * (left + width),
                picture.height * (top + height),
            )
            yield picture.crop(tuple(round(value) for value in box))
        else:
            yield made_picture(100_000 + number, SIZES[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, help="a folder with real pictures")
    parser.add_argument("--made", type=int, default=50, help="how many pictures are made and marked")
    parser.add_argument("--unmarked", type=int, default=2_000, help="how many pictures without a mark are searched")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    real = real_pictures(options.pictures)
    made = [made_picture(seed, SIZES[seed % len(SIZES)]) for seed in range(options.made)]
    report: dict[str, object] = {}
    for name, pictures in (("made", made), ("real", real)):
        if not pictures:
            continue
        hits, distances, times = robustness(pictures)
        middle = statistics.median(distances)
        print(f"{len(pictures)} {name} pictures, PSNR {min(distances):.1f} dB at least, {middle:.1f} dB median,")
        print(f"marked in {statistics.median(times):.0f} ms (median)")
        for attack, (read, of) in hits.items():
            print(f"  {attack:<45} {read:>4} of {of}", flush=True)
        report[name] = {"hits": hits, "least_psnr_db": min(distances), "median_ms": statistics.median(times)}
    wrong = sum(find_mark(picture, KEY) is not None for picture in unmarked(options.unmarked, real))
    print(f"marks seen in {options.unmarked} pictures without one: {wrong}")
    report["unmarked"] = {"pictures": options.unmarked, "wrong": wrong}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
