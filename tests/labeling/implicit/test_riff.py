# SPDX-License-Identifier: Apache-2.0
"""RIFF chunks are walked and made with their padding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.errors import DamagedFile
from labeling.implicit import riff

NAMES = st.binary(min_size=4, max_size=4)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=40)), max_size=8))
def test_what_is_made_is_walked(chunks: list[tuple[bytes, bytes]]) -> None:
    """Names and contents come back, whatever their length."""
    data = b"".join(riff.make(name, content) for name, content in chunks)
    found = [(chunk.name, data[chunk.content : chunk.end]) for chunk in riff.walk(data, 0, len(data))]

    assert found == chunks
    assert len(data) % 2 == 0


def test_a_chunk_beyond_the_end_is_damaged_unless_it_may_be_open() -> None:
    """Only the sound of a streaming writer may reach to the end of the file."""
    data = b"data\xff\xff\xff\xffabcd"

    assert [(chunk.name, chunk.end) for chunk in riff.walk(data, 0, 12, open_ended=b"data")] == [(b"data", 12)]
    with pytest.raises(DamagedFile, match="longer than the file"):
        list(riff.walk(data, 0, 12))


@pytest.mark.parametrize(("text", "content"), [("ab", b"ab"), ("abc", b"abc ")])
def test_text_never_needs_padding(text: str, content: bytes) -> None:
    """Some readers take the padding for content, and a NUL behind JSON breaks it."""
    assert riff.make_text(b"AIGC", text) == b"AIGC" + len(content).to_bytes(4, "little") + content
