# SPDX-License-Identifier: Apache-2.0
"""An inspection tells what a file carries and which rule is broken, and survives every file."""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Callable

import pytest
from PIL import Image, PngImagePlugin

from labeling import implicit, inspection
from labeling.aigc import AigcLabel
from labeling.c2pa_keys import file_signer, new_chain
from labeling.c2pa_manifest import ManifestOptions, ManifestSigner
from labeling.errors import LabelError
from labeling.inspection import inspect_file, inspect_in_subprocess, inspect_text
from labeling.sniff import FileFormat
from labeling.watermark import Waves
from tests.labeling.watermark.pictures import KEY, PAYLOAD, scene

MUST_HAVE = (("人工智能", "AI"), ("生成", "合成", "generated"))
Encode = Callable[..., bytes]


def test_a_file_of_ours_conforms(sample: bytes, file_format: FileFormat, label: AigcLabel) -> None:
    """No finding on what this package writes."""
    found = inspect_file(implicit.write(sample, file_format, label), declared_mime=file_format.mime)

    assert found.verdict == "generated"
    assert [each.is_conforming for each in found.labels] == [True]
    assert found.findings == ()
    assert (found.format, found.mime) == (file_format.value.name, file_format.mime)


def test_an_unlabelled_file_is_said_to_be_so(sample: bytes, file_format: FileFormat) -> None:
    """With the clause."""
    found = inspect_file(sample, declared_mime=file_format.mime)

    assert found.verdict == "unlabelled"
    assert [(finding.code, finding.clause) for finding in found.findings] == [("no-label", "GB 45438-2025 6.1")]


@pytest.mark.parametrize(("value", "verdict"), [("1", "generated"), ("2", "possibly"), ("3", "suspected")])
def test_the_three_values_of_the_label_are_told_apart(
    value: str, verdict: str, samples: dict[FileFormat, bytes], label: AigcLabel
) -> None:
    """Article 6: is, may be, suspected."""
    data = implicit.write(samples[FileFormat.PNG], FileFormat.PNG, AigcLabel(value, label.content_producer, "x"))

    assert inspect_file(data).verdict == verdict


def test_labels_of_other_writers_are_read_and_their_faults_named(label: AigcLabel, encode: Encode) -> None:
    """A text chunk with spaces in the producer, and a second label in EXIF: both read, all faults said."""
    text = PngImagePlugin.PngInfo()
    text.add_text("AIGC", json.dumps({"aigc": label.as_dict() | {"ContentProducer": "Some Agent AI"}}))
    exif = Image.Exif()
    exif[0x010E] = json.dumps({"AIGC": label.as_dict()})
    found = inspect_file(encode(Image.new("RGB", (9, 9)), "PNG", pnginfo=text, exif=exif))
    codes = {finding.code for each in found.labels for finding in each.findings}

    assert len(found.labels) == 2
    assert {"place", "charset", "wrapper-name"} <= codes
    assert [finding.code for finding in found.findings] == ["several-labels"]
    assert found.verdict == "generated"


def test_the_manifest_is_read_and_a_broken_one_is_said(samples: dict[FileFormat, bytes], label: AigcLabel) -> None:
    """A trusted manifest makes a verdict of its own; one that does not hold makes none."""
    chain = new_chain("Example Ltd", 30, time.time)
    root = chain.root_pem.decode()
    signer = ManifestSigner(
        file_signer(chain.key_pem), "es256", chain.chain_pem.decode(), ManifestOptions("Dutybound", "0.1", root)
    )
    signed = signer.sign(samples[FileFormat.PNG], FileFormat.PNG).data
    sound = inspect_file(signed, trust_anchors_pem=root)
    broken = inspect_file(implicit.write(signed, FileFormat.PNG, label))

    assert (sound.verdict, sound.manifest["state"], sound.manifest["signer"]) == ("generated", "trusted", "Example Ltd")
    assert broken.manifest["state"] == "invalid"
    assert [finding.code for finding in broken.findings] == ["manifest-invalid"]


def test_hostile_files_end_in_findings(sample: bytes, file_format: FileFormat, label: AigcLabel) -> None:
    """Cut and damaged files raise nothing."""
    chance = random.Random(3)
    data = implicit.write(sample, file_format, label)
    for _ in range(25):
        broken = bytearray(data[: chance.randrange(len(data))] if chance.random() < 0.5 else data)
        for _ in range(3):
            if broken:
                broken[chance.randrange(min(len(broken), 2000))] = chance.randrange(256)
        found = inspect_file(bytes(broken), declared_mime=file_format.mime)
        assert json.dumps(found.as_dict())


