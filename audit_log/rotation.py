# SPDX-License-Identifier: Apache-2.0
"""Other keys take over: the one that signs the log, and the one that wraps the keys of sealed bodies.

Signing: whoever trusts the old key can go on to the new one by itself. A record of type ``key`` names both; the
checkpoint that covers it is signed by both; from then on the new key signs, and the old verifier key is kept for ever
in ``retired.vkeys``. Wrapping: every subject key is unwrapped with the old master key and wrapped with the new one; no
body is touched, and the old master key opens nothing any more.

All processes of the log are stopped for either. What must hold: after a crash at any point, calling again finishes
what was begun, with the same new key.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from audit_log.errors import LogRefused, VerificationError
from audit_log.interfaces import Leadership, LogStore, Tiles
from audit_log.keys import MASTER_KEY_BYTES, load_log_key, load_master_key, read_vkeys, write_secret
from audit_log.note import Signer
from audit_log.place import Place
from audit_log.publish import Publisher
from audit_log.record import new_record_id
from audit_log.sealing import unwrap_subject_key, wrap_subject_key
from audit_log.sqlite import fsync_folder
from audit_log.writer import Entry

_KEYS_AT_ONCE = 500


def rotate_key(
    place: Place,
    *,
    by: str,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> dict[str, str]:
    """Change the signing key of a log; gives ``old`` and ``new``, verifier keys. Blocks.

    Other machines that write the log get the new key files before they start again. Raises LogRefused while another
    process publishes.
    """
    home = place.home
    store, tiles = place.open_store()
    lead = _stopped(place, store)
    try:
        old = Signer(store.meta().origin, load_log_key(home / "log.key"))
        signing = store.meta().vkey
        if signing != old.verifier.vkey and not (home / "log.key.next").exists():
            raise LogRefused("log.key is not the key that this log was signed with; restore the log's own key file")
        new = _next_key(home, old.name, random)
        if signing == old.verifier.vkey:
            _hand_over(place, store, tiles, old, new, by, clock, lead)
        elif signing != new.verifier.vkey:
            raise LogRefused("neither log.key nor log.key.next is the key that this log was signed with")
        _move_files(home, old, new)
    finally:
        lead.resign()
        store.close()
    return {"old": old.verifier.vkey, "new": new.verifier.vkey}


def rotate_master_key(
    place: Place,
    *,
    by: str,
    read_new: Callable[[], bytes] | None = None,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> dict[str, object]:
    """Wrap every subject key with a new master key, and record that; gives ``keys``, how many were wrapped. Blocks.

    ``read_new`` gives the new key where it is in no file of the home; without it a new ``body.key`` is made, and the
    old one overwritten by it. Raises LogRefused while another process publishes, while records wait in the spool (new
    keys may be among them), and where a subject key opens with neither key.
    """
    if place.spool.is_dir() and any(place.spool.glob("*/*.batch")):
        raise LogRefused("records wait in the spool; start the gateway until the server took them, then stop it again")
    fresh = place.home / "body.key.next"
    if read_new is None:
        if place.read_master_key is not None:
            raise LogRefused("the master key is in no file of this folder; say where the new one comes from")
        if not fresh.exists():
            write_secret(fresh, random(MASTER_KEY_BYTES))
    old = place.master_key()
    new = load_master_key(fresh) if read_new is None else read_new()
    if len(new) != MASTER_KEY_BYTES:
        raise LogRefused(f"the new master key has {len(new)} bytes; expected {MASTER_KEY_BYTES}")
    store, _ = place.open_store()
    lead = _stopped(place, store)
    try:
        count = _wrap_anew(store, old, new, random)
    finally:
        lead.resign()
        store.close()
    if read_new is None:
        os.replace(fresh, place.home / "body.key")
        fsync_folder(place.home)
    with Place(place.home, place.url, place.schema, read_new).writing(clock, writer="rotation") as log:
        said = {"event": "master", "keys": str(count), "by": by}
        log.append_blocking(Entry({"id": new_record_id(), "type": "key", **said}))
    return {"keys": count}


def _wrap_anew(store: LogStore, old: bytes, new: bytes, random: Callable[[int], bytes]) -> int:
    count, after = 0, ""
    while found := store.wrapped_keys(after, _KEYS_AT_ONCE):
        changed: list[tuple[str, bytes]] = []
        for id_, wrapped in found:
            try:
                unwrap_subject_key(id_, wrapped, new)
            except VerificationError:
                try:
                    key = unwrap_subject_key(id_, wrapped, old)
                except VerificationError:
                    raise LogRefused(f"key {id_} opens with neither master key; restore the right one first") from None
                changed.append((id_, wrap_subject_key(key, new, random)))
        store.replace_wrapped(changed)
        count += len(found)
        after = found[-1][0]
    return count


def _stopped(place: Place, store: LogStore) -> Leadership:
    """The right to publish, held by this process alone."""
    lead = place.leadership(store)
    if not lead.try_lead():
        store.close()
        raise LogRefused("another process publishes this log; stop the gateway before the key is changed")
    return lead


def _hand_over(
    place: Place,
    store: LogStore,
    tiles: Tiles,
    old: Signer,
    new: Signer,
    by: str,
    clock: Callable[[], float],
    lead: Leadership,
) -> None:
    log = place.open_log(writer="rotation", clock=clock, publish=False)
    try:
        said = {"event": "rotate", "old": old.verifier.vkey, "new": new.verifier.vkey, "by": by}
        log.append_blocking(Entry({"id": new_record_id(), "type": "key", **said}))
    finally:
        log.close()
    publisher = Publisher(store, tiles, old, clock, lead, also=[new])
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
