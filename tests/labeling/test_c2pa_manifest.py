# SPDX-License-Identifier: Apache-2.0
"""Manifests hold, keep what was there before, and are checked by a second implementation."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from labeling import implicit
from labeling.aigc import AigcLabel
from labeling.c2pa_keys import SigningChain, file_signer, new_chain
from labeling.c2pa_manifest import (
    EMBEDDABLE,
    SPEC_VERSION,
    TRAINED_ALGORITHMIC_MEDIA,
    ManifestOptions,
    ManifestSigner,
    SigningPool,
    has_manifest,
    read_manifest,
)
from labeling.errors import LabelError, LabelNotVerified
from labeling.sniff import FileFormat

Content = Callable[[bytes, FileFormat], object]


@pytest.fixture(scope="module")
def chain() -> SigningChain:
    """The library checks validity against the machine's clock, so the chain is made by it."""
    return new_chain("Example Ltd", 30, time.time)


@pytest.fixture(scope="module")
def options(chain: SigningChain) -> ManifestOptions:
    """A service that trusts its own root."""
    return ManifestOptions("Dutybound", "0.1", chain.root_pem.decode())


@pytest.fixture(scope="module")
def signer(chain: SigningChain, options: ManifestOptions) -> ManifestSigner:
    """Signs with the key in memory."""
    return ManifestSigner(file_signer(chain.key_pem), "es256", chain.chain_pem.decode(), options)


def test_every_format_gets_a_manifest_that_reads_back_as_trusted(
    sample: bytes,
    file_format: FileFormat,
    label: AigcLabel,
    signer: ManifestSigner,
    options: ManifestOptions,
    content: Content,
) -> None:
    """In the file or beside it, with the implicit label kept and the content untouched."""
    labelled = implicit.write(sample, file_format, label)
    signed = signer.sign(labelled, file_format, title="t")
    reading = read_manifest(
        signed.data, file_format, sidecar=signed.sidecar, trust_anchors_pem=options.trust_anchors_pem
    )

    assert (signed.sidecar is None) is (file_format in EMBEDDABLE)
    assert reading.state == "trusted"
    assert (reading.signer, reading.generator, reading.manifests) == ("Example Ltd", "Dutybound 0.1", 1)
    assert reading.says_ai_generated
    assert len(implicit.read(signed.data, file_format)) == 1
    assert content(signed.data, file_format) == content(sample, file_format)
    if signed.sidecar is not None:
        assert signed.data == labelled


def test_the_actions_are_complete_as_the_conformance_rubric_asks(
    samples: dict[FileFormat, bytes], signer: ManifestSigner
) -> None:
    """c2pa.created first, with its source type, all actions included, specification version named."""
    signed = signer.sign(samples[FileFormat.PNG], FileFormat.PNG)
    detail = read_manifest(signed.data, FileFormat.PNG).detail
    active = detail["manifests"][detail["active_manifest"]]
    actions = next(entry for entry in active["assertions"] if entry["label"].startswith("c2pa.actions"))

    assert actions["created"] is True
    assert actions["data"]["allActionsIncluded"] is True
    assert [action["action"] for action in actions["data"]["actions"]] == ["c2pa.created"]
    assert actions["data"]["actions"][0]["digitalSourceType"] == TRAINED_ALGORITHMIC_MEDIA
    assert active["claim_generator_info"][0]["specVersion"] == SPEC_VERSION


@pytest.mark.parametrize("kind", sorted(EMBEDDABLE, key=lambda kind: kind.name), ids=lambda kind: kind.name)
def test_a_second_implementation_says_valid(
    kind: FileFormat, samples: dict[FileFormat, bytes], chain: SigningChain, signer: ManifestSigner
) -> None:
    """encypher-c2pa shares no code with the library that signs."""
    verifier = pytest.importorskip("encypher_c2pa")
    signed = signer.sign(samples[kind], kind)
    mime = "video/avi" if kind is FileFormat.AVI else kind.mime
    report = verifier.verify(signed.data, mime, trust_pem=chain.root_pem.decode(), telemetry=False, online=False)
    text = json.dumps(report)

    assert "signature.mismatch" not in text and "dataHash.mismatch" not in text and "bmffHash.mismatch" not in text
    assert verdict(report) == ("valid", "valid", "match"), text[:2000]


