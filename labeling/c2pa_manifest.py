# SPDX-License-Identifier: Apache-2.0
"""Content Credentials: a signed C2PA manifest in the file, or beside it where the format cannot hold one.

Implements the C2PA technical specification 2.4 through the library c2pa-python, as EU AI Act article 50 and its code
of practice ask for signed provenance. What must hold:

* the manifest is written last, because it binds the bytes of the file;
* a manifest that a file already has becomes an ingredient and is never dropped;
* the actions assertion stands complete: ``c2pa.created`` with ``trainedAlgorithmicMedia`` (or ``c2pa.opened`` for a
  file with a former manifest), all-actions flag and specification version, as the public conformance rubric asks;
* nothing is fetched: no remote manifests, no timestamps unless an authority is configured;
* what was signed is read again and must be valid.

The library's contexts do not survive a fork: make :class:`ManifestSigner` in the worker that uses it.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import c2pa

from labeling.errors import DamagedFile, LabelError, LabelNotVerified
from labeling.sniff import FileFormat

SPEC_VERSION: Final = "2.4.0"
TRAINED_ALGORITHMIC_MEDIA: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

EMBEDDABLE: Final = frozenset(
    {
        *(FileFormat.PNG, FileFormat.JPEG, FileFormat.WEBP, FileFormat.GIF, FileFormat.TIFF, FileFormat.AVIF),
        *(FileFormat.HEIC, FileFormat.SVG, FileFormat.WAV, FileFormat.MP3, FileFormat.FLAC, FileFormat.M4A),
        *(FileFormat.MP4, FileFormat.MOV, FileFormat.AVI),
    }
)
"""Formats whose files hold the manifest. PDF could, but the library rewrites the whole file and so loses its
revisions; like all others it gets a sidecar."""

# Algorithms of C2PA 2.4 section 13.2 that the library signs with.
_ALGORITHMS: Final = {
    "es256": c2pa.C2paSigningAlg.ES256,
    "es384": c2pa.C2paSigningAlg.ES384,
    "es512": c2pa.C2paSigningAlg.ES512,
    "ps256": c2pa.C2paSigningAlg.PS256,
    "ps384": c2pa.C2paSigningAlg.PS384,
    "ps512": c2pa.C2paSigningAlg.PS512,
    "ed25519": c2pa.C2paSigningAlg.ED25519,
}

SIDECAR_MIME: Final = "application/c2pa"


@dataclass(frozen=True, slots=True)
class ManifestOptions:
    """What every manifest of a service says. ``trust_anchors_pem`` are roots that reading back must lead to; without
    them a valid signature of an unknown signer is enough."""

    generator_name: str
    generator_version: str
    trust_anchors_pem: str = ""
    thumbnails: bool = False


@dataclass(frozen=True, slots=True)
class SignedFile:
    """A file with its manifest, or with the manifest beside it."""

    data: bytes
    sidecar: bytes | None
    """The manifest store, to be kept beside the file with extension ``.c2pa``; None where it is in the file."""
    has_former_manifest: bool


@dataclass(frozen=True, slots=True)
class ManifestReading:
    """What a file's manifest says. ``state`` is ``none``, ``invalid``, ``valid`` or ``trusted``."""

    state: str
    failures: tuple[str, ...] = ()
    signer: str = ""
    generator: str = ""
    source_types: tuple[str, ...] = ()
    manifests: int = 0
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def says_ai_generated(self) -> bool:
        """Whether any action of the active manifest says that a trained model made the content."""
        return any("rainedAlgorithmicMedia" in source_type for source_type in self.source_types)


def _context(options_anchors: str) -> c2pa.Context:
    settings: dict[str, Any] = {
        "version": 1,
        # Never fetch: a manifest's address comes from a stranger's file.
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": True},
        "builder": {"thumbnail": {"enabled": False}},
    }
    if options_anchors:
        settings["trust"] = {"trust_anchors": options_anchors, "verify_trust_list": True}
    return c2pa.Context.from_dict(settings)


