# SPDX-License-Identifier: Apache-2.0
"""What labels on files cost: each step and the whole, against a plain re-encode of the same picture by Pillow.

Run ``python -m bench.labels [--rounds N] [--json FILE]``. Prints a table and, with ``--json``, writes the figures.
Pictures are made here (gradients with noise, about as hard to compress as a photograph), one megapixel each. The last
figure is the longest time that an event loop stood still while ten pictures were labelled in threads.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import statistics
import struct
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageFilter

from labeling.aigc import AigcLabel
from labeling.c2pa_keys import file_signer, new_chain
from labeling.c2pa_manifest import ManifestOptions, ManifestSigner
from labeling.explicit.audio import AudioLabel
from labeling.explicit.image import ImageLabel
from labeling.file import LabelPlan, label_file
from labeling.watermark import Waves, payload_of
from labeling.watermark.frames import MarkPlan

SIDE_PX = 1024
LOOP_TICK_S = 0.001
TARGETS = {"PNG": 2.0, "JPEG": 4.0}
"""The whole may take this many times the plain re-encode."""


def photograph() -> Image.Image:
    """A picture of one megapixel, the same at every run."""
    noise = random.Random(1)
    small = Image.frombytes("RGB", (128, 128), noise.randbytes(128 * 128 * 3))
    base = small.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    grain = Image.frombytes("RGB", (SIDE_PX, SIDE_PX), noise.randbytes(SIDE_PX * SIDE_PX * 3))
    return Image.blend(base, grain, 0.06)


def encoded(image: Image.Image, kind: str) -> bytes:
    """The picture in a format, with Pillow's defaults."""
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def one_minute_wav() -> bytes:
    """Stereo noise of one minute, 44.1 kHz, 16 bits."""
    sound = random.Random(2).randbytes(60 * 44_100 * 4)
    head = struct.pack("<HHIIHH", 1, 2, 44_100, 176_400, 4, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


def one_minute_mp3() -> bytes:
    """2,297 silent frames of MPEG-1 layer III, 128 kbit/s, 44.1 kHz: one minute."""
    return (b"\xff\xfb\x90\x00" + bytes(413)) * 2_297


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """The median time of some work."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def measure(name: str, data: bytes, plan: LabelPlan, rounds: int) -> dict[str, object]:
    """Median of the whole and of each step."""
    runs = [label_file(data, plan) for _ in range(rounds)]
    steps = {
        step.name: round(statistics.median(run.steps[index].ms for run in runs), 2)
        for index, step in enumerate(runs[0].steps)
    }
    whole = median_ms(lambda: label_file(data, plan), rounds)
    return {
        "file": name,
        "bytes": len(data),
        "growth": len(runs[0].data) - len(data),
        "whole_ms": round(whole, 2),
        **steps,
    }


async def longest_stall_ms(data: bytes, plan: LabelPlan, count: int = 10) -> float:
    """The longest time between two ticks of the loop while pictures are labelled in threads."""
    longest = 0.0
    is_running = True

    async def watch() -> None:
        nonlocal longest
        while is_running:
            started = time.perf_counter()
            await asyncio.sleep(LOOP_TICK_S)
            longest = max(longest, time.perf_counter() - started - LOOP_TICK_S)

    watcher = asyncio.create_task(watch())
    gate = asyncio.Semaphore(2)

    async def one() -> None:
        async with gate:
            await asyncio.to_thread(label_file, data, plan)

    await asyncio.gather(*(one() for _ in range(count)))
    is_running = False
    await watcher
    return longest * 1000


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    chain = new_chain("Benchmark", 30, time.time)
    signer = ManifestSigner(
        file_signer(chain.key_pem),
        "es256",
        chain.chain_pem.decode(),
        ManifestOptions("bench", "0", chain.root_pem.decode()),
    )
    label = AigcLabel("1", "001191110000MA00000AAT10001", "0199f0c4-0000-7000-8000-000000000001")
    mark = MarkPlan(Waves(bytes(32)), payload_of(bytes(32), label.produce_id))
    plan = LabelPlan(label, ImageLabel("AI生成", 500), AudioLabel(), "（AI生成）", signer, "where-possible", mark=mark)
    picture = photograph()
    rows = []
    for kind in ("PNG", "JPEG", "WEBP"):
        data = encoded(picture, kind)

        def encode_again(data: bytes = data, kind: str = kind) -> bytes:
            return encoded(Image.open(io.BytesIO(data)).convert("RGB"), kind)

        row = measure(kind, data, plan, options.rounds)
        row["re_encode_ms"] = round(median_ms(encode_again, options.rounds), 2)
        row["times"] = round(float(str(row["whole_ms"])) / float(str(row["re_encode_ms"])), 2)
        row["target_times"] = TARGETS.get(kind, "")
        rows.append(row)
        print(row)
    for name, data in (("WAV 1 min", one_minute_wav()), ("MP3 1 min", one_minute_mp3())):
        rows.append(measure(name, data, plan, options.rounds))
        print(rows[-1])
    stalls = {}
    for kind in ("PNG", "JPEG"):
        stalls[kind] = round(asyncio.run(longest_stall_ms(encoded(picture, kind), plan)), 1)
    print("longest stall of the event loop in ms while ten pictures are labelled, two at a time:", stalls)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "longest_stall_ms": stalls}, indent=1))


if __name__ == "__main__":
    main()
