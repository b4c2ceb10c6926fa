# SPDX-License-Identifier: Apache-2.0
"""Checks that need context: a classifier, a guard model, a service of the provider's.

A check reads one window of a text (`content_filter.windows`) and says what it finds. It may take its time, and it may
break: what happens then is its caller's rule, never a guess of the check's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import httpx

from content_filter.breaker import CircuitBreaker
from content_filter.errors import FilterError
from content_filter.filter import Outcome, Role, Verdict
from content_filter.taxonomy import CLASSES


class CheckUnavailable(FilterError):
    """The check cannot answer now, or answered what cannot be read."""


class ContextCheck(Protocol):
    """Judges a text in its context."""

    name: str

    async def judge(self, text: str, role: Role) -> Verdict:
        """The verdict on `text`; offsets are those of the whole of it. Raises `CheckUnavailable`."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class HttpCheck:
    """Asks a service over HTTP: `POST url` with `{"text", "role"}`, answered `{"verdict", "class", "score", "rule"}`.

    `verdict` is pass, flag or block; `class` one of the 31 or INJ where it is not pass; `score` from 0 to 1 and `rule`
    (at most 64 printable ASCII characters) may be left out. Anything else counts as no answer.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        *,
        headers: Mapping[str, str] | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.name = "http"
        self._url = url
        self._breaker = breaker
        self._client = httpx.AsyncClient(
            timeout=timeout_s, headers=headers, follow_redirects=False, limits=httpx.Limits(max_connections=100)
        )

    async def judge(self, text: str, role: Role) -> Verdict:
        """The service's verdict. Raises `CheckUnavailable`, at once where the circuit breaker is open."""
        if self._breaker is not None and not self._breaker.may_call():
            raise CheckUnavailable("the context check failed before and is left alone for a while")
        try:
            verdict = await self._ask(text, role)
        except CheckUnavailable:
            if self._breaker is not None:
                self._breaker.failed()
            raise
        if self._breaker is not None:
            self._breaker.succeeded()
        return verdict

    async def _ask(self, text: str, role: Role) -> Verdict:
        try:
            answer = await self._client.post(self._url, json={"text": text, "role": role.value})
            document = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            raise CheckUnavailable("the context check did not answer") from None
        return _verdict(document, role, len(text))

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


def _verdict(document: Any, role: Role, length: int) -> Verdict:
    if not isinstance(document, dict):
        raise CheckUnavailable("the context check did not answer with a JSON object")
    try:
        verdict = Outcome(str(document.get("verdict")))
    except ValueError:
        raise CheckUnavailable("the context check answered with an unknown verdict") from None
    if verdict is Outcome.PASS:
        return Verdict(verdict, role)
    class_code, rule, score = str(document.get("class")), document.get("rule", ""), document.get("score", 1)
    if verdict is Outcome.MASK or class_code not in CLASSES:
        raise CheckUnavailable("the context check answered with a verdict that has no known class")
    is_named = isinstance(rule, str) and len(rule) <= 64 and rule.isascii() and (rule.isprintable() or not rule)
    if not is_named or isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise CheckUnavailable("the context check answered with a rule or score that cannot be read")
    return Verdict(verdict, role, class_code, rule or "http", 0, length, round(score * 10_000))
