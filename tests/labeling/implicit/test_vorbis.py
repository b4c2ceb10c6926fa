# SPDX-License-Identifier: Apache-2.0
"""Vorbis comments: names, neighbours and what follows."""

from __future__ import annotations

import struct

from labeling.aigc import AigcLabel, parse
from labeling.implicit import vorbis


def test_vorbis_comments_of_others_stay_and_names_are_case_insensitive(label: AigcLabel) -> None:
    """Including what follows the list."""
    comments = [b"TITLE=kept", b"aigc={}", b"Aigc_2={}"]
    block = struct.pack("<I", 3) + b"ven" + struct.pack("<I", 3)
    block += b"".join(struct.pack("<I", len(comment)) + comment for comment in comments) + b"\x01"
    written = vorbis.with_label(block, label)

    assert [field.place for field in vorbis.read_fields(block, "x")] == ["x comment aigc", "x comment Aigc_2"]
    assert [parse(field.value).label for field in vorbis.read_fields(written, "x")] == [label]
    assert b"TITLE=kept" in written and written.endswith(b"\x01") and b"ven" in written
