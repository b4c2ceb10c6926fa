# SPDX-License-Identifier: Apache-2.0
"""SVG: drawings of every shape."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile
from labeling.sniff import FileFormat


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


@pytest.mark.parametrize(
    "drawing",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'<s:svg xmlns:s="http://www.w3.org/2000/svg" a="/>"><s:g/></s:svg>',
        b'<svg xmlns="http://www.w3.org/2000/svg"><metadata id="/>" /><g/></svg>',
        b'<svg xmlns="http://www.w3.org/2000/svg"><metadata><a/></metadata><g><metadata/></g></svg>',
        b'\xef\xbb\xbf<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x"><svg xmlns="http://www.w3.org/2000/svg"><g/></svg>',
        b'<svg xmlns="http://www.w3.org/2000/svg"><metadata><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<r:Description r:about=""/></r:RDF></metadata></svg>',
    ],
)
def test_drawings_of_every_shape_take_the_label(drawing: bytes, label: AigcLabel) -> None:
    """Well-formed afterwards, one metadata element at the root, label found."""
    written = implicit.write(drawing, FileFormat.SVG, label)
    root = ElementTree.fromstring(written.removeprefix(b"\xef\xbb\xbf"))

    assert only_label(written, FileFormat.SVG) == label
    assert len(root.findall("{http://www.w3.org/2000/svg}metadata")) == 1


def test_a_drawing_with_entities_is_damaged(label: AigcLabel) -> None:
    """No entity is ever expanded."""
    with pytest.raises(DamagedFile, match="entities"):
        implicit.write(b'<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>', FileFormat.SVG, label)
