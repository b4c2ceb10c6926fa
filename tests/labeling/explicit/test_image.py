# SPDX-License-Identifier: Apache-2.0
"""The label on images is there, tall enough, at the corner, on every frame, in every mode; measured by other code."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator

import pytest
from PIL import Image, ImageChops

from labeling.errors import DamagedFile, LabelError, LabelNotVerified, RefusedFile, UnsupportedFormat
from labeling.explicit import image as image_module
from labeling.explicit import typeface
from labeling.explicit.image import CORNERS, ImageLabel, label_image
from labeling.sniff import FileFormat, sniff

WORDS = "AI生成"
LABEL = ImageLabel(WORDS, 500)
MakePicture = Callable[..., Image.Image]
Encode = Callable[..., bytes]


@pytest.fixture(autouse=True)
def no_installed_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same pixels on every machine: our own outlines."""
    typeface._choose_installed.cache_clear()
    monkeypatch.setattr(typeface, "_installed", list)
    yield
    typeface._choose_installed.cache_clear()


def changed_box(before: bytes, after: bytes, tolerance: int = 60) -> tuple[int, int, int, int]:
    """Where two pictures differ strongly."""
    with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as two:
        difference = ImageChops.difference(one.convert("RGB"), two.convert("RGB")).convert("L")
    box = difference.point(lambda value: 255 if value > tolerance else 0).getbbox()
    assert box is not None
    return box


def white_rows(data: bytes, box: tuple[int, int, int, int], frame: int = 0) -> int:
    """Rows of the box between the first and the last that hold white: the height of the words, by another way."""
    with Image.open(io.BytesIO(data)) as image:
        image.seek(frame)
        grey = image.convert("RGBA").convert("L").crop(box)
    rows = [y for y in range(grey.height) if max(grey.crop((0, y, grey.width, y + 1)).tobytes()) > 160]
    return rows[-1] - rows[0] + 1 if rows else 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF"])
