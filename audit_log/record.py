# SPDX-License-Identifier: Apache-2.0
"""What is remembered: the record, and its one spelling in bytes.

A record is a JSON object; its RFC 8785 bytes are the leaf of the Merkle tree, stored verbatim, so that nobody has to
spell it again to check it. docs/record.md describes it byte for byte and record.schema.json says the same to machines.

What must hold: a leaf holds no personal data and no plain hash of a text (the pseudonym of a person lies in the search
index, prompt and answer in a sealed body, both outside the leaf); its bytes equal what RFC 8785 asks; every leaf ends
in its writer and its number within that writer, so that a gap cannot hide.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import orjson

from audit_log.errors import RecordInvalid

VERSION = "1"
MAX_LEAF_BYTES = 65_535
SOFT_LEAF_BYTES = 8_192
"""Above this a record is kept, counted and worth a look: bodies do not belong in leaves."""

TYPES = frozenset(
    {
        "boot",  # a writer began
        "shutdown",  # a writer ended in order
        "exchange",  # a plain answer, whole
        "open",  # a stream began
        "close",  # a stream ended, however it ended
        "incident",  # illegal content found, or a safety event
        "notice",  # somebody was told something the law asks to tell
        "complaint",  # a complaint moved
        "case",  # a request about personal data, an explanation or an appeal moved
        "measure",  # something was done about a person or a model
        "config",  # settings, terms or a policy became active
        "census",  # what a writer counted in an hour
        "erasure",  # keys of bodies were destroyed
        "prune",  # old leaves were dropped
        "hold",  # a legal hold was placed or lifted
        "key",  # a signing key came or went
        "access",  # somebody read a sealed body
    }
)

RESERVED = frozenset({"v", "writer", "wseq"})
"""Top-level fields that the log itself writes."""

_PLAIN = frozenset({str, int, bool, type(None)})
_ORJSON = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_MAX_DEPTH = 16
_TAIL_BYTES = 400
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class IndexRow(NamedTuple):
    """What a record can be found by. It lies outside the tree, so that ``subject`` can be deleted later.

    ``t_us`` is the record's time in microseconds since the epoch; ``exchange`` the id of the exchange it belongs to,
    where that is not its own id.
    """

    id: str
    exchange: str | None
    type: str
    t_us: int
    tenant: str | None
    subject: str | None
    class_: str | None
    action: str | None
    incident: bool


def leaf_bytes(fields: Mapping[str, object]) -> bytes:
    """RFC 8785 canonical bytes of a record.

    Allowed are ASCII field names; strings, booleans, null, integers from -(2**53 - 1) to 2**53 - 1, lists and objects
    of these. There orjson with sorted keys spells exactly as RFC 8785. Raises RecordInvalid for anything else
    (floats above all) and for more than 65,535 bytes.
    """
    _check(fields, 0)
    try:
        leaf = orjson.dumps(fields if type(fields) is dict else dict(fields), option=_ORJSON)
    except TypeError:
        raise RecordInvalid("record holds an integer beyond 53 bits or text that is not valid Unicode") from None
    if len(leaf) > MAX_LEAF_BYTES:
        raise RecordInvalid(f"record has {len(leaf)} bytes; at most {MAX_LEAF_BYTES} fit; put bodies beside the leaf")
    return leaf


def leaf_head(fields: Mapping[str, object], t: str) -> bytes:
    """Canonical bytes of a record without its last two fields and its closing brace.

    The log adds ``v``, and ``t`` where the record does not bring its own.
    The order of RFC 8785 puts ``writer`` and ``wseq`` last as long as no other name sorts behind ``writer``, so the
    number can be added when the place in the log is known without spelling the record again.
    """
    if not RESERVED.isdisjoint(fields):
        raise RecordInvalid("the fields v, writer and wseq are written by the log; leave them out")
    leaf = leaf_bytes({"v": VERSION, "t": t, **fields})
    if max(fields, default="") > "writer":
        raise RecordInvalid("no top-level field name may sort behind 'writer'; choose another name")
    if len(leaf) > MAX_LEAF_BYTES - _TAIL_BYTES:
        raise RecordInvalid(f"record has {len(leaf)} bytes; at most {MAX_LEAF_BYTES - _TAIL_BYTES} fit")
    return leaf[:-1]


def leaf_tail(writer: str) -> tuple[bytes, bytes]:
    """What stands before and behind the number in every leaf of this writer: leaf = head + before + number + behind."""
    if not writer.isascii() or not 0 < len(writer) <= 200:
        raise RecordInvalid("the name of a writer is 1 to 200 ASCII characters")
    return b',"writer":' + orjson.dumps(writer) + b',"wseq":"', b'"}'


def index_row(fields: Mapping[str, object], t_us: int, subject: str | None) -> IndexRow:
    """The search row of a record made at ``t_us``.

    Raises RecordInvalid where a field that can be searched for has a wrong form.
    """
    get = fields.get
    type_, id_, exchange = get("type"), get("id"), get("exchange")
    if type(type_) is not str or type_ not in TYPES:
        raise RecordInvalid("record has no known type; see audit_log.record.TYPES")
    if type(id_) is not str or not _UUID.fullmatch(id_):
        raise RecordInvalid("record id is not a UUID in lower case with hyphens; make it with new_record_id()")
    if exchange is not None and (type(exchange) is not str or not _UUID.fullmatch(exchange)):
        raise RecordInvalid("exchange is not the id of a record")
    tenant, class_, action = get("tenant"), get("class"), get("action")
    for value in (tenant, class_, action, subject):
        if value is not None and type(value) is not str:
            raise RecordInvalid("tenant, class, action and subject are text or absent")
    return IndexRow(
        id_,
        exchange,
        type_,
        t_us,
        tenant,  # type: ignore[arg-type]  # text or None: tested above
        subject,
        class_,  # type: ignore[arg-type]
        action,  # type: ignore[arg-type]
        type_ == "incident" or get("incident") is not None,
    )


def format_time_us(t_us: int) -> str:
    """Microseconds since the epoch as the record's time: UTC, ``2026-11-21T08:15:04.123456Z``."""
    second, rest = divmod(t_us, 1_000_000)
    return f"{_second_text(second)}.{rest:06d}Z"


