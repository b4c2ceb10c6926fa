# SPDX-License-Identifier: Apache-2.0
"""Another key takes over signing the log, so that whoever trusts the old one can go on to the new one by itself.

A record of type ``key`` names both; the checkpoint that covers it is signed by both; from then on the new key signs.
All processes of the log are stopped for it. What must hold: after a crash at any point, calling again finishes what was
begun, with the same new key; the old verifier key is kept for ever in ``retired.vkeys``.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from audit_log.errors import LogRefused
from audit_log.interfaces import LogStore, Tiles
from audit_log.keys import load_log_key, read_vkeys, write_secret
from audit_log.log import AuditLog
from audit_log.note import Signer
from audit_log.publish import FileLock, Publisher, TileFolder
from audit_log.record import new_record_id
from audit_log.sqlite import SqliteStore, fsync_folder
from audit_log.writer import Entry


def rotate_key(
    home: Path,
    *,
    by: str,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> dict[str, str]:
    """Change the signing key of a log on one machine; gives ``old`` and ``new``, verifier keys. Blocks.

    Raises LogRefused while another process publishes.
    """
    home = Path(home)
    lead = FileLock(home / "publisher.lock")
    if not lead.try_lead():
        raise LogRefused("another process publishes this log; stop the gateway before the key is changed")
    try:
        store = SqliteStore(home / "audit.db", home / "audit.lock")
        try:
            old = Signer(store.meta().origin, load_log_key(home / "log.key"))
            signing = store.meta().vkey
            if signing != old.verifier.vkey and not (home / "log.key.next").exists():
                raise LogRefused("log.key is not the key that this log was signed with; restore the log's own key file")
            new = _next_key(home, old.name, random)
            if signing == old.verifier.vkey:
                _hand_over(home, store, TileFolder(home / "tiles"), old, new, by, clock, lead)
            elif signing != new.verifier.vkey:
                raise LogRefused("neither log.key nor log.key.next is the key that this log was signed with")
        finally:
            store.close()
        _move_files(home, old, new)
    finally:
        lead.resign()
    return {"old": old.verifier.vkey, "new": new.verifier.vkey}


def _hand_over(
    home: Path,
    store: LogStore,
    folder: Tiles,
    old: Signer,
    new: Signer,
    by: str,
    clock: Callable[[], float],
    lead: FileLock,
) -> None:
    log = AuditLog.open(home, writer="rotation", clock=clock, publish=False)
    try:
        said = {"event": "rotate", "old": old.verifier.vkey, "new": new.verifier.vkey, "by": by}
        log.append_blocking(Entry({"id": new_record_id(), "type": "key", **said}))
    finally:
        log.close()
    publisher = Publisher(store, folder, old, clock, lead, also=[new])
    publisher.try_lead()
    while publisher.step() is not None:
        pass
    store.replace_vkey(old.verifier.vkey, new.verifier.vkey)


def _next_key(home: Path, origin: str, random: Callable[[int], bytes]) -> Signer:
    """The key that takes over: one that an interrupted change left, or a new one."""
    path = home / "log.key.next"
    if not path.exists():
        write_secret(path, random(32))
    return Signer(origin, load_log_key(path))


def _move_files(home: Path, old: Signer, new: Signer) -> None:
    """The old key's name is kept before the new key takes its place; each step can be done again."""
    known = {verifier.vkey for verifier in read_vkeys(home)}
    retired = home / "retired.vkeys"
    if old.verifier.vkey not in (retired.read_text().split() if retired.exists() else ()):
        _replace(retired, (retired.read_text() if retired.exists() else "") + f"{old.verifier.vkey}\n")
    if new.verifier.vkey not in known:
        _replace(home / "log.vkey", f"{new.verifier.vkey}\n")
    (home / "log.key.next").rename(home / "log.key")
    fsync_folder(home)


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.new")
    with unfinished.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    fsync_folder(path.parent)
