# SPDX-License-Identifier: Apache-2.0
"""What labels a file or a text carries, and which rule each one meets or breaks.

Serves 《人工智能生成合成内容标识办法》 article 6 (a propagation service checks the metadata of what is uploaded) and
public verification pages. Reads the variants met in practice, not only what this package writes.

Files come from strangers. :func:`inspect_file` keeps to limits and never raises for what a file holds;
:func:`inspect_in_subprocess` does the same in a process of its own with limits on memory and time, so that a parser's
worst case costs one child process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from labeling import implicit
from labeling.aigc import GENERATED, POSSIBLY_GENERATED, SUSPECTED_GENERATED, AigcReading, Finding, parse
from labeling.c2pa_manifest import read_manifest
from labeling.c2pa_text import without_manifests
from labeling.child import ask_child
from labeling.errors import LabelError, UnsupportedFormat
from labeling.fingerprint.files import prints_of
from labeling.pictures import picture_of
from labeling.sniff import FileFormat, sniff
from labeling.text import holds_elements
from labeling.watermark import Watermark, Waves, learned

MAX_FILE_BYTES: Final = 256 << 20
_MAX_ANSWER_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """One implicit label in the file: where it stands, what it says, and what is wrong with it."""

    place: str
    values: dict[str, str]
    is_recognised: bool
    is_conforming: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything found in a file.

    ``verdict`` is ``generated``, ``possibly``, ``suspected`` (the three values of Annex E) or ``unlabelled``. It says
    what the file claims; only a trusted manifest or a record proves it.
    """

    format: str
    mime: str
    bytes: int
    verdict: str
    labels: tuple[FoundLabel, ...] = ()
    findings: tuple[Finding, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)
    watermark: dict[str, Any] = field(default_factory=dict)
    """``state`` is ``found``, ``none``, ``not-read`` (no picture that is decoded here) or ``not-asked`` (no key was
    given); where found, ``payload`` in hexadecimal."""
    prints: tuple[dict[str, str], ...] = ()
    """Fingerprints, where asked for: ``kind``, and ``signature`` in hexadecimal."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


_VERDICTS: Final = {
    GENERATED: "generated",
    POSSIBLY_GENERATED: "possibly",
    SUSPECTED_GENERATED: "suspected",
}
_STRENGTH: Final = ("generated", "possibly", "suspected", "unlabelled")


def inspect_file(
    data: bytes,
    *,
    declared_mime: str | None = None,
    sidecar: bytes | None = None,
    trust_anchors_pem: str = "",
    max_bytes: int = MAX_FILE_BYTES,
    watermark: Watermark | None = None,
    with_prints: bool = False,
) -> Inspection:
    """The labels of a file. What cannot be read is said in ``findings``; nothing is raised for it.

    ``watermark`` is the method and key of marks to look for; ``with_prints`` asks for the file's fingerprints.
    """
    if len(data) > max_bytes:
        finding = Finding("too-large", "", f"the file has more than {max_bytes} bytes and was not read")
        return Inspection("unknown", "", len(data), "unlabelled", findings=(finding,))
    try:
        file_format = sniff(data, declared_mime)
    except LabelError as error:
        return Inspection("unknown", "", len(data), "unlabelled", findings=(Finding("unknown-format", "", str(error)),))
    findings: list[Finding] = []
    labels = _labels(data, file_format, findings)
    manifest = read_manifest(data, file_format, sidecar=sidecar, trust_anchors_pem=trust_anchors_pem)
    if manifest.state == "invalid":
        codes = ", ".join(manifest.failures) or "no code"
        findings.append(Finding("manifest-invalid", "C2PA 2.4 section 15", f"the manifest does not hold ({codes})"))
    if manifest.state == "none" and not labels:
        findings.append(
            Finding("no-label", "GB 45438-2025 6.1", "the file has neither an implicit label nor a manifest")
        )
    verdicts = [_VERDICTS.get(label.values.get("Label", ""), "suspected") for label in labels if label.is_recognised]
    if manifest.state in ("valid", "trusted") and manifest.says_ai_generated:
        verdicts.append("generated")
    mark, prints = _looked_at(data, file_format, watermark, with_prints)
    if mark["state"] == "found":
        verdicts.append("generated")
    return Inspection(
        file_format.value.name,
        file_format.mime,
        len(data),
        min(verdicts, key=_STRENGTH.index, default="unlabelled"),
        labels,
        tuple(findings),
        {
            "state": manifest.state,
            "failures": list(manifest.failures),
            "signer": manifest.signer,
            "generator": manifest.generator,
            "source_types": list(manifest.source_types),
            "manifests": manifest.manifests,
        },
        mark,
        prints,
    )


def _looked_at(
    data: bytes, file_format: FileFormat, watermark: Watermark | None, with_prints: bool
) -> tuple[dict[str, Any], tuple[dict[str, str], ...]]:
    """The mark and the fingerprints, as far as the file can be decoded within the limits."""
    mark: dict[str, Any] = {"state": "not-asked" if watermark is None else "not-read"}
    picture = None
    try:
        if file_format.medium == "image" and (watermark is not None or with_prints):
            picture = picture_of(data, file_format)
        if picture is not None and watermark is not None:
            payload = watermark.find(picture)
            mark = {"state": "none"} if payload is None else {"state": "found", "payload": payload.hex()}
        prints = prints_of(data, file_format, picture) if with_prints else ()
    except (LabelError, MemoryError):  # what was learned from the metadata is not lost for it
        return mark, ()
    return mark, tuple({"kind": each.kind, "signature": each.signature.hex()} for each in prints)


def _labels(data: bytes, file_format: FileFormat, findings: list[Finding]) -> tuple[FoundLabel, ...]:
    try:
        fields = implicit.read(data, file_format)
    except UnsupportedFormat:
        return ()
    except LabelError as error:
        findings.append(Finding("unreadable", "GB 45438-2025 6.1", str(error)))
        return ()
    found = []
    for each in fields:
        reading: AigcReading = parse(each.value)
        own = reading.findings
        if not each.is_guide_place:
            own = (
                *own,
                Finding("place", "GB 45438-2025 6.1 a)", "this is not the place that the format's guide names"),
            )
        found.append(
            FoundLabel(each.place, reading.values, reading.is_recognised, reading.is_conforming and not own, own)
        )
    if len(found) > 1:
        findings.append(
            Finding("several-labels", "GB 45438-2025 6.1 c)", f"the file has {len(found)} labels, one is allowed")
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class TextInspection:
    """Whether a text begins or ends with words that label it."""

    at_start: bool
    at_end: bool

    @property
    def is_labelled(self) -> bool:
        """Whether a label stands at one end at least."""
        return self.at_start or self.at_end


def inspect_text(text: str, must_have: Sequence[Sequence[str]], *, max_line_chars: int = 80) -> TextInspection:
    """Whether the first or last line is a label: short, with one element of each group (GB 45438-2025 5.1).

    A long line that happens to speak of AI generation is prose, not a label.
    """
    lines = [line.strip() for line in without_manifests(text).strip().splitlines() if line.strip()]
    ends = [len(line) <= max_line_chars and holds_elements(line, must_have) for line in (lines[:1] + lines[-1:])]
    return TextInspection(ends[0], ends[1]) if ends else TextInspection(False, False)


def inspect_in_subprocess(
    data: bytes,
    *,
    declared_mime: str | None = None,
    sidecar: bytes | None = None,
    trust_anchors_pem: str = "",
    watermark_key: bytes = b"",
    watermark_method: str = "waves",
    with_prints: bool = False,
    timeout_s: float = 20.0,
    memory_bytes: int = 1 << 30,
) -> dict[str, Any]:
    """:func:`inspect_file` in a child process, as plain data. Without ``watermark_key`` no mark is looked for.

    Raises :class:`LabelError` where the child runs out of time or memory or dies.
    """
    asked = {
        "declared_mime": declared_mime,
        "sidecar_bytes": None if sidecar is None else len(sidecar),
        "trust_anchors_pem": trust_anchors_pem,
        "watermark_key": watermark_key.hex(),
        "watermark_method": watermark_method,
        "with_prints": with_prints,
    }
    answered = ask_child(
        "labeling.inspection",
        b"".join((json.dumps(asked).encode(), b"\n", sidecar or b"", data)),
        doing="inspected",
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )
    if len(answered) > _MAX_ANSWER_BYTES:
        raise LabelError(f"the file could not be inspected: more than {_MAX_ANSWER_BYTES} bytes could be said of it")
    answer: dict[str, Any] = json.loads(answered)
    return answer


def answer_child() -> None:
    """What the child process does, once it has limited itself: read from standard input, answer as JSON."""
    asked = json.loads(sys.stdin.buffer.readline())
    count = asked.pop("sidecar_bytes")
    key, method = bytes.fromhex(asked.pop("watermark_key")), asked.pop("watermark_method")
    watermark = None if not key else Waves(key) if method == Waves.NAME else learned(method, key)
    sidecar = None if count is None else sys.stdin.buffer.read(count)
    found = inspect_file(sys.stdin.buffer.read(), sidecar=sidecar, watermark=watermark, **asked)
    json.dump(found.as_dict(), sys.stdout)
