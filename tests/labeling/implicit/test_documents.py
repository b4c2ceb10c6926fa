# SPDX-License-Identifier: Apache-2.0
"""Special cases of the document containers: PDF, Office, EPUB, HTML, Markdown and SVG."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from xml.etree import ElementTree

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile, RefusedFile, UnsupportedFormat
from labeling.implicit import pdf_objects, xmp, zip_archive
from labeling.implicit.zip_archive import Archive
from labeling.sniff import FileFormat

Samples = dict[FileFormat, bytes]


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


# PDF


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


# ZIP


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


# Office


def test_other_custom_properties_stay_and_numbers_go_on(samples: Samples, label: AigcLabel) -> None:
    """The file is well-formed XML with both properties and distinct identifiers."""
    part = (
        '<?xml version="1.0" encoding="UTF-16"?><Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/'
        'custom-properties" xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes"><property '
        'fmtid="{D5CDD505-2E9C-101B-9397-08002B2CF9AE}" pid="7" name="部门"><vt:lpwstr>a&amp;b</vt:lpwstr></property>'
        '<property fmtid="{x}" pid="8" name="AIGC"><vt:lpwstr>{&quot;Label&quot;:&quot;1&quot;}</vt:lpwstr></property>'
        "</Properties>"
    )
    data = Archive(samples[FileFormat.DOCX]).replace({"docProps/custom.xml": part.encode("utf-16")})
    written = implicit.write(data, FileFormat.DOCX, label)
    root = ElementTree.fromstring(Archive(written).read("docProps/custom.xml") or b"")
    found = {element.get("name"): (element.get("pid"), element[0].text) for element in root}

    assert implicit.read(data, FileFormat.DOCX)[0].value == '{"Label":"1"}'
    assert found == {"部门": ("7", "a&b"), "AIGC": ("8", label.as_json())}


def test_an_empty_part_and_prefixed_names_are_handled(samples: Samples, label: AigcLabel) -> None:
    """Roots that close themselves, roots under a prefix."""
    for root in (
        '<Properties xmlns="p"/>',
        '<cp:Properties xmlns:cp="p"></cp:Properties>',
        '<cp:Properties xmlns:cp="p"/>',
    ):
        data = Archive(samples[FileFormat.XLSX]).replace({"docProps/custom.xml": root.encode()})
        once = implicit.write(data, FileFormat.XLSX, label)
        ElementTree.fromstring(Archive(once).read("docProps/custom.xml") or b"")
        assert only_label(implicit.write(once, FileFormat.XLSX, label), FileFormat.XLSX) == label


def test_the_new_part_is_declared_once(samples: Samples, label: AigcLabel) -> None:
    """Its content type and its relationship, which Office needs to find it."""
    archive = Archive(
        implicit.write(implicit.write(samples[FileFormat.PPTX], FileFormat.PPTX, label), FileFormat.PPTX, label)
    )

    assert (archive.read("[Content_Types].xml") or b"").count(b"custom-properties+xml") == 1
    assert (archive.read("_rels/.rels") or b"").count(b"relationships/custom-properties") == 1
    assert (archive.read("_rels/.rels") or b"").count(b'Id="rId2"') == 1


def test_signed_and_encrypted_packages_and_entities_are_refused(samples: Samples, label: AigcLabel) -> None:
    """A label must not break a signature."""
    data = samples[FileFormat.DOCX]
    for part, content in (
        ("_xmlsignatures/origin.sigs", b""),
        ("docProps/custom.xml", b'<!DOCTYPE a [<!ENTITY x "y">]><Properties/>'),
    ):
        with pytest.raises(RefusedFile):
            implicit.write(Archive(data).replace({part: content}), FileFormat.DOCX, label)
    encrypted = bytearray(data)
    encrypted[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(RefusedFile, match="encrypted"):
        implicit.write(bytes(encrypted), FileFormat.DOCX, label)


# EPUB, HTML, Markdown, SVG


def test_a_signed_book_is_refused(samples: Samples, label: AigcLabel) -> None:
    """A label must not break a signature."""
    signed = Archive(samples[FileFormat.EPUB]).replace({"META-INF/signatures.xml": b"<signatures/>"})
    with pytest.raises(RefusedFile, match="signed"):
        implicit.write(signed, FileFormat.EPUB, label)


@pytest.mark.parametrize(
    ("page", "before"),
    [
        (
            "<!doctype html><html><head><meta charset=utf-8><title>t</title>",
            "<!doctype html><html><head><meta charset=utf-8>",
        ),
        ("<!doctype html><html><head><title>t</title>", "<!doctype html><html><head>"),
        ("<!doctype html>\n<p>x", "<!doctype html>"),
        ("<html><body><meta charset=utf-8></body>", "<html>"),
        ("<!-- <head> --><!DOCTYPE html><title><head></title>", "<!-- <head> --><!DOCTYPE html>"),
        ("<p>x", ""),
    ],
)
def test_the_html_label_stands_behind_what_browsers_need_first(page: str, before: str, label: AigcLabel) -> None:
    """Document type, head, character set; tags in comments and titles are no tags."""
    written = implicit.write(page.encode(), FileFormat.HTML, label).decode()

    assert written.startswith(before + '<meta name="AIGC"')
    assert written.endswith(page[len(before) :])


def test_html_labels_are_found_in_any_writing_and_other_encodings_stay(label: AigcLabel) -> None:
    """Order and quotes of attributes; bytes of GB 18030 untouched."""
    page = "<html><head><META content='{&quot;Label&quot;:&quot;1&quot;}' NAME=aigc></head>内容".encode("gb18030")
    written = implicit.write(page, FileFormat.HTML, label)

    assert implicit.read(page, FileFormat.HTML)[0].value == b'{"Label":"1"}'
    assert only_label(written, FileFormat.HTML) == label
    assert written.endswith("</head>内容".encode("gb18030"))
    with pytest.raises(UnsupportedFormat, match="UTF-16"):
        implicit.write("<html>".encode("utf-16"), FileFormat.HTML, label)


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


@pytest.mark.parametrize(
    "drawing",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'<s:svg xmlns:s="http://www.w3.org/2000/svg" a="/>"><s:g/></s:svg>',
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
