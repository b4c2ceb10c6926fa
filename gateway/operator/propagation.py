# SPDX-License-Identifier: Apache-2.0
"""Uploads of others, checked before a platform passes them on (Labeling Measures article 6).

A platform sends a file here when its user publishes it, with what the user declared, and gets what the public has to be
told and the file with the platform named in its label. The file is read in a process of its own; nothing of it is kept.
"""

import asyncio
import base64
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request

from audit_log import new_record_id
from gateway.errors import Problem
from gateway.messages import MESSAGES
from gateway.operator.access import FileLabeller, HouseOf
from gateway.operator.problems import ProblemError, invalid, not_found
from labeling.errors import DamagedFile, LabelError, RefusedFile, UnsupportedFormat
from labeling.propagation import propagate_in_subprocess

PATH: Final = "/api/propagation"
router = APIRouter(prefix=PATH, tags=["labels"])

_CHILDREN = asyncio.Semaphore(2)
"""Each check is a process."""
_STATUS: Final = ((UnsupportedFormat, 415), (DamagedFile, 422), (RefusedFile, 422))


@router.post("", operation_id="propagateFile", summary="Check an upload, and name this service in its label")
async def propagate_file(
    labeller: FileLabeller,
    house: HouseOf,
    request: Request,
    declared: Annotated[bool, Query(description="its uploader says that it is generated")] = False,
    suspected: Annotated[bool, Query(description="traces were found that it is")] = False,
    number: Annotated[str, Query(alias="id", max_length=200, description="your number; without it a new id")] = "",
) -> dict[str, Any]:
    """The body is the file, its `Content-Type` tells Markdown from text. `file` is null where nothing speaks for it."""
    if house.files is None:
        raise not_found("label in this installation")
    data = await request.body()
    if not data:
        raise invalid("body", "expected the file as the request's body")
    try:
        plan = house.files.propagation(number or new_record_id(), is_declared=declared, is_suspected=suspected)
    except LabelError:
        raise invalid("id", "expected printable ASCII without spaces, quotation marks and backslashes") from None
    mime = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with _CHILDREN:
            made = await asyncio.to_thread(propagate_in_subprocess, data, plan, declared_mime=mime or None)
    except LabelError as error:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 503)
        raise ProblemError(Problem(status, "file_not_labelled", "The file cannot be passed on", str(error))) from None
    return {
        "origin": made.origin.word,
        "basis": list(made.origin.basis),
        "prompt": dict(MESSAGES[f"origin_{made.origin.value}"]) if made.origin.value else None,
        "label": made.label.as_dict() if made.label is not None else None,
        "mime": made.mime,
        "file": base64.b64encode(made.data).decode("ascii") if made.label is not None else None,
        "sidecar": base64.b64encode(made.sidecar).decode("ascii") if made.sidecar is not None else None,
    }
