# SPDX-License-Identifier: Apache-2.0
"""All labels on one file, in the only order that works, and nothing out unless all of them hold.

The order: what changes pixels or samples first (visible or audible label, then the invisible watermark, both before the
picture is encoded once), then the metadata label, then the signed manifest, which binds all bytes before it. A manifest
or a label that the file came with is read before anything is changed, and kept: the manifest as an ingredient, the
label's producer in the new label.

Fails closed: any step that is asked for and cannot be done raises :class:`~labeling.errors.LabelError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final, Literal

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.c2pa_manifest import ManifestSigner, has_manifest
from labeling.errors import LabelNotVerified, RefusedFile, UnsupportedFormat
from labeling.explicit.audio import AudioLabel, label_audio
from labeling.explicit.document import label_document
from labeling.explicit.image import ImageLabel, label_image, redraw_image
from labeling.explicit.video import VideoLabel, label_film
from labeling.sniff import FileFormat, sniff
from labeling.watermark.frames import Marking, MarkPlan

MAX_FILE_BYTES: Final = 256 << 20
ASSERTION: Final = "cn.tc260.aigc"
"""How a manifest names the seven keys of Annex E."""
MAX_PIXELS: Final = 80_000_000


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """What a file gets.

    ``label`` is the implicit label. ``image``, ``audio`` and ``words`` are the explicit labels by medium; ``words``
    serves documents and text. ``explicit`` says what happens where a format cannot get its explicit label here:
    ``required`` raises, ``where-possible`` goes on and says so in the steps, ``waived`` writes none at all (a grant
    under article 9 of the Measures; the implicit label is never waived).

    ``former`` says what happens to a label that the file came with: ``propagate`` keeps its producer and writes us as
    the propagator (article 6), ``keep`` leaves a conforming one as it is, ``replace`` writes ours over it.
    """

    label: AigcLabel
    image: ImageLabel | None = None
    audio: AudioLabel | None = None
    words: str = ""
    signer: ManifestSigner | None = None
    explicit: Literal["required", "where-possible", "waived"] = "required"
    former: Literal["propagate", "keep", "replace"] = "propagate"
    video: VideoLabel | None = None
    mark: MarkPlan | None = None
    """The invisible watermark of pictures; other media get none."""
    beside: bool = False
    """The file stays byte for byte, as one must that is digitally signed; the label stands in a manifest beside it."""
    max_bytes: int = MAX_FILE_BYTES
    may_break_manifest: bool = False
    """Without a signer, a manifest that the file came with cannot be kept: labelling breaks it. That is refused unless
    this says otherwise."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done, or not done and why. ``outcome`` is ``done``, ``kept``, ``waived``, ``skipped`` or
    ``not-possible``."""

    name: str
    outcome: str
    detail: str
    ms: float


@dataclass(frozen=True, slots=True)
class LabeledFile:
    """A labelled file. ``sidecar`` is the manifest store for formats that cannot hold it."""

    data: bytes
    mime: str
    steps: tuple[Step, ...]
    label: AigcLabel
    sidecar: bytes | None = None


def label_file(
    data: bytes,
    plan: LabelPlan,
    *,
    declared_mime: str | None = None,
    title: str = "",
    progress: Callable[[float], None] | None = None,
    clock: Callable[[], float] = perf_counter,
) -> LabeledFile:
    """The file with all labels of the plan.

    ``progress`` is told how much of a film is labelled, from 0 to 1, from another thread. ``clock`` measures the steps,
    in seconds. Raises :class:`~labeling.errors.LabelError` and its subclasses only; then
    nothing of the file may be given out.
    """
    if len(data) > plan.max_bytes:
        raise RefusedFile(f"the file has more than {plan.max_bytes} bytes; make it smaller or raise the limit")
    file_format = sniff(data, declared_mime)
    if plan.beside:
        return _beside(data, file_format, plan, title, clock)
    steps: list[Step] = []

    def note(name: str, outcome: str, detail: str, since: float) -> None:
        steps.append(Step(name, outcome, detail, (clock() - since) * 1000))

    since = clock()
    label, detail = _label(data, file_format, plan)
    has_former_manifest = has_manifest(data, file_format)
    if has_former_manifest and plan.signer is None:
        if not plan.may_break_manifest:
            raise RefusedFile(
                "the file has Content Credentials that a label would break; configure a signer to keep them"
            )
        detail += ", former manifest broken by the plan's choice"
    note("read", "done", detail, since)

    since = clock()
    marking = Marking(plan.mark, clock) if plan.mark is not None and file_format.medium == "image" else None
    current, outcome, detail = _explicit(data, file_format, plan, marking, progress)
    if marking is not None and outcome != "done":
        current = _marked_only(current, file_format, plan, marking)
    ms = (clock() - since) * 1000 - (0.0 if marking is None else marking.ms)
    steps.append(Step("explicit", outcome, detail, ms))
    if marking is not None:
        outcome, detail = marking.outcome(file_format)
        steps.append(Step("watermark", outcome, detail, marking.ms))

    since = clock()
    if file_format in implicit.FORMATS:
        current = implicit.write(current, file_format, label)
        note("implicit", "done", "read back: one label, at the place of the format's guide", since)
    else:
        note("implicit", "not-possible", f"{file_format.value.name} has no metadata", since)

    sidecar = None
    if plan.signer is not None:
        since = clock()
        signed = plan.signer.sign(current, file_format, title=title, edited_from=data if has_former_manifest else None)
        current, sidecar = signed.data, signed.sidecar
        place = "in the file" if sidecar is None else "beside the file"
        former = ", former manifest kept as ingredient" if signed.has_former_manifest else ""
        note("manifest", "done", place + former, since)
        _check_last(current, file_format, label, declared_mime)
    return LabeledFile(current, file_format.mime, tuple(steps), label, sidecar)


def _beside(
    data: bytes, file_format: FileFormat, plan: LabelPlan, title: str, clock: Callable[[], float]
) -> LabeledFile:
    """The file as it is, and a manifest beside it that binds it and holds the seven keys."""
    if plan.signer is None:
        raise RefusedFile("a label beside the file is a signed manifest; configure a signer to make one")
    since = clock()
    assertion = (ASSERTION, plan.label.as_dict())
    signed = plan.signer.sign(data, file_format, title=title, beside=True, assertions=(assertion,))
    steps = [Step(name, "not-possible", "the file stays as it is", 0.0) for name in ("explicit", "implicit")]
    steps.append(Step("manifest", "done", "beside the file, with the seven keys", (clock() - since) * 1000))
    return LabeledFile(data, file_format.mime, tuple(steps), plan.label, signed.sidecar)


def _label(data: bytes, file_format: FileFormat, plan: LabelPlan) -> tuple[AigcLabel, str]:
    """The label to write, from the plan and what the file came with."""
    if file_format not in implicit.FORMATS or plan.former == "replace":
        return plan.label, "former labels not asked for"
    readings = [parse(field.value) for field in implicit.read(data, file_format)]
    former = next((reading.label for reading in readings if reading.label is not None), None)
    if former is None:
        found = "malformed former label replaced" if readings else "no former label"
        return plan.label, found
    if plan.former == "keep":
        return former, "former label kept"
    own = plan.label
    passed_on = former.propagated_by(own.content_propagator, own.propagate_id, own.reserved_code2)
    # "1" is certain, "3" a suspicion: who knows more than the former writer says so.
    return replace(passed_on, label=min(former.label, own.label)), "former producer kept"


def _explicit(
    data: bytes,
    file_format: FileFormat,
    plan: LabelPlan,
    marking: Marking | None,
    progress: Callable[[float], None] | None,
) -> tuple[bytes, str, str]:
    """The file with its visible or audible label, the outcome and its detail."""
    if plan.explicit == "waived":
        return data, "waived", "no explicit label by grant"
    try:
        if file_format is FileFormat.SVG and plan.image is not None:
            return label_document(data, file_format, plan.image.words, plan.image), "done", "drawn as outlines"
        if file_format in (FileFormat.PDF, FileFormat.PPTX) and plan.image is not None:
            return label_document(data, file_format, plan.image.words, plan.image), "done", "on the first page"
        if file_format.medium == "image" and plan.image is not None:
            drawn = label_image(data, file_format, plan.image, marking)
            detail = f"characters of {drawn.ink_px} px where {drawn.required_px} are asked for, {drawn.typeface}"
            return drawn.data, "done", detail
        if file_format.medium == "audio" and plan.audio is not None:
            spoken = label_audio(data, file_format, plan.audio)
            return spoken.data, "done", f"{spoken.kind} of {spoken.label_s:.1f} s"
        if file_format.medium == "video" and plan.video is not None:
            film = label_film(data, file_format, plan.video, progress)
            detail = f"characters of {film.ink_px} px where {film.required_px} are asked for, on {film.labelled} frames"
            return film.data, "done", detail
        if file_format.medium in ("document", "text") and plan.words:
            return label_document(data, file_format, plan.words), "done", "words at the start"
        raise UnsupportedFormat(f"the plan has no explicit label for {file_format.medium} files; configure one")
    except UnsupportedFormat as error:
        if plan.explicit == "required":
            raise
        return data, "not-possible", str(error)


def _marked_only(data: bytes, file_format: FileFormat, plan: LabelPlan, marking: Marking) -> bytes:
    """A picture without a visible label, marked where its format and size allow it; else as it is."""
    max_pixels = MAX_PIXELS if plan.image is None else plan.image.max_pixels
    try:
        drawn = redraw_image(data, file_format, marking, max_pixels)
    except UnsupportedFormat:
        return data
    return drawn if marking.frames else data


def _check_last(data: bytes, file_format: FileFormat, label: AigcLabel, declared_mime: str | None) -> None:
    """After signing: still the same format, still exactly this label."""
    if sniff(data, declared_mime or file_format.mime) is not file_format:
        raise LabelNotVerified("signing changed the format of the file; it must not be given out")
    if file_format in implicit.FORMATS:
        found = [parse(field.value).label for field in implicit.read(data, file_format)]
        if found != [label]:
            raise LabelNotVerified("signing changed the implicit label of the file; it must not be given out")
