# SPDX-License-Identifier: Apache-2.0
"""Delivers reports by webhook or mail, tries again until they arrive, and proves it (Interim Measures article 14).

A delivery is written into the outbox (one SQLite file) before anything is sent, and survives a restart. Each attempt is
made by one process alone; what is sent again carries the same idempotency key (`Idempotency-Key`, `Message-ID`), so the
receiver can tell. A webhook is signed: `Dutybound-Signature: t=<seconds>,v1=<hex>` where the second is the HMAC-SHA256
of `<seconds>.<body>` under the shared secret. What arrived, and what was given up, is a record with the digest of what
was sent. What must hold: nothing is forgotten and nothing is given up before `give_up_after_h`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import smtplib
import sqlite3
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from email.message import EmailMessage
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import orjson
import structlog

from audit_log.errors import AuditError
from gateway.own_records import OwnRecords
from gateway.settings import DeliverySettings, SettingsError, secret
from gateway.state.interfaces import StateError

log = structlog.get_logger("dutybound.delivery")

LOOK_EVERY_S = 5.0
FIRST_RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 900.0
_CLAIM_S: Final = 120.0
"""For how long a process has a delivery to itself: longer than any attempt takes."""


class DeliveryError(Exception):
    """A delivery cannot be made as asked, or the outbox cannot be used; the message says what to change."""


class Via(StrEnum):
    """The ways out."""

    WEBHOOK = "webhook"
    MAIL = "mail"


class State(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One report on its way. Times are seconds since the epoch; `problem` and `proof` are fixed words and codes."""

    id: str
    incident: str
    kind: str
    language: str
    via: Via
    actor: str
    created_at: float
    payload: bytes
    """What a webhook gets: JSON with the report and the document. A mail is made from it."""
    state: State = State.WAITING
    attempts: int = 0
    next_at: float = 0.0
    ended_at: float = 0.0
    problem: str = ""
    proof: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "via", Via(self.via))
        object.__setattr__(self, "state", State(self.state))

    @property
    def digest(self) -> str:
        """SHA-256 of what is sent."""
        return f"sha256:{hashlib.sha256(self.payload).hexdigest()}"


class NotDelivered(Exception):
    """An attempt failed. `problem` is a fixed word or a code, never what the other side wrote."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Channel(Protocol):
    """A way out."""

    async def send(self, delivery: Delivery, now: float) -> str:
        """Send it; gives the proof, a code of the receiver's. Raises `NotDelivered`."""
        ...


