# SPDX-License-Identifier: Apache-2.0
"""The data folder of one deployment: made by `dutybound init`, never by starting.

A wrong path must not begin a second history, so `serve` refuses a folder that was not initialised. Keys are files that
only their owner can read.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from audit_log import AuditLog
from gateway.settings import CONFIG_NAME

KEY_BYTES = 32
_KEYS = ("pseudonym", "disclosure", "complaints")

_CONFIG = """\
# Dutybound. `dutybound config check` tests this file, `dutybound config show` prints the effective settings.

[service]
name = "Dutybound sample service"
provider = "Example provider"
# provider_code = ""            # the 27 characters of GB 45438 provider coding; your own, never invented

[policy]
use = ["cn"]

[upstream]
url = "sample"                  # or the model API's origin, for example "http://127.0.0.1:9100"

[disclosure]
mode = "announce"               # announce | acknowledge | interface

[content_filter]
terms = []                      # files beside this one: term <TAB> class <TAB> action

[redis]
url = ""                        # empty: counters of this machine
"""


class HomeError(Exception):
    """The data folder cannot be used; the message names the fact and the next step."""


class Home:
    """Where everything of one deployment lies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.audit = path / "audit"
        self.complaints = path / "complaints.db"
        self.incidents = path / "incidents.db"
        self.state = path / "state.db"
        self.tokens = path / "tokens.json"
        self.metrics = path / "metrics"

    @classmethod
    def create(cls, path: Path, origin: str = "") -> tuple[Home, str]:
        """A new data folder with keys, log and configuration; gives the log's verifier key too.

        Raises `HomeError` where one is there already, `AuditError` for an origin that cannot name a log.
        """
        home = cls(path)
        if home.audit.exists():
            raise HomeError(f"{path} is a data folder already; nothing was changed")
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = path / "keys"
        keys.mkdir(mode=0o700, exist_ok=True)
        for name in _KEYS:
            _write_new(keys / f"{name}.key", secrets.token_bytes(KEY_BYTES), 0o400)
        vkey = AuditLog.create(home.audit, origin or _default_origin())
        config = path / CONFIG_NAME
        if not config.exists():
            _write_new(config, _CONFIG.encode(), 0o600)
        return home, vkey

    @classmethod
    def open(cls, path: Path) -> Home:
        """The data folder at `path`. Raises `HomeError` where it was not initialised."""
        home = cls(path)
        missing = [name for name in _KEYS if not (path / "keys" / f"{name}.key").is_file()]
        if missing or not home.audit.is_dir():
            raise HomeError(f"{path} is not a data folder; run `dutybound init --home {path}` first")
        return home

    def key(self, name: str) -> bytes:
        """The secret key for one purpose. Raises `HomeError` where the file is damaged."""
        path = self.path / "keys" / f"{name}.key"
        data = path.read_bytes()
        if len(data) != KEY_BYTES:
            raise HomeError(f"{path} holds {len(data)} bytes, expected {KEY_BYTES}; restore it from a backup")
        return data

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder: two servers on one folder would each believe that the other's open streams had crashed."""
        descriptor = os.open(self.path / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HomeError(f"{self.path} is in use by another `dutybound serve`; use --workers for more") from None
            yield
        finally:
            os.close(descriptor)


def _default_origin() -> str:
    """A log's name is for ever, so it holds no machine's name: a random part and the half-year it began in."""
    now = datetime.fromtimestamp(time.time(), UTC)
    return f"dutybound.local/{secrets.token_hex(4)}/{now.year}h{1 if now.month <= 6 else 2}"


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
