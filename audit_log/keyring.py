# SPDX-License-Identifier: Apache-2.0
"""Subject keys at hand while bodies are being sealed: read once, kept, and forgotten when any was destroyed.

What must hold: no body is sealed under a key that an erasure has destroyed. The epoch is read before any key; the
store refuses a batch whose epoch is over, and the batch is sealed again with what is there now.
"""

from collections import OrderedDict
from collections.abc import Callable

from audit_log.interfaces import LogStore, NewSubjectKey
from audit_log.record import IndexRow
from audit_log.sealing import SubjectKey, new_subject_key, unwrap_subject_key, wrap_subject_key

_KEPT = 10_000


class Keyring:
    """Subject keys of one writer. Not thread-safe: the writer's thread owns it."""

    def __init__(self, store: LogStore, master_key: bytes, random: Callable[[int], bytes]) -> None:
        self._store = store
        self._master_key = master_key
        self._random = random
        self._keys: OrderedDict[tuple[str, str], SubjectKey] = OrderedDict()
        self.epoch: int | None = None

    def key_for(self, row: IndexRow, new_keys: list[NewSubjectKey]) -> SubjectKey:
        """The key for a record's body; where it is made here, it is added to those that the batch must store.

        A record without a subject has a key of its own, filed under its id, so that it can be erased alone.
        """
        if self.epoch is None:
            self.epoch = self._store.key_epoch()
        tenant = row.tenant or ""
        if row.subject is None:
            return self._make(tenant, f"record:{row.id}", new_keys)
        owner = (tenant, row.subject)
        key = self._keys.get(owner)
        if key is None:
            stored = self._store.subject_key(*owner)
            key = self._make(*owner, new_keys) if stored is None else unwrap_subject_key(*stored, self._master_key)
            self._keys[owner] = key
            if len(self._keys) > _KEPT:
                self._keys.popitem(last=False)
        return key

    def forget(self) -> None:
        """Drop all keys: some were destroyed, or were made for a batch that was not stored."""
        self._keys.clear()
        self.epoch = None

    def _make(self, tenant: str, subject: str, new_keys: list[NewSubjectKey]) -> SubjectKey:
        key = new_subject_key(self._random)
        new_keys.append(NewSubjectKey(key.id, tenant, subject, wrap_subject_key(key, self._master_key, self._random)))
        return key
