# SPDX-License-Identifier: Apache-2.0
"""EPUB: signatures."""

from __future__ import annotations

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel
from labeling.errors import RefusedFile
from labeling.implicit.zip_archive import Archive
from labeling.sniff import FileFormat

Samples = dict[FileFormat, bytes]


def test_a_signed_book_is_refused(samples: Samples, label: AigcLabel) -> None:
    """A label must not break a signature."""
    signed = Archive(samples[FileFormat.EPUB]).replace({"META-INF/signatures.xml": b"<signatures/>"})
    with pytest.raises(RefusedFile, match="signed"):
        implicit.write(signed, FileFormat.EPUB, label)
