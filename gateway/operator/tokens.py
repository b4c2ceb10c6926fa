# SPDX-License-Identifier: Apache-2.0
"""Who may use the operator listener: tokens, roles, and what each role may do.

A token is `dbt_` and 192 random bits. Only its SHA-256 is kept: the token has full entropy, so a slow hash would add
nothing, and whoever reads the file cannot use it. The file is replaced as a whole and read again when it has changed,
so `dutybound token new` and `revoke` work on running servers.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableSequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

TOKEN_PREFIX: Final = "dbt_"
TOKEN_BYTES: Final = 24
LABEL_LENGTH: Final = 100
FILE_MODE: Final = 0o600


class Role(StrEnum):
    """Who a token speaks for."""

    OPERATOR = "operator"
    """Keeps the service running; sees numbers, no records."""
    OFFICER = "officer"
    """Answers complaints and handles incidents."""
    AUDITOR = "auditor"
    """Reads everything, changes nothing."""
    ADMIN = "admin"
    """All of it."""


class Permission(StrEnum):
    """What a request needs."""

    READ_VERSION = "version.read"
    READ_RECORDS = "records.read"
    READ_COMPLAINTS = "complaints.read"
    ANSWER_COMPLAINTS = "complaints.answer"
    READ_INCIDENTS = "incidents.read"
    RELOAD_FILTER = "filter.reload"
    KEEP_HOLDS = "holds.keep"
    ERASE = "erasures.request"
    READ_BODIES = "bodies.read"
    HANDLE_INCIDENTS = "incidents.write"
    PAUSE = "switches.write"
    READ_MEASURES = "measures.read"
    TAKE_MEASURES = "measures.write"
    LABEL_FILES = "files.label"


PERMISSIONS: Final[Mapping[Permission, frozenset[Role]]] = {
    Permission.READ_VERSION: frozenset(Role),
    Permission.READ_RECORDS: frozenset({Role.OFFICER, Role.AUDITOR, Role.ADMIN}),
    Permission.READ_INCIDENTS: frozenset({Role.OFFICER, Role.AUDITOR, Role.ADMIN}),
    Permission.HANDLE_INCIDENTS: frozenset({Role.OFFICER, Role.ADMIN}),
    Permission.LABEL_FILES: frozenset({Role.OPERATOR, Role.OFFICER, Role.ADMIN}),
    Permission.PAUSE: frozenset({Role.OPERATOR, Role.ADMIN}),
    Permission.READ_MEASURES: frozenset({Role.OFFICER, Role.AUDITOR, Role.ADMIN}),
    Permission.TAKE_MEASURES: frozenset({Role.OFFICER, Role.ADMIN}),
    Permission.READ_COMPLAINTS: frozenset({Role.OFFICER, Role.AUDITOR, Role.ADMIN}),
    Permission.RELOAD_FILTER: frozenset({Role.OFFICER, Role.ADMIN}),
    Permission.ANSWER_COMPLAINTS: frozenset({Role.OFFICER, Role.ADMIN}),
    Permission.KEEP_HOLDS: frozenset({Role.OFFICER, Role.ADMIN}),
    Permission.ERASE: frozenset({Role.OFFICER, Role.ADMIN}),
    Permission.READ_BODIES: frozenset({Role.OFFICER, Role.ADMIN}),
}


class TokenError(Exception):
    """The token file cannot be used, or a token cannot be made as asked; the message names the next step."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept about a token. `id` names it in lists and in records; `expires_at` is None where it never does.

    Times are seconds since the epoch; `digest` is the SHA-256 of the token in hex.
    """

    id: str
    role: Role
    label: str
    digest: str
    created_at: int
    expires_at: int | None = None

    def may(self, permission: Permission) -> bool:
        """Whether the role allows it."""
        return self.role in PERMISSIONS[permission]


class TokenStore:
    """The tokens in one file (JSON, mode 0600). Missing file: no tokens. Safe for threads and several processes."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._path = path
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def new(self, role: str, label: str = "", expires: float | None = None) -> str:
        """Make a token and return its text, which is shown once and kept nowhere.

        `expires` is in seconds since the epoch, None for never. Raises `TokenError` for an unknown role, an unfit
        label or an expiry in the past.
        """
        try:
            known = Role(role)
        except ValueError:
            raise TokenError(f"unknown role; expected one of {', '.join(Role)}") from None
        if len(label) > LABEL_LENGTH or not label.isprintable():
            raise TokenError(f"label: expected at most {LABEL_LENGTH} printable characters")
        now = int(self._clock())
        if expires is not None and expires <= now:
            raise TokenError("expires: expected a time in the future")
        text = TOKEN_PREFIX + _base32(self._random(TOKEN_BYTES))
        token = Token(
            id=_base32(self._random(5)),
            role=known,
            label=label,
            digest=_digest(text),
            created_at=now,
            expires_at=None if expires is None else int(expires),
        )
        with self._changing() as tokens:
            tokens.append(token)
        return text

    def revoke(self, token_id: str) -> bool:
        """Remove a token by its id; whether there was one."""
        with self._changing() as tokens:
            kept = [token for token in tokens if token.id != token_id]
            was_there = len(kept) != len(tokens)
            tokens[:] = kept
        return was_there

    def list(self) -> tuple[Token, ...]:
        """All tokens, oldest first, expired ones too. Raises `TokenError` where the file is damaged."""
        return self._current()

    def check(self, text: str) -> Token | None:
        """The token with this text, if it is known and has not expired.

        Every stored digest is compared, each in constant time, so that the time taken says nothing about a guess.
        """
        digest = _digest(text)
        found: Token | None = None
        for token in self._current():
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None or (found.expires_at is not None and self._clock() >= found.expires_at):
            return None
        return found

    def _current(self) -> tuple[Token, ...]:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return ()
        # A replaced file has another inode even where two changes fall into one tick of the clock.
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        with self._lock:
            if seen != self._seen:
                self._tokens = _parse(self._path.read_bytes(), self._path)
                self._seen = seen
            return self._tokens

    @contextlib.contextmanager
    def _changing(self) -> Iterator[MutableSequence[Token]]:
        """The tokens as a list that is written back at the end; one change at a time over all processes."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tokens = list(_parse(self._path.read_bytes(), self._path)) if self._path.exists() else []
            yield tokens
            _replace(self._path, _render(tokens))
        finally:
            os.close(lock)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"


def _base32(data: bytes) -> str:
    """Lower-case base32 (RFC 4648 alphabet, no padding): one word on every shell and in every mail client."""
    number = int.from_bytes(data, "big")
    length = (len(data) * 8 + 4) // 5
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(length)))


def _render(tokens: MutableSequence[Token]) -> bytes:
    entries = [
        {
            "id": token.id,
            "role": token.role.value,
            "label": token.label,
            "sha256": token.digest,
            "created": token.created_at,
            "expires": token.expires_at,
        }
        for token in tokens
    ]
    return orjson.dumps({"version": 1, "tokens": entries}, option=orjson.OPT_INDENT_2) + b"\n"


def _parse(content: bytes, path: Path) -> tuple[Token, ...]:
    try:
        document: Any = orjson.loads(content)
        if document["version"] != 1:
            raise ValueError("version")
        return tuple(
            Token(
                id=str(entry["id"]),
                role=Role(entry["role"]),
                label=str(entry["label"]),
                digest=_hex_digest(entry["sha256"]),
                created_at=int(entry["created"]),
                expires_at=None if entry["expires"] is None else int(entry["expires"]),
            )
            for entry in document["tokens"]
        )
    except (ValueError, KeyError, TypeError):
        raise TokenError(f"{path}: not a token file; restore it, or remove it and make new tokens") from None


def _hex_digest(value: object) -> str:
    if not isinstance(value, str) or len(bytes.fromhex(value)) != 32:
        raise ValueError("sha256")
    return value


def _replace(path: Path, content: bytes) -> None:
    """Write the whole file beside the old one, then rename: a reader sees the old or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
