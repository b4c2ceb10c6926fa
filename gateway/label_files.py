# SPDX-License-Identifier: Apache-2.0
"""What a file of this service gets as labels: the policy's numbers and the settings' choices as one plan.

Implements, through `labeling`, the Labeling Measures (《人工智能生成合成内容标识办法》) articles 4, 5 and 9 and
GB 45438-2025. The height of a picture's label comes from the policy; its words are the operator's and must hold the
policy's elements. Content Credentials are signed where the data folder has a chain for them (`dutybound keys new
--c2pa`); a chain that is there and cannot be used refuses to start, because a service that signs must not stop unseen.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography import x509

from gateway import __version__
from gateway.home import WATERMARK
from gateway.policies import Policy
from gateway.settings import Label, Settings, SettingsError
from labeling import AigcLabel, LabelError
from labeling.c2pa_keys import file_signer, new_chain
from labeling.c2pa_manifest import EMBEDDABLE, ManifestOptions, ManifestSigner
from labeling.c2pa_text import TextSigner
from labeling.explicit.audio import AudioLabel
from labeling.explicit.image import ImageLabel
from labeling.explicit.video import VideoLabel
from labeling.file import LabelPlan
from labeling.propagation import Propagation
from labeling.sniff import FileFormat
from labeling.text import holds_elements
from labeling.watermark import Watermark, Waves, learned, payload_of
from labeling.watermark.frames import MarkPlan

GENERATOR = "Dutybound"
"""The name under which manifests say what wrote them; who provides the content stands in the certificate."""

_BP = 10_000
_MOST_ORGANISATION_CHARS = 64


@dataclass(frozen=True, slots=True)
class FileLabels:
    """The labels of one service's files, but for the record. Safe to share between threads of one process.

    `audio` is None where the provider's own interface labels sounds (`label.sound = "interface"`).
    """

    producer: str
    image: ImageLabel
    audio: AudioLabel | None
    words: str
    signer: ManifestSigner | None = None
    video: VideoLabel | None = None
    watermark: Watermark | None = None
    watermark_key: bytes = field(default=b"", repr=False)
    is_mark_required: bool = False

    def plan(
        self, record_id: str, *, explicit: Literal["required", "where-possible", "waived"] = "required"
    ) -> LabelPlan:
        """The plan for a file whose record is `record_id`. Raises `LabelError` where that cannot stand in a label."""
        label = AigcLabel("1", self.producer, record_id)
        mark = None
        if self.watermark is not None:
            mark = MarkPlan(self.watermark, payload_of(self.watermark_key, record_id), self.is_mark_required)
        return LabelPlan(label, self.image, self.audio, self.words, self.signer, explicit, video=self.video, mark=mark)

    def propagation(self, number: str, *, is_declared: bool = False, is_suspected: bool = False) -> Propagation:
        """How this service passes on content of others, under its own `number` (Measures article 6).

        Raises `LabelError` where the number cannot stand in a label.
        """
        AigcLabel("1", self.producer, number)
        traces = ("reported",) if is_suspected else ()
        return Propagation(self.producer, number, is_declared, traces, self.signer)

    def plan_for_answer(self, record_id: str, file_format: FileFormat, max_bytes: int) -> LabelPlan:
        """The plan for a file inside an answer: a manifest beside it would have no way to the client."""
        plan = self.plan(record_id)
        if file_format.medium == "audio" and self.audio is None:
            plan = replace(plan, explicit="where-possible")
        return replace(plan, max_bytes=max_bytes, signer=self.signer if file_format in EMBEDDABLE else None)


def _video_label(chosen: Label, policy: Policy, image: ImageLabel) -> VideoLabel:
    """The label of films: the picture's words and corner, height and time from the policy."""
    height_bp = round(policy.number("label.video.min_glyph_ratio") * _BP)
    return VideoLabel(
        replace(image, height_bp=height_bp),
        float(policy.number("label.video.min_seconds")),
        max_s=chosen.film_most_s,
        timeout_s=chosen.film_timeout_s,
    )


