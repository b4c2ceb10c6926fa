# SPDX-License-Identifier: Apache-2.0
"""Content Credentials inside plain text: one signed C2PA manifest in variation selectors behind the last character.

Implements the C2PA technical specification 2.4, embedding into unstructured text (``C2PATextManifestWrapper``: U+FEFF,
then a variation selector for each byte of magic, version, length and manifest store), and as much of JUMBF
(ISO/IEC 19566-5), CBOR (RFC 8949) and COSE (RFC 9052) as such a manifest needs: the library for files cannot embed into
text, and its manifests are five times as large. What must hold:

* one manifest a text, and nothing behind it: the hash is that of the whole text, the wrapper left out;
* the text is in Unicode's form NFC: readers bring it into that form, and the places that the manifest names must be
  right before and after;
* the text itself does not change;
* what the key gives is a signature of the certificate's key, checked before the first text leaves.

A manifest costs about 8.6 kB of UTF-8 and 2,200 code points a text, which every client that sends the text back pays as
tokens. So it is for whoever asks for it, and the specification wants it only where nothing else can hold the manifest.
"""

from __future__ import annotations

import hashlib
import re
import struct
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from labeling.c2pa_manifest import SPEC_VERSION, TRAINED_ALGORITHMIC_MEDIA
from labeling.errors import LabelError, LabelNotVerified, UnsupportedFormat

_MAGIC: Final = b"C2PATXT\0"
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">8sBI")
_START: Final = "\ufeff"
_SELECTORS: Final = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_WRAPPER: Final = re.compile(f"{_START}([{_SELECTORS}]{{{_HEAD.size},}})")
_TO_SELECTOR: Final = [chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16) for byte in range(256)]
_MOST_ROUNDS: Final = 8
"""The length of the wrapper stands in the manifest inside the wrapper; it settles after two rounds."""

# Content types of JUMBF superboxes: four letters and a fixed rest.
_JUMBF: Final = bytes.fromhex("00110010800000AA00389B71")
_STORE, _MANIFEST, _ASSERTIONS, _CLAIM, _SIGNATURE, _CBOR = (
    name + _JUMBF for name in (b"c2pa", b"c2ma", b"c2as", b"c2cl", b"c2cs", b"cbor")
)

_ALGORITHMS: Final = {"es256": (-7, 32, hashes.SHA256), "es384": (-35, 48, hashes.SHA384), "ed25519": (-8, 32, None)}
"""COSE algorithm, bytes of one half of the signature, and its digest."""


def encoded(value: object) -> bytes:
    """``value`` in CBOR, in the order of its mappings: None, bool, int, bytes, str, lists and mappings of them."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _head(3, len(text)) + text
    if isinstance(value, Mapping):
        pairs = (encoded(key) + encoded(item) for key, item in value.items())
        return _head(5, len(value)) + b"".join(pairs)
    if isinstance(value, Sequence):
        return _head(4, len(value)) + b"".join(encoded(item) for item in value)
    raise LabelError(f"a manifest cannot hold a value of type {type(value).__name__}; use plain data")


def _head(kind: int, number: int) -> bytes:
    for limit, extra, form in ((24, 0, ""), (1 << 8, 24, ">B"), (1 << 16, 25, ">H"), (1 << 32, 26, ">I")):
        if number < limit:
            return bytes((kind << 5 | (extra or number),)) + (struct.pack(form, number) if form else b"")
    return bytes((kind << 5 | 27,)) + struct.pack(">Q", number)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _superbox(content_type: bytes, label: str, *boxes: bytes) -> bytes:
    description = content_type + b"\x03" + label.encode() + b"\0"
    return _box(b"jumb", _box(b"jumd", description) + b"".join(boxes))


def _reference(path: str, box: bytes) -> dict[str, object]:
    """A hashed URI of an assertion: the digest is of the superbox's content, its own head left out."""
    return {"url": f"self#jumbf={path}", "hash": hashlib.sha256(box[8:]).digest()}


