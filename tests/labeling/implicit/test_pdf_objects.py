# SPDX-License-Identifier: Apache-2.0
"""PDF objects: strings and nesting."""

from __future__ import annotations

import pytest

from labeling.errors import DamagedFile
from labeling.implicit import pdf_objects


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"(a\\(b\\)\\\\c\\101\\n\\\nd)", "a(b)\\cA\nd"),
        (b"<414 2>", "AB"),
        (b"<4>", "@"),
        (b"<FEFF4F60>", "你"),
        (b"(\xef\xbb\xbf\xe4\xbd\xa0)", "你"),
    ],
)
def test_strings_are_read_in_every_form(raw: bytes, text: str) -> None:
    """Escapes, octal, hexadecimal, marks."""
    assert pdf_objects.decode_text(pdf_objects.read_string(raw)) == text


def test_values_nested_without_end_are_damaged() -> None:
    """A thousand brackets."""
    with pytest.raises(DamagedFile):
        pdf_objects.skip_value(b"[" * 1000, 0)
