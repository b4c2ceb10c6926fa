# SPDX-License-Identifier: Apache-2.0
"""What a service that passes on content of others owes it: check an upload, say what it is, add its own fields.

Implements 《人工智能生成合成内容标识办法》 article 6 with GB 45438-2025 Annex E. What the metadata say is believed: the
content *is* generated. Where they say nothing and the user declares it, it *may be*; where neither is so and traces are
found, it is *suspected*. In all three cases the service writes itself into the metadata as the one that passed it on.

What must hold: nobody's label is lost. A producer that a label names stays its producer, a service that passed the
content on before stays named, and a signed manifest is kept as an ingredient or the file is not touched. Pixels,
samples and packets stay as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from labeling import implicit
from labeling.aigc import (
    GENERATED,
    LABEL_MEANINGS,
    POSSIBLY_GENERATED,
    SUSPECTED_GENERATED,
    AigcLabel,
    AigcReading,
    parse,
)
from labeling.c2pa_manifest import ManifestSigner, has_manifest
from labeling.child import ask_child
from labeling.errors import DamagedFile, LabelError, LabelNotVerified, RefusedFile, UnsupportedFormat
from labeling.file import MAX_FILE_BYTES
from labeling.inspection import Inspection, inspect_file
from labeling.sniff import FileFormat, sniff

UNKNOWN: Final = "unknown"
"""What stands for a producer, or for its number, that nobody named: Annex E allows no empty value."""

LABEL, MANIFEST, DECLARED, BROKEN_LABEL, BROKEN_MANIFEST = (
    "label", "manifest", "declared", "broken_label", "broken_manifest",
)  # fmt: skip
"""What a finding rests on; other traces have names of their own."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What an upload is. ``value`` is that of ``Label`` in Annex E, empty where nothing speaks for generated content.

    ``basis`` says what speaks for it, the strongest first.
    """

    value: str
    basis: tuple[str, ...]

    @property
    def word(self) -> str:
        """``is generated``, ``may be generated``, ``suspected``, or ``none``."""
        return LABEL_MEANINGS.get(self.value, "none")


def origin_of(found: Inspection, *, is_declared: bool = False, traces: Sequence[str] = ()) -> Origin:
    """What an upload is by article 6(1) to (3).

    ``is_declared``: its uploader says that it is generated. ``traces`` are names of what others found, such as a
    watermark or words that label it.
    """
    said = [label.values.get("Label", "") for label in found.labels if label.is_recognised]
    known = sorted(value for value in said if value in LABEL_MEANINGS)
    state = found.manifest.get("state", "none")
    says_so = any("rainedAlgorithmicMedia" in kind for kind in found.manifest.get("source_types", ()))
    certain = [MANIFEST] if says_so and state in ("valid", "trusted") else []
    weak = [BROKEN_MANIFEST] if says_so and state == "invalid" else []
    weak += [BROKEN_LABEL] if found.labels and not known else []
    if known or certain:
        # "1" is certain, "3" a suspicion: who knows more counts.
        value = GENERATED if certain else known[0]
        return Origin(value, (*([LABEL] if known else []), *certain))
    if is_declared:
        return Origin(POSSIBLY_GENERATED, (DECLARED, *weak, *traces))
    if weak or traces:
        return Origin(SUSPECTED_GENERATED, (*weak, *traces))
    return Origin("", ())


@dataclass(frozen=True, slots=True)
class Propagation:
    """How a service passes on. ``propagator`` is its code or name, ``propagate_id`` its own number for the content.

    ``signer`` keeps a manifest that the file has; without one such a file is refused.
    """

    propagator: str
    propagate_id: str
    is_declared: bool = False
    traces: tuple[str, ...] = ()
    signer: ManifestSigner | None = None
    max_bytes: int = MAX_FILE_BYTES


@dataclass(frozen=True, slots=True)
class PropagatedFile:
    """The file to publish. ``label`` is None, and the file as it came, where nothing says that it is generated."""

    data: bytes
    mime: str
    origin: Origin
    label: AigcLabel | None = None
    sidecar: bytes | None = None


def propagate(data: bytes, plan: Propagation, *, declared_mime: str | None = None) -> PropagatedFile:
    """Check an upload, and write the service into its label where it has one or gets one.

    Raises :class:`UnsupportedFormat` where the format has no place for a label, :class:`RefusedFile` for a signed or
    encrypted file and one with a manifest that cannot be kept, :class:`DamagedFile`, :class:`LabelNotVerified`.
    """
    if len(data) > plan.max_bytes:
        raise RefusedFile(f"the file has more than {plan.max_bytes} bytes; make it smaller or raise the limit")
    file_format = sniff(data, declared_mime)
    # In process, because a signer cannot be handed to another one; strangers' files go through the subprocess below.
    made = _propagated(data, file_format, plan, declared_mime)
    return _signed(made, data, file_format, plan)


def _propagated(data: bytes, file_format: FileFormat, plan: Propagation, declared_mime: str | None) -> PropagatedFile:
    """The same but for the manifest."""
    found = inspect_file(data, declared_mime=declared_mime, max_bytes=plan.max_bytes)
    origin = origin_of(found, is_declared=plan.is_declared, traces=plan.traces)
    if any(finding.code == "unreadable" for finding in found.findings):
        raise DamagedFile("the metadata of the file cannot be read; ask its maker for a sound file")
    if not origin.value:
        return PropagatedFile(data, file_format.mime, origin)
    if has_manifest(data, file_format) and plan.signer is None:
        raise RefusedFile("the file has Content Credentials that a label would break; configure a signer to keep them")
    readings = [parse(field.value) for field in implicit.read(data, file_format)]
    label = _label(readings, origin, plan)
    return PropagatedFile(implicit.write(data, file_format, label), file_format.mime, origin, label)


def _label(readings: Sequence[AigcReading], origin: Origin, plan: Propagation) -> AigcLabel:
    """What is written: the producer and an earlier propagator as they are named, and this service beside them."""
    former = next((reading.label for reading in readings if reading.label is not None), None)
    if former is None:
        values: dict[str, str] = next((reading.values for reading in readings if reading.is_recognised), {})
        try:
            former = AigcLabel(
                origin.value, values.get("ContentProducer") or UNKNOWN, values.get("ProduceID") or UNKNOWN
            )
        except LabelError:  # what stands there breaks the standard and cannot be written again
            former = AigcLabel(origin.value, UNKNOWN, UNKNOWN)
    former = replace(former, label=origin.value)
    # On the first write the producer stands as the propagator, too (Annex E, note 1): that is nobody's passing on.
    was_passed_on = (former.content_propagator, former.propagate_id) != (former.content_producer, former.produce_id)
    return former if was_passed_on else former.propagated_by(plan.propagator, plan.propagate_id)


def _signed(made: PropagatedFile, data: bytes, file_format: FileFormat, plan: Propagation) -> PropagatedFile:
    """The file with the manifest that it had as an ingredient; a file without one gets none: we did not make it."""
    if made.label is None or plan.signer is None or not has_manifest(data, file_format):
        return made
    signed = plan.signer.sign(made.data, file_format, edited_from=data, edit="metadata")
    if file_format in implicit.FORMATS:
        kept = [parse(field.value).label for field in implicit.read(signed.data, file_format)]
        if kept != [made.label]:
            raise LabelNotVerified("signing changed the implicit label of the file; it must not be given out")
    return replace(made, data=signed.data, sidecar=signed.sidecar)


def propagate_in_subprocess(
    data: bytes,
    plan: Propagation,
    *,
    declared_mime: str | None = None,
    timeout_s: float = 20.0,
    memory_bytes: int = 1 << 30,
) -> PropagatedFile:
    """:func:`propagate` for a stranger's file: read and written in a child process, signed here.

    Raises :class:`LabelError` also where the child runs out of time or memory or dies.
    """
    if len(data) > plan.max_bytes:
        raise RefusedFile(f"the file has more than {plan.max_bytes} bytes; make it smaller or raise the limit")
    file_format = sniff(data, declared_mime)
    asked = {
        "propagator": plan.propagator,
        "propagate_id": plan.propagate_id,
        "is_declared": plan.is_declared,
        "traces": list(plan.traces),
        "max_bytes": plan.max_bytes,
        "declared_mime": declared_mime,
        "may_sign": plan.signer is not None,
    }
    answered = ask_child(
        "labeling.propagation",
        json.dumps(asked).encode() + b"\n" + data,
        doing="checked",
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )
    head, _, written = answered.partition(b"\n")
    told: dict[str, Any] = json.loads(head)
    if "error" in told:
        raise _ERRORS.get(told["error"], LabelError)(told["message"])
    origin = Origin(told["value"], tuple(told["basis"]))
    if told["label"] is None:
        return PropagatedFile(data, file_format.mime, origin)
    label = parse(told["label"]).label
    return _signed(PropagatedFile(written, file_format.mime, origin, label), data, file_format, plan)


_ERRORS: Final = {kind.__name__: kind for kind in (UnsupportedFormat, DamagedFile, RefusedFile, LabelNotVerified)}


def answer_child() -> None:
    """What the child process does, once it has limited itself: one line of JSON, then the file where it was changed."""
    asked = json.loads(sys.stdin.buffer.readline())
    head, data = _work(asked, sys.stdin.buffer.read())
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + data)


def _work(asked: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """What is told of the file, and the file where it was changed."""
    may_sign, declared_mime = asked.pop("may_sign"), asked.pop("declared_mime")
    plan = Propagation(**{**asked, "traces": tuple(asked["traces"])})
    try:
        file_format = sniff(data, declared_mime)
        if may_sign and has_manifest(data, file_format):
            plan = replace(plan, signer=_Elsewhere())
        made = _propagated(data, file_format, plan, declared_mime)
    except LabelError as error:
        return {"error": type(error).__name__, "message": str(error)}, b""
    label = None if made.label is None else made.label.as_dict()
    head = {"value": made.origin.value, "basis": made.origin.basis, "label": label}
    return head, b"" if label is None else made.data


class _Elsewhere(ManifestSigner):
    """Stands for the signer of the parent process: it will sign what comes back."""

    def __init__(self) -> None:
        """Nothing to sign with."""
