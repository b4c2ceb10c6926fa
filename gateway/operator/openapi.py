# SPDX-License-Identifier: Apache-2.0
"""The description of the operator API as it behaves: problems instead of FastAPI's own errors, and who needs a token.

FastAPI describes a 422 for every operation with parameters; this API answers 400 with a problem detail (RFC 9457).
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.errors import MEDIA_TYPE

_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "description": "urn:dutybound:problem:<code>"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "a fixed word to decide by"},
        "detail": {"type": "string"},
    },
}
_OPEN: Final = frozenset({"/log/checkpoint"})
_ANSWERS: Final = {
    "400": "The request is not as expected",
    "401": "A token of this installation is needed",
    "403": "The role of the token may not do this",
    "404": "There is no such thing",
    "409": "The state does not allow this; read it again",
    "503": "A store or the log cannot be used now",
}
_OPEN_ANSWERS: Final = ("404", "503")


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of `app`."""
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "from `dutybound token new --role ROLE`"}
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            is_open = path in _OPEN
            operation["security"] = [] if is_open else [{"token": []}]
            for status in _OPEN_ANSWERS if is_open else _ANSWERS:
                operation["responses"][status] = {
                    "description": _ANSWERS[status],
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
    return document
