# SPDX-License-Identifier: Apache-2.0
"""PDF: both kinds of cross-references, revisions, signatures, encryption."""

from __future__ import annotations

import io
import struct
import zlib

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile, RefusedFile
from labeling.implicit import xmp
from labeling.sniff import FileFormat

Samples = dict[FileFormat, bytes]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


def pdf_with_streams(*, predictor: bool = True, metadata: bytes = b"") -> bytes:
    """A PDF 1.5 with a cross-reference stream, its information dictionary inside an object stream."""
    out = bytearray(b"%PDF-1.5\n")
    places: dict[int, tuple[int, int, int]] = {}

    def add(number: int, body: bytes) -> None:
        places[number] = (1, len(out), 0)
        out.extend(b"%d 0 obj\n%s\nendobj\n" % (number, body))

    def stream(entries: bytes, content: bytes) -> bytes:
        return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(content), content)

    add(1, b"<< /Type /Catalog /Pages 2 0 R /Metadata 7 0 R >>" if metadata else b"<< /Type /Catalog /Pages 2 0 R >>")
    add(2, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
    add(3, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>")
    if metadata:
        add(7, stream(b"/Type /Metadata /Subtype /XML", metadata))
    inner = b"4 0 << /Title (kept) >>"
    add(5, stream(b"/Type /ObjStm /N 1 /First 4 /Filter /FlateDecode", zlib.compress(inner)))
    places[4] = (2, 5, 0)
    places[6] = (1, len(out), 0)
    rows = [places.get(number, (0, 0, 65_535)) for number in range(8)]
    raw = [struct.pack(">BIH", *row) for row in rows]
    parameters = b""
    if predictor:
        packed, above = b"", bytes(7)
        for row in raw:
            packed += b"\x02" + bytes((value - up) & 255 for value, up in zip(row, above, strict=True))
            above = row
        parameters = b"/DecodeParms << /Predictor 12 /Columns 7 >>"
    else:
        packed = b"".join(raw)
    start = len(out)
    entries = b"/Type /XRef /Size 8 /W [1 4 2] /Root 1 0 R /Info 4 0 R /Filter /FlateDecode " + parameters
    out.extend(b"6 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF" % (stream(entries, zlib.compress(packed)), start))
    return bytes(out)


@pytest.mark.parametrize("predictor", [False, True])
def test_a_pdf_with_reference_streams_is_labelled_in_kind(predictor: bool, label: AigcLabel) -> None:
    """Information in an object stream, references in a stream; read by pypdf, twice over."""
    pypdf = pytest.importorskip("pypdf")
    data = pdf_with_streams(predictor=predictor)
    once = implicit.write(data, FileFormat.PDF, label)
    twice = implicit.write(once, FileFormat.PDF, label)
    for written in (once, twice):
        reader = pypdf.PdfReader(io.BytesIO(written), strict=True)
        assert parse(str(reader.metadata["/AIGC"])).label == label
        assert reader.metadata["/Title"] == "kept"
        assert len(reader.pages) == 1
        assert written.startswith(data)


def test_a_pdf_behind_other_bytes_keeps_its_offsets(samples: Samples, label: AigcLabel) -> None:
    """Offsets count from the header."""
    written = implicit.write(b"mail junk\n" + samples[FileFormat.PDF], FileFormat.PDF, label)

    assert only_label(written, FileFormat.PDF) == label


def test_a_pdf_without_information_gets_a_dictionary(samples: Samples, label: AigcLabel) -> None:
    """A new object, named by the trailer."""
    bare = samples[FileFormat.PDF].replace(b" /Info 4 0 R", b"")

    assert only_label(implicit.write(bare, FileFormat.PDF, label), FileFormat.PDF) == label


def test_a_label_in_the_xmp_of_a_pdf_is_read_and_taken_out(label: AigcLabel, other_label: AigcLabel) -> None:
    """One label a file; the rest of the packet stays."""
    data = pdf_with_streams(metadata=xmp.new_packet(other_label.as_json()))
    (field,) = implicit.read(data, FileFormat.PDF)

    assert parse(field.value).label == other_label and not field.is_guide_place
    assert only_label(implicit.write(data, FileFormat.PDF, label), FileFormat.PDF) == label


def test_a_signed_pdf_is_not_touched(samples: Samples, label: AigcLabel) -> None:
    """Its signature would no longer cover the file."""
    signed = samples[FileFormat.PDF].replace(b"/Producer", b"/ByteRange [0 1 2 3] /Producer")
    with pytest.raises((DamagedFile, RefusedFile)):
        implicit.write(signed, FileFormat.PDF, label)
    with_comment = samples[FileFormat.PDF] + b"% /ByteRange [0 1 2 3]\n"
    with pytest.raises(RefusedFile, match="signed"):
        implicit.write(with_comment, FileFormat.PDF, label)


def test_an_encrypted_pdf_is_refused(samples: Samples, label: AigcLabel) -> None:
    """Its strings cannot be read or written without the key."""
    encrypted = samples[FileFormat.PDF].replace(b"/Info 4 0 R", b"/Info 4 0 R /Encrypt << >>")
    with pytest.raises(RefusedFile, match="encrypted"):
        implicit.write(encrypted, FileFormat.PDF, label)


@pytest.mark.parametrize(
    "change",
    [
        (b"startxref", b"startyref"),
        (b"trailer", b"trailor"),
        (b"0000000000 65535 f", b"0000x00000 65535 f"),
        (b"/Info 4 0 R", b"/Info 3"),
        (b"4 0 obj", b"9 0 obj"),
    ],
)
def test_a_pdf_whose_references_do_not_hold_is_damaged_or_labelled(
    change: tuple[bytes, bytes], samples: Samples, label: AigcLabel
) -> None:
    """Never half a label."""
    broken = samples[FileFormat.PDF].replace(*change)
    if change[0] == b"/Info 4 0 R":
        assert only_label(implicit.write(broken, FileFormat.PDF, label), FileFormat.PDF) == label
    else:
        with pytest.raises(DamagedFile):
            implicit.write(broken, FileFormat.PDF, label)


def test_revisions_in_a_circle_end(samples: Samples) -> None:
    """A previous section that is the same section."""
    data = samples[FileFormat.PDF]
    start = data.rindex(b"xref\n0 5")
    circle = data.replace(b"/Size 5", b"/Size 5 /Prev %d" % start)

    assert implicit.read(circle, FileFormat.PDF) == []
