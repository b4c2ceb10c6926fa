# SPDX-License-Identifier: Apache-2.0
"""A bucket in memory that keeps locks as S3 does, and can be told to fail."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO

from audit_log import LogUnavailable
from audit_log.archive import ArchiveRefused, StoredObject


class MemoryBucket:
    """See `ObjectStore`. ``fails_at``: the number of the next put that fails, after it stored or before."""

    def __init__(self, *, can_lock: bool = True) -> None:
        self.data: dict[str, bytes] = {}
        self.facts: dict[str, StoredObject] = {}
        self.puts: list[str] = []
        self.fails_at: int | None = None
        self.stores_failed = False
        self._can_lock = can_lock

    def check(self) -> None:
        if not self._can_lock:
            raise ArchiveRefused("no object lock")

    def put(self, key: str, file: IO[bytes], digest: str, locked_until: float) -> None:
        fails = self.fails_at == len(self.puts)
        self.puts.append(key)
        if not fails or self.stores_failed:
            self.data[key] = file.read()
            self.facts[key] = StoredObject(digest, locked_until, False)
        if fails:
            raise LogUnavailable("the object storage is away")

    def find(self, key: str) -> StoredObject | None:
        return self.facts.get(key)

    @contextmanager
    def read(self, key: str) -> Iterator[IO[bytes]]:
        yield io.BytesIO(self.data[key])

    def folders(self, prefix: str) -> Iterator[str]:
        yield from sorted({key[len(prefix) :].split("/")[0] for key in self.data if key.startswith(prefix)})

    def hold(self, key: str, is_held: bool) -> None:
        self.facts[key] = replace(self.facts[key], is_held=is_held)
