# SPDX-License-Identifier: Apache-2.0
"""Cosignatures, c2sp.org/tlog-cosignature: somebody says that a checkpoint continues what they saw before.

Two types: Ed25519 (signature type 0x04) and ML-DSA-44 (FIPS 204, type 0x06), which quantum computers do not break and
which the specification prefers. A log may add an ML-DSA-44 line of its own under its origin's name; readers that do
not know the type ignore it. What must hold: a verifier raises nothing but VerificationError.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit_log.checkpoint import parse_checkpoint
from audit_log.errors import VerificationError
from audit_log.note import (
    ED25519,
    NoteSigner,
    NoteVerifier,
    Verifier,
    check_key_name,
    decode_base64,
    encode_base64,
    signature_line,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

ED25519_COSIGNATURE = b"\x04"
MLDSA44_COSIGNATURE = b"\x06"
_KEY_BYTES = {ED25519_COSIGNATURE: 32, MLDSA44_COSIGNATURE: 1312}
_SIGNATURE_BYTES = {ED25519_COSIGNATURE: 64, MLDSA44_COSIGNATURE: 2420}
_TIME_BYTES = 8
_MAX_TIME_S = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class CosignatureVerifier:
    """A cosigner's public key under its name; ``kind`` is the signature type byte."""

    name: str
    kind: bytes
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + self.kind + self.public_key).digest()[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(self.kind + self.public_key)}"

    def verify(self, text: bytes, signature: bytes) -> None:
        """Raise VerificationError unless ``signature`` is this cosigner's over the checkpoint ``text``."""
        time_s = cosigned_at(self.kind, signature)
        message = _message(self.kind, self.name, time_s, text)
        try:
            if self.kind == ED25519_COSIGNATURE:
                Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature[_TIME_BYTES:], message)
            else:
                _verify_mldsa44(self.public_key, signature[_TIME_BYTES:], message)
        except (InvalidSignature, ValueError):
            raise VerificationError(f"the cosignature of key {self.key_id.hex()} does not verify") from None


@dataclass(frozen=True, slots=True)
class CosignatureSigner:
    """A cosigner's private key; ``clock`` gives seconds since the epoch."""

    name: str
    private_key: "Ed25519PrivateKey | MLDSA44PrivateKey"
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.name.encode()) > 255:
            raise VerificationError("the name of a cosigner has at most 255 bytes")

    @property
    def verifier(self) -> CosignatureVerifier:
        kind = ED25519_COSIGNATURE if isinstance(self.private_key, Ed25519PrivateKey) else MLDSA44_COSIGNATURE
        return CosignatureVerifier(self.name, kind, self.private_key.public_key().public_bytes_raw())

    def sign(self, text: bytes) -> bytes:
        """The timestamped signature over a checkpoint's text."""
        time_s = int(self.clock())
        message = _message(self.verifier.kind, self.name, time_s, text)
        return time_s.to_bytes(_TIME_BYTES, "big") + self.private_key.sign(message)


def parse_vkey(vkey: str) -> NoteVerifier:
    """Read a verifier key of any type that is known here; raises VerificationError."""
    parts = vkey.split("+", 2)
    if len(parts) == 3:
        raw = decode_base64(parts[2])
        kind, public_key = raw[:1], raw[1:]
        if kind in _KEY_BYTES and len(public_key) == _KEY_BYTES[kind]:
            check_key_name(parts[0])
            verifier = CosignatureVerifier(parts[0], kind, public_key)
            if verifier.key_id.hex() != parts[1]:
                raise VerificationError("the verifier key's id does not belong to its name and key")
            return verifier
        if kind != ED25519:
            raise VerificationError("the verifier key is of a type that is not known here, or of a wrong length")
    return Verifier.from_vkey(vkey)


def cosign(note: bytes, signer: NoteSigner) -> bytes:
    """The signed note with one more signature line at its end."""
    text, blank, _ = note.partition(b"\n\n")
    if not blank:
        raise VerificationError("note has no blank line before its signatures")
    return note + signature_line(text + b"\n", signer)


def cosigned_at(kind: bytes, signature: bytes) -> int:
    """Seconds since the epoch that a cosignature states; raises VerificationError for a malformed one."""
    if len(signature) != _TIME_BYTES + _SIGNATURE_BYTES[kind]:
        raise VerificationError(f"a cosignature has {len(signature)} bytes; expected {8 + _SIGNATURE_BYTES[kind]}")
    time_s = int.from_bytes(signature[:_TIME_BYTES], "big")
    if time_s > _MAX_TIME_S:
        raise VerificationError("the time of a cosignature does not fit in 63 bits")
    return time_s


def _message(kind: bytes, name: str, time_s: int, text: bytes) -> bytes:
    if kind == ED25519_COSIGNATURE:
        return b"cosignature/v1\ntime %d\n" % time_s + text
    try:
        checkpoint = parse_checkpoint(text.decode())
    except UnicodeDecodeError:
        raise VerificationError("checkpoint is not valid UTF-8") from None
    cosigner, origin = name.encode(), checkpoint.origin.encode()
    if len(cosigner) > 255 or len(origin) > 255:
        raise VerificationError("the name of a cosigner or of a log has more than 255 bytes")
    return b"".join(
        (
            b"subtree/v1\n\x00",
            bytes([len(cosigner)]),
            cosigner,
            time_s.to_bytes(8, "big"),
            bytes([len(origin)]),
            origin,
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def _verify_mldsa44(public_key: bytes, signature: bytes, message: bytes) -> None:
    # Imported here: an older ``cryptography`` does not have it, and most logs do without.
    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
    except ImportError:
        raise VerificationError("this version of cryptography cannot check ML-DSA-44; install a newer one") from None
    MLDSA44PublicKey.from_public_bytes(public_key).verify(signature, message)
