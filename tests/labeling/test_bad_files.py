# SPDX-License-Identifier: Apache-2.0
"""Files that are broken, hostile or signed: a clear error or a whole set of labels, never an unlabelled file.

Whatever comes in, `label_file` raises a `LabelError` that says what to do, or gives a file that reads back with exactly
one conforming label; and an inspection of the same file says what it found without falling over.
"""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.c2pa_keys import file_signer, new_chain
from labeling.c2pa_manifest import ManifestOptions, ManifestSigner, read_manifest
from labeling.errors import LabelError, RefusedFile
from labeling.explicit.audio import AudioLabel
from labeling.explicit.image import ImageLabel
from labeling.file import ASSERTION, LabelPlan, label_file
from labeling.implicit.zip_archive import Archive
from labeling.inspection import inspect_file
from labeling.sniff import FileFormat
from tests.labeling.conftest import CODE, encoded, office, pdf_with_table, picture
from tests.labeling.explicit.test_pdf import encrypted, signed

Samples = dict[FileFormat, bytes]
PLAN = LabelPlan(
    AigcLabel("1", CODE, "0199f0c4-0000-7000-8000-000000000001"),
    ImageLabel("AI生成", 500, legible_px=7),
    AudioLabel(),
    "本内容由AI生成",
    explicit="where-possible",
)
PNG = encoded(picture(200, 160), "PNG")
JPEG = encoded(picture(200, 160), "JPEG")


def outcome(data: bytes, declared_mime: str | None = None) -> str:
    """`labelled`, or the kind of the error; a file that came out must hold exactly one label."""
    inspect_file(data, declared_mime=declared_mime)
    try:
        made = label_file(data, PLAN, declared_mime=declared_mime)
    except LabelError as error:
        assert str(error) and error.__class__ is not LabelError
        return type(error).__name__
    if made.mime == FileFormat.TEXT.mime:  # what is left of a web page may be no more than a text
        assert made.data.startswith(PLAN.words.encode())
        return "labelled"
    found = inspect_file(made.data, declared_mime=declared_mime or made.mime)
    assert [label.is_conforming for label in found.labels] == [True]
    assert found.verdict == "generated"
    return "labelled"


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, pixels: bytes = b"\x00") -> bytes:
    """A PNG that states this size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_of_any_format_is_an_error_or_fully_labelled(
    share: float, samples: Samples, file_format: FileFormat
) -> None:
    """Some formats are sound without their end; none leaves half labelled."""
    data = samples[file_format]
    assert outcome(data[: int(len(data) * share)], file_format.mime) in (
        "labelled", "DamagedFile", "UnsupportedFormat", "RefusedFile",
    )  # fmt: skip


@pytest.mark.parametrize("declared", ["image/jpeg", "text/plain", "application/pdf", "", "nonsense"])
def test_a_file_under_a_wrong_name_is_labelled_as_what_it_is(declared: str) -> None:
    """The bytes decide: a PNG named JPEG gets the label of a PNG."""
    made = label_file(PNG, PLAN, declared_mime=declared)
    assert made.mime == "image/png" and len(implicit.read(made.data, FileFormat.PNG)) == 1


def zip_tail() -> bytes:
    """A ZIP archive that may stand behind anything."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", "b")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "file_format"),
    [
        (PNG + zip_tail(), FileFormat.PNG),
        (JPEG + b"%PDF-1.4\n" + pdf_with_table(), FileFormat.JPEG),
        (PNG + b"<script>alert(1)</script>", FileFormat.PNG),
        (encoded(picture(200, 160), "GIF") + zip_tail(), FileFormat.GIF),
    ],
)
def test_a_file_that_is_two_is_labelled_as_what_it_begins_as(data: bytes, file_format: FileFormat) -> None:
    """What stood behind the picture is gone with the old encoding, so that nobody reads it as the other thing."""
    made = label_file(data, PLAN)
    assert made.mime == file_format.mime
    assert b"<script" not in made.data and b"PK\x05\x06" not in made.data and b"%PDF" not in made.data
    with Image.open(io.BytesIO(made.data)) as shown:
        assert shown.size == (200, 160)


def bomb(part: str) -> bytes:
    """A package of which one part unpacks to far more than it weighs."""
    archive = Archive(office("word/document.xml", "application/x-word"))
    return archive.replace({part: b"<a>" + b" " * (64 << 20)})


