# SPDX-License-Identifier: Apache-2.0
"""ZIP: packed bytes are kept, ambiguous archives refused."""

from __future__ import annotations

import io
import zipfile

import pytest

from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit import zip_archive
from labeling.implicit.zip_archive import Archive


def archive_of(**parts: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), text)
    return out.getvalue()


def test_parts_that_are_not_replaced_keep_their_packed_bytes() -> None:
    """Nothing is unpacked and packed again; the standard library reads all of it."""
    data = archive_of(a="x" * 999, b="y", c="z" * 99)
    written = Archive(data).replace({"b": b"new", "d": b"added"})
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a": b"x" * 999, "b": b"new", "c": b"z" * 99, "d": b"added",
        }  # fmt: skip
    assert data[31:42] in written


def test_descriptors_of_streaming_writers_are_resolved() -> None:
    """Sizes behind the data become sizes in front of it."""

    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    out = Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", "x" * 500)
        archive.writestr("b", "y" * 500)
    written = Archive(out.getvalue()).replace({"b": b"new"})
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        assert (archive.testzip(), archive.read("a"), archive.read("b")) == (None, b"x" * 500, b"new")


def test_a_bomb_a_double_name_and_an_overlap_are_refused() -> None:
    """What readers could understand in two ways, and what unpacks without end."""
    bomb = archive_of(a="\0" * (zip_archive.MAX_PART_BYTES + 1))
    with pytest.raises(RefusedFile, match="unpacks"):
        Archive(bomb).read("a")
    double = archive_of(ab="1", ac="2").replace(b"ac", b"ab")
    with pytest.raises(RefusedFile, match="one name"):
        Archive(double)
    overlap = bytearray(archive_of(ab="1" * 50, ac="2" * 50))
    second = overlap.rindex(b"PK\x01\x02")
    overlap[second + 42 : second + 46] = bytes(4)
    overlap[second + 46 : second + 48] = b"ab"
    with pytest.raises(RefusedFile):
        Archive(bytes(overlap))


@pytest.mark.parametrize("cut", [0, 10, 40, -1, -10])
def test_a_cut_archive_is_damaged(cut: int) -> None:
    """With the one error."""
    with pytest.raises(DamagedFile):
        Archive(archive_of(a="x")[: cut or None][:cut] if cut else b"PK\x03\x04")
