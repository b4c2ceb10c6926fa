# SPDX-License-Identifier: Apache-2.0
"""Markdown: front matter in all its forms."""

from __future__ import annotations

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import UnsupportedFormat
from labeling.sniff import FileFormat


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("AIGC:\n  Label: 1\n  ContentProducer: 'a''b'\n", {"Label": "1", "ContentProducer": "a'b"}),
        ('AIGC: \'{"Label":"1"}\'\n', '{"Label":"1"}'),
        ('"AIGC":\n\tLabel: "1"\n', {"Label": "1"}),
        ("aigc: {Label: 1}\n", "{Label: 1}"),
    ],
)
def test_markdown_labels_in_other_forms_are_read_and_replaced(front: str, expected: object, label: AigcLabel) -> None:
    """Mappings and strings; the neighbours stay."""
    data = f"---\ntitle: a\n{front}tags:\n  - b\n---\ntext\n".encode()
    written = implicit.write(data, FileFormat.MARKDOWN, label)

    assert implicit.read(data, FileFormat.MARKDOWN)[0].value == expected
    assert only_label(written, FileFormat.MARKDOWN) == label
    assert written.startswith(b"---\ntitle: a\ntags:\n  - b\nAIGC:\n")
    assert written.endswith(b"---\ntext\n")


def test_markdown_without_front_matter_gets_one(label: AigcLabel) -> None:
    """A rule line in the text is not front matter; line ends are kept."""
    for text in ("# t\n\n---\nAIGC: in text\n---\n", "---\nnot closed\n", "# t\r\nb\r\n", "\ufeff# t"):
        written = implicit.write(text.encode(), FileFormat.MARKDOWN, label)
        assert written.decode().lstrip("\ufeff").startswith("---")
        assert written.decode().endswith(text.lstrip("\ufeff"))
    assert b"AIGC:\r\n  Label" in implicit.write(b"# t\r\n", FileFormat.MARKDOWN, label)
    with pytest.raises(UnsupportedFormat, match="UTF-8"):
        implicit.write(b"\xff\xfe# t", FileFormat.MARKDOWN, label)
