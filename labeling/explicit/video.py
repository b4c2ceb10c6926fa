# SPDX-License-Identifier: Apache-2.0
"""The explicit label on films: words in a corner from the first frame on, for at least the asked seconds, measured.

Implements GB 45438-2025 clause 5.4 (视频内容显式标识): on the start frame and for at least two seconds at normal speed,
characters of at least 5 % of the shorter side. The pictures are encoded anew with the codec that they had, frame for
frame at the same times; sounds and subtitles are copied packet for packet. What was written is decoded again and the
ink of its letters measured.

Films need PyAV (``pip install av``). Its wheel holds FFmpeg with parts under the GPL, so this package neither depends
on it nor asks for it: whoever installs it decides. Without it films are refused. A film is a stranger's file of many
formats, so :func:`label_film` works in a process of its own, with limits on memory, size and time.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from labeling.child import child_command
from labeling.errors import DamagedFile, LabelError, LabelNotVerified, RefusedFile, UnsupportedFormat
from labeling.explicit.image import ImageLabel, place
from labeling.explicit.typeface import ink_height
from labeling.sniff import FileFormat

Progress = Callable[[float], None]
"""Told how much is done, from 0 to 1."""

# How FFmpeg names the containers. The bytes chose the format: a film must not make FFmpeg choose another reader.
_CONTAINERS: Final = {
    FileFormat.MP4: ("mov", "mp4"),
    FileFormat.MOV: ("mov", "mov"),
    FileFormat.MKV: ("matroska", "matroska"),
    FileFormat.WEBM: ("matroska", "webm"),
    FileFormat.AVI: ("avi", "avi"),
    FileFormat.FLV: ("flv", "flv"),
}
_ENCODERS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "20"}),
    "hevc": ("libx265", {"preset": "veryfast", "crf": "22", "x265-params": "log-level=error"}),
    "vp8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "6M"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "28", "b": "0", "row-mt": "1"}),
    "av1": ("libsvtav1", {"preset": "10", "crf": "28", "svtav1-params": "log-level=0"}),
    "mpeg4": ("mpeg4", {"qmin": "2", "qmax": "5", "b": "8M"}),
    "flv1": ("flv", {"qmin": "2", "qmax": "5", "b": "8M"}),
    "mjpeg": ("mjpeg", {"qmin": "2", "qmax": "4", "b": "20M"}),
}
"""The encoder for each codec, at a quality that people do not tell from what came."""
_PLAIN_FORMATS: Final = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv420p10le")
_PLATE_OPACITY: Final = 0.7
_MEASURE_THRESHOLD: Final = 150
_EXTRA_PX: Final = (1, 3, 6)
"""Lossy encoding can blur a row of ink away; the label is then drawn taller."""
_SAMPLES_S: Final = 0.5
"""How far apart the frames are on which the label is measured."""


@dataclass(frozen=True, slots=True)
class VideoLabel:
    """How a film is labelled: words, height and corner as on a picture, for ``seconds`` from the first frame on.

    ``max_s``, ``max_pixels`` (of one frame) bound the film; ``timeout_s`` and ``memory_bytes`` the process that works.
    """

    image: ImageLabel
    seconds: float = 2.0
    max_s: float = 600.0
    max_pixels: int = 8_912_896
    timeout_s: float = 600.0
    memory_bytes: int = 6 << 30

    def __post_init__(self) -> None:
        if not self.seconds > 0 or not self.max_s > 0 or not self.timeout_s > 0:
            raise LabelError("the label of a film must be shown for some time, and films must be allowed some")


@dataclass(frozen=True, slots=True)
class LabeledVideo:
    """The finished film, and what was measured on it."""

    data: bytes
    ink_px: int
    required_px: int
    frames: int
    """How many frames the film has."""
    labelled: int
    """On how many of them the words stand."""


def can_label_films() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def _pyav() -> Any:
    """The library; its types are known only where it is installed."""
    return importlib.import_module("av")


def label_film(
    data: bytes, file_format: FileFormat, label: VideoLabel, progress: Progress | None = None
) -> LabeledVideo:
    """The film with the label, in the same container and codec, made in a process of its own.

    Raises :class:`UnsupportedFormat` where films or this codec cannot be encoded here, :class:`RefusedFile` beyond a
    limit, :class:`DamagedFile`, :class:`LabelNotVerified`, and :class:`LabelError` where the process died.
    """
    if file_format not in _CONTAINERS:
        raise UnsupportedFormat(f"{file_format.value.name} is no film that can be labelled; convert it to MP4")
    if not can_label_films():
        raise UnsupportedFormat(
            "films are labelled with PyAV, which is not installed: `pip install av` (parts of it are under the GPL)"
        )
    with tempfile.TemporaryDirectory(prefix="film-") as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        source.write_bytes(data)
        asked = {
            "source": str(source),
            "target": str(target),
            "format": file_format.name,
            "label": asdict(label) | {"image": asdict(label.image) | {"font": _text(label.image.font)}},
        }
        told = _run(asked, label, progress)
        return LabeledVideo(target.read_bytes(), **told)


def _text(font: Path | None) -> str | None:
    return None if font is None else str(font)


def _run(asked: dict[str, Any], label: VideoLabel, progress: Progress | None) -> dict[str, int]:
    """What the child says at its end."""
    command = child_command(
        "labeling.explicit.video", memory_bytes=label.memory_bytes, cpu_s=int(label.timeout_s * _CORES_AT_MOST)
    )
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as child:  # fmt: skip
        assert child.stdin is not None and child.stdout is not None
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            child.kill()

        timer = threading.Timer(label.timeout_s, stop)
        timer.start()
        last: dict[str, Any] = {}
        try:
            child.stdin.write(json.dumps(asked))
            child.stdin.close()
            for line in child.stdout:
                last = json.loads(line)
                if progress is not None and "progress" in last:
                    progress(float(last["progress"]))
        except (OSError, ValueError):
            last = {}  # the child died in the middle of a word
        finally:
            timer.cancel()
            child.kill()
    if is_late.is_set():
        raise RefusedFile(f"the film could not be labelled within {label.timeout_s:g} seconds; make it shorter")
    if "error" in last:
        raise _ERRORS.get(last["error"], LabelError)(last["message"])
    if "done" not in last:
        raise LabelError(f"the film could not be labelled: the process stopped with status {child.returncode}")
    done: dict[str, int] = last["done"]
    return done


_CORES_AT_MOST: Final = 8  # an encoder works on several at once
_ERRORS: Final = {kind.__name__: kind for kind in (UnsupportedFormat, DamagedFile, RefusedFile, LabelNotVerified)}


def answer_child() -> None:
    """What the child process does: label one file into another, and tell line by line how it goes."""
    _work(json.load(sys.stdin), lambda told: print(json.dumps(told), flush=True))


def _work(asked: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    given = dict(asked["label"])
    image = dict(given.pop("image"))
    font = image.pop("font")
    label = VideoLabel(ImageLabel(**image, font=Path(font) if font else None), **given)
    try:
        made = _label(
            Path(asked["source"]),
            Path(asked["target"]),
            FileFormat[asked["format"]],
            label,
            lambda share: tell({"progress": round(share, 3)}),
        )
    except LabelError as error:
        tell({"error": type(error).__name__, "message": str(error)})
        return
    tell({"done": made})


def _label(
    source: Path, target: Path, file_format: FileFormat, label: VideoLabel, progress: Progress
) -> dict[str, int]:
    """Label the film; gives the numbers of :class:`LabeledVideo`."""
    av = _pyav()
    av.logging.set_level(None)
    measured, required = 0, 0
    for extra_px in _EXTRA_PX:
        try:
            plate, frames, labelled = _encode(source, target, file_format, label, extra_px, progress)
            required = label.image.ink_px(plate.shown)
            measured = _measure(target, file_format, plate, label.seconds)
        except (av.FFmpegError, ValueError, EOFError, OverflowError) as error:
            # FFmpeg's words can quote the file, so only the kind is passed on.
            raise DamagedFile(
                f"the film cannot be decoded or encoded ({type(error).__name__}); ask its maker for a sound file"
            ) from None
        if measured >= required:
            return {"ink_px": measured, "required_px": required, "frames": frames, "labelled": labelled}
    raise LabelNotVerified(
        f"the label on the film measures {measured} pixels where {required} are asked for; it must not be given out"
    )


class _Plate:
    """The drawn words and their plate for one size of frames, as they stand in the file."""

    def __init__(self, label: ImageLabel, stored: tuple[int, int], turn: int, extra_px: int) -> None:
        """`turn` is by how many degrees a player turns the frames counterclockwise."""
        width, height = stored
        self.shown = (height, width) if turn in (90, 270) else stored
        self.turn = turn
        placed = place(label, self.shown, extra_px)
        left, top, right, bottom = placed.box
        # Colours of films are stored for two by two pixels together.
        left, top, right, bottom = left & ~1, top & ~1, min(-(-right // 2) * 2, self.shown[0]), bottom
        bottom = min(-(-bottom // 2) * 2, self.shown[1])
        self.shown_box = (left, top, right, bottom)
        self.words_at = (placed.box[0] + placed.words_at[0], placed.box[1] + placed.words_at[1])
        self.character_boxes = placed.drawing.character_boxes
        mask = Image.new("L", (right - left, bottom - top))
        mask.paste(placed.drawing.mask, (self.words_at[0] - left, self.words_at[1] - top))
        self.mask = np.asarray(mask.rotate(-turn, expand=True), dtype=np.float32) / 255
        self.box = {
            0: (left, top, right, bottom),
            90: (width - bottom, left, width - top, right),
            180: (width - right, height - bottom, width - left, height - top),
            270: (top, height - right, bottom, height - left),
        }[turn]

    def draw(self, frame: Any) -> None:
        """Draw on a frame whose planes are luma and two of colour."""
        frame.make_writable()
        bits = frame.format.components[0].bits
        kind = np.dtype(np.uint8 if bits == 8 else np.uint16)
        white, middle = (1 << bits) - 1, 1 << (bits - 1)
        for index, plane in enumerate(frame.planes):
            pixels = np.frombuffer(plane, dtype=kind).reshape(plane.height, plane.line_size // kind.itemsize)
            across, down = self._shrunk(frame, plane.width, plane.height)
            left, top, right, bottom = self.box
            area = pixels[top // down : -(-bottom // down), left // across : -(-right // across)]
            if index == 0:
                dark = area * (1 - _PLATE_OPACITY)
                area[:] = (dark + (white * 0.92 - dark) * self.mask).astype(kind)
            else:
                cover = np.maximum(self.mask[::down, ::across][: area.shape[0], : area.shape[1]], _PLATE_OPACITY)
                area[:] = (area + (middle - area.astype(np.float32)) * cover).astype(kind)

    @staticmethod
    def _shrunk(frame: Any, width: int, height: int) -> tuple[int, int]:
        """How many pixels of the frame one of a plane stands for, across and down."""
        return -(-frame.width // width), -(-frame.height // height)


def _film_of(container: Any, label: VideoLabel) -> Any:
    """The one stream of pictures."""
    av = _pyav()
    films = [
        stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if len(films) != 1:
        raise UnsupportedFormat(f"the film has {len(films)} streams of pictures where one is expected; separate them")
    film = films[0]
    if film.codec_context.name == "" or film.width < 1 or film.height < 1:
        raise DamagedFile("the film does not say how large its pictures are; ask its maker for a sound file")
    if film.width * film.height > label.max_pixels:
        raise RefusedFile(f"the film's pictures have more than {label.max_pixels} pixels; make them smaller")
    if container.duration is not None and container.duration / 1_000_000 > label.max_s:
        raise RefusedFile(f"the film is longer than {label.max_s:g} seconds; cut it, or raise the limit")
    return film


def _encode(
    source: Path, target: Path, file_format: FileFormat, label: VideoLabel, extra_px: int, progress: Progress
) -> tuple[_Plate, int, int]:
    """Write the labelled film; gives the plate, how many frames there are, and on how many it stands."""
    av = _pyav()
    reader, writer = _CONTAINERS[file_format]
    with av.open(str(source), format=reader) as given, av.open(str(target), "w", format=writer) as made:
        film = _film_of(given, label)
        film.thread_type = "AUTO"
        out = _output(made, film)
        copies = {}
        for stream in given.streams:
            if stream.type in ("audio", "subtitle"):
                try:
                    copies[stream.index] = made.add_stream_from_template(stream)
                except ValueError:
                    raise UnsupportedFormat(
                        "a sound of the film has a codec that cannot be copied; convert it"
                    ) from None
        made.metadata.update(given.metadata)
        length = float(film.duration * film.time_base) if film.duration and film.time_base else None
        length = length or (given.duration or 0) / 1_000_000 or None
        plate: _Plate | None = None
        begin, frames, labelled, told = 0.0, 0, 0, 0.0
        early: list[Any] = []  # the first packet that is written ends the head, which says how the film is turned
        for packet in given.demux([film, *(given.streams[index] for index in copies)]):
            if packet.stream.index in copies:
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    early.append(packet)
                if plate is not None:
                    made.mux(early)
                    early.clear()
                continue
            for frame in packet.decode():
                if frame.pts is None or frame.time is None:
                    raise DamagedFile("a frame of the film has no time; ask its maker for a sound file")
                drawn = frame if frame.format.name == out.pix_fmt else frame.reformat(format=out.pix_fmt)
                if plate is None:
                    begin = frame.time
                    turn = frame.rotation % 360
                    if turn % 90:
                        raise UnsupportedFormat("the film is turned by an odd angle; convert it upright")
                    if turn:
                        out.set_display_rotation(float(frame.rotation))
                    plate = _Plate(label.image, (frame.width, frame.height), turn, extra_px)
                if frame.time - begin > label.max_s:
                    raise RefusedFile(f"the film is longer than {label.max_s:g} seconds; cut it, or raise the limit")
                if frame.time - begin <= label.seconds:  # the frame on which the time ends shows it to its own end
                    plate.draw(drawn)
                    labelled += 1
                drawn.pict_type = 0  # the encoder's own choice, not that of the one before
                frames += 1
                made.mux(out.encode(drawn))
                if length and (share := min((frame.time - begin) / length, 1.0)) - told >= 0.02:
                    told = share
                    progress(share)
        if plate is None:
            raise DamagedFile("the film has no frame; ask its maker for a whole file")
        made.mux(early)
        made.mux(out.encode(None))
    return plate, frames, labelled


def _output(made: Any, film: Any) -> Any:
    """The stream that is written: codec, size, times and colours of the one that is read."""
    av = _pyav()
    context = film.codec_context
    encoder, options = _ENCODERS.get(context.name, _ENCODERS.get(_family(context), ("", {})))
    if encoder not in av.codecs_available:
        raise UnsupportedFormat("the film's codec cannot be encoded here; convert it to H.264")
    codec = av.Codec(encoder, "w")
    known = {found.name for found in codec.video_formats or ()}
    out: Any = made.add_stream(encoder, rate=film.average_rate or film.guessed_rate or 25, options=dict(options))
    out.width, out.height = context.width, context.height
    is_kept = context.pix_fmt in _PLAIN_FORMATS and context.pix_fmt in known
    out.pix_fmt = context.pix_fmt if is_kept else "yuv420p"
    out.codec_context.time_base = film.time_base
    if film.sample_aspect_ratio:
        out.codec_context.sample_aspect_ratio = film.sample_aspect_ratio
    for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
        setattr(out.codec_context, name, getattr(context, name))
    out.thread_type = "AUTO"
    return out


def _family(context: Any) -> str:
    """The codec's own name where a decoder has another, such as `libdav1d` for `av1`."""
    return str(context.codec.canonical_name)


def _measure(target: Path, file_format: FileFormat, plate: _Plate, seconds: float) -> int:
    """The least height of a character on the finished film while it must be seen."""
    av = _pyav()
    heights: list[int] = []
    with av.open(str(target), format=_CONTAINERS[file_format][0]) as made:
        begin: float | None = None
        due = 0.0
        for frame in made.decode(video=0):
            if frame.time is None:
                raise LabelNotVerified("a frame of the labelled film has no time; it must not be given out")
            begin = frame.time if begin is None else begin
            at = frame.time - begin
            if at > seconds:
                break
            if at >= due:
                due = at + _SAMPLES_S
                heights += _heights(frame, plate)
    if not heights:
        raise LabelNotVerified("the labelled film cannot be decoded again; it must not be given out")
    return min(heights)


def _heights(frame: Any, plate: _Plate) -> Iterator[int]:
    grey = frame.to_image().convert("L").rotate(frame.rotation, expand=True)
    x, y = plate.words_at
    for left, upper, right, lower in plate.character_boxes:
        yield ink_height(grey.crop((x + left, y + upper, x + right, y + lower)), _MEASURE_THRESHOLD)
