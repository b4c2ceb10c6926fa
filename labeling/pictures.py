# SPDX-License-Identifier: Apache-2.0
"""A picture from the bytes of a file, for looking at: only the decoder that the bytes ask for, within a limit.

Of an animation the first frame is given, of a rotated photograph what people see.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, ImageOps

from labeling.errors import DECODER_ERRORS, DamagedFile, RefusedFile, UnsupportedFormat
from labeling.sniff import FileFormat

MAX_PIXELS: Final = 50_000_000


def picture_of(data: bytes, file_format: FileFormat, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture, decoded and upright.

    Raises :class:`UnsupportedFormat` for what no decoder here knows, :class:`RefusedFile` for one that is too large,
    :class:`DamagedFile`.
    """
    if file_format.medium != "image" or file_format in (FileFormat.SVG, FileFormat.HEIC):
        raise UnsupportedFormat(f"{file_format.value.name} is not decoded here; convert it to PNG, JPEG or WebP")
    try:
        image = Image.open(io.BytesIO(data), formats=[file_format.name])
        if image.width * image.height > max_pixels:
            raise RefusedFile(f"the image has more than {max_pixels} pixels; make it smaller")
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedFile("the image has too many pixels; make it smaller") from None
    except DECODER_ERRORS:
        raise DamagedFile(
            f"the {file_format.value.name} image cannot be decoded; ask its maker for a sound file"
        ) from None
