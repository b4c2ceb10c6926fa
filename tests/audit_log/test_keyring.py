# SPDX-License-Identifier: Apache-2.0
"""Subject keys while bodies are sealed: one a subject, kept, and forgotten in time."""

import os

from audit_log.interfaces import Batch, NewSubjectKey
from audit_log.keyring import Keyring
from audit_log.record import IndexRow, new_record_id
from audit_log.sqlite import SqliteStore

MASTER = bytes(range(32))


def row(subject: str | None, tenant: str | None = "t") -> IndexRow:
    return IndexRow(new_record_id(), None, "exchange", 1, tenant, subject, None, None, False)


def test_a_subject_has_one_key(store: SqliteStore) -> None:
    """Made once, then the same; another tenant's person of that name has another."""
    ring, made = Keyring(store, MASTER, os.urandom), list[NewSubjectKey]()
    first = ring.key_for(row("p"), made)

    assert first == ring.key_for(row("p"), made)
    assert first != ring.key_for(row("p", "other"), made)
    assert [(key.tenant, key.subject) for key in made] == [("t", "p"), ("other", "p")]


def test_a_record_without_a_subject_has_a_key_of_its_own(store: SqliteStore) -> None:
    """Filed under its id, so that it can be erased alone."""
    ring, made = Keyring(store, MASTER, os.urandom), list[NewSubjectKey]()
    one, two = row(None), row(None, None)

    assert ring.key_for(one, made) != ring.key_for(two, made)
    assert [("t", f"record:{one.id}"), ("", f"record:{two.id}")] == [(key.tenant, key.subject) for key in made]


def test_a_stored_key_is_found_by_another_process(store: SqliteStore) -> None:
    """A second keyring reads what the first one's batch stored."""
    ring, made = Keyring(store, MASTER, os.urandom), list[NewSubjectKey]()
    key = ring.key_for(row("p"), made)
    store.append(Batch([b"leaf"], [row("p")], (), made))
    again = list[NewSubjectKey]()

    assert key == Keyring(store, MASTER, os.urandom).key_for(row("p"), again)
    assert again == []


def test_a_key_that_was_not_stored_is_forgotten(store: SqliteStore) -> None:
    """Else a later body would be sealed under a key that exists nowhere."""
    ring = Keyring(store, MASTER, os.urandom)
    first = ring.key_for(row("p"), [])
    ring.forget()
    made = list[NewSubjectKey]()

    assert ring.epoch is None
    assert first != ring.key_for(row("p"), made)
    assert len(made) == 1


def test_the_epoch_is_read_before_any_key(store: SqliteStore) -> None:
    """An erasure after that makes the store refuse the batch."""
    ring = Keyring(store, MASTER, os.urandom)
    ring.key_for(row(None), [])
    store.destroy_subject("t", "anybody")

    assert ring.epoch is not None
    assert store.key_epoch() == ring.epoch + 1


def test_only_so_many_keys_are_kept(store: SqliteStore) -> None:
    """Memory is bounded; the oldest go first."""
    ring, made = Keyring(store, MASTER, os.urandom), list[NewSubjectKey]()
    filler = ring.key_for(row(None), [])
    ring._keys.update((("t", f"filler {number}"), filler) for number in range(10_000))
    key = ring.key_for(row("p"), made)

    assert key == ring.key_for(row("p"), made)
    assert ("t", "filler 0") not in ring._keys
