# SPDX-License-Identifier: Apache-2.0
"""Audit records as JSON, each with its place in the log, and one of them with its proof.

A search answers from the index beside the log; the `record` of every hit is read from its leaf, which is what proofs
are about. Sealed bodies are never opened here.
"""

import asyncio
import base64
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query

from audit_log import BadQuery, FoundRow, rows_as_json
from audit_log.merkle import leaf_hash
from audit_log.proof import parse_proof
from audit_log.record import TYPES
from gateway.operator.access import HouseOf, RecordReader
from gateway.operator.house import House
from gateway.operator.moments import format_moment, parse_moment
from gateway.operator.problems import invalid, not_found

router = APIRouter(prefix="/api/records", tags=["records"])

LIMIT_MAX: Final = 1_000
_MOMENT: Final = "RFC 3339 with an offset, or seconds since the epoch"
_PROOF_TRIES: Final = 30
_PROOF_WAIT_S: Final = 0.1
_TENANT_WITHOUT_NAME: Final = "default"


@router.get("", operation_id="listRecords", summary="Records in the order of the log")
def list_records(
    reader: RecordReader,
    house: HouseOf,
    since: Annotated[str | None, Query(max_length=40, description=f"not before: {_MOMENT}")] = None,
    until: Annotated[str | None, Query(max_length=40, description=f"before: {_MOMENT}")] = None,
    tenant: Annotated[str | None, Query(max_length=200)] = None,
    subject: Annotated[str | None, Query(max_length=500, description="as in records, or the `sub` of a token")] = None,
    class_: Annotated[str | None, Query(alias="class", max_length=40, description="such as A1a or INJ")] = None,
    action: Annotated[str | None, Query(max_length=40)] = None,
    type_: Annotated[str | None, Query(alias="type", max_length=40)] = None,
    cursor: Annotated[str | None, Query(max_length=40, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
) -> dict[str, Any]:
    """A page of records; `next_cursor` is null on the last one, and stays valid while the log grows."""
    if type_ is not None and type_ not in TYPES:
        raise invalid("type", f"expected one of {', '.join(sorted(TYPES))}")
    try:
        page = house.log.reader.search(
            since=None if since is None else parse_moment(since, "since"),
            until=None if until is None else parse_moment(until, "until"),
            tenant=tenant,
            subject=None if subject is None else _name_in_records(house, tenant, subject),
            class_=class_,
            action=action,
            type=type_,
            cursor=cursor,
            limit=limit,
        )
    except BadQuery:
        raise invalid("cursor", "expected the next_cursor of an earlier page") from None
    return {"records": [_found(house, row) for row in page.rows], "next_cursor": page.cursor}


@router.get("/{record_id}", operation_id="getRecord", summary="One record with its proof and what belongs to it")
async def get_record(reader: RecordReader, house: HouseOf, record_id: str) -> dict[str, Any]:
    """The record, its leaf and its c2sp.org/tlog-proof@v1, and the other records of the same exchange.

    A checkpoint covers a new record after about a second; the answer waits for it. `proof` is null where none came.
    """
    for _ in range(_PROOF_TRIES):
        answer = await asyncio.to_thread(_proven, house, record_id)
        if answer["proof"] is not None:
            break
        await asyncio.sleep(_PROOF_WAIT_S)
    return answer


def _proven(house: House, record_id: str) -> dict[str, Any]:
    # The store compares UUIDs without regard to spelling, so whatever is no UUID is simply not there.
    proven = house.log.reader.get(record_id) if len(record_id) == 36 else None
    if proven is None:
        raise not_found("record")
    note = house.log.reader.checkpoint_note() if proven.proof is None else parse_proof(proven.proof).checkpoint
    return {
        **_described(proven.row, proven.leaf),
        "leaf": base64.b64encode(proven.leaf).decode(),
        "leaf_hash": base64.b64encode(leaf_hash(proven.leaf)).decode(),
        "proof": None if proven.proof is None else _proof(proven.proof),
        "checkpoint": note.decode(),
        "related": [_found(house, row) for row in proven.related],
    }


def _name_in_records(house: House, tenant: str | None, subject: str) -> str:
    """`subject` where records know it by that name, else the pseudonym of the person whose `sub` it is."""
    if house.log.reader.search(tenant=tenant, subject=subject, limit=1).rows:
        return subject
    return house.pseudonym(tenant if tenant is not None else _TENANT_WITHOUT_NAME, subject)


def _found(house: House, row: FoundRow) -> dict[str, Any]:
    return _described(row, house.log.reader.leaf(row.index))


def _described(row: FoundRow, leaf: bytes) -> dict[str, Any]:
    [described] = rows_as_json([row])
    time_us = described.pop("t_us")
    assert isinstance(time_us, int)
    return {**described, "time": format_moment(time_us / 1_000_000), "record": orjson.loads(leaf)}


def _proof(text: bytes) -> dict[str, Any]:
    proof = parse_proof(text)
    return {
        "format": "c2sp.org/tlog-proof@v1",
        "index": proof.index,
        "hashes": [base64.b64encode(item).decode() for item in proof.path],
        "text": text.decode(),
    }
