# SPDX-License-Identifier: Apache-2.0
"""State in Redis, for several machines: every call is one atomic command or script, and one round trip at most.

Calls that wait together are one pipeline over one connection. A call is never sent twice: a connection that broke is
replaced before the next batch, but a batch whose answer was lost fails, because nobody knows whether it was counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from gateway.state.activity import CLOCK_STEP_MS, KEPT_DAYS, KEPT_MS, Activity, touched
from gateway.state.gather import Gather, Operation
from gateway.state.interfaces import StateError, StateUnavailable, Usage

PREFIX = "dutybound:"

_TOUCH = f"""
-- KEYS[1]: hash of one person: last, start (ms) and one field `d:<date>` a day (ms used)
-- ARGV: now (ms), date, idle gap (ms), start of the day (ms)
local function whole(x) return string.format('%.0f', x) end
local now, gap, day_start = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local field = 'd:' .. ARGV[2]
local kept = redis.call('HMGET', KEYS[1], 'last', 'start', field)
local last, start, total = tonumber(kept[1]), tonumber(kept[2]), tonumber(kept[3])
local is_new_day = not total
total = total or 0
local passed = last and now - last
if not last or passed >= gap or passed < -{CLOCK_STEP_MS} then
  last, start = now, now
elseif passed > 0 then
  total = total + math.max(0, now - math.max(last, day_start))
  last = now
end
redis.call('HSET', KEYS[1], 'last', whole(last), 'start', whole(start), field, whole(total))
redis.call('PEXPIRE', KEYS[1], {KEPT_MS})
if is_new_day then
  local days = {{}}
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(name, 1, 2) == 'd:' and name ~= field then days[#days + 1] = name end
  end
  table.sort(days, function(a, b) return a > b end)
  for i = {KEPT_DAYS}, #days do redis.call('HDEL', KEYS[1], days[i]) end
end
return {{whole(total), whole(last - start), whole(start)}}
"""

_ADD = """
-- KEYS[1]: counter; ARGV: amount, time to live (ms) from its first addition
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return count
"""

_SHA = {script: sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (_TOUCH, _ADD)}


class RedisState:
    """`State` in the Redis at `url` (`redis://`, `rediss://` or `unix://`). `timeout_s` bounds every call."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Nothing is sent yet: the first call connects. Raises `StateError` where the URL cannot be understood."""
        self._gather = Gather(self._run, timeout_s)
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                max_connections=2,
                client_name="dutybound",
            )
        except (ValueError, RedisError):
            raise StateError("redis.url: expected redis://, rediss:// or unix://, got something else") from None

    async def touch_usage(
        self, key: str, now: float, day: str, idle_gap_s: float, *, day_started_at: float = 0.0
    ) -> Usage:
        """See `State.touch_usage`."""
        times = (round(now * 1000), day, round(idle_gap_s * 1000), round(day_started_at * 1000))
        total, run, start = await self._gather.call((_TOUCH, f"{PREFIX}u:{key}", *times))
        return Usage(int(total) / 1000, int(run) / 1000, int(start) / 1000)

    async def look_at_usage(
        self, key: str, now: float, day: str, idle_gap_s: float, *, day_started_at: float = 0.0
    ) -> Usage:
        """See `State.look_at_usage`."""
        kept = await self._gather.call(("HMGET", f"{PREFIX}u:{key}", "last", "start", f"d:{day}"))
        last, start, total = (None if item is None else int(item) for item in kept)
        before = None if last is None or start is None else Activity(last, start, day, total or 0)
        return touched(before, round(now * 1000), day, round(idle_gap_s * 1000), round(day_started_at * 1000)).usage()

    async def remember(self, key: str, value: str, ttl_s: float) -> None:
        """See `State.remember`."""
        await self._gather.call(("SET", f"{PREFIX}v:{key}", value, "PX", max(1, round(ttl_s * 1000))))

    async def recall(self, key: str) -> str | None:
        """See `State.recall`."""
        found = cast("bytes | None", await self._gather.call(("GET", f"{PREFIX}v:{key}")))
        return None if found is None else found.decode()

    async def add(self, key: str, amount: int, ttl_s: float) -> int:
        """See `State.add`."""
        return cast(int, await self._gather.call((_ADD, f"{PREFIX}n:{key}", amount, max(1, round(ttl_s * 1000)))))

    async def close(self) -> None:
        """See `State.close`."""
        await self._gather.close()
        await self._redis.aclose()

    async def _run(self, batch: Sequence[Operation]) -> Sequence[Any]:
        results = await self._send([_by_digest(operation) for operation in batch])
        unknown = [index for index, result in enumerate(results) if isinstance(result, NoScriptError)]
        if unknown:
            # Redis has been restarted or is new: those calls did nothing, so they alone are sent with their script.
            # Sent once each, EVAL also loads it for everyone.
            again = await self._send([_in_full(batch[index]) for index in unknown])
            for index, result in zip(unknown, again, strict=True):
                results[index] = result
        return [
            StateUnavailable(f"redis refused: {type(result).__name__}") if isinstance(result, RedisError) else result
            for result in results
        ]

    async def _send(self, commands: Sequence[Operation]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            return await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            # Only the kind: redis-py's messages name the server's address.
            raise StateUnavailable(f"redis is not available: {type(error).__name__}") from None


def _by_digest(operation: Operation) -> Operation:
    digest = _SHA.get(operation[0])
    return operation if digest is None else ("EVALSHA", digest, 1, *operation[1:])


def _in_full(operation: Operation) -> Operation:
    return ("EVAL", operation[0], 1, *operation[1:])