def format_time(time_s: float) -> str:
    """Seconds since the epoch as the record's time."""
    return format_time_us(round(time_s * 1_000_000))


@lru_cache(maxsize=16)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_time_us(text: object) -> int:
    """A record's time as microseconds since the epoch; raises RecordInvalid for any other spelling."""
    if type(text) is str and _TIME.fullmatch(text):
        try:
            return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
        except ValueError:
            pass
    raise RecordInvalid("record time is not of the form 2026-11-21T08:15:04.123456Z")


def new_record_id(time_ns: int | None = None, random: Callable[[int], bytes] = os.urandom) -> str:
    """A UUID version 7 (RFC 9562 section 5.7) as text, larger than every one this process made before.

    48 bits of milliseconds, 12 bits of the fraction of the millisecond (method 3 of section 6.2), 62 random bits.
    """
    global _last_stamp
    ns = time.time_ns() if time_ns is None else time_ns
    ms, rest = divmod(ns, 1_000_000)
    stamp = ms << 12 | (rest << 12) // 1_000_000
    with _stamp_lock:
        # Ids stay in order when the clock stands still or steps back.
        if stamp <= _last_stamp:
            stamp = _last_stamp + 1
        _last_stamp = stamp
    head, tail = f"{stamp:015x}", random(8).hex()
    variant = "89ab"[int(tail[0], 16) & 3]
    return f"{head[:8]}-{head[8:12]}-7{head[12:]}-{variant}{tail[1:4]}-{tail[4:]}"


_last_stamp = 0
_stamp_lock = threading.Lock()


def _check(value: Mapping[str, object] | list[object], depth: int) -> None:
    # Exact types: orjson would also take floats (NaN as null), dates and enums, which RFC 8785 spells otherwise or not.
    if depth > _MAX_DEPTH:
        raise RecordInvalid(f"record is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, list):
        items: Collection[object] = value
    else:
        items = value.values()
        for name in value:
            if type(name) is not str or not name.isascii():
                raise RecordInvalid("record has a field name that is not ASCII text")
    for item in items:
        kind = type(item)
        if kind in _PLAIN:
            continue
        if kind is not dict and kind is not list:
            raise RecordInvalid(
                f"record holds a {kind.__name__}; allowed are text, whole numbers, true, false, null, list, dict"
            )
        _check(item, depth + 1)  # type: ignore[arg-type]  # a dict or a list: tested above
