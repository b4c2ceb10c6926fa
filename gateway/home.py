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

from audit_log.place import Place
from gateway.master_key import key_source
from gateway.settings import CONFIG_NAME, Audit

KEY_BYTES = 32
_KEYS = ("pseudonym", "disclosure", "complaints")
WATERMARK = "watermark"
"""The key of invisible watermarks. Data folders made before there were any have none."""

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

[audit]
url = "{audit_url}"             # empty: the log lies in this folder; or "postgresql://..."
"""


class HomeError(Exception):
    """The data folder cannot be used; the message names the fact and the next step."""


class Home:
    """Where everything of one deployment lies."""

    def __init__(self, path: Path, audit: Audit | None = None) -> None:
        self.path = path
        self._audit_settings = audit or Audit()
        self.audit = path / "audit"
        self.complaints = path / "complaints.db"
        self.incidents = path / "incidents.db"
        self.state = path / "state.db"
        self.orders = path / "orders.db"
        self.outbox = path / "outbox.db"
        self.tokens = path / "tokens.json"
        self.metrics = path / "metrics"
        self.media = path / "media"
        self.fingerprints = path / "fingerprints.db"

    @classmethod
    def create(cls, path: Path, origin: str = "", audit_url: str = "") -> tuple[Home, str]:
        """A new data folder with keys, log and configuration; gives the log's verifier key too.

        `audit_url`: the PostgreSQL server that has the log. Raises `HomeError` where a data folder is there already,
        `AuditError` for an origin that cannot name a log and for a server that is away or has a log already.
        """
        home = cls(path, Audit(url=audit_url))
        if home.audit.exists():
            raise HomeError(f"{path} is a data folder already; nothing was changed")
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        vkey = home.place().create(origin or default_origin())
        keys = path / "keys"
        keys.mkdir(mode=0o700, exist_ok=True)
        for name in (*_KEYS, WATERMARK):
            _write_new(keys / f"{name}.key", secrets.token_bytes(KEY_BYTES), 0o400)
        config = path / CONFIG_NAME
        if not config.exists():
            _write_new(config, _CONFIG.replace("{audit_url}", audit_url).encode(), 0o600)
        return home, vkey

    @classmethod
    def open(cls, path: Path, audit: Audit | None = None) -> Home:
        """The data folder at `path`; `audit` are the settings of its log, without any those of a log in the folder.

        Raises `HomeError` where it was not initialised.
        """
        home = cls(path, audit)
        missing = [name for name in _KEYS if not (path / "keys" / f"{name}.key").is_file()]
        if missing or not home.audit.is_dir():
            raise HomeError(f"{path} is not a data folder; run `dutybound init --home {path}` first")
        return home

    def place(self) -> Place:
        """Where the settings say that the log lies; its keys are in this folder in any case."""
        audit = self._audit_settings
        return Place(
            self.audit,
            audit.url,
            audit.schema_name,
            key_source(audit.master_key),
            audit.spool_mb << 20,
            audit.spool_s,
        )

    def key(self, name: str) -> bytes:
        """The secret key for one purpose. Raises `HomeError` where the file is damaged."""
        path = self.path / "keys" / f"{name}.key"
        data = path.read_bytes()
        if len(data) != KEY_BYTES:
            raise HomeError(f"{path} holds {len(data)} bytes, expected {KEY_BYTES}; restore it from a backup")
        return data

    def watermark_key(self) -> bytes:
        """The key of invisible watermarks, empty where the folder has none. Raises `HomeError` where it is damaged."""
        return self.key(WATERMARK) if (self.path / "keys" / f"{WATERMARK}.key").is_file() else b""

    def make_watermark_key(self) -> Path:
        """Make that key. Raises `HomeError` where there is one: files that were marked with it would be lost."""
        path = self.path / "keys" / f"{WATERMARK}.key"
        if path.exists():
            raise HomeError(f"{path} is there already; nothing was changed: marks made with it are read with it alone")
        _write_new(path, secrets.token_bytes(KEY_BYTES), 0o400)
        return path

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


def default_origin() -> str:
    """A log's name is for ever, so it holds no machine's name: a random part and the half-year it began in."""
    now = datetime.fromtimestamp(time.time(), UTC)
    return f"dutybound.local/{secrets.token_hex(4)}/{now.year}h{1 if now.month <= 6 else 2}"


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
