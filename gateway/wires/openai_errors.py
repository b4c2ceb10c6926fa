# SPDX-License-Identifier: Apache-2.0
"""The error format that all OpenAI wires share: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import orjson

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    428: "permission_error",
    429: "rate_limit_error",
    502: "upstream_error",
    504: "upstream_error",
}


def error_object(status: int, code: str, message: str, param: str = "") -> dict[str, dict[str, str | None]]:
    """The error as the official SDKs parse it."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param or None, "code": code}}


def error_body(status: int, code: str, message: str, param: str = "") -> bytes:
    """The same as bytes."""
    return orjson.dumps(error_object(status, code, message, param))
