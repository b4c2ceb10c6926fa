# SPDX-License-Identifier: Apache-2.0
"""The explicit label on sound: a voice clip, or the rhythm of "AI" in Morse, at the start or the end.

Implements GB 45438-2025 clause 5.3 (音频内容显式标识): a voice label with both elements, or the rhythm label
``短长 短短`` (``.- ..``), at the start, the end or a suitable place in between. Sample rate, channels and sample format
stay; the sound itself stays sample for sample.

Works on WAV with integer, float, A-law and mu-law samples, without any codec. Other formats have to be decoded first.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from labeling.errors import DamagedFile, LabelError, RefusedFile, UnsupportedFormat
from labeling.implicit import riff, wav
from labeling.sniff import FileFormat

MORSE_AI: Final = ".- .."
_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_SILENCE_S: Final = 0.3
_EDGE_S: Final = 0.005
_MAX_CLIP_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class AudioLabel:
    """How sound is labelled.

    ``clip`` is a WAV file with the spoken label, in integer samples; without it the Morse rhythm is played.
    ``unit_s`` is the length of a Morse dot, ``level`` the amplitude against full scale.
    """

    at_start: bool = True
    at_end: bool = False
    clip: bytes | None = None
    unit_s: float = 0.1
    tone_hz: float = 800.0
    level: float = 0.4

    def __post_init__(self) -> None:
        if not (self.at_start or self.at_end):
            raise LabelError("a sound label must stand at the start, at the end or at both")
        if not 0.04 <= self.unit_s <= 0.5 or not 200 <= self.tone_hz <= 3000 or not 0.05 <= self.level <= 0.9:
            raise LabelError("the sound label cannot be heard well: dot 0.04-0.5 s, tone 200-3000 Hz, level 0.05-0.9")
        if self.clip is not None:
            read_clip(self.clip)


@dataclass(frozen=True, slots=True)
class LabeledAudio:
    """The labelled file and how long the label is."""

    data: bytes
    label_s: float
    kind: str
    """``voice`` or ``rhythm``."""


@dataclass(frozen=True, slots=True)
class _Format:
    code: int
    channels: int
    rate_hz: int
    bits: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * (self.bits // 8)


def rhythm(rate_hz: int, unit_s: float, tone_hz: float) -> list[float]:
    """ "AI" in Morse (ITU-R M.1677): dot one unit, dash three, one between signs, three between letters; -1 to 1."""
    samples: list[float] = []
    edge = max(1, int(rate_hz * _EDGE_S))
    for sign in MORSE_AI:
        if sign == " ":
            # One unit of silence follows every sign already.
            samples += [0.0] * round(2 * unit_s * rate_hz)
            continue
        count = round((3 if sign == "-" else 1) * unit_s * rate_hz)
        samples += [
            math.sin(2 * math.pi * tone_hz * index / rate_hz) * min(1.0, index / edge, (count - index) / edge)
            for index in range(count)
        ]
        samples += [0.0] * round(unit_s * rate_hz)
    return samples


def label_audio(data: bytes, file_format: FileFormat, label: AudioLabel) -> LabeledAudio:
    """The sound with its label. Raises :class:`UnsupportedFormat` for anything but WAV of a common sample format."""
    if file_format is not FileFormat.WAV:
        raise UnsupportedFormat(f"{file_format.value.name} must be decoded to be labelled audibly; convert it to WAV")
    chunks = wav.chunks(data)
    sound_format = _read_format(data, chunks)
    encode = _encoder(sound_format)
    if label.clip is None:
        samples = [value * label.level for value in rhythm(sound_format.rate_hz, label.unit_s, label.tone_hz)]
    else:
        samples = _resample(*read_clip(label.clip), sound_format.rate_hz)
    silence = [0.0] * round(_SILENCE_S * sound_format.rate_hz)
    written = []
    for chunk in chunks:
        content = data[chunk.content : chunk.end]
        if chunk.name == b"data":
            whole = content[: len(content) - len(content) % sound_format.frame_bytes]
            before = _frames(samples + silence, sound_format, encode) if label.at_start else b""
            after = _frames(silence + samples, sound_format, encode) if label.at_end else b""
            content = before + whole + after
            if len(content) > 0xFFFFFF00:
                raise RefusedFile("the sound with its label exceeds the 4 GiB of a WAV file; split it")
            count = len(content) // sound_format.frame_bytes
        written.append((chunk.name, content))
    # A fact chunk counts the samples of one channel.
    parts = [
        riff.make(name, struct.pack("<I", count) + content[4:] if name == b"fact" else content)
        for name, content in written
    ]
    kind = "rhythm" if label.clip is None else "voice"
    return LabeledAudio(riff.form(b"WAVE", b"".join(parts)), len(samples) / sound_format.rate_hz, kind)


def label_samples(label: AudioLabel, rate_hz: int) -> bytes:
    """The label and the silence behind it as bare samples: 16 bits, little-endian, one channel.

    For sound that travels without a file around it: whoever sends it puts these before its first sample, and the
    hidden label beside it, because bare samples have no metadata.
    """
    sound_format = _Format(_PCM, 1, rate_hz, 16)
    if label.clip is None:
        samples = [value * label.level for value in rhythm(rate_hz, label.unit_s, label.tone_hz)]
    else:
        samples = _resample(*read_clip(label.clip), rate_hz)
    return _frames(samples + [0.0] * round(_SILENCE_S * rate_hz), sound_format, _encoder(sound_format))


def _read_format(data: bytes, chunks: Sequence[riff.Chunk]) -> _Format:
    content = next(data[chunk.content : chunk.end] for chunk in chunks if chunk.name == b"fmt ")
    if len(content) < 16:
        raise DamagedFile("the WAV file's format is cut off; ask its maker for a whole file")
    code, channels, rate_hz, _, block, bits = struct.unpack_from("<HHIIHH", content)
    if code == _EXTENSIBLE and len(content) >= 26:
        code = struct.unpack_from("<H", content, 24)[0]
    found = _Format(code, channels, rate_hz, bits)
    if not 1 <= channels <= 32 or not 1000 <= rate_hz <= 768_000 or bits % 8 or block != found.frame_bytes:
        raise DamagedFile("the WAV file's format contradicts itself; ask its maker for a sound file")
    return found


def _encoder(sound_format: _Format) -> Callable[[float], bytes]:
    """One sample from -1 to 1 as the file's bytes."""
    code, bits = sound_format.code, sound_format.bits
    if code == _PCM and bits == 8:
        return lambda value: bytes((128 + round(value * 127),))
    if code == _PCM and bits in (16, 24, 32):
        top = (1 << bits - 1) - 1
        return lambda value: round(value * top).to_bytes(bits // 8, "little", signed=True)
    if code == _FLOAT and bits in (32, 64):
        layout = "<f" if bits == 32 else "<d"
        return lambda value: struct.pack(layout, value)
    if code == _MU_LAW and bits == 8:
        return _mu_law
    if code == _A_LAW and bits == 8:
        return _a_law
    raise UnsupportedFormat("the WAV file's samples are packed in a rare way; convert it to 16-bit PCM")


def _mu_law(value: float) -> bytes:
    """ITU-T G.711 mu-law."""
    level = min(round(abs(value) * 32_635), 32_635) + 132
    exponent = level.bit_length() - 8
    mantissa = level >> exponent + 3 & 0x0F
    sign = 0x80 if value < 0 else 0
    return bytes((~(sign | exponent << 4 | mantissa) & 0xFF,))


def _a_law(value: float) -> bytes:
    """ITU-T G.711 A-law."""
    level = min(round(abs(value) * 32_767), 32_767) >> 3
    exponent = max(0, level.bit_length() - 5)
    mantissa = level >> max(exponent, 1) & 0x0F
    sign = 0x80 if value >= 0 else 0
    return bytes(((sign | exponent << 4 | mantissa) ^ 0x55,))


def _frames(samples: Sequence[float], sound_format: _Format, encode: Callable[[float], bytes]) -> bytes:
    """The same sound on every channel."""
    known: dict[float, bytes] = {}
    written = []
    for value in samples:
        frame = known.get(value)
        if frame is None:
            frame = encode(max(-1.0, min(1.0, value))) * sound_format.channels
            known[value] = frame
        written.append(frame)
    return b"".join(written)


def read_clip(data: bytes) -> tuple[list[float], int]:
    """Samples of the first channel, -1 to 1, and the rate of a WAV file with 8- or 16-bit samples."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise LabelError("the spoken label must be a WAV file")
    chunks = wav.chunks(data)
    sound_format = _read_format(data, chunks)
    if sound_format.code != _PCM or sound_format.bits not in (8, 16):
        raise LabelError("the spoken label must have 8- or 16-bit PCM samples; convert the clip")
    content = next(data[chunk.content : chunk.end] for chunk in chunks if chunk.name == b"data")
    count = len(content) // sound_format.frame_bytes
    if not 0 < count <= _MAX_CLIP_S * sound_format.rate_hz:
        raise LabelError(f"the spoken label must have some sound and {_MAX_CLIP_S:.0f} seconds at most")
    whole = content[: count * sound_format.frame_bytes]
    if sound_format.bits == 8:
        return [(value - 128) / 128 for value in whole[:: sound_format.channels]], sound_format.rate_hz
    values = struct.unpack(f"<{count * sound_format.channels}h", whole)
    return [value / 32_768 for value in values[:: sound_format.channels]], sound_format.rate_hz


def _resample(samples: Sequence[float], rate_hz: int, wanted_hz: int) -> list[float]:
    """Linear interpolation: enough for speech that has to be understood."""
    if rate_hz == wanted_hz:
        return list(samples)
    count = max(1, len(samples) * wanted_hz // rate_hz)
    step = rate_hz / wanted_hz
    result = []
    last = len(samples) - 1
    for index in range(count):
        place = index * step
        left = min(int(place), last)
        right = min(left + 1, last)
        result.append(samples[left] + (samples[right] - samples[left]) * (place - left))
    return result
