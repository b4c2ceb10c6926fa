# SPDX-License-Identifier: Apache-2.0
"""The driver keeps the contract that the rest of the package is written against."""

import inspect

from audit_log.interfaces import LogStore
from audit_log.sqlite import SqliteStore


def test_the_sqlite_driver_offers_every_method_with_the_same_signature() -> None:
    """A second driver can take its place: nothing outside the contract is needed."""
    wanted = {name: value for name, value in vars(LogStore).items() if not name.startswith("_") and callable(value)}

    assert len(wanted) >= 18
    for name, method in wanted.items():
        assert inspect.signature(getattr(SqliteStore, name)) == inspect.signature(method), name
