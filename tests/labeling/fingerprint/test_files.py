# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of files by their medium."""

from __future__ import annotations

import io

from labeling.fingerprint.files import prints_of
from labeling.sniff import FileFormat
from tests.labeling.watermark.pictures import scene


def test_each_medium_has_its_own_kind() -> None:
    """A picture and a prose text; a film has none yet."""
    out = io.BytesIO()
    scene(81).save(out, "PNG")
    (picture,) = prints_of(out.getvalue(), FileFormat.PNG)
    (text,) = prints_of(b"many words in a row that say something, " * 10, FileFormat.MARKDOWN)
    assert (picture.kind, text.kind) == ("image", "text")
    assert prints_of(out.getvalue(), FileFormat.PNG, scene(81)) == (picture,)
    assert prints_of(b"\0\0\0\x20ftypisom", FileFormat.MP4) == ()


def test_what_cannot_be_decoded_has_none() -> None:
    """A damaged picture, a packed sound, a short text: nothing is raised."""
    assert prints_of(b"\x89PNG\r\n\x1a\n", FileFormat.PNG) == ()
    assert prints_of(b"ID3", FileFormat.MP3) == ()
    assert prints_of(b"short", FileFormat.TEXT) == ()
