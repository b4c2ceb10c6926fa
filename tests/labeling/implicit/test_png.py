# SPDX-License-Identifier: Apache-2.0
"""PNG: text chunks of other writers, bombs, trailing data."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, PngImagePlugin

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile
from labeling.implicit import png
from labeling.sniff import FileFormat

Encode = Callable[..., bytes]


MakePicture = Callable[..., Image.Image]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


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
