# SPDX-License-Identifier: Apache-2.0
"""Files of the log's two secrets: the Ed25519 key that signs checkpoints, and the master key of sealed bodies.

Both are created once, mode 0400, and never overwritten. A key that others than its owner may read is refused.
"""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from audit_log.cosignature import CosignatureSigner
from audit_log.errors import LogNotInitialised, LogRefused, VerificationError
from audit_log.note import Verifier

MASTER_KEY_BYTES = 32


def create_log_key(path: Path, random: Callable[[int], bytes] = os.urandom) -> Ed25519PrivateKey:
    """Make a signing key and keep it as a raw 32-byte seed; raises LogRefused where the file exists."""
    seed = random(32)
    write_secret(path, seed)
    return Ed25519PrivateKey.from_private_bytes(seed)


def load_log_key(path: Path) -> Ed25519PrivateKey:
    """Read a signing key, a raw 32-byte seed or an unencrypted PKCS #8 PEM; raises LogNotInitialised or LogRefused."""
    raw = read_secret(path)
    if len(raw) == 32:
        return Ed25519PrivateKey.from_private_bytes(raw)
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise LogRefused(f"{path.name} is neither a 32-byte seed nor an Ed25519 PEM; restore the log's own key file")
    return key


def create_mldsa44_key(home: Path, origin: str, random: Callable[[int], bytes] = os.urandom) -> str:
    """Make a second key that signs every checkpoint too, and that quantum computers do not break (ML-DSA-44, FIPS 204).

    Its files are ``log.mldsa44`` and ``log.mldsa44.vkey``. Gives its verifier key; raises LogRefused where one exists.
    """
    seed = random(32)
    write_secret(home / "log.mldsa44", seed)
    vkey = CosignatureSigner(origin, MLDSA44PrivateKey.from_seed_bytes(seed), time.time).verifier.vkey
    write_once(home / "log.mldsa44.vkey", f"{vkey}\n".encode(), 0o644)
    return vkey


def load_mldsa44_key(home: Path) -> MLDSA44PrivateKey | None:
    """The second key of a log, None where it has none; raises LogRefused."""
    if not (home / "log.mldsa44").exists():
        return None
    seed = read_secret(home / "log.mldsa44")
    if len(seed) != 32:
        raise LogRefused(f"log.mldsa44 has {len(seed)} bytes; expected 32; restore the key file")
    return MLDSA44PrivateKey.from_seed_bytes(seed)


def create_master_key(path: Path, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """Make the master key of sealed bodies; raises LogRefused where the file exists."""
    key = random(MASTER_KEY_BYTES)
    write_secret(path, key)
    return key


def load_master_key(path: Path) -> bytes:
    """Read the master key; raises LogNotInitialised or LogRefused."""
    key = read_secret(path)
    if len(key) != MASTER_KEY_BYTES:
        raise LogRefused(f"{path.name} has {len(key)} bytes; expected {MASTER_KEY_BYTES}; restore the key file")
    return key


def read_vkeys(home: Path) -> tuple[Verifier, ...]:
    """All verifier keys that a log ever had, the newest last.

    ``log.vkey`` holds the key of today, ``retired.vkeys`` those before it, one a line. Raises LogNotInitialised or
    LogRefused.
    """
    try:
        lines = (home / "log.vkey").read_text().split()
        retired = home / "retired.vkeys"
        if retired.exists():
            lines = [*retired.read_text().split("\n"), *lines]
        return tuple(Verifier.from_vkey(line) for line in lines if line)
    except FileNotFoundError:
        raise LogNotInitialised("log.vkey is missing; is this the right folder, and was the log created?") from None
    except (OSError, UnicodeDecodeError, VerificationError):
        raise LogRefused("log.vkey or retired.vkeys cannot be read; restore the files from a backup") from None


def write_secret(path: Path, secret: bytes) -> None:
    """Create a file that only its owner may read, durable on return; raises LogRefused where it exists."""
    write_once(path, secret, 0o400)


def write_once(path: Path, content: bytes, mode: int) -> None:
    """Create a file, durable on return; raises LogRefused where it exists."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise LogRefused(f"{path.name} exists already and is never overwritten; move it away first") from None
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_secret(path: Path) -> bytes:
    """Read a file that only its owner may read; raises LogNotInitialised or LogRefused."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.read()
    except FileNotFoundError:
        raise LogNotInitialised(f"{path.name} is missing; is this the right folder, and was the log created?") from None
    except OSError as error:
        raise LogRefused(f"{path.name} cannot be read: {error.strerror}; check owner and mode") from None
    if mode & 0o077:
        raise LogRefused(f"{path.name} has mode {mode:04o}; expected 0400; run chmod 0400 on it")
    return secret
