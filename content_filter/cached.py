# SPDX-License-Identifier: Apache-2.0
"""Remembers verdicts, without remembering texts.

The key is an HMAC-SHA-256 of role and text under a secret that is drawn when the process starts: whoever reads the
memory cannot try out texts against it without that secret. What must hold: a failure is never remembered; an entry
older than `lifetime_s` is never used; there are never more than `most` entries.
"""

import hmac
import os
from collections import OrderedDict
from collections.abc import Callable

from content_filter.context import ContextCheck
from content_filter.filter import Verdict
from content_filter.roles import Role


class VerdictMemory:
    """Verdicts by text and role. `clock` gives seconds. Not safe between threads."""

    __slots__ = ("_clock", "_kept", "_lifetime_s", "_most", "_secret")

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        most: int = 10_000,
        lifetime_s: float = 3_600.0,
        secret: bytes | None = None,
    ) -> None:
        self._clock = clock
        self._most, self._lifetime_s = most, lifetime_s
        self._secret = os.urandom(32) if secret is None else secret
        self._kept: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str, role: Role) -> Verdict | None:
        """What was said of this text in this role, where that is still young enough."""
        key = self._key(text, role)
        kept = self._kept.get(key)
        if kept is None or self._clock() - kept[0] >= self._lifetime_s:
            return None
        self._kept.move_to_end(key)
        return kept[1]

    def put(self, text: str, role: Role, verdict: Verdict) -> None:
        """Remember; what was not asked for longest makes room."""
        key = self._key(text, role)
        self._kept[key] = (self._clock(), verdict)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def _key(self, text: str, role: Role) -> bytes:
        return hmac.digest(self._secret, f"{role.value}\0{text}".encode("utf-8", "surrogatepass"), "sha256")


class CachedCheck:
    """A check before which a memory stands."""

    def __init__(self, check: ContextCheck, memory: VerdictMemory) -> None:
        self.name = check.name
        self._check, self._memory = check, memory

    async def judge(self, text: str, role: Role) -> Verdict:
        """The remembered verdict, or a new one. Raises what the check raises."""
        verdict = self._memory.get(text, role)
        if verdict is None:
            verdict = await self._check.judge(text, role)
            self._memory.put(text, role, verdict)
        return verdict

    def clear(self) -> None:
        """Forgets everything: after the check behind it has changed."""
        self._memory.clear()

    async def close(self) -> None:
        """Closes the check."""
        self._memory.clear()
        await self._check.close()
