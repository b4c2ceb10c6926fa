# SPDX-License-Identifier: Apache-2.0
"""Special cases of the image containers: PNG, JPEG, WebP, GIF, TIFF, AVIF and HEIC."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, PngImagePlugin

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit import exif, png, tiff
from labeling.sniff import FileFormat

Encode = Callable[..., bytes]
MakePicture = Callable[..., Image.Image]
OTHER = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/' dc:format='kept'/></rdf:RDF></x:xmpmeta>"
)


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


def exif_with_label(label: AigcLabel) -> Image.Exif:
    made = Image.Exif()
    made[0x010E] = json.dumps({"AIGC": label.as_dict()})
    made[0x010F] = "kept maker"
    return made


@pytest.mark.parametrize("compressed", [False, True])
def test_png_text_chunks_named_aigc_are_read_and_replaced(
    compressed: bool, label: AigcLabel, other_label: AigcLabel, make_picture: MakePicture, encode: Encode
) -> None:
    """Met in the wild; other text stays."""
    text = PngImagePlugin.PngInfo()
    text.add_text("AIGC", other_label.as_json(), zip=compressed)
    text.add_itxt("x-AIGC-y", other_label.as_json(), zip=compressed)
    text.add_text("Author", "kept")
    data = encode(make_picture(), "PNG", pnginfo=text)
    written = implicit.write(data, FileFormat.PNG, label)

    assert [parse(field.value).label for field in implicit.read(data, FileFormat.PNG)] == [other_label] * 2
    assert not any(field.is_guide_place for field in implicit.read(data, FileFormat.PNG))
    assert only_label(written, FileFormat.PNG) == label
    assert Image.open(io.BytesIO(written)).text["Author"] == "kept"


def test_a_png_text_chunk_that_is_a_bomb_is_damaged(make_picture: MakePicture, encode: Encode) -> None:
    """A megabyte is enough for a label."""
    packed = zlib.compress(bytes(2 << 20))
    data = encode(make_picture(), "PNG")
    bomb = data[:33] + png.make_chunk(b"zTXt", b"AIGC\x00\x00" + packed) + data[33:]
    with pytest.raises(DamagedFile, match="unpacks"):
        implicit.read(bomb, FileFormat.PNG)


def test_what_follows_the_end_of_a_png_stays(label: AigcLabel, make_picture: MakePicture, encode: Encode) -> None:
    """Appended data belong to someone."""
    data = encode(make_picture(), "PNG") + b"appended"

    assert implicit.write(data, FileFormat.PNG, label).endswith(b"IEND\xaeB`\x82appended")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_the_xmp_of_others_is_merged(kind: str, label: AigcLabel, make_picture: MakePicture, encode: Encode) -> None:
    """Read by Pillow afterwards: both properties."""
    options: dict[str, object] = {"xmp": OTHER}
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", OTHER.decode())
        options = {"pnginfo": text}
    elif kind == "TIFF":
        options = {"tiffinfo": {700: OTHER}}
    written = implicit.write(encode(make_picture(), kind, **options), FileFormat[kind], label)
    with Image.open(io.BytesIO(written)) as image:
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp", "").encode()

    assert b"TC260:AIGC" in packet
    assert b"dc:format='kept'" in packet
    assert only_label(written, FileFormat[kind]) == label


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_label_in_exif_is_read_and_blanked(
    kind: str, label: AigcLabel, other_label: AigcLabel, make_picture: MakePicture, encode: Encode
) -> None:
    """One label a file; the other EXIF values stay."""
    data = encode(make_picture(), kind, exif=exif_with_label(other_label))
    (field,) = implicit.read(data, FileFormat[kind])
    written = implicit.write(data, FileFormat[kind], label)

    assert "ImageDescription" in field.place and not field.is_guide_place
    assert parse(field.value).label == other_label
    assert only_label(written, FileFormat[kind]) == label
    with Image.open(io.BytesIO(written)) as image:
        assert image.getexif()[0x010F] == "kept maker"
        assert image.getexif()[0x010E].strip(" \x00") == ""


def test_exif_directories_in_a_circle_end() -> None:
    """A next-directory pointer to itself."""
    circle = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 0) + struct.pack("<I", 8)

    assert exif.read(circle, "x") == []
    assert exif.read(b"no tiff", "x") == []


def test_a_jpeg_comment_with_a_label_is_read_and_replaced(
    label: AigcLabel, other_label: AigcLabel, make_picture: MakePicture, encode: Encode
) -> None:
    """Another place that writers chose."""
    data = encode(make_picture(), "JPEG", comment=other_label.as_json(wrapped=True).encode())

    assert only_label(data, FileFormat.JPEG) == other_label
    assert only_label(implicit.write(data, FileFormat.JPEG, label), FileFormat.JPEG) == label


def test_a_jpeg_keeps_jfif_and_exif_in_front(label: AigcLabel, make_picture: MakePicture, encode: Encode) -> None:
    """Readers expect them first."""
    data = encode(make_picture(), "JPEG", exif=exif_with_label(label), comment=b"c")
    written = implicit.write(data, FileFormat.JPEG, label)

    assert written[:4] == b"\xff\xd8\xff\xe0"
    assert written.index(b"Exif\x00\x00") < written.index(b"http://ns.adobe.com/xap/")


def test_a_jpeg_whose_metadata_outgrow_a_segment_is_refused(
    label: AigcLabel, make_picture: MakePicture, encode: Encode
) -> None:
    """Clear, and not cut."""
    big = OTHER.replace(b"kept", b"k" * 65_150)
    with pytest.raises(RefusedFile, match="64 KiB"):
        implicit.write(encode(make_picture(), "JPEG", xmp=big), FileFormat.JPEG, label)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 80}, {"quality": 80, "exif": b"Exif\x00\x00II*\x00"}]
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_of_every_kind_becomes_extended_and_keeps_its_size_and_alpha(
    options: dict[str, object], mode: str, label: AigcLabel, encode: Encode
) -> None:
    """Simple lossy, simple lossless, already extended; read by libwebp."""
    picture = Image.new(mode, (33, 17), (9, 99, 199, 77)[: len(mode)])
    data = encode(picture, "WEBP", **options)
    written = implicit.write(data, FileFormat.WEBP, label)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(written)) as after:
        assert (after.size, after.mode, after.tobytes()) == (before.size, before.mode, before.tobytes())
        assert b"TC260" in after.info["xmp"]


def test_an_animated_webp_keeps_its_frames(label: AigcLabel, encode: Encode) -> None:
    """Frames, times, loop count."""
    frames = [Image.new("RGB", (20, 20), (index * 80, 0, 0)) for index in range(3)]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=[30, 60, 90], loop=3)
    with Image.open(io.BytesIO(implicit.write(data, FileFormat.WEBP, label))) as image:
        assert (image.n_frames, image.info["loop"]) == (3, 3)


def test_a_gif_87a_becomes_89a_and_a_comment_label_is_replaced(
    label: AigcLabel, other_label: AigcLabel, encode: Encode
) -> None:
    """Only 89a has extensions."""
    data = b"GIF87a" + encode(Image.new("P", (5, 5)), "GIF")[6:]
    commented = encode(Image.new("P", (5, 5)), "GIF", comment=other_label.as_json(wrapped=True).encode())

    assert implicit.write(data, FileFormat.GIF, label).startswith(b"GIF89a")
    assert only_label(commented, FileFormat.GIF) == other_label
    assert only_label(implicit.write(commented, FileFormat.GIF, label), FileFormat.GIF) == label


def test_an_animated_gif_still_loops(label: AigcLabel, encode: Encode) -> None:
    """The loop extension stays first."""
    frames = [Image.new("P", (8, 8), index) for index in range(3)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=5, duration=40)
    with Image.open(io.BytesIO(implicit.write(data, FileFormat.GIF, label))) as image:
        assert image.info["loop"] == 5


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "tiff_deflate"])
def test_tiff_pages_and_compressions_are_kept(
    compression: str, label: AigcLabel, make_picture: MakePicture, encode: Encode
) -> None:
    """All pages, byte for byte; the tag is of type 7 as the guide says."""
    pages = [make_picture(), make_picture(32, 16)]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression=compression)
    written = implicit.write(data, FileFormat.TIFF, label)
    entry = tiff._first_directory(written).entry(0x02BC)

    assert entry is not None and entry[0] == 7
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(written)) as after:
        assert after.n_frames == 2
        for index in range(2):
            before.seek(index)
            after.seek(index)
            assert before.tobytes() == after.tobytes()


def test_a_big_endian_tiff_is_written_in_its_own_order(label: AigcLabel) -> None:
    """Made by hand: one grey pixel."""
    entries = [(256, 3, 1, 1 << 16), (257, 3, 1, 1 << 16), (258, 3, 1, 8 << 16), (262, 3, 1, 1 << 16)]
    entries += [(273, 4, 1, 8), (278, 3, 1, 1 << 16), (279, 4, 1, 1)]
    directory = struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHII", *entry) for entry in entries)
    data = b"MM\x00*" + struct.pack(">I", 10) + b"\x7b\x00" + directory + bytes(4)
    written = implicit.write(data, FileFormat.TIFF, label)

    assert only_label(written, FileFormat.TIFF) == label
    with Image.open(io.BytesIO(written)) as image:
        assert image.getpixel((0, 0)) == 0x7B


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_the_xmp_item_describes_the_primary_image(
    kind: str, samples: dict[FileFormat, bytes], label: AigcLabel
) -> None:
    """As ISO/IEC 23008-12 has it; the file is still sound after a second label with a longer packet."""
    if FileFormat[kind] not in samples:
        pytest.skip(f"no {kind} file could be made on this machine")
    once = implicit.write(samples[FileFormat[kind]], FileFormat[kind], label)
    longer = AigcLabel("1", "P" * 3000, "I")
    twice = implicit.write(once, FileFormat[kind], longer)

    assert b"cdsc" in once and b"application/rdf+xml" in once
    assert only_label(twice, FileFormat[kind]) == longer
    with Image.open(io.BytesIO(samples[FileFormat[kind]])) as before, Image.open(io.BytesIO(twice)) as after:
        assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()
        assert b"P" * 3000 in after.info["xmp"]


def test_an_avif_sequence_keeps_its_frames(label: AigcLabel, encode: Encode) -> None:
    """Its samples are found through chunk offsets, which move as well."""
    frames = [Image.new("RGB", (32, 32), (index * 90, 20, 20)) for index in range(3)]
    data = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=100)
    written = implicit.write(data, FileFormat.AVIF, label)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(written)) as after:
        assert after.n_frames == 3
        for index in range(3):
            before.seek(index)
            after.seek(index)
            assert before.tobytes() == after.tobytes()


def test_a_label_in_a_uuid_box_is_read_and_taken_out(
    label: AigcLabel, other_label: AigcLabel, samples: dict[FileFormat, bytes]
) -> None:
    """Another place that writers chose for AVIF and MP4."""
    from labeling.implicit import xmp
    from labeling.implicit.isobmff import XMP_UUID, make

    for kind in (FileFormat.AVIF, FileFormat.MP4):
        if kind not in samples:
            pytest.skip("no MP4 file could be made on this machine")
        data = samples[kind] + make(b"uuid", XMP_UUID + xmp.new_packet(other_label.as_json()))

        assert only_label(data, kind) == other_label
        assert only_label(implicit.write(data, kind, label), kind) == label
