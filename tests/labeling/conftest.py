# SPDX-License-Identifier: Apache-2.0
"""Real files of every format, made once a session by encoders that are not ours."""

from __future__ import annotations

import importlib.util
import io
import math
import struct
import tempfile
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from labeling.aigc import AigcLabel
from labeling.sniff import FileFormat

CODE = "001191110000MA00000AAT10001"
HAS_AV = importlib.util.find_spec("av") is not None
HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope="session")
def label() -> AigcLabel:
    """The label that tests write."""
    return AigcLabel("1", CODE, "0199f0c4-0000-7000-8000-000000000001", 'sig:"x"&<y>(z)')


@pytest.fixture(scope="session")
def other_label() -> AigcLabel:
    """A label of another service."""
    return AigcLabel("1", "001191440300708461136T1XGW3", "other-1")


def picture(width: int = WIDTH, height: int = HEIGHT, mode: str = "RGB") -> Image.Image:
    """A picture with gradients and an edge."""
    image = Image.new("RGB", (width, height))
    image.putdata(
        [
            ((x * 255) // width, (y * 255) // height, 255 if (x // 8 + y // 8) % 2 else 40)
            for y in range(height)
            for x in range(width)
        ]
    )
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The picture in a file format of Pillow's."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def sound(
    container: str, codec: str, rate: int = 44100, seconds: float = 0.5, layout: str = "mono", **options: str
) -> bytes:
    """A tone, encoded by FFmpeg."""
    import av
    import numpy

    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        stream = target.add_stream(codec, rate=rate, layout=layout, options=options)
        count = int(rate * seconds)
        wave = (numpy.sin(numpy.arange(count) * 2 * math.pi * 440 / rate) * 8000).astype(numpy.int16)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for start in range(0, count, 960):
            frame = av.AudioFrame.from_ndarray(wave[start : start + 960].reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = rate
            frame.pts = start
            frame.time_base = Fraction(1, rate)
            for ready in resampler.resample(frame):
                target.mux(stream.encode(ready))
        target.mux(stream.encode(None))
    return out.getvalue()


def film(container: str, codec: str, frames: int = 24, **options: str) -> bytes:
    """A short silent film, encoded by FFmpeg."""
    import av

    # A file with a name, because "faststart" opens it a second time.
    with tempfile.NamedTemporaryFile() as out, av.open(out.name, "w", format=container, options=options) as target:
        target.metadata["title"] = "kept title"
        stream = target.add_stream(codec, rate=12, options={"g": "6"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(frames):
            image = Image.new("RGB", (WIDTH, HEIGHT), (index * 10 % 256, 80, 160))
            target.mux(stream.encode(av.VideoFrame.from_image(image)))
        target.mux(stream.encode(None))
        target.close()
        return Path(out.name).read_bytes()


def office(main_part: str, content_type: str) -> bytes:
    """A minimal package of ISO/IEC 29500."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
            'content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships'
            f'+xml"/><Override PartName="/{main_part}" ContentType="{content_type}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            '<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
            'relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
            f'relationships/officeDocument" Target="{main_part}"/></Relationships>',
        )
        archive.writestr(
            main_part,
            "<?xml version='1.0'?><w:document xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'>"
            "<w:body><w:p><w:r><w:t>kept</w:t></w:r></w:p></w:body></w:document>",
        )
    return out.getvalue()


def book() -> bytes:
    """A minimal EPUB 3."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
            '<rootfile full-path="OPS/p.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        )
        archive.writestr(
            "OPS/p.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc="http://purl.org/dc/'
            'elements/1.1/"><dc:title>书</dc:title></metadata><manifest><item id="a" href="a.xhtml" '
            'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>',
        )
        archive.writestr("OPS/a.xhtml", '<html xmlns="http://www.w3.org/1999/xhtml"><body><p>kept</p></body></html>')
    return out.getvalue()


def pdf_with_table() -> bytes:
    """A PDF of one page with a classic cross-reference table."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
        b"<< /Title (kept \\(title\\)) /Producer <FEFF4F60597D> >>",
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % at for at in offsets)
    out += b"trailer\n<< /Size 5 /Root 1 0 R /Info 4 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start
    return bytes(out)


def _heic() -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    return encoded(picture(), "HEIF")


MAKERS: dict[FileFormat, Callable[[], bytes]] = {
    FileFormat.PNG: lambda: encoded(picture(), "PNG"),
    FileFormat.JPEG: lambda: encoded(picture(), "JPEG", exif=Image.Exif(), quality=85),
    FileFormat.WEBP: lambda: encoded(picture(), "WEBP", lossless=True),
    FileFormat.GIF: lambda: encoded(
        picture(), "GIF", save_all=True, append_images=[picture(mode="L").convert("RGB")], loop=0, duration=90
    ),
    FileFormat.TIFF: lambda: encoded(picture(), "TIFF"),
    FileFormat.AVIF: lambda: encoded(picture(), "AVIF"),
    FileFormat.SVG: lambda: (
        b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><desc>a &gt; b</desc>'
        b"</svg>"
    ),
    FileFormat.PDF: pdf_with_table,
    FileFormat.DOCX: lambda: office("word/document.xml", "application/x-word"),
    FileFormat.XLSX: lambda: office("xl/workbook.xml", "application/x-sheet"),
    FileFormat.PPTX: lambda: office("ppt/presentation.xml", "application/x-show"),
    FileFormat.EPUB: book,
    FileFormat.HTML: lambda: (
        "<!DOCTYPE html><html><head><meta charset='utf-8'><title>页</title></head></html>".encode()
    ),
    FileFormat.MARKDOWN: lambda: "---\ntitle: 文\n---\n\n# 文\n".encode(),
}
if HAS_HEIF:
    MAKERS[FileFormat.HEIC] = _heic
if HAS_AV:
    MAKERS |= {
        FileFormat.MP3: lambda: sound("mp3", "libmp3lame"),
        FileFormat.WAV: lambda: sound("wav", "pcm_s16le"),
        FileFormat.FLAC: lambda: sound("flac", "flac"),
        FileFormat.OGG: lambda: sound("ogg", "flac"),
        FileFormat.OPUS: lambda: sound("ogg", "libopus", 48000),
        FileFormat.M4A: lambda: sound("ipod", "aac"),
        FileFormat.MP4: lambda: film("mp4", "mpeg4", movflags="faststart"),
        FileFormat.MOV: lambda: film("mov", "mpeg4"),
        FileFormat.MKV: lambda: film("matroska", "mpeg4"),
        FileFormat.WEBM: lambda: film("webm", "libvpx"),
        FileFormat.AVI: lambda: film("avi", "mpeg4"),
        FileFormat.FLV: lambda: film("flv", "flv", flvflags="add_keyframe_index"),
    }


class Samples(dict[FileFormat, bytes]):
    """Sample files; asking for one that this machine cannot make skips the test and says so."""

    def __missing__(self, kind: FileFormat) -> bytes:
        pytest.skip(f"no {kind.name} file could be made on this machine: install av and pillow-heif")


@pytest.fixture(scope="session")
def samples() -> dict[FileFormat, bytes]:
    """One real file of each format that this machine can make."""
    return Samples({file_format: make() for file_format, make in MAKERS.items()})


@pytest.fixture(params=sorted(MAKERS, key=lambda kind: kind.name), ids=lambda kind: kind.name)
def file_format(request: pytest.FixtureRequest) -> FileFormat:
    """Each format in turn."""
    kind: FileFormat = request.param
    return kind


@pytest.fixture
def sample(samples: dict[FileFormat, bytes], file_format: FileFormat) -> bytes:
    """The real file of the format in turn."""
    return samples[file_format]


def content_of(data: bytes, kind: FileFormat) -> object:
    """What a person sees or hears in the file: decoded frames, packets, or the parts of a document."""
    if kind.medium == "image" and kind is not FileFormat.SVG:
        frames = []
        with Image.open(io.BytesIO(data)) as image:
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                frames.append((image.size, image.convert("RGBA").tobytes(), image.info.get("duration")))
        return frames
    if kind.medium in ("audio", "video"):
        import av

        with av.open(io.BytesIO(data)) as source:
            return [
                (packet.stream.index, packet.pts, packet.dts, bytes(packet)) for packet in source.demux() if packet.size
            ]
    if kind in (FileFormat.DOCX, FileFormat.XLSX, FileFormat.PPTX, FileFormat.EPUB):
        metadata = ("docProps/custom.xml", "[Content_Types].xml", "_rels/.rels", "OPS/p.opf")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist() if name not in metadata}
    if kind is FileFormat.PDF:
        import pypdf

        return [page.mediabox for page in pypdf.PdfReader(io.BytesIO(data)).pages]
    return None


@pytest.fixture(scope="session")
def content() -> Callable[[bytes, FileFormat], object]:
    """Compares what a person sees or hears."""
    return content_of


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., Image.Image]:
    """Pictures of any size and mode."""
    return picture


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Pictures as files."""
    return encoded


@pytest.fixture(scope="session")
def make_film() -> Callable[..., bytes]:
    """Films of any container."""
    return film


@pytest.fixture(scope="session")
def make_sound() -> Callable[..., bytes]:
    """Sounds of any container."""
    return sound


@pytest.fixture(scope="session")
def pcm() -> Callable[..., bytes]:
    """A WAV file written by hand: format code, bits, channels, rate, frames of silence or given sound."""

    def make(code: int = 1, bits: int = 16, channels: int = 1, rate: int = 8000, sound: bytes = bytes(800)) -> bytes:
        block = bits // 8 * channels
        head = struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits)
        body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(sound)) + sound
        return b"RIFF" + struct.pack("<I", len(body)) + body

    return make
