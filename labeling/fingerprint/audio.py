# SPDX-License-Identifier: Apache-2.0
"""The fingerprint of a sound: pairs of peaks in its spectrogram, after Wang 2003 ("An Industrial-Strength Audio Search
Algorithm").

Where and when a sound is louder than around, in 64 bands of pitch, survives noise, another level, another sample rate
and lossy formats; a pair of peaks with their distance in time is a feature, wherever it stands in the sound. Samples
are read from WAV. Other formats have to be decoded first: nothing here decodes them.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from labeling.errors import DamagedFile, UnsupportedFormat
from labeling.fingerprint.sketch import Print, of_set
from labeling.implicit import wav
from labeling.sniff import FileFormat

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_RATE_HZ: Final = 8_000
_HOP_S: Final = 0.032
_FRAME_S: Final = 0.192
_BANDS: Final = 64
_LOWEST_HZ: Final = 250.0
_HIGHEST_HZ: Final = 3_500.0
_AROUND: Final = 4
"""Frames and bands to each side that a peak must be louder than."""
_PAIRS: Final = 4
_FARTHEST: Final = 48
"""Frames between the peaks of a pair."""
_LEAST_PAIRS: Final = 40
_SILENT_DB: Final = -40.0
"""Below, in the units of the spectrogram, there is nothing but rounding."""
_COARSE: Final = 3
"""Frames that count as one distance: a cut moves the frames against the sound."""
MOST_S: Final = 600.0
"""Only so much of a longer sound is listened to."""


def audio_print(data: bytes, file_format: FileFormat) -> Print | None:
    """The fingerprint of a sound; None for one that is too short or too even.

    Raises :class:`UnsupportedFormat` for anything but WAV, and other :class:`~labeling.errors.LabelError` for damage.
    """
    if file_format is not FileFormat.WAV:
        raise UnsupportedFormat(f"{file_format.value.name} is not decoded here; its sound has no fingerprint")
    samples, rate_hz = read_samples(data, MOST_S)
    features = _features(_peaks(_spectrogram(samples, rate_hz)))
    return Print("audio", of_set(features)) if len(features) >= _LEAST_PAIRS else None


def read_samples(data: bytes, most_s: float) -> tuple[NDArray[np.float32], int]:
    """The first ``most_s`` seconds of a WAV file, -1 to 1, mean of all channels; and the sample rate in hertz.

    Raises :class:`UnsupportedFormat` for packed samples, :class:`DamagedFile` for what contradicts itself.
    """
    content = {chunk.name: data[chunk.content : chunk.end] for chunk in reversed(wav.chunks(data))}
    head, sound = content.get(b"fmt ", b""), content.get(b"data", b"")
    if len(head) < 16:
        raise DamagedFile("the WAV file has no format; ask its maker for a sound file")
    code, channels, rate_hz, _, block, bits = struct.unpack_from("<HHIIHH", head)
    if code == _EXTENSIBLE and len(head) >= 26:
        code = struct.unpack_from("<H", head, 24)[0]
    if not 1 <= channels <= 32 or not 1_000 <= rate_hz <= 768_000 or block != channels * (bits // 8):
        raise DamagedFile("the WAV file's format contradicts itself; ask its maker for a sound file")
    sound = sound[: min(len(sound) // block, round(most_s * rate_hz)) * block]
    if code == _FLOAT and bits in (32, 64):
        samples: NDArray[Any] = np.frombuffer(sound, f"<f{bits // 8}").astype(np.float32)
    elif code == _PCM and bits == 8:
        samples = (np.frombuffer(sound, np.uint8).astype(np.float32) - 128) / 128
    elif code == _PCM and bits in (16, 32):
        samples = np.frombuffer(sound, f"<i{bits // 8}").astype(np.float32) / np.float32(1 << (bits - 1))
    elif code == _PCM and bits == 24:
        bytes_of = np.frombuffer(sound, np.uint8).reshape(-1, 3).astype(np.int32)
        high = (bytes_of[:, 2] ^ 0x80) - 0x80
        samples = (bytes_of[:, 0] | bytes_of[:, 1] << 8 | high << 16).astype(np.float32) / np.float32(1 << 23)
    else:
        raise UnsupportedFormat("the WAV file's samples are packed in a rare way; its sound has no fingerprint")
    mono = np.nan_to_num(samples.reshape(-1, channels).mean(axis=1), nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(mono, -1.0, 1.0).astype(np.float32), rate_hz


def _spectrogram(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """(frames, bands): loudness in decibels."""
    fewer = max(1, rate_hz // _RATE_HZ)
    slow = samples[: len(samples) // fewer * fewer].reshape(-1, fewer).mean(axis=1, dtype=np.float32)
    rate = rate_hz / fewer
    frame, hop = round(rate * _FRAME_S), round(rate * _HOP_S)
    if len(slow) < frame:
        return np.zeros((0, _BANDS), np.float32)
    pieces = np.lib.stride_tricks.sliding_window_view(slow, frame)[::hop]
    size = 1 << (frame - 1).bit_length()
    edges = np.geomspace(_LOWEST_HZ, min(_HIGHEST_HZ, rate / 2), _BANDS + 1) * size / rate
    lines = np.arange(size // 2 + 1)[:, None]
    starts = np.floor(edges[:-1])
    ends = np.maximum(np.floor(edges[1:]), starts + 1)
    shares = ((lines >= starts) & (lines < ends)) / (ends - starts)
    window = np.hanning(frame).astype(np.float32)
    loud = []
    for start in range(0, len(pieces), 256):
        spectra = np.fft.rfft(pieces[start : start + 256] * window, size, axis=1)
        loud.append((np.square(spectra.real) + np.square(spectra.imag)) @ shares.astype(np.float32))
    return (10 * np.log10(np.concatenate(loud) + 1e-9)).astype(np.float32)


def _peaks(loud: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, 2): frame and band of what is louder than all around it and not silent, in order of time."""
    if not len(loud) or float(loud.max()) < _SILENT_DB:
        return np.zeros((0, 2), np.int64)
    around = loud
    for axis in (0, 1):
        margins = [(0, 0), (0, 0)]
        margins[axis] = (_AROUND, _AROUND)
        padded = np.pad(around, margins, mode="edge")
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1, axis=axis).max(axis=-1)
    return np.argwhere((loud >= around) & (loud > np.max(loud) - 50.0))


def _features(peaks: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Pairs of a peak and the next few: both bands and the distance in frames."""
    found = [np.zeros(0, np.int64)]
    for step in range(1, _PAIRS + 1):
        first, second = peaks[:-step], peaks[step:]
        apart = second[:, 0] - first[:, 0]
        near = apart <= _FARTHEST
        found.append(((first[:, 1] * _BANDS + second[:, 1]) * (_FARTHEST + 1) + apart // _COARSE)[near])
    return np.unique(np.concatenate(found)).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
