# SPDX-License-Identifier: Apache-2.0
"""How long labelling a film takes: 10 seconds at 720 lines with sound, against a plain PyAV re-encode of the same film.

Run `python -m bench.films`. Both sides use the same codec, preset and quality, and write a file; ours starts a process,
draws, copies the sound, measures the label on the result, and writes the hidden label.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labeling import implicit
from labeling.aigc import AigcLabel
from labeling.explicit.image import ImageLabel
from labeling.explicit.video import VideoLabel, can_label_films, label_film
from labeling.sniff import FileFormat

WIDTH, HEIGHT, RATE, SECONDS = 1280, 720, 25, 10
ROUNDS = 3
OPTIONS = {"preset": "veryfast", "crf": "20"}
LABEL = AigcLabel("1", "001191110000MA00000AAT10001", "0199f0c4-0000-7000-8000-000000000001")


def film() -> bytes:
    """A film with detail that moves, and a tone."""
    import av

    noise = np.random.default_rng(5).integers(0, 60, (HEIGHT, WIDTH), dtype=np.uint8)
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as made:
        pictures: Any = made.add_stream("libx264", rate=RATE, options=OPTIONS)
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        tone: Any = made.add_stream("aac", rate=48_000, layout="mono")
        for number in range(RATE * SECONDS):
            waves = 100 + 60 * np.sin((x + 5 * number) / 40) * np.cos((y - 3 * number) / 30)
            grey = (waves + np.roll(noise, number, axis=1)).astype(np.uint8)
            made.mux(pictures.encode(av.VideoFrame.from_ndarray(np.stack([grey, 255 - grey, grey], 2), format="rgb24")))
        made.mux(pictures.encode(None))
        wave = (np.sin(np.arange(48_000 * SECONDS) / 15) * 0.3).astype(np.float32)
        for start in range(0, len(wave), 1_024):
            sound = av.AudioFrame.from_ndarray(wave[start : start + 1_024].reshape(1, -1), format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 48_000, start
            made.mux(tone.encode(sound))
        made.mux(tone.encode(None))
    return out.getvalue()


def plain(data: bytes) -> bytes:
    """The film encoded anew and nothing else, its sound copied."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        source.write_bytes(data)
        with av.open(str(source)) as given, av.open(str(target), "w", format="mp4") as made:
            shown: Any = given.streams.video[0]
            shown.thread_type = "AUTO"
            pictures: Any = made.add_stream("libx264", rate=RATE, options=OPTIONS)
            pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            pictures.codec_context.time_base = shown.time_base
            sound = made.add_stream_from_template(given.streams.audio[0])
            for packet in given.demux():
                if packet.stream.type == "audio":
                    if packet.dts is not None:
                        packet.stream = sound
                        made.mux(packet)
                    continue
                frames: Any = packet.decode()
                for frame in frames:
                    frame.pict_type = 0
                    made.mux(pictures.encode(frame))
            made.mux(pictures.encode(None))
        return target.read_bytes()


def labelled(data: bytes) -> bytes:
    """The film with its visible and its hidden label."""
    made = label_film(data, FileFormat.MP4, VideoLabel(ImageLabel("AI生成", 500)))
    return implicit.write(made.data, FileFormat.MP4, LABEL)


def seconds(work: Callable[[bytes], bytes], data: bytes) -> float:
    """How long one run takes."""
    started = time.perf_counter()
    work(data)
    return time.perf_counter() - started


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table."""
    del arguments
    if not can_label_films():
        print("films need PyAV: pip install av")
        return 1
    data = film()
    times: dict[str, list[float]] = {"plain": [], "labelled": []}
    for _ in range(ROUNDS):  # in turn, so that a busy machine is busy for both
        times["plain"].append(seconds(plain, data))
        times["labelled"].append(seconds(labelled, data))
    bare, ours = (statistics.median(times[name]) for name in ("plain", "labelled"))
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; {SECONDS} s, {WIDTH}x{HEIGHT}, {len(data)} bytes")
    print(f"plain re-encode {bare:.2f} s, labelled {ours:.2f} s, {ours / bare:.2f} times")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
