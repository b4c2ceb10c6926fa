# SPDX-License-Identifier: Apache-2.0
"""What a file is, decided by its bytes and never by its name or its declared type.

A label written for the wrong format is no label, and names lie (a PNG named .jpg, a web page named .txt). The declared
type is asked only where bytes cannot tell: plain text and Markdown are the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from labeling.errors import RefusedFile, UnsupportedFormat


@dataclass(frozen=True, slots=True)
class FormatFacts:
    """What the rest of the package needs to know of a format. ``medium`` chooses the explicit label."""

    name: str
    mime: str
    medium: str
    extension: str


class FileFormat(Enum):
    """The formats that the package can label."""

    PNG = FormatFacts("PNG", "image/png", "image", "png")
    JPEG = FormatFacts("JPEG", "image/jpeg", "image", "jpg")
    WEBP = FormatFacts("WebP", "image/webp", "image", "webp")
    GIF = FormatFacts("GIF", "image/gif", "image", "gif")
    TIFF = FormatFacts("TIFF", "image/tiff", "image", "tiff")
    AVIF = FormatFacts("AVIF", "image/avif", "image", "avif")
    HEIC = FormatFacts("HEIC", "image/heic", "image", "heic")
    SVG = FormatFacts("SVG", "image/svg+xml", "image", "svg")
    MP3 = FormatFacts("MP3", "audio/mpeg", "audio", "mp3")
    WAV = FormatFacts("WAV", "audio/wav", "audio", "wav")
    FLAC = FormatFacts("FLAC", "audio/flac", "audio", "flac")
    OGG = FormatFacts("Ogg", "audio/ogg", "audio", "ogg")
    OPUS = FormatFacts("Opus", "audio/ogg", "audio", "opus")
    M4A = FormatFacts("M4A", "audio/mp4", "audio", "m4a")
    MP4 = FormatFacts("MP4", "video/mp4", "video", "mp4")
    MOV = FormatFacts("MOV", "video/quicktime", "video", "mov")
    MKV = FormatFacts("MKV", "video/x-matroska", "video", "mkv")
    WEBM = FormatFacts("WebM", "video/webm", "video", "webm")
    AVI = FormatFacts("AVI", "video/x-msvideo", "video", "avi")
    FLV = FormatFacts("FLV", "video/x-flv", "video", "flv")
    PDF = FormatFacts("PDF", "application/pdf", "document", "pdf")
    DOCX = FormatFacts(
        "DOCX", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document", "docx"
    )
    XLSX = FormatFacts("XLSX", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "document", "xlsx")
    PPTX = FormatFacts(
        "PPTX", "application/vnd.openxmlformats-officedocument.presentationml.presentation", "document", "pptx"
    )
    EPUB = FormatFacts("EPUB", "application/epub+zip", "document", "epub")
    HTML = FormatFacts("HTML", "text/html", "document", "html")
    MARKDOWN = FormatFacts("Markdown", "text/markdown", "document", "md")
    TEXT = FormatFacts("plain text", "text/plain", "text", "txt")

    @property
    def mime(self) -> str:
        """The registered media type."""
        return self.value.mime

    @property
    def medium(self) -> str:
        """``image``, ``audio``, ``video``, ``document`` or ``text``."""
        return self.value.medium


# The window in which PDF readers look for the header, and in which a text's nature shows.
_HEAD_BYTES: Final = 1024
_HTML = re.compile(rb"<!doctype\s+html|<(?:html|head|body)[\s>]", re.I)
_SVG = re.compile(rb"<(?:[\w.-]{1,64}:)?svg[\s>/]", re.I)
_SVG_DOCTYPE = re.compile(rb"<!doctype\s+svg[^>\[]*>", re.I)
_MARKDOWN_TYPES: Final = frozenset({"text/markdown", "text/x-markdown"})

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_M4A_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P "})


def sniff(data: bytes, declared_mime: str | None = None) -> FileFormat:
    """The format of ``data``. ``declared_mime`` tells Markdown from plain text and nothing else.

    Raises :class:`UnsupportedFormat` for what cannot be labelled, :class:`RefusedFile` for an encrypted Office file.
    """
    if len(data) < 4:
        raise UnsupportedFormat("the file has fewer than 4 bytes and is of no known format; send a whole file")
    head = data[:16]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return FileFormat.PNG
    if head.startswith(b"\xff\xd8\xff"):
        return FileFormat.JPEG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return FileFormat.GIF
    if head.startswith((b"II*\x00", b"MM\x00*")):
        return FileFormat.TIFF
    if head.startswith(b"RIFF"):
        return _riff(data)
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return _isobmff(data)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _ebml(data)
    if head.startswith(b"FLV\x01"):
        return FileFormat.FLV
    if head.startswith(b"fLaC"):
        return FileFormat.FLAC
    if head.startswith(b"OggS"):
        return _ogg(data)
    if head.startswith(b"ID3"):
        size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9] if len(data) > 10 else 0
        return FileFormat.FLAC if data[10 + size : 14 + size] == b"fLaC" else FileFormat.MP3
    if _is_mpeg_audio(data):
        return FileFormat.MP3
    if head.startswith(b"PK\x03\x04"):
        return _zip(data)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise RefusedFile(
            "an old or encrypted Office file cannot be labelled; save it as unencrypted DOCX, XLSX or PPTX"
        )
    if b"%PDF-" in data[:_HEAD_BYTES]:
        return FileFormat.PDF
    return _text(data, declared_mime)


def _riff(data: bytes) -> FileFormat:
    form = data[8:12]
    if form == b"WEBP":
        return FileFormat.WEBP
    if form == b"WAVE":
        return FileFormat.WAV
    if form == b"AVI ":
        return FileFormat.AVI
    raise UnsupportedFormat("a RIFF file other than WAV, AVI and WebP cannot be labelled; convert it")


def _isobmff(data: bytes) -> FileFormat:
    if data[4:8] != b"ftyp":
        return FileFormat.MOV
    size = int.from_bytes(data[:4], "big")
    if not 16 <= size <= min(len(data), 4096):
        raise UnsupportedFormat("the file type box of the file has no valid size; send a whole file")
    major = data[8:12]
    brands = {major, *(data[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & _AVIF_BRANDS:
        return FileFormat.AVIF
    if major in _HEIF_BRANDS:
        return FileFormat.HEIC
    if major in _M4A_BRANDS:
        return FileFormat.M4A
    return FileFormat.MOV if major == b"qt  " else FileFormat.MP4


def _ebml(data: bytes) -> FileFormat:
    at = data.find(b"\x42\x82", 4, 128)
    document_type = data[at + 3 : at + 3 + (data[at + 2] & 0x7F)].rstrip(b"\x00") if 0 < at < len(data) - 3 else b""
    if document_type == b"webm":
        return FileFormat.WEBM
    if document_type == b"matroska":
        return FileFormat.MKV
    raise UnsupportedFormat("an EBML file other than Matroska and WebM cannot be labelled; convert it")


def _ogg(data: bytes) -> FileFormat:
    payload = data[28:36] if len(data) > 36 else b""
    if payload.startswith(b"OpusHead"):
        return FileFormat.OPUS
    if payload.startswith((b"\x01vorbis", b"\x7fFLAC")):
        return FileFormat.OGG
    raise UnsupportedFormat("an Ogg file other than Vorbis, Opus and FLAC cannot be labelled; convert it")


def _is_mpeg_audio(data: bytes) -> bool:
    """An MPEG audio frame header with valid fields and layer III; ADTS AAC has layer bits 0 and is not one."""
    if data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return False
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bitrate, sample_rate = data[2] >> 4, data[2] >> 2 & 3
    return version != 1 and layer == 1 and bitrate != 15 and sample_rate != 3


def _zip(data: bytes) -> FileFormat:
    name_length = int.from_bytes(data[26:28], "little")
    if data[30 : 30 + name_length] == b"mimetype" and b"application/epub+zip" in data[:128]:
        return FileFormat.EPUB
    # Office archives name their parts in the central directory, at the end of the file.
    directory = data[-65_557 - min(len(data), 1 << 20) :]
    if b"[Content_Types].xml" in directory:
        for part, file_format in (
            (b"word/document.xml", FileFormat.DOCX),
            (b"xl/workbook.xml", FileFormat.XLSX),
            (b"ppt/presentation.xml", FileFormat.PPTX),
        ):
            if part in directory:
                return file_format
    raise UnsupportedFormat("a ZIP file other than DOCX, XLSX, PPTX and EPUB cannot be labelled; label what is in it")


def skip_prolog(data: bytes, at: int = 0) -> int:
    """The index of the first byte that is no byte order mark, white space, XML declaration or comment."""
    if not at and data.startswith(b"\xef\xbb\xbf"):
        at = 3
    while True:
        while data[at : at + 1].isspace():
            at += 1
        if data.startswith(b"<!--", at):
            end, mark = data.find(b"-->", at + 4), 3
        elif data.startswith(b"<?", at):
            end, mark = data.find(b"?>", at), 2
        else:
            return at
        if end < 0:
            return len(data)
        at = end + mark


def _text(data: bytes, declared_mime: str | None) -> FileFormat:
    start = data[:65_536]
    if b"\x00" in start:
        raise UnsupportedFormat("the file is of no known format; see the table of formats")
    at = skip_prolog(start)
    if _HTML.match(start, at):
        return FileFormat.HTML
    doctype = _SVG_DOCTYPE.match(start, at)
    if _SVG.match(start, skip_prolog(start, doctype.end()) if doctype else at):
        return FileFormat.SVG
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise UnsupportedFormat("the file is of no known format and not UTF-8 text; see the table of formats") from None
    mime = (declared_mime or "").split(";")[0].strip().lower()
    has_front_matter = re.match(rb"---[ \t]*\r?\n(?:.*\n)*?AIGC:", data[:65_536].removeprefix(b"\xef\xbb\xbf"))
    return FileFormat.MARKDOWN if mime in _MARKDOWN_TYPES or has_front_matter else FileFormat.TEXT