_COLUMNS: Final = tuple(field.name for field in fields(Delivery))
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS delivery (
    id TEXT PRIMARY KEY, incident TEXT NOT NULL, kind TEXT NOT NULL, language TEXT NOT NULL, via TEXT NOT NULL,
    actor TEXT NOT NULL, created_at REAL NOT NULL, payload BLOB NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL, next_at REAL NOT NULL, ended_at REAL NOT NULL, problem TEXT NOT NULL, proof TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS delivery_by_time ON delivery (state, next_at);
"""
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM delivery"
_VERSION: Final = 1


class Outbox:
    """Deliveries in one SQLite file, which several processes may use. Methods block and are safe for threads."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, readable by this user alone. Raises `DeliveryError`."""
        self._lock = threading.Lock()
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise DeliveryError(f"{path}: written by a newer version (schema {version}); use that one")
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        except (sqlite3.Error, OSError) as error:
            raise DeliveryError(f"{path}: not usable as an outbox ({type(error).__name__})") from None

    def put(self, delivery: Delivery) -> None:
        """Keep a new delivery; on disk when this returns. Raises `DeliveryError`."""
        marks = ", ".join("?" * len(_COLUMNS))
        self._execute(f"INSERT INTO delivery ({', '.join(_COLUMNS)}) VALUES ({marks})", astuple(delivery))

    def claim(self, now: float) -> Delivery | None:
        """A delivery that is due, for this process alone until it is settled or some minutes have passed."""
        rows = self._execute(
            "UPDATE delivery SET next_at = ?, attempts = attempts + 1 WHERE id = (SELECT id FROM delivery"
            " WHERE state = 'waiting' AND next_at <= ? ORDER BY next_at LIMIT 1) AND next_at <= ?"
            f" RETURNING {', '.join(_COLUMNS)}",
            (now + _CLAIM_S, now, now),
        )
        return Delivery(*rows[0]) if rows else None

    def settle(
        self, delivery_id: str, state: State, *, now: float, next_at: float = 0.0, problem: str = "", proof: str = ""
    ) -> None:
        """Keep how an attempt ended."""
        ended_at = 0.0 if state is State.WAITING else now
        self._execute(
            "UPDATE delivery SET state = ?, next_at = ?, ended_at = ?, problem = ?, proof = ? WHERE id = ?",
            (state, next_at, ended_at, problem, proof, delivery_id),
        )

    def get(self, delivery_id: str) -> Delivery | None:
        """One delivery."""
        rows = self._execute(f"{_SELECT} WHERE id = ?", (delivery_id,))
        return Delivery(*rows[0]) if rows else None

    def list(self, *, incident: str | None = None, limit: int = 100) -> Sequence[Delivery]:
        """Deliveries, the newest first."""
        where, values = ("WHERE incident = ?", [incident]) if incident is not None else ("", [])
        rows = self._execute(f"{_SELECT} {where} ORDER BY created_at DESC, id DESC LIMIT ?", (*values, limit))
        return [Delivery(*row) for row in rows]

    def counts(self) -> dict[State, int]:
        """How many there are in each state."""
        found = dict(self._execute("SELECT state, count(*) FROM delivery GROUP BY state", ()))
        return {state: int(found.get(state, 0)) for state in State}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _execute(self, statement: str, values: tuple[object, ...]) -> Sequence[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise DeliveryError(f"the outbox cannot be used: {type(error).__name__}") from None


class Webhook:
    """Posts JSON to one address, signed."""

    def __init__(
        self, url: str, key: bytes, timeout_s: float, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = url
        self._key = key
        self._client = httpx.AsyncClient(timeout=timeout_s, transport=transport, follow_redirects=False)

    async def send(self, delivery: Delivery, now: float) -> str:
        """See `Channel.send`: any 2xx is an arrival."""
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": delivery.id,
            "Dutybound-Signature": signature(self._key, delivery.payload, now),
        }
        try:
            answer = await self._client.post(self._url, content=delivery.payload, headers=headers)
        except httpx.HTTPError as error:
            raise NotDelivered(type(error).__name__) from None
        if not answer.is_success:
            raise NotDelivered(f"status {answer.status_code}")
        return f"status {answer.status_code}"

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


def signature(key: bytes, body: bytes, now: float) -> str:
    """The value of `Dutybound-Signature`."""
    seconds = str(int(now))
    digest = hmac.digest(key, seconds.encode() + b"." + body, "sha256").hex()
    return f"t={seconds},v1={digest}"


class Mail:
    """Sends a message with the document attached, by SMTP (RFC 5321)."""

    def __init__(self, settings: DeliverySettings, password: str) -> None:
        self._settings = settings
        self._password = password

    async def send(self, delivery: Delivery, now: float) -> str:
        """See `Channel.send`: the server took it."""
        try:
            await asyncio.to_thread(self._send, self.message(delivery))
        except smtplib.SMTPResponseException as error:
            raise NotDelivered(f"smtp {error.smtp_code}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(type(error).__name__) from None
        return "smtp 250"

    def message(self, delivery: Delivery) -> EmailMessage:
        """The message: the report as text, the document attached."""
        content: Any = orjson.loads(delivery.payload)
        report: Any = content["report"]
        message = EmailMessage()
        message["From"] = self._settings.mail_from
        message["To"] = ", ".join(self._settings.mail_to)
        message["Subject"] = report["title"]
        message["Message-ID"] = f"<{delivery.id}@{self._settings.mail_from.rpartition('@')[2]}>"
        message.set_content(_as_text(report))
        document: Any = content["document"]
        kind, _, sub_kind = str(document["media_type"]).partition("/")
        message.add_attachment(
            base64.b64decode(document["base64"]), maintype=kind, subtype=sub_kind, filename=str(document["name"])
        )
        return message

    def _send(self, message: EmailMessage) -> None:
        settings = self._settings
        context = ssl.create_default_context()
        if settings.mail_tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.mail_host, settings.mail_port, timeout=settings.timeout_s, context=context
            )
        else:
            server = smtplib.SMTP(settings.mail_host, settings.mail_port, timeout=settings.timeout_s)
        with server:
            if settings.mail_tls == "starttls":
                server.starttls(context=context)
            if settings.mail_user:
                server.login(settings.mail_user, self._password)
            server.send_message(message)

    async def close(self) -> None:
        """Nothing is kept open."""


def _as_text(report: Mapping[str, Any]) -> str:
    lines = [str(report["title"]), "", str(report["note"])]
    for section in report["sections"]:
        lines += ["", str(section["title"])]
        lines += [f"{row['name']}: {row['value']}" for row in section["fields"]]
    return "\n".join(lines) + "\n"


def channels_of(settings: DeliverySettings) -> dict[Via, Webhook | Mail]:
    """The ways out that the settings name. Raises `SettingsError` for a secret that is missing."""
    found: dict[Via, Webhook | Mail] = {}
    if settings.webhook_url:
        if not settings.webhook_secret_env:
            raise SettingsError("delivery.webhook_secret_env: a webhook is signed; name the variable with its secret")
        key = secret(settings.webhook_secret_env, "delivery.webhook_secret_env").get_secret_value()
        found[Via.WEBHOOK] = Webhook(settings.webhook_url, key.encode(), settings.timeout_s)
    if settings.mail_host:
        if not settings.mail_from or not settings.mail_to:
            raise SettingsError("delivery.mail_from, delivery.mail_to: a mail needs a sender and a receiver")
        password = ""
        if settings.mail_user:
            password = secret(settings.mail_password_env, "delivery.mail_password_env").get_secret_value()
        found[Via.MAIL] = Mail(settings, password)
    return found


class Courier:
    """Sends what is due. One for each process; a delivery is sent by one of them."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[Via, Channel],
        records: OwnRecords,
        clock: Callable[[], float],
        give_up_after_h: float,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._records = records
        self._clock = clock
        self._give_up_after_s = give_up_after_h * 3_600
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def ways(self) -> tuple[Via, ...]:
        """The ways out that are configured."""
        return tuple(self._channels)

    def start(self) -> None:
        """Send what is due from now on; calling it again does nothing."""
        if self._task is None and self._channels:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="courier")

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._something.set()

    async def close(self) -> None:
        """Send nothing more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                while await self.send_one():
                    pass
            except (DeliveryError, StateError, AuditError) as error:
                log.error("deliveries_wait", reason=str(error))
            self._something.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._something.wait()

    async def send_one(self) -> bool:
        """Try one delivery that is due; whether there was one. Raises `DeliveryError`."""
        delivery = await asyncio.to_thread(self._outbox.claim, self._clock())
        if delivery is None:
            return False
        channel = self._channels.get(delivery.via)
        try:
            if channel is None:
                raise NotDelivered("not configured")
            proof = await channel.send(delivery, self._clock())
        except NotDelivered as error:
            await self._failed(delivery, error.problem)
        else:
            await self._settle(delivery, State.DELIVERED, proof=proof)
            await self._records.tell(_record(delivery, "report_delivered", proof))
        return True

    async def _failed(self, delivery: Delivery, problem: str) -> None:
        now = self._clock()
        log.warning("report_not_delivered", delivery=delivery.id, attempts=delivery.attempts, problem=problem)
        if now - delivery.created_at >= self._give_up_after_s:
            await self._settle(delivery, State.FAILED, problem=problem)
            await self._records.tell(_record(delivery, "report_given_up", problem))
            return
        pause_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(delivery.attempts - 1, 20))
        await self._settle(delivery, State.WAITING, next_at=now + pause_s, problem=problem)

    async def _settle(self, delivery: Delivery, state: State, **how: Any) -> None:
        now = self._clock()
        await asyncio.to_thread(lambda: self._outbox.settle(delivery.id, state, now=now, **how))


def _record(delivery: Delivery, event: str, said: str) -> dict[str, object]:
    return {
        "type": "incident",
        "event": event,
        "incident": delivery.incident,
        "delivery": delivery.id,
        "report": delivery.kind,
        "via": delivery.via.value,
        "answer": said,
        "attempts": delivery.attempts,
        "sent": delivery.digest,
        "actor": delivery.actor,
    }


def new_delivery_id(entropy: Callable[[int], bytes]) -> str:
    """`dlv_` and 64 random bits."""
    return f"dlv_{entropy(8).hex()}"
