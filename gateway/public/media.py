# SPDX-License-Identifier: Apache-2.0
"""`/duty/media/{token}`: labelled files of answers that named them by an address, for as long as they are kept.

The address is the right to see the file: there is no list and no hint whether another address would exist. A file is
never a page: its type is what its bytes are, browsers may not guess another, and scripts in it do not run.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Problem
from gateway.media_store import PATH, MediumWithheld
from gateway.public.body import Refused
from gateway.public.house import House

MEDIUM_PATH: Final = f"{PATH}/{{token}}"

_GONE = Problem(404, "no_such_medium", "There is no such file", "It was kept for a time only. Ask for it again.")
_WITHHELD = Problem(410, "withheld", "This file was taken down", "It is not given out any more.")
_SEALED: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


class Media:
    """The files."""

    def __init__(self, house: House) -> None:
        self._store = house.media_store
        self._clock = house.clock

    async def get(self, request: Request) -> Response:
        """One file. Raises `Refused`."""
        token = request.path_params["token"]
        try:
            found = await asyncio.to_thread(self._store.get, token) if self._store is not None else None
        except MediumWithheld:
            raise Refused(_WITHHELD) from None
        if found is None:
            raise Refused(_GONE)
        headers = {
            "cache-control": f"private, max-age={max(0, int(found.expires_at - self._clock()))}",
            "content-security-policy": _SEALED,
            "content-disposition": "inline",
        }
        return Response(found.data, headers=headers, media_type=found.mime)
