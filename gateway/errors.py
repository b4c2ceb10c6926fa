# SPDX-License-Identifier: Apache-2.0
"""RFC 9457 problem details for our own endpoints. A wire speaks its own error format instead.

A problem names a fact and the next step; it never repeats what a client sent and never shows a stack trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem detail (RFC 9457 section 3). `code` is a fixed word; `extra` are extension members."""

    status: int
    code: str
    title: str
    detail: str = ""
    extra: tuple[tuple[str, Any], ...] = ()

    def body(self) -> bytes:
        """The problem as JSON."""
        document: dict[str, Any] = {
            "type": f"urn:dutybound:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            document["detail"] = self.detail
        document.update(self.extra)
        return orjson.dumps(document)

    def response(self, headers: dict[str, str] | None = None) -> Response:
        """The problem as a Starlette response."""
        return Response(self.body(), status_code=self.status, media_type=MEDIA_TYPE, headers=headers)