def elements_of(policy: Policy) -> tuple[tuple[str, ...], ...]:
    """The groups of which a visible label holds one element each (GB 45438-2025 clause 5)."""
    return (policy.texts("label.text.ai_elements"), policy.texts("label.text.generation_elements"))


def file_labels(settings: Settings, policy: Policy, producer: str, keys: Path | None = None) -> FileLabels:
    """The labels that `settings` and `policy` ask for. `keys` is the folder of the keys, if there is one; without it
    there is neither manifest nor watermark.

    Reads the font's and the clip's files. Raises `SettingsError` naming the key, `OSError` for a file that is away.
    """
    chosen = settings.label
    elements = elements_of(policy)
    if not holds_elements(chosen.image_words, elements):
        wanted = " and ".join(f"one of {', '.join(group)}" for group in elements)
        raise SettingsError(f"label.image_words: expected words that hold {wanted} (GB 45438-2025 clause 5)")
    font = settings.base_dir / chosen.image_font if chosen.image_font else None
    if font is not None and not font.is_file():
        raise SettingsError(f"label.image_font: there is no file {font}")
    clip = (settings.base_dir / chosen.voice_clip).read_bytes() if chosen.voice_clip else None
    try:
        height_bp = round(policy.number("label.image.min_glyph_ratio") * _BP)
        image = ImageLabel(chosen.image_words, height_bp, chosen.image_corner, font=font)
        audio = AudioLabel(clip=clip) if chosen.sound == "audible" else None
        video = _video_label(chosen, policy, image) if chosen.films == "label" else None
        signer = manifest_signer(settings, keys) if keys is not None else None
        watermark_key = b"" if keys is None or chosen.watermark == "off" else watermark_key_of(keys)
        watermark = watermark_of(chosen.watermark_method, watermark_key) if watermark_key else None
    except LabelError as error:
        raise SettingsError(f"label: {error}") from None
    return FileLabels(
        producer,
        image,
        audio,
        policy.text("label.text.zh"),
        signer,
        video,
        watermark,
        watermark_key,
        chosen.watermark == "required",
    )


def watermark_key_of(keys: Path) -> bytes:
    """The key of watermarks in the folder `keys`; empty where that is not the folder of a deployment.

    Raises `SettingsError` where the folder was made before there were watermarks.
    """
    path = keys / f"{WATERMARK}.key"
    if path.is_file():
        return path.read_bytes()
    if not (keys / "pseudonym.key").is_file():
        return b""
    raise SettingsError(
        f"label.watermark: {keys} has no key for watermarks; "
        f'run `dutybound keys new --watermark --home {keys.parent}`, or set it to "off"'
    )


def watermark_of(method: str, key: bytes) -> Watermark:
    """The method of that name under that key. Raises `LabelError` where there is none, or the key is damaged."""
    return Waves(key) if method == Waves.NAME else learned(method, key)


# The chain of Content Credentials.


