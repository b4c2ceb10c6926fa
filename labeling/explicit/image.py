# SPDX-License-Identifier: Apache-2.0
"""The explicit label on images: words at a corner, tall enough, legible on anything, measured on the finished file.

Implements GB 45438-2025 clause 5.2 (图片内容显式标识): text with both elements at an edge or corner, height at least
5 % of the shorter side. White words stand on a dark plate, so that the background does not matter. Every frame of an
animation and every page of a TIFF gets the label. An image that EXIF shows rotated is turned upright first, so that
"corner" and "height" are those that people see. What was written is decoded again and its ink measured; a file whose
label fell short is not given out.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin

from labeling.errors import DECODER_ERRORS, DamagedFile, LabelError, LabelNotVerified, RefusedFile, UnsupportedFormat
from labeling.explicit.typeface import Drawing, choose, ink_height
from labeling.sniff import FileFormat

CORNERS: Final = ("top-left", "top-right", "bottom-left", "bottom-right")
_PLATE_OPACITY: Final = 178
# On the plate no background is brighter than this; ink lies half-way between it and white.
_MEASURE_THRESHOLD: Final = 166
# Lossy encoding can blur a row of ink away; the label is then drawn a little taller.
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class ImageLabel:
    """How an image is labelled.

    ``height_bp`` is the least height of the characters in ten-thousandths of the shorter side (500 is 5 %), a number of
    the policy. ``legible_px`` is the least height that people can read; a small image gets at least that.
    ``font`` is a font file, or None to look for one.
    """

    words: str
    height_bp: int
    corner: str = "bottom-right"
    legible_px: int = 9
    font: Path | None = None
    max_pixels: int = 80_000_000

    def __post_init__(self) -> None:
        if self.corner not in CORNERS:
            raise LabelError(f"the corner of an image label must be one of {', '.join(CORNERS)}")
        if not 1 <= self.height_bp <= 5000 or self.legible_px < 5:
            raise LabelError("the height of an image label must be 1 to 5000 basis points and legible from 5 pixels")
        if not any(character.isalnum() for character in self.words):
            raise LabelError("the words of an image label hold no letter")

    def ink_px(self, size: tuple[int, int]) -> int:
        """The least height of the characters on an image of that size, in pixels."""
        return max(-(-min(size) * self.height_bp // 10_000), self.legible_px)


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """The finished file, and what was measured on it."""

    data: bytes
    ink_px: int
    """Height of the smallest character, measured on the decoded result."""
    required_px: int
    typeface: str
    frames: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """A drawing with its place: the plate's box in the image, and where the words begin in it."""

    drawing: Drawing
    box: tuple[int, int, int, int]
    words_at: tuple[int, int]


class Finish(Protocol):
    """What is done to each frame before it is encoded, such as a watermark."""

    def __call__(self, frame: Image.Image) -> Image.Image:
        """The frame as it is encoded; same size."""
        ...

    def see(self, result: Image.Image) -> None:
        """Look at the finished file, decoded, at its first frame."""
        ...


def label_image(data: bytes, file_format: FileFormat, label: ImageLabel, finish: Finish | None = None) -> LabeledImage:
    """The image with the label, in the same format; ``finish`` sees each frame after the label was drawn.

    Raises :class:`UnsupportedFormat` where the image is too small for a legible label or its format cannot be encoded
    here; :class:`RefusedFile` where it is too large; :class:`DamagedFile`; :class:`LabelNotVerified`.
    """
    if file_format.medium != "image" or file_format in (FileFormat.SVG, FileFormat.HEIC):
        raise UnsupportedFormat(f"{file_format.value.name} cannot be drawn on here; convert it to PNG, JPEG or WebP")
    typeface = choose(label.words, label.font)
    with _open(data, file_format, label.max_pixels) as source:
        frames = _frames(source, label.max_pixels)
        upright = frames[0].size
        required_px = label.ink_px(upright)
        measured_px = 0
        for extra_px in range(_ATTEMPTS):
            places = {size: _place(label, typeface.draw, size, extra_px) for size in {frame.size for frame in frames}}
            drawn = [_draw(frame.copy() if extra_px + 1 < _ATTEMPTS else frame, places[frame.size]) for frame in frames]
            if finish is not None:
                drawn = [finish(frame) for frame in drawn]
            written = _save(source, drawn, file_format, data)
            measured_px = _measure(written, file_format, places[upright], label.max_pixels, finish)
            if measured_px >= required_px:
                return LabeledImage(written, measured_px, required_px, typeface.name, len(drawn))
    raise LabelNotVerified(
        f"the label on the image measures {measured_px} pixels where {required_px} are asked for; "
        f"the file must not be given out"
    )