def verdict(report: dict[str, Any]) -> tuple[str, str, str]:
    """Integrity, signature and hard binding, as the second implementation names them."""
    found = {key: str(value) for key, value in report.items() if isinstance(value, str)}
    for value in report.values():
        if isinstance(value, dict):
            found |= {key: str(inner) for key, inner in value.items() if isinstance(inner, str)}
    return found.get("integrity", "?"), found.get("signature", "?"), found.get("hard_binding", "?")


@pytest.mark.parametrize("kind", [FileFormat.PNG, FileFormat.JPEG, FileFormat.WEBP])
def test_a_label_written_after_signing_makes_the_manifest_invalid(
    kind: FileFormat, samples: dict[FileFormat, bytes], label: AigcLabel, signer: ManifestSigner
) -> None:
    """Why the manifest comes last."""
    signed = signer.sign(samples[kind], kind)

    assert read_manifest(implicit.write(signed.data, kind, label), kind).state == "invalid"


def test_a_changed_file_is_invalid(samples: dict[FileFormat, bytes], signer: ManifestSigner) -> None:
    """The hard binding covers the picture, in the file and beside it."""
    signed = signer.sign(samples[FileFormat.JPEG], FileFormat.JPEG)
    broken = signed.data[:-20] + bytes((signed.data[-20] ^ 1,)) + signed.data[-19:]
    beside = signer.sign(samples[FileFormat.PDF], FileFormat.PDF)

    assert read_manifest(broken, FileFormat.JPEG).state == "invalid"
    assert read_manifest(beside.data + b" ", FileFormat.PDF, sidecar=beside.sidecar).state == "invalid"


@pytest.mark.parametrize("kind", sorted(EMBEDDABLE, key=lambda kind: kind.name), ids=lambda kind: kind.name)
def test_a_former_manifest_becomes_an_ingredient(
    kind: FileFormat, samples: dict[FileFormat, bytes], label: AigcLabel, signer: ManifestSigner
) -> None:
    """Never silently dropped, also where we wrote a label into the file in between."""
    first = signer.sign(samples[kind], kind)
    second = signer.sign(implicit.write(first.data, kind, label), kind, edited_from=first.data)
    reading = read_manifest(second.data, kind)

    assert not first.has_former_manifest and second.has_former_manifest
    assert (reading.state, reading.manifests) == ("valid", 2)
    assert reading.says_ai_generated


def test_a_former_manifest_that_does_not_hold_is_kept_too(
    samples: dict[FileFormat, bytes], signer: ManifestSigner, options: ManifestOptions
) -> None:
    """Its failure is recorded inside the ingredient; our own claim stays sound."""
    signed = signer.sign(samples[FileFormat.JPEG], FileFormat.JPEG).data
    broken = signed[:-20] + bytes((signed[-20] ^ 1,)) + signed[-19:]
    again = signer.sign(broken, FileFormat.JPEG)
    reading = read_manifest(again.data, FileFormat.JPEG, trust_anchors_pem=options.trust_anchors_pem)

    assert has_manifest(broken, FileFormat.JPEG)
    assert (reading.state, reading.manifests) == ("trusted", 2)


def test_further_assertions_are_signed_with_the_rest(samples: dict[FileFormat, bytes], signer: ManifestSigner) -> None:
    """For example the implicit label, or a soft binding."""
    signed = signer.sign(samples[FileFormat.PNG], FileFormat.PNG, assertions=[("cn.tc260.aigc", {"Label": "1"})])
    detail = read_manifest(signed.data, FileFormat.PNG).detail
    labels = {entry["label"] for entry in detail["manifests"][detail["active_manifest"]]["assertions"]}

    assert "cn.tc260.aigc" in labels


def test_a_file_without_manifest_says_none(sample: bytes, file_format: FileFormat) -> None:
    """No manifest is no failure."""
    assert read_manifest(sample, file_format).state == "none"
    assert not has_manifest(sample, file_format)


