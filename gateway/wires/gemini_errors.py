# SPDX-License-Identifier: Apache-2.0
"""Google's error format: `{"error": {"code", "message", "status", "details"}}` (google.rpc.Status, AIP-193)."""

from __future__ import annotations

from typing import Any

import orjson

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    428: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_object(status: int, code: str, message: str, param: str = "") -> dict[str, Any]:
    """The error as the official SDKs parse it; `code` is the reason of its `ErrorInfo`."""
    info: dict[str, Any] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": code.upper(),
        "domain": "dutybound",
    }
    if param:
        info["metadata"] = {"field": param}
    word = _STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    return {"error": {"code": status, "message": message, "status": word, "details": [info]}}


def error_body(status: int, code: str, message: str, param: str = "") -> bytes:
    """The same as bytes."""
    return orjson.dumps(error_object(status, code, message, param))