def redraw_image(data: bytes, file_format: FileFormat, finish: Finish, max_pixels: int) -> bytes:
    """The image encoded anew, each frame as ``finish`` gives it, without a label. Raises as :func:`label_image`."""
    if file_format.medium != "image" or file_format in (FileFormat.SVG, FileFormat.HEIC):
        raise UnsupportedFormat(f"{file_format.value.name} cannot be drawn on here; convert it to PNG, JPEG or WebP")
    with _open(data, file_format, max_pixels) as source:
        frames = [finish(_true_colour(frame)) for frame in _frames(source, max_pixels)]
        written = _save(source, frames, file_format, data)
    with _open(written, file_format, max_pixels) as result:
        _load_again(result)
        finish.see(result)
    return written


def _open(data: bytes, file_format: FileFormat, max_pixels: int) -> Image.Image:
    try:
        # Only the decoder of the sniffed format: the file's bytes must not choose another one.
        image = Image.open(io.BytesIO(data), formats=[file_format.name])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedFile("the image has too many pixels; make it smaller") from None
    except DECODER_ERRORS:
        raise DamagedFile(
            f"the {file_format.value.name} image cannot be decoded; ask its maker for a sound file"
        ) from None
    if image.width * image.height > max_pixels:
        raise RefusedFile(f"the image has more than {max_pixels} pixels; make it smaller")
    return image


def _frames(source: Image.Image, max_pixels: int) -> list[Image.Image]:
    """Every frame, decoded and upright."""
    try:
        count = getattr(source, "n_frames", 1) if source.format != "MPO" else 1
    except DECODER_ERRORS:
        raise DamagedFile("the frames of the image cannot be counted; ask its maker for a sound file") from None
    if count * source.width * source.height > 4 * max_pixels:
        raise RefusedFile(f"the animation has more than {4 * max_pixels} pixels in all frames; make it smaller")
    frames = []
    try:
        for index in range(count):
            source.seek(index)
            source.load()
            frame = source.copy()
            frame.info = dict(source.info)
            frames.append(ImageOps.exif_transpose(frame))
    except DECODER_ERRORS:
        raise DamagedFile("the image cannot be decoded to its end; ask its maker for a sound file") from None
    return frames