def test_a_failing_key_service_is_named_and_its_words_are_not(
    samples: dict[FileFormat, bytes], chain: SigningChain, options: ManifestOptions
) -> None:
    """The library would say that the signature is invalid."""

    def fail(content: bytes) -> bytes:
        raise ConnectionError("https://kms.example/secret-path")

    failing = ManifestSigner(fail, "es256", chain.chain_pem.decode(), options)
    with pytest.raises(LabelNotVerified, match="ConnectionError") as caught:
        failing.sign(samples[FileFormat.PNG], FileFormat.PNG)
    assert "secret-path" not in str(caught.value)


def test_a_key_that_does_not_fit_the_certificate_is_noticed(
    samples: dict[FileFormat, bytes], chain: SigningChain, options: ManifestOptions
) -> None:
    """Not signed silently with a signature that nobody can verify."""
    other = new_chain("Other", 30, time.time)
    wrong = ManifestSigner(file_signer(other.key_pem), "es256", chain.chain_pem.decode(), options)
    with pytest.raises(LabelNotVerified):
        wrong.sign(samples[FileFormat.PNG], FileFormat.PNG)


def test_an_unknown_root_is_valid_but_not_trusted(
    samples: dict[FileFormat, bytes], chain: SigningChain, options: ManifestOptions
) -> None:
    """A service without anchors accepts its own signature; one with other anchors does not."""
    data = samples[FileFormat.PNG]
    sign = file_signer(chain.key_pem)
    free = ManifestSigner(sign, "es256", chain.chain_pem.decode(), dataclasses.replace(options, trust_anchors_pem=""))
    other_root = new_chain("Other", 30, time.time).root_pem.decode()
    strict = ManifestSigner(
        sign, "es256", chain.chain_pem.decode(), dataclasses.replace(options, trust_anchors_pem=other_root)
    )

    assert read_manifest(free.sign(data, FileFormat.PNG).data, FileFormat.PNG).state == "valid"
    with pytest.raises(LabelNotVerified):
        strict.sign(data, FileFormat.PNG)


def test_an_unknown_algorithm_and_a_broken_chain_are_refused(chain: SigningChain, options: ManifestOptions) -> None:
    """At start-up."""
    sign = file_signer(chain.key_pem)
    with pytest.raises(LabelError, match="es256, es384"):
        ManifestSigner(sign, "rs256", chain.chain_pem.decode(), options)
    with pytest.raises(LabelError):
        ManifestSigner(sign, "es256", "no certificate", options).sign(b"\x89PNG", FileFormat.PNG)


def test_hostile_bytes_never_crash_the_reader(samples: dict[FileFormat, bytes], signer: ManifestSigner) -> None:
    """Cut at every hundredth byte."""
    signed = signer.sign(samples[FileFormat.PNG], FileFormat.PNG).data
    for cut in range(8, len(signed), 331):
        assert read_manifest(signed[:cut], FileFormat.PNG).state in ("none", "invalid")


def test_the_pool_refuses_at_once_when_too_many_files_wait(
    samples: dict[FileFormat, bytes], chain: SigningChain, options: ManifestOptions
) -> None:
    """A queue without an end would hide that the key service is down; what was taken is still signed."""
    may_sign = threading.Event()
    sign = file_signer(chain.key_pem)

    def slow(content: bytes) -> bytes:
        assert may_sign.wait(30)
        return sign(content)

    pool = SigningPool(ManifestSigner(slow, "es256", chain.chain_pem.decode(), options), threads=1, max_waiting=1)
    data = samples[FileFormat.PNG]
    try:
        futures = [pool.submit(data, FileFormat.PNG) for _ in range(2)]
        with pytest.raises(LabelError, match="too many files"):
            pool.submit(data, FileFormat.PNG)
        may_sign.set()
        signed = [future.result(30) for future in futures]
        later = pool.submit(data, FileFormat.PNG).result(30)
    finally:
        may_sign.set()
        pool.close()

    assert [read_manifest(each.data, FileFormat.PNG).state for each in (*signed, later)] == ["valid"] * 3


def test_threads_share_one_signer(samples: dict[FileFormat, bytes], signer: ManifestSigner) -> None:
    """Eight files at a time, all sound."""
    pool = SigningPool(signer, threads=4, max_waiting=8)
    futures = [pool.submit(samples[FileFormat.JPEG], FileFormat.JPEG) for _ in range(8)]
    states = [read_manifest(future.result(30).data, FileFormat.JPEG).state for future in futures]
    pool.close()

    assert states == ["valid"] * 8
