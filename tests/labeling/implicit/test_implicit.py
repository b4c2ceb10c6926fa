# SPDX-License-Identifier: Apache-2.0
"""What holds for the implicit label of every format."""

from __future__ import annotations

import io
import json
import random
import subprocess
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile, LabelError, LabelNotVerified, UnsupportedFormat
from labeling.sniff import FileFormat, sniff
from tests.debian import exiftool

pytestmark = pytest.mark.timeout(60)
Content = Callable[[bytes, FileFormat], object]

READ_BY_EXIFTOOL = [
    *("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "HEIC", "SVG", "MP3", "FLAC", "OGG", "OPUS", "WAV", "M4A"),
    *("MP4", "MOV", "MKV", "WEBM", "AVI", "FLV", "PDF", "DOCX", "XLSX", "PPTX"),
]


def test_the_label_is_written_read_back_and_is_the_only_one(
    sample: bytes, file_format: FileFormat, label: AigcLabel
) -> None:
    """GB 45438-2025 6.1: one label, at the place of the guide, with the bare seven-key object."""
    written = implicit.write(sample, file_format, label)
    fields = implicit.read(written, file_format)

    assert implicit.read(sample, file_format) == []
    assert len(fields) == 1
    assert fields[0].is_guide_place
    assert parse(fields[0].value).label == label
    assert parse(fields[0].value).findings == ()


def test_the_format_stays_what_it_was(sample: bytes, file_format: FileFormat, label: AigcLabel) -> None:
    """Bytes decide the format, before and after."""
    declared = file_format.mime

    assert sniff(sample, declared) is file_format
    assert sniff(implicit.write(sample, file_format, label), declared) is file_format


def test_what_people_see_and_hear_is_untouched(
    sample: bytes, file_format: FileFormat, label: AigcLabel, content: Content
) -> None:
    """Pixels, packets with their times, and parts of documents are the same, as read by other people's decoders."""
    before = content(sample, file_format)

    assert content(implicit.write(sample, file_format, label), file_format) == before


def test_a_former_label_is_replaced_and_not_joined(
    sample: bytes, file_format: FileFormat, label: AigcLabel, other_label: AigcLabel, content: Content
) -> None:
    """Clause 6.1 c): on a new export the label is written over the old one."""
    twice = implicit.write(implicit.write(sample, file_format, other_label), file_format, label)
    fields = implicit.read(twice, file_format)

    assert [parse(field.value).label for field in fields] == [label]
    assert content(twice, file_format) == content(sample, file_format)


def test_writing_the_same_label_again_changes_nothing_more(
    sample: bytes, file_format: FileFormat, label: AigcLabel
) -> None:
    """The second and third writing agree, so files do not grow with each pass (documents keep their revisions)."""
    once = implicit.write(sample, file_format, label)
    twice = implicit.write(once, file_format, label)
    thrice = implicit.write(twice, file_format, label)

    if file_format in (FileFormat.PDF, FileFormat.TIFF, FileFormat.AVIF, FileFormat.HEIC, FileFormat.AVI):
        # These append: the old place is left empty, so that no offset moves. Offsets may gain a digit.
        assert abs((len(thrice) - len(twice)) - (len(twice) - len(once))) <= 4
    else:
        assert twice == thrice


@pytest.fixture(scope="module")
def seen_by_exiftool(
    samples: dict[FileFormat, bytes], label: AigcLabel, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What exiftool, which we did not write, says about all labelled files."""
    tool = exiftool()
    if tool is None:
        pytest.skip("exiftool is not installed: the second reader of labels did not run")
    folder: Path = tmp_path_factory.mktemp("labelled")
    for kind, data in samples.items():
        if kind.name not in READ_BY_EXIFTOOL:
            continue
        (folder / f"{kind.name}.{kind.value.extension}").write_bytes(implicit.write(data, kind, label))
    run = subprocess.run(
        [*tool, "-json", "-G1", "-a", "-u", "-b", str(folder)], capture_output=True, timeout=60, check=False, text=True
    )
    found = {}
    for entry in json.loads(run.stdout):
        assert "ExifTool:Error" not in entry, entry
        assert "ExifTool:Warning" not in entry, entry
        # exiftool understands the value as JSON where it can, puts the description in front of an ID3 value, gives
        # chunks that it does not know as Base64, and the whole packet beside its properties.
        values = [
            (value if isinstance(value, str) else json.dumps(value)).removeprefix("base64:").removeprefix("(AIGC) ")
            for key, value in entry.items()
            if "aigc" in f"{key}{value}".lower() and "<?xpacket" not in str(value)
        ]
        found[Path(entry["SourceFile"]).stem] = values[0] if len(values) == 1 else repr(values)
    return found


@pytest.mark.parametrize("name", READ_BY_EXIFTOOL)
def test_a_reader_that_is_not_ours_finds_the_same_label(
    name: str, seen_by_exiftool: dict[str, str], label: AigcLabel
) -> None:
    """A label that only its writer can read is worth nothing."""
    if name not in seen_by_exiftool:
        pytest.skip(f"no {name} file could be made on this machine")

    assert parse(seen_by_exiftool[name]).label == label


@pytest.mark.parametrize("name", ["MP3", "FLAC", "OPUS", "M4A", "MP4", "MOV", "MKV", "WEBM", "FLV"])
def test_ffmpeg_finds_the_same_label_and_keeps_the_other_tags(
    name: str, samples: dict[FileFormat, bytes], label: AigcLabel
) -> None:
    """Players and transcoders are built on it."""
    av = pytest.importorskip("av")
    kind = FileFormat[name]
    with av.open(io.BytesIO(samples[kind])) as source:
        before = {**source.metadata, **{f"s:{k}": v for k, v in source.streams[0].metadata.items()}}
    with av.open(io.BytesIO(implicit.write(samples[kind], kind, label))) as source:
        after = {**source.metadata, **{f"s:{k}": v for k, v in source.streams[0].metadata.items()}}
    found = [value for key, value in after.items() if "aigc" in key.lower()]

    assert [parse(value).label for value in found] == [label]
    assert before.items() <= after.items()


def test_pypdf_finds_the_same_label_and_keeps_the_title(samples: dict[FileFormat, bytes], label: AigcLabel) -> None:
    """A PDF reader that is not ours, strict about cross-references."""
    pypdf = pytest.importorskip("pypdf")
    written = implicit.write(samples[FileFormat.PDF], FileFormat.PDF, label)
    reader = pypdf.PdfReader(io.BytesIO(written), strict=True)

    assert parse(str(reader.metadata["/AIGC"])).label == label
    assert (reader.metadata["/Title"], reader.metadata["/Producer"]) == ("kept (title)", "你好")
    assert written.startswith(samples[FileFormat.PDF])


def test_the_parser_of_the_standard_library_finds_the_same_label_in_html(
    samples: dict[FileFormat, bytes], label: AigcLabel
) -> None:
    """A second reader for web pages."""
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "meta" and dict(attrs).get("name") == "AIGC":
                found.append(dict(attrs)["content"])

    Reader().feed(implicit.write(samples[FileFormat.HTML], FileFormat.HTML, label).decode())

    assert [parse(value or "").label for value in found] == [label]


def test_an_xml_parser_finds_the_same_label_in_a_book(samples: dict[FileFormat, bytes], label: AigcLabel) -> None:
    """A second reader for EPUB: the mimetype stays the first part and uncompressed, the package is well-formed."""
    written = implicit.write(samples[FileFormat.EPUB], FileFormat.EPUB, label)
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        first = archive.infolist()[0]
        root = ElementTree.fromstring(archive.read("OPS/p.opf"))
    found = [
        meta.get("content") for meta in root.iter("{http://www.idpf.org/2007/opf}meta") if meta.get("name") == "AIGC"
    ]

    assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    assert [parse(value or "").label for value in found] == [label]


def test_a_yaml_parser_finds_the_same_label_in_markdown(samples: dict[FileFormat, bytes], label: AigcLabel) -> None:
    """A second reader for front matter."""
    yaml = pytest.importorskip("yaml")
    written = implicit.write(samples[FileFormat.MARKDOWN], FileFormat.MARKDOWN, label).decode()
    front = yaml.safe_load(written.split("---\n")[1])

    assert front == {"title": "文", "AIGC": label.as_dict()}
    assert written.endswith("---\n\n# 文\n")


def test_a_file_that_ends_early_is_called_damaged_and_nothing_else_happens(
    sample: bytes, file_format: FileFormat, label: AigcLabel
) -> None:
    """Every cut either still gives exactly one label or a clear error; no other exception escapes."""
    chance = random.Random(5)
    cuts = sorted({*range(0, min(len(sample), 80), 3), *(chance.randrange(len(sample)) for _ in range(40))})
    for cut in cuts:
        try:
            written = implicit.write(sample[:cut], file_format, label)
        except LabelError:
            continue
        assert len(implicit.read(written, file_format)) == 1


def test_a_file_with_wrong_bytes_never_crashes_the_writer_or_the_reader(
    sample: bytes, file_format: FileFormat, label: AigcLabel, other_label: AigcLabel
) -> None:
    """Random damage in the first kilobytes and the last, on a labelled file: an error of ours or one label."""
    chance = random.Random(7)
    whole = implicit.write(sample, file_format, other_label)
    places = [*range(min(len(whole), 1500)), *range(max(0, len(whole) - 700), len(whole))]
    for _ in range(120):
        broken = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            broken[chance.choice(places)] = chance.choice((0, 0xFF, 0x7F, chance.randrange(256)))
        try:
            written = implicit.write(bytes(broken), file_format, label)
        except LabelError:
            continue
        assert len(implicit.read(written, file_format)) == 1


def test_a_format_without_a_place_for_labels_is_refused(label: AigcLabel) -> None:
    """Plain text has no metadata."""
    with pytest.raises(UnsupportedFormat, match="plain text"):
        implicit.write(b"hello", FileFormat.TEXT, label)


def test_a_writer_that_lies_is_caught_by_reading_back(
    samples: dict[FileFormat, bytes], label: AigcLabel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given out has been read back."""
    from labeling.implicit import png

    monkeypatch.setattr(png, "write_field", lambda data, label: data)

    with pytest.raises(LabelNotVerified, match="0 fields"):
        implicit.write(samples[FileFormat.PNG], FileFormat.PNG, label)


def test_what_a_parser_trips_over_becomes_one_error_without_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of an inner exception can quote the file."""
    from labeling.implicit import png

    def trip(data: bytes) -> None:
        raise ValueError("secret words of a user")

    monkeypatch.setattr(png, "read_fields", trip)

    with pytest.raises(DamagedFile) as caught:
        implicit.read(b"", FileFormat.PNG)
    assert "secret" not in str(caught.value)


def test_every_format_of_the_table_has_a_sample(samples: dict[FileFormat, bytes]) -> None:
    """The tests above mean all formats; what this machine cannot make is said."""
    missing = {kind.name for kind in implicit.FORMATS - set(samples)}
    if missing:
        pytest.skip(f"no sample could be made of {', '.join(sorted(missing))}: install av and pillow-heif")
    assert not missing
