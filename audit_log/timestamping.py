# SPDX-License-Identifier: Apache-2.0
"""Getting checkpoints time-stamped by an outside authority (RFC 3161), and keeping what it signed.

A token is for the exact bytes of a signed checkpoint, which are kept with it, so that any tool can check the pair. What
must hold: what is kept was checked as an auditor will check it; an answer to another question is refused (nonce); a
pair is durable before it is told of, and is never replaced.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from audit_log.errors import LogUnavailable, VerificationError
from audit_log.sqlite import fsync_folder
from audit_log.timestamp import TimeStamp, open_timestamp, read_roots, timestamp_request
from audit_log.witness import Post

REQUEST_TYPE = "application/timestamp-query"
"""The media type of what is posted (RFC 3161 section 3.4)."""

_FOLDER = "timestamps"
_NONCE_BYTES = 16
_MAX_RESPONSE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class KeptStamp:
    """A stamped checkpoint: its size, its bytes, and the authority's TimeStampResp."""

    size: int
    note: bytes
    response: bytes


def ask_authority(
    note: bytes,
    url: str,
    post: Post,
    *,
    roots: bytes | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> tuple[bytes, TimeStamp]:
    """Have a checkpoint stamped; gives the response and what it says. ``post`` raises OSError where nobody answers.

    Raises LogUnavailable, or VerificationError where the answer does not hold.
    """
    nonce = int.from_bytes(random(_NONCE_BYTES), "big") | 1
    try:
        status, response = post(url, timestamp_request(note, nonce))
    except OSError as error:
        raise LogUnavailable(f"the time-stamping authority cannot be reached: {error}") from error
    if status != 200:
        raise LogUnavailable(f"the time-stamping authority answered with status {status}")
    if len(response) > _MAX_RESPONSE_BYTES:
        raise VerificationError("the time-stamp is larger than any")
    stamp = open_timestamp(response, note, [] if roots is None else read_roots(roots))
    if stamp.nonce != nonce:
        raise VerificationError("the time-stamp answers another request")
    return response, stamp


def keep_stamp(home: Path, stamp: KeptStamp) -> None:
    """Keep a stamp in ``timestamps/`` of a log's home, durable; one of the same size stays."""
    folder = home / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    if (folder / f"{stamp.size}.tsr").exists():
        return
    for name, data in ((f"{stamp.size}.txt", stamp.note), (f"{stamp.size}.tsr", stamp.response)):
        unfinished = folder / f"{name}.new"
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(folder / name)
    fsync_folder(folder)


def kept_stamps(home: Path) -> Iterator[KeptStamp]:
    """All stamps of a log, by size."""
    folder = home / _FOLDER
    sizes = sorted(int(path.stem) for path in folder.glob("*.tsr") if path.stem.isascii() and path.stem.isdigit())
    for size in sizes:
        yield KeptStamp(size, (folder / f"{size}.txt").read_bytes(), (folder / f"{size}.tsr").read_bytes())
