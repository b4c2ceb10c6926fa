# SPDX-License-Identifier: Apache-2.0
"""Anthropic's error format: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""

from __future__ import annotations

from typing import Any

import orjson

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    415: "invalid_request_error",
    428: "permission_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_object(
    status: int, code: str, message: str, param: str = "", *, request_id: str | None = None
) -> dict[str, Any]:
    """The error as the official SDKs parse it; `code` and `param` are ours beside what they read."""
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    error = {"type": kind, "message": message, "code": code, **({"param": param} if param else {})}
    return {"type": "error", "error": error, "request_id": request_id}


def error_body(status: int, code: str, message: str, param: str = "") -> bytes:
    """The same as bytes."""
    return orjson.dumps(error_object(status, code, message, param))
