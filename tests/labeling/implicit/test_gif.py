# SPDX-License-Identifier: Apache-2.0
"""GIF: versions, comments, animations."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.sniff import FileFormat

Encode = Callable[..., bytes]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


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