class TextSigner:
    """Makes manifests for texts. Safe to share between threads.

    ``sign`` gets bytes and gives the signature (for ECDSA r and s, as COSE wants it); ``chain_pem`` is the certificate
    of the key and its intermediates, without the root. Raises :class:`LabelError` for an algorithm that is not one of
    es256, es384 and ed25519, and for a key that is not that of the certificate.
    """

    def __init__(
        self, sign: Callable[[bytes], bytes], algorithm: str, chain_pem: str, generator_name: str, version: str
    ) -> None:
        known = _ALGORITHMS.get(algorithm.lower())
        if known is None:
            raise LabelError(f"texts are signed with one of {', '.join(_ALGORITHMS)}; use such a key")
        self._algorithm, self._half_bytes, self._digest = known
        self._sign = sign
        self._generator = {"name": generator_name, "version": version, "specVersion": SPEC_VERSION}
        try:
            chain = x509.load_pem_x509_certificates(chain_pem.encode("ascii"))
        except (ValueError, UnicodeEncodeError):
            raise LabelError("the signing certificate cannot be read; give the chain in PEM, leaf first") from None
        certificates = [each.public_bytes(serialization.Encoding.DER) for each in chain]
        self._protected = encoded({1: self._algorithm, 33: certificates[0] if len(chain) == 1 else certificates})
        self._check_key(chain[0])

    def _check_key(self, leaf: x509.Certificate) -> None:
        probe = b"dutybound: a text that nobody reads"
        signature = self._sign(probe)
        key = leaf.public_key()
        try:
            if isinstance(key, ec.EllipticCurvePublicKey) and self._digest is not None:
                r, s = (int.from_bytes(half, "big") for half in _halves(signature, self._half_bytes))
                key.verify(encode_dss_signature(r, s), probe, ec.ECDSA(self._digest()))
            elif isinstance(key, ed25519.Ed25519PublicKey) and self._digest is None:
                key.verify(signature, probe)
            else:
                raise LabelError("the signing certificate is for another kind of key than the algorithm; give its own")
        except InvalidSignature:
            raise LabelNotVerified("the signing key is not that of the certificate; give the key of the leaf") from None

    def manifest(self, text: str, instance: UUID) -> str:
        """The wrapper that stands behind ``text``. ``instance`` names the manifest, such as by the record's id.

        Raises :class:`UnsupportedFormat` for a text that has a manifest already or is not in NFC, and
        :class:`LabelNotVerified` where the key gives no signature.
        """
        if _WRAPPER.search(text):
            raise UnsupportedFormat("the text has a manifest already; a text holds one at most")
        if not unicodedata.is_normalized("NFC", text):
            raise UnsupportedFormat(
                "the text is not in Unicode's form NFC, in which manifests bind texts; normalise it"
            )
        content = text.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(content).digest()
        length = 0
        for _ in range(_MOST_ROUNDS):
            store = self._store(len(content), length, digest, instance, lambda claim: bytes(2 * self._half_bytes))
            wanted = _padded_bytes(len(store))
            if wanted == length:
                break
            length = wanted
        return wrapped(self._store(len(content), length, digest, instance, self._signature), length)

    def _store(self, start: int, length: int, digest: bytes, instance: UUID, sign: Callable[[bytes], bytes]) -> bytes:
        name = f"urn:c2pa:{instance}"
        action = {"action": "c2pa.created", "digitalSourceType": TRAINED_ALGORITHMIC_MEDIA}
        data_hash = {
            "exclusions": [{"start": start, "length": length}],
            "name": "jumbf manifest",
            "alg": "sha256",
            "hash": digest,
            "pad": b"",
        }
        actions = {"actions": [action], "allActionsIncluded": True}
        boxes = {
            label: _superbox(_CBOR, label, _box(b"cbor", encoded(value)))
            for label, value in (("c2pa.actions.v2", actions), ("c2pa.hash.data", data_hash))
        }
        claim = encoded(
            {
                "instanceID": f"xmp:iid:{instance}",
                "claim_generator_info": self._generator,
                "signature": f"self#jumbf=/c2pa/{name}/c2pa.signature",
                "created_assertions": [_reference(f"c2pa.assertions/{label}", box) for label, box in boxes.items()],
                "dc:format": "text/plain",
                "alg": "sha256",
            }
        )
        return _superbox(
            _STORE,
            "c2pa",
            _superbox(
                _MANIFEST,
                name,
                _superbox(_ASSERTIONS, "c2pa.assertions", *boxes.values()),
                _superbox(_CLAIM, "c2pa.claim.v2", _box(b"cbor", claim)),
                _superbox(_SIGNATURE, "c2pa.signature", _box(b"cbor", b"\xd2" + self._cose(sign(claim)))),
            ),
        )

    def _cose(self, signature: bytes) -> bytes:
        return encoded([self._protected, {}, None, signature])

    def _signature(self, claim: bytes) -> bytes:
        signature = self._sign(encoded(["Signature1", self._protected, b"", claim]))
        _halves(signature, self._half_bytes)
        return signature


def _halves(signature: bytes, half_bytes: int) -> tuple[bytes, bytes]:
    if len(signature) != 2 * half_bytes:
        raise LabelNotVerified(
            f"the signing key gave {len(signature)} bytes where {2 * half_bytes} are expected; for ECDSA give r and s"
        )
    return signature[:half_bytes], signature[half_bytes:]


def _padded_bytes(store_bytes: int) -> int:
    """The length in UTF-8 that every wrapper of a manifest of that size can be filled up to: a selector has 3 bytes or
    4, by the value of the byte, and six more can always be made of both."""
    return len(_START.encode()) + 4 * (_HEAD.size + store_bytes) + 6


def wrapped(store: bytes, length: int) -> str:
    """The wrapper around a manifest store, filled up to ``length`` bytes of UTF-8."""
    payload = _HEAD.pack(_MAGIC, _VERSION, len(store)) + store
    wrapper = _START + "".join(map(_TO_SELECTOR.__getitem__, payload))
    gap = length - len(wrapper.encode())
    fours = next((count for count in range(gap // 4, -1, -1) if (gap - 4 * count) % 3 == 0), -1)
    if gap < 0 or fours < 0:
        raise LabelNotVerified("the manifest of a text is longer than was said in it; it must not be given out")
    return wrapper + _TO_SELECTOR[0] * ((gap - 4 * fours) // 3) + _TO_SELECTOR[255] * fours


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """A manifest store in a text, and the text without it."""

    store: bytes
    text: str


def find_manifest(text: str) -> FoundManifest | None:
    """The manifest of a text; None where it has none that can be read, or several."""
    found = list(_WRAPPER.finditer(text))
    if len(found) != 1:
        return None
    raw = bytes(
        ord(selector) - 0xFE00 if ord(selector) < 0xE0100 else ord(selector) - 0xE0100 + 16 for selector in found[0][1]
    )
    magic, version, size = _HEAD.unpack_from(raw)
    if magic != _MAGIC or version != _VERSION or len(raw) < _HEAD.size + size:
        return None
    return FoundManifest(raw[_HEAD.size : _HEAD.size + size], text[: found[0].start()] + text[found[0].end() :])


def without_manifests(text: str) -> str:
    """The text as people see it: wrappers left out, readable or not."""
    return _WRAPPER.sub("", text) if _START in text else text
