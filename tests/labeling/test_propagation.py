# SPDX-License-Identifier: Apache-2.0
"""Uploads of others: what they are, who made them and who passed them on stays told."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pytest

from labeling import child, implicit
from labeling.aigc import AigcLabel, parse
from labeling.c2pa_keys import file_signer, new_chain
from labeling.c2pa_manifest import ManifestOptions, ManifestSigner, read_manifest
from labeling.errors import DamagedFile, LabelError, RefusedFile, UnsupportedFormat
from labeling.inspection import Inspection, inspect_file
from labeling.propagation import Origin, Propagation, origin_of, propagate, propagate_in_subprocess
from labeling.sniff import FileFormat
from tests.labeling.conftest import CODE, encoded, picture

Samples = dict[FileFormat, bytes]
PLAN = Propagation(CODE, "passed-1")
DECLARED = dataclasses.replace(PLAN, is_declared=True)


@pytest.fixture(scope="module")
def signer() -> ManifestSigner:
    """A platform's own chain."""
    chain = new_chain("Example", 30, time.time)
    options = ManifestOptions("Dutybound", "0.1", chain.root_pem.decode())
    return ManifestSigner(file_signer(chain.key_pem), "es256", chain.chain_pem.decode(), options)


def label_of(data: bytes, kind: FileFormat) -> AigcLabel | None:
    """The one label of a file."""
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


@pytest.mark.parametrize(
    ("value", "is_declared", "traces", "expected"),
    [
        ("1", False, (), Origin("1", ("label",))),
        ("2", True, (), Origin("2", ("label",))),
        ("3", False, ("watermark",), Origin("3", ("label",))),
        ("", True, (), Origin("2", ("declared",))),
        ("", True, ("watermark",), Origin("2", ("declared", "watermark"))),
        ("", False, ("watermark", "words"), Origin("3", ("watermark", "words"))),
        ("", False, (), Origin("", ())),
    ],
)
def test_metadata_come_first_then_what_is_declared_then_traces(
    value: str, is_declared: bool, traces: tuple[str, ...], expected: Origin, samples: Samples
) -> None:
    """Article 6(1), (2) and (3), in this order."""
    data = samples[FileFormat.PNG]
    if value:
        data = implicit.write(data, FileFormat.PNG, AigcLabel(value, CODE, "a-1"))
    assert origin_of(inspect_file(data), is_declared=is_declared, traces=traces) == expected


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({"state": "trusted", "source_types": ["x/trainedAlgorithmicMedia"]}, Origin("1", ("manifest",))),
        ({"state": "valid", "source_types": ["x/compositeWithTrainedAlgorithmicMedia"]}, Origin("1", ("manifest",))),
        ({"state": "invalid", "source_types": ["x/trainedAlgorithmicMedia"]}, Origin("3", ("broken_manifest",))),
        ({"state": "valid", "source_types": ["x/digitalCapture"]}, Origin("", ())),
    ],
)
def test_a_manifest_counts_as_far_as_it_holds(manifest: dict[str, object], expected: Origin) -> None:
    """One that was broken is a trace."""
    assert origin_of(Inspection("PNG", "image/png", 1, "unlabelled", manifest=manifest)) == expected


def test_a_broken_label_is_a_trace(samples: Samples) -> None:
    """Somebody wrote that a machine made it, and wrote it wrongly."""
    data = samples[FileFormat.MARKDOWN]
    broken = b'---\nAIGC: \'{"Label":"9","ContentProducer":"x"}\'\n---\n' + data
    made = propagate(broken, PLAN, declared_mime="text/markdown")
    assert made.origin == Origin("3", ("broken_label",))
    assert made.label is not None and (made.label.label, made.label.content_producer) == ("3", "x")


def test_every_format_names_the_platform_and_keeps_the_producer(
    sample: bytes,
    file_format: FileFormat,
    other_label: AigcLabel,
    content: Callable[[bytes, FileFormat], object],
) -> None:
    """One label, with pixels, samples and packets as they were."""
    given = implicit.write(sample, file_format, other_label)
    made = propagate(given, PLAN, declared_mime=file_format.mime)
    expected = other_label.propagated_by(CODE, "passed-1")
    assert made.label == label_of(made.data, file_format) == expected
    assert made.origin.word == "is generated"
    assert content(made.data, file_format) == content(given, file_format)