def _place(
    label: ImageLabel, draw: Callable[[list[str], int], Drawing], size: tuple[int, int], extra_px: int
) -> _Placed:
    """The label as large as it must be, in as many lines as the width asks for."""
    ink_px = label.ink_px(size) + extra_px
    margin = max(2, ink_px // 4)
    for lines in _breaks(label.words):
        drawing = draw(lines, ink_px)
        width, height = drawing.mask.width + 2 * margin, drawing.mask.height + 2 * margin
        if width <= size[0] and height <= size[1]:
            left = size[0] - width if label.corner.endswith("right") else 0
            top = size[1] - height if label.corner.startswith("bottom") else 0
            return _Placed(drawing, (left, top, left + width, top + height), (margin, margin))
    raise UnsupportedFormat(
        f"the image of {size[0]} by {size[1]} pixels is too small for a legible label; "
        f"give it out with the label in the text around it, or make it larger"
    )


def place(label: ImageLabel, size: tuple[int, int], extra_px: int = 0) -> _Placed:
    """The drawn words and where they stand on a picture of that size; ``extra_px`` makes them taller than asked."""
    return _place(label, choose(label.words, label.font).draw, size, extra_px)


def _breaks(words: str) -> list[list[str]]:
    """One line, then more and more lines of about equal length."""
    found = []
    for count in range(1, len(words) + 1):
        length = -(-len(words) // count)
        lines = [words[start : start + length].strip() for start in range(0, len(words), length)]
        lines = [line for line in lines if line]
        if lines not in found:
            found.append(lines)
    return found


def _true_colour(frame: Image.Image) -> Image.Image:
    """The frame without a palette: what is drawn need not have colours that are in it."""
    if frame.mode not in ("P", "PA", "1"):
        return frame
    has_alpha = frame.mode == "PA" or "transparency" in frame.info
    return frame.convert("L" if frame.mode == "1" else "RGBA" if has_alpha else "RGB")


def _draw(frame: Image.Image, placed: _Placed) -> Image.Image:
    """The frame with the label."""
    frame = _true_colour(frame)
    mask = placed.drawing.mask
    at = (placed.box[0] + placed.words_at[0], placed.box[1] + placed.words_at[1])
    if frame.mode in ("I;16", "I;16L", "I;16B", "I", "F"):
        # No blending in these modes: a black plate, and ink where at least half a pixel is covered.
        top = 1.0 if frame.mode == "F" and _brightest(frame) <= 1.0 else 65_535
        frame.paste(0, placed.box)
        solid = mask.point(lambda value: 255 if value >= 128 else 0)
        frame.paste(top if frame.mode == "F" else int(top), (*at, at[0] + mask.width, at[1] + mask.height), solid)
        return frame
    region = frame.crop(placed.box).convert("RGBA")
    plate = Image.new("RGBA", region.size, (0, 0, 0, _PLATE_OPACITY))
    region = Image.alpha_composite(region, plate)
    region.paste((255, 255, 255, 255), placed.words_at, mask)
    if frame.mode == "LA" or frame.mode == "RGBA":
        frame.paste(region.convert(frame.mode), placed.box)
    else:
        frame.paste(region.convert("RGB").convert(frame.mode), placed.box)
    return frame


def _brightest(image: Image.Image) -> float:
    """The greatest value of an image with one band."""
    return max(float(value) for value in image.getextrema() if isinstance(value, int | float))


def _save(source: Image.Image, frames: list[Image.Image], file_format: FileFormat, data: bytes) -> bytes:
    first, info = frames[0], source.info
    options: dict[str, Any] = {}
    for key in ("icc_profile", "dpi"):
        if info.get(key):
            options[key] = info[key]
    # exif_transpose has taken the orientation out of the frame's own copy.
    if first.info.get("exif"):
        options["exif"] = first.info["exif"]
    packet = first.info.get("xmp") or info.get("xmp")
    if len(frames) > 1:
        options |= {"save_all": True, "append_images": frames[1:]}
        if file_format is not FileFormat.TIFF:
            options["duration"] = [frame.info.get("duration", 100) for frame in frames]
            options["loop"] = info.get("loop", 1 if file_format is FileFormat.GIF else 0)
    if file_format is FileFormat.JPEG:
        options |= _jpeg_options(source, packet)
    elif file_format is FileFormat.PNG:
        options["pnginfo"] = _png_text(source)
        options["compress_level"] = 3
    elif file_format is FileFormat.WEBP:
        is_lossless = b"VP8L" in data[:64] or b"VP8L" in data
        options |= {"lossless": True, "quality": 40, "exact": True} if is_lossless else {"quality": 92, "method": 2}
        options["xmp"] = packet or b""
    elif file_format is FileFormat.AVIF:
        options |= {"quality": 90, "speed": 8, "xmp": packet or b""}
    elif file_format is FileFormat.GIF:
        options.pop("exif", None)
        options |= {"disposal": 2, "optimize": False, "comment": info.get("comment", b"")}
        if len(frames) == 1:
            options.pop("disposal")
    elif file_format is FileFormat.TIFF:
        options["compression"] = info.get("compression", "raw")
        if packet:
            options["tiffinfo"] = {700: packet}
    out = io.BytesIO()
    try:
        first.save(out, file_format.name, **options)
    except DECODER_ERRORS as error:
        raise DamagedFile(
            f"the labelled {file_format.value.name} image cannot be encoded ({type(error).__name__}); convert it first"
        ) from None
    return out.getvalue()


def _jpeg_options(source: Image.Image, packet: bytes | None) -> dict[str, Any]:
    """The same quantisation and sampling as before, so that the unlabelled part hardly changes."""
    options: dict[str, Any] = {"qtables": getattr(source, "quantization", None)}
    sampling = JpegImagePlugin.get_sampling(source)
    if sampling >= 0:
        options["subsampling"] = sampling
    if source.info.get("progressive"):
        options["progressive"] = True
    if source.info.get("comment"):
        options["comment"] = source.info["comment"]
    if packet:
        options["xmp"] = packet
    return options


def _png_text(source: Image.Image) -> PngImagePlugin.PngInfo:
    """The text chunks of the file, the XMP packet among them."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in getattr(source, "text", {}).items():
        if isinstance(value, PngImagePlugin.iTXt):
            chunks.add_itxt(key, value, value.lang or "", value.tkey or "")
        else:
            chunks.add_text(key, value)
    return chunks


def _load_again(result: Image.Image) -> None:
    try:
        result.load()
    except DECODER_ERRORS:
        raise LabelNotVerified("the labelled image cannot be decoded again; it must not be given out") from None


def _measure(data: bytes, file_format: FileFormat, placed: _Placed, max_pixels: int, finish: Finish | None) -> int:
    """The least height of a character on the decoded file, which ``finish`` gets to see."""
    with _open(data, file_format, max_pixels) as result:
        _load_again(result)
        if finish is not None:
            finish.see(result)
        region = result.crop(placed.box)
        if region.mode.startswith(("I", "F")):
            scale = 255.0 / (_brightest(region) or 1.0)
            grey = region.convert("F").point(lambda value: value * scale).convert("L")
        else:
            grey = region.convert("RGBA").convert("RGB").convert("L")
    x, y = placed.words_at
    heights = [
        ink_height(grey.crop((x + left, y + upper, x + right, y + lower)), _MEASURE_THRESHOLD)
        for left, upper, right, lower in placed.drawing.character_boxes
    ]
    return min(heights)