@dataclass(frozen=True, slots=True)
class ChainFiles:
    """Where a data folder keeps the provider's own chain. `key` is secret, `root` is for verifiers."""

    key: Path
    chain: Path
    root: Path

    @classmethod
    def of(cls, keys: Path) -> ChainFiles:
        """The files of the folder `keys`."""
        return cls(keys / "c2pa.key.pem", keys / "c2pa.chain.pem", keys / "c2pa.root.pem")

    @property
    def found(self) -> tuple[Path, ...]:
        """Those that are there."""
        return tuple(path for path in (self.key, self.chain, self.root) if path.exists())

    def root_pem(self) -> str:
        """The root certificate, empty where there is no chain."""
        return self.root.read_text(encoding="ascii") if self.root.is_file() else ""

    @property
    def missing(self) -> tuple[Path, ...]:
        """Those that are away where another is there: half a chain."""
        found = self.found
        return tuple(path for path in (self.key, self.chain, self.root) if path not in found) if found else ()

    def expires_at(self) -> float | None:
        """When the signing certificate ends, in seconds since the epoch; None where there is none."""
        if not self.chain.is_file():
            return None
        try:
            leaf = x509.load_pem_x509_certificates(self.chain.read_bytes())[0]
        except (ValueError, IndexError):
            raise SettingsError(f"{self.chain} holds no certificate; restore it from a backup") from None
        return leaf.not_valid_after_utc.timestamp()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs, wherever the key lives: `sign` gets bytes and gives the signature as COSE wants it.

    `chain_pem` is the certificate and its intermediates, leaf first, without the root; `root_pem` the root that reading
    back must lead to, empty where that is not asked for.
    """

    sign: Callable[[bytes], bytes]
    algorithm: str
    chain_pem: str
    root_pem: str = ""


def signing_key(settings: Settings, keys: Path) -> SigningKey | None:
    """The key for Content Credentials; None where there is none. To be made after any fork.

    It is the one that `label.signer` names, `module:function` of an installed package: called without arguments, it
    gives a `SigningKey`, whose `sign` may ask a PKCS#11 module or a key service. Else it is the chain in the folder
    `keys`. Raises `SettingsError` where the function fails or a part of the chain is missing.
    """
    if settings.label.signer:
        return _named_key(settings.label.signer)
    files = _chain_files(keys)
    if files is None:
        return None
    sign = file_signer(files.key.read_bytes())
    return SigningKey(sign, "es256", files.chain.read_text(encoding="ascii"), files.root_pem())


def _named_key(name: str) -> SigningKey:
    module, _, function = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), function)()
    except Exception as error:  # somebody else's code: whatever it raises, there is no key
        raise SettingsError(
            f"label.signer: {name} gave no key ({type(error).__name__}); it must be module:function of an installed "
            f"package and give a gateway.label_files.SigningKey"
        ) from None
    if not isinstance(made, SigningKey):
        raise SettingsError(f"label.signer: {name} gave something else than a gateway.label_files.SigningKey")
    return made


def manifest_signer(settings: Settings, keys: Path) -> ManifestSigner | None:
    """What signs files, None where there is no key. To be made after any fork.

    Raises `SettingsError` as `signing_key`, `LabelError` where the key or its certificate cannot be used.
    """
    key = signing_key(settings, keys)
    if key is None:
        return None
    options = ManifestOptions(GENERATOR, __version__, key.root_pem)
    url = settings.label.timestamp_url
    return ManifestSigner(key.sign, key.algorithm, key.chain_pem, options, timestamp_url=url)


def text_signer(settings: Settings, keys: Path) -> TextSigner | None:
    """What signs texts, None where there is no key. Raises `SettingsError`."""
    key = signing_key(settings, keys)
    if key is None:
        return None
    try:
        return TextSigner(key.sign, key.algorithm, key.chain_pem, GENERATOR, __version__)
    except LabelError as error:
        raise SettingsError(f"label.text_manifest: {error}") from None


def _chain_files(keys: Path) -> ChainFiles | None:
    """The files of a whole chain. Raises `SettingsError` where a part of it is missing."""
    files = ChainFiles.of(keys)
    if not files.found:
        return None
    if files.missing:
        names = ", ".join(path.name for path in files.missing)
        raise SettingsError(f"{keys} has a part of a C2PA chain only: {names} missing; restore it, or remove the rest")
    return files


def write_chain(keys: Path, organisation: str, valid_days: int, clock: Callable[[], float]) -> ChainFiles:
    """Make a chain of certificates in the folder `keys`, the secret key last; an existing one is never replaced.

    `clock` gives seconds since the epoch. Raises `LabelError` for a name or a time that no certificate can have,
    `SettingsError` where there is a chain already.
    """
    files = ChainFiles.of(keys)
    if files.found:
        names = ", ".join(path.name for path in files.found)
        raise SettingsError(f"{keys} has {names} already; nothing was changed. To renew, move the old files away first")
    chain = new_chain(organisation[:_MOST_ORGANISATION_CHARS], valid_days, clock)
    _write_new(files.root, chain.root_pem, 0o444)
    _write_new(files.chain, chain.chain_pem, 0o444)
    _write_new(files.key, chain.key_pem, 0o400)
    return files


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def day_of(time_s: float) -> str:
    """The day of a time in seconds since the epoch, UTC, as people write it: `2026-11-21`."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")
