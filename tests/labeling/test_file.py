# SPDX-License-Identifier: Apache-2.0
"""One call gives a file all its labels, in the order that holds, or nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pytest
from PIL import Image

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.c2pa_keys import file_signer, new_chain
from labeling.c2pa_manifest import ManifestOptions, ManifestSigner, SignedFile
from labeling.errors import LabelError, LabelNotVerified, RefusedFile, UnsupportedFormat
from labeling.explicit.audio import AudioLabel
from labeling.explicit.image import ImageLabel
from labeling.file import LabelPlan, label_file
from labeling.inspection import inspect_file
from labeling.sniff import FileFormat


@pytest.fixture(scope="module")
def root() -> tuple[str, ManifestSigner]:
    """The root's certificate and a signer under it."""
    chain = new_chain("Example Ltd", 30, time.time)
    pem = chain.root_pem.decode()
    options = ManifestOptions("Dutybound", "0.1", pem)
    return pem, ManifestSigner(file_signer(chain.key_pem), "es256", chain.chain_pem.decode(), options)


@pytest.fixture
def plan(label: AigcLabel, root: tuple[str, ManifestSigner]) -> LabelPlan:
    """Everything there is."""
    return LabelPlan(
        label, ImageLabel("AI生成", 500, legible_px=7), AudioLabel(), "（AI生成）", root[1], "where-possible"
    )


def test_every_format_leaves_with_all_labels_that_it_can_hold(
    sample: bytes, file_format: FileFormat, plan: LabelPlan, root: tuple[str, ManifestSigner]
) -> None:
    """Inspected afterwards: one conforming label, a trusted manifest, and a step for each thing."""
    labelled = label_file(sample, plan, declared_mime=file_format.mime, title="t")
    found = inspect_file(
        labelled.data, declared_mime=file_format.mime, sidecar=labelled.sidecar, trust_anchors_pem=root[0]
    )

    assert labelled.mime == file_format.mime
    assert [step.name for step in labelled.steps] == ["read", "explicit", "implicit", "manifest"]
    assert [each.is_conforming for each in found.labels] == [True]
    assert found.findings == ()
    assert found.manifest["state"] == "trusted"
    can_show = file_format.medium == "image" and file_format is not FileFormat.HEIC
    can_show |= file_format is FileFormat.WAV
    # The samples of the other two have neither a sheet nor a slide.
    can_show |= file_format.medium == "document" and file_format not in (FileFormat.XLSX, FileFormat.PPTX)
    assert labelled.steps[1].outcome == ("done" if can_show else "not-possible")


def test_an_explicit_label_that_is_required_and_impossible_stops_the_file(
    samples: dict[FileFormat, bytes], plan: LabelPlan
) -> None:
    """Never an unlabelled answer."""
    strict = dataclasses.replace(plan, explicit="required")
    with pytest.raises(UnsupportedFormat):
        label_file(samples[FileFormat.HEIC], strict)
    with pytest.raises(UnsupportedFormat, match="no explicit label for image files"):
        label_file(samples[FileFormat.PNG], dataclasses.replace(strict, image=None))


def test_a_waiver_concerns_the_explicit_label_alone(
    samples: dict[FileFormat, bytes], plan: LabelPlan, content: Callable[[bytes, FileFormat], object]
) -> None:
    """Article 9: the implicit label stays."""
    data = samples[FileFormat.PNG]
    labelled = label_file(data, dataclasses.replace(plan, explicit="waived"))

    assert labelled.steps[1].outcome == "waived"
    assert content(labelled.data, FileFormat.PNG) == content(data, FileFormat.PNG)
    assert len(implicit.read(labelled.data, FileFormat.PNG)) == 1


@pytest.mark.parametrize(
    ("former", "producer", "propagator"),
    [("propagate", "other", "own"), ("keep", "other", "other"), ("replace", "own", "own")],
)
def test_the_label_of_an_upstream_is_kept_and_not_doubled(
    former: str,
    producer: str,
    propagator: str,
    sample: bytes,
    file_format: FileFormat,
    plan: LabelPlan,
    label: AigcLabel,
    other_label: AigcLabel,
) -> None:
    """One label afterwards, with the producer and the propagator of the plan's choice; also through re-encoding."""
    codes = {"own": label.content_producer, "other": other_label.content_producer}
    given = implicit.write(sample, file_format, other_label)
    chosen = dataclasses.replace(plan, former=former, signer=None)
    labelled = label_file(given, chosen, declared_mime=file_format.mime)
    found = [parse(field.value).label for field in implicit.read(labelled.data, file_format)]

    assert found == [labelled.label]
    assert (labelled.label.content_producer, labelled.label.content_propagator) == (codes[producer], codes[propagator])


