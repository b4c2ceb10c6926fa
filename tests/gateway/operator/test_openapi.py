# SPDX-License-Identifier: Apache-2.0
"""The description of the API says what the API does."""

from __future__ import annotations

from typing import Any


def test_the_description_of_the_api_is_complete_and_loads_nothing(listener: Any) -> None:
    """OpenAPI with an operation id each; no page that fetches scripts from elsewhere."""
    document = listener.get("/api/openapi.json", None).json()

    operations = [op for path in document["paths"].values() for op in path.values()]
    names = [op["operationId"] for op in operations]
    assert len(names) == len(set(names))
    assert all(op["summary"] for op in operations)
    for path in ("/api/records", "/api/records/{record_id}", "/api/complaints/{reference}/answer", "/log/tile/{path}"):
        assert path in document["paths"]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert "422" not in operation["responses"]
            assert operation["responses"]["404"]["content"].keys() == {"application/problem+json"}
            assert operation["security"] == ([] if path == "/log/checkpoint" else [{"token": []}])
    for path in ("/docs", "/redoc"):
        assert listener.get(path, None).status_code == 404
