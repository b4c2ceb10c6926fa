# SPDX-License-Identifier: Apache-2.0
"""JPEG: comments, the order of segments, the limit of a segment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import RefusedFile
from labeling.sniff import FileFormat

Encode = Callable[..., bytes]


MakePicture = Callable[..., Image.Image]


OTHER = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/' dc:format='kept'/>"
    b"</rdf:RDF></x:xmpmeta>"
)


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


def test_a_jpeg_comment_with_a_label_is_read_and_replaced(
    label: AigcLabel, other_label: AigcLabel, make_picture: MakePicture, encode: Encode
) -> None:
    """Another place that writers chose."""
    data = encode(make_picture(), "JPEG", comment=other_label.as_json(wrapped=True).encode())

    assert only_label(data, FileFormat.JPEG) == other_label
    assert only_label(implicit.write(data, FileFormat.JPEG, label), FileFormat.JPEG) == label


def test_a_jpeg_whose_metadata_outgrow_a_segment_is_refused(
    label: AigcLabel, make_picture: MakePicture, encode: Encode
) -> None:
    """Clear, and not cut."""
    big = OTHER.replace(b"kept", b"k" * 65_150)
    with pytest.raises(RefusedFile, match="64 KiB"):
        implicit.write(encode(make_picture(), "JPEG", xmp=big), FileFormat.JPEG, label)
