# SPDX-License-Identifier: Apache-2.0
"""The audible label in the formats that sessions speak."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from gateway.realtime_sound import PCM16, OpeningSounds, SoundFormat, opening_samples, sound_format
from labeling.explicit.audio import AudioLabel

MU_LAW, A_LAW = SoundFormat(7, 8_000, 8), SoundFormat(6, 8_000, 8)


def now(form: Any, rate: Any = None) -> dict[str, Any]:
    """A session in the current form."""
    return {"audio": {"output": {"format": {"type": form, **({} if rate is None else {"rate": rate})}}}}


@pytest.mark.parametrize(
    ("document", "form"),
    [
        (now("audio/pcm", 24_000), PCM16),
        (now("audio/pcm"), PCM16),
        (now("audio/pcm", 16_000), SoundFormat(1, 16_000, 16)),
        (now("audio/pcmu"), MU_LAW),
        (now("audio/pcma"), A_LAW),
        ({"output_audio_format": "pcm16"}, PCM16),
        ({"output_audio_format": "g711_ulaw"}, MU_LAW),
        ({"output_audio_format": "g711_alaw"}, A_LAW),
        ({}, ""),
        ({"audio": {"output": {"voice": "x"}}}, ""),
        (now("audio/opus"), "unknown"),
        (now("audio/pcm", "fast"), "unknown"),
        (now("audio/pcm", 5), "unknown"),
        (now("audio/pcmu", 16_000), "unknown"),
        ({"output_audio_format": 5}, "unknown"),
    ],
)
def test_the_format_is_read_in_both_forms(document: dict[str, Any], form: Any) -> None:
    """What nobody here knows is not taken for something else."""
    assert sound_format(document) == form


def test_the_label_is_the_rhythm_with_silence_behind_it() -> None:
    """GB 45438-2025 clause 5.3: short, long; short, short; 0.3 s of silence behind it; not a quiet one."""
    samples = opening_samples(AudioLabel(), PCM16)
    seconds = len(samples) / 2 / 24_000
    assert 1.2 < seconds < 1.8
    values = [int.from_bytes(samples[at : at + 2], "little", signed=True) for at in range(0, len(samples), 2)]
    assert max(values) > 10_000 and not any(values[-int(0.29 * 24_000) :])
    assert (
        len(opening_samples(AudioLabel(), MU_LAW))
        == len(opening_samples(AudioLabel(), A_LAW))
        == round(seconds * 8_000)
    )


def test_it_is_made_once_for_each_format() -> None:
    """And none where the interface says it."""
    sounds = OpeningSounds(AudioLabel(unit_s=0.04))
    first, seconds = asyncio.run(sounds.opening(MU_LAW))
    again, _ = asyncio.run(sounds.opening(MU_LAW))
    assert again is first and abs(len(base64.b64decode(first)) / 8_000 - seconds) < 0.001
    assert sounds.is_audible
    silent = OpeningSounds(None)
    assert asyncio.run(silent.opening(MU_LAW)) == ("", 0.0) and not silent.is_audible
