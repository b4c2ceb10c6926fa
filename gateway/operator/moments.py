# SPDX-License-Identifier: Apache-2.0
"""Times in queries and answers: RFC 3339, or seconds since the epoch.

A time without an offset is refused: records are searched from several time zones, and a guess would silently leave
out eight hours of them.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.operator.problems import invalid

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS: Final = re.compile(r"[0-9]{1,11}(?:\.[0-9]{1,9})?", re.ASCII)
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+ -][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_WANTED: Final = "expected RFC 3339 with an offset, such as 2026-11-21T08:00:00+08:00, or seconds since the epoch"


def parse_moment(text: str, field: str) -> float:
    """A time of a query as seconds since the epoch. Raises a 400 problem that names `field`.

    A `+` that nobody escaped arrives as a space before the offset; it is read as it was meant.
    """
    if _SECONDS.fullmatch(text):
        return float(text)
    if not _RFC_3339.fullmatch(text):
        raise invalid(field, _WANTED)
    spelled = text[:10] + "T" + text[11:].upper().replace(" ", "+")
    spelled = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", spelled)
    try:
        return (datetime.fromisoformat(spelled) - _EPOCH) / timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise invalid(field, _WANTED) from None


def format_moment(time_s: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC with milliseconds."""
    return (_EPOCH + timedelta(seconds=time_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
