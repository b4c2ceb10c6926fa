# SPDX-License-Identifier: Apache-2.0
"""`/livez` and `/readyz`: whether the process runs, and whether it should get requests. Machines read the status."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.public.house import House

_HEADERS = {"cache-control": "no-store"}


class Health:
    """The two answers. `livez` looks at nothing else, so a broken dependency never makes anyone restart us."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def livez(self, request: Request) -> Response:
        """200 as long as the process answers."""
        return _answer(200, {"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """200 when every check holds, else 503; with `verbose` each check by name."""
        checks = dict(self._house.checks())
        is_ready = all(checks.values())
        document: dict[str, object] = {"status": "ok" if is_ready else "not ready"}
        if "verbose" in request.query_params:
            document["checks"] = {name: "ok" if is_ok else "failed" for name, is_ok in checks.items()}
        return _answer(200 if is_ready else 503, document)


def _answer(status: int, document: dict[str, object]) -> Response:
    return Response(orjson.dumps(document), status, _HEADERS, media_type="application/json")