def test_a_former_manifest_is_kept_through_pixel_work(
    samples: dict[FileFormat, bytes], plan: LabelPlan, root: tuple[str, ManifestSigner]
) -> None:
    """Re-encoding drops it from the file; it comes back as the ingredient."""
    signed = root[1].sign(samples[FileFormat.JPEG], FileFormat.JPEG).data
    labelled = label_file(signed, plan)
    found = inspect_file(labelled.data, trust_anchors_pem=root[0])

    assert "ingredient" in labelled.steps[3].detail
    assert (found.manifest["state"], found.manifest["manifests"]) == ("trusted", 2)


def test_a_former_manifest_is_not_broken_without_being_told_to(
    samples: dict[FileFormat, bytes], plan: LabelPlan, root: tuple[str, ManifestSigner]
) -> None:
    """Without a signer it cannot be kept, so labelling is refused until the plan says otherwise."""
    signed = root[1].sign(samples[FileFormat.PNG], FileFormat.PNG).data
    without = dataclasses.replace(plan, signer=None)
    with pytest.raises(RefusedFile, match="configure a signer"):
        label_file(signed, without)
    labelled = label_file(signed, dataclasses.replace(without, may_break_manifest=True))

    assert "broken" in labelled.steps[0].detail


@pytest.mark.parametrize(("former", "own", "expected"), [("3", "1", "1"), ("1", "2", "1"), ("2", "3", "2")])
def test_the_more_certain_of_two_labels_wins(
    former: str, own: str, expected: str, samples: dict[FileFormat, bytes], plan: LabelPlan, other_label: AigcLabel
) -> None:
    """A suspicion of the upstream does not weaken what the producer knows."""
    given = implicit.write(samples[FileFormat.PNG], FileFormat.PNG, dataclasses.replace(other_label, label=former))
    chosen = dataclasses.replace(plan, label=dataclasses.replace(plan.label, label=own), signer=None)

    assert label_file(given, chosen).label.label == expected


def test_a_picture_too_small_to_show_a_label_goes_on_only_where_possible(
    plan: LabelPlan, encode: Callable[..., bytes]
) -> None:
    """An icon of 12 pixels: said in the steps, or refused."""
    icon = encode(Image.new("RGB", (12, 12)), "PNG")

    assert label_file(icon, plan).steps[1].outcome == "not-possible"
    with pytest.raises(UnsupportedFormat, match="too small"):
        label_file(icon, dataclasses.replace(plan, explicit="required"))


def test_a_text_has_no_metadata_and_says_so(plan: LabelPlan) -> None:
    """Its explicit label and a manifest beside it."""
    labelled = label_file("正文".encode(), plan)

    assert labelled.data.decode() == "（AI生成）\n\n正文"
    assert [step.outcome for step in labelled.steps] == ["done", "done", "not-possible", "done"]
    assert labelled.sidecar is not None


def test_the_steps_are_timed_by_the_clock_that_is_given(samples: dict[FileFormat, bytes], plan: LabelPlan) -> None:
    """Milliseconds of each step."""
    ticks = iter(range(100))
    labelled = label_file(samples[FileFormat.PNG], plan, clock=lambda: float(next(ticks)))

    assert [step.ms for step in labelled.steps] == [1000.0] * 4


def test_files_that_are_too_large_or_unknown_are_refused(plan: LabelPlan) -> None:
    """Before anything is parsed."""
    with pytest.raises(RefusedFile, match="more than 3 bytes"):
        label_file(b"1234", dataclasses.replace(plan, max_bytes=3))
    with pytest.raises(UnsupportedFormat):
        label_file(b"\x80\x81\x82\x83", plan)


def test_a_signer_that_changes_the_label_is_caught(
    samples: dict[FileFormat, bytes], plan: LabelPlan, other_label: AigcLabel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look is at the bytes that leave."""
    assert plan.signer is not None
    other = implicit.write(samples[FileFormat.PNG], FileFormat.PNG, other_label)
    monkeypatch.setattr(plan.signer, "sign", lambda *_, **__: SignedFile(other, None, False))
    with pytest.raises(LabelNotVerified, match="implicit label"):
        label_file(samples[FileFormat.PNG], plan)
    monkeypatch.setattr(plan.signer, "sign", lambda *_, **__: SignedFile(samples[FileFormat.GIF], None, False))
    with pytest.raises(LabelNotVerified, match="format"):
        label_file(samples[FileFormat.PNG], plan)


def test_damaged_files_give_an_error_or_a_labelled_file(
    sample: bytes, file_format: FileFormat, plan: LabelPlan
) -> None:
    """Never an unlabelled one, never another exception."""
    for part in (3, 2, 4):
        cut = sample[: len(sample) * (part - 1) // part]
        try:
            labelled = label_file(cut, plan, declared_mime=file_format.mime)
        except LabelError:
            continue
        assert len(implicit.read(labelled.data, file_format)) == 1
