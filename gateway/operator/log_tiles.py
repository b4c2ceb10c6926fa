# SPDX-License-Identifier: Apache-2.0
"""The transparency log as the static files of c2sp.org/tlog-tiles, below `/log/`.

`checkpoint` and the tiles of hashes are open: they hold nothing but hashes, and a witness or a monitor that knows no
token of ours must be able to follow the log. Entry bundles hold the records, so they need a token that may read
records; a log reader that only takes a URL can carry it there (`http://reader:TOKEN@host/log`).

A tile never changes, so it may be kept for ever; the checkpoint must be asked for anew.
"""

import asyncio
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from audit_log.errors import VerificationError
from audit_log.tiles import parse_path
from gateway.operator.access import HouseOf, Permit
from gateway.operator.problems import not_found
from gateway.operator.tokens import Permission

router = APIRouter(prefix="/log", tags=["log"])

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_FOR_EVER_BUT_PRIVATE: Final = "private, max-age=31536000, immutable"
_MAY_READ_ENTRIES: Final = Permit(Permission.READ_RECORDS)


@router.head("/checkpoint", include_in_schema=False, response_class=Response)
@router.get("/checkpoint", operation_id="getCheckpoint", response_class=Response, summary="The signed checkpoint")
async def checkpoint(house: HouseOf) -> Response:
    """The latest published checkpoint, a C2SP signed note."""
    note = await asyncio.to_thread(house.log.reader.checkpoint_note)
    return Response(note, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})


@router.head("/tile/{path:path}", include_in_schema=False, response_class=Response)
@router.get("/tile/{path:path}", operation_id="getTile", response_class=Response, summary="Hashes, or an entry bundle")
async def tile(request: Request, house: HouseOf, path: str) -> Response:
    """The file of that name; names that no tile can have do not exist."""
    try:
        tile_id = parse_path(f"tile/{path}")
    except VerificationError:
        raise not_found("tile") from None
    if tile_id.level is None:
        await asyncio.to_thread(_MAY_READ_ENTRIES, request)
    content = await asyncio.to_thread(house.log.reader.tile, tile_id.path)
    if content is None:
        raise not_found("tile")
    return Response(
        content,
        media_type="application/octet-stream",
        headers={"Cache-Control": _FOR_EVER_BUT_PRIVATE if tile_id.level is None else _FOR_EVER},
    )