@pytest.mark.parametrize("part", ["docProps/custom.xml", "[Content_Types].xml"])
def test_an_archive_that_unpacks_without_end_is_refused(part: str) -> None:
    """Whatever size its directory states; a part that nobody has to read is never unpacked."""
    assert outcome(bomb(part)) == "RefusedFile"
    data = bomb("word/media/huge.bin")
    tracemalloc.start()
    try:
        assert outcome(data) == "labelled"
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png_of(65_535, 65_535), "RefusedFile"),
        (png_of(2**31 - 1, 2**31 - 1), "RefusedFile"),
        (png_of(65_535, 1, bytes(1 + 3 * 65_535)), "labelled"),
        (png_of(0, 0), "DamagedFile"),
        (png_of(0, 100), "DamagedFile"),
        (b"", "UnsupportedFormat"),
        (b"\x89PNG", "UnsupportedFormat"),
        (png_of(40, 40, b"\x00"), "DamagedFile"),
    ],
)
def test_impossible_sizes_are_errors(data: bytes, expected: str) -> None:
    """65,535 pixels each way, none at all, less data than stated; a strip of one row is labelled but for the words."""
    assert outcome(data) == expected


def test_an_image_that_is_small_packed_and_huge_unpacked_costs_no_memory() -> None:
    """A text chunk of a PNG that unpacks without end."""
    text = b"Comment\0\0" + zlib.compress(b"x" * (128 << 20))
    data = PNG[:33] + chunk(b"zTXt", text) + PNG[33:]
    assert outcome(data) in ("labelled", "DamagedFile", "RefusedFile")


def protected_office() -> bytes:
    """An Office file in which a part is encrypted."""
    data = bytearray(office("word/document.xml", "application/x-word"))
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [encrypted(), signed(), protected_office(), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)],
    ids=["PDF encrypted", "PDF signed", "Office encrypted", "Office behind a password"],
)
def test_what_must_not_be_touched_is_refused(data: bytes) -> None:
    """A label would break the signature, or cannot be read behind the password."""
    assert outcome(data) == "RefusedFile"


@pytest.fixture(scope="module")
def signer() -> ManifestSigner:
    """A chain of the provider's own."""
    chain = new_chain("Example", 30, time.time)
    options = ManifestOptions("Dutybound", "0.1", chain.root_pem.decode())
    return ManifestSigner(file_signer(chain.key_pem), "es256", chain.chain_pem.decode(), options)


def test_a_signed_document_can_have_its_label_beside_it(signer: ManifestSigner) -> None:
    """Byte for byte as it was; the manifest binds it and holds the seven keys. Without a key there is no way."""
    data = signed()
    with pytest.raises(RefusedFile, match="configure a signer"):
        label_file(data, LabelPlan(PLAN.label, beside=True))
    made = label_file(data, LabelPlan(PLAN.label, signer=signer, beside=True))
    found = read_manifest(data, FileFormat.PDF, sidecar=made.sidecar)
    assertions = found.detail["manifests"][found.detail["active_manifest"]]["assertions"]
    [keys] = [assertion["data"] for assertion in assertions if assertion["label"] == ASSERTION]
    assert made.data == data and found.state == "valid" and found.says_ai_generated
    assert keys == PLAN.label.as_dict()
    assert read_manifest(data + b" ", FileFormat.PDF, sidecar=made.sidecar).state == "invalid"


def several(data: bytes, label: AigcLabel) -> bytes:
    """The picture with two labels at two places."""
    twice = chunk(b"tEXt", b"AIGC\0" + label.as_json().encode())
    return implicit.write(data, FileFormat.PNG, label)[:33] + twice + implicit.write(data, FileFormat.PNG, label)[33:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda label: several(PNG, label),
        lambda label: PNG[:33] + chunk(b"tEXt", b"AIGC\0{broken") + PNG[33:],
        lambda label: PNG[:33] + chunk(b"tEXt", b"AIGC\0" + b"[" * 100_000) + PNG[33:],
        lambda label: PNG[:33] + chunk(b"tEXt", b"AIGC\0" + b'{"Label":"1"}' * 50) + PNG[33:],
        lambda label: PNG[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta") + PNG[33:],
    ],
    ids=["two labels", "no JSON", "deeply nested", "JSON after JSON", "broken XMP"],
)
def test_several_and_malformed_labels_give_way_to_one(damage: Callable[[AigcLabel], bytes]) -> None:
    """Or the file is refused as broken; two labels never leave."""
    assert outcome(damage(AigcLabel("1", CODE, "theirs-1"))) in ("labelled", "DamagedFile")


def test_of_two_labels_the_first_readable_ones_producer_stays() -> None:
    """Nobody's name is lost because a writer wrote twice."""
    made = label_file(several(PNG, AigcLabel("1", "001191440300708461136T1XGW3", "theirs-1")), PLAN)
    (field,) = implicit.read(made.data, FileFormat.PNG)
    found = parse(field.value).label
    assert found is not None
    assert (found.produce_id, found.propagate_id) == ("theirs-1", PLAN.label.produce_id)