@pytest.mark.parametrize("size", [(320, 240), (200, 300), (641, 479)])
def test_the_words_reach_five_per_cent_of_the_shorter_side(
    kind: str, size: tuple[int, int], make_picture: MakePicture, encode: Encode
) -> None:
    """GB 45438-2025 5.2, measured on the decoded file by code that knows nothing of how it was drawn."""
    dark = Image.eval(make_picture(*size), lambda value: value // 4)
    data = encode(dark, kind)
    labelled = label_image(data, sniff(data), LABEL)
    box = (size[0] // 2, size[1] * 3 // 4, size[0], size[1])

    assert labelled.required_px == -(-min(size) * 500 // 10_000)
    assert labelled.ink_px >= labelled.required_px
    assert white_rows(labelled.data, box) >= min(size) * 0.05
    assert sniff(labelled.data) is sniff(data)


@pytest.mark.parametrize("corner", CORNERS)
def test_the_label_stands_at_the_corner_that_was_chosen(corner: str, make_picture: MakePicture, encode: Encode) -> None:
    """At an edge or corner, touching both edges, and nowhere else."""
    data = encode(make_picture(400, 300), "PNG")
    box = changed_box(data, label_image(data, FileFormat.PNG, ImageLabel(WORDS, 500, corner)).data, 0)

    assert (box[0] == 0) is corner.endswith("left")
    assert (box[2] == 400) is corner.endswith("right")
    assert (box[1] == 0) is corner.startswith("top")
    assert (box[3] == 300) is corner.startswith("bottom")


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (128, 128, 128), (255, 255, 0)])
def test_the_words_are_legible_on_any_background(colour: tuple[int, int, int], encode: Encode) -> None:
    """White words on the plate: contrast of at least 4.5 to 1 as WCAG counts it, even on white."""
    data = encode(Image.new("RGB", (300, 200), colour), "PNG")
    labelled = label_image(data, FileFormat.PNG, LABEL).data
    with Image.open(io.BytesIO(labelled)) as image:
        corner = image.convert("RGB").getpixel((299, 199))

    def luminance(pixel: tuple[int, ...]) -> float:
        parts = [(v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4) for v in pixel]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    assert 1.05 / (luminance(corner) + 0.05) >= 4.5


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *[(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        *[(mode, "TIFF") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")],
        *[(mode, "JPEG") for mode in ("L", "RGB", "CMYK")],
        *[(mode, "WEBP") for mode in ("RGB", "RGBA")],
    ],
)
def test_every_colour_mode_is_labelled(mode: str, kind: str, make_picture: MakePicture, encode: Encode) -> None:
    """Palettes, transparency, printing colours, sixteen bits."""
    picture = (
        make_picture(200, 150).convert("L").convert(mode)
        if mode in ("I;16", "I", "F")
        else make_picture(200, 150, mode)
    )
    data = encode(picture, kind)
    labelled = label_image(data, sniff(data), LABEL)

    assert labelled.ink_px >= labelled.required_px
    if kind == "TIFF" and mode not in ("P", "1"):
        with Image.open(io.BytesIO(labelled.data)) as image:
            assert image.mode == mode


def test_pixels_away_from_the_label_stay_the_same_in_lossless_formats(
    make_picture: MakePicture, encode: Encode
) -> None:
    """The label covers its corner and touches nothing else."""
    picture = make_picture(300, 200)
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        data = encode(picture, kind, **options)
        with Image.open(io.BytesIO(label_image(data, sniff(data), LABEL).data)) as after:
            assert after.convert("RGB").crop((0, 0, 300, 150)).tobytes() == picture.crop((0, 0, 300, 150)).tobytes()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_every_frame_of_an_animation_is_labelled(kind: str, make_picture: MakePicture, encode: Encode) -> None:
    """A label on the first frame alone vanishes after a tenth of a second. Times are kept."""
    frames = [Image.new("RGB", (200, 160), (index * 60, 30, 90)) for index in range(3)]
    timing = {} if kind == "TIFF" else {"duration": [70, 140, 210]}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **timing)
    labelled = label_image(data, sniff(data), LABEL)

    assert labelled.frames == 3
    for index in range(3):
        assert white_rows(labelled.data, (100, 110, 200, 160), index) >= 8
    if timing:
        with Image.open(io.BytesIO(labelled.data)) as image:
            found = []
            for index in range(image.n_frames):
                image.seek(index)
                image.load()
                found.append(image.info["duration"])
        assert found == [70, 140, 210]


def test_a_photo_that_exif_shows_rotated_is_labelled_upright(make_picture: MakePicture, encode: Encode) -> None:
    """The corner is the one that people see; the orientation is applied once and not again by the viewer."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "kept maker"
    data = encode(Image.eval(make_picture(300, 200), lambda value: value // 4), "JPEG", exif=exif)
    labelled = label_image(data, FileFormat.JPEG, LABEL).data
    with Image.open(io.BytesIO(labelled)) as image:
        assert image.size == (200, 300)
        assert image.getexif().get(0x0112, 1) == 1
        assert image.getexif()[0x010F] == "kept maker"
    assert white_rows(labelled, (100, 240, 200, 300)) >= 10


def test_colour_profile_resolution_text_and_xmp_are_kept(make_picture: MakePicture, encode: Encode) -> None:
    """Only the picture changes."""
    from PIL import ImageCms, PngImagePlugin

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "kept")
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    data = encode(make_picture(200, 200), "PNG", icc_profile=profile, dpi=(300, 300), pnginfo=text)
    with Image.open(io.BytesIO(label_image(data, FileFormat.PNG, LABEL).data)) as image:
        assert image.info["icc_profile"] == profile
        assert round(image.info["dpi"][0]) == 300
        assert image.text["Author"] == "kept"
        assert "xmpmeta" in image.text["XML:com.adobe.xmp"]


def test_a_jpeg_keeps_its_quantisation(make_picture: MakePicture, encode: Encode) -> None:
    """So that the picture loses next to nothing by the second encoding."""
    data = encode(make_picture(200, 200), "JPEG", quality=91, subsampling=0)
    with (
        Image.open(io.BytesIO(data)) as one,
        Image.open(io.BytesIO(label_image(data, FileFormat.JPEG, LABEL).data)) as two,
    ):
        assert one.quantization == two.quantization
        assert one.layer == two.layer


def test_a_narrow_picture_gets_its_label_in_several_lines(encode: Encode) -> None:
    """Wider than the picture in one line, but no reason to leave it unlabelled."""
    data = encode(Image.new("RGB", (26, 400), (9, 9, 90)), "PNG")
    box = changed_box(data, label_image(data, FileFormat.PNG, LABEL).data, 0)

    assert box[2] - box[0] <= 26
    assert box[3] - box[1] > 20


def test_a_tiny_picture_is_refused_with_the_way_out(encode: Encode) -> None:
    """Five per cent of 16 pixels is no label that anyone can read."""
    data = encode(Image.new("RGB", (16, 16)), "PNG")

    with pytest.raises(UnsupportedFormat, match="too small for a legible label"):
        label_image(data, FileFormat.PNG, LABEL)


def test_too_many_pixels_are_refused_before_they_are_decoded(encode: Encode) -> None:
    """Also over all frames of an animation."""
    data = encode(Image.new("1", (2000, 2000)), "PNG")
    with pytest.raises(RefusedFile, match="pixels"):
        label_image(data, FileFormat.PNG, ImageLabel(WORDS, 500, max_pixels=1_000_000))
    frames = [Image.new("L", (50, 50), index * 20) for index in range(9)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(RefusedFile, match="animation"):
        label_image(data, FileFormat.GIF, ImageLabel(WORDS, 500, max_pixels=3000))


def test_a_bomb_header_is_refused(encode: Encode) -> None:
    """65,535 by 65,535 pixels in a file of a few bytes."""
    data = bytearray(encode(Image.new("1", (8, 8)), "BMP"))
    png = bytearray(encode(Image.new("1", (8, 8)), "PNG"))
    import zlib

    png[16:24] = (65_535).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    with pytest.raises(RefusedFile, match="pixels"):
        label_image(bytes(png), FileFormat.PNG, LABEL)
    assert data[:2] == b"BM"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_a_cut_off_picture_is_damaged_and_nothing_else(kind: str, make_picture: MakePicture, encode: Encode) -> None:
    """No stack trace, no half picture."""
    data = encode(make_picture(120, 90), kind)
    for cut in (len(data) // 4, len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(LabelError):
            label_image(data[:cut], FileFormat[kind], LABEL)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_a_picture_with_wrong_bytes_gives_an_error_of_ours_or_a_label(
    kind: str, make_picture: MakePicture, encode: Encode
) -> None:
    """Decoders raise many kinds of exceptions for broken pictures; none of them escapes."""
    chance = random.Random(11)
    data = encode(make_picture(60, 60), kind)
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(chance.randrange(1, 5)):
            broken[chance.randrange(min(len(data), 900))] = chance.choice((0, 255, 127, chance.randrange(256)))
        try:
            labelled = label_image(bytes(broken), FileFormat[kind], ImageLabel(WORDS, 500, max_pixels=1_000_000))
        except LabelError:
            continue
        assert labelled.ink_px >= labelled.required_px


def test_a_file_of_another_format_than_said_is_damaged(make_picture: MakePicture, encode: Encode) -> None:
    """Only the decoder of the sniffed format looks at the bytes."""
    with pytest.raises(DamagedFile):
        label_image(encode(make_picture(50, 50), "PNG"), FileFormat.JPEG, LABEL)


@pytest.mark.parametrize("kind", [FileFormat.SVG, FileFormat.HEIC, FileFormat.MP4, FileFormat.PDF])
def test_what_cannot_be_drawn_on_is_refused(kind: FileFormat) -> None:
    """With what to do instead."""
    with pytest.raises(UnsupportedFormat, match="convert it"):
        label_image(b"", kind, LABEL)


def test_a_label_that_came_out_too_small_stops_the_file(
    make_picture: MakePicture, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured on the result, after a few taller attempts."""
    monkeypatch.setattr(image_module, "_measure", lambda *_: 3)

    with pytest.raises(LabelNotVerified, match="measures 3 pixels where 12"):
        label_image(encode(make_picture(320, 240), "PNG"), FileFormat.PNG, LABEL)


@pytest.mark.parametrize(
    "arguments",
    [("AI生成", 500, "middle"), ("AI生成", 0), ("AI生成", 6000), ("——", 500), ("AI生成", 500, "top-left", 2)],
)
def test_a_label_that_makes_no_sense_is_refused(arguments: tuple[str, int]) -> None:
    """At start-up."""
    with pytest.raises(LabelError):
        ImageLabel(*arguments)
