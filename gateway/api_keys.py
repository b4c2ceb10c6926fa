# SPDX-License-Identifier: Apache-2.0
"""The gateway's own API keys: which tenant asks, and how much it may ask.

A key is `dbk_` and 192 random bits. It stands where a wire carries its key for the model (`authorization: Bearer`,
`x-api-key`, `x-goog-api-key`, `api-key`), so a client's SDK needs no change. A key says which tenant asks and nothing
about a person: that takes a signed token, and a token of another tenant is refused beside it.

What must hold: only a keyed hash of a key is kept, so whoever reads the store can neither use nor test one; a key is a
standing order, so a new one and a revocation hold in every process at once; quotas are counted atomically over all
processes; a key never leaves for the model. Who sends no key of ours pays for a look at the names of the headers.

Tokens of an answer are known when it has ended: of a day's tokens, requests that run at the same time may use more by
as much as they bring. Where the model does not say how many there were, each character counts as one.
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

import orjson

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import TENANT_NAME, Exchange
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.own_records import OwnRecords
from gateway.standing import Standing
from gateway.state.interfaces import State
from gateway.state.orders import Order

DUTY = "quotas"
SHELF = "apikey"
PREFIX: Final = "dbk_"
KEY_BYTES: Final = 24
KEY_HEADERS: Final = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"})
"""Where the wires carry a client's key."""

MOST_KEY_CHARS = 200
MOST_LABEL_CHARS = 100
MOST_PER_MINUTE = 1_000_000
MOST_TOKENS_PER_DAY = 1_000_000_000_000

_MARK = PREFIX.encode()
_BEARER = b"bearer "
_MINUTE_S = 60
_KEPT_S = 2 * 86_400
"""How long a day's count is kept: longer than any day is, so that it cannot begin anew within one."""


class ApiKeyError(Exception):
    """A key cannot be made or ended as asked; the message names the field and the next step."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept about a key. `digest` is its keyed hash in hex; `requests_per_minute` and `tokens_per_day` of 0 are
    no limit. Times are seconds since the epoch, `expires_at` 0 for never."""

    id: str
    tenant: str
    digest: str
    created_at: float
    label: str = ""
    requests_per_minute: int = 0
    tokens_per_day: int = 0
    expires_at: float = 0.0

    def __post_init__(self) -> None:
        if TENANT_NAME.fullmatch(self.tenant) is None:
            raise ApiKeyError("tenant: expected 1 to 64 letters, digits, dots, underscores and hyphens")
        if len(self.label) > MOST_LABEL_CHARS or not self.label.isprintable():
            raise ApiKeyError(f"label: expected at most {MOST_LABEL_CHARS} printable characters")
        if not 0 <= self.requests_per_minute <= MOST_PER_MINUTE:
            raise ApiKeyError(f"rpm: expected 0 (no limit) to {MOST_PER_MINUTE}")
        if not 0 <= self.tokens_per_day <= MOST_TOKENS_PER_DAY:
            raise ApiKeyError(f"tokens-per-day: expected 0 (no limit) to {MOST_TOKENS_PER_DAY}")
        if self.expires_at and self.expires_at <= self.created_at:
            raise ApiKeyError("expires: expected a time in the future")

    def to_json(self) -> str:
        """As the order keeps it."""
        return orjson.dumps(asdict(self)).decode()

    def as_record(self, event: str, actor: str) -> dict[str, object]:
        """The record of a key that was made or revoked; the label, which may name a person, goes into the sealed
        body."""
        record: dict[str, object] = {
            "type": "config",
            "event": event,
            "api_key": self.id,
            "tenant": self.tenant,
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_day": self.tokens_per_day,
            "expires_s": int(self.expires_at) or None,
            "actor": actor,
        }
        return record | ({"sealed": {"label": self.label}} if self.label else {})


_FIELDS = tuple(field.name for field in fields(ApiKey))


def own_key(value: bytes) -> str:
    """The key of ours in the value of a key header; empty where it holds none."""
    if _MARK not in value:
        return ""
    text = value.strip()
    if text[: len(_BEARER)].lower() == _BEARER:
        text = text[len(_BEARER) :].strip()
    return text.decode("latin-1") if text.startswith(_MARK) else ""


