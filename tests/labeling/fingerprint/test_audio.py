# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of sounds."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from labeling.errors import DamagedFile, UnsupportedFormat
from labeling.explicit.audio import AudioLabel, label_audio
from labeling.fingerprint.audio import audio_print, read_samples
from labeling.fingerprint.sketch import Print
from labeling.sniff import FileFormat

RATE_HZ = 16_000


def music(seed: int, seconds: float = 12.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Notes with overtones that fade, -1 to 1."""
    chance = np.random.default_rng(seed)
    sound = np.zeros(int(seconds * rate_hz))
    start = 0.0
    while start < seconds - 0.3:
        times = np.arange(int(0.3 * rate_hz)) / rate_hz
        pitch = 220 * 2 ** chance.uniform(0, 3)
        note = sum(0.5**step * np.sin(2 * np.pi * pitch * step * times) for step in range(1, 6))
        place = int(start * rate_hz)
        sound[place : place + len(times)] += (note * np.exp(-times * 6))[: len(sound) - place]
        start += chance.uniform(0.08, 0.3)
    return sound / np.abs(sound).max() * 0.8


def wav(sound: np.ndarray, rate_hz: int = RATE_HZ, code: int = 1, bits: int = 16, channels: int = 1) -> bytes:
    """The sound as a WAV file."""
    if code == 3:
        content = np.repeat(sound, channels).astype(f"<f{bits // 8}").tobytes()
    elif bits == 8:
        content = (np.repeat(sound, channels) * 127 + 128).astype(np.uint8).tobytes()
    else:
        whole = np.repeat(sound * (2 ** (bits - 1) - 1), channels).astype(np.int64)
        content = b"".join(int(value).to_bytes(bits // 8, "little", signed=True) for value in whole)
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", code, channels, rate_hz, rate_hz * frame, frame, bits)
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def printed(data: bytes) -> Print:
    """The fingerprint, which is there."""
    found = audio_print(data, FileFormat.WAV)
    assert found is not None
    return found


def test_a_copy_is_recognised() -> None:
    """Quieter, noisy, cut, at another rate, with our audible label in front."""
    sound = music(1)
    known = printed(wav(sound))
    noise = np.random.default_rng(2).normal(size=len(sound)) * sound.std() * 0.1
    slower = np.interp(np.arange(0, len(sound), RATE_HZ / 22_050), np.arange(len(sound)), sound)
    for copy in (
        wav(sound * 0.3),
        wav(np.clip(sound + noise, -1, 1)),
        wav(sound[RATE_HZ + 77 :]),
        wav(slower, 22_050),
        wav(sound, channels=2),
        label_audio(wav(sound), FileFormat.WAV, AudioLabel()).data,
    ):
        assert known.is_like(printed(copy)), known.likeness(printed(copy))


def test_strangers_are_not_like() -> None:
    """Five other pieces."""
    known = printed(wav(music(1)))
    assert max(known.likeness(printed(wav(music(seed)))) for seed in range(2, 7)) < 0.3


@pytest.mark.parametrize(("code", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
def test_every_common_sample_is_read(code: int, bits: int) -> None:
    """To the same sound within the step of its bits."""
    sound = music(3, 0.5)
    samples, rate_hz = read_samples(wav(sound, code=code, bits=bits, channels=2), 60)
    assert rate_hz == RATE_HZ
    assert samples == pytest.approx(sound, abs=0.02 if bits == 8 else 1e-4)


def test_only_so_much_is_listened_to() -> None:
    """A long sound costs no more than its beginning."""
    assert len(read_samples(wav(music(3, 2.0)), 0.5)[0]) == RATE_HZ // 2


def test_what_cannot_be_heard_has_none_or_says_why() -> None:
    """Silence, a click, another format, packed samples, a format that contradicts itself."""
    assert audio_print(wav(np.zeros(RATE_HZ * 5)), FileFormat.WAV) is None
    assert audio_print(wav(np.ones(100)), FileFormat.WAV) is None
    with pytest.raises(UnsupportedFormat, match="not decoded"):
        audio_print(b"ID3", FileFormat.MP3)
    packed = bytearray(wav(np.zeros(100)))
    packed[20:22] = b"\x11\x00"
    with pytest.raises(UnsupportedFormat, match="rare way"):
        read_samples(bytes(packed), 60)
    packed[22:24] = b"\x00\x00"
    with pytest.raises(DamagedFile, match="contradicts"):
        read_samples(bytes(packed), 60)


def test_samples_that_are_no_numbers_do_no_harm() -> None:
    """Float samples may be infinite or not a number."""
    strange = music(4, 3.0)
    strange[::1000] = np.nan
    strange[5::1000] = np.inf
    with np.errstate(all="raise"):
        assert audio_print(wav(strange, code=3, bits=32), FileFormat.WAV) is not None
