# SPDX-License-Identifier: Apache-2.0
"""SVG 1.1 and 2: the label as XMP in a ``metadata`` element, the place that the SVG specification gives to RDF.

No practice guide names SVG; the property is the one of the image guide. All other bytes of the drawing stay.
"""

from __future__ import annotations

import re

from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.implicit import xmp
from labeling.implicit.field import AigcField

_ROOT_NAME = re.compile(rb"<([\w.-]+:)?svg")
_TAG_END = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""")


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    return xmp.read(data.removeprefix(b"\xef\xbb\xbf"), "SVG metadata element")


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The drawing with exactly this label."""
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    cleaned = xmp.remove(data[len(mark) :])
    places = xmp.find_places(cleaned)
    if places.rdf_end is not None:
        return mark + xmp.merge(cleaned, label.as_json())
    tree = xmp.new_tree(label.as_json())
    if places.empty_metadata is not None:
        first, last = places.empty_metadata
        name_end = re.match(rb"<[^\s/>]+", cleaned[first:last])
        closing = b"</" + name_end[0][1:] + b">" if name_end else b""
        return mark + cleaned[: last - 2] + b">" + tree + closing + cleaned[last:]
    if places.metadata_end is not None:
        return mark + cleaned[: places.metadata_end] + tree + cleaned[places.metadata_end :]
    start = places.root_start or 0
    name = _ROOT_NAME.match(cleaned, start)
    tag = _TAG_END.match(cleaned, start)
    if not places.root_is_svg or name is None or tag is None:
        raise DamagedFile("the drawing has no svg element at its root; ask its maker for a sound file")
    prefix = name[1] or b""
    element = b"<" + prefix + b"metadata>" + tree + b"</" + prefix + b"metadata>"
    end = tag.end()
    if cleaned[end - 2 : end] == b"/>":
        return mark + cleaned[: end - 2] + b">" + element + b"</" + prefix + b"svg>" + cleaned[end:]
    return mark + cleaned[:end] + element + cleaned[end:]
