# SPDX-License-Identifier: Apache-2.0
"""The sound label is heard, the sound itself is untouched, in every sample format."""

from __future__ import annotations

import io
import math
import struct
import wave
from collections.abc import Callable
from itertools import pairwise

import pytest

from labeling.errors import DamagedFile, LabelError, UnsupportedFormat
from labeling.explicit.audio import AudioLabel, label_audio, label_samples, rhythm
from labeling.sniff import FileFormat, sniff

Pcm = Callable[..., bytes]
# format code, bits, the sample's neutral byte pattern
FORMATS = [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64), (6, 8), (7, 8)]


def decoded(data: bytes) -> list[float]:
    """The first channel as FFmpeg hears it."""
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(data)) as source:
        resampler = av.AudioResampler(format="dblp", layout=source.streams.audio[0].layout)
        return [
            float(value)
            for frame in source.decode(audio=0)
            for ready in resampler.resample(frame)
            for value in ready.to_ndarray()[0]
        ]


def heard(samples: list[float], rate: int, unit_s: float) -> str:
    """The Morse signs in a sound, by the lengths of its loud spans."""
    window = max(1, int(rate * 0.01))
    loud = [max(abs(v) for v in samples[at : at + window]) > 0.1 for at in range(0, len(samples) - window, window)]
    signs, run, gap = "", 0, 0
    for is_loud in [*loud, False]:
        if is_loud:
            if gap * 0.01 > 2 * unit_s and signs:
                signs += " "
            run, gap = run + 1, 0
        else:
            if run:
                signs += "-" if run * 0.01 > 2 * unit_s else "."
            run, gap = 0, gap + 1
    return signs


def test_the_rhythm_is_morse_for_ai() -> None:
    """Clause 5.3: short long, short short; timing of ITU-R M.1677."""
    samples = rhythm(8000, 0.1, 800)

    assert heard(samples, 8000, 0.1) == ".- .."
    assert max(abs(value) for value in samples) <= 1


@pytest.mark.parametrize(("code", "bits"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_sample_format_carries_the_rhythm_and_keeps_its_sound(
    code: int, bits: int, channels: int, pcm: Pcm
) -> None:
    """Heard by a decoder that is not ours; the sound stands in the file byte for byte."""
    block = bits // 8 * channels
    if code == 3:
        sound = struct.pack("<f" if bits == 32 else "<d", 0.25) * (channels * 500)
    else:
        sound = bytes(index * 7 % 251 for index in range(block * 500))
    data = pcm(code, bits, channels, 8000, sound)
    labelled = label_audio(data, FileFormat.WAV, AudioLabel())
    samples = decoded(labelled.data)

    assert sniff(labelled.data) is FileFormat.WAV
    assert labelled.data.endswith(sound)
    assert labelled.kind == "rhythm"
    assert heard(samples[: int(labelled.label_s * 8000)], 8000, 0.1) == ".- .."
    assert len(samples) == 500 + round((labelled.label_s + 0.3) * 8000)
    assert max(map(abs, samples[: int(labelled.label_s * 8000)])) == pytest.approx(0.4, abs=0.03)


def test_the_label_can_stand_at_the_end_and_at_both(pcm: Pcm) -> None:
    """Positions of clause 5.3."""
    data = pcm(sound=b"\x01\x02" * 400)
    end = label_audio(data, FileFormat.WAV, AudioLabel(at_start=False, at_end=True)).data
    both = label_audio(data, FileFormat.WAV, AudioLabel(at_end=True)).data

    assert end[44:].startswith(b"\x01\x02" * 400)
    assert heard(decoded(end)[400:], 8000, 0.1) == ".- .."
    assert heard(decoded(both), 8000, 0.1).startswith(".- ..")
    assert len(both) > len(end)


def test_a_spoken_clip_is_played_at_the_rate_of_the_file(pcm: Pcm) -> None:
    """A 16 kHz stereo clip in an 8 kHz file lasts as long as before, and keeps its pitch."""
    clip = b"".join(
        struct.pack("<hh", round(12_000 * math.sin(2 * math.pi * 400 * index / 16_000)), 0) for index in range(16_000)
    )
    labelled = label_audio(pcm(), FileFormat.WAV, AudioLabel(clip=pcm(1, 16, 2, 16_000, clip)))
    samples = decoded(labelled.data)[:8000]
    crossings = sum(1 for a, b in pairwise(samples) if a < 0 <= b)

    assert (labelled.kind, labelled.label_s) == ("voice", 1.0)
    assert crossings == pytest.approx(400, abs=2)


@pytest.mark.parametrize("with_clip", [False, True])
def test_bare_samples_begin_as_a_file_of_the_same_rate_does(with_clip: bool) -> None:
    """Rhythm or clip, and the silence behind it: 16 bits, little-endian, one channel."""

    def file(rate_hz: int, frames: bytes) -> bytes:
        made = io.BytesIO()
        with wave.open(made, "wb") as sound:
            sound.setparams((1, 2, rate_hz, 0, "NONE", "NONE"))
            sound.writeframes(frames)
        return made.getvalue()

    label = AudioLabel(clip=file(8_000, b"\x10\x20" * 400) if with_clip else None)
    sound = b"\x01\x02" * 50
    labelled = label_audio(file(24_000, sound), FileFormat.WAV, label).data
    with wave.open(io.BytesIO(labelled)) as read:
        assert read.readframes(read.getnframes()) == label_samples(label, 24_000) + sound


def test_the_standard_library_reads_the_result(pcm: Pcm) -> None:
    """A second reader of the container, with tags kept and an open size closed."""
    data = bytearray(pcm(sound=bytes(800)))
    data[4:8] = data[40:44] = b"\xff" * 4
    with wave.open(io.BytesIO(label_audio(bytes(data), FileFormat.WAV, AudioLabel()).data)) as reader:
        assert (reader.getnchannels(), reader.getframerate(), reader.getsampwidth()) == (1, 8000, 2)
        assert reader.getnframes() == 400 + round((1.2 + 0.3) * 8000)


@pytest.mark.parametrize(
    ("code", "bits", "error"), [(2, 4, DamagedFile), (17, 16, UnsupportedFormat), (1, 40, UnsupportedFormat)]
)
def test_rare_sample_formats_are_refused(code: int, bits: int, error: type[LabelError], pcm: Pcm) -> None:
    """A label in the wrong format would be noise."""
    with pytest.raises(error):
        label_audio(pcm(code, bits), FileFormat.WAV, AudioLabel())


def test_packed_formats_have_to_be_decoded_first() -> None:
    """With what to do."""
    with pytest.raises(UnsupportedFormat, match="convert it to WAV"):
        label_audio(b"", FileFormat.MP3, AudioLabel())


@pytest.mark.parametrize(
    "options",
    [
        {"at_start": False},
        {"unit_s": 0.001},
        {"tone_hz": 20_000},
        {"level": 0.0},
        {"clip": b"no sound at all"},
    ],
)
def test_a_label_that_nobody_hears_is_refused(options: dict[str, object]) -> None:
    """At start-up."""
    with pytest.raises(LabelError):
        AudioLabel(**options)


def test_a_clip_that_cannot_be_used_is_refused(pcm: Pcm) -> None:
    """Empty, too long, of floats."""
    for clip in (pcm(sound=b""), pcm(rate=1000, sound=bytes(2 * 31_000)), pcm(3, 32)):
        with pytest.raises(LabelError, match="spoken label"):
            AudioLabel(clip=clip)
