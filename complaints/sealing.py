# SPDX-License-Identifier: Apache-2.0
"""Keeps what people write unreadable at rest (PIPL 个人信息保护法 art. 51: encryption), and secrets uncopied.

Words are sealed with AES-256-GCM, bound by the associated data to receipt, event and field: a sealed text moved to
another place does not open. Secrets are kept as HMAC-SHA-256 under a separate key, bound to their receipt; having 140
random bits they need no slow hash. Both keys and the key's own fingerprint come from one master key by HKDF-SHA-256.
"""

import hashlib
import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from complaints.errors import Invalid, WrongKey

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORM = b"\x01"  # first byte of a sealed text: AES-256-GCM, 12-byte nonce, tag at the end


class Vault:
    """Seals and opens the desk's texts. `key` is 32 secret bytes; `random_bytes(n)` must be fit for cryptography."""

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        if len(key) != KEY_BYTES:
            raise Invalid("key", f"expected {KEY_BYTES} bytes")
        self._random_bytes = random_bytes
        self._cipher = AESGCM(_derive(key, b"text"))
        self._secret_key = _derive(key, b"secret")
        self.fingerprint = _derive(key, b"fingerprint")
        """32 bytes that tell keys apart and reveal nothing of them."""

    def seal(self, text: str, receipt: str, seq: int, field: str) -> bytes:
        """The text as bytes that only this key opens, and only for this place."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _FORM + nonce + self._cipher.encrypt(nonce, text.encode(), _place(receipt, seq, field))

    def open(self, sealed: bytes, receipt: str, seq: int, field: str) -> str:
        """What was sealed. Raises `WrongKey` for another key, an altered text or another place."""
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _FORM or len(nonce) != _NONCE_BYTES:
            raise WrongKey("a sealed text has no known form; restore the store from its backup")
        try:
            return self._cipher.decrypt(nonce, body, _place(receipt, seq, field)).decode()
        except InvalidTag:
            raise WrongKey("a sealed text does not open: wrong key, or altered; restore key or store") from None

    def secret_hash(self, receipt: str, secret: str) -> bytes:
        """What is kept of a complainant's secret, 32 bytes."""
        return hmac.digest(self._secret_key, f"{receipt}\n{secret}".encode(), hashlib.sha256)

    def is_secret(self, kept_hash: bytes, receipt: str, secret: str) -> bool:
        """Whether this is the secret the hash was kept of, in time that does not depend on where they differ."""
        return hmac.compare_digest(kept_hash, self.secret_hash(receipt, secret))


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=b"dutybound complaints v1 " + purpose).derive(key)


def _place(receipt: str, seq: int, field: str) -> bytes:
    return f"{receipt}\n{seq}\n{field}".encode()