class ManifestSigner:
    """Signs manifests with a key that may live anywhere: ``sign`` gets the bytes and gives the signature.

    ``chain_pem`` is the certificate of the key and its intermediates, without the root. ``algorithm`` is one of
    es256, es384, es512, ps256, ps384, ps512, ed25519. ``timestamp_url`` names an RFC 3161 authority, or is empty.
    Safe to share between threads of one process; make it after forking.
    """

    def __init__(
        self,
        sign: Callable[[bytes], bytes],
        algorithm: str,
        chain_pem: str,
        options: ManifestOptions,
        *,
        timestamp_url: str = "",
    ) -> None:
        chosen = _ALGORITHMS.get(algorithm.lower())
        if chosen is None:
            raise LabelError(f"the signing algorithm must be one of {', '.join(_ALGORITHMS)}")
        self._options = options
        self._failure = threading.local()
        self._sign = sign
        try:
            self._context = _context(options.trust_anchors_pem)
            self._signer = c2pa.Signer.from_callback(self._call, chosen, chain_pem, timestamp_url or None)
        except c2pa.C2paError as error:
            raise LabelError(
                f"the signing certificate cannot be used ({_kind(error)}); see the profile in the docs"
            ) from None

    def _call(self, content: bytes) -> bytes:
        # The library turns an exception in here into a meaningless message, so it is kept for ours.
        try:
            return self._sign(content)
        except Exception as error:
            self._failure.kind = type(error).__name__
            raise

    def sign(
        self,
        data: bytes,
        file_format: FileFormat,
        *,
        title: str = "",
        edited_from: bytes | None = None,
        edit: Literal["content", "metadata"] = "content",
        beside: bool = False,
        assertions: Sequence[tuple[str, dict[str, Any]]] = (),
    ) -> SignedFile:
        """The file with a manifest.

        ``edited_from`` is the file before we drew on it, where that one had a manifest of its own: it becomes the
        parent ingredient; ``edit`` says what we changed of it. With ``beside`` the file stays byte for byte, whatever
        it could hold, and the manifest is a sidecar. ``assertions`` are further assertions with their labels.
        Raises :class:`LabelNotVerified` where signing or reading back fails.
        """
        original = data if edited_from is None else edited_from
        has_former = has_manifest(original, file_format) and not beside
        is_embedded = file_format in EMBEDDABLE and not beside
        mime = _mime(file_format, embedded=is_embedded)
        action: dict[str, Any]
        if has_former:
            action = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}
            actions = [action]
            if edited_from is not None and edit == "metadata":
                actions.append({"action": "c2pa.edited.metadata"})
            elif edited_from is not None:
                actions.append({"action": "c2pa.edited", "digitalSourceType": COMPOSITE})
        else:
            actions = [{"action": "c2pa.created", "digitalSourceType": TRAINED_ALGORITHMIC_MEDIA}]
        manifest = {
            "claim_generator_info": [
                {
                    "name": self._options.generator_name,
                    "version": self._options.generator_version,
                    "specVersion": SPEC_VERSION,
                }
            ],
            "title": title,
            "format": mime,
            "assertions": [
                {
                    "label": "c2pa.actions.v2",
                    "created": True,
                    "data": {"actions": actions, "allActionsIncluded": True},
                },
                *({"label": label, "data": content} for label, content in assertions),
            ],
        }
        out = io.BytesIO()
        self._failure.kind = ""
        try:
            with c2pa.Builder(json.dumps(manifest), context=self._context) as builder:
                if has_former:
                    ingredient = {"relationship": "parentOf", "label": "parent", "instance_id": "parent"}
                    builder.add_ingredient(json.dumps(ingredient), mime, io.BytesIO(original))
                if not is_embedded:
                    builder.set_no_embed()
                store = builder.sign(self._signer, mime, io.BytesIO(data), out)
        except c2pa.C2paError as error:
            cause = self._failure.kind or _kind(error)
            raise LabelNotVerified(
                f"the file could not be signed ({cause}); check the signing key and its chain"
            ) from None
        signed = SignedFile(out.getvalue() if is_embedded else data, None if is_embedded else bytes(store), has_former)
        self._check(signed, file_format, has_former)
        return signed

    def _check(self, signed: SignedFile, file_format: FileFormat, has_former: bool) -> None:
        reading = read_manifest(
            signed.data, file_format, sidecar=signed.sidecar, trust_anchors_pem=self._options.trust_anchors_pem
        )
        wanted = ("trusted",) if self._options.trust_anchors_pem else ("trusted", "valid")
        if reading.state not in wanted or (has_former and reading.manifests < 2):
            raise LabelNotVerified(
                f"the manifest was written but reads back as {reading.state} "
                f"({', '.join(reading.failures) or 'no code'}); the file must not be given out"
            )