class ApiKeys:
    """The keys in force, and their quotas. The stage `quotas` of the pipeline."""

    def __init__(
        self, standing: Standing, state: State | None, secret: bytes, zone: tzinfo, entropy: Callable[[int], bytes]
    ) -> None:
        """`secret` keys the hashes, 32 bytes or more, the same in all processes and replicas; `zone` says when a day
        begins; `state` counts, and whoever serves nobody needs none."""
        self._standing = standing
        self._state = state
        self._secret = hmac.digest(secret, b"dutybound api keys", "sha256")
        self._zone = zone
        self._entropy = entropy
        self._shelf = standing.shelf(SHELF)
        self._by_digest: dict[str, ApiKey] = {}
        self._by_id: dict[str, ApiKey] = {}
        standing.watch(SHELF, self._changed)
        self._changed()

    # Keys.

    def draw(
        self, tenant: str, *, label: str = "", requests_per_minute: int = 0, tokens_per_day: int = 0,
        expires_at: float = 0.0,
    ) -> tuple[ApiKey, str]:  # fmt: skip
        """A new key and its text, not yet in force. Raises `ApiKeyError`."""
        text = PREFIX + _letters(self._entropy(KEY_BYTES))
        key = ApiKey(
            id=f"key_{self._entropy(5).hex()}",
            tenant=tenant,
            digest=self._digest(text),
            created_at=self._standing.clock(),
            label=label,
            requests_per_minute=requests_per_minute,
            tokens_per_day=tokens_per_day,
            expires_at=expires_at,
        )
        return key, text

    async def place(self, key: ApiKey, actor: str, records: OwnRecords) -> str:
        """Record a new key, then let it hold; gives the record's id. Raises `AuditError`, `StateUnavailable`."""
        record_id = await records.record(key.as_record("api_key_made", actor))
        await self._standing.place(SHELF, key.id, key.to_json(), key.expires_at)
        return record_id

    async def revoke(self, key_id: str, actor: str, records: OwnRecords) -> tuple[ApiKey, str] | None:
        """End a key, then record it; gives it and the record's id, empty while that is owed. None where there is no
        such key. Raises `StateUnavailable`."""
        await self._standing.refresh()
        key = self._by_id.get(key_id)
        if key is None or not await self._standing.withdraw(SHELF, key_id):
            return None
        return key, await records.tell(key.as_record("api_key_revoked", actor))

    def list(self) -> list[ApiKey]:
        """The keys in force, oldest first."""
        now = self._standing.clock()
        found = (key for key in self._by_id.values() if not 0 < key.expires_at <= now)
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def find(self, text: str) -> ApiKey | None:
        """The key in force with this text. Raises `StateUnavailable` where nobody can tell."""
        if not self._standing.is_current:
            await self._standing.require_current()
        if len(text) > MOST_KEY_CHARS:
            return None
        # A look into a dictionary by a keyed hash: how long it takes says nothing about any key.
        key = self._by_digest.get(self._digest(text))
        return None if key is None or 0 < key.expires_at <= self._standing.clock() else key

    # Quotas.

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal`: 429 beyond a quota, 401 where the key was revoked within a session; and `StateUnavailable`
        where nobody can count."""
        key_id = exchange.person.api_key
        if not key_id:
            return
        now = self._standing.clock()
        key = self._by_id.get(key_id)
        if key is None or 0 < key.expires_at <= now:
            decision = Decision(DUTY, Verdict.BLOCK, Action.REFUSE, reason="unknown_key")
            message = MESSAGES["api_key_ended"][language_of_prompt(exchange)]
            raise Refusal(decision, status=401, code="unknown_key", message=message)
        if key.tokens_per_day:
            used = await self._counted(self._day_key(key, now), 0)
            if used >= key.tokens_per_day:
                raise self._refusal(key, exchange, "tokens_per_day", self._to_midnight_s(now))
        if key.requests_per_minute:
            minute = int(now) // _MINUTE_S
            asked = await self._counted(f"{SHELF}:{key.id}:m:{minute}", 1, 2 * _MINUTE_S)
            if asked > key.requests_per_minute:
                raise self._refusal(key, exchange, "requests_per_minute", _MINUTE_S - int(now) % _MINUTE_S)

    async def ended(self, exchange: Exchange) -> None:
        """Count the tokens of an exchange that has ended. Raises `StateUnavailable`."""
        key = self._by_id.get(exchange.person.api_key)
        if key is None or not key.tokens_per_day:
            return
        tokens = max(0, exchange.input_tokens) + max(0, exchange.output_tokens)
        if exchange.asked_at and exchange.input_tokens < 0 and exchange.output_tokens < 0:
            prompt = exchange.prompt.texts if exchange.prompt is not None else ()
            tokens = sum(len(item.text) for item in prompt) + exchange.released_chars
        if tokens:
            await self._counted(self._day_key(key, self._standing.clock()), tokens)

    async def _counted(self, name: str, amount: int, kept_s: float = _KEPT_S) -> int:
        assert self._state is not None
        return await self._state.add(name, amount, kept_s)

    def _day_key(self, key: ApiKey, now: float) -> str:
        return f"{SHELF}:{key.id}:d:{datetime.fromtimestamp(now, self._zone).date().isoformat()}"

    def _to_midnight_s(self, now: float) -> int:
        here = datetime.fromtimestamp(now, self._zone)
        tomorrow = datetime.combine(here.date() + timedelta(days=1), datetime.min.time(), self._zone)
        return int(tomorrow.timestamp() - now) + 1

    def _refusal(self, key: ApiKey, exchange: Exchange, reason: str, wait_s: int) -> Refusal:
        return Refusal(
            Decision(DUTY, Verdict.BLOCK, Action.REFUSE, reason=reason, rule=key.id),
            status=429,
            code="quota_exceeded",
            message=MESSAGES[f"quota_{reason}"][language_of_prompt(exchange)],
            headers=(("Retry-After", str(wait_s)),),
        )

    def _digest(self, text: str) -> str:
        return hmac.digest(self._secret, text.encode("latin-1", "replace"), "sha256").hex()

    def _changed(self) -> None:
        keys = [key for order in self._shelf.values() if (key := _key_of(order)) is not None]
        self._by_digest = {key.digest: key for key in keys}
        self._by_id = {key.id: key for key in keys}


def _key_of(order: Order) -> ApiKey | None:
    """The key that an order keeps; one that cannot be read opens nothing."""
    try:
        kept: Any = orjson.loads(order.value or "")
        return ApiKey(**{name: kept[name] for name in _FIELDS if name in kept})
    except (ValueError, TypeError, ApiKeyError):
        return None


def _letters(data: bytes) -> str:
    """Lower-case base32 without padding (RFC 4648): one word on every shell."""
    return b32encode(data).decode().rstrip("=").lower()
