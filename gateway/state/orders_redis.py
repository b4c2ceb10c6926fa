# SPDX-License-Identifier: Apache-2.0
"""Orders in Redis, for several machines: a change is one atomic script that also tells all who listen.

Who listens hears of a change within milliseconds; what was published while a connection was away is found by asking,
because `changes` goes by numbers and not by messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from hashlib import sha1
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from gateway.state.interfaces import StateError, StateUnavailable
from gateway.state.orders import Order, told_until

# One hash tag, so that a cluster keeps the keys of a script together.
_LAST, _HELD, _BY_NUMBER, _BY_END = (f"dutybound:{{orders}}:{name}" for name in ("last", "held", "number", "end"))
_CHANNEL = "dutybound:{orders}:changed"
_KEYS = (_LAST, _HELD, _BY_NUMBER, _BY_END)

_PUT = """
-- KEYS: last number, hash of orders, their keys by number, their keys by the end of their time
-- ARGV: key, order without number, number that it must have or -1, told until or 0, now, channel
local held = redis.call('HGET', KEYS[2], ARGV[1])
local number = held and string.match(held, '^(%d+) ') or '0'
if ARGV[3] ~= '-1' and ARGV[3] ~= number then return 0 end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[5], 'LIMIT', 0, 50)) do
  redis.call('HDEL', KEYS[2], key)
  redis.call('ZREM', KEYS[3], key)
  redis.call('ZREM', KEYS[4], key)
end
local last = redis.call('INCR', KEYS[1])
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', last) .. ' ' .. ARGV[2])
redis.call('ZADD', KEYS[3], last, ARGV[1])
if ARGV[4] == '0' then redis.call('ZREM', KEYS[4], ARGV[1]) else redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1]) end
redis.call('PUBLISH', ARGV[6], string.format('%.0f', last))
return last
"""
_CHANGES = """
-- KEYS as above; ARGV: the number behind which changes are asked for
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local after = tonumber(ARGV[1])
local out = {last}
if last == after then return out end
if last < after then after = 0 end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. string.format('%.0f', after), '+inf')) do
  out[#out + 1] = key
  out[#out + 1] = redis.call('HGET', KEYS[2], key)
end
return out
"""
_SHA = {script: sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (_PUT, _CHANGES)}


class RedisOrders:
    """`Orders` in the Redis at `url`. `timeout_s` bounds every call, `clock` gives seconds since the epoch."""

    def __init__(self, url: str, clock: Callable[[], float], timeout_s: float) -> None:
        """Nothing is sent yet: the first call connects. Raises `StateError` where the URL cannot be understood."""
        self._clock = clock
        self._timeout_s = timeout_s
        self._is_closed = False
        self._listening: PubSub | None = None
        try:
            self._redis = self._client(url, timeout_s)
            self._listener = self._client(url, None)
        except (ValueError, RedisError):
            raise StateError("redis.url: expected redis://, rediss:// or unix://, got something else") from None

    @staticmethod
    def _client(url: str, timeout_s: float | None) -> Redis:
        return Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s or 5.0,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            max_connections=4,
            client_name="dutybound-orders",
        )

    async def changes(self, after: int) -> tuple[int, tuple[Order, ...]]:
        """See `Orders.changes`."""
        last, *pairs = await self._script(_CHANGES, after)
        orders = (_read(key, text) for key, text in zip(pairs[::2], pairs[1::2], strict=True))
        return int(last), tuple(orders)

    async def get(self, key: str) -> Order | None:
        """See `Orders.get`."""
        text = await self._do(lambda: cast("Any", self._redis.hget(_HELD, key)))
        return None if text is None else _read(key.encode(), text)

    async def put(self, key: str, value: str | None, expires_at: float = 0.0, *, if_number: int | None = None) -> int:
        """See `Orders.put`."""
        now = self._clock()
        text = f"{expires_at:.3f} " + ("-" if value is None else f"+{value}")
        until = told_until(value, expires_at, now)
        number = -1 if if_number is None else if_number
        return int(
            await self._script(_PUT, key, text, number, f"{until:.3f}" if until else "0", f"{now:.3f}", _CHANNEL)
        )

    async def changed(self, timeout_s: float) -> None:
        """See `Orders.changed`."""
        try:
            async with asyncio.timeout(timeout_s + self._timeout_s):
                if self._listening is None:
                    self._listening = self._listener.pubsub(ignore_subscribe_messages=True)
                    await self._listening.subscribe(_CHANNEL)
                await self._listening.get_message(timeout=timeout_s)
        except (RedisError, OSError, TimeoutError):
            await self._hang_up()
            await asyncio.sleep(timeout_s)

    async def close(self) -> None:
        """See `Orders.close`."""
        self._is_closed = True
        await self._hang_up()
        await self._listener.aclose()
        await self._redis.aclose()

    async def _hang_up(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            with contextlib.suppress(RedisError, OSError):
                await listening.aclose()  # type: ignore[no-untyped-call]

    async def _script(self, script: str, *arguments: Any) -> Any:
        try:
            return await self._do(
                lambda: cast("Any", self._redis.evalsha(_SHA[script], len(_KEYS), *_KEYS, *arguments))
            )
        except NoScriptError:
            # Redis is new or was restarted: the call did nothing, so it is sent again with its script.
            return await self._do(lambda: cast("Any", self._redis.eval(script, len(_KEYS), *_KEYS, *arguments)))

    async def _do(self, act: Callable[[], Any]) -> Any:
        if self._is_closed:
            raise StateUnavailable("the orders are closed")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await act()
        except NoScriptError:
            raise
        except (RedisError, OSError, TimeoutError) as error:
            # Only the kind: redis-py's messages name the server's address.
            raise StateUnavailable(f"redis is not available: {type(error).__name__}") from None


def _read(key: bytes, text: bytes) -> Order:
    number, expires_at, value = text.decode().split(" ", 2)
    return Order(key.decode(), value[1:] if value[0] == "+" else None, int(number), float(expires_at))
