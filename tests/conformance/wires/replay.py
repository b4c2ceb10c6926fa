# SPDX-License-Identifier: Apache-2.0
"""Lets an official SDK read an answer that was already received, so that the same bytes can be searched too."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import httpx

_HOP = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection"})


class Replay:
    """Answers every request with the answer given last. `module` is the HTTP library of the SDK: httpx or httpx2."""

    def __init__(self, module: ModuleType = httpx) -> None:
        self._answer: tuple[int, list[tuple[str, str]], bytes] = (200, [], b"")
        self._response = module.Response
        self.transport: Any = module.MockTransport(self._replayed)
        self.client: Any = module.Client(transport=self.transport)

    def put(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """The answer for the next request."""
        self._answer = (status, [pair for pair in headers.items() if pair[0].lower() not in _HOP], body)

    def _replayed(self, request: Any) -> Any:
        status, headers, body = self._answer
        return self._response(status, headers=headers, content=body, request=request)
