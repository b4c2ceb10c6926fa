# SPDX-License-Identifier: Apache-2.0
"""Remembers verdicts of a slow check, without remembering texts.

The key is an HMAC-SHA-256 of role, question and text under a secret that is drawn when the process starts: whoever
reads the memory cannot try out texts against it without that secret. What must hold: a failure is never remembered; an
entry older than `lifetime_s` is never used; there are never more than `most` entries.
"""

import hmac
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from content_filter.context import ContextCheck
from content_filter.filter import Verdict
from content_filter.roles import Role


class CachedCheck:
    """A check before which a cache stands. `clock` gives seconds."""

    def __init__(
        self,
        check: ContextCheck,
        clock: Callable[[], float],
        *,
        most: int = 10_000,
        lifetime_s: float = 3_600.0,
        secret: bytes | None = None,
    ) -> None:
        self.name = check.name
        self._check, self._clock = check, clock
        self._most, self._lifetime_s = most, lifetime_s
        self._secret = os.urandom(32) if secret is None else secret
        self._kept: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()

    async def judge(self, text: str, role: Role) -> Verdict:
        """The remembered verdict, or a new one. Raises what the check raises."""
        key = hmac.digest(self._secret, f"{role.value}\0{text}".encode("utf-8", "surrogatepass"), "sha256")
        now = self._clock()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < self._lifetime_s:
            self._kept.move_to_end(key)
            return replace(kept[1])
        verdict = await self._check.judge(text, role)
        self._kept[key] = (now, verdict)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return verdict

    def clear(self) -> None:
        """Forgets everything: after the check behind it has changed."""
        self._kept.clear()

    async def close(self) -> None:
        """Closes the check."""
        self._kept.clear()
        await self._check.close()
