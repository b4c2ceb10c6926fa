# SPDX-License-Identifier: Apache-2.0
"""The audible label of realtime answers (GB 45438-2025 clause 5.3) as samples in the formats that sessions speak.

The sound of a session is bare samples without a file around them, so the label is put before the first of each
response: the spoken clip, or the rhythm of "AI" in Morse. Bare samples have no metadata; the hidden label travels in
the events (`aigc`), and an app that keeps the sound as a file has to write it there.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from labeling.explicit.audio import AudioLabel, label_audio
from labeling.implicit import wav
from labeling.sniff import FileFormat


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """Samples of one channel. `code` is that of a WAV file: 1 linear, 6 A-law, 7 mu-law."""

    code: int
    rate_hz: int
    bits: int


PCM16: Final = SoundFormat(1, 24_000, 16)
_FORMATS: Final = {
    "audio/pcm": PCM16,
    "pcm16": PCM16,
    "audio/pcmu": SoundFormat(7, 8_000, 8),
    "g711_ulaw": SoundFormat(7, 8_000, 8),
    "audio/pcma": SoundFormat(6, 8_000, 8),
    "g711_alaw": SoundFormat(6, 8_000, 8),
}


def sound_format(document: Mapping[str, Any]) -> SoundFormat | str:
    """The format of the answers' sound that a session or a response names, in the current or the beta form.

    Empty where it names none, the name itself where nobody here knows it.
    """
    audio = document.get("audio")
    output = audio.get("output") if isinstance(audio, Mapping) else None
    named: Any = output.get("format") if isinstance(output, Mapping) else document.get("output_audio_format")
    rate: Any = None
    if isinstance(named, Mapping):
        named, rate = named.get("type"), named.get("rate")
    if named is None:
        return ""
    known = _FORMATS.get(named) if isinstance(named, str) else None
    if known is None or (rate is not None and rate != known.rate_hz and named != "audio/pcm"):
        return "unknown"
    if rate is None or rate == known.rate_hz:
        return known
    is_rate = isinstance(rate, int) and not isinstance(rate, bool) and 8_000 <= rate <= 192_000
    return SoundFormat(known.code, rate, known.bits) if is_rate else "unknown"


class OpeningSounds:
    """The label as sound, made once for each format. `label` is None where the provider's interface says it."""

    def __init__(self, label: AudioLabel | None) -> None:
        self._label = label
        self._made: dict[SoundFormat, tuple[str, float]] = {}

    @property
    def is_audible(self) -> bool:
        """Whether sound gets a label of its own."""
        return self._label is not None

    async def opening(self, form: SoundFormat) -> tuple[str, float]:
        """The label in base64, and its length in seconds; empty where there is none. Made off the event loop."""
        if self._label is None:
            return "", 0.0
        found = self._made.get(form)
        if found is None:
            samples = await asyncio.to_thread(opening_samples, self._label, form)
            found = base64.b64encode(samples).decode(), len(samples) / (form.bits // 8) / form.rate_hz
            if len(self._made) < _MOST_FORMATS:
                self._made[form] = found
        return found


_MOST_FORMATS: Final = 16


def opening_samples(label: AudioLabel, form: SoundFormat) -> bytes:
    """The label's samples and the silence behind them: what an empty WAV file holds once it was labelled."""
    block = form.bits // 8
    head = struct.pack("<HHIIHH", form.code, 1, form.rate_hz, form.rate_hz * block, block, form.bits)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", 0)
    labelled = label_audio(b"RIFF" + struct.pack("<I", len(body)) + body, FileFormat.WAV, label).data
    return next(labelled[chunk.content : chunk.end] for chunk in wav.chunks(labelled) if chunk.name == b"data")
