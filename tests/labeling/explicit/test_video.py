# SPDX-License-Identifier: Apache-2.0
"""Films show the label from their first frame on, measured on the result; sounds and times stay as they were."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from labeling import child
from labeling.errors import DamagedFile, LabelError, RefusedFile, UnsupportedFormat
from labeling.explicit import video
from labeling.explicit.image import ImageLabel
from labeling.explicit.typeface import choose, ink_height
from labeling.explicit.video import VideoLabel, label_film
from labeling.sniff import FileFormat, sniff

av = pytest.importorskip("av")

WORDS = "AI生成"
LABEL = VideoLabel(ImageLabel(WORDS, 500))
RATE = 12


def film(
    container: str = "mp4",
    codec: str = "libx264",
    sound: str = "aac",
    *,
    size: tuple[int, int] = (320, 240),
    seconds: float = 3.0,
    turn: int = 0,
    pixels: str = "yuv420p",
    films: int = 1,
) -> bytes:
    """A film with a moving pattern and a tone."""
    out = io.BytesIO()
    width, height = size
    with av.open(out, "w", format=container) as made:
        streams = [made.add_stream(codec, rate=RATE, options={"preset": "ultrafast"}) for _ in range(films)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            if turn:
                stream.set_display_rotation(float(turn))
        tone = made.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for number in range(round(seconds * RATE)):
            frame = np.full((height, width, 3), 200, np.uint8)
            frame[..., 0] = (np.arange(width) * 255 // width + number * 9) % 256
            frame[..., 1] = (np.arange(height) * 255 // height)[:, None]
            for stream in streams:
                made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        for stream in streams:
            made.mux(stream.encode(None))
        if tone is not None:
            wave = (np.sin(np.arange(int(48_000 * seconds)) / 10) * 8_000).astype(np.int16)
            resampler = av.AudioResampler(format=tone.codec_context.format, layout="mono", rate=48_000)
            for start in range(0, len(wave), 960):
                piece = av.AudioFrame.from_ndarray(
                    wave[start : start + 960].reshape(1, -1), format="s16", layout="mono"
                )
                piece.sample_rate, piece.pts = 48_000, start
                for ready in resampler.resample(piece):
                    made.mux(tone.encode(ready))
            made.mux(tone.encode(None))
    return out.getvalue()


def read(data: bytes) -> tuple[list[tuple[float, Any]], list[bytes], float]:
    """Times and upright pictures of the frames, the packets of the sound, and the length in seconds."""
    with av.open(io.BytesIO(data)) as given:
        frames = [
            (round(frame.time, 3), frame.to_image().rotate(frame.rotation, expand=True).convert("L"))
            for frame in given.decode(video=0)
        ]
    with av.open(io.BytesIO(data)) as given:
        packets = [bytes(packet) for packet in given.demux(audio=0) if packet.size] if given.streams.audio else []
        return frames, packets, (given.duration or 0) / 1_000_000


def letters(picture: Any, words: str = WORDS, height_bp: int = 500) -> int:
    """Height of the least tall letter in the lower right corner, found by its bright ink on a dark plate."""
    width, height = picture.width, picture.height
    ink_px = -(-min(width, height) * height_bp // 10_000)
    drawing = choose(words).draw([words], ink_px)
    corner = picture.crop((width - drawing.mask.width - ink_px, height - 2 * ink_px, width, height))
    return ink_height(corner, 190)


@pytest.mark.parametrize(
    ("container", "codec", "sound"),
    [
        ("mp4", "libx264", "aac"),
        ("mov", "libx264", "aac"),
        ("matroska", "libx264", "aac"),
        ("webm", "libvpx-vp9", "libopus"),
        ("avi", "mpeg4", "mp2"),
        ("flv", "flv", "libmp3lame"),
    ],
)
def test_every_container_keeps_its_sound_and_times_and_shows_the_label(container: str, codec: str, sound: str) -> None:
    """Sound packet for packet, frames at the same times; words while they must be seen, and not a second longer."""
    data = film(container, codec, sound)
    made = label_film(data, sniff(data), LABEL)
    before, after = read(data), read(made.data)
    assert sniff(made.data) is sniff(data)
    assert before[1] and after[1] == before[1]
    assert [at for at, _ in after[0]] == pytest.approx([at for at, _ in before[0]], abs=0.002)
    assert after[2] == pytest.approx(before[2], abs=1.5 / RATE)
    assert made.ink_px >= made.required_px == 12 and made.frames == len(after[0])
    begin = after[0][0][0]
    for at, picture in after[0]:
        if at - begin <= 2.0:
            assert letters(picture) >= 12
    last = before[0][-1][1].crop((200, 200, 320, 240)), after[0][-1][1].crop((200, 200, 320, 240))
    assert np.abs(np.asarray(last[0], int) - np.asarray(last[1], int)).mean() < 6


@pytest.mark.parametrize("turn", [90, -90, 180])
def test_a_film_that_players_turn_has_the_label_upright_where_people_look(turn: int) -> None:
    """And stays turned: the frames in the file lie as they lay."""
    made = label_film(film(turn=turn, seconds=1.0), FileFormat.MP4, LABEL)
    frames, _, _ = read(made.data)
    assert frames[0][1].size == ((240, 320) if abs(turn) == 90 else (320, 240))
    assert all(letters(picture) >= 12 for _, picture in frames)


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv422p", "yuv420p10le"])
def test_other_ways_to_store_colours_are_kept(pixels: str) -> None:
    """Also ten bits."""
    made = label_film(film(pixels=pixels, seconds=0.5), FileFormat.MP4, LABEL)
    with av.open(io.BytesIO(made.data)) as given:
        assert given.streams.video[0].pix_fmt == pixels
    assert made.labelled == made.frames == 6


def test_odd_sizes_and_silent_films_are_labelled() -> None:
    """A corner that ends in the middle of a colour sample, and no sound."""
    made = label_film(film(size=(162, 122), seconds=0.5, sound=""), FileFormat.MP4, LABEL)
    assert made.required_px == 9 and made.ink_px >= 9


def test_progress_is_told_while_the_work_goes_on() -> None:
    """Rising, from 0 to 1."""
    told: list[float] = []
    label_film(film(seconds=2.0), FileFormat.MP4, LABEL, told.append)
    assert told and told == sorted(told) and 0 < told[0] <= told[-1] <= 1


@pytest.mark.parametrize(
    ("data", "kind", "label", "error"),
    [
        (film()[:4_000], FileFormat.MP4, LABEL, DamagedFile),
        (b"\x1aE\xdf\xa3" + bytes(200), FileFormat.MKV, LABEL, DamagedFile),
        (film(films=2, seconds=0.5), FileFormat.MP4, LABEL, UnsupportedFormat),
        (film(size=(32, 24), seconds=0.5), FileFormat.MP4, LABEL, UnsupportedFormat),
        (film(seconds=2.0), FileFormat.MP4, VideoLabel(LABEL.image, max_s=1.0), RefusedFile),
        (film(seconds=0.5), FileFormat.MP4, VideoLabel(LABEL.image, max_pixels=1_000), RefusedFile),
        (film(seconds=0.5), FileFormat.PNG, LABEL, UnsupportedFormat),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", FileFormat.MP4, LABEL, DamagedFile),
    ],
)
def test_a_film_that_cannot_be_labelled_is_refused(
    data: bytes, kind: FileFormat, label: VideoLabel, error: type[LabelError]
) -> None:
    """Cut off, empty, ambiguous, too small, too long, too large, no film; a play list opens no file."""
    with pytest.raises(error):
        label_film(data, kind, label)


def test_a_film_that_takes_too_long_is_given_up() -> None:
    """The process is killed; nothing of it is left."""
    slow = VideoLabel(LABEL.image, timeout_s=0.05)
    with pytest.raises(RefusedFile, match=r"0\.05 seconds"):
        label_film(film(seconds=0.5), FileFormat.MP4, slow)


def test_a_process_that_dies_is_an_error_and_no_film(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever killed it."""
    monkeypatch.setattr(child, "_PRELUDE", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(LabelError, match="stopped with status"):
        label_film(b"film", FileFormat.MP4, LABEL)


def test_without_the_library_films_are_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the provider's choice to install it."""
    monkeypatch.setattr(video, "can_label_films", lambda: False)
    with pytest.raises(UnsupportedFormat, match="pip install av"):
        label_film(b"film", FileFormat.MP4, LABEL)


@pytest.mark.parametrize("wrong", [{"seconds": 0.0}, {"max_s": 0.0}, {"timeout_s": -1.0}])
def test_a_label_that_nobody_could_see_is_no_label(wrong: dict[str, float]) -> None:
    """Refused where it is made."""
    with pytest.raises(LabelError):
        VideoLabel(LABEL.image, **wrong)
