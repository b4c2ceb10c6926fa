# SPDX-License-Identifier: Apache-2.0
"""Signed notes, the text format of c2sp.org/signed-note, with Ed25519 keys (signature type 0x01).

A note is text, a blank line, and one signature line a key. What must hold: a note opens only when a known key's
signature verifies; a known key's signature that does not verify rejects the whole note; lines of unknown keys are
ignored, so that witnesses and other algorithms can be added without breaking a reader. The parser accepts one
spelling of each note and raises nothing but VerificationError.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit_log.errors import VerificationError

ED25519 = b"\x01"
_DASH = "\u2014 "
_MAX_NOTE_BYTES = 1_000_000
_MAX_SIGNATURES = 100


def decode_base64(text: str) -> bytes:
    """Standard base64 (RFC 4648 section 4) in its one canonical spelling; raises VerificationError otherwise."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise VerificationError("text is not standard base64") from None
    if encode_base64(raw) != text:
        raise VerificationError("base64 text is not in its canonical spelling")
    return raw


def encode_base64(raw: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(raw).decode("ascii")


def check_key_name(name: str) -> None:
    """Raise VerificationError unless ``name`` may be a key name: not empty, no space, no plus, no control character."""
    if not name or "+" in name or any(char.isspace() or char < " " for char in name):
        raise VerificationError("a key name must be non-empty, without spaces, plus signs and control characters")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise VerificationError("a key name must be valid Unicode") from None


def key_id(name: str, public_key: bytes) -> bytes:
    """How a signature line names its key: the first four bytes of SHA-256(name || 0x0A || 0x01 || public key)."""
    return sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:4]


class NoteVerifier(Protocol):
    """A key that signature lines are checked with, of whatever signature type."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    @property
    def vkey(self) -> str: ...

    def verify(self, text: bytes, signature: bytes) -> None:
        """Raise VerificationError unless ``signature`` is this key's over the note text."""
        ...


class NoteSigner(Protocol):
    """A key that adds a signature line to a note."""

    @property
    def name(self) -> str: ...

    @property
    def verifier(self) -> NoteVerifier: ...

    def sign(self, text: bytes) -> bytes:
        """What stands behind the key id in the signature line over this note text."""
        ...


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key that notes are checked with, under its name."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        return key_id(self.name, self.public_key)

    @classmethod
    def from_vkey(cls, vkey: str) -> "Verifier":
        """Read ``name+keyid+base64(type || public key)``; raises VerificationError."""
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise VerificationError("a verifier key has three parts joined by plus signs: name+id+key")
        name, id_hex, encoded = parts
        check_key_name(name)
        raw = decode_base64(encoded)
        if raw[:1] != ED25519 or len(raw) != 33:
            raise VerificationError("the verifier key is not an Ed25519 key (type 1, 32 bytes)")
        verifier = cls(name, raw[1:])
        if verifier.key_id.hex() != id_hex:
            raise VerificationError("the verifier key's id does not belong to its name and key")
        return verifier

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(ED25519 + self.public_key)}"

    def verify(self, text: bytes, signature: bytes) -> None:
        """Raise VerificationError unless ``signature`` is this key's over ``text``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text)
        except (InvalidSignature, ValueError):
            raise VerificationError(f"the signature of key {self.key_id.hex()} does not verify") from None


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key that signs notes under a name."""

    name: str
    private_key: Ed25519PrivateKey

    def __post_init__(self) -> None:
        check_key_name(self.name)

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self.private_key.public_key().public_bytes_raw())

    def sign(self, text: bytes) -> bytes:
        """The 64-byte Ed25519 signature over ``text``."""
        return self.private_key.sign(text)


@dataclass(frozen=True, slots=True)
class Note:
    """An opened note: its text, ending in a newline, and the known keys whose signatures verified."""

    text: str
    verified_by: tuple[NoteVerifier, ...]
    unknown_signatures: int


def sign_note(text: str, signers: Sequence[NoteSigner]) -> bytes:
    """The signed note over ``text``, which must be a valid note text ending in a newline."""
    _check_text(text)
    raw = text.encode()
    return raw + b"\n" + b"".join(signature_line(raw, signer) for signer in signers)


def signature_line(text: bytes, signer: NoteSigner) -> bytes:
    """One more signature line for a note over ``text``, ending in a newline."""
    return f"{_DASH}{signer.name} {encode_base64(signer.verifier.key_id + signer.sign(text))}\n".encode()


def open_note(data: bytes, verifiers: Sequence[NoteVerifier]) -> Note:
    """Parse and check a signed note.

    Raises VerificationError when the note is malformed, when a known key's signature is wrong, or when no known
    key signed it. The caller decides whether the keys that did sign are enough.
    """
    if len(data) > _MAX_NOTE_BYTES:
        raise VerificationError(f"note has {len(data)} bytes; at most {_MAX_NOTE_BYTES} are read")
    try:
        note = data.decode()
    except UnicodeDecodeError:
        raise VerificationError("note is not valid UTF-8") from None
    split = note.rfind("\n\n")
    if split < 0:
        raise VerificationError("note has no blank line before its signatures")
    text, tail = note[: split + 1], note[split + 2 :]
    _check_text(text)
    if not tail.endswith("\n"):
        raise VerificationError("note has no signature line, or does not end in a newline")
    lines = tail[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise VerificationError(f"note has {len(lines)} signatures; at most {_MAX_SIGNATURES} are read")
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    raw_text = text.encode()
    verified: dict[tuple[str, bytes], NoteVerifier] = {}
    unknown = 0
    for line in lines:
        name, id_, signature = _signature_line(line)
        verifier = known.get((name, id_))
        if verifier is None:
            unknown += 1
            continue
        verifier.verify(raw_text, signature)
        verified[name, id_] = verifier
    if not verified:
        raise VerificationError("no known key signed this note")
    return Note(text, tuple(verified.values()), unknown)


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    if any(char < " " for char in line):
        raise VerificationError("signature line holds a control character")
    if not line.startswith(_DASH):
        raise VerificationError("signature line does not start with an em dash and a space")
    name, space, encoded = line[len(_DASH) :].partition(" ")
    if not space:
        raise VerificationError("signature line has no signature")
    check_key_name(name)
    raw = decode_base64(encoded)
    if len(raw) < 5:
        raise VerificationError("signature is shorter than a key id and one byte")
    return name, raw[:4], raw[4:]


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise VerificationError("note text does not end in a newline")
    if any(char < " " and char != "\n" for char in text):
        raise VerificationError("note text holds a control character")
