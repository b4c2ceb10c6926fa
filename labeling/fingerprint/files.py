# SPDX-License-Identifier: Apache-2.0
"""The fingerprints of a file, by its medium; none for what is not decoded here."""

from __future__ import annotations

from PIL import Image

from labeling.errors import LabelError
from labeling.fingerprint.audio import audio_print
from labeling.fingerprint.image import image_print
from labeling.fingerprint.sketch import Print
from labeling.fingerprint.text import text_print
from labeling.pictures import picture_of
from labeling.sniff import FileFormat

_PROSE = (FileFormat.TEXT, FileFormat.MARKDOWN)


def prints_of(data: bytes, file_format: FileFormat, picture: Image.Image | None = None) -> tuple[Print, ...]:
    """The fingerprints of a picture, a WAV sound or a plain text. A file that cannot be decoded has none.

    ``picture`` is the file decoded, where the caller has it already.
    """
    try:
        if file_format.medium == "image":
            found = image_print(picture or picture_of(data, file_format))
        elif file_format.medium == "audio":
            found = audio_print(data, file_format)
        elif file_format in _PROSE:
            found = text_print(data.decode("utf-8", "replace"))
        else:
            found = None
    except LabelError:
        return ()
    return () if found is None else (found,)