def test_files_of_no_known_format_and_too_large_ones_are_said() -> None:
    """Not read, and said why."""
    assert inspect_file(b"\x80\x81\x82\x83").findings[0].code == "unknown-format"
    assert inspect_file(b"x" * 99, max_bytes=98).findings[0].code == "too-large"


@pytest.mark.parametrize(
    ("text", "at_start", "at_end"),
    [
        ("（AI生成）\n正文", True, False),
        ("正文\n\n本文由人工智能合成\n", False, True),
        ("AI-generated", True, True),
        ("正文", False, False),
        ("", False, False),
        ("  \n ", False, False),
        ("AI生成技术" * 20 + "\n正文", False, False),
        ("正文\nAI生成的\n正文", False, False),
    ],
)
def test_a_text_is_labelled_where_its_first_or_last_line_is_a_label(text: str, at_start: bool, at_end: bool) -> None:
    """Long lines and lines in the middle are prose."""
    found = inspect_text(text, MUST_HAVE)

    assert (found.at_start, found.at_end) == (at_start, at_end)
    assert found.is_labelled is (at_start or at_end)


def test_the_subprocess_gives_the_same_answer(samples: dict[FileFormat, bytes], label: AigcLabel) -> None:
    """Same findings, in a process of its own."""
    data = implicit.write(samples[FileFormat.JPEG], FileFormat.JPEG, label)

    assert inspect_in_subprocess(data) == json.loads(json.dumps(inspect_file(data).as_dict()))


def test_the_subprocess_reads_a_manifest_beside_the_file_and_knows_its_root(
    samples: dict[FileFormat, bytes], label: AigcLabel
) -> None:
    """Trusted with the root that was given, valid without it, and nothing where the manifest is left away."""
    chain = new_chain("Example Ltd", 30, time.time)
    root = chain.root_pem.decode()
    signer = ManifestSigner(
        file_signer(chain.key_pem), "es256", chain.chain_pem.decode(), ManifestOptions("Dutybound", "0.1", root)
    )
    data = implicit.write(samples[FileFormat.MARKDOWN], FileFormat.MARKDOWN, label)
    sidecar = signer.sign(data, FileFormat.MARKDOWN).sidecar
    known = inspect_in_subprocess(data, sidecar=sidecar, trust_anchors_pem=root)
    unknown = inspect_in_subprocess(data, sidecar=sidecar)

    assert (known["manifest"]["state"], unknown["manifest"]["state"]) == ("trusted", "valid")
    assert inspect_in_subprocess(data)["manifest"]["state"] == "none"


def test_a_subprocess_without_memory_or_time_is_an_error(samples: dict[FileFormat, bytes]) -> None:
    """The parent goes on."""
    with pytest.raises(LabelError, match="stopped with status"):
        inspect_in_subprocess(samples[FileFormat.PNG], memory_bytes=20 << 20)
    with pytest.raises(LabelError, match=r"within 0\.001 seconds"):
        inspect_in_subprocess(samples[FileFormat.PNG], timeout_s=0.001)


def test_a_mark_and_fingerprints_are_read_in_the_child() -> None:
    """Of a copy whose other labels are gone; only where asked for, and not of what is not decoded here."""
    out = io.BytesIO()
    Waves(KEY).mark(scene(31), PAYLOAD).save(out, "JPEG", quality=70)
    found = inspect_in_subprocess(out.getvalue(), watermark_key=KEY, with_prints=True)
    assert found["watermark"] == {"state": "found", "payload": PAYLOAD.hex()}
    assert [each["kind"] for each in found["prints"]] == ["image"]
    assert found["verdict"] == "generated"
    plain = inspect_in_subprocess(out.getvalue())
    assert (plain["watermark"], plain["prints"], plain["verdict"]) == ({"state": "not-asked"}, [], "unlabelled")
    text = inspect_in_subprocess(b"words in a row, " * 30, watermark_key=KEY, with_prints=True)
    assert (text["watermark"], text["prints"][0]["kind"]) == ({"state": "not-read"}, "text")


@pytest.mark.parametrize("error", [MemoryError(), LabelError("too many pixels")])
def test_a_picture_that_cannot_be_looked_at_keeps_its_labels(
    samples: dict[FileFormat, bytes], label: AigcLabel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Its mark is not read; what its metadata say is."""

    def refuse(data: bytes, file_format: FileFormat) -> Image.Image:
        raise error

    monkeypatch.setattr(inspection, "picture_of", refuse)
    data = implicit.write(samples[FileFormat.PNG], FileFormat.PNG, label)
    found = inspect_file(data, watermark=Waves(KEY), with_prints=True)
    assert (found.watermark, found.prints) == ({"state": "not-read"}, ())
    assert (found.verdict, len(found.labels)) == ("generated", 1)