class SigningPool:
    """A bounded pool of threads for signing, so that a slow key service cannot take all of a process's threads."""

    def __init__(self, signer: ManifestSigner, *, threads: int = 2, max_waiting: int = 64) -> None:
        self._signer = signer
        self._pool = ThreadPoolExecutor(threads, "c2pa")
        self._limit = threads + max_waiting
        self._pending = 0
        self._counting = threading.Lock()

    def submit(self, data: bytes, file_format: FileFormat, **options: Any) -> Future[SignedFile]:
        """Start signing. Raises :class:`LabelError` at once where too many files wait already."""
        if self._pending >= self._limit:
            raise LabelError("too many files wait for their signature; try again later or add signing threads")
        with self._counting:
            self._pending += 1
        future = self._pool.submit(self._signer.sign, data, file_format, **options)
        future.add_done_callback(self._done)
        return future

    def _done(self, _: Future[SignedFile]) -> None:
        with self._counting:
            self._pending -= 1

    def close(self) -> None:
        """Finish what was started and take nothing more."""
        self._pool.shutdown()


def _mime(file_format: FileFormat, *, embedded: bool) -> str:
    """The type by which the library chooses its reader; opaque bytes where the manifest stands beside the file."""
    if not embedded:
        return "application/octet-stream"
    return "video/avi" if file_format is FileFormat.AVI else file_format.mime


def _kind(error: BaseException) -> str:
    """The library's error class, without its text, which can quote the file."""
    name = type(error).__name__.rpartition(".")[2]
    return name.strip("_") or "C2paError"


def has_manifest(data: bytes, file_format: FileFormat) -> bool:
    """Whether the file carries or points to a manifest.

    A broken one and one that is only named by its address count: both must be kept, and saying "none" would drop them.
    """
    if file_format not in EMBEDDABLE and file_format is not FileFormat.PDF:
        return False
    try:
        reader = c2pa.Reader.try_create(_mime(file_format, embedded=True), io.BytesIO(data), context=_context(""))
    except c2pa.C2paError as error:
        return not isinstance(error, c2pa.C2paError.NotSupported | c2pa.C2paError.ManifestNotFound)
    if reader is None:
        return False
    reader.close()
    return True


def read_manifest(
    data: bytes, file_format: FileFormat, *, sidecar: bytes | None = None, trust_anchors_pem: str = ""
) -> ManifestReading:
    """The manifest of a file, validated offline. Never raises for what the file holds."""
    mime = _mime(file_format, embedded=sidecar is None)
    try:
        reader = c2pa.Reader.try_create(
            mime, io.BytesIO(data), manifest_data=sidecar, context=_context(trust_anchors_pem)
        )
    except (c2pa.C2paError.NotSupported, c2pa.C2paError.ManifestNotFound):
        return ManifestReading("none")
    except c2pa.C2paError as error:
        return ManifestReading("invalid", (_kind(error),))
    if reader is None:
        return ManifestReading("none")
    with reader:
        try:
            store: dict[str, Any] = json.loads(reader.json())
        except ValueError:
            raise DamagedFile(
                "the manifest of the file cannot be read as JSON; ask its maker for a sound file"
            ) from None
    active = store.get("manifests", {}).get(store.get("active_manifest", ""), {})
    results = store.get("validation_results", {}).get("activeManifest", {})
    failures = tuple(sorted({str(entry.get("code", "")) for entry in results.get("failure", [])}))
    info = (active.get("claim_generator_info") or [{}])[0]
    types = [
        str(action["digitalSourceType"])
        for assertion in active.get("assertions", [])
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", [])
        if action.get("digitalSourceType")
    ]
    state = str(store.get("validation_state", "Invalid")).lower()
    return ManifestReading(
        state if state in ("valid", "trusted") else "invalid",
        failures,
        str((active.get("signature_info") or {}).get("issuer", ""))[:200],
        f"{info.get('name', '')} {info.get('version', '')}".strip()[:200],
        tuple(dict.fromkeys(types)),
        len(store.get("manifests", {})),
        store,
    )
