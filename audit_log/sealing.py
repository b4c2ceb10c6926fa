# SPDX-License-Identifier: Apache-2.0
"""Sealed bodies: prompt and answer, encrypted beside the log so that they can be forgotten without breaking it.

A body is encrypted with AES-256-GCM under a fresh data key; the data key is wrapped by the key of its subject, and
that by the master key. The leaf names the hash of the ciphertext, the subject key's random id, and a commitment to
the data key, because AES-GCM alone would let somebody produce a second key that opens the same ciphertext to another
text. Destroying the wrapped subject key makes all bodies under it unreadable and changes no leaf.
"""

import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit_log.errors import VerificationError

_NONCE_BYTES = 12
_KEY_CONTEXT = b"dutybound subject key v1\x00"
_DATA_KEY_CONTEXT = b"dutybound data key v1\x00"
_BODY_CONTEXT = b"dutybound body v1\x00"


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A key that wraps the data keys of one subject's bodies; ``id`` is random and names nobody."""

    id: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class SealedBody:
    """A body as it is stored: which record, which subject key, the wrapped data key, the ciphertext, the commitment."""

    record_id: str
    key_id: str
    wrapped_key: bytes
    ciphertext: bytes
    commit: str

    def leaf_fields(self) -> dict[str, object]:
        """The ``body`` object of the leaf."""
        return {
            "sha256": sha256(self.ciphertext).hexdigest(),
            "bytes": str(len(self.ciphertext)),
            "key": self.key_id,
            "commit": self.commit,
        }


def new_subject_key(random: Callable[[int], bytes] = os.urandom) -> SubjectKey:
    """A fresh subject key."""
    return SubjectKey(f"k_{random(16).hex()}", random(32))


def wrap_subject_key(key: SubjectKey, master_key: bytes, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """The subject key, encrypted under the master key."""
    return _encrypt(master_key, key.secret, _KEY_CONTEXT + key.id.encode(), random)


def unwrap_subject_key(key_id: str, wrapped: bytes, master_key: bytes) -> SubjectKey:
    """The subject key again; raises VerificationError where it was changed or the master key is another one."""
    return SubjectKey(key_id, _decrypt(master_key, wrapped, _KEY_CONTEXT + key_id.encode(), "subject key"))


def seal_body(
    body: bytes, record_id: str, subject_key: SubjectKey, random: Callable[[int], bytes] = os.urandom
) -> SealedBody:
    """Encrypt a body for a record."""
    data_key = random(32)
    id_ = record_id.encode()
    return SealedBody(
        record_id=record_id,
        key_id=subject_key.id,
        wrapped_key=_encrypt(subject_key.secret, data_key, _DATA_KEY_CONTEXT + id_, random),
        ciphertext=_encrypt(data_key, body, _BODY_CONTEXT + id_, random),
        commit=_commitment(data_key, record_id),
    )


def open_body(sealed: SealedBody, subject_key: SubjectKey, leaf_body: dict[str, object] | None = None) -> bytes:
    """Decrypt a body; with ``leaf_body``, the ``body`` object of its leaf, check also that it is the one recorded.

    Raises VerificationError when the ciphertext, a key or the commitment is not the right one.
    """
    if leaf_body is not None and sealed.leaf_fields() != leaf_body:
        raise VerificationError("the stored body is not the one that its leaf names")
    return open_with_data_key(sealed, data_key_of(sealed, subject_key))


def data_key_of(sealed: SealedBody, subject_key: SubjectKey) -> bytes:
    """The key of one body, which opens that body alone; raises VerificationError."""
    return _decrypt(subject_key.secret, sealed.wrapped_key, _DATA_KEY_CONTEXT + sealed.record_id.encode(), "data key")


def open_with_data_key(sealed: SealedBody, data_key: bytes) -> bytes:
    """Decrypt a body with its own key; raises VerificationError where it is not the one that was committed to."""
    if not hmac.compare_digest(_commitment(data_key, sealed.record_id), sealed.commit):
        raise VerificationError("the data key is not the one that was committed to")
    return _decrypt(data_key, sealed.ciphertext, _BODY_CONTEXT + sealed.record_id.encode(), "body")


def _commitment(data_key: bytes, record_id: str) -> str:
    return hmac.digest(data_key, b"commit" + record_id.encode(), "sha256").hex()


def _encrypt(key: bytes, plain: bytes, context: bytes, random: Callable[[int], bytes]) -> bytes:
    nonce = random(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def _decrypt(key: bytes, data: bytes, context: bytes, what: str) -> bytes:
    try:
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        raise VerificationError(f"the {what} cannot be opened: it was changed, or the key is another one") from None
