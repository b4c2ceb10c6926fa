# SPDX-License-Identifier: Apache-2.0
"""Labelled files that are served by an address of ours, for a time: one folder that all workers share.

An answer that named its picture by an address names ours after labelling (Labeling Measures articles 4 and 5). What
must hold:

- whoever does not have the address learns nothing: a token has 192 bits, there is no listing, and the folder keeps
  neither tokens nor readable files. The name on the disk is a digest of the token, and the key of a file (AES-256-GCM)
  is derived from the token and from nothing else;
- a file is whole or not there: it is written under another name and renamed;
- what has expired is not given out, and is deleted within a minute of the next sweep;
- the folder has a size; where it is full, nothing is served rather than something early deleted;
- with each file stands the record of the exchange that made it: what was taken down under that record
  (`gateway.withheld`) is not given out, though it still lies there.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import struct
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PATH: Final = "/duty/media"
TOKEN: Final = r"[A-Za-z0-9_-]{32}"
"""How a token looks, as a regular expression."""

_TOKEN_BYTES: Final = 24
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_HEAD: Final = struct.Struct(">Q")
"""When the file expires, in whole seconds since the epoch."""
_SWEEP_EVERY_S: Final = 60.0
_UNFINISHED: Final = ".new"
_UNFINISHED_S: Final = 3_600.0
_FILE = re.compile(r"[0-9a-f]{64}")


class MediaStoreError(Exception):
    """A file could not be kept; nothing of it may be named in an answer."""


class MediumWithheld(MediaStoreError):
    """The file is there, and was taken down: nobody is given it."""


@dataclass(frozen=True, slots=True)
class StoredMedium:
    """A file that is still served. `expires_at` is in seconds since the epoch."""

    data: bytes
    mime: str
    expires_at: float


class MediaStore:
    """The folder. Safe to share between threads and processes; every method blocks on the disk."""

    def __init__(
        self,
        folder: Path,
        keep_s: float,
        most_bytes: int,
        clock: Callable[[], float],
        random: Callable[[int], bytes] = os.urandom,
        is_withheld: Callable[[str], bool] = lambda record_id: False,
    ) -> None:
        """`most_bytes` bounds all files together. The folder is made by the first file. `is_withheld` says whether the
        output of the exchange with that record was taken down."""
        self._folder = folder
        self._keep_s = keep_s
        self._most_bytes = most_bytes
        self._clock = clock
        self._random = random
        self._is_withheld = is_withheld
        self._swept_at = 0.0

    def put(self, data: bytes, mime: str, name: bytes | None = None, record_id: str = "") -> str:
        """Keep a labelled file that the exchange with that record made; gives its token.

        The same `name` gives the same token, so that what is asked for again is not kept twice; without one the token
        is random. Raises `MediaStoreError` where there is no room, `OSError` where the disk fails.
        """
        token = self.token_of(name) if name is not None else _encoded(self._random(_TOKEN_BYTES))
        if self._clock() - self._swept_at >= _SWEEP_EVERY_S:
            self.sweep()
        expires_at = int(self._clock() + self._keep_s) + 1
        head = _HEAD.pack(expires_at)
        nonce = self._random(_NONCE_BYTES)
        sealed = AESGCM(_key_of(token)).encrypt(nonce, f"{mime} {record_id}\n".encode("ascii") + data, head)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._used_bytes() + len(sealed) > self._most_bytes:
            raise MediaStoreError("the folder of media that are served by address is full; see label.link_store_bytes")
        _write_whole(self._folder, _name_of(token), head + nonce + sealed)
        return token

    def get(self, token: str) -> StoredMedium | None:
        """The file, or None where there is none, it has expired, or somebody changed it on the disk. Raises
        `MediumWithheld`."""
        if not re.fullmatch(TOKEN, token):
            return None
        try:
            raw = (self._folder / _name_of(token)).read_bytes()
        except OSError:
            return None
        if len(raw) < _HEAD.size + _NONCE_BYTES:
            return None
        head, nonce, sealed = raw[: _HEAD.size], raw[_HEAD.size :][:_NONCE_BYTES], raw[_HEAD.size + _NONCE_BYTES :]
        expires_at = _HEAD.unpack(head)[0]
        if expires_at <= self._clock():
            return None
        try:
            opened = AESGCM(_key_of(token)).decrypt(nonce, sealed, head)
        except InvalidTag:
            return None
        first, _, data = opened.partition(b"\n")
        mime, _, record_id = first.decode("ascii").rpartition(" ")
        if record_id and self._is_withheld(record_id):
            raise MediumWithheld("the file was taken down")
        return StoredMedium(data, mime, float(expires_at))

    def token_of(self, name: bytes) -> str:
        """The token of a file with a name. Nobody outside can compute it: it depends on a key of the folder."""
        return _encoded(hmac.digest(self._key(), name, "sha256")[:_TOKEN_BYTES])

    def claim(self, name: bytes, for_s: float) -> bool:
        """Whether the caller is the one who may do the work of that name; nobody else is told so for `for_s` seconds.

        The claim of a process that died ends by its time; `release` ends it early.
        """
        path = self._claim_path(name)
        try:
            if path.stat().st_mtime + for_s > self._clock():
                return False
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        os.utime(path, (self._clock(), self._clock()))
        return True

    def is_claimed(self, name: bytes, for_s: float) -> bool:
        """Whether somebody is at work on that name."""
        try:
            return self._claim_path(name).stat().st_mtime + for_s > self._clock()
        except FileNotFoundError:
            return False

    def release(self, name: bytes) -> None:
        """The work of that name is done, or was given up."""
        self._claim_path(name).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Delete what has expired and what was never finished; gives how many files that were."""
        self._swept_at = now = self._clock()
        gone = 0
        for entry in self._entries():
            if _FILE.fullmatch(entry.name):
                is_over = _expires_at(entry.path) <= now
            else:
                is_over = entry.name.endswith(_UNFINISHED) and entry.stat().st_mtime + _UNFINISHED_S < now
            if is_over:
                with contextlib.suppress(FileNotFoundError):  # another worker was first
                    os.unlink(entry.path)
                    gone += 1
        return gone

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._folder) as entries:
                return list(entries)
        except FileNotFoundError:
            return []

    def _used_bytes(self) -> int:
        used = 0
        for entry in self._entries():
            with contextlib.suppress(FileNotFoundError):
                used += entry.stat().st_size
        return used

    def _claim_path(self, name: bytes) -> Path:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return self._folder / f"{_name_of(self.token_of(b'claim ' + name))}.work{_UNFINISHED}"

    def _key(self) -> bytes:
        """The key of the folder, made by whoever needs it first: losing it only forgets what was labelled before."""
        path = self._folder / "names.key"
        for _ in range(2):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                self._folder.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                _write_whole(self._folder, path.name, self._random(_KEY_BYTES), is_new=True)
        return path.read_bytes()


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode("ascii")


def _name_of(token: str) -> str:
    return hashlib.sha256(b"dutybound media name\0" + token.encode("ascii")).hexdigest()


def _key_of(token: str) -> bytes:
    return hashlib.sha256(b"dutybound media key\0" + token.encode("ascii")).digest()


def _expires_at(path: str) -> float:
    """When the file at `path` expires; one that says nothing has expired."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD.size)
    except FileNotFoundError:
        return float("inf")
    return float(_HEAD.unpack(head)[0]) if len(head) == _HEAD.size else 0.0


def _write_whole(folder: Path, name: str, data: bytes, *, is_new: bool = False) -> None:
    """Write a file so that it is there whole or not at all. Raises `FileExistsError` where it must be a new one."""
    descriptor, made = tempfile.mkstemp(suffix=_UNFINISHED, dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            os.link(made, folder / name)
        else:
            os.replace(made, folder / name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made)
