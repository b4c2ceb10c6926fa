# SPDX-License-Identifier: Apache-2.0
"""The implicit label's seven-key object, written strictly and read tolerantly.

Implements GB 45438-2025 clause 6.1 and Annex E (implicit labels in file metadata, 文件元数据隐式标识), which
《人工智能生成合成内容标识办法》 article 5 asks for. The object has exactly these keys in this order::

    Label, ContentProducer, ProduceID, ReservedCode1, ContentPropagator, PropagateID, ReservedCode2

What must hold: what is written obeys every rule of Annex E, or :class:`~labeling.errors.LabelError` is raised; what is
read never raises, and each departure from a rule becomes a :class:`Finding` that names its clause, because the files
of other providers break the rules in many ways and still say truthfully that a machine made them.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from labeling.errors import LabelError

KEYS: Final = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
"""The seven keys in the order of Annex E."""

_ANNEX_E: Final = "GB 45438-2025 Annex E"
_ANNEX_E_B: Final = _ANNEX_E + " b)"

GENERATED: Final = "1"
POSSIBLY_GENERATED: Final = "2"
SUSPECTED_GENERATED: Final = "3"

LABEL_MEANINGS: Final = {
    GENERATED: "is generated",
    POSSIBLY_GENERATED: "may be generated",
    SUSPECTED_GENERATED: "suspected",
}

MAX_VALUE_CHARS: Final = 8192
"""Longest value that is written, so that a label always fits the smallest container field (a 64 KiB JPEG segment)."""

MAX_TEXT_CHARS: Final = 262_144
"""Longest text that is read as a label; longer ones are reported, not parsed."""

# Annex E j): code points 0x21, 0x23-0x5B, 0x5D-0x7E, and the quotation mark in its escaped form. The escaped mark is
# only accepted where structured data may stand, in the reserved codes.
_PLAIN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]*")
_RESERVED = re.compile(r"[\x21-\x5B\x5D-\x7E]*")


@dataclass(frozen=True, slots=True)
class Finding:
    """One departure from the rules that a reader met. ``code`` is stable; ``message`` is for people."""

    code: str
    clause: str
    message: str


@dataclass(frozen=True, slots=True)
class AigcLabel:
    """The label of one piece of content, as it is written.

    ``label`` is ``"1"`` generated, ``"2"`` possibly, ``"3"`` suspected. On the first write the producer is also the
    propagator (Annex E note 1), so the propagation values default to the production values.
    Raises :class:`LabelError` naming the key whose value breaks Annex E.
    """

    label: str
    content_producer: str
    produce_id: str
    reserved_code1: str = ""
    content_propagator: str = ""
    propagate_id: str = ""
    reserved_code2: str = ""

    def __post_init__(self) -> None:
        if not self.content_propagator:
            object.__setattr__(self, "content_propagator", self.content_producer)
        if not self.propagate_id:
            object.__setattr__(self, "propagate_id", self.produce_id)
        # One match over all plain values: this runs once for each answer, the search for the culprit only on failure.
        plain = self.content_producer + self.produce_id + self.content_propagator + self.propagate_id
        if (
            self.label not in LABEL_MEANINGS
            or not self.content_producer
            or not self.produce_id
            or len(plain) > MAX_VALUE_CHARS
            or len(self.reserved_code1) + len(self.reserved_code2) > MAX_VALUE_CHARS
            or not _PLAIN.fullmatch(plain)
            or not _RESERVED.fullmatch(self.reserved_code1 + self.reserved_code2)
        ):
            self._explain()

    def _explain(self) -> None:
        if self.label not in LABEL_MEANINGS:
            raise LabelError('Label must be "1", "2" or "3" (GB 45438-2025 Annex E c)')
        values = self.as_dict()
        for key in ("ContentProducer", "ProduceID"):
            if not values[key]:
                raise LabelError(f"{key} must not be empty (GB 45438-2025 Annex E)")
        for key, value in values.items():
            rule = _RESERVED if key.startswith("Reserved") else _PLAIN
            if not rule.fullmatch(value):
                raise LabelError(
                    f"{key} may only hold printable ASCII without space, quotation mark and backslash "
                    f"(GB 45438-2025 Annex E j); use a code instead of a name"
                )
        raise LabelError(f"the values of an implicit label may have {MAX_VALUE_CHARS} characters at most; shorten them")

    def as_dict(self) -> dict[str, str]:
        """The seven keys and values in the order of Annex E, a new dict at each call."""
        return {
            "Label": self.label,
            "ContentProducer": self.content_producer,
            "ProduceID": self.produce_id,
            "ReservedCode1": self.reserved_code1,
            "ContentPropagator": self.content_propagator,
            "PropagateID": self.propagate_id,
            "ReservedCode2": self.reserved_code2,
        }

    def as_json(self, *, wrapped: bool = False) -> str:
        """The object as compact ASCII JSON.

        Bare for places that are themselves named ``AIGC`` (XMP property, ID3 frame, chunk), ``wrapped`` in
        ``{"AIGC": ...}`` where the place has no name of its own.
        """
        bare = json.dumps(self.as_dict(), separators=(",", ":"))
        return f'{{"AIGC":{bare}}}' if wrapped else bare

    def propagated_by(self, propagator: str, propagate_id: str, reserved_code2: str = "") -> AigcLabel:
        """The same label after another service passed the content on (Measures article 6, last sentence)."""
        return AigcLabel(
            self.label,
            self.content_producer,
            self.produce_id,
            self.reserved_code1,
            propagator,
            propagate_id,
            reserved_code2,
        )


@dataclass(frozen=True, slots=True)
class AigcReading:
    """What a reader made of something that looked like an implicit label.

    ``values`` holds the known keys with their text as found; ``label`` is the strict object where the values allow it.
    ``is_recognised`` says that it is a label at all, ``is_conforming`` that it breaks no rule.
    """

    values: dict[str, str] = field(default_factory=dict)
    label: AigcLabel | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_recognised(self) -> bool:
        """Whether at least a ``Label`` or a producer was found, so that the content counts as labelled."""
        return bool(self.values.get("Label") or self.values.get("ContentProducer"))

    @property
    def is_conforming(self) -> bool:
        """Whether the label obeys every rule that can be checked from its text."""
        return self.label is not None and not self.findings


_BY_LOWER_CASE = {key.lower(): key for key in KEYS}
# Names that writers in the wild use in place of the standard's.
_ALIASES = {"serviceprovider": "ContentProducer", "produceid": "ProduceID", "propagateid": "PropagateID"}
_WRONG_LABELS = {"aigc": GENERATED, "ai": GENERATED, "true": GENERATED, "yes": GENERATED}


def parse(source: str | bytes | Mapping[str, object]) -> AigcReading:
    """Read a label in any of the forms met in practice; never raises.

    Accepts the bare and the wrapped object, other cases and nesting of ``AIGC``, XML-escaped text, Base64, numbers
    in place of strings, missing and additional keys. Each departure is a finding with its clause.
    """
    findings: list[Finding] = []
    if isinstance(source, Mapping):
        found: object = source
    else:
        found = _load(source, findings)
    mapping = _unwrap(found, findings)
    if mapping is None:
        if not findings:
            findings.append(Finding("not-an-object", _ANNEX_E_B, "the field holds no JSON object"))
        return AigcReading(findings=tuple(findings))
    values = _known_values(mapping, findings)
    _check_values(values, findings)
    return AigcReading(values, _strict(values), tuple(findings))


def _load(source: str | bytes, findings: list[Finding]) -> object:
    if isinstance(source, bytes):
        try:
            text = source.decode("utf-8")
        except UnicodeDecodeError:
            findings.append(Finding("not-utf-8", _ANNEX_E_B, "the field is not UTF-8 text"))
            text = source.decode("latin-1")
    else:
        text = source
    if len(text) > MAX_TEXT_CHARS:
        findings.append(Finding("too-long", _ANNEX_E_B, f"the field is longer than {MAX_TEXT_CHARS} characters"))
        return None
    text = text.strip("\ufeff\x00 \t\r\n")
    value = _json(text, findings)
    if value is None and "&" in text:
        value = _json(html.unescape(text), findings)
        if value is not None:
            findings.append(Finding("escaped", _ANNEX_E_B, "the JSON is XML-escaped inside the field"))
    if value is None:
        value = _base64_json(text, findings)
    # A JSON string that holds the JSON object: an encoder ran twice.
    if isinstance(value, str):
        inner = _json(value, findings)
        if inner is not None:
            findings.append(Finding("double-encoded", _ANNEX_E_B, "the object is a JSON string inside JSON"))
            value = inner
    if value is None:
        findings.append(Finding("not-json", _ANNEX_E_B, "the field does not hold JSON"))
    return value


def _json(text: str, findings: list[Finding]) -> object:
    repeated: list[str] = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        result: dict[str, object] = {}
        for key, value in items:
            if key in result:
                repeated.append(key)
            else:
                result[key] = value
        return result

    try:
        value: object = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    if repeated:
        findings.append(
            Finding("repeated-key", "GB 45438-2025 6.1 c)", "a key stands more than once; the first one counts")
        )
    return value


def _base64_json(text: str, findings: list[Finding]) -> object:
    compact = "".join(text.split())
    if len(compact) < 16:
        return None
    try:
        decoded = base64.b64decode(
            compact.replace("-", "+").replace("_", "/") + "=" * (-len(compact) % 4), validate=True
        )
        value = _json(decoded.decode("utf-8").strip("\x00 \r\n"), findings)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    if value is not None:
        findings.append(Finding("base64", _ANNEX_E_B, "the JSON is Base64-encoded; it must stand as plain text"))
    return value


def _unwrap(found: object, findings: list[Finding]) -> Mapping[str, object] | None:
    """The innermost mapping with label keys, through at most two wrappers named AIGC in any case."""
    for _ in range(3):
        if not isinstance(found, Mapping):
            return None
        wrapper = [key for key in found if isinstance(key, str) and "aigc" in key.lower()]
        if not wrapper or any(isinstance(key, str) and key.lower() in _BY_LOWER_CASE for key in found):
            return found
        if wrapper[0] != "AIGC":
            findings.append(Finding("wrapper-name", _ANNEX_E_B, "the wrapper is not named AIGC exactly"))
        inner = found[wrapper[0]]
        found = _load(inner, findings) if isinstance(inner, str | bytes) else inner
    return found if isinstance(found, Mapping) else None


def _known_values(mapping: Mapping[str, object], findings: list[Finding]) -> dict[str, str]:
    values: dict[str, str] = {}
    exact_order: list[str] = []
    unknown = 0
    for name, value in mapping.items():
        lower = name.lower() if isinstance(name, str) else ""
        key = _BY_LOWER_CASE.get(lower) or _ALIASES.get(lower)
        if key is None:
            unknown += 1
            continue
        if key in values:
            findings.append(
                Finding("repeated-key", "GB 45438-2025 6.1 c)", f"{key} stands more than once; the first one counts")
            )
            continue
        if name != key:
            findings.append(Finding("key-name", _ANNEX_E_B, f"{key} is not written with its exact name"))
        if not isinstance(value, str):
            findings.append(Finding("not-a-string", _ANNEX_E, f"the value of {key} is not a string"))
            if value is None or isinstance(value, list):
                value = ""
            elif isinstance(value, Mapping):
                value = json.dumps(value, separators=(",", ":"), default=str)[:MAX_VALUE_CHARS]
            elif isinstance(value, bool):
                value = str(value).lower()
        values[key] = str(value)[:MAX_VALUE_CHARS]
        exact_order.append(key)
    if unknown:
        findings.append(Finding("unknown-key", _ANNEX_E_B, f"{unknown} keys are not among the seven"))
    if exact_order != [key for key in KEYS if key in values]:
        findings.append(Finding("key-order", _ANNEX_E_B, "the keys are not in the order of the standard"))
    return values


def _check_values(values: dict[str, str], findings: list[Finding]) -> None:
    for key in KEYS:
        if key not in values:
            findings.append(Finding("missing-key", "GB 45438-2025 6.1 and Annex E", f"{key} is missing"))
        elif key in ("ContentProducer", "ProduceID") and not values[key]:
            findings.append(Finding("empty-value", _ANNEX_E, f"{key} is empty"))
    label = values.get("Label")
    if label is not None and label not in LABEL_MEANINGS:
        findings.append(Finding("label-value", "GB 45438-2025 Annex E c)", 'Label is not "1", "2" or "3"'))
    for key, value in values.items():
        if not _RESERVED.fullmatch(value) or ('"' in value and not key.startswith("Reserved")):
            findings.append(
                Finding("charset", "GB 45438-2025 Annex E j)", f"{key} holds a character that is not allowed")
            )


def _strict(values: dict[str, str]) -> AigcLabel | None:
    label = values.get("Label", "")
    try:
        return AigcLabel(
            _WRONG_LABELS.get(label.lower(), label),
            values.get("ContentProducer", ""),
            values.get("ProduceID", ""),
            values.get("ReservedCode1", ""),
            values.get("ContentPropagator", ""),
            values.get("PropagateID", ""),
            values.get("ReservedCode2", ""),
        )
    except LabelError:
        return None
