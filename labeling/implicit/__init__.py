# SPDX-License-Identifier: Apache-2.0
"""Implicit labels in files: written to the place that each format's practice guide names, and read from any place.

Implements 《人工智能生成合成内容标识办法》 article 5 and GB 45438-2025 clause 6.1: exactly one label a file, written
over a former one and never beside it. Pixels, samples and packets stay byte for byte.

Every module of this package has two functions: ``read_fields(data)`` lists what stands in the file, and
``write_field(data, label)`` gives the file with exactly that label. Use :func:`read` and :func:`write` here: they
choose the module by format, turn whatever a parser trips over into :class:`~labeling.errors.DamagedFile`, and read
back what was written.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Final, TypeVar

from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile, LabelNotVerified, UnsupportedFormat
from labeling.implicit import (
    avi,
    epub,
    flac,
    flv,
    gif,
    heif,
    html,
    jpeg,
    markdown,
    matroska,
    mp3,
    mp4,
    ogg,
    ooxml,
    pdf,
    png,
    svg,
    tiff,
    wav,
    webp,
)
from labeling.implicit.field import AigcField
from labeling.sniff import FileFormat

__all__ = ["FORMATS", "AigcField", "read", "write"]

_MODULES: Final[dict[FileFormat, ModuleType]] = {
    FileFormat.PNG: png,
    FileFormat.JPEG: jpeg,
    FileFormat.WEBP: webp,
    FileFormat.GIF: gif,
    FileFormat.TIFF: tiff,
    FileFormat.AVIF: heif,
    FileFormat.HEIC: heif,
    FileFormat.SVG: svg,
    FileFormat.MP3: mp3,
    FileFormat.WAV: wav,
    FileFormat.FLAC: flac,
    FileFormat.OGG: ogg,
    FileFormat.OPUS: ogg,
    FileFormat.M4A: mp4,
    FileFormat.MP4: mp4,
    FileFormat.MOV: mp4,
    FileFormat.MKV: matroska,
    FileFormat.WEBM: matroska,
    FileFormat.AVI: avi,
    FileFormat.FLV: flv,
    FileFormat.PDF: pdf,
    FileFormat.DOCX: ooxml,
    FileFormat.XLSX: ooxml,
    FileFormat.PPTX: ooxml,
    FileFormat.EPUB: epub,
    FileFormat.HTML: html,
    FileFormat.MARKDOWN: markdown,
}

FORMATS: Final = frozenset(_MODULES)
"""The formats that can carry an implicit label."""

# What a parser of foreign bytes can trip over. A read past the end shows as one of these, never as a wrong answer,
# because every length is checked against what holds it before it is used.
_TRIPPED: Final = (
    struct.error, zlib.error, IndexError, KeyError, ValueError, OverflowError, RecursionError, StopIteration,
)  # fmt: skip

_Result = TypeVar("_Result")


def _module(file_format: FileFormat) -> ModuleType:
    module = _MODULES.get(file_format)
    if module is None:
        raise UnsupportedFormat(f"{file_format.value.name} has no place for an implicit label; use another format")
    return module


def _guarded(work: Callable[[], _Result], file_format: FileFormat) -> _Result:
    try:
        return work()
    except _TRIPPED as error:
        # The exception's text may quote the file, so only its kind is passed on.
        raise DamagedFile(
            f"the {file_format.value.name} file is broken ({type(error).__name__}); ask its maker for a sound file"
        ) from None


def read(data: bytes, file_format: FileFormat) -> list[AigcField]:
    """Every label field in the file, in any place that is known to be used.

    Raises :class:`UnsupportedFormat`, :class:`DamagedFile` and :class:`RefusedFile` only.
    """
    module = _module(file_format)
    fields: list[AigcField] = _guarded(lambda: module.read_fields(data), file_format)
    return fields


def write(data: bytes, file_format: FileFormat, label: AigcLabel) -> bytes:
    """The file with exactly this label, read back and compared.

    Raises :class:`LabelNotVerified` where reading back finds anything but this one label at the guide's place.
    """
    module = _module(file_format)
    written: bytes = _guarded(lambda: module.write_field(data, label), file_format)
    found = read(written, file_format)
    if len(found) != 1 or not found[0].is_guide_place or parse(found[0].value).label != label:
        raise LabelNotVerified(
            f"the label of the {file_format.value.name} file was written, but reading back found {len(found)} fields "
            f"and not exactly this label; the file must not be given out"
        )
    return written