def test_who_passed_it_on_before_stays_named(samples: Samples, other_label: AigcLabel) -> None:
    """The first platform's fields are not ours to write over."""
    former = other_label.propagated_by("first-platform", "first-1")
    given = implicit.write(samples[FileFormat.JPEG], FileFormat.JPEG, former)
    assert propagate(given, PLAN).label == former


def test_a_declared_upload_gets_a_label_that_names_no_made_up_producer(samples: Samples) -> None:
    """Nobody said who made it."""
    made = propagate(samples[FileFormat.WEBP], DECLARED)
    assert made.label == AigcLabel("2", "unknown", "unknown", "", CODE, "passed-1")
    assert made.label == label_of(made.data, FileFormat.WEBP)


def test_an_upload_of_which_nothing_speaks_is_given_back_as_it_came(samples: Samples) -> None:
    """No label for what people made."""
    data = samples[FileFormat.PNG]
    made = propagate(data, PLAN)
    assert (made.data, made.label, made.origin.word) == (data, None, "none")


def test_a_manifest_becomes_an_ingredient_and_nobody_claims_to_have_made_it(
    samples: Samples, signer: ManifestSigner
) -> None:
    """The new one opens the old one; without a signer the file is refused."""
    signed = signer.sign(samples[FileFormat.PNG], FileFormat.PNG).data
    with pytest.raises(RefusedFile, match="configure a signer"):
        propagate(signed, PLAN)
    for work in (propagate, propagate_in_subprocess):
        made = work(signed, dataclasses.replace(PLAN, signer=signer))
        found = read_manifest(made.data, FileFormat.PNG)
        actions = [
            action["action"]
            for assertion in found.detail["manifests"][found.detail["active_manifest"]]["assertions"]
            if assertion["label"].startswith("c2pa.actions")
            for action in assertion["data"]["actions"]
        ]
        assert (found.state, found.manifests, actions) == ("valid", 2, ["c2pa.opened", "c2pa.edited.metadata"])
        assert label_of(made.data, FileFormat.PNG) == made.label


def test_a_file_without_a_manifest_gets_none(samples: Samples, signer: ManifestSigner) -> None:
    """The platform did not make it."""
    made = propagate(samples[FileFormat.PNG], dataclasses.replace(DECLARED, signer=signer))
    assert read_manifest(made.data, FileFormat.PNG).state == "none"


@pytest.mark.parametrize("work", [propagate, propagate_in_subprocess])
@pytest.mark.parametrize(
    ("data", "plan", "error"),
    [
        (encoded(picture(), "PNG")[:60], DECLARED, DamagedFile),
        (b"plain words, nothing else", DECLARED, UnsupportedFormat),
        (encoded(picture(), "PNG"), dataclasses.replace(DECLARED, max_bytes=10), RefusedFile),
        (b"", PLAN, UnsupportedFormat),
    ],
)
def test_what_cannot_be_read_or_labelled_is_an_error(
    work: Callable[..., object], data: bytes, plan: Propagation, error: type[LabelError]
) -> None:
    """The same in a process of its own and without."""
    with pytest.raises(error):
        work(data, plan)


def test_the_subprocess_gives_the_same(samples: Samples) -> None:
    """Label, file and what speaks for it."""
    data = samples[FileFormat.PNG]
    assert propagate_in_subprocess(data, DECLARED) == propagate(data, DECLARED)
    assert propagate_in_subprocess(data, PLAN) == propagate(data, PLAN)


def test_a_parser_that_dies_or_hangs_is_an_error(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is passed on."""
    data = samples[FileFormat.PNG]
    with pytest.raises(LabelError, match="within"):
        propagate_in_subprocess(data, DECLARED, timeout_s=0.01)
    monkeypatch.setattr(child, "_PRELUDE", "import os; os.abort()")
    with pytest.raises(LabelError, match="stopped with status"):
        propagate_in_subprocess(data, DECLARED)
